//! How good predictions are.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::HeadError;

/// How good predicted classes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Samples judged.
    pub n_samples: usize,
    /// Share of samples whose class is predicted.
    pub accuracy: f64,
    /// Wilson score interval of the accuracy, 95%.
    pub accuracy_interval: [f64; 2],
    /// Mean over classes of the F1 score; classes neither present nor predicted do not count.
    pub macro_f1: f64,
    /// Mean negative log-likelihood of the true class.
    pub log_loss: f64,
    /// The classes, in the order of rows and columns of `confusion`.
    pub labels: Vec<String>,
    /// `confusion[i][j]`: samples of class `i` predicted as `j`.
    pub confusion: Vec<Vec<u64>>,
    /// Accuracy of always predicting the class that is most frequent in training.
    pub majority_accuracy: f64,
    /// That class.
    pub majority_class: String,
}

impl ClassificationReport {
    /// Compares probabilities with true classes.
    ///
    /// # Shapes
    /// - `probabilities`: `(n_samples, n_classes)`.
    /// - `truth`: `(n_samples,)`, class indices.
    /// - `labels`: `(n_classes,)`; `majority`: the most frequent class of the training samples.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::LabelCountMismatch`], [`HeadError::UnknownClass`].
    pub fn new(
        probabilities: ArrayView2<'_, f64>,
        truth: &[usize],
        labels: &[String],
        majority: usize,
    ) -> Result<Self, HeadError> {
        let n_classes = labels.len();
        check_scores(probabilities.dim(), (truth.len(), n_classes))?;
        if let Some(sample) = truth.iter().position(|it| *it >= n_classes) {
            return Err(HeadError::UnknownClass { sample, class: truth[sample], n_classes });
        }
        let mut confusion = vec![vec![0_u64; n_classes]; n_classes];
        let mut log_loss = 0.0;
        for (row, class) in probabilities.outer_iter().zip(truth) {
            confusion[*class][argmax(row.iter().copied())] += 1;
            log_loss -= row[*class].max(f64::MIN_POSITIVE).ln();
        }
        let n_samples = truth.len();
        let correct: u64 = (0..n_classes).map(|it| confusion[it][it]).sum();
        let of_majority = truth.iter().filter(|it| **it == majority).count();
        let share = |count: u64| {
            if n_samples == 0 { 0.0 } else { count as f64 / n_samples as f64 }
        };
        Ok(Self {
            n_samples,
            accuracy: share(correct),
            accuracy_interval: wilson_interval(correct, n_samples as u64),
            macro_f1: macro_f1(&confusion),
            log_loss: if n_samples == 0 { 0.0 } else { log_loss / n_samples as f64 },
            labels: labels.to_vec(),
            confusion,
            majority_accuracy: share(of_majority as u64),
            majority_class: labels.get(majority).cloned().unwrap_or_default(),
        })
    }
}

/// How good predicted numbers are, over all targets together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegressionReport {
    /// Samples judged.
    pub n_samples: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Root mean squared error.
    pub rmse: f64,
    /// Coefficient of determination, mean over targets; 0 is predicting the mean.
    pub r2: f64,
}

impl RegressionReport {
    /// Compares predictions with true values, both `(n_samples, n_targets)`.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::LabelCountMismatch`].
    pub fn new(predictions: ArrayView2<'_, f64>, truth: ArrayView2<'_, f64>) -> Result<Self, HeadError> {
        check_scores(predictions.dim(), truth.dim())?;
        let errors = &predictions - &truth;
        let n = errors.len().max(1) as f64;
        let r2 = truth.columns().into_iter().zip(errors.columns()).map(|(truth, errors)| {
            let mean = truth.mean().unwrap_or(0.0);
            let total: f64 = truth.iter().map(|it| (it - mean).powi(2)).sum();
            let left: f64 = errors.iter().map(|it| it * it).sum();
            // scikit-learn's convention for constant truth: 1 when exact, else 0.
            if total > 0.0 {
                1.0 - left / total
            } else if left == 0.0 {
                1.0
            } else {
                0.0
            }
        });
        Ok(Self {
            n_samples: truth.nrows(),
            mae: errors.iter().map(|it| it.abs()).sum::<f64>() / n,
            rmse: (errors.iter().map(|it| it * it).sum::<f64>() / n).sqrt(),
            r2: r2.sum::<f64>() / truth.ncols().max(1) as f64,
        })
    }
}

/// Refuses scores that do not have the shape of the truth, `(n_samples, n_labels)`.
pub(crate) fn check_scores(
    (x_rows, actual): (usize, usize),
    (y_len, expected): (usize, usize),
) -> Result<(), HeadError> {
    if x_rows != y_len {
        return Err(HeadError::SampleCountMismatch { x_rows, y_len });
    }
    if actual != expected { Err(HeadError::LabelCountMismatch { expected, actual }) } else { Ok(()) }
}

/// Index of the largest value, the first of equals.
#[must_use]
pub fn argmax(values: impl IntoIterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, value) in values.into_iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0
}

/// Wilson score interval of a share, 95%.
///
/// # Source
/// Wilson 1927, J. Am. Stat. Assoc. 22, 209–212.
///
/// # Examples
/// ```
/// let [low, high] = headstart_head::wilson_interval(8, 10);
/// assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4);
/// ```
#[must_use]
pub fn wilson_interval(successes: u64, trials: u64) -> [f64; 2] {
    if trials == 0 {
        return [0.0, 1.0];
    }
    // 97.5% quantile of the normal distribution.
    let z = 1.959_963_984_540_054;
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let centre = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// How surely one of two predictions is better than the other on the same samples: the two-sided p-value of the exact
/// sign test on those where just one is right.
///
/// # Panics
/// Where the two are not as long.
///
/// # Source
/// McNemar 1947, Psychometrika 12, 153–157, with the binomial distribution in place of its limit.
///
/// # Examples
/// ```
/// use headstart_head::mcnemar;
/// // Five samples that only one is right on: 2 / 2⁵.
/// assert_eq!(mcnemar(&[true; 5], &[false; 5]), 0.0625);
/// assert_eq!(mcnemar(&[true, false], &[false, true]), 1.0);
/// ```
#[must_use]
pub fn mcnemar(a: &[bool], b: &[bool]) -> f64 {
    assert_eq!(a.len(), b.len(), "of the same samples");
    let count = |x: &[bool], y: &[bool]| x.iter().zip(y).filter(|it| *it.0 && !*it.1).count();
    let (only_a, only_b) = (count(a, b), count(b, a));
    let n = only_a + only_b;
    // The smaller tail of the binomial, its terms by their logarithms: 2⁻ⁿ alone would vanish.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for k in 0..only_a.min(only_b) {
        log_term += ((n - k) as f64 / (k + 1) as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

fn macro_f1(confusion: &[Vec<u64>]) -> f64 {
    let n_classes = confusion.len();
    let scores = (0..n_classes).filter_map(|class| {
        let hits = confusion[class][class];
        let present: u64 = confusion[class].iter().sum();
        let predicted: u64 = confusion.iter().map(|row| row[class]).sum();
        (present + predicted > 0).then(|| 2.0 * hits as f64 / (present + predicted) as f64)
    });
    let scores: Vec<f64> = scores.collect();
    if scores.is_empty() { 0.0 } else { scores.iter().sum::<f64>() / scores.len() as f64 }
}

/// One column a class: 1 for the sample's own, 0 for the others.
#[must_use]
pub fn one_hot(classes: &[usize], n_classes: usize) -> Array2<f64> {
    Array2::from_shape_fn((classes.len(), n_classes), |(i, j)| if classes[i] == j { 1.0 } else { 0.0 })
}
