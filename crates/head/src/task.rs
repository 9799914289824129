//! What a head's scores mean, and the one rule by which they become an answer.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::class_weight::correct_prior;
use crate::metrics::argmax;

/// What the outputs mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// One class a sample; the outputs score the classes.
    #[default]
    Classification,
    /// Any of the labels a sample; each output is the probability of one.
    Multilabel,
    /// Numbers.
    Regression,
}

/// What the columns of a head's scores mean.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// What the outputs mean.
    pub task: Task,
    /// Classes in the order of the outputs, sorted; or names of the targets.
    pub labels: Vec<String>,
    /// Probabilities from which on each label is given; empty unless a sample may have several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<f64>,
    /// Shares of the classes in training, where the fit counted all alike: its probabilities are those of classes
    /// that are equally frequent, and decide; [`corrected`](Self::corrected) gives those of the classes as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
}

/// A head's answer for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// `(n_labels,)`: probabilities, or numbers.
    pub scores: Vec<f64>,
    /// Columns of the labels that are given, most probable first: one where classes exclude each other, any
    /// number where a sample may have several, none for numbers.
    pub given: Vec<usize>,
}

impl Outputs {
    /// The answer to each row of scores.
    ///
    /// The class of the largest score, the first of equals; every label whose probability reaches its
    /// threshold.
    ///
    /// # Shapes
    /// - `scores`: `(n_samples, n_labels)`. A label without a threshold is never given.
    ///
    /// # Examples
    /// ```
    /// use headstart_head::{Outputs, Task};
    /// use ndarray::array;
    ///
    /// let labels = vec!["cat".to_owned(), "dog".to_owned()];
    /// let classes = Outputs { task: Task::Classification, labels: labels.clone(), ..Outputs::default() };
    /// let several = Outputs { task: Task::Multilabel, labels, thresholds: vec![0.5, 0.2], ..Outputs::default() };
    /// let scores = array![[0.6, 0.4]];
    /// assert_eq!(classes.decide(scores.view())[0].given, [0]);
    /// assert_eq!(several.decide(scores.view())[0].given, [0, 1]);
    /// ```
    #[must_use]
    pub fn decide(&self, scores: ArrayView2<'_, f64>) -> Vec<Prediction> {
        let decide = |row: ndarray::ArrayView1<'_, f64>| {
            let scores = row.to_vec();
            let given = match self.task {
                Task::Classification if scores.is_empty() => Vec::new(),
                Task::Classification => vec![argmax(scores.iter().copied())],
                Task::Multilabel => {
                    let reaches = |it: &usize| self.thresholds.get(*it).is_some_and(|t| scores[*it] >= *t);
                    ranking(&scores).into_iter().filter(reaches).collect()
                }
                Task::Regression => Vec::new(),
            };
            Prediction { scores, given }
        };
        scores.outer_iter().map(decide).collect()
    }

    /// Probabilities with the classes' shares in training, of a fit that counted all classes alike; none for others.
    #[must_use]
    pub fn corrected(&self, scores: &[f64]) -> Option<Vec<f64>> {
        (!self.shares.is_empty()).then(|| {
            let mut probabilities = scores.to_vec();
            correct_prior(&mut probabilities, &self.shares);
            probabilities
        })
    }

    /// An answer as JSON: `label` and `probabilities` by label, `labels` and these, or `predictions`; of a balanced
    /// fit also `corrected_probabilities`.
    #[must_use]
    pub fn to_json(&self, prediction: &Prediction) -> Map<String, Value> {
        let by_label = |scores: &[f64]| {
            Value::Object(self.labels.iter().cloned().zip(scores.iter().map(|it| json!(it))).collect())
        };
        let scores = by_label(&prediction.scores);
        let mut names = self.names(&prediction.given);
        let fields = match self.task {
            Task::Classification => vec![("label", json!(names.next())), ("probabilities", scores)],
            Task::Multilabel => vec![("labels", names.collect()), ("probabilities", scores)],
            Task::Regression => vec![("predictions", scores)],
        };
        let corrected =
            self.corrected(&prediction.scores).map(|it| ("corrected_probabilities", by_label(&it)));
        fields.into_iter().chain(corrected).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Names of some columns.
    pub fn names<'a>(&'a self, columns: &'a [usize]) -> impl Iterator<Item = &'a str> {
        columns.iter().filter_map(|it| self.labels.get(*it)).map(String::as_str)
    }
}

impl Prediction {
    /// Columns from the largest score to the smallest, the first of equals first.
    #[must_use]
    pub fn ranking(&self) -> Vec<usize> {
        ranking(&self.scores)
    }
}

fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}
