//! An approximate inverse Hessian, from one Gram matrix and its Cholesky factor.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::kernels::Real;
use super::lbfgs::Precondition;
use super::loss::curvature;
use super::problem::{Problem, largest};

/// Rows of a Gram matrix per feature: enough that the preconditioner sees every direction. With one, the
/// first steps at weak penalties lead nowhere. Few features can afford more, so that rare classes are
/// seen too.
const ROWS_PER_FEATURE: usize = 2;

/// Products below which a triangular solve is not worth other threads.
const MIN_PARALLEL: usize = 1 << 22;

/// Smallest penalty, relative to the diagonal of the Gram matrix: below, f32 sums are noise.
const RIDGE: f64 = 1e-6;

/// `M⁻¹` for `M = XᵀAX + penalty·I`, where `A` holds the curvature of each sample's loss, averaged over
/// the classes.
///
/// With it the Hessian of every class is near the identity, whatever the scales and correlations of the
/// features; without it pooled ReLU features need hundreds of iterations. For two classes and few samples
/// it is the exact inverse Hessian. A matrix for each class was tried: half the iterations, each twice as
/// dear, and every renewal ten times.
pub(crate) struct Preconditioner {
    factor: Mat<f32>,
    /// Square root of the diagonal of the Gram matrix, inverted: the factor is of the matrix whose
    /// diagonal is scaled to 1.
    scale: Vec<f64>,
    /// `1 / ΣA`, for the intercept.
    intercept: f64,
    n_outputs: usize,
}

impl Preconditioner {
    /// Curvatures at `parameters`, from the rows that weigh most.
    pub(crate) fn new<T: Real>(problem: &Problem<'_, T>, parameters: &[f64]) -> Self {
        let n_features = problem.n_features;
        let is_start = parameters[..n_features * problem.n_outputs()].iter().all(|it| *it == 0.0);
        let mut curvatures = vec![0.0; problem.targets.y.len()];
        if is_start {
            // All probabilities are alike.
            let uniform = curvature(&mut vec![0.0; problem.n_outputs()]);
            for row in problem.rows.iter().flat_map(Clone::clone) {
                curvatures[row] = problem.targets.weight(row) * uniform;
            }
        } else {
            problem.for_each_logits(parameters, &mut |row, logits| {
                curvatures[row] = problem.targets.weight(row) * curvature(&mut logits.to_vec());
            });
        }
        let rows = choose(&curvatures, n_rows_for(n_features));
        let mut sample = weighted_rows(problem, &rows);
        let mut diagonal = vec![0.0; n_features];
        for row in sample.chunks_exact(n_features) {
            diagonal.iter_mut().zip(row).for_each(|(a, b)| *a += f64::from(*b) * f64::from(*b));
        }
        // A constant feature has no scale, and no gradient either.
        diagonal.iter_mut().filter(|it| !(**it > 0.0 && it.is_finite())).for_each(|it| *it = 1.0);
        let scale: Vec<f64> = diagonal.iter().map(|it| 1.0 / it.sqrt()).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
        let narrow: Vec<f32> = scale.iter().map(|it| *it as f32).collect();
        let scaled = |row: &mut [f32]| row.iter_mut().zip(&narrow).for_each(|(a, b)| *a *= b);
        sample.par_chunks_mut(n_features).for_each(scaled);
        let factor = factor(&gram(&sample, n_features), |j| problem.penalty * scale[j] * scale[j]);
        let total: f64 = curvatures.iter().sum();
        Self { factor, scale, intercept: 1.0 / total.max(f64::MIN_POSITIVE), n_outputs: problem.n_outputs() }
    }

    /// What making one costs, in evaluations of the objective: products of matrices against products that
    /// also wait for memory.
    pub(crate) fn cost<T>(problem: &Problem<'_, T>) -> usize {
        /// Floating-point operations for which a number could be fetched from memory.
        const FETCH: usize = 40;
        let (n_features, n_outputs) = (problem.n_features, problem.targets.n_outputs());
        let n_rows: usize = problem.rows.iter().map(ExactSizeIterator::len).sum();
        let of_gram = n_rows_for(n_features).min(n_rows) + n_features / 3;
        n_features * of_gram / (n_rows * (4 * n_outputs + FETCH)).max(1)
    }
}

impl Precondition for Preconditioner {
    fn apply(&self, vector: &mut [f64]) {
        let (n_features, n_outputs) = (self.scale.len(), self.n_outputs);
        let (coef, intercept) = vector.split_at_mut(n_features * n_outputs);
        intercept.iter_mut().for_each(|it| *it *= self.intercept);
        // Gradients shrink to nothing in the end: keep them away from the smallest f32.
        let largest = largest(coef);
        let unit = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
        let at = |i: usize, j: usize| (coef[i * n_outputs + j] / unit * self.scale[i]) as f32;
        let mut columns = Mat::from_fn(n_features, n_outputs, at);
        let par = if n_features * n_features * n_outputs < MIN_PARALLEL { Par::Seq } else { Par::rayon(0) };
        solve_lower_triangular_in_place(self.factor.as_ref(), columns.as_mut(), par);
        solve_upper_triangular_in_place(self.factor.transpose(), columns.as_mut(), par);
        for (index, out) in coef.iter_mut().enumerate() {
            let (i, j) = (index / n_outputs, index % n_outputs);
            *out = f64::from(columns[(i, j)]) * self.scale[i] * unit;
        }
    }
}

/// Rows of a Gram matrix.
fn n_rows_for(n_features: usize) -> usize {
    ROWS_PER_FEATURE * n_features.max((1 << 19) / n_features.max(1))
}

/// About `count` rows, those of large weight surely and the others in proportion to it; and the square
/// root of what each then stands for.
#[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
fn choose(weights: &[f64], count: usize) -> Vec<(usize, f32)> {
    let total: f64 = weights.iter().sum();
    let unit = total / count as f64;
    let mut chosen = Vec::with_capacity(count);
    let mut left = 0.5 * unit;
    for (row, weight) in weights.iter().enumerate().filter(|(_, it)| **it > 0.0) {
        if weights.len() <= count || *weight >= unit {
            chosen.push((row, weight.sqrt() as f32));
            continue;
        }
        left += weight;
        if left >= unit {
            left -= unit;
            chosen.push((row, unit.sqrt() as f32));
        }
    }
    chosen
}

/// Some rows, times a factor each.
fn weighted_rows<T: Real>(problem: &Problem<'_, T>, rows: &[(usize, f32)]) -> Vec<f32> {
    let n_features = problem.n_features;
    let mut sample = vec![0.0_f32; rows.len() * n_features];
    let mut done = 0;
    // Rows that cannot be read leave zeros; the evaluation that comes next reports it.
    drop(problem.design.for_each_batch(&mut |first, batch| {
        let n_here = rows[done..].partition_point(|it| it.0 < first + batch.len() / n_features);
        let here = rows[done..done + n_here].par_iter();
        let out = sample[done * n_features..][..n_here * n_features].par_chunks_mut(n_features);
        out.zip(here).for_each(|(out, (row, root))| {
            let row = &batch[(row - first) * n_features..][..n_features];
            #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
            out.iter_mut().zip(row).for_each(|(a, b)| *a = b.to_f64() as f32 * root);
        });
        done += n_here;
    }));
    sample
}

/// The lower half of `SᵀS`.
fn gram(sample: &[f32], n_features: usize) -> Mat<f32> {
    let sample = MatRef::from_row_major_slice(sample, sample.len() / n_features, n_features);
    let mut gram = Mat::zeros(n_features, n_features);
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        sample.transpose(),
        BlockStructure::Rectangular,
        sample,
        BlockStructure::Rectangular,
        1.0,
        Par::rayon(0),
    );
    gram
}

/// The Cholesky factor of a Gram matrix of unit diagonal plus a ridge.
fn factor(gram: &Mat<f32>, ridge: impl Fn(usize) -> f64) -> Mat<f32> {
    let n_features = gram.nrows();
    let mut floor = RIDGE;
    while floor < 1.0 {
        let mut matrix = gram.clone();
        #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
        (0..n_features).for_each(|j| matrix[(j, j)] += ridge(j).max(floor).min(1e30) as f32);
        if let Ok(llt) = matrix.llt(Side::Lower) {
            return llt.L().to_owned();
        }
        floor *= 10.0;
    }
    // Not even a dominating diagonal could be factored: values that are not finite. The solver goes
    // without, and its certificate tells.
    Mat::identity(n_features, n_features)
}
