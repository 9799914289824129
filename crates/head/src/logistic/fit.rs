//! Data prepared once, fitted for any alpha.

use std::iter;
use std::sync::Arc;

use ndarray::{Array1, Array2, Axis, concatenate};

use super::exact::{Exact, Linear};
use super::features::Features;
use super::folds::Watch;
use super::kernels::Real;
use super::lbfgs::{self, Evaluate, Settings, Solution};
use super::loss::Targets;
use super::precondition::Preconditioner;
use super::problem::{Design, Problem};
use super::rows::{Remembering, RowSource};
use super::{Certificate, LogisticConfig, LogisticFit};
use crate::error::HeadError;
use crate::feature::{check_alpha, check_shape, check_weights};

/// Samples prepared for fits of logistic regression: centred and scaled once, then fitted for any alpha,
/// from any start.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::{Logistic, LogisticConfig};
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.8], [1.0, 0.0], [0.9, 0.1]];
/// let view = x.view();
/// let samples = Logistic::new(&view, &[0, 0, 1, 1], 2, None, false)?;
/// let strong = samples.fit(&LogisticConfig { alpha: 10.0, ..Default::default() })?;
/// let weak = samples.fit_from(&strong, &LogisticConfig { alpha: 0.1, ..Default::default() })?;
/// assert!(weak.coef[[0, 1]] > strong.coef[[0, 1]]);
/// # Ok(())
/// # }
/// ```
pub struct Logistic<'a, S> {
    features: Arc<Features<'a, S>>,
    targets: Targets<'a>,
    pub(super) watch: Option<&'a Watch<'a>>,
}

impl<'a, S: RowSource> Logistic<'a, S> {
    /// Prepares samples.
    ///
    /// # Shapes
    /// - `source`: `(n_samples, n_features)`, finite; an array view, or anything that can go through its
    ///   rows again and again.
    /// - `y`: `(n_samples,)`, class indices below `n_classes`.
    /// - `weights`: `(n_samples,)`, not negative; `None` counts every sample once.
    ///
    /// `standardize` as in [`LogisticConfig::standardize`]: a fit of these samples must say the same.
    ///
    /// # Errors
    /// As [`fit_logistic`](super::fit_logistic), but for the settings; [`HeadError::Source`].
    pub fn new(
        source: &'a S,
        y: &'a [usize],
        n_classes: usize,
        weights: Option<&'a [f64]>,
        standardize: bool,
    ) -> Result<Self, HeadError> {
        check_shape(source.dim(), y.len())?;
        check_weights(weights, y.len())?;
        check_classes(y, n_classes)?;
        let features = Features::new(source, standardize)?;
        Ok(Self { features: Arc::new(features), targets: Targets { y, weights, n_classes }, watch: None })
    }

    /// The same samples with other classes; what was prepared is shared.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::UnknownClass`], [`HeadError::TooFewClasses`].
    pub(crate) fn with_classes(&self, y: &'a [usize], n_classes: usize) -> Result<Self, HeadError> {
        check_shape(self.source().dim(), y.len())?;
        check_classes(y, n_classes)?;
        let targets = Targets { y, n_classes, weights: self.targets.weights };
        Ok(Self { features: Arc::clone(&self.features), targets, watch: self.watch })
    }

    /// The same samples; `watch` is told of every fold that a cross-validation of them has fitted.
    #[must_use]
    pub fn watched<'w>(&self, watch: &'w Watch<'w>) -> Logistic<'w, S>
    where
        'a: 'w,
    {
        Logistic { features: Arc::clone(&self.features), targets: self.targets, watch: Some(watch) }
    }

    /// Fits from nothing.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`], [`HeadError::InvalidTolerance`]; [`HeadError::StandardizeMismatch`] when
    /// the samples were prepared otherwise; [`HeadError::NotConverged`] when the certificate is not met.
    pub fn fit(&self, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        let n_parameters = (self.features.mean.len() + 1) * self.targets.n_outputs();
        self.fit_parameters(vec![0.0; n_parameters], config)
    }

    /// Fits from the solution of a similar problem: another alpha, a few samples more.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`HeadError::FeatureCountMismatch`], [`HeadError::TooFewClasses`] when the
    /// start has other features or classes.
    pub fn fit_from(&self, start: &LogisticFit, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        self.check_start(start.coef.dim())?;
        let linear = linear_of(&start.coef, &start.intercept);
        self.fit_parameters(self.exact(config.alpha).parameters(&linear), config)
    }

    /// Certifies a solution that something else has found, its intercept moved to its optimum.
    ///
    /// # Shapes
    /// - `coef`: `(n_features, n_classes)`, `intercept`: `(n_classes,)`, for features as they came.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`HeadError::FeatureCountMismatch`], [`HeadError::LabelCountMismatch`].
    pub fn certify(
        &self,
        coef: &Array2<f64>,
        intercept: &Array1<f64>,
        config: &LogisticConfig,
    ) -> Result<LogisticFit, HeadError> {
        self.check_config(config)?;
        self.check_start(coef.dim())?;
        let mut linear = linear_of(coef, intercept);
        let certificate = self.exact(config.alpha).certify(&mut linear, config, 0);
        let certificate = self.source().blame(certificate)?;
        check_certificate(&certificate, config)?;
        Ok(fitted(linear, certificate))
    }

    fn check_config(&self, config: &LogisticConfig) -> Result<(), HeadError> {
        check_alpha(config.alpha)?;
        for tolerance in [config.tolerance, config.gap_tolerance] {
            if !(tolerance.is_finite() && tolerance > 0.0) {
                return Err(HeadError::InvalidTolerance { tolerance });
            }
        }
        let (prepared, asked) = (self.features.standardize, config.standardize);
        if prepared != asked {
            return Err(HeadError::StandardizeMismatch { prepared, asked });
        }
        Ok(())
    }

    fn check_start(&self, (actual, classes): (usize, usize)) -> Result<(), HeadError> {
        let (expected, n_classes) = (self.features.mean.len(), self.targets.n_classes);
        if actual != expected {
            return Err(HeadError::FeatureCountMismatch { expected, actual });
        }
        if classes != n_classes {
            return Err(HeadError::LabelCountMismatch { expected: n_classes, actual: classes });
        }
        Ok(())
    }

    fn fit_parameters(&self, start: Vec<f64>, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        self.check_config(config)?;
        // In a thread of the pool: what is too small to be split then runs without waking another.
        self.source().blame(rayon::scope(|_| self.fit_in_pool(start, config)))
    }

    fn fit_in_pool(&self, start: Vec<f64>, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        let Features { source, mean, rows, row_space, .. } = &*self.features;
        let n_samples = source.dim().0;
        let exact = self.exact(config.alpha);
        let centred = self.features.centred();
        let design: &dyn Design<f32> = match rows {
            Some(rows) => rows,
            None => &centred,
        };
        let problem = Problem {
            design,
            n_features: mean.len(),
            rows: iter::once(0..n_samples).collect(),
            targets: &self.targets,
            penalty: exact.penalty,
        };
        let solution = match row_space {
            Some(space) => {
                let n_outputs = self.targets.n_outputs();
                let start = space.project(&start, n_outputs);
                let inner = Problem {
                    design: &space.coordinates,
                    n_features: space.rank(),
                    rows: iter::once(0..n_samples).collect(),
                    targets: &self.targets,
                    penalty: exact.penalty,
                };
                let solution =
                    solve(&inner, start, config, &settings(&inner, config), &mut |at, gradient| {
                        inner.evaluate(at, gradient)
                    });
                Solution { parameters: space.lift(&solution.parameters, n_outputs), ..solution }
            }
            None => solve(&problem, start, config, &settings(&problem, config), &mut |at, gradient| {
                problem.evaluate(at, gradient)
            }),
        };
        let Solution { parameters, mut n_iterations } = solution;
        let mut linear = exact.linear(&parameters);
        let mut certificate = exact.certify(&mut linear, config, n_iterations)?;
        // What f32 or the row space could not reach, f64 in the full space may. Well below the tolerances:
        // moving the intercept to its optimum costs the others a little.
        for share in [0.3, 0.03, 0.003] {
            if is_met(&certificate, config) || n_iterations >= config.max_iterations {
                break;
            }
            let left = LogisticConfig {
                tolerance: share * config.tolerance,
                gap_tolerance: share * config.gap_tolerance,
                max_iterations: config.max_iterations - n_iterations,
                ..*config
            };
            let max_iterations = left.max_iterations;
            let settings = Settings { max_iterations, noise: f64::NOISE, patience: 30, renew_after: 8 };
            let start = exact.parameters(&linear);
            let polished =
                solve(&problem, start, &left, &settings, &mut |at, gradient| exact.evaluate(at, gradient));
            n_iterations += polished.n_iterations;
            linear = exact.linear(&polished.parameters);
            certificate = exact.certify(&mut linear, config, n_iterations)?;
        }
        check_certificate(&certificate, config)?;
        Ok(fitted(linear, certificate))
    }

    fn exact(&self, alpha: f64) -> Exact<'_, Remembering<'a, S>> {
        Exact {
            source: self.source(),
            targets: &self.targets,
            mean: &self.features.mean,
            scale: &self.features.scale,
            penalty: self.penalty(alpha),
        }
    }

    /// The penalty in the solver's coordinates: unless features are standardised, one scale serves them
    /// all and moves into it.
    pub(super) fn penalty(&self, alpha: f64) -> f64 {
        if self.features.standardize { alpha } else { alpha / self.features.scale[0].powi(2) }
    }

    pub(super) fn source(&self) -> &Remembering<'a, S> {
        &self.features.source
    }

    pub(super) fn targets(&self) -> &Targets<'a> {
        &self.targets
    }

    /// Centred, scaled rows.
    pub(super) fn rows(&self) -> Option<&[f32]> {
        self.features.rows.as_deref()
    }

    /// Rows in their row space, and its dimension.
    pub(super) fn row_space_rows(&self) -> Option<(&[f64], usize)> {
        self.features.row_space.as_ref().map(|it| (it.coordinates.as_slice(), it.rank()))
    }
}

/// Goes from `start` as the problem's geometry suggests; whether it converged is for the certificate to
/// say.
fn solve<T: Real>(
    problem: &Problem<'_, T>,
    start: Vec<f64>,
    config: &LogisticConfig,
    settings: &Settings,
    evaluate: &mut Evaluate<'_>,
) -> Solution {
    lbfgs::minimise(
        start,
        settings,
        evaluate,
        &mut |parameters| Preconditioner::new(problem, parameters),
        &|value, gradient| is_converged(problem, config, value, gradient),
    )
}

/// Settings for the problem's own precision: what it cannot reach is left to f64.
fn settings<T: Real>(problem: &Problem<'_, T>, config: &LogisticConfig) -> Settings {
    let renew_after = Preconditioner::renew_after(problem);
    Settings { max_iterations: config.max_iterations, noise: T::NOISE, patience: 4, renew_after }
}

/// A little below the tolerances, so that rounding on the way back cannot lift them above.
fn is_converged<T: Real>(
    problem: &Problem<'_, T>,
    config: &LogisticConfig,
    value: f64,
    gradient: &[f64],
) -> bool {
    problem.gradient_per_sample(gradient) <= 0.9 * config.tolerance
        && problem.gap(gradient) <= 0.9 * config.gap_tolerance * value
}

fn is_met(certificate: &Certificate, config: &LogisticConfig) -> bool {
    certificate.gradient <= config.tolerance
        && certificate.gap <= config.gap_tolerance * certificate.objective
}

fn check_certificate(certificate: &Certificate, config: &LogisticConfig) -> Result<(), HeadError> {
    if is_met(certificate, config) {
        return Ok(());
    }
    let Certificate { objective, gradient, gap, n_iterations, .. } = *certificate;
    Err(HeadError::NotConverged { gradient, tolerance: config.tolerance, gap, n_iterations, objective })
}

/// The inverse of [`fitted`].
fn linear_of(coef: &Array2<f64>, intercept: &Array1<f64>) -> Linear {
    if coef.ncols() == 2 {
        let coef = &coef.column(1) - &coef.column(0);
        let intercept = Array1::from(vec![intercept[1] - intercept[0]]);
        return Linear { coef: coef.insert_axis(Axis(1)), intercept };
    }
    Linear { coef: coef.clone(), intercept: intercept.clone() }
}

/// One column a class: for two classes half the log-odds each, else centred.
fn fitted(linear: Linear, certificate: Certificate) -> LogisticFit {
    let Linear { coef, intercept } = linear;
    if let [b] = *intercept.to_vec() {
        let coef = concatenate![Axis(1), coef.mapv(|it| -0.5 * it), 0.5 * &coef];
        return LogisticFit { coef, intercept: Array1::from(vec![-0.5 * b, 0.5 * b]), certificate };
    }
    // Adding a constant to all logits changes nothing; the penalty has centred W, centre b too.
    let mean = intercept.mean().unwrap_or(0.0);
    LogisticFit { coef, intercept: intercept - mean, certificate }
}

fn check_classes(y: &[usize], n_classes: usize) -> Result<(), HeadError> {
    let mut seen = vec![false; n_classes];
    for (sample, class) in y.iter().enumerate() {
        match seen.get_mut(*class) {
            Some(it) => *it = true,
            None => return Err(HeadError::UnknownClass { sample, class: *class, n_classes }),
        }
    }
    let found = seen.iter().filter(|it| **it).count();
    if found < 2 { Err(HeadError::TooFewClasses { found, only: None }) } else { Ok(()) }
}
