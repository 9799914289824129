//! An approximate inverse Hessian, from one Gram matrix and one Cholesky factor.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};

use super::lbfgs::Precondition;
use super::objective::Problem;
use crate::feature::Feature;

/// Iteration before which the curvatures are first taken anew; then each time the count has doubled.
const FIRST_RENEWAL: usize = 4;

/// Rows of the Gram matrix per feature: enough that the preconditioner sees every direction.
const ROWS_PER_FEATURE: usize = 4;

/// `M⁻¹` for `M = XᵀAX + alpha·I`, where `A` holds the curvature of each sample's loss, averaged over
/// the classes.
///
/// With it the Hessian of every class is near the identity, whatever the scales and correlations of the
/// features; without it pooled ReLU features need hundreds of iterations. For two classes it is the
/// exact inverse Hessian. As the fit separates the classes, curvatures fall by orders of magnitude and
/// differently for each sample, so the matrix is renewed a few times on the way.
pub(crate) struct Preconditioner<'p, 'a, A> {
    problem: &'p Problem<'a, A>,
    factor: Mat<f64>,
    intercept: f64,
    renew_at: usize,
}

impl<'p, 'a, A: Feature> Preconditioner<'p, 'a, A> {
    pub(crate) fn new(problem: &'p Problem<'a, A>, parameters: &[f64]) -> Self {
        let mut it = Self { problem, factor: Mat::new(), intercept: 1.0, renew_at: FIRST_RENEWAL };
        it.compute(parameters);
        it
    }

    fn compute(&mut self, parameters: &[f64]) {
        let problem = self.problem;
        let curvatures = problem.curvatures(parameters);
        let gram = gram(problem, &curvatures);
        let n_features = problem.n_features();
        let largest = (0..n_features).map(|j| f64::from(gram[(j, j)])).fold(0.0, f64::max);
        // f32 sums carry noise of about 1e-7 of the largest entry: a smaller diagonal is noise too.
        let mut ridge = problem.penalty().max(1e-6 * largest).max(f64::MIN_POSITIVE);
        self.factor = loop {
            let mut matrix =
                Mat::from_fn(n_features, n_features, |i, j| f64::from(gram[(i.max(j), i.min(j))]));
            for j in 0..n_features {
                matrix[(j, j)] += ridge;
            }
            match matrix.llt(Side::Lower) {
                Ok(llt) => break llt.L().to_owned(),
                Err(_) => ridge *= 100.0,
            }
        };
        self.intercept = 1.0 / curvatures.iter().sum::<f64>().max(1e-6);
    }
}

impl<A: Feature> Precondition for Preconditioner<'_, '_, A> {
    fn apply(&self, vector: &mut [f64]) {
        let (n_features, n_outputs) = (self.factor.nrows(), self.problem.n_outputs());
        let (coef, intercept) = vector.split_at_mut(n_features * n_outputs);
        intercept.iter_mut().for_each(|it| *it *= self.intercept);
        let mut coef = MatMut::from_row_major_slice_mut(coef, n_features, n_outputs);
        solve_lower_triangular_in_place(self.factor.as_ref(), coef.as_mut(), Par::rayon(0));
        solve_upper_triangular_in_place(self.factor.transpose(), coef, Par::rayon(0));
    }

    fn renew(&mut self, iteration: usize, parameters: &[f64]) {
        if iteration == self.renew_at {
            self.compute(parameters);
            self.renew_at = iteration * 2;
        }
    }
}

/// The lower half of `XᵀAX` of centred, rescaled features, from evenly spaced rows where there are many.
fn gram<A: Feature>(problem: &Problem<'_, A>, curvatures: &[f64]) -> Mat<f32> {
    let (n_samples, n_features) = problem.x.dim();
    let step = (n_samples / (ROWS_PER_FEATURE * n_features)).max(1);
    let rows: Vec<usize> = (0..n_samples).step_by(step).collect();
    let inverse = 1.0 / problem.scale;
    let mut sample = vec![0.0_f32; rows.len() * n_features];
    for (row, out) in rows.iter().zip(sample.chunks_exact_mut(n_features)) {
        let factor = inverse * (curvatures[*row] * step as f64).sqrt();
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
