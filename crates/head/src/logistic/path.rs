//! Choosing alpha by cross-validation: all folds and alphas on one prepared copy of the features.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::fit::Logistic;
use super::kernels::Real;
use super::lbfgs::{self, Settings};
use super::loss::{Targets, residual};
use super::precondition::Preconditioner;
use super::problem::Problem;
use super::rows::RowSource;
use crate::error::HeadError;
use crate::feature::check_alpha;

/// Largest gradient per sample at which a fit of the path stops.
const PATH_TOLERANCE: f64 = 1e-5;

/// Largest gap at which it stops, relative to the objective or to the loss that held-out samples had at
/// the last alpha, whichever is larger: what is left to gain no longer shows in the losses compared.
const PATH_GAP: f64 = 1e-3;

/// Iterations a fit of the path may take: it starts near its end.
const PATH_ITERATIONS: usize = 200;

/// Cross-validated losses along a path of alphas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaPath {
    /// Folds that were held out in turn.
    pub n_folds: usize,
    /// The alphas, from strong to weak.
    pub alphas: Vec<f64>,
    /// Mean loss of held-out samples for each alpha: over folds, each fold counting alike.
    pub mean_loss: Vec<f64>,
    /// Standard error of that mean over the folds.
    pub standard_error: Vec<f64>,
    /// Index of the alpha with the smallest mean loss.
    pub best: usize,
    /// Index of the strongest alpha whose mean loss is within one standard error of the smallest.
    pub one_standard_error: usize,
}

impl AlphaPath {
    pub(super) fn new(alphas: Vec<f64>, losses: &[Vec<f64>]) -> Self {
        let n_folds = losses.len() as f64;
        let at = |alpha: usize| losses.iter().map(move |of_fold| of_fold[alpha]);
        let mean_loss: Vec<f64> = (0..alphas.len()).map(|it| at(it).sum::<f64>() / n_folds).collect();
        let standard_error: Vec<f64> = mean_loss
            .iter()
            .enumerate()
            .map(|(it, mean)| {
                let variance =
                    at(it).map(|loss| (loss - mean).powi(2)).sum::<f64>() / (n_folds - 1.0).max(1.0);
                (variance / n_folds).sqrt()
            })
            .collect();
        // The strongest of equals, and never one whose loss is not finite.
        let is_better = |it: usize, best: usize| mean_loss[it] < mean_loss[best] || mean_loss[best].is_nan();
        let best = (0..alphas.len()).fold(0, |best, it| if is_better(it, best) { it } else { best });
        let limit = mean_loss[best] + standard_error[best];
        let one_standard_error = (0..=best).find(|it| mean_loss[*it] <= limit).unwrap_or(best);
        Self { n_folds: losses.len(), alphas, mean_loss, standard_error, best, one_standard_error }
    }
}

/// 45 alphas from 1e5 to 1e-6, log-spaced: those of Kornblith et al. 2019 (arXiv:1805.08974) and of
/// DINOv2's linear evaluation.
#[must_use]
pub fn default_alphas() -> Vec<f64> {
    (0..45).map(|step| 10_f64.powf(5.0 - 11.0 * f64::from(step) / 44.0)).collect()
}

impl<S: RowSource> Logistic<'_, S> {
    /// Cross-validates every alpha: each fold is held out in turn, and its samples judged by the fit on
    /// the others.
    ///
    /// Features are centred and scaled once, by all samples. Fits go from strong to weak alphas, each
    /// from the last; all folds share one preconditioner an alpha. They are not certified: each stops where
    /// its objective is within a thousandth of its minimum, or of what the held-out loss is worth. Losses
    /// near the best alpha are then as good as exact; at alphas so weak that the fit separates its samples
    /// they may be some percent off (13 were seen). A class that is missing from the
    /// samples a fold is fitted on is left out of that fold's loss; a fold of which nothing is left does not
    /// count.
    ///
    /// # Shapes
    /// - `folds`: `(n_samples,)`, the fold of each sample, below `n_folds`; see
    ///   [`stratified_folds`](crate::stratified_folds).
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`]; [`HeadError::TooFewFolds`] with fewer than two folds that have
    /// samples, or no alphas; [`HeadError::SampleCountMismatch`]; [`HeadError::NotInMemory`] for a source
    /// that streams.
    ///
    /// # Determinism
    /// The same samples, folds and alphas give the same bits, whatever the number of threads.
    pub fn cross_validate(&self, folds: &[usize], alphas: &[f64]) -> Result<AlphaPath, HeadError> {
        let alphas = from_strong_to_weak(alphas);
        let mut losses = self.path_losses(folds, &alphas, &mut |_, _| ())?;
        losses.retain(|of_fold| !of_fold.is_empty());
        if losses.len() < 2 {
            return Err(HeadError::TooFewFolds { found: losses.len() });
        }
        Ok(AlphaPath::new(alphas, &losses))
    }

    /// Logits of every sample by a fit on the other folds: `(n_samples, n_classes)`, or one column, the
    /// log-odds of class 1, for two.
    ///
    /// # Errors
    /// As [`cross_validate`](Self::cross_validate).
    pub fn out_of_fold(&self, folds: &[usize], alpha: f64) -> Result<Array2<f64>, HeadError> {
        let mut all = Array2::zeros((self.source().dim().0, self.targets().n_outputs()));
        self.path_losses(folds, &[alpha], &mut |sample, logits| {
            all.row_mut(sample).iter_mut().zip(logits).for_each(|(a, b)| *a = *b);
        })?;
        Ok(all)
    }

    /// Losses of each fold at each alpha, in the order they come, none for a fold of which nothing counts;
    /// `visit` sees the logits of every held-out sample.
    pub(super) fn path_losses(
        &self,
        folds: &[usize],
        alphas: &[f64],
        visit: &mut (dyn FnMut(usize, &[f64]) + Send),
    ) -> Result<Vec<Vec<f64>>, HeadError> {
        let (n_samples, n_features) = self.source().dim();
        if folds.len() != n_samples {
            return Err(HeadError::SampleCountMismatch { x_rows: n_samples, y_len: folds.len() });
        }
        alphas.iter().try_for_each(|it| check_alpha(*it))?;
        match (self.row_space_rows(), self.rows()) {
            (Some((rows, rank)), _) => rayon::scope(|_| self.path(rows, rank, folds, alphas, visit)),
            (None, Some(rows)) => rayon::scope(|_| self.path(rows, n_features, folds, alphas, visit)),
            (None, None) => Err(HeadError::NotInMemory),
        }
    }

    fn path<T: Real>(
        &self,
        rows: &[T],
        n_features: usize,
        folds: &[usize],
        alphas: &[f64],
        visit: &mut dyn FnMut(usize, &[f64]),
    ) -> Result<Vec<Vec<f64>>, HeadError> {
        let sorted = Sorted::new(rows, n_features, self.targets(), folds);
        if sorted.folds.len() < 2 || alphas.is_empty() {
            return Err(HeadError::TooFewFolds { found: sorted.folds.len() });
        }
        let targets =
            Targets { y: &sorted.y, weights: sorted.weights.as_deref(), n_classes: self.targets().n_classes };
        let problem = |rows: Vec<Range<usize>>, penalty: f64| Problem {
            design: &sorted.rows,
            n_features,
            rows,
            targets: &targets,
            penalty,
        };
        let n_parameters = (n_features + 1) * targets.n_outputs();
        let mut solutions = vec![vec![0.0; n_parameters]; sorted.folds.len()];
        let mut losses = vec![Vec::with_capacity(alphas.len()); sorted.folds.len()];
        let n_samples = sorted.y.len();
        let guess = (targets.n_classes as f64).ln();
        let settings = Settings {
            max_iterations: PATH_ITERATIONS,
            noise: T::NOISE,
            patience: 3,
            renew_after: usize::MAX,
        };
        for alpha in alphas {
            let penalty = self.penalty(*alpha);
            let all = problem(iter::once(0..n_samples).collect(), penalty);
            let shared = Arc::new(Preconditioner::new(&all, &solutions[0]));
            for ((fold, solution), losses) in sorted.folds.iter().zip(&mut solutions).zip(&mut losses) {
                let fitted_on = problem(vec![0..fold.start, fold.end..n_samples], penalty);
                let worth = fitted_on.total_weight() * losses.last().copied().unwrap_or(guess);
                *solution = lbfgs::minimise(
                    std::mem::take(solution),
                    &settings,
                    &mut |parameters, gradient| fitted_on.evaluate(parameters, gradient),
                    &mut |_| Arc::clone(&shared),
                    &|value, gradient| {
                        fitted_on.gradient_per_sample(gradient) <= PATH_TOLERANCE
                            && fitted_on.gap(gradient) <= PATH_GAP * value.max(worth)
                    },
                )
                .parameters;
                let held_out = problem(iter::once(fold.clone()).collect(), penalty);
                losses.extend(held_out_loss(&held_out, solution, fold, &mut |row, logits| {
                    visit(sorted.order[row], logits);
                }));
            }
        }
        Ok(losses)
    }
}

/// Strong penalties first.
pub(super) fn from_strong_to_weak(alphas: &[f64]) -> Vec<f64> {
    let mut alphas = alphas.to_vec();
    alphas.sort_by(|a, b| b.total_cmp(a));
    alphas
}

/// Samples in the order of their folds, so that each fold is one range.
struct Sorted<T> {
    /// What each row was before.
    order: Vec<usize>,
    rows: Vec<T>,
    y: Vec<usize>,
    weights: Option<Vec<f64>>,
    /// Ranges of the folds that have samples.
    folds: Vec<Range<usize>>,
}

impl<T: Real> Sorted<T> {
    fn new(rows: &[T], n_features: usize, targets: &Targets<'_>, folds: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..folds.len()).collect();
        order.sort_by_key(|it| folds[*it]);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (place, sample) in order.iter().enumerate() {
            match ranges.last_mut() {
                Some(last) if folds[order[last.start]] == folds[*sample] => last.end = place + 1,
                _ => ranges.push(place..place + 1),
            }
        }
        let row = |sample: &usize| rows[sample * n_features..][..n_features].iter().copied();
        Self {
            rows: order.iter().flat_map(row).collect(),
            y: order.iter().map(|it| targets.y[*it]).collect(),
            weights: targets.weights.map(|weights| order.iter().map(|it| weights[*it]).collect()),
            folds: ranges,
            order,
        }
    }
}

/// Mean loss of the samples of a fold whose class occurs outside it, if any; `visit` sees the logits of all.
fn held_out_loss<T: Real>(
    of_fold: &Problem<'_, T>,
    parameters: &[f64],
    fold: &Range<usize>,
    visit: &mut dyn FnMut(usize, &[f64]),
) -> Option<f64> {
    let targets = of_fold.targets;
    let mut seen = vec![false; targets.n_classes];
    let outside = (0..fold.start).chain(fold.end..targets.y.len());
    outside.filter(|it| targets.weight(*it) > 0.0).for_each(|it| seen[targets.y[it]] = true);
    let (mut sum, mut weight) = (0.0, 0.0);
    of_fold.for_each_logits(parameters, &mut |row, logits| {
        visit(row, logits);
        if seen[targets.y[row]] {
            sum += residual(targets, row, &mut logits.to_vec());
            weight += targets.weight(row);
        }
    });
    (weight > 0.0).then(|| sum / weight)
}
