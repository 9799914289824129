//! Numbers; and ridge regression, whatever its targets mean.

use anyhow::Result;
use headstart_head::{Activation, DenseLayer, Ridge, Scaler};
use ndarray::{ArrayView2, Axis};

use super::options::{FitOptions, HeadKind};
use super::rows::Training;
use super::{DEFAULT_ALPHA, Fitted, How, hidden, warn_of_edge};
use crate::report;

pub(crate) fn fit(options: &FitOptions, training: &Training<'_>) -> Result<Fitted> {
    let targets = training.labelled.targets()?.select(Axis(0), &training.samples);
    let (layers, how) = match options.head {
        HeadKind::Mlp => {
            // One stratum: numbers have no classes to keep in proportion.
            let strata = vec![0; targets.nrows()];
            let samples = hidden::Samples { targets: targets.view(), strata: &strata, weights: None };
            hidden::fit(options, training, &samples, Activation::Identity)?
        }
        _ => ridge(options, training, targets.view(), Activation::Identity)?,
    };
    let labels = match targets.ncols() {
        1 => vec!["target".to_owned()],
        n => (0..n).map(|it| format!("target_{it}")).collect(),
    };
    Ok(Fitted { layers, labels, class_counts: Vec::new(), thresholds: Vec::new(), how })
}

/// Ridge at the alpha asked for, or at the one with the smallest leave-one-out error.
pub(crate) fn ridge(
    options: &FitOptions,
    training: &Training<'_>,
    y: ArrayView2<'_, f64>,
    activation: Activation,
) -> Result<(Vec<DenseLayer>, How)> {
    let x = training.x()?;
    let scaler = (!options.no_standardize).then(|| Scaler::fit(x));
    let ridge = match &scaler {
        Some(scaler) => Ridge::new(scaler.transform(x).view(), y)?,
        None => Ridge::new(x, y)?,
    };
    let alpha = match options.alpha {
        Some(alpha) => alpha,
        None => {
            let groups = training.labelled.groups_of(&training.samples);
            let mut best: Option<(f64, f64)> = None;
            let alphas = options.alphas();
            for alpha in &alphas {
                let residuals = ridge.leave_group_out(*alpha, &groups)?;
                let error = residuals.iter().map(|it| it * it).sum::<f64>();
                if error.is_finite() && best.is_none_or(|it| error < it.0) {
                    best = Some((error, *alpha));
                }
            }
            let Some((_, alpha)) = best else {
                report::say(format!(
                    "nothing is left when a group is left out; alpha is {DEFAULT_ALPHA} then"
                ));
                return finish(&ridge, DEFAULT_ALPHA, scaler, activation);
            };
            warn_of_edge(alpha, &alphas);
            alpha
        }
    };
    finish(&ridge, alpha, scaler, activation)
}

fn finish(
    ridge: &Ridge,
    alpha: f64,
    scaler: Option<Scaler>,
    activation: Activation,
) -> Result<(Vec<DenseLayer>, How)> {
    let mut fit = ridge.fit(alpha)?;
    if let Some(scaler) = scaler {
        (fit.coef, fit.intercept) = scaler.fold(&fit.coef, &fit.intercept);
    }
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation };
    let certificate = Some(fit.certificate);
    Ok((vec![layer], How { alpha: Some(alpha), certificate, ..How::default() }))
}
