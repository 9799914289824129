//! Logistic regression: a linear probe with a certificate.

mod exact;
mod features;
mod few_rows;
mod fit;
mod folds;
mod kernels;
mod lbfgs;
mod linfa_params;
mod loss;
mod one_vs_rest;
mod path;
mod precondition;
mod problem;
mod row_space;
mod rows;
mod search;
mod with_linfa;

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::feature::Feature;

pub use fit::Logistic;
pub use folds::{FoldFitted, Watch};
pub use linfa_params::{FittedLogistic, LogisticParams, LogisticValidParams};
pub use one_vs_rest::{OneVsRest, OneVsRestFit};
pub use path::{AlphaPath, default_alphas};
pub use rows::{RowSource, Visit};
pub use with_linfa::fit_with_linfa;

/// Settings of [`fit_logistic`] and [`Logistic::fit`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogisticConfig {
    /// L2 weight on the summed loss: `alpha = 1 / C` of scikit-learn. Default 1.
    pub alpha: f64,
    /// Whether `alpha` weighs the coefficients of standardised features, so that a feature's scale does
    /// not decide how much it may count. Default false: scikit-learn's objective. Deviations are of the
    /// samples, whatever they weigh.
    pub standardize: bool,
    /// Largest component of the gradient per sample, in units of the features' scale, that counts as
    /// converged. Default 1e-6.
    pub tolerance: f64,
    /// How far above its minimum the objective may be, relative to itself. Default 1e-6.
    pub gap_tolerance: f64,
    /// Iterations after which the fit gives up. Default 1000.
    pub max_iterations: usize,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { alpha: 1.0, standardize: false, tolerance: 1e-6, gap_tolerance: 1e-6, max_iterations: 1000 }
    }
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticFit {
    /// `(n_features, n_classes)`, for features as they came. With two classes the columns are `-w/2` and
    /// `w/2`, where `w` is the coefficient vector of the binary problem.
    pub coef: Array2<f64>,
    /// `(n_classes,)`; sums to zero.
    pub intercept: Array1<f64>,
    /// How good the optimum is.
    pub certificate: Certificate,
}

/// What proves an optimum: recomputed in f64 for the coefficients that are returned, on the features as
/// they came, by code that the solver's fast path (f32, centred copies) does not share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Summed loss plus penalty at the solution.
    pub objective: f64,
    /// Largest component of the gradient per sample, in units of the features' scale: with respect to
    /// coefficients of standardised features, or of features centred and divided by their common root
    /// mean square.
    pub gradient: f64,
    /// The tolerance it is below.
    pub tolerance: f64,
    /// The objective is at most this far above the true minimum: `‖∂/∂W‖² / (2 alpha)`, which follows
    /// from the penalty's strong convexity once the intercept's gradient is zero.
    pub gap: f64,
    /// Iterations of the solver.
    pub n_iterations: usize,
}

/// Fits a logistic regression on frozen embeddings: a *linear probe*.
///
/// Minimises `Σᵢ sᵢ·(-ln p(yᵢ | xᵢ)) + alpha/2 · ‖W‖²` over `W` and `b`, where `p` is the softmax of
/// `xᵢ·W + b` for three classes and more, and the sigmoid of `xᵢ·w + b` for two (scikit-learn's
/// `LogisticRegression`); `sᵢ` are the sample weights. The intercept is not penalised. The features
/// need no standardising: the solver works in their own metric, at any scale.
///
/// # Shapes
/// - `x`: `(n_samples, n_features)`, one embedding a row; no unit, finite.
/// - `y`: `(n_samples,)`, class indices below `n_classes`.
/// - `weights`: `(n_samples,)`, not negative; `None` counts every sample once.
///
/// # Errors
/// [`HeadError::SampleCountMismatch`], [`NonFinite`](HeadError::NonFinite),
/// [`TooFewClasses`](HeadError::TooFewClasses), [`UnknownClass`](HeadError::UnknownClass),
/// [`InvalidAlpha`](HeadError::InvalidAlpha) and their like before any work is done;
/// [`NotConverged`](HeadError::NotConverged) when the recomputed gradient or gap stays above its tolerance.
///
/// # Determinism
/// The same input gives the same bits, whatever the number of threads: sums are split in fixed pieces.
///
/// # Source
/// Alain & Bengio 2016, arXiv:1610.01644 (linear probes). Nocedal & Wright 2006, algorithm 7.4
/// (L-BFGS), its initial inverse Hessian replaced by that of the loss at uniform probabilities.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::{LogisticConfig, fit_logistic};
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.8], [1.0, 0.0], [0.9, 0.1]];
/// let fit = fit_logistic(x.view(), &[0, 0, 1, 1], 2, None, &LogisticConfig::default())?;
/// assert!(fit.coef[[0, 1]] > 0.0 && fit.certificate.gradient < 1e-6);
/// # Ok(())
/// # }
/// ```
pub fn fit_logistic<A: Feature>(
    x: ArrayView2<'_, A>,
    y: &[usize],
    n_classes: usize,
    weights: Option<&[f64]>,
    config: &LogisticConfig,
) -> Result<LogisticFit, HeadError> {
    Logistic::new(&x, y, n_classes, weights, config.standardize)?.fit(config)
}
