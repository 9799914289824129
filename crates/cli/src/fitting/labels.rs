//! Any number of labels a sample.

use anyhow::{Result, ensure};
use headstart_head::{
    Activation, DEFAULT_THRESHOLD, DenseLayer, HeadError, HeadModel, OneVsRest, OneVsRestFit, f1_thresholds,
};
use ndarray::Array2;

use super::options::{FitOptions, HeadKind};
use super::rows::Training;
use super::{Fitted, How, choose_alpha, columns_for, hidden, logistic_config};
use crate::report;

/// Samples that must have a label for a threshold to be chosen: two a fold.
const MIN_SUPPORT: usize = 10;

pub(crate) fn fit(
    options: &FitOptions,
    training: &Training<'_>,
    start: Option<&HeadModel>,
) -> Result<Fitted> {
    let labels = training.labelled.all_labels(&training.samples);
    ensure!(!labels.is_empty(), "no training sample has a label");
    let truth = training.labelled.indicator(&training.samples, &labels);
    let counts: Vec<usize> =
        truth.columns().into_iter().map(|it| it.iter().filter(|it| **it > 0.5).count()).collect();
    if let Some(label) = counts.iter().position(|it| *it == training.samples.len()) {
        let label = &labels[label];
        anyhow::bail!("all training samples have the label `{label}`: nothing to tell apart");
    }
    let (layers, thresholds, how) = match options.head {
        HeadKind::Mlp => {
            let strata = combinations(&truth);
            let samples = hidden::Samples { targets: truth.view(), strata: &strata, weights: None };
            let (layers, how) = hidden::fit(options, training, &samples, Activation::Sigmoid)?;
            (layers, vec![DEFAULT_THRESHOLD; labels.len()], how)
        }
        _ => one_vs_rest(options, training, &labels, &truth, start)?,
    };
    Ok(Fitted { layers, labels, class_counts: counts, thresholds, how })
}

fn one_vs_rest(
    options: &FitOptions,
    training: &Training<'_>,
    labels: &[String],
    truth: &Array2<f64>,
    start: Option<&HeadModel>,
) -> Result<(Vec<DenseLayer>, Vec<f64>, How)> {
    let standardize = !options.no_standardize;
    let columns = columns_of(truth);
    let samples = OneVsRest::new(&training.rows, &columns, None, standardize)?;
    // Alpha and thresholds are chosen on what is in memory.
    let (part_truth, part_columns);
    let part = training.in_memory();
    let (on, judged) = match &training.part {
        None => (None, truth),
        Some(part) => {
            part_truth = part.labelled.indicator(&part.samples, labels);
            part_columns = columns_of(&part_truth);
            match OneVsRest::new(&part.rows, &part_columns, None, standardize) {
                Ok(of_part) => (Some(of_part), &part_truth),
                // A label that nobody in the part has, or everybody: nothing can be chosen on it.
                Err(HeadError::TooFewClasses { .. } | HeadError::NoSamples) => (None, &part_truth),
                Err(err) => return Err(err.into()),
            }
        }
    };
    let on = if training.part.is_some() { on.as_ref() } else { Some(&samples) };
    let on = || on.ok_or(HeadError::TooFewFolds { found: 0 });
    let folds = part.folds(options, &combinations(judged));
    let (alpha, path) = choose_alpha(options, start, || on()?.cross_validate(&folds, &options.alphas()))?;
    let thresholds = match on().and_then(|it| it.out_of_fold(&folds, alpha)) {
        Ok(probabilities) => {
            let rare = judged.columns().into_iter().zip(labels);
            let rare = rare.filter(|it| it.0.iter().filter(|it| **it > 0.5).count() < MIN_SUPPORT);
            let rare: Vec<&str> = rare.map(|it| it.1.as_str()).collect();
            if !rare.is_empty() {
                report::say(format!(
                    "fewer than {MIN_SUPPORT} samples have these labels, which are given from probability \
                     {DEFAULT_THRESHOLD} on then: {}",
                    rare.join(", ")
                ));
            }
            f1_thresholds(probabilities.view(), judged.view(), MIN_SUPPORT)
        }
        Err(err @ HeadError::TooFewFolds { .. }) => {
            report::say(format!("{err}; labels are given from probability {DEFAULT_THRESHOLD} on then"));
            vec![DEFAULT_THRESHOLD; labels.len()]
        }
        Err(err) => return Err(err.into()),
    };
    let config = logistic_config(options, alpha);
    let fit = match start {
        None => samples.fit(&config)?,
        Some(start) => {
            let (coef, intercept, certificate) = columns_for(start, labels)?;
            samples.fit_from(&OneVsRestFit { coef, intercept, certificate }, &config)?
        }
    };
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Sigmoid };
    let certificate = Some(fit.certificate);
    Ok((vec![layer], thresholds, How { alpha: Some(alpha), path, certificate, training: None }))
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
