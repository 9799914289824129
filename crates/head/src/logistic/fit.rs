//! Data prepared once, fitted for any alpha.

use std::iter;

use ndarray::{Array1, Axis, concatenate};
use rayon::prelude::*;

use super::exact::{Exact, Linear};
use super::lbfgs::{self, Evaluate, Settings, Solution};
use super::loss::Targets;
use super::precondition::Preconditioner;
use super::problem::{Design, Problem, Real};
use super::row_space::RowSpace;
use super::rows::RowSource;
use super::{Certificate, LogisticConfig, LogisticFit};
use crate::error::HeadError;
use crate::feature::{check_alpha, check_shape, check_weights};

/// Rows that are converted or summed by one thread at a time.
const CHUNK_ROWS: usize = 64;

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
    source: &'a S,
    targets: Targets<'a>,
    mean: Vec<f64>,
    scale: Vec<f64>,
    standardize: bool,
    /// Centred, scaled rows, where they are in memory.
    rows: Option<Vec<f32>>,
    row_space: Option<RowSpace>,
}

/// Rows centred and scaled as they come.
struct Centred<'a, S> {
    source: &'a S,
    mean: &'a [f64],
    scale: &'a [f64],
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
    /// # Errors
    /// As [`fit_logistic`](super::fit_logistic), but for the settings; [`HeadError::Source`].
    pub fn new(
        source: &'a S,
        y: &'a [usize],
        n_classes: usize,
        weights: Option<&'a [f64]>,
        standardize: bool,
    ) -> Result<Self, HeadError> {
        let (n_samples, n_features) = source.dim();
        check_shape((n_samples, n_features), y.len())?;
        check_weights(weights, y.len())?;
        check_classes(y, n_classes)?;
        let (mean, scale) = mean_and_scale(source, standardize)?;
        let centred = Centred { source, mean: &mean, scale: &scale };
        let rows = source.is_in_memory().then(|| centred.gather()).transpose()?;
        // Few samples span few directions: solved there, certified on the features as they came.
        let row_space = if 2 * n_samples <= n_features {
            RowSpace::of(&centred.gather()?, n_samples, n_features)
        } else {
            None
        };
        let targets = Targets { y, weights, n_classes };
        Ok(Self { source, targets, mean, scale, standardize, rows, row_space })
    }

    /// Fits from nothing.
    ///
    /// # Errors
    /// [`HeadError::InvalidAlpha`], [`HeadError::InvalidTolerance`]; [`HeadError::NotConverged`] when the
    /// certificate is not met.
    pub fn fit(&self, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        let n_parameters = (self.mean.len() + 1) * self.targets.n_outputs();
        self.fit_parameters(vec![0.0; n_parameters], config)
    }

    /// Fits from the solution of a similar problem: another alpha, a few samples more.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`HeadError::FeatureCountMismatch`], [`HeadError::TooFewClasses`] when the
    /// start has other features or classes.
    pub fn fit_from(&self, start: &LogisticFit, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        let (actual, classes) = start.coef.dim();
        if actual != self.mean.len() {
            return Err(HeadError::FeatureCountMismatch { expected: self.mean.len(), actual });
        }
        if classes != self.targets.n_classes {
            return Err(HeadError::LabelCountMismatch { expected: self.targets.n_classes, actual: classes });
        }
        let linear = if classes == 2 {
            let coef = &start.coef.column(1) - &start.coef.column(0);
            let intercept = start.intercept[1] - start.intercept[0];
            Linear { coef: coef.insert_axis(Axis(1)), intercept: Array1::from(vec![intercept]) }
        } else {
            Linear { coef: start.coef.clone(), intercept: start.intercept.clone() }
        };
        self.fit_parameters(self.exact(config.alpha).parameters(&linear), config)
    }

    fn fit_parameters(&self, start: Vec<f64>, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        check_config(config)?;
        // In a thread of the pool: what is too small to be split then runs without waking another.
        rayon::scope(|_| self.fit_in_pool(start, config))
    }

    fn fit_in_pool(&self, start: Vec<f64>, config: &LogisticConfig) -> Result<LogisticFit, HeadError> {
        let n_samples = self.source.dim().0;
        let exact = self.exact(config.alpha);
        let centred = Centred { source: self.source, mean: &self.mean, scale: &self.scale };
        let design: &dyn Design<f32> = match &self.rows {
            Some(rows) => rows,
            None => &centred,
        };
        let problem = Problem {
            design,
            n_features: self.mean.len(),
            rows: iter::once(0..n_samples).collect(),
            targets: &self.targets,
            penalty: exact.penalty,
        };
        let solution = match &self.row_space {
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
        if !is_met(&certificate, config) && n_iterations < config.max_iterations {
            // What f32 or the row space could not reach, f64 in the full space may.
            // Well below the tolerances: moving the intercept to its optimum costs the others a little.
            let left = LogisticConfig {
                tolerance: 0.3 * config.tolerance,
                gap_tolerance: 0.3 * config.gap_tolerance,
                max_iterations: config.max_iterations - n_iterations,
                ..*config
            };
            let max_iterations = left.max_iterations;
            let settings = Settings { max_iterations, noise: f64::NOISE, patience: 30, renew_at: 8 };
            let start = exact.parameters(&linear);
            let polished =
                solve(&problem, start, &left, &settings, &mut |at, gradient| exact.evaluate(at, gradient));
            n_iterations += polished.n_iterations;
            linear = exact.linear(&polished.parameters);
            certificate = exact.certify(&mut linear, config, n_iterations)?;
        }
        if !is_met(&certificate, config) {
            return Err(HeadError::NotConverged {
                gradient: certificate.gradient,
                tolerance: config.tolerance,
                gap: certificate.gap,
                n_iterations,
                objective: certificate.objective,
            });
        }
        Ok(fitted(linear, certificate))
    }

    fn exact(&self, alpha: f64) -> Exact<'_, S> {
        Exact {
            source: self.source,
            targets: &self.targets,
            mean: &self.mean,
            scale: &self.scale,
            penalty: self.penalty(alpha),
        }
    }

    /// The penalty in the solver's coordinates: unless features are standardised, one scale serves them
    /// all and moves into it.
    pub(super) fn penalty(&self, alpha: f64) -> f64 {
        if self.standardize { alpha } else { alpha / self.scale[0].powi(2) }
    }

    pub(super) fn source(&self) -> &S {
        self.source
    }

    pub(super) fn targets(&self) -> &Targets<'a> {
        &self.targets
    }

    /// Centred, scaled rows.
    pub(super) fn rows(&self) -> Option<&[f32]> {
        self.rows.as_deref()
    }

    /// Rows in their row space, and its dimension.
    pub(super) fn row_space_rows(&self) -> Option<(&[f64], usize)> {
        self.row_space.as_ref().map(|it| (it.coordinates.as_slice(), it.rank()))
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
    let renew_at = Preconditioner::cost(problem).clamp(4, 64);
    Settings { max_iterations: config.max_iterations, noise: T::NOISE, patience: 4, renew_at }
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

impl<S: RowSource> Centred<'_, S> {
    /// All rows, row-major.
    fn gather<T: Real>(&self) -> Result<Vec<T>, HeadError> {
        let mut all = Vec::new();
        self.source.for_each_batch(&mut |_, batch| {
            let rows = self.convert(batch);
            if all.is_empty() { all = rows } else { all.extend(rows) }
        })?;
        Ok(all)
    }

    fn convert<T: Real>(&self, batch: &[S::Elem]) -> Vec<T> {
        let n_features = self.mean.len();
        let inverse: Vec<f64> = self.scale.iter().map(|it| 1.0 / it).collect();
        let mut out = vec![T::zero_impl(); batch.len()];
        let chunks =
            out.par_chunks_mut(CHUNK_ROWS * n_features).zip(batch.par_chunks(CHUNK_ROWS * n_features));
        chunks.for_each(|(out, rows)| {
            for (out, row) in out.chunks_exact_mut(n_features).zip(rows.chunks_exact(n_features)) {
                for (((out, value), mean), inverse) in out.iter_mut().zip(row).zip(self.mean).zip(&inverse) {
                    *out = T::from_f64((Into::<f64>::into(*value) - mean) * inverse);
                }
            }
        });
        out
    }
}

impl<S: RowSource> Design<f32> for Centred<'_, S> {
    fn for_each_batch(&self, visit: &mut dyn FnMut(usize, &[f32])) -> Result<(), HeadError> {
        self.source.for_each_batch(&mut |first, batch| visit(first, &self.convert(batch)))
    }
}

/// Column means and scales: standard deviations, or one for all columns, the root mean square of the
/// centred values. What does not vary has scale 1. Refuses values that are not finite.
fn mean_and_scale<S: RowSource>(source: &S, standardize: bool) -> Result<(Vec<f64>, Vec<f64>), HeadError> {
    let (n_samples, n_features) = source.dim();
    let n = n_samples as f64;
    let zeros = vec![0.0; n_features];
    let mut mean = column_sums(source, &zeros, |value, _| value)?;
    mean.iter_mut().for_each(|it| *it /= n);
    // A sum is finite exactly if what it adds up is (or overflows, which is as bad).
    if let Some(feature) = mean.iter().position(|it| !it.is_finite()) {
        let sample = first_non_finite(source, feature)?;
        return Err(HeadError::NonFinite { sample, feature });
    }
    // Squares of huge features would overflow, those of tiny ones vanish: in units of a typical size.
    let largest = mean.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    let inverse = if largest > 0.0 { 1.0 / largest } else { 1.0 };
    let squares = column_sums(source, &mean, |value, mean| ((value - mean) * inverse).powi(2))?;
    let deviation = |squares: f64, count: f64| (squares / count).sqrt() / inverse;
    // What is left of a constant column after rounding is no deviation.
    let or_one = |deviation: f64, mean: f64| if deviation > 1e-12 * mean.abs() { deviation } else { 1.0 };
    let scale = if standardize {
        squares.iter().zip(&mean).map(|(squares, mean)| or_one(deviation(*squares, n), *mean)).collect()
    } else {
        let common = deviation(squares.iter().sum(), n * n_features as f64);
        vec![or_one(common, largest); n_features]
    };
    Ok((mean, scale))
}

/// Sums over each column of what `term` makes of a value and the column's parameter, in fixed pieces.
fn column_sums<S: RowSource>(
    source: &S,
    parameters: &[f64],
    term: impl Fn(f64, f64) -> f64 + Sync,
) -> Result<Vec<f64>, HeadError> {
    let n_features = parameters.len();
    let mut sums = vec![0.0; n_features];
    source.for_each_batch(&mut |_, batch| {
        let of_chunk = |rows: &[S::Elem]| {
            let mut sums = vec![0.0; n_features];
            for row in rows.chunks_exact(n_features) {
                for ((sum, value), parameter) in sums.iter_mut().zip(row).zip(parameters) {
                    *sum += term((*value).into(), *parameter);
                }
            }
            sums
        };
        for of_chunk in batch.par_chunks(CHUNK_ROWS * n_features).map(of_chunk).collect::<Vec<_>>() {
            sums.iter_mut().zip(of_chunk).for_each(|(a, b)| *a += b);
        }
    })?;
    Ok(sums)
}

/// The first row whose value in a column is not finite; 0 where only their sum is not.
fn first_non_finite<S: RowSource>(source: &S, column: usize) -> Result<usize, HeadError> {
    let mut found = None;
    source.for_each_batch(&mut |first, batch| {
        let of_column = batch.iter().skip(column).step_by(source.dim().1);
        let here = of_column.enumerate().find(|(_, it)| !Into::<f64>::into(**it).is_finite()).map(|it| it.0);
        found = found.or(here.map(|it| first + it));
    })?;
    Ok(found.unwrap_or(0))
}

fn check_config(config: &LogisticConfig) -> Result<(), HeadError> {
    check_alpha(config.alpha)?;
    for tolerance in [config.tolerance, config.gap_tolerance] {
        if !(tolerance.is_finite() && tolerance > 0.0) {
            return Err(HeadError::InvalidTolerance { tolerance });
        }
    }
    Ok(())
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
