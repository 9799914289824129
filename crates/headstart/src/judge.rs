//! How good a head is on samples of a store.

use std::collections::{HashMap, HashSet};

use headstart_head::{ClassificationReport, HeadModel, MultilabelReport, RegressionReport, Task, argmax};
use headstart_store::Label;
use ndarray::{Array2, Axis, concatenate};
use serde::Serialize;

use crate::error::Error;
use crate::event::{Events, Note, note};
use crate::files::check_space;
use crate::samples::Samples;
use crate::split::{Role, role, rows_of};

/// How good a head is, by the kind of its labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Judged {
    /// One class a sample.
    Classes(ClassificationReport),
    /// Any number of labels a sample.
    Labels(MultilabelReport),
    /// Numbers.
    Numbers(RegressionReport),
}

/// A head judged by samples of one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The split.
    pub split: String,
    /// Samples of it that the head was trained on, or that belong to a group it was trained on.
    pub n_trained_on: usize,
    /// How good it is.
    pub judged: Judged,
    /// What it is wrong about, the surest first; of numbers all samples, the largest difference first.
    pub wrong: Vec<Wrong>,
}

/// A sample that a head says something else of than its label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wrong {
    /// Path of the sample.
    pub path: String,
    /// What it is.
    pub label: String,
    /// What was said.
    pub said: String,
    /// How surely: the probability of what was said, the smallest of several; of numbers the largest difference.
    pub score: f64,
}

/// Judges a head by the samples of a split: `train`, `val`, `test` or `all`; by default by `val`, else by
/// `test`. Where the dataset has no splits, `train` is what the head was fitted on, and `val` is all else.
///
/// # Errors
/// [`Error::Head`] for a head of another embedding space; [`Error::NothingHeldOut`], [`Error::EmptySplit`],
/// [`Error::UnknownSplit`]; [`Error::MissingEmbeddings`].
pub fn judge(
    head: &HeadModel,
    samples: &Samples,
    split: Option<&str>,
    events: &mut Events<'_>,
) -> Result<Evaluation, Error> {
    check_space(head, samples.store().space())?;
    samples.note_newer(events);
    let trained_on: Vec<bool> = (0..samples.len()).map(|it| samples.was_trained_on(head, it)).collect();
    let drawn = |it: &bool| if *it { Role::Train } else { Role::Validation };
    let roles = samples.own_roles().unwrap_or_else(|| trained_on.iter().map(drawn).collect());
    let store = || samples.store().dir().to_owned();
    let split = match split {
        Some(split) => split,
        None if roles.contains(&Role::Validation) => "val",
        None if roles.contains(&Role::Test) => "test",
        None => return Err(Error::NothingHeldOut { store: store() }),
    };
    let rows = match split {
        "all" => (0..roles.len()).collect(),
        split => rows_of(&roles, role(split)?),
    };
    if rows.is_empty() {
        return Err(Error::EmptySplit { store: store(), split: split.to_owned() });
    }
    let n_samples = rows.len();
    let n_trained_on = rows.iter().filter(|it| trained_on[**it]).count();
    if n_trained_on > 0 {
        note(events, Note::JudgedTrainedOn { n: n_trained_on, n_samples });
    }
    note_unknown(head, samples, &rows, events);
    let scores = samples.scores(head, &rows)?;
    let wrong = wrong(head, samples, &rows, &scores)?;
    let judged = judge_scores(head, samples, &rows, scores)?;
    Ok(Evaluation { split: split.to_owned(), n_trained_on, judged, wrong })
}

/// What a head is wrong about.
fn wrong(
    head: &HeadModel,
    samples: &Samples,
    rows: &[usize],
    scores: &Array2<f64>,
) -> Result<Vec<Wrong>, Error> {
    let outputs = &head.metadata.outputs;
    let path = |row: usize| samples.as_slice()[row].path.clone();
    let mut wrong = Vec::new();
    if outputs.task == Task::Regression {
        let truth = samples.targets()?;
        for (row, said) in rows.iter().zip(scores.outer_iter()) {
            let truth = truth.row(*row);
            let differences = truth.iter().zip(said).map(|(a, b)| (a - b).abs());
            let score = differences.fold(0.0, f64::max);
            let text = |numbers: Vec<f64>| Label::Numbers(numbers).to_string();
            let (label, said) = (text(truth.to_vec()), text(said.to_vec()));
            wrong.push(Wrong { path: path(*row), label, said, score });
        }
    } else {
        let is_one = outputs.task == Task::Classification;
        for (row, prediction) in rows.iter().zip(outputs.decide(scores.view())) {
            let mut given: Vec<String> = outputs.names(&prediction.given).map(str::to_owned).collect();
            let mut label = if is_one { vec![samples.class(*row)] } else { samples.labels_of(*row) };
            given.sort_unstable();
            label.sort_unstable();
            if given != label {
                let of_given = prediction.given.iter().map(|it| prediction.scores[*it]);
                let score = of_given.fold(1.0, f64::min);
                let text = |mut names: Vec<String>| match is_one {
                    true => names.swap_remove(0),
                    false => Label::Classes(names).to_string(),
                };
                let (label, said) = (text(label), text(given));
                wrong.push(Wrong { path: path(*row), label, said, score });
            }
        }
    }
    wrong.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.path.cmp(&b.path)));
    Ok(wrong)
}

/// Says how many of some rows have classes that the head does not know.
pub(crate) fn note_unknown(head: &HeadModel, samples: &Samples, rows: &[usize], events: &mut Events<'_>) {
    if head.metadata.outputs.task != Task::Classification {
        return;
    }
    let labels: HashSet<&String> = head.metadata.outputs.labels.iter().collect();
    let mut unknown = rows.iter().map(|it| samples.class(*it)).filter(|it| !labels.contains(it));
    if let Some(example) = unknown.next() {
        note(events, Note::UnknownLabels { n: 1 + unknown.count(), n_samples: rows.len(), example });
    }
}

/// Judges what a head says of some rows of the samples.
pub(crate) fn judge_scores(
    head: &HeadModel,
    samples: &Samples,
    rows: &[usize],
    scores: Array2<f64>,
) -> Result<Judged, Error> {
    let outputs = &head.metadata.outputs;
    let mut labels = outputs.labels.clone();
    // Labels the head does not know come after its own, with probability 0: they count as wrong.
    let with =
        |n: usize| concatenate![Axis(1), scores, Array2::zeros((rows.len(), n - outputs.labels.len()))];
    Ok(match outputs.task {
        Task::Classification => {
            let mut index: HashMap<String, usize> = labels.iter().cloned().zip(0..).collect();
            let mut class = |row: &usize| {
                let label = samples.class(*row);
                *index.entry(label).or_insert_with_key(|label| {
                    labels.push(label.clone());
                    labels.len() - 1
                })
            };
            let truth: Vec<usize> = rows.iter().map(&mut class).collect();
            let majority = argmax(head.metadata.fit.class_counts.iter().map(|it| *it as f64));
            let scores = with(labels.len());
            Judged::Classes(ClassificationReport::new(scores.view(), &truth, &labels, majority)?)
        }
        Task::Multilabel => {
            labels.extend(samples.all_labels(rows).into_iter().filter(|it| !outputs.labels.contains(it)));
            let mut thresholds = outputs.thresholds.clone();
            thresholds.resize(labels.len(), 1.0);
            let (scores, truth) = (with(labels.len()), samples.indicator(rows, &labels));
            Judged::Labels(MultilabelReport::new(scores.view(), truth.view(), &labels, &thresholds)?)
        }
        Task::Regression => {
            let truth = samples.targets()?.select(Axis(0), rows);
            let (expected, found) = (labels.len(), truth.ncols());
            if expected != found {
                return Err(Error::NumberCount { expected, found });
            }
            Judged::Numbers(RegressionReport::new(scores.view(), truth.view())?)
        }
    })
}
