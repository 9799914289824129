//! Choosing alpha by cross-validation: all folds and alphas on one prepared copy of the features.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::fit::Logistic;
use super::folds::{CrossValidated, PATH_GAP, SEARCH_GAP, Shared};
use super::rows::RowSource;
use super::search::search;
use crate::error::HeadError;

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
        let at = |alpha: usize| losses.iter().map(move |of_fold| of_fold[alpha]);
        let (mean_loss, standard_error): (Vec<f64>, Vec<f64>) =
            (0..alphas.len()).map(|it| mean_and_error(at(it))).unzip();
        // The strongest of equals, and never one whose loss is not finite.
        let is_better = |it: usize, best: usize| mean_loss[it] < mean_loss[best] || mean_loss[best].is_nan();
        let best = (0..alphas.len()).fold(0, |best, it| if is_better(it, best) { it } else { best });
        let limit = mean_loss[best] + standard_error[best];
        let one_standard_error = (0..=best).find(|it| mean_loss[*it] <= limit).unwrap_or(best);
        Self { n_folds: losses.len(), alphas, mean_loss, standard_error, best, one_standard_error }
    }
}

/// Mean of the losses of folds, and its standard error.
pub(super) fn mean_and_error(losses: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = losses.clone().count() as f64;
    let mean = losses.clone().sum::<f64>() / n;
    let variance = losses.map(|it| (it - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
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
    /// from the last; all folds begin with one preconditioner an alpha. Each stops where its objective is surely
    /// within a ten-thousandth of its minimum, or where f32 can gain no more; none is certified. (Losses were within
    /// half a percent of those of certified fits, at all alphas of three data sets.) A class that is missing from the
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
        self.in_pool(folds, PATH_GAP, |samples| whole_path(samples, alphas))
    }

    /// Cross-validates as many of the alphas as it takes to find the best, each fit from the nearest before it.
    ///
    /// First as many folds as hold 200 samples, at alphas a decade apart until their loss is a twentieth above the
    /// smallest on both sides, beyond which it must not fall again. Then all folds round the best of these, half a
    /// decade apart, and where a parabola through them has its minimum, as long as that is to be expected a twentieth
    /// of a standard error below the smallest known. The path has the alphas that all folds looked at; their losses are
    /// as exact as it takes to tell them apart. With `whole_side` also all stronger alphas within one standard error of
    /// the best.
    ///
    /// # Errors
    /// As [`cross_validate`](Self::cross_validate).
    ///
    /// # Determinism
    /// As [`cross_validate`](Self::cross_validate).
    pub fn select_alpha(
        &self,
        folds: &[usize],
        alphas: &[f64],
        whole_side: bool,
    ) -> Result<AlphaPath, HeadError> {
        self.in_pool(folds, SEARCH_GAP, |samples| search(samples, alphas, whole_side))
    }

    /// Logits of every sample by a fit on the other folds: `(n_samples, n_classes)`, or one column, the
    /// log-odds of class 1, for two.
    ///
    /// # Errors
    /// As [`cross_validate`](Self::cross_validate).
    pub fn out_of_fold(&self, folds: &[usize], alpha: f64) -> Result<Array2<f64>, HeadError> {
        let mut all = Array2::zeros((self.source().dim().0, self.targets().n_outputs()));
        self.in_pool(folds, PATH_GAP, |samples| {
            samples.losses(alpha, usize::MAX, &mut |sample, logits| {
                all.row_mut(sample).iter_mut().zip(logits).for_each(|(a, b)| *a = *b);
            })
        })?;
        Ok(all)
    }

    /// In a thread of the pool: what is too small to be split then runs without waking another.
    fn in_pool<R: Send>(
        &self,
        folds: &[usize],
        gap: f64,
        work: impl FnOnce(&mut dyn CrossValidated) -> Result<R, HeadError> + Send,
    ) -> Result<R, HeadError> {
        rayon::scope(|_| work(&mut *self.folded(folds, gap, &mut Shared::by(1))?))
    }
}

/// Losses at every alpha, from strong to weak.
pub(super) fn whole_path(samples: &mut dyn CrossValidated, alphas: &[f64]) -> Result<AlphaPath, HeadError> {
    let alphas = from_strong_to_weak(alphas);
    let losses = alphas.iter().map(|it| samples.losses(*it, usize::MAX, &mut |_, _| ()));
    path_of(alphas.clone(), &losses.collect::<Result<Vec<_>, _>>()?)
}

/// A path from the losses of the folds at each alpha; folds of which nothing counts are left out.
pub(super) fn path_of(alphas: Vec<f64>, losses: &[Vec<Option<f64>>]) -> Result<AlphaPath, HeadError> {
    let n_folds = losses.first().map_or(0, Vec::len);
    let of_fold = |fold: usize| losses.iter().map(|it| it[fold]).collect::<Option<Vec<f64>>>();
    let of_folds: Vec<Vec<f64>> = (0..n_folds).filter_map(of_fold).collect();
    if of_folds.len() < 2 {
        return Err(HeadError::TooFewFolds { found: of_folds.len() });
    }
    Ok(AlphaPath::new(alphas, &of_folds))
}

/// Strong penalties first.
pub(super) fn from_strong_to_weak(alphas: &[f64]) -> Vec<f64> {
    let mut alphas = alphas.to_vec();
    alphas.sort_by(|a, b| b.total_cmp(a));
    alphas
}
