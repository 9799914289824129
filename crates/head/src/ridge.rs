//! Ridge regression: every `alpha` and every leave-one-out residual from one decomposition.

use std::collections::BTreeMap;

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve;
use faer::{Accum, Mat, MatRef, Par, Scale};
use ndarray::{Array1, Array2, ArrayView2};

use crate::eigen;
use crate::error::HeadError;
use crate::feature::{Feature, check_alpha, check_features};
use crate::logistic::Certificate;

/// Largest gradient component per sample, in units of features and targets scaled to 1, of an exact
/// solution in f64.
const TOLERANCE: f64 = 1e-8;

/// A ridge problem, decomposed once.
///
/// Minimises `½‖Y - X·W - b‖² + alpha/2·‖W‖²` over `W` and the unpenalised intercept `b`. The centred
/// features are decomposed by the eigenvectors of the smaller of `XᵀX` and `XXᵀ`; each `alpha` then
/// costs two products with the targets.
///
/// # Source
/// Hastie, Tibshirani & Friedman 2009, section 3.4.1 and equations 7.64–7.67 (leave-one-out, GCV);
/// scikit-learn 1.9, `linear_model/_ridge.py` (`_RidgeGCV`).
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::Ridge;
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0_f64], [1.0], [2.0]], array![[1.0], [3.0], [5.0]]);
/// let fit = Ridge::new(x.view(), y.view())?.fit(1e-9)?;
/// assert!((fit.coef[[0, 0]] - 2.0).abs() < 1e-6 && (fit.intercept[0] - 1.0).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
pub struct Ridge {
    /// Centred, `(n_samples, n_features)`.
    x: Mat<f64>,
    /// Centred, `(n_samples, n_targets)`.
    y: Mat<f64>,
    x_mean: Array1<f64>,
    y_mean: Array1<f64>,
    /// Left singular vectors of the centred features, `(n_samples, rank)`.
    left: Mat<f64>,
    /// Squared singular values, `(rank,)`.
    squares: Vec<f64>,
}

/// A fitted ridge regression.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeFit {
    /// `(n_features, n_targets)`.
    pub coef: Array2<f64>,
    /// `(n_targets,)`.
    pub intercept: Array1<f64>,
    /// How good the optimum is.
    pub certificate: Certificate,
}

impl Ridge {
    /// Decomposes the problem.
    ///
    /// # Shapes
    /// - `x`: `(n_samples, n_features)`, finite.
    /// - `y`: `(n_samples, n_targets)`, finite.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::NoSamples`], [`HeadError::NonFinite`],
    /// [`HeadError::NonFiniteTarget`]; [`HeadError::Decomposition`] for features so large that their
    /// products are not finite.
    pub fn new<A: Feature>(x: ArrayView2<'_, A>, y: ArrayView2<'_, f64>) -> Result<Self, HeadError> {
        check_features(x.reborrow(), y.nrows())?;
        if let Some(((sample, target), _)) = y.indexed_iter().find(|(_, it)| !it.is_finite()) {
            return Err(HeadError::NonFiniteTarget { sample, target });
        }
        let (x, x_mean) = centred(x);
        let (y, y_mean) = centred(y);
        let (n_samples, n_features) = x.shape();
        let dual = n_samples < n_features;
        let size = n_samples.min(n_features);
        let mut gram = Mat::zeros(size, size);
        let (left, right) = if dual { (x.as_ref(), x.transpose()) } else { (x.transpose(), x.as_ref()) };
        matmul(gram.as_mut(), Accum::Replace, left, right, 1.0, Par::rayon(0));
        let (values, all_vectors) = eigen::self_adjoint(&gram).ok_or(HeadError::Decomposition)?;
        // What is below rounding is no direction of the data: its singular vector would be noise.
        let floor = values.iter().copied().fold(0.0, f64::max) * 1e-13;
        let kept: Vec<usize> = (0..size).filter(|it| values[*it] > floor).collect();
        let vectors = Mat::from_fn(size, kept.len(), |i, j| all_vectors[(i, kept[j])]);
        let squares: Vec<f64> = kept.iter().map(|it| values[*it]).collect();
        let left = if dual {
            vectors
        } else {
            let mut left = Mat::zeros(n_samples, kept.len());
            matmul(left.as_mut(), Accum::Replace, x.as_ref(), vectors.as_ref(), 1.0, Par::rayon(0));
            for (j, square) in squares.iter().enumerate() {
                let inverse = 1.0 / square.sqrt();
                (0..n_samples).for_each(|i| left[(i, j)] *= inverse);
            }
            left
        };
        Ok(Self { x, y, x_mean, y_mean, left, squares })
    }

    /// The optimum for one `alpha`.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`]; [`HeadError::NotConverged`] when the recomputed gradient is not zero
    /// to rounding.
    pub fn fit(&self, alpha: f64) -> Result<RidgeFit, HeadError> {
        check_alpha(alpha)?;
        // W = Xᵀ(XXᵀ + alpha)⁻¹Y: on the span of the data, U diag(1 / (s² + alpha)) Uᵀ Y.
        let dual = self.shrunk(|square| 1.0 / (square + alpha));
        let mut coef = Mat::zeros(self.x.ncols(), self.y.ncols());
        matmul(coef.as_mut(), Accum::Replace, self.x.transpose(), dual.as_ref(), 1.0, Par::rayon(0));
        let certificate = self.certify(&coef, alpha)?;
        let coef = to_array(coef.as_ref());
        let intercept = &self.y_mean - self.x_mean.dot(&coef);
        Ok(RidgeFit { coef, intercept, certificate })
    }

    /// Leave-one-out residuals for one `alpha`: what the fit without a sample errs on it, `(n_samples,
    /// n_targets)`.
    ///
    /// `(yᵢ - ŷᵢ) / (1 - hᵢ)`, where `hᵢ` is the diagonal of the hat matrix, intercept included.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`].
    pub fn leave_one_out(&self, alpha: f64) -> Result<Array2<f64>, HeadError> {
        let each_alone: Vec<u64> = (0..self.y.nrows() as u64).collect();
        self.leave_group_out(alpha, &each_alone)
    }

    /// As [`leave_one_out`](Self::leave_one_out), with all samples of a group left out together.
    ///
    /// `(I - H_GG)⁻¹ (y - ŷ)_G` for each group. Where the features span all that centred samples can, `I - H`
    /// is what the penalty holds back, `alpha / (s² + alpha)` of each direction: differences from 1 would
    /// cancel where it is weak. Not finite where the others say nothing of a group.
    ///
    /// # Shapes
    /// - `groups`: `(n_samples,)`, equal for samples of one group.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`]; [`HeadError::SampleCountMismatch`].
    pub fn leave_group_out(&self, alpha: f64, groups: &[u64]) -> Result<Array2<f64>, HeadError> {
        check_alpha(alpha)?;
        let (n_samples, n_targets) = self.y.shape();
        if groups.len() != n_samples {
            return Err(HeadError::SampleCountMismatch { x_rows: n_samples, y_len: groups.len() });
        }
        // Centred samples span one direction less than there are: then nothing lies outside.
        let spans_all = self.squares.len() + 1 >= n_samples;
        let share =
            |square: f64| if spans_all { alpha / (square + alpha) } else { -square / (square + alpha) };
        let mut residuals = self.shrunk(share);
        if !spans_all {
            residuals += &self.y;
        }
        let shares: Vec<f64> = self.squares.iter().map(|square| share(*square)).collect();
        let free = |i: usize, k: usize| {
            let of_direction = |(j, share): (usize, &f64)| self.left[(i, j)] * self.left[(k, j)] * share;
            let in_span: f64 = shares.iter().enumerate().map(of_direction).sum();
            let unit = if i == k { 1.0 } else { 0.0 };
            in_span + if spans_all { 0.0 } else { unit - 1.0 / n_samples as f64 }
        };
        let mut members: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        groups.iter().enumerate().for_each(|(sample, group)| members.entry(*group).or_default().push(sample));
        let mut out = Array2::zeros((n_samples, n_targets));
        for members in members.values() {
            let m = members.len();
            let mut errors = Mat::from_fn(m, n_targets, |i, t| residuals[(members[i], t)]);
            if m == 1 {
                errors /= Scale(free(members[0], members[0]));
            } else {
                let block = Mat::from_fn(m, m, |i, k| free(members[i], members[k]));
                errors = block.partial_piv_lu().solve(errors);
            }
            for (i, sample) in members.iter().enumerate() {
                (0..n_targets).for_each(|t| out[[*sample, t]] = errors[(i, t)]);
            }
        }
        Ok(out)
    }

    /// Generalised cross-validation for one `alpha`: `n·‖Y - Ŷ‖² / (n - tr H)²`, summed over targets.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`].
    pub fn generalised_cross_validation(&self, alpha: f64) -> Result<f64, HeadError> {
        check_alpha(alpha)?;
        let fitted = self.shrunk(|square| square / (square + alpha));
        let n = self.y.nrows() as f64;
        let degrees = 1.0 + self.squares.iter().map(|s| s / (s + alpha)).sum::<f64>();
        Ok(n * (&self.y - fitted).squared_norm_l2() / (n - degrees).powi(2))
    }

    /// `U diag(weight(s²)) Uᵀ Y`.
    fn shrunk(&self, weight: impl Fn(f64) -> f64) -> Mat<f64> {
        let mut shares = Mat::zeros(self.squares.len(), self.y.ncols());
        let left = self.left.as_ref();
        matmul(shares.as_mut(), Accum::Replace, left.transpose(), self.y.as_ref(), 1.0, Par::rayon(0));
        for (j, square) in self.squares.iter().enumerate() {
            (0..self.y.ncols()).for_each(|t| shares[(j, t)] *= weight(*square));
        }
        let mut out = Mat::zeros(self.y.nrows(), self.y.ncols());
        matmul(out.as_mut(), Accum::Replace, left, shares.as_ref(), 1.0, Par::rayon(0));
        out
    }

    /// The gradient `Xᵀ(XW - Y) + alpha·W`, from the centred data and not from their decomposition.
    fn certify(&self, coef: &Mat<f64>, alpha: f64) -> Result<Certificate, HeadError> {
        let mut residual = self.y.clone();
        matmul(residual.as_mut(), Accum::Add, self.x.as_ref(), coef.as_ref(), -1.0, Par::rayon(0));
        let mut gradient = Mat::zeros(coef.nrows(), coef.ncols());
        matmul(gradient.as_mut(), Accum::Replace, self.x.transpose(), residual.as_ref(), -1.0, Par::rayon(0));
        gradient += coef * alpha;
        let objective = 0.5 * residual.squared_norm_l2() + 0.5 * alpha * coef.squared_norm_l2();
        let n = self.y.nrows() as f64;
        let rms = |it: &Mat<f64>| (it.squared_norm_l2() / (it.nrows() * it.ncols()) as f64).sqrt();
        let unit = (rms(&self.x) * rms(&self.y)).max(f64::MIN_POSITIVE);
        let largest = gradient.norm_max() / (n * unit);
        if largest.is_nan() || largest > TOLERANCE {
            return Err(HeadError::NotConverged {
                gradient: largest,
                tolerance: TOLERANCE,
                gap: gradient.squared_norm_l2() / (2.0 * alpha),
                n_iterations: 1,
                objective,
            });
        }
        let gap = gradient.squared_norm_l2() / (2.0 * alpha);
        Ok(Certificate { objective, gradient: largest, tolerance: TOLERANCE, gap, n_iterations: 1 })
    }
}

fn centred<A: Feature>(x: ArrayView2<'_, A>) -> (Mat<f64>, Array1<f64>) {
    let n = x.nrows() as f64;
    let mean = Array1::from_iter(
        x.columns().into_iter().map(|column| column.iter().map(|it| Into::<f64>::into(*it)).sum::<f64>() / n),
    );
    (Mat::from_fn(x.nrows(), x.ncols(), |i, j| Into::<f64>::into(x[[i, j]]) - mean[j]), mean)
}

fn to_array(x: MatRef<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)])
}
