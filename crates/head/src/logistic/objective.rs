//! The objective of logistic regression and its gradient, in f64.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use super::Certificate;
use crate::feature::Feature;

/// Rows converted and multiplied at a time: a block of f64 features that stays in the cache.
const BLOCK_ROWS: usize = 128;

/// Pieces a sum over samples is split in. Fixed, so that the result does not depend on the threads.
const N_PIECES: usize = 32;

/// A logistic regression problem in centred, rescaled features.
///
/// Centring decouples the intercept, and dividing by one common scale makes tolerances mean the same at
/// any scale; neither changes the optimum. Parameters are `W` (`n_features × n_outputs`, row-major),
/// then `b`. Two classes have one output, the log-odds of class 1.
pub(crate) struct Problem<'a, A> {
    pub(crate) x: ArrayView2<'a, A>,
    y: &'a [usize],
    pub(crate) weights: Option<&'a [f64]>,
    n_classes: usize,
    alpha: f64,
    pub(crate) mean: Vec<f64>,
    pub(crate) scale: f64,
    total_weight: f64,
}

impl<'a, A: Feature> Problem<'a, A> {
    pub(crate) fn new(
        x: ArrayView2<'a, A>,
        y: &'a [usize],
        n_classes: usize,
        weights: Option<&'a [f64]>,
        alpha: f64,
    ) -> Self {
        let (mean, scale) = mean_and_scale(x);
        let total_weight = weights.map_or(y.len() as f64, |it| it.iter().sum());
        Self { x, y, weights, n_classes, alpha, mean, scale, total_weight }
    }

    /// The same problem in coordinates of the row space of its centred, rescaled features.
    pub(crate) fn in_row_space<'b>(outer: &Problem<'a, A>, x: ArrayView2<'b, f64>) -> Problem<'b, f64>
    where
        'a: 'b,
    {
        Problem {
            mean: vec![0.0; x.ncols()],
            scale: 1.0,
            x,
            y: outer.y,
            weights: outer.weights,
            n_classes: outer.n_classes,
            alpha: outer.penalty(),
            total_weight: outer.total_weight,
        }
    }

    pub(crate) fn n_features(&self) -> usize {
        self.x.ncols()
    }

    pub(crate) fn n_outputs(&self) -> usize {
        if self.n_classes == 2 { 1 } else { self.n_classes }
    }

    pub(crate) fn n_parameters(&self) -> usize {
        (self.n_features() + 1) * self.n_outputs()
    }

    /// The penalty's weight in the rescaled features.
    pub(crate) fn penalty(&self) -> f64 {
        self.alpha / (self.scale * self.scale)
    }

    pub(crate) fn weight(&self, sample: usize) -> f64 {
        self.weights.map_or(1.0, |it| it[sample])
    }

    pub(crate) fn gradient_per_sample(&self, gradient: &[f64]) -> f64 {
        gradient.iter().fold(0.0_f64, |max, it| if it.is_nan() { f64::NAN } else { max.max(it.abs()) })
            / self.total_weight
    }

    /// How far the objective can be above its minimum, given its gradient; see [`Certificate::gap`].
    pub(crate) fn gap(&self, gradient: &[f64]) -> f64 {
        let of_coef = &gradient[..self.n_features() * self.n_outputs()];
        of_coef.iter().map(|it| it * it).sum::<f64>() / (2.0 * self.penalty())
    }

    /// The objective at `parameters`; its gradient goes to `gradient`.
    pub(crate) fn evaluate(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let n_coef = self.n_features() * self.n_outputs();
        let pieces: Vec<(f64, Vec<f64>)> =
            self.pieces().into_par_iter().map(|rows| self.piece(parameters, rows)).collect();
        gradient.fill(0.0);
        let mut value = 0.0;
        for (piece_value, piece_gradient) in pieces {
            value += piece_value;
            gradient.iter_mut().zip(piece_gradient).for_each(|(a, b)| *a += b);
        }
        let penalty = self.penalty();
        for (gradient, coef) in gradient[..n_coef].iter_mut().zip(parameters) {
            *gradient += penalty * coef;
            value += 0.5 * penalty * coef * coef;
        }
        value
    }

    /// Loss and gradient of some rows, without the penalty.
    fn piece(&self, parameters: &[f64], rows: Range<usize>) -> (f64, Vec<f64>) {
        let (n_features, n_outputs) = (self.n_features(), self.n_outputs());
        let mut gradient = vec![0.0; parameters.len()];
        let (coef_gradient, intercept_gradient) = gradient.split_at_mut(n_features * n_outputs);
        let mut value = 0.0;
        self.for_each_block(parameters, rows, |first, block, logits| {
            for (offset, row) in logits.chunks_exact_mut(n_outputs).enumerate() {
                value += self.loss_and_residual(first + offset, row);
                intercept_gradient.iter_mut().zip(&*row).for_each(|(a, b)| *a += b);
            }
            matmul(
                MatMut::from_row_major_slice_mut(coef_gradient, n_features, n_outputs),
                Accum::Add,
                block.transpose(),
                MatRef::from_row_major_slice(logits, block.nrows(), n_outputs),
                1.0,
                Par::Seq,
            );
        });
        (value, gradient)
    }

    /// Calls `visit` with the first row, the features and the logits of each block of some rows.
    fn for_each_block(
        &self,
        parameters: &[f64],
        rows: Range<usize>,
        mut visit: impl FnMut(usize, MatRef<'_, f64>, &mut [f64]),
    ) {
        let (n_features, n_outputs) = (self.n_features(), self.n_outputs());
        let (coef, intercept) = parameters.split_at(n_features * n_outputs);
        let mut block = vec![0.0; BLOCK_ROWS * n_features];
        let mut logits = vec![0.0; BLOCK_ROWS * n_outputs];
        for first in rows.clone().step_by(BLOCK_ROWS) {
            let n_rows = BLOCK_ROWS.min(rows.end - first);
            self.copy_rows(first, n_rows, &mut block);
            let block = MatRef::from_row_major_slice(&block[..n_rows * n_features], n_rows, n_features);
            let logits = &mut logits[..n_rows * n_outputs];
            logits.chunks_exact_mut(n_outputs).for_each(|row| row.copy_from_slice(intercept));
            matmul(
                MatMut::from_row_major_slice_mut(logits, n_rows, n_outputs),
                Accum::Add,
                block,
                MatRef::from_row_major_slice(coef, n_features, n_outputs),
                1.0,
                Par::Seq,
            );
            visit(first, block, logits);
        }
    }

    /// The fixed pieces that sums over samples are split in.
    fn pieces(&self) -> Vec<Range<usize>> {
        let n_rows = self.x.nrows();
        let length = n_rows.div_ceil(N_PIECES).next_multiple_of(BLOCK_ROWS);
        (0..n_rows).step_by(length).map(|start| start..(start + length).min(n_rows)).collect()
    }

    /// The loss of one sample; its logits become the residual `s·(p - y)`.
    fn loss_and_residual(&self, sample: usize, logits: &mut [f64]) -> f64 {
        let (class, weight) = (self.y[sample], self.weight(sample));
        if let [logit] = logits {
            // ln(1 + e^z) - y·z, without overflow on either side.
            let (z, target) = (*logit, if class == 1 { 1.0 } else { 0.0 });
            *logit = weight * (sigmoid(z) - target);
            return weight * (z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z);
        }
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let target = logits[class];
        let mut sum = 0.0;
        for logit in logits.iter_mut() {
            *logit = (*logit - max).exp();
            sum += *logit;
        }
        for logit in logits.iter_mut() {
            *logit *= weight / sum;
        }
        logits[class] -= weight;
        weight * (sum.ln() + max - target)
    }

    /// Centred and rescaled rows, as f64.
    pub(crate) fn copy_rows(&self, first: usize, n_rows: usize, out: &mut [f64]) {
        let inverse = 1.0 / self.scale;
        let rows = self.x.outer_iter().skip(first).take(n_rows);
        for (row, out) in rows.zip(out.chunks_exact_mut(self.n_features())) {
            for ((out, value), mean) in out.iter_mut().zip(row).zip(&self.mean) {
                *out = (Into::<f64>::into(*value) - mean) * inverse;
            }
        }
    }

    /// Moves the intercept to its optimum for the given `W`, where its gradient is zero.
    ///
    /// Newton's method on `n_outputs` numbers that are near their optimum already.
    pub(crate) fn polish_intercept(&self, mut parameters: Vec<f64>) -> Vec<f64> {
        let n_outputs = self.n_outputs();
        let n_coef = self.n_features() * n_outputs;
        for _ in 0..3 {
            let pieces: Vec<(Vec<f64>, Mat<f64>)> =
                self.pieces().into_par_iter().map(|rows| self.intercept_piece(&parameters, rows)).collect();
            let mut gradient = vec![0.0; n_outputs];
            let mut hessian = Mat::<f64>::zeros(n_outputs, n_outputs);
            for (piece_gradient, piece_hessian) in &pieces {
                gradient.iter_mut().zip(piece_gradient).for_each(|(a, b)| *a += b);
                hessian += piece_hessian;
            }
            if n_outputs > 1 {
                // Adding a constant to all intercepts changes nothing: give that direction a curvature.
                let mean = (0..n_outputs).map(|it| hessian[(it, it)]).sum::<f64>() / n_outputs as f64;
                hessian += Mat::from_fn(n_outputs, n_outputs, |_, _| mean / n_outputs as f64);
            }
            let Ok(factor) = hessian.llt(Side::Lower) else {
                break;
            };
            let step = factor.solve(Mat::from_fn(n_outputs, 1, |i, _| gradient[i]));
            let largest = (0..n_outputs).map(|it| step[(it, 0)].abs()).fold(0.0_f64, f64::max);
            // Far from the optimum Newton's method may overshoot; the solver never leaves us there.
            if largest.is_nan() || largest > 1.0 {
                break;
            }
            parameters[n_coef..].iter_mut().enumerate().for_each(|(j, b)| *b -= step[(j, 0)]);
        }
        parameters
    }

    /// The curvature of each sample's loss, `s·p(1 - p)` averaged over the directions that matter.
    pub(crate) fn curvatures(&self, parameters: &[f64]) -> Vec<f64> {
        let n_outputs = self.n_outputs();
        if parameters.iter().all(|it| *it == 0.0) {
            // Uniform probabilities: 1/4 for two classes, 1/k for the softmax.
            let curvature = if n_outputs == 1 { 0.25 } else { 1.0 / n_outputs as f64 };
            return (0..self.x.nrows()).map(|it| self.weight(it) * curvature).collect();
        }
        let of_piece = |rows: Range<usize>| {
            let mut curvatures = Vec::with_capacity(rows.len());
            self.for_each_block(parameters, rows, |first, _, logits| {
                for (offset, row) in logits.chunks_exact_mut(n_outputs).enumerate() {
                    self.loss_and_residual(first + offset, row);
                    self.residual_to_probability(first + offset, row);
                    let sum: f64 = row.iter().map(|p| p * (1.0 - p)).sum();
                    let n_directions = if n_outputs == 1 { 1.0 } else { n_outputs as f64 - 1.0 };
                    curvatures.push(self.weight(first + offset) * sum / n_directions);
                }
            });
            curvatures
        };
        self.pieces().into_par_iter().map(of_piece).collect::<Vec<_>>().concat()
    }

    /// Turns a residual `s·(p - y)` back into `p`.
    fn residual_to_probability(&self, sample: usize, row: &mut [f64]) {
        let weight = self.weight(sample);
        if row.len() > 1 {
            row[self.y[sample]] += weight;
        } else if self.y[sample] == 1 {
            row[0] += weight;
        }
        if weight > 0.0 {
            row.iter_mut().for_each(|it| *it /= weight);
        }
    }

    /// Gradient and Hessian of the intercept over some rows.
    fn intercept_piece(&self, parameters: &[f64], rows: Range<usize>) -> (Vec<f64>, Mat<f64>) {
        let n_outputs = self.n_outputs();
        let mut gradient = vec![0.0; n_outputs];
        let mut hessian = Mat::zeros(n_outputs, n_outputs);
        self.for_each_block(parameters, rows, |first, _, logits| {
            for (offset, row) in logits.chunks_exact_mut(n_outputs).enumerate() {
                let sample = first + offset;
                self.loss_and_residual(sample, row);
                gradient.iter_mut().zip(&*row).for_each(|(a, b)| *a += b);
                self.residual_to_probability(sample, row);
                let weight = self.weight(sample);
                for i in 0..n_outputs {
                    hessian[(i, i)] += weight * row[i];
                    for j in 0..n_outputs {
                        hessian[(i, j)] -= weight * row[i] * row[j];
                    }
                }
            }
        });
        (gradient, hessian)
    }

    pub(crate) fn certify(&self, parameters: &[f64], tolerance: f64, n_iterations: usize) -> Certificate {
        let mut gradient = vec![0.0; parameters.len()];
        let objective = self.evaluate(parameters, &mut gradient);
        Certificate {
            objective,
            gradient: self.gradient_per_sample(&gradient),
            tolerance,
            gap: self.gap(&gradient),
            n_iterations,
        }
    }

    /// `(n_features, n_classes)` and `(n_classes,)`, for features as they came.
    pub(crate) fn coefficients(&self, parameters: &[f64]) -> (Array2<f64>, Array1<f64>) {
        let (n_features, n_outputs) = (self.n_features(), self.n_outputs());
        let (coef, intercept) = parameters.split_at(n_features * n_outputs);
        let coef = ArrayView2::from_shape((n_features, n_outputs), coef).expect("split at its size");
        let coef = coef.mapv(|it| it / self.scale);
        let intercept = Array1::from(intercept.to_vec()) - Array1::from(self.mean.clone()).dot(&coef);
        if n_outputs == 1 {
            let coef = ndarray::concatenate![ndarray::Axis(1), coef.mapv(|it| -0.5 * it), 0.5 * &coef];
            let b = 0.5 * intercept[0];
            return (coef, Array1::from(vec![-b, b]));
        }
        // Adding a constant to all logits changes nothing; the penalty has centred W, centre b too.
        let mean = intercept.mean().unwrap_or(0.0);
        (coef, intercept - mean)
    }
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// Column means, and the root mean square of the centred values (1 when all are constant).
fn mean_and_scale<A: Feature>(x: ArrayView2<'_, A>) -> (Vec<f64>, f64) {
    let n = x.nrows() as f64;
    let mut mean = vec![0.0; x.ncols()];
    for row in x.outer_iter() {
        mean.iter_mut().zip(row).for_each(|(a, b)| *a += Into::<f64>::into(*b));
    }
    mean.iter_mut().for_each(|it| *it /= n);
    // Relative to the largest value, so that squares of huge features do not overflow.
    let largest = x.iter().zip(mean.iter().cycle()).map(|(a, m)| (Into::<f64>::into(*a) - m).abs());
    let largest = largest.fold(0.0_f64, f64::max);
    if largest == 0.0 {
        return (mean, 1.0);
    }
    let squares: f64 = x
        .outer_iter()
        .map(|row| {
            row.iter().zip(&mean).map(|(a, m)| ((Into::<f64>::into(*a) - m) / largest).powi(2)).sum::<f64>()
        })
        .sum();
    let scale = largest * (squares / (n * x.ncols() as f64)).sqrt();
    (mean, if scale > 0.0 { scale } else { 1.0 })
}
