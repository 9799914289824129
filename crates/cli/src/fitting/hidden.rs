//! A hidden layer, trained.

use anyhow::Result;
use headstart_head::{
    Activation, DenseLayer, Epoch, LossName, MlpSamples, TrainingRecord, fit_mlp, stratified_split,
};
use ndarray::ArrayView2;

use super::How;
use super::options::FitOptions;
use super::rows::Training;
use crate::report;

/// Share of the training samples that early stopping listens to.
const EARLY_STOPPING: f64 = 0.1;

/// What the outputs are to become.
pub(crate) struct Samples<'a> {
    /// `(n_samples, n_outputs)`.
    pub(crate) targets: ArrayView2<'a, f64>,
    /// What early stopping's share is in proportion to.
    pub(crate) strata: &'a [usize],
    pub(crate) weights: Option<&'a [f64]>,
}

pub(crate) fn fit(
    options: &FitOptions,
    training: &Training<'_>,
    samples: &Samples<'_>,
    activation: Activation,
) -> Result<(Vec<DenseLayer>, How)> {
    let groups = training.labelled.groups_of(&training.samples);
    // Another draw than that of the held-out samples, which judge the head and stay out of this.
    let seed = options.seed.wrapping_add(1);
    let validation = stratified_split(samples.strata, &groups, EARLY_STOPPING, seed);
    let by_default =
        if activation == Activation::Identity { LossName::Squared } else { LossName::CrossEntropy };
    let name = options.hidden.loss.unwrap_or(by_default);
    let (loss, config) = (name.of(activation)?, options.mlp_config());
    let samples = MlpSamples {
        x: training.x()?,
        targets: samples.targets.reborrow(),
        weights: samples.weights,
        validation: &validation,
    };
    let fit = fit_mlp(&samples, activation, &loss, &config, &mut |epoch| report::say(line(epoch)))?;
    report::say(format!("epoch {} was best", fit.best_epoch));
    let (history, best_epoch) = (fit.history, fit.best_epoch);
    let record = TrainingRecord { loss: name, config, history, best_epoch };
    Ok((fit.layers.into(), How { training: Some(record), ..How::default() }))
}

fn line(epoch: &Epoch) -> String {
    let score = |loss: f64, accuracy: Option<f64>| match accuracy {
        Some(accuracy) => format!("loss {loss:.4}, accuracy {}", report::percent(accuracy)),
        None => format!("loss {loss:.4}"),
    };
    let trained = score(epoch.loss, epoch.accuracy);
    match epoch.validation_loss {
        Some(loss) => {
            let held_out = score(loss, epoch.validation_accuracy);
            format!("epoch {:>3}: {trained}; early stopping's share: {held_out}", epoch.epoch)
        }
        None => format!("epoch {:>3}: {trained}", epoch.epoch),
    }
}
