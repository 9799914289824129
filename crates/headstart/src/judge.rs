//! How good a head is on samples of a store.

use std::collections::{HashMap, HashSet};

use headstart_head::{ClassificationReport, HeadModel, MultilabelReport, RegressionReport, Task, argmax};
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
    let judged = judge_scores(head, samples, &rows, samples.scores(head, &rows)?)?;
    Ok(Evaluation { split: split.to_owned(), n_trained_on, judged })
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
