//! The objective of logistic regression on centred, scaled features, fast.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::{Real, add_gradient, products};
use super::loss::{Targets, residual};
use crate::error::HeadError;

/// Rows multiplied at a time: they stay in the cache between the product that makes their logits and the
/// one that makes the gradient, so that an evaluation reads the features once.
pub(crate) const BLOCK_ROWS: usize = 64;

/// Pieces a sum over samples is split in. Fixed, so that the result does not depend on the threads.
const N_PIECES: usize = 32;

/// Fewest numbers in a piece: less is not worth another thread.
const MIN_PIECE: usize = 1 << 17;

/// Coefficients whose sums one thread adds up at a time.
const SUM_CHUNK: usize = 4096;

/// Centred, scaled features, row-major, a batch at a time.
pub(crate) trait Design<T>: Sync {
    /// Calls `visit` with the index of its first row and the rows of each batch.
    fn for_each_batch(&self, visit: &mut dyn FnMut(usize, &[T])) -> Result<(), HeadError>;
}

impl<T: Sync> Design<T> for Vec<T> {
    fn for_each_batch(&self, visit: &mut dyn FnMut(usize, &[T])) -> Result<(), HeadError> {
        visit(0, self);
        Ok(())
    }
}

/// A logistic regression problem in centred, scaled features, in which the penalty weighs all
/// coefficients alike.
///
/// Centring decouples the intercept; neither it nor scaling changes the optimum. Parameters are `W`
/// (`n_features × n_outputs`, row-major), then `b`.
pub(crate) struct Problem<'a, T> {
    pub(crate) design: &'a dyn Design<T>,
    pub(crate) n_features: usize,
    /// The rows that count: all, or those outside a fold.
    pub(crate) rows: Vec<Range<usize>>,
    pub(crate) targets: &'a Targets<'a>,
    /// Weight of `½‖W‖²`.
    pub(crate) penalty: f64,
}

impl<T: Real> Problem<'_, T> {
    pub(crate) fn n_outputs(&self) -> usize {
        self.targets.n_outputs()
    }

    pub(crate) fn total_weight(&self) -> f64 {
        self.rows.iter().map(|rows| self.targets.total_weight(rows.clone())).sum()
    }

    /// Largest component of a gradient per sample.
    pub(crate) fn gradient_per_sample(&self, gradient: &[f64]) -> f64 {
        largest(gradient) / self.total_weight()
    }

    /// How far the objective can be above its minimum, given its gradient; see
    /// [`Certificate::gap`](super::Certificate::gap).
    pub(crate) fn gap(&self, gradient: &[f64]) -> f64 {
        let of_coef = &gradient[..self.n_features * self.n_outputs()];
        of_coef.iter().map(|it| it * it).sum::<f64>() / (2.0 * self.penalty)
    }

    /// The objective at `parameters`; its gradient goes to `gradient`. NaN where rows cannot be read.
    pub(crate) fn evaluate(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let n_coef = self.n_features * self.n_outputs();
        let (coef, intercept) = parameters.split_at(n_coef);
        let narrow: Vec<T> = self.by_output(coef);
        let mut sums = vec![0.0; n_coef];
        let mut of_all_intercepts = vec![0.0; self.n_outputs()];
        let mut value = 0.0;
        let visited = self.design.for_each_batch(&mut |first, batch| {
            let piece = |rows| self.piece(&narrow, intercept, first, batch, rows);
            let pieces: Vec<_> = self.pieces(first, batch.len()).into_par_iter().map(piece).collect();
            for (piece_value, _, of_intercept) in &pieces {
                value += piece_value;
                of_all_intercepts.iter_mut().zip(of_intercept).for_each(|(a, b)| *a += b);
            }
            sums.par_chunks_mut(SUM_CHUNK).enumerate().for_each(|(chunk, out)| {
                for (_, of_coef, _) in &pieces {
                    out.iter_mut().zip(&of_coef[chunk * SUM_CHUNK..]).for_each(|(a, b)| *a += b.to_f64());
                }
            });
        });
        let (of_coef, of_intercept) = gradient.split_at_mut(n_coef);
        of_intercept.copy_from_slice(&of_all_intercepts);
        let n_outputs = self.n_outputs();
        let rows = of_coef.chunks_exact_mut(n_outputs).zip(coef.chunks_exact(n_outputs));
        for (feature, (gradient, coef)) in rows.enumerate() {
            let sums = sums[feature..].iter().step_by(self.n_features);
            for ((gradient, coef), sum) in gradient.iter_mut().zip(coef).zip(sums) {
                *gradient = sum + self.penalty * coef;
                value += 0.5 * self.penalty * coef * coef;
            }
        }
        if visited.is_ok() { value } else { f64::NAN }
    }

    /// Calls `visit` with each row that counts and its logits.
    pub(crate) fn for_each_logits(&self, parameters: &[f64], visit: &mut dyn FnMut(usize, &[f64])) {
        let (n_features, n_outputs) = (self.n_features, self.n_outputs());
        let (coef, intercept) = parameters.split_at(n_features * n_outputs);
        let coef: Vec<T> = self.by_output(coef);
        // Rows that cannot be read are left out; the evaluation that comes next reports it.
        drop(self.design.for_each_batch(&mut |first, batch| {
            let of_piece = |rows: Range<usize>| {
                let block = &batch[(rows.start - first) * n_features..][..rows.len() * n_features];
                let mut logits = vec![T::ZERO; rows.len() * n_outputs];
                products(block, &coef, n_features, &mut logits);
                (rows, logits)
            };
            let pieces: Vec<_> = self.pieces(first, batch.len()).into_par_iter().map(of_piece).collect();
            let mut logits = vec![0.0; n_outputs];
            for (rows, products) in pieces {
                for (row, products) in rows.zip(products.chunks_exact(n_outputs)) {
                    add_intercept(&mut logits, products, intercept);
                    visit(row, &logits);
                }
            }
        }));
    }

    /// Loss of some rows without the penalty, and its gradient.
    fn piece(
        &self,
        coef: &[T],
        intercept: &[f64],
        first: usize,
        batch: &[T],
        rows: Range<usize>,
    ) -> (f64, Vec<T>, Vec<f64>) {
        let (n_features, n_outputs) = (self.n_features, self.n_outputs());
        let mut of_coef = vec![T::ZERO; n_features * n_outputs];
        let mut of_intercept = vec![0.0; n_outputs];
        let mut residuals = vec![T::ZERO; BLOCK_ROWS * n_outputs];
        let mut logits = vec![0.0; n_outputs];
        let mut value = 0.0;
        for start in rows.clone().step_by(BLOCK_ROWS) {
            let n_rows = BLOCK_ROWS.min(rows.end - start);
            let block = &batch[(start - first) * n_features..][..n_rows * n_features];
            let residuals = &mut residuals[..n_rows * n_outputs];
            products(block, coef, n_features, residuals);
            for (offset, row) in residuals.chunks_exact_mut(n_outputs).enumerate() {
                add_intercept(&mut logits, row, intercept);
                value += residual(self.targets, start + offset, &mut logits);
                of_intercept.iter_mut().zip(&logits).for_each(|(a, b)| *a += b);
                row.iter_mut().zip(&logits).for_each(|(a, b)| *a = T::from_f64(*b));
            }
            add_gradient(block, residuals, n_features, &mut of_coef);
        }
        (value, of_coef, of_intercept)
    }

    /// Coefficients `(n_outputs, n_features)`.
    fn by_output(&self, coef: &[f64]) -> Vec<T> {
        let n_outputs = self.n_outputs();
        let of_output = |output| coef[output..].iter().step_by(n_outputs);
        (0..n_outputs).flat_map(of_output).map(|it| T::from_f64(*it)).collect()
    }

    /// The fixed pieces of a batch, of the rows that count.
    fn pieces(&self, first: usize, batch_len: usize) -> Vec<Range<usize>> {
        pieces_of(&self.rows, first..first + batch_len / self.n_features, self.n_features)
    }
}

fn add_intercept<T: Real>(logits: &mut [f64], products: &[T], intercept: &[f64]) {
    for ((logit, product), intercept) in logits.iter_mut().zip(products).zip(intercept) {
        *logit = product.to_f64() + intercept;
    }
}

/// Splits the part of `rows` that lies in `batch` into pieces for as many threads as there may be.
pub(crate) fn pieces_of(rows: &[Range<usize>], batch: Range<usize>, n_features: usize) -> Vec<Range<usize>> {
    let worth_it = MIN_PIECE / n_features.max(1);
    let length = batch.len().div_ceil(N_PIECES).max(worth_it).next_multiple_of(BLOCK_ROWS);
    let inside = rows.iter().map(|it| it.start.max(batch.start)..it.end.min(batch.end));
    inside.flat_map(|it| it.clone().step_by(length).map(move |at| at..(at + length).min(it.end))).collect()
}

pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0_f64, |max, it| if it.is_nan() { f64::NAN } else { max.max(it.abs()) })
}
