//! `linfa-logistic` as the solver: slower, and certified like our own.

use linfa::dataset::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};

use super::fit::Logistic;
use super::{LogisticConfig, LogisticFit};
use crate::error::HeadError;
use crate::feature::Feature;
use crate::scaler::Scaler;

/// Fits as [`fit_logistic`](super::fit_logistic) does, by `linfa-logistic`.
///
/// What it returns is certified independently: a fit that `linfa-logistic` gives up on, or calls good
/// although it is not (large features can make it), is an error. It knows no sample weights.
///
/// # Shapes
/// As for [`fit_logistic`](super::fit_logistic).
///
/// # Errors
/// As [`fit_logistic`](super::fit_logistic); [`HeadError::Linfa`].
pub fn fit_with_linfa<A: Feature>(
    x: ArrayView2<'_, A>,
    y: &[usize],
    n_classes: usize,
    config: &LogisticConfig,
) -> Result<LogisticFit, HeadError> {
    let samples = Logistic::new(&x, y, n_classes, None, config.standardize)?;
    let scaler = config.standardize.then(|| Scaler::fit(x));
    let records = scaler.as_ref().map_or_else(|| x.mapv(Into::into), |it| it.transform(x));
    let dataset = DatasetBase::new(records, Array1::from(y.to_vec()));
    // Its tolerance is of the whole gradient's length; ours is of the largest component per sample. Well
    // below: the gap must be small too.
    let tolerance = 1e-2 * config.tolerance * y.len() as f64;
    let (coef, intercept): (Array2<f64>, Array1<f64>) = if n_classes == 2 {
        let fit = linfa_logistic::LogisticRegression::default()
            .alpha(config.alpha)
            .gradient_tolerance(tolerance)
            .max_iterations(config.max_iterations as u64)
            .fit(&dataset)?;
        // Its positive class is the one that comes first.
        let sign = if fit.labels().pos.class == 1 { 0.5 } else { -0.5 };
        let coef = fit.params().view().insert_axis(Axis(1));
        let intercept = [-sign, sign].map(|it| it * fit.intercept());
        (concatenate![Axis(1), &coef * -sign, &coef * sign], Array1::from(intercept.to_vec()))
    } else {
        let fit = linfa_logistic::MultiLogisticRegression::default()
            .alpha(config.alpha)
            .gradient_tolerance(tolerance)
            .max_iterations(config.max_iterations as u64)
            .fit(&dataset)?;
        (fit.params().clone(), fit.intercept().clone())
    };
    let (coef, intercept) = match scaler {
        Some(scaler) => scaler.fold(&coef, &intercept),
        None => (coef, intercept),
    };
    samples.certify(&coef, &intercept, config)
}
