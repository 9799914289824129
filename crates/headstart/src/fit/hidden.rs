//! A hidden layer, trained.

use headstart_head::{
    Activation, DenseLayer, LossName, MlpConfig, MlpSamples, TrainingRecord, fit_mlp, stratified_split,
};
use ndarray::ArrayView2;

use super::How;
use super::config::MlpHead;
use super::rows::Training;
use crate::error::Error;
use crate::event::{Event, Events, Note, note};

/// Share of the training samples that early stopping listens to.
const EARLY_STOPPING: f64 = 0.1;

/// What the outputs are to become.
pub(super) struct Targets<'a> {
    /// `(n_samples, n_outputs)`.
    pub(super) targets: ArrayView2<'a, f64>,
    /// What early stopping's share is in proportion to.
    pub(super) strata: &'a [usize],
    pub(super) weights: Option<&'a [f64]>,
}

pub(super) fn fit(
    head: &MlpHead,
    seed: u64,
    training: &Training<'_>,
    targets: &Targets<'_>,
    activation: Activation,
    events: &mut Events<'_>,
) -> Result<(Vec<DenseLayer>, How), Error> {
    let groups = training.samples.groups_of(&training.rows);
    // Another draw than that of the held-out samples, which judge the head and stay out of this.
    let validation = stratified_split(targets.strata, &groups, EARLY_STOPPING, seed.wrapping_add(1));
    let by_default =
        if activation == Activation::Identity { LossName::Squared } else { LossName::CrossEntropy };
    let name = head.loss.unwrap_or(by_default);
    let (loss, config) = (name.of(activation)?, MlpConfig { seed, ..head.config });
    let samples = MlpSamples {
        x: training.in_memory()?,
        targets: targets.targets.reborrow(),
        weights: targets.weights,
        validation: &validation,
    };
    let fit = fit_mlp(&samples, activation, &loss, &config, &mut |epoch| events(Event::Epoch(*epoch)))?;
    note(events, Note::BestEpoch { epoch: fit.best_epoch });
    let (history, best_epoch) = (fit.history, fit.best_epoch);
    let record = TrainingRecord { loss: name, config, history, best_epoch };
    Ok((fit.layers.into(), How { training: Some(record), ..How::default() }))
}
