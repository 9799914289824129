//! One class a sample.

use anyhow::{Result, ensure};
use headstart_head::{
    Activation, DenseLayer, HeadModel, Logistic, LogisticFit, balanced_weights, correct_prior,
    fit_with_linfa, one_hot,
};

use super::options::{FitOptions, HeadKind, Solver};
use super::rows::Training;
use super::{Fitted, How, choose_alpha, columns_for, hidden, logistic_config, numbers};

pub(crate) fn fit(
    options: &FitOptions,
    training: &Training<'_>,
    start: Option<&HeadModel>,
) -> Result<Fitted> {
    // Only classes that are trained on: a class seen in validation alone has nothing to learn from.
    let mut labels: Vec<String> =
        training.samples.iter().map(|it| training.labelled.label(*it).to_owned()).collect();
    labels.sort();
    labels.dedup();
    ensure!(labels.len() > 1, "all training samples have the label `{}`: nothing to tell apart", labels[0]);
    let y = classes_of(training, &labels);
    let mut class_counts = vec![0; labels.len()];
    y.iter().for_each(|it| class_counts[*it] += 1);
    let (layers, how) = match options.head {
        HeadKind::Logistic => logistic(options, training, &labels, &y, start)?,
        HeadKind::Linear => {
            // Scores of classes are no probabilities; softmax keeps their order and makes them sum to 1.
            numbers::ridge(options, training, one_hot(&y, labels.len()).view(), Activation::Softmax)?
        }
        HeadKind::Mlp => {
            let weights = options.balanced.then(|| balanced_weights(&y, labels.len()));
            let of_samples: Option<Vec<f64>> =
                weights.as_ref().map(|by_class| y.iter().map(|it| by_class[*it]).collect());
            let targets = one_hot(&y, labels.len());
            let activation = Activation::Softmax;
            let strata =
                hidden::Samples { targets: targets.view(), strata: &y, weights: of_samples.as_deref() };
            let (mut layers, how) = hidden::fit(options, training, &strata, activation)?;
            if let (Some(weights), Some(last)) = (weights, layers.last_mut()) {
                correct_prior(&mut last.bias, &weights);
            }
            (layers, how)
        }
    };
    Ok(Fitted { layers, labels, class_counts, thresholds: Vec::new(), how })
}

/// The class of each training sample.
fn classes_of(training: &Training<'_>, labels: &[String]) -> Vec<usize> {
    let class = |it: &usize| {
        labels
            .binary_search_by(|label| label.as_str().cmp(training.labelled.label(*it)))
            .expect("labels hold every training label")
    };
    training.samples.iter().map(class).collect()
}

fn logistic(
    options: &FitOptions,
    training: &Training<'_>,
    labels: &[String],
    y: &[usize],
    start: Option<&HeadModel>,
) -> Result<(Vec<DenseLayer>, How)> {
    let (n_classes, standardize) = (labels.len(), !options.no_standardize);
    let class_weights = options.balanced.then(|| balanced_weights(y, n_classes));
    let weigh = |y: &[usize]| -> Option<Vec<f64>> {
        class_weights.as_ref().map(|by_class| y.iter().map(|it| by_class[*it]).collect())
    };
    let weights = weigh(y);
    let samples = Logistic::new(&training.rows, y, n_classes, weights.as_deref(), standardize)?;
    let (alpha, path) = choose_alpha(options, start, || match &training.part {
        None => samples.cross_validate(&training.folds(options, y), &options.alphas()),
        Some(part) => {
            let y = classes_of(part, labels);
            let weights = weigh(&y);
            Logistic::new(&part.rows, &y, n_classes, weights.as_deref(), standardize)?
                .cross_validate(&part.folds(options, &y), &options.alphas())
        }
    })?;
    let config = logistic_config(options, alpha);
    let mut fit = match (options.solver, start) {
        (Solver::Linfa, _) => fit_with_linfa(training.x()?, y, n_classes, &config)?,
        (Solver::Headstart, None) => samples.fit(&config)?,
        (Solver::Headstart, Some(start)) => {
            let (coef, intercept, certificate) = columns_for(start, labels)?;
            samples.fit_from(&LogisticFit { coef, intercept, certificate }, &config)?
        }
    };
    if let Some(class_weights) = class_weights {
        correct_prior(&mut fit.intercept, &class_weights);
    }
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Softmax };
    let certificate = Some(fit.certificate);
    Ok((vec![layer], How { alpha: Some(alpha), path, certificate, training: None }))
}
