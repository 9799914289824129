//! One class a sample.

use std::collections::BTreeSet;

use headstart_head::{
    Activation, DenseLayer, Logistic, LogisticFit, Outputs, Task, Watch, balanced_weights, fit_with_linfa,
    one_hot,
};
use ndarray::{Array2, Axis, concatenate};

use super::config::{FitConfig, HeadConfig, LogisticHead, Solver};
use super::rows::Training;
use super::{FEW_HELD_OUT, How, Solved, choose_alpha, columns_for, hidden, numbers};
use crate::error::Error;
use crate::event::{Events, Note, note};

pub(super) fn fit(
    config: &FitConfig,
    training: &Training<'_>,
    events: &mut Events<'_>,
) -> Result<Solved, Error> {
    // Only classes that are trained on: a class seen in validation alone has nothing to learn from.
    let labels: BTreeSet<String> = training.rows.iter().map(|it| training.samples.class(*it)).collect();
    let labels: Vec<String> = labels.into_iter().collect();
    if let [label] = &labels[..] {
        return Err(Error::OneClass { label: label.clone() });
    }
    let y = training.classes(&training.rows, &labels);
    let mut class_counts = vec![0; labels.len()];
    y.iter().for_each(|it| class_counts[*it] += 1);
    let alone = labels.iter().zip(&class_counts).filter(|it| *it.1 == 1);
    let alone: Vec<String> = alone.map(|it| it.0.clone()).collect();
    if !alone.is_empty() {
        note(events, Note::OneSample { labels: alone });
    }
    let (layers, how) = match &config.head {
        HeadConfig::Logistic(head) => logistic(head, config.seed, training, &labels, &y, events)?,
        HeadConfig::Linear(head) => {
            // Scores of classes are no probabilities; softmax keeps their order and makes them sum to 1.
            let targets = one_hot(&y, labels.len());
            numbers::ridge(head, training, targets.view(), Activation::Softmax, events)?
        }
        HeadConfig::Mlp(head) => {
            let weights = head.balanced.then(|| balanced_weights(&y, labels.len()));
            let of_samples = weights.as_ref().map(|it| weigh(it, &y));
            let targets = one_hot(&y, labels.len());
            let samples =
                hidden::Targets { targets: targets.view(), strata: &y, weights: of_samples.as_deref() };
            hidden::fit(head, config.seed, training, &samples, Activation::Softmax, events)?
        }
    };
    let outputs = Outputs { task: Task::Classification, labels, ..Outputs::default() };
    // Decided by probabilities of classes that are equally frequent: that is what balancing is for.
    let share = |it: &usize| *it as f64 / y.len() as f64;
    let shares = if config.balanced() { class_counts.iter().map(share).collect() } else { Vec::new() };
    Ok(Solved { layers, outputs: Outputs { shares, ..outputs }, class_counts, how })
}

fn logistic(
    head: &LogisticHead,
    seed: u64,
    training: &Training<'_>,
    labels: &[String],
    y: &[usize],
    events: &mut Events<'_>,
) -> Result<(Vec<DenseLayer>, How), Error> {
    let n_classes = labels.len();
    let class_weights = head.balanced.then(|| balanced_weights(y, n_classes));
    let weights = class_weights.as_ref().map(|it| weigh(it, y));
    let samples = Logistic::new(&training.x, y, n_classes, weights.as_deref(), head.standardize)?;
    let path = |watch: &Watch<'_>| match &training.part {
        None => {
            let samples = samples.watched(watch);
            let folds = training.folds(head, y, seed);
            head.path(
                |alphas, side| samples.select_alpha(&folds, alphas, side),
                |it| samples.cross_validate(&folds, it),
            )
        }
        Some(part) => {
            let y = part.classes(&part.rows, labels);
            let weights = class_weights.as_ref().map(|it| weigh(it, &y));
            let samples = Logistic::new(&part.x, &y, n_classes, weights.as_deref(), head.standardize)?;
            let samples = samples.watched(watch);
            let folds = part.folds(head, &y, seed);
            head.path(
                |alphas, side| samples.select_alpha(&folds, alphas, side),
                |it| samples.cross_validate(&folds, it),
            )
        }
    };
    let (alpha, path) = choose_alpha(head, path, events)?;
    let config = head.at(alpha);
    let fit = match (head.solver, head.start.as_deref()) {
        (Solver::Linfa, _) => fit_with_linfa(training.in_memory()?, y, n_classes, &config)?,
        (Solver::Headstart, None) => samples.fit(&config)?,
        (Solver::Headstart, Some(start)) => {
            let (coef, intercept, certificate) = columns_for(start, labels)?;
            samples.fit_from(&LogisticFit { coef, intercept, certificate }, &config)?
        }
    };
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Softmax };
    let certificate = Some(fit.certificate);
    let out_of_fold = match training.part {
        None if training.held_out.len() < FEW_HELD_OUT => {
            let folds = training.folds(head, y, seed);
            // Too few for folds: nothing is told then.
            samples.out_of_fold(&folds, alpha).ok().map(probabilities)
        }
        _ => None,
    };
    Ok((vec![layer], How { alpha: Some(alpha), path, certificate, out_of_fold, ..How::default() }))
}

/// Logits to probabilities; one column is the log-odds of the second of two classes.
fn probabilities(logits: Array2<f64>) -> Array2<f64> {
    if logits.ncols() == 1 {
        let second = logits.mapv(|it| 1.0 / (1.0 + (-it).exp()));
        return concatenate![Axis(1), second.mapv(|it| 1.0 - it), second];
    }
    let mut all = logits;
    for mut row in all.rows_mut() {
        let max = row.fold(f64::NEG_INFINITY, |max, it| max.max(*it));
        row.mapv_inplace(|it| (it - max).exp());
        let sum = row.sum();
        row /= sum;
    }
    all
}

/// The weight of each sample, by those of the classes.
fn weigh(by_class: &[f64], y: &[usize]) -> Vec<f64> {
    y.iter().map(|it| by_class[*it]).collect()
}
