//! Folds held out in turn: fits on the others, each from the nearest before it, and losses of what was held out.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::fit::Logistic;
use super::kernels::Real;
use super::lbfgs::{self, Settings};
use super::loss::{Targets, residual};
use super::precondition::Preconditioner;
use super::problem::Problem;
use super::rows::RowSource;
use crate::error::HeadError;
use crate::feature::check_alpha;

/// How far above its minimum a fit's objective may be, relative to itself: where losses are told, and where they are
/// compared alone. A bound relative to the held-out loss would not do: where classes separate, what is left of the
/// objective no longer shows beside it, and a fit that stops early has the lower one.
pub(super) const PATH_GAP: f64 = 1e-4;
pub(super) const SEARCH_GAP: f64 = 6e-4;

/// Iterations a fit of the path may take: it starts near its end.
const PATH_ITERATIONS: usize = 200;

/// Solutions of a fold that are remembered to start from: so many at most, and one at least, of all folds together no
/// more bytes than that.
const REMEMBERED: usize = 6;
const REMEMBERED_BYTES: usize = 256 << 20;

/// A fold that a cross-validation held out, fitted on the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldFitted {
    /// The alpha.
    pub alpha: f64,
    /// Which fold, from 0.
    pub fold: usize,
    /// Folds that have samples.
    pub n_folds: usize,
}

/// What is told of folds while a cross-validation goes on, from whatever thread.
pub type Watch<'a> = dyn Fn(FoldFitted) + Sync + 'a;

/// What is called with a sample and its logits.
pub(super) type VisitLogits<'a> = dyn FnMut(usize, &[f64]) + 'a;

/// Samples that can be cross-validated at one alpha after another, in any order.
pub(super) trait CrossValidated {
    /// How many of the first folds hold so many samples; all, where they do not.
    fn folds_with(&self, n_samples: usize) -> usize;

    /// Mean loss of each of the first `n_folds` that have samples by a fit on the others; none for a fold of which
    /// nothing counts. `visit` sees the logits of every held-out sample.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`].
    fn losses(
        &mut self,
        alpha: f64,
        n_folds: usize,
        visit: &mut VisitLogits<'_>,
    ) -> Result<Vec<Option<f64>>, HeadError>;
}

impl<S: RowSource> Logistic<'_, S> {
    /// Prepares a cross-validation whose fits stop at a gap relative to their objective; `shared` are the sorted rows
    /// of another with the same folds.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`]; [`HeadError::TooFewFolds`]; [`HeadError::NotInMemory`].
    pub(super) fn folded(
        &self,
        folds: &[usize],
        gap: f64,
        shared: &mut Shared,
    ) -> Result<Box<dyn CrossValidated + '_>, HeadError> {
        let (n_samples, n_features) = self.source().dim();
        if folds.len() != n_samples {
            return Err(HeadError::SampleCountMismatch { x_rows: n_samples, y_len: folds.len() });
        }
        match (self.row_space_rows(), self.rows()) {
            (Some((rows, rank)), _) => {
                let sorted = shared.wide.get_or_insert_with(|| Arc::new(Sorted::new(rows, rank, folds)));
                self.folds_of(Arc::clone(sorted), gap, shared.n_sharing)
            }
            (None, Some(rows)) => {
                let sorted =
                    shared.narrow.get_or_insert_with(|| Arc::new(Sorted::new(rows, n_features, folds)));
                self.folds_of(Arc::clone(sorted), gap, shared.n_sharing)
            }
            (None, None) => Err(HeadError::NotInMemory),
        }
    }

    fn folds_of<'a, T: Real + 'a>(
        &'a self,
        sorted: Arc<Sorted<T>>,
        gap: f64,
        n_sharing: usize,
    ) -> Result<Box<dyn CrossValidated + 'a>, HeadError> {
        let found = sorted.folds.len();
        if found < 2 {
            return Err(HeadError::TooFewFolds { found });
        }
        let targets = self.targets();
        let n_parameters = (sorted.n_features + 1) * targets.n_outputs();
        let bytes_each = size_of::<f64>() * n_parameters * found * n_sharing;
        Ok(Box::new(Folds {
            remembered: (REMEMBERED_BYTES / bytes_each.max(1)).clamp(1, REMEMBERED),
            y: sorted.order.iter().map(|it| targets.y[*it]).collect(),
            weights: targets.weights.map(|weights| sorted.order.iter().map(|it| weights[*it]).collect()),
            n_classes: targets.n_classes,
            penalty: Box::new(|alpha| self.penalty(alpha)),
            watch: self.watch,
            solved: vec![Vec::new(); found],
            gap,
            sorted,
        }))
    }
}

/// Sorted rows that several cross-validations of the same folds may share.
pub(super) struct Shared {
    /// How many do.
    n_sharing: usize,
    narrow: Option<Arc<Sorted<f32>>>,
    wide: Option<Arc<Sorted<f64>>>,
}

impl Shared {
    pub(super) fn by(n_sharing: usize) -> Self {
        Self { n_sharing, narrow: None, wide: None }
    }
}

struct Folds<'a, T> {
    sorted: Arc<Sorted<T>>,
    y: Vec<usize>,
    weights: Option<Vec<f64>>,
    n_classes: usize,
    /// The penalty in the coordinates of the rows.
    penalty: Box<dyn Fn(f64) -> f64 + Sync + 'a>,
    watch: Option<&'a Watch<'a>>,
    /// Alphas and solutions of each fold, the last ones last, and how many of them are kept.
    remembered: usize,
    solved: Vec<Vec<(f64, Vec<f64>)>>,
    /// How far above its minimum a fit's objective may be, relative to itself.
    gap: f64,
}

impl<T: Real> Folds<'_, T> {
    /// Where a fit of a fold begins: at the fold's solution of the nearest alpha, moved as that of the first fold has
    /// moved from there, which is fitted before the others: folds share most of their samples. Without an own
    /// solution it begins at that of the first.
    fn start(&self, fold: usize, alpha: f64, n_parameters: usize) -> Vec<f64> {
        let first_at = |alpha: f64| self.solved[0].iter().find(|it| it.0.total_cmp(&alpha).is_eq());
        let distance = |it: &&(f64, Vec<f64>)| (it.0 / alpha).ln().abs();
        let nearest = self.solved[fold].iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        match (nearest, first_at(alpha)) {
            (None, None) => vec![0.0; n_parameters],
            (None, Some((_, moved))) => moved.clone(),
            (Some((old, own)), moved) => match (moved, first_at(*old)) {
                (Some((_, to)), Some((_, from))) => {
                    own.iter().zip(to).zip(from).map(|((own, to), from)| own + to - from).collect()
                }
                _ => own.clone(),
            },
        }
    }
}

impl<T: Real> Folds<'_, T> {
    /// Keeps a fold's solution, and lets go of the oldest where there are too many.
    fn remember(&mut self, fold: usize, alpha: f64, solution: Vec<f64>) {
        let solved = &mut self.solved[fold];
        solved.retain(|it| it.0.total_cmp(&alpha).is_ne());
        solved.push((alpha, solution));
        solved.drain(..solved.len().saturating_sub(self.remembered));
    }
}

impl<T: Real> CrossValidated for Folds<'_, T> {
    fn folds_with(&self, n_samples: usize) -> usize {
        let folds = &self.sorted.folds;
        folds.iter().position(|it| it.end >= n_samples).map_or(folds.len(), |it| it + 1)
    }

    fn losses(
        &mut self,
        alpha: f64,
        n_folds: usize,
        visit: &mut VisitLogits<'_>,
    ) -> Result<Vec<Option<f64>>, HeadError> {
        check_alpha(alpha)?;
        let (sorted, n_features) = (Arc::clone(&self.sorted), self.sorted.n_features);
        let (y, weights) = (std::mem::take(&mut self.y), std::mem::take(&mut self.weights));
        let targets = Targets { y: &y, weights: weights.as_deref(), n_classes: self.n_classes };
        let penalty = (self.penalty)(alpha);
        let problem = |rows: Vec<Range<usize>>| Problem {
            design: &sorted.rows,
            n_features,
            rows,
            targets: &targets,
            penalty,
        };
        let n_parameters = (n_features + 1) * targets.n_outputs();
        let (n_samples, gap, watch) = (y.len(), self.gap, self.watch);
        let all = problem(iter::once(0..n_samples).collect());
        let settings = Settings {
            max_iterations: PATH_ITERATIONS,
            noise: T::NOISE,
            patience: 3,
            renew_after: Preconditioner::renew_after(&all),
        };
        let shared = Arc::new(Preconditioner::new(&all, &self.start(0, alpha, n_parameters)));
        let fit = |fold: usize, start: Vec<f64>| {
            let range = &sorted.folds[fold];
            let fitted_on = problem(vec![0..range.start, range.end..n_samples]);
            // All folds begin with the same one.
            let mut first = Some(Arc::clone(&shared));
            let solution = lbfgs::minimise(
                start,
                &settings,
                &mut |parameters, gradient| fitted_on.evaluate(parameters, gradient),
                &mut |at| first.take().unwrap_or_else(|| Arc::new(Preconditioner::new(&fitted_on, at))),
                &|value, gradient| fitted_on.gap(gradient) <= gap * value,
            );
            if let Some(watch) = watch {
                watch(FoldFitted { alpha, fold, n_folds: sorted.folds.len() });
            }
            solution.parameters
        };
        let first = fit(0, self.start(0, alpha, n_parameters));
        self.remember(0, alpha, first);
        let others = (1..n_folds.min(sorted.folds.len())).into_par_iter();
        let others = others.map(|fold| fit(fold, self.start(fold, alpha, n_parameters))).collect::<Vec<_>>();
        others.into_iter().zip(1..).for_each(|(solution, fold)| self.remember(fold, alpha, solution));
        let of_folds = sorted.folds.iter().zip(&self.solved).take(n_folds);
        let losses = of_folds.map(|(range, solved)| {
            let held_out = problem(iter::once(range.clone()).collect());
            let (_, solution) = solved.last().expect("a solution was just found");
            held_out_loss(&held_out, solution, range, &mut |row, logits| visit(sorted.order[row], logits))
        });
        let losses = losses.collect();
        (self.y, self.weights) = (y, weights);
        Ok(losses)
    }
}

/// Samples in the order of their folds, so that each fold is one range.
struct Sorted<T> {
    /// What each row was before.
    order: Vec<usize>,
    rows: Vec<T>,
    n_features: usize,
    /// Ranges of the folds that have samples.
    folds: Vec<Range<usize>>,
}

impl<T: Real> Sorted<T> {
    fn new(rows: &[T], n_features: usize, folds: &[usize]) -> Self {
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
        Self { rows: order.iter().flat_map(row).collect(), n_features, folds: ranges, order }
    }
}

/// Mean loss of the samples of a fold whose class occurs outside it, if any; `visit` sees the logits of all.
fn held_out_loss<T: Real>(
    of_fold: &Problem<'_, T>,
    parameters: &[f64],
    fold: &Range<usize>,
    visit: &mut VisitLogits<'_>,
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
