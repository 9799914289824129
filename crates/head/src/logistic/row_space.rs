//! The directions that few samples span.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::eigen;

/// An orthonormal basis of the row space of centred features, for `n_samples` well below `n_features`.
///
/// The penalised optimum lies in that space (the representer theorem: Kimeldorf & Wahba 1971), so the
/// problem has `rank ≤ n_samples` unknowns an output instead of `n_features`, and the same solution.
pub(crate) struct RowSpace {
    /// `(n_samples, rank)`, row-major: the features in the basis.
    pub(crate) coordinates: Vec<f64>,
    /// `(n_features, rank)`, orthonormal columns.
    basis: Mat<f64>,
}

impl RowSpace {
    /// The row space of `(n_samples, n_features)` centred, scaled features; `None` where nothing varies.
    /// The decomposition costs `n_samples³`.
    pub(crate) fn of(x: &[f64], n_samples: usize, n_features: usize) -> Option<Self> {
        let x = MatRef::from_row_major_slice(x, n_samples, n_features);
        let mut gram = Mat::zeros(n_samples, n_samples);
        matmul(gram.as_mut(), Accum::Replace, x, x.transpose(), 1.0, Par::rayon(0));
        let (values, vectors) = eigen::self_adjoint(&gram)?;
        // Below rounding there is no direction of the data; centring alone loses one.
        let floor = values.iter().copied().fold(0.0, f64::max) * 1e-13;
        let kept: Vec<usize> = (0..n_samples).filter(|it| values[*it] > floor).collect();
        if kept.is_empty() {
            return None;
        }
        let left = Mat::from_fn(n_samples, kept.len(), |i, j| vectors[(i, kept[j])] / values[kept[j]].sqrt());
        let mut basis = Mat::zeros(n_features, kept.len());
        matmul(basis.as_mut(), Accum::Replace, x.transpose(), left.as_ref(), 1.0, Par::rayon(0));
        let at = |i: usize, j: usize| left[(i, j)] * values[kept[j]];
        let coordinates = (0..n_samples)
            .flat_map(|i| (0..kept.len()).map(move |j| (i, j)))
            .map(|(i, j)| at(i, j))
            .collect();
        Some(Self { coordinates, basis })
    }

    /// Dimension of the space.
    pub(crate) fn rank(&self) -> usize {
        self.basis.ncols()
    }

    /// Parameters in the features' own coordinates.
    pub(crate) fn lift(&self, parameters: &[f64], n_outputs: usize) -> Vec<f64> {
        let (coef, intercept) = parameters.split_at(self.rank() * n_outputs);
        let coef = MatRef::from_row_major_slice(coef, self.rank(), n_outputs);
        let mut lifted = product(self.basis.as_ref(), coef);
        lifted.extend_from_slice(intercept);
        lifted
    }

    /// The part of parameters that lies in the space.
    pub(crate) fn project(&self, parameters: &[f64], n_outputs: usize) -> Vec<f64> {
        let n_features = self.basis.nrows();
        let (coef, intercept) = parameters.split_at(n_features * n_outputs);
        let coef = MatRef::from_row_major_slice(coef, n_features, n_outputs);
        let mut projected = product(self.basis.transpose(), coef);
        projected.extend_from_slice(intercept);
        projected
    }
}

/// A product, row-major.
fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; a.nrows() * b.ncols()];
    let to = MatMut::from_row_major_slice_mut(&mut out, a.nrows(), b.ncols());
    matmul(to, Accum::Replace, a, b, 1.0, Par::rayon(0));
    out
}
