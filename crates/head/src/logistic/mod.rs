//! Logistic regression: a linear probe with a certificate.

mod lbfgs;
mod linfa_params;
mod objective;
mod precondition;
mod row_space;

use ndarray::{Array1, Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::feature::{Feature, check_alpha, check_features, check_weights};
use lbfgs::Settings;
use objective::Problem;
use precondition::Preconditioner;
use row_space::RowSpace;

pub use linfa_params::{FittedLogistic, LogisticParams, LogisticValidParams};

/// How far above its minimum the objective may be, relative to itself, before the solver goes on.
///
/// Aimed at, not enforced: with a vanishing `alpha` the bound is out of reach of f64, and says so.
const GAP_TOLERANCE: f64 = 1e-6;

/// Settings of [`fit_logistic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogisticConfig {
    /// L2 weight on the summed loss: `alpha = 1 / C` of scikit-learn. Default 1.
    pub alpha: f64,
    /// Largest component of the gradient per sample, in units of the features' scale, that counts as
    /// converged. Default 1e-6.
    pub tolerance: f64,
    /// Iterations after which the fit gives up. Default 1000.
    pub max_iterations: usize,
}

impl Default for LogisticConfig {
    fn default() -> Self {
        Self { alpha: 1.0, tolerance: 1e-6, max_iterations: 1000 }
    }
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticFit {
    /// `(n_features, n_classes)`. With two classes the columns are `-w/2` and `w/2`, where `w` is the
    /// coefficient vector of the binary problem.
    pub coef: Array2<f64>,
    /// `(n_classes,)`; sums to zero.
    pub intercept: Array1<f64>,
    /// How good the optimum is.
    pub certificate: Certificate,
}

/// What proves an optimum: recomputed in f64 on the features as they came, by code the solver's fast
/// path does not share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Summed loss plus penalty at the solution.
    pub objective: f64,
    /// Largest component of the gradient per sample, in units of the features' scale.
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
/// [`NotConverged`](HeadError::NotConverged) when the recomputed gradient stays above the tolerance.
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
    check_features(x, y.len())?;
    check_weights(weights, y.len())?;
    check_alpha(config.alpha)?;
    if !(config.tolerance.is_finite() && config.tolerance > 0.0) {
        return Err(HeadError::InvalidTolerance { tolerance: config.tolerance });
    }
    check_classes(y, n_classes)?;
    let problem = Problem::new(x.reborrow(), y, n_classes, weights, config.alpha);
    // Few samples span few directions: solve there, certify on the features as they came.
    let (parameters, n_iterations) = match RowSpace::of(&problem) {
        Some(space) => {
            let inner = Problem::in_row_space(&problem, space.coordinates.view());
            let (parameters, n_iterations) = solve(&inner, config);
            (space.lift(&parameters, problem.n_outputs()), n_iterations)
        }
        None => solve(&problem, config),
    };
    let certificate = problem.certify(&parameters, config.tolerance, n_iterations);
    if certificate.gradient.is_nan() || certificate.gradient > config.tolerance {
        return Err(HeadError::NotConverged {
            gradient: certificate.gradient,
            tolerance: config.tolerance,
            n_iterations,
            objective: certificate.objective,
        });
    }
    let (coef, intercept) = problem.coefficients(&parameters);
    Ok(LogisticFit { coef, intercept, certificate })
}

/// Runs the solver; whether it converged is for the certificate to say.
fn solve<A: Feature>(problem: &Problem<'_, A>, config: &LogisticConfig) -> (Vec<f64>, usize) {
    let start = vec![0.0; problem.n_parameters()];
    let mut preconditioner = Preconditioner::new(problem, &start);
    let settings = Settings { max_iterations: config.max_iterations, ..Settings::default() };
    let solution = lbfgs::minimise(
        start,
        &settings,
        &mut |parameters, gradient| problem.evaluate(parameters, gradient),
        &mut preconditioner,
        // A little below the tolerances, so that rounding on the way back cannot lift them above.
        &|value, gradient| {
            problem.gradient_per_sample(gradient) <= 0.5 * config.tolerance
                && problem.gap(gradient) <= 0.5 * GAP_TOLERANCE * value
        },
    );
    (problem.polish_intercept(solution.parameters), solution.n_iterations)
}

fn check_classes(y: &[usize], n_classes: usize) -> Result<(), HeadError> {
    let mut seen = vec![false; n_classes];
    for (sample, class) in y.iter().enumerate() {
        match seen.get_mut(*class) {
            Some(it) => *it = true,
            None => {
                return Err(HeadError::UnknownClass { sample, class: *class, n_classes });
            }
        }
    }
    let found = seen.iter().filter(|it| **it).count();
    if found < 2 { Err(HeadError::TooFewClasses { found, only: None }) } else { Ok(()) }
}
