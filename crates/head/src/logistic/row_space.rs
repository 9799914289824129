//! The directions that few samples span.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};
use ndarray::Array2;

use super::objective::Problem;
use crate::feature::Feature;

/// An orthonormal basis of the row space of centred features, for `n_samples` well below `n_features`.
///
/// The penalised optimum lies in that space (the representer theorem: Kimeldorf & Wahba 1971), so the
/// problem has `rank ≤ n_samples` unknowns an output instead of `n_features`, and the same solution.
pub(crate) struct RowSpace {
    /// `(n_samples, rank)`: the features in the basis.
    pub(crate) coordinates: Array2<f64>,
    /// `(n_features, rank)`, orthonormal columns.
    basis: Mat<f64>,
}

impl RowSpace {
    /// `None` where it would not pay: the decomposition costs `n_samples³`.
    pub(crate) fn of<A: Feature>(problem: &Problem<'_, A>) -> Option<Self> {
        let (n_samples, n_features) = problem.x.dim();
        if 2 * n_samples > n_features {
            return None;
        }
        let mut x = vec![0.0; n_samples * n_features];
        problem.copy_rows(0, n_samples, &mut x);
        let x = MatRef::from_row_major_slice(&x, n_samples, n_features);
        let mut gram = Mat::zeros(n_samples, n_samples);
        matmul(gram.as_mut(), Accum::Replace, x, x.transpose(), 1.0, Par::rayon(0));
        let eigen = gram.self_adjoint_eigen(Side::Lower).ok()?;
        let values: Vec<f64> = (0..n_samples).map(|it| eigen.S()[it]).collect();
        // Below rounding there is no direction of the data; centring alone loses one.
        let floor = values.iter().copied().fold(0.0, f64::max) * 1e-13;
        let kept: Vec<usize> = (0..n_samples).filter(|it| values[*it] > floor).collect();
        if kept.is_empty() {
            return None;
        }
        let left =
            Mat::from_fn(n_samples, kept.len(), |i, j| eigen.U()[(i, kept[j])] / values[kept[j]].sqrt());
        let mut basis = Mat::zeros(n_features, kept.len());
        matmul(basis.as_mut(), Accum::Replace, x.transpose(), left.as_ref(), 1.0, Par::rayon(0));
        let coordinates =
            Array2::from_shape_fn((n_samples, kept.len()), |(i, j)| left[(i, j)] * values[kept[j]]);
        Some(Self { coordinates, basis })
    }

    /// Parameters in the features' own coordinates.
    pub(crate) fn lift(&self, parameters: &[f64], n_outputs: usize) -> Vec<f64> {
        let (n_features, rank) = self.basis.shape();
        let (coef, intercept) = parameters.split_at(rank * n_outputs);
        let mut lifted = vec![0.0; n_features * n_outputs];
        matmul(
            faer::MatMut::from_row_major_slice_mut(&mut lifted, n_features, n_outputs),
            Accum::Replace,
            self.basis.as_ref(),
            MatRef::from_row_major_slice(coef, rank, n_outputs),
            1.0,
            Par::rayon(0),
        );
        lifted.extend_from_slice(intercept);
        lifted
    }
}
