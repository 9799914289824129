//! An approximate inverse Hessian, from one Gram matrix and one Cholesky factor.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::objective::Problem;
use crate::feature::Feature;

/// Rows of the Gram matrix per feature: enough that the preconditioner sees every direction.
const ROWS_PER_FEATURE: usize = 4;

/// `M⁻¹` for `M = h·XᵀX + alpha·I`, where `h` is the mean curvature of the loss.
///
/// With it the Hessian of every class is near the identity, whatever the scales and correlations of the
/// features; without it pooled ReLU features need hundreds of iterations.
pub(crate) struct Preconditioner {
    factor: Mat<f64>,
    n_outputs: usize,
    intercept: f64,
}

impl Preconditioner {
    pub(crate) fn new<A: Feature>(problem: &Problem<'_, A>) -> Self {
        // The Hessian at uniform probabilities: p(1 - p) = 1/4 for two classes; the softmax's is 1/k on
        // the directions that matter.
        let n_outputs = problem.n_outputs();
        let curvature = if n_outputs == 1 { 0.25 } else { 1.0 / n_outputs as f64 };
        let gram = gram(problem);
        let n_features = problem.n_features();
        let mut scale: f64 = 0.0;
        for j in 0..n_features {
            scale = scale.max(f64::from(gram[(j, j)]) * curvature);
        }
        // f32 sums carry noise of about 1e-7 of the largest entry: a smaller diagonal is noise too.
        let mut ridge = problem.penalty().max(1e-6 * scale).max(f64::MIN_POSITIVE);
        let factor = loop {
            let mut matrix = Mat::from_fn(n_features, n_features, |i, j| {
                curvature * f64::from(gram[(i.max(j), i.min(j))])
            });
            for j in 0..n_features {
                matrix[(j, j)] += ridge;
            }
            match matrix.llt(Side::Lower) {
                Ok(llt) => break llt.L().to_owned(),
                Err(_) => ridge *= 100.0,
            }
        };
        let total: f64 = (0..problem.x.nrows()).map(|it| problem.weight(it)).sum();
        Self { factor, n_outputs, intercept: 1.0 / (curvature * total) }
    }

    /// Replaces a vector of parameters' shape by `M⁻¹` times it.
    pub(crate) fn apply(&self, vector: &mut [f64]) {
        let n_features = self.factor.nrows();
        let (coef, intercept) = vector.split_at_mut(n_features * self.n_outputs);
        intercept.iter_mut().for_each(|it| *it *= self.intercept);
        let mut coef = MatMut::from_row_major_slice_mut(coef, n_features, self.n_outputs);
        solve_lower_triangular_in_place(self.factor.as_ref(), coef.as_mut(), Par::rayon(0));
        solve_upper_triangular_in_place(self.factor.transpose(), coef, Par::rayon(0));
    }
}

/// The lower half of `XᵀSX` of centred, rescaled features, from evenly spaced rows where there are many.
fn gram<A: Feature>(problem: &Problem<'_, A>) -> Mat<f32> {
    let (n_samples, n_features) = problem.x.dim();
    let step = (n_samples / (ROWS_PER_FEATURE * n_features)).max(1);
    let rows: Vec<usize> = (0..n_samples).step_by(step).collect();
    let inverse = 1.0 / problem.scale;
    let mut sample = vec![0.0_f32; rows.len() * n_features];
    for (row, out) in rows.iter().zip(sample.chunks_exact_mut(n_features)) {
        let factor = inverse * (problem.weight(*row) * step as f64).sqrt();
        for ((out, value), mean) in out.iter_mut().zip(problem.x.row(*row)).zip(&problem.mean) {
            #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
            {
                *out = ((Into::<f64>::into(*value) - mean) * factor) as f32;
            }
        }
    }
    let sample = MatRef::from_row_major_slice(&sample, rows.len(), n_features);
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
