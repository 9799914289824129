//! The objective in f64, from the features and for the coefficients as users have them.
//!
//! Nothing here is shared with the solver's fast path but the loss of one sample: no centred copy, no
//! f32, no rotation. It certifies what the solver returns, and takes over where f32 is not enough.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use ndarray::{Array1, Array2};
use rayon::prelude::*;

use super::loss::{Targets, curvature, residual};
use super::problem::{BLOCK_ROWS, largest, pieces_of};
use super::rows::RowSource;
use super::{Certificate, LogisticConfig};
use crate::error::HeadError;

/// Classes up to which the Hessian of the intercept is whole; above, its diagonal makes a shorter step.
const MAX_FULL_HESSIAN: usize = 128;

/// A problem in features as they came; `mean` and `scale` are those of the solver's coordinates.
pub(crate) struct Exact<'a, S> {
    pub(crate) source: &'a S,
    pub(crate) targets: &'a Targets<'a>,
    pub(crate) mean: &'a [f64],
    pub(crate) scale: &'a [f64],
    /// Weight of `½‖W‖²` in the solver's coordinates.
    pub(crate) penalty: f64,
}

/// Steps of Newton's method that the intercept takes at most: each squares its error.
const MAX_NEWTON_STEPS: usize = 6;

/// Coefficients `(n_features, n_outputs)` and intercept `(n_outputs,)` for features as they came.
pub(crate) struct Linear {
    pub(crate) coef: Array2<f64>,
    pub(crate) intercept: Array1<f64>,
}

/// Sums over samples.
struct Sums {
    loss: f64,
    of_coef: Vec<f64>,
    of_intercept: Vec<f64>,
    /// Hessian of the intercept, where it was asked for.
    curvature: Option<Mat<f64>>,
}

impl<S: RowSource> Exact<'_, S> {
    /// What the solver's parameters are in features as they came.
    pub(crate) fn linear(&self, parameters: &[f64]) -> Linear {
        let (n_features, n_outputs) = (self.mean.len(), self.targets.n_outputs());
        let (coef, intercept) = parameters.split_at(n_features * n_outputs);
        let scaled = |(row, column)| coef[row * n_outputs + column] / self.scale[row];
        let coef = Array2::from_shape_fn((n_features, n_outputs), scaled);
        let shift = ndarray::aview1(self.mean).dot(&coef);
        Linear { intercept: Array1::from(intercept.to_vec()) - shift, coef }
    }

    /// The solver's parameters of a linear map.
    pub(crate) fn parameters(&self, linear: &Linear) -> Vec<f64> {
        let shift = ndarray::aview1(self.mean).dot(&linear.coef);
        let scaled = linear.coef.indexed_iter().map(|((row, _), it)| it * self.scale[row]);
        scaled.chain((&linear.intercept + &shift).iter().copied()).collect()
    }

    /// Objective and gradient in the solver's parameters.
    pub(crate) fn evaluate(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let linear = self.linear(parameters);
        match self.sums(&linear, false) {
            Ok(sums) => self.objective(&linear, &sums, gradient),
            Err(_) => f64::NAN,
        }
    }

    /// Certifies a solution, its intercept moved to its optimum where it is not there.
    ///
    /// Newton's method on a few numbers that are near their optimum already. What it would still gain, and
    /// what moving the intercept would change in the gradient of the coefficients, enters the gap.
    pub(crate) fn certify(
        &self,
        linear: &mut Linear,
        config: &LogisticConfig,
        n_iterations: usize,
    ) -> Result<Certificate, HeadError> {
        let n_rows = self.source.dim().0;
        let mut gradient = vec![0.0; (self.mean.len() + 1) * self.targets.n_outputs()];
        let mut first: Option<(Array1<f64>, Certificate)> = None;
        for newton_step in 0.. {
            let sums = self.sums(linear, true)?;
            let step = self.intercept_step(&sums);
            let objective = self.objective(linear, &sums, &mut gradient);
            let of_coef = &gradient[..self.mean.len() * step.len()];
            let slope = of_coef.iter().map(|it| it * it).sum::<f64>().sqrt();
            // With the intercept at its optimum, the gap is at most the squared gradient of what is left over
            // twice its least curvature, the penalty. On the way there that gradient changes by H·step, and
            // `|H·step|² ≤ λ·stepᵀH·step`, by Cauchy and Schwarz for the Hessian.
            let gain = 0.5 * sums.of_intercept.iter().zip(&step).map(|(a, b)| a * b).sum::<f64>();
            // Rounding may leave less than nothing. A step that is not known stays so, and refuses the fit.
            let gain = if gain < 0.0 { 0.0 } else { gain };
            let moved = slope + (2.0 * self.largest_curvature(&sums) * gain).sqrt();
            let certificate = Certificate {
                objective,
                gradient: largest(&gradient) / self.targets.total_weight(0..n_rows),
                tolerance: config.tolerance,
                gap: moved * moved / (2.0 * self.penalty) + gain,
                n_iterations,
            };
            let is_good_enough =
                certificate.gap <= config.gap_tolerance * objective || moved <= 1.1 * slope || gain.is_nan();
            // Far from the optimum Newton's method may overshoot; the solver never leaves us there.
            if is_good_enough || newton_step == MAX_NEWTON_STEPS || largest(&step) >= 1.0 {
                // Moving the intercept may have steepened the rest. Then it stays where it was, now that it
                // is known how far above the minimum that is.
                return Ok(match first {
                    Some((intercept, before))
                        if certificate.gradient > config.tolerance && before.gradient <= config.tolerance =>
                    {
                        linear.intercept = intercept;
                        let gap = certificate.gap + (before.objective - objective).max(0.0);
                        Certificate { gap, ..before }
                    }
                    _ => certificate,
                });
            }
            first.get_or_insert((linear.intercept.clone(), certificate));
            linear.intercept.iter_mut().zip(&step).for_each(|(b, step)| *b -= step);
        }
        unreachable!("the loop ends by returning")
    }

    /// A bound on the curvature of the loss in any direction of the coefficients: of every sample its squared
    /// length times its curvature, which is at most a half (a quarter for two classes), and all together at
    /// most the trace of the intercept's Hessian. Features have unit mean square.
    fn largest_curvature(&self, sums: &Sums) -> f64 {
        let (n_rows, n_features) = self.source.dim();
        let weight = (0..n_rows).map(|it| self.targets.weight(it)).fold(0.0, f64::max);
        let of_loss = if self.targets.n_outputs() == 1 { 0.25 } else { 0.5 };
        let trace = |hessian: &Mat<f64>| (0..hessian.nrows()).map(|it| hessian[(it, it)]).sum();
        let all: f64 = sums.curvature.as_ref().map_or(f64::INFINITY, trace);
        (n_rows * n_features) as f64 * all.min(of_loss * weight)
    }

    /// Objective, and the gradient in the solver's coordinates, from the sums.
    fn objective(&self, linear: &Linear, sums: &Sums, gradient: &mut [f64]) -> f64 {
        let n_outputs = self.targets.n_outputs();
        let (of_coef, of_intercept) = gradient.split_at_mut(self.mean.len() * n_outputs);
        let mut squares = 0.0;
        for (index, (out, coef)) in of_coef.iter_mut().zip(&linear.coef).enumerate() {
            let (row, column) = (index / n_outputs, index % n_outputs);
            let scaled = coef * self.scale[row];
            let centred = sums.of_coef[index] - self.mean[row] * sums.of_intercept[column];
            *out = centred / self.scale[row] + self.penalty * scaled;
            squares += scaled * scaled;
        }
        of_intercept.copy_from_slice(&sums.of_intercept);
        sums.loss + 0.5 * self.penalty * squares
    }

    fn intercept_step(&self, sums: &Sums) -> Vec<f64> {
        let n_outputs = self.targets.n_outputs();
        let nothing_known = || Mat::zeros(n_outputs, n_outputs);
        let mut hessian = sums.curvature.clone().unwrap_or_else(nothing_known);
        if n_outputs > 1 {
            // Adding a constant to all intercepts changes nothing: give that direction a curvature.
            let mean = (0..n_outputs).map(|it| hessian[(it, it)]).sum::<f64>() / n_outputs as f64;
            // And a little to a class that no sample is likely to be of.
            let ridge = |i, j| if i == j { 1e-12 * mean } else { 0.0 };
            hessian += Mat::from_fn(n_outputs, n_outputs, |i, j| mean / n_outputs as f64 + ridge(i, j));
        }
        match hessian.llt(Side::Lower) {
            Ok(factor) => {
                let step = factor.solve(Mat::from_fn(n_outputs, 1, |i, _| sums.of_intercept[i]));
                (0..n_outputs).map(|it| step[(it, 0)]).collect()
            }
            Err(_) => vec![f64::NAN; n_outputs],
        }
    }

    fn sums(&self, linear: &Linear, with_curvature: bool) -> Result<Sums, HeadError> {
        let (n_rows, n_features) = self.source.dim();
        let mut total = Sums::zero(n_features, self.targets.n_outputs(), with_curvature);
        self.source.for_each_batch(&mut |first, batch| {
            let all = first..first + batch.len() / n_features;
            let pieces = pieces_of(std::slice::from_ref(&(0..n_rows)), all, n_features).into_par_iter();
            let sums_of = |rows| {
                let zero = Sums::zero(n_features, self.targets.n_outputs(), with_curvature);
                self.add_rows(zero, linear, first, batch, rows)
            };
            for piece in pieces.map(sums_of).collect::<Vec<_>>() {
                total.loss += piece.loss;
                total.of_coef.iter_mut().zip(piece.of_coef).for_each(|(a, b)| *a += b);
                total.of_intercept.iter_mut().zip(piece.of_intercept).for_each(|(a, b)| *a += b);
                if let (Some(total), Some(piece)) = (&mut total.curvature, piece.curvature) {
                    *total += piece;
                }
            }
        })?;
        Ok(total)
    }

    fn add_rows(
        &self,
        mut sums: Sums,
        linear: &Linear,
        first: usize,
        batch: &[S::Elem],
        rows: Range<usize>,
    ) -> Sums {
        let (n_features, n_outputs) = (self.mean.len(), self.targets.n_outputs());
        let coef = linear.coef.as_standard_layout();
        let coef = coef.as_slice().expect("in standard layout");
        let coef = MatRef::from_row_major_slice(coef, n_features, n_outputs);
        let mut block = vec![0.0; BLOCK_ROWS * n_features];
        let mut logits = vec![0.0; BLOCK_ROWS * n_outputs];
        for start in rows.clone().step_by(BLOCK_ROWS) {
            let n_rows = BLOCK_ROWS.min(rows.end - start);
            let block = &mut block[..n_rows * n_features];
            let narrow = &batch[(start - first) * n_features..];
            block.iter_mut().zip(narrow).for_each(|(a, b)| *a = (*b).into());
            let block = MatRef::from_row_major_slice(block, n_rows, n_features);
            let logits = &mut logits[..n_rows * n_outputs];
            for row in logits.chunks_exact_mut(n_outputs) {
                row.iter_mut().zip(&linear.intercept).for_each(|(a, b)| *a = *b);
            }
            let out = MatMut::from_row_major_slice_mut(logits, n_rows, n_outputs);
            matmul(out, Accum::Add, block, coef, 1.0, Par::Seq);
            sums.add_curvature(logits, |offset| self.targets.weight(start + offset));
            for (offset, row) in logits.chunks_exact_mut(n_outputs).enumerate() {
                let sample = start + offset;
                sums.loss += residual(self.targets, sample, row);
                sums.of_intercept.iter_mut().zip(&*row).for_each(|(a, b)| *a += b);
            }
            let residuals = MatRef::from_row_major_slice(logits, n_rows, n_outputs);
            let out = MatMut::from_row_major_slice_mut(&mut sums.of_coef, n_features, n_outputs);
            matmul(out, Accum::Add, block.transpose(), residuals, 1.0, Par::Seq);
        }
        sums
    }
}

impl Sums {
    fn zero(n_features: usize, n_outputs: usize, with_curvature: bool) -> Self {
        Self {
            loss: 0.0,
            of_coef: vec![0.0; n_features * n_outputs],
            of_intercept: vec![0.0; n_outputs],
            curvature: with_curvature.then(|| Mat::zeros(n_outputs, n_outputs)),
        }
    }

    /// Adds `Σ w·(diag(p) − p·pᵀ)` of some rows of logits.
    fn add_curvature(&mut self, logits: &[f64], weight: impl Fn(usize) -> f64) {
        let Some(hessian) = &mut self.curvature else { return };
        let n_outputs = hessian.nrows();
        let mut scaled = logits.to_vec();
        for (row, p) in scaled.chunks_exact_mut(n_outputs).enumerate() {
            curvature(p);
            let root = weight(row).sqrt();
            for (i, p) in p.iter_mut().enumerate() {
                hessian[(i, i)] += root * root * *p;
                if n_outputs > MAX_FULL_HESSIAN {
                    hessian[(i, i)] -= root * root * *p * *p;
                }
                *p *= root;
            }
        }
        if n_outputs <= MAX_FULL_HESSIAN {
            let scaled = MatRef::from_row_major_slice(&scaled, scaled.len() / n_outputs, n_outputs);
            matmul(hessian.as_mut(), Accum::Add, scaled.transpose(), scaled, -1.0, Par::Seq);
        }
    }
}
