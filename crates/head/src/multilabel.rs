//! How good several labels a sample are, and from which probability on a label is given.

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::metrics::check_scores;

/// How good predicted labels are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultilabelReport {
    /// Samples judged.
    pub n_samples: usize,
    /// Share of samples whose labels are all right.
    pub exact_match: f64,
    /// F1 of all decisions together.
    pub micro_f1: f64,
    /// Mean over labels of the F1 score.
    pub macro_f1: f64,
    /// Mean over labels that occur of the average precision.
    pub mean_average_precision: f64,
    /// Mean negative log-likelihood of a label.
    pub log_loss: f64,
    /// Each label.
    pub labels: Vec<LabelScore>,
}

/// How good one label is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScore {
    /// Its name.
    pub label: String,
    /// Samples that have it.
    pub support: usize,
    /// Probability from which on it is given.
    pub threshold: f64,
    /// Share of those it was given to that have it; 0 when given to none.
    pub precision: f64,
    /// Share of those that have it that were given it; 0 when none has it.
    pub recall: f64,
    /// Harmonic mean of both; 0 when neither given nor had.
    pub f1: f64,
    /// Area under the curve of precision against recall, by steps; none when no sample has it.
    pub average_precision: Option<f64>,
}

impl MultilabelReport {
    /// Compares probabilities with true labels.
    ///
    /// # Shapes
    /// - `probabilities`: `(n_samples, n_labels)`; `truth`: as that, 1 where a sample has a label, else 0.
    /// - `labels`, `thresholds`: `(n_labels,)`.
    ///
    /// # Source
    /// scikit-learn's definitions (`f1_score` with `zero_division=0`, `average_precision_score`).
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::LabelCountMismatch`].
    pub fn new(
        probabilities: ArrayView2<'_, f64>,
        truth: ArrayView2<'_, f64>,
        labels: &[String],
        thresholds: &[f64],
    ) -> Result<Self, HeadError> {
        let n_samples = truth.nrows();
        check_scores(probabilities.dim(), truth.dim())?;
        for n in [labels.len(), thresholds.len()] {
            check_scores((n_samples, n), truth.dim())?;
        }
        let is_given = |sample: usize, label: usize| probabilities[[sample, label]] >= thresholds[label];
        let has = |sample: usize, label: usize| truth[[sample, label]] > 0.5;
        let (mut hits, mut given, mut had, mut n_exact) = (0, 0, 0, 0);
        let mut scores = Vec::with_capacity(labels.len());
        for (label, name) in labels.iter().enumerate() {
            let count = |which: &dyn Fn(usize) -> bool| (0..n_samples).filter(|it| which(*it)).count();
            let of_label = count(&|it| is_given(it, label) && has(it, label));
            let [n_given, support] = [count(&|it| is_given(it, label)), count(&|it| has(it, label))];
            scores.push(LabelScore {
                label: name.clone(),
                support,
                threshold: thresholds[label],
                precision: ratio(of_label, n_given),
                recall: ratio(of_label, support),
                f1: ratio(2 * of_label, n_given + support),
                average_precision: average_precision(probabilities.column(label), truth.column(label)),
            });
            (hits, given, had) = (hits + of_label, given + n_given, had + support);
        }
        let mut log_loss = 0.0;
        for (sample, row) in probabilities.outer_iter().enumerate() {
            n_exact += usize::from((0..labels.len()).all(|it| is_given(sample, it) == has(sample, it)));
            for (label, p) in row.iter().enumerate() {
                let p = if has(sample, label) { *p } else { 1.0 - p };
                log_loss -= p.max(f64::MIN_POSITIVE).ln();
            }
        }
        let precisions: Vec<f64> = scores.iter().filter_map(|it| it.average_precision).collect();
        Ok(Self {
            n_samples,
            exact_match: ratio(n_exact, n_samples),
            micro_f1: ratio(2 * hits, given + had),
            macro_f1: mean(&scores.iter().map(|it| it.f1).collect::<Vec<_>>()),
            mean_average_precision: mean(&precisions),
            log_loss: log_loss / (n_samples * labels.len()).max(1) as f64,
            labels: scores,
        })
    }
}

/// For each label the threshold at which its F1 score is largest, halfway between the two probabilities it
/// separates. 0.5 where fewer than `min_support` samples have the label, and where giving it to all of them
/// would be best: out of fold that says that it cannot be predicted, not that all should have it.
///
/// # Shapes
/// - `probabilities`, `truth`: `(n_samples, n_labels)`, as for [`MultilabelReport::new`]; probabilities
///   should be of samples that were not fitted on.
///
/// # Source
/// Lipton, Elkan & Naryanaswamy 2014, arXiv:1402.1892.
///
/// # Examples
/// ```
/// let (p, truth) = (ndarray::array![[0.1], [0.2], [0.3]], ndarray::array![[0.0], [1.0], [1.0]]);
/// assert!((headstart_head::f1_thresholds(p.view(), truth.view(), 1)[0] - 0.15).abs() < 1e-12);
/// ```
#[must_use]
pub fn f1_thresholds(
    probabilities: ArrayView2<'_, f64>,
    truth: ArrayView2<'_, f64>,
    min_support: usize,
) -> Vec<f64> {
    let columns = probabilities.columns().into_iter().zip(truth.columns());
    columns.map(|(p, truth)| threshold(p, truth, min_support)).collect()
}

/// Probability from which on a label is given where nothing better is known.
pub const DEFAULT_THRESHOLD: f64 = 0.5;

fn threshold(probabilities: ArrayView1<'_, f64>, truth: ArrayView1<'_, f64>, min_support: usize) -> f64 {
    let groups = from_the_top(probabilities, truth);
    let support: usize = groups.iter().map(|it| it.1).sum();
    let (mut best, mut best_f1) = (DEFAULT_THRESHOLD, 0.0);
    if support < min_support {
        return best;
    }
    let (mut n_given, mut hits) = (0, 0);
    for (index, (p, of_truth, count)) in groups.iter().enumerate() {
        (n_given, hits) = (n_given + count, hits + of_truth);
        let f1 = ratio(2 * hits, n_given + support);
        if f1 > best_f1 {
            let between = |below: &(f64, usize, usize)| 0.5 * (p + below.0);
            (best, best_f1) = (groups.get(index + 1).map_or(DEFAULT_THRESHOLD, between), f1);
        }
    }
    best
}

/// Precision wherever recall grows, weighed by how much it does.
fn average_precision(probabilities: ArrayView1<'_, f64>, truth: ArrayView1<'_, f64>) -> Option<f64> {
    let groups = from_the_top(probabilities, truth);
    let support: usize = groups.iter().map(|it| it.1).sum();
    let (mut n_given, mut hits, mut sum) = (0, 0, 0.0);
    for (_, of_truth, count) in groups {
        (n_given, hits) = (n_given + count, hits + of_truth);
        sum += ratio(hits, n_given) * of_truth as f64;
    }
    (support > 0).then(|| sum / support as f64)
}

/// The distinct probabilities from large to small, and how many samples of each have the label and are.
fn from_the_top(probabilities: ArrayView1<'_, f64>, truth: ArrayView1<'_, f64>) -> Vec<(f64, usize, usize)> {
    let mut pairs: Vec<(f64, bool)> =
        probabilities.iter().copied().zip(truth.iter().map(|it| *it > 0.5)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut groups: Vec<(f64, usize, usize)> = Vec::new();
    for (p, has) in pairs {
        match groups.last_mut() {
            Some(last) if last.0.total_cmp(&p).is_eq() => {
                *last = (p, last.1 + usize::from(has), last.2 + 1);
            }
            _ => groups.push((p, usize::from(has), 1)),
        }
    }
    groups
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}
