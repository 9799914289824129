//! Standardising features, and folding it back into the coefficients.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::feature::Feature;

/// Means and standard deviations of features; constant features keep a deviation of 1.
///
/// # Examples
/// ```
/// use headstart_head::Scaler;
/// use ndarray::array;
///
/// let x = array![[1.0_f32, 5.0], [3.0, 5.0]];
/// assert_eq!(Scaler::fit(x.view()).transform(x.view()), array![[-1.0, 0.0], [1.0, 0.0]]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scaler {
    mean: Array1<f64>,
    std: Array1<f64>,
}

impl Scaler {
    /// Learns means and (population) standard deviations of `(n_samples, n_features)`.
    #[must_use]
    pub fn fit<A: Feature>(x: ArrayView2<'_, A>) -> Self {
        let n = x.nrows().max(1) as f64;
        let column_mean = |column: ndarray::ArrayView1<'_, A>| {
            column.iter().map(|it| Into::<f64>::into(*it)).sum::<f64>() / n
        };
        let mean: Array1<f64> = x.columns().into_iter().map(column_mean).collect();
        let std = x.columns().into_iter().zip(&mean).map(|(column, mean)| {
            let variance = column.iter().map(|it| (Into::<f64>::into(*it) - mean).powi(2)).sum::<f64>() / n;
            // What is left of a constant column after rounding is no deviation.
            if variance.sqrt() > 1e-12 * mean.abs() { variance.sqrt() } else { 1.0 }
        });
        Self { std: std.collect(), mean }
    }

    /// `(x - mean) / std`.
    ///
    /// # Panics
    /// When `x` has another number of features.
    #[must_use]
    pub fn transform<A: Feature>(&self, x: ArrayView2<'_, A>) -> Array2<f64> {
        (x.mapv(Into::into) - &self.mean) / &self.std
    }

    /// Coefficients and intercept of outputs as they came, from those of standardised outputs.
    ///
    /// # Panics
    /// When there are other outputs than were standardised.
    #[must_use]
    pub(crate) fn unscale(&self, coef: &Array2<f64>, intercept: &Array1<f64>) -> (Array2<f64>, Array1<f64>) {
        (coef * &self.std, intercept * &self.std + &self.mean)
    }

    /// Coefficients and intercept for features as they came, from those of standardised features.
    ///
    /// # Panics
    /// When `coef` has another number of features.
    #[must_use]
    pub fn fold(&self, coef: &Array2<f64>, intercept: &Array1<f64>) -> (Array2<f64>, Array1<f64>) {
        let coef = coef / &self.std.view().insert_axis(Axis(1));
        let intercept = intercept - self.mean.dot(&coef);
        (coef, intercept)
    }
}
