//! Numbers; and ridge regression, whatever its targets mean.

use headstart_head::{Activation, DenseLayer, Outputs, Ridge, Scaler, Task, default_alphas};
use ndarray::{ArrayView2, Axis};

use super::config::{FitConfig, HeadConfig, LinearHead};
use super::rows::Training;
use super::{DEFAULT_ALPHA, How, Solved, hidden, note_edge};
use crate::error::Error;
use crate::event::{Events, Note, note};

pub(super) fn fit(
    config: &FitConfig,
    training: &Training<'_>,
    events: &mut Events<'_>,
) -> Result<Solved, Error> {
    let targets = training.samples.targets()?.select(Axis(0), &training.rows);
    let (layers, how) = match &config.head {
        HeadConfig::Mlp(head) => {
            // One stratum: numbers have no classes to keep in proportion.
            let strata = vec![0; targets.nrows()];
            let samples = hidden::Targets { targets: targets.view(), strata: &strata, weights: None };
            hidden::fit(head, config.seed, training, &samples, Activation::Identity, events)?
        }
        HeadConfig::Linear(head) => ridge(head, training, targets.view(), Activation::Identity, events)?,
        HeadConfig::Logistic(_) => unreachable!("a logistic head is not asked for numbers"),
    };
    let labels = match targets.ncols() {
        1 => vec!["target".to_owned()],
        n => (0..n).map(|it| format!("target_{it}")).collect(),
    };
    let outputs = Outputs { task: Task::Regression, labels, ..Outputs::default() };
    Ok(Solved { layers, outputs, class_counts: Vec::new(), how })
}

/// Ridge at the alpha asked for, or at the one with the smallest leave-one-out error.
pub(super) fn ridge(
    head: &LinearHead,
    training: &Training<'_>,
    y: ArrayView2<'_, f64>,
    activation: Activation,
    events: &mut Events<'_>,
) -> Result<(Vec<DenseLayer>, How), Error> {
    let x = training.in_memory()?;
    let scaler = head.standardize.then(|| Scaler::fit(x));
    let ridge = match &scaler {
        Some(scaler) => Ridge::new(scaler.transform(x).view(), y)?,
        None => Ridge::new(x, y)?,
    };
    let alpha = match head.alpha {
        Some(alpha) => alpha,
        None => best_alpha(head, &ridge, training, events)?,
    };
    let mut fit = ridge.fit(alpha)?;
    if let Some(scaler) = scaler {
        (fit.coef, fit.intercept) = scaler.fold(&fit.coef, &fit.intercept);
    }
    let layer = DenseLayer { weight: fit.coef, bias: fit.intercept, activation };
    let certificate = Some(fit.certificate);
    Ok((vec![layer], How { alpha: Some(alpha), certificate, ..How::default() }))
}

fn best_alpha(
    head: &LinearHead,
    ridge: &Ridge,
    training: &Training<'_>,
    events: &mut Events<'_>,
) -> Result<f64, Error> {
    let alphas = head.alphas.clone().unwrap_or_else(default_alphas);
    let groups = training.samples.groups_of(&training.rows);
    let mut best: Option<(f64, f64)> = None;
    for alpha in &alphas {
        let residuals = ridge.leave_group_out(*alpha, &groups)?;
        let error = residuals.iter().map(|it| it * it).sum::<f64>();
        if error.is_finite() && best.is_none_or(|it| error < it.0) {
            best = Some((error, *alpha));
        }
    }
    let Some((_, alpha)) = best else {
        let reason = "nothing is left when a group is left out".to_owned();
        note(events, Note::DefaultAlpha { reason, alpha: DEFAULT_ALPHA });
        return Ok(DEFAULT_ALPHA);
    };
    note_edge(alpha, &alphas, events);
    Ok(alpha)
}
