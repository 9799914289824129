//! Any number of labels a sample.

use headstart_head::{
    Activation, AlphaPath, DEFAULT_THRESHOLD, DenseLayer, HeadError, OneVsRest, OneVsRestFit, Outputs, Task,
    Watch, f1_thresholds,
};
use ndarray::{Array1, Array2, Axis};

use super::config::{FitConfig, HeadConfig, LogisticHead};
use super::rows::{Features, Training};
use super::{How, Solved, choose_alpha, columns_for, hidden};
use crate::error::Error;
use crate::event::{Events, Note, note};

/// Samples that must have a label for a threshold to be chosen: two a fold.
const MIN_SUPPORT: usize = 10;

pub(super) fn fit(
    config: &FitConfig,
    training: &Training<'_>,
    events: &mut Events<'_>,
) -> Result<Solved, Error> {
    let labels = training.samples.all_labels(&training.rows);
    if labels.is_empty() {
        return Err(Error::NoTrainingLabels);
    }
    let truth = training.samples.indicator(&training.rows, &labels);
    let class_counts = supports(&truth);
    let n = training.rows.len();
    let (varied, constant): (Vec<usize>, Vec<usize>) =
        (0..labels.len()).partition(|it| class_counts[*it] < n);
    if varied.is_empty() {
        return Err(Error::OneClass { label: labels[0].clone() });
    }
    let names = |columns: &[usize]| columns.iter().map(|it| labels[*it].clone()).collect::<Vec<_>>();
    if !constant.is_empty() {
        note(events, Note::ConstantLabels { n_samples: n, labels: names(&constant) });
    }
    let (layers, thresholds, how) = match &config.head {
        HeadConfig::Mlp(head) => {
            let strata = combinations(&truth);
            let targets = hidden::Targets { targets: truth.view(), strata: &strata, weights: None };
            let (layers, how) =
                hidden::fit(head, config.seed, training, &targets, Activation::Sigmoid, events)?;
            (layers, vec![DEFAULT_THRESHOLD; labels.len()], how)
        }
        HeadConfig::Logistic(head) => {
            let of_varied = truth.select(Axis(1), &varied);
            let fitted = one_vs_rest(head, config.seed, training, &names(&varied), &of_varied, events)?;
            let (layer, thresholds, how) = fitted;
            let (layer, thresholds) = with_constant(layer, &thresholds, &varied, labels.len(), n);
            (vec![layer], thresholds, how)
        }
        HeadConfig::Linear(_) => unreachable!("a linear head is not asked for several labels"),
    };
    let outputs = Outputs { task: Task::Multilabel, labels, thresholds, ..Outputs::default() };
    Ok(Solved { layers, outputs, class_counts, how })
}

/// A layer of all labels from that of the varied ones: one that all of `n_samples` have is given always, with the
/// probability that a rule of succession gives it, (n + 1) / (n + 2). It is not fitted: its best bias is infinite.
fn with_constant(
    layer: DenseLayer,
    thresholds: &[f64],
    varied: &[usize],
    n_labels: usize,
    n_samples: usize,
) -> (DenseLayer, Vec<f64>) {
    let mut weight = Array2::zeros((layer.weight.nrows(), n_labels));
    let mut bias = Array1::from_elem(n_labels, (n_samples as f64 + 1.0).ln());
    let mut all = vec![DEFAULT_THRESHOLD; n_labels];
    for (from, to) in varied.iter().enumerate() {
        weight.column_mut(*to).assign(&layer.weight.column(from));
        (bias[*to], all[*to]) = (layer.bias[from], thresholds[from]);
    }
    (DenseLayer { weight, bias, activation: layer.activation }, all)
}

fn one_vs_rest(
    head: &LogisticHead,
    seed: u64,
    training: &Training<'_>,
    labels: &[String],
    truth: &Array2<f64>,
    events: &mut Events<'_>,
) -> Result<(DenseLayer, Vec<f64>, How), Error> {
    let columns = columns_of(truth);
    let samples = OneVsRest::new(&training.x, &columns, None, head.standardize)?;
    let Chosen { alpha, path, thresholds } = match &training.part {
        None => {
            let folds = training.folds(head, &combinations(truth), seed);
            choose(head, Some(&samples), truth, labels, &folds, events)?
        }
        Some(part) => {
            let truth = part.samples.indicator(&part.rows, labels);
            let folds = part.folds(head, &combinations(&truth), seed);
            let columns = columns_of(&truth);
            match OneVsRest::new(&part.x, &columns, None, head.standardize) {
                Ok(samples) => choose(head, Some(&samples), &truth, labels, &folds, events)?,
                // A label that nobody in the part has, or everybody: nothing can be chosen on it.
                Err(HeadError::TooFewClasses { .. } | HeadError::NoSamples) => {
                    choose(head, None, &truth, labels, &folds, events)?
                }
                Err(err) => return Err(err.into()),
            }
        }
    };
    let config = head.at(alpha);
    let fit = match head.start.as_deref() {
        None => samples.fit(&config)?,
        Some(start) => {
            let (coef, intercept, certificate) = columns_for(start, labels)?;
            samples.fit_from(&OneVsRestFit { coef, intercept, certificate }, &config)?
        }
    };
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Sigmoid };
    let certificate = Some(fit.certificate);
    Ok((layer, thresholds, How { alpha: Some(alpha), path, certificate, ..How::default() }))
}

/// What is chosen by cross-validation.
struct Chosen {
    alpha: f64,
    path: Option<AlphaPath>,
    thresholds: Vec<f64>,
}

/// Chooses alpha and thresholds on samples in memory: `truth` and `folds` are of these.
fn choose(
    head: &LogisticHead,
    samples: Option<&OneVsRest<'_, Features>>,
    truth: &Array2<f64>,
    labels: &[String],
    folds: &[usize],
    events: &mut Events<'_>,
) -> Result<Chosen, Error> {
    let samples = || samples.ok_or(HeadError::TooFewFolds { found: 0 });
    let path = |watch: &Watch<'_>| {
        let samples = samples()?.watched(watch);
        head.path(
            |alphas, side| samples.select_alpha(folds, alphas, side),
            |it| samples.cross_validate(folds, it),
        )
    };
    let (alpha, path) = choose_alpha(head, path, events)?;
    let thresholds = match samples().and_then(|it| it.out_of_fold(folds, alpha)) {
        Ok(probabilities) => {
            let rare = supports(truth).into_iter().zip(labels).filter(|it| it.0 < MIN_SUPPORT);
            let labels: Vec<String> = rare.map(|it| it.1.clone()).collect();
            if !labels.is_empty() {
                let (min_support, threshold) = (MIN_SUPPORT, DEFAULT_THRESHOLD);
                note(events, Note::RareLabels { min_support, threshold, labels });
            }
            f1_thresholds(probabilities.view(), truth.view(), MIN_SUPPORT)
        }
        Err(err @ HeadError::TooFewFolds { .. }) => {
            let (reason, threshold) = (err.to_string(), DEFAULT_THRESHOLD);
            note(events, Note::DefaultThresholds { reason, threshold });
            vec![DEFAULT_THRESHOLD; labels.len()]
        }
        Err(err) => return Err(err.into()),
    };
    Ok(Chosen { alpha, path, thresholds })
}

/// How many samples have each label.
fn supports(truth: &Array2<f64>) -> Vec<usize> {
    truth.columns().into_iter().map(|it| it.iter().filter(|it| **it > 0.5).count()).collect()
}

/// For each label which samples have it.
fn columns_of(truth: &Array2<f64>) -> Vec<Vec<usize>> {
    truth.columns().into_iter().map(|it| it.iter().map(|it| usize::from(*it > 0.5)).collect()).collect()
}

/// A number for each combination of labels: what folds and splits keep in proportion.
fn combinations(truth: &Array2<f64>) -> Vec<usize> {
    let mut known: Vec<Vec<bool>> =
        truth.outer_iter().map(|row| row.iter().map(|it| *it > 0.5).collect()).collect();
    let all = known.clone();
    known.sort();
    known.dedup();
    all.iter().map(|it| known.binary_search(it).unwrap_or_default()).collect()
}
