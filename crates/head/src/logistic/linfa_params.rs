//! The same fit through linfa's traits.

use std::fmt::Debug;
use std::hash::Hash;

use linfa::ParamGuard;
use linfa::dataset::{AsSingleTargets, DatasetBase, Label};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayBase, Data, Ix2};

use super::{LogisticConfig, LogisticFit, fit_logistic};
use crate::error::HeadError;
use crate::feature::{Feature, check_alpha};
use crate::layer::softmax_rows;

/// Unchecked hyper-parameters: linfa's counterpart of [`LogisticConfig`].
///
/// They stand where `linfa_logistic::MultiLogisticRegression` stood. The gradient they tolerate is that of
/// [`Certificate::gradient`](super::Certificate::gradient), an intercept is always fitted, and two classes
/// have the objective of the binary problem.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::LogisticParams;
/// use linfa::prelude::*;
/// use ndarray::array;
///
/// let dataset = Dataset::new(array![[0.0], [0.1], [1.0], [1.1]], array!["no", "no", "yes", "yes"]);
/// let model = LogisticParams::new().alpha(0.1).fit(&dataset)?;
/// assert_eq!(model.predict(&dataset), array!["no", "no", "yes", "yes"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogisticParams(LogisticValidParams);

/// Checked hyper-parameters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogisticValidParams(LogisticConfig);

impl LogisticParams {
    /// The defaults of [`LogisticConfig`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// L2 weight on the summed loss. Default 1.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.0.0.alpha = alpha;
        self
    }

    /// Largest gradient per sample that counts as converged. Default 1e-6.
    #[must_use]
    pub fn gradient_tolerance(mut self, tolerance: f64) -> Self {
        self.0.0.tolerance = tolerance;
        self
    }

    /// Iterations after which the fit gives up. Default 1000.
    #[must_use]
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.0.0.max_iterations = max_iterations;
        self
    }
}

impl ParamGuard for LogisticParams {
    type Checked = LogisticValidParams;
    type Error = HeadError;

    fn check_ref(&self) -> Result<&LogisticValidParams, HeadError> {
        let LogisticConfig { alpha, tolerance, .. } = self.0.0;
        check_alpha(alpha)?;
        if !(tolerance.is_finite() && tolerance > 0.0) {
            return Err(HeadError::InvalidTolerance { tolerance });
        }
        Ok(&self.0)
    }

    fn check(self) -> Result<LogisticValidParams, HeadError> {
        self.check_ref()?;
        Ok(self.0)
    }
}

/// A fitted logistic regression that remembers its labels; with the methods of `linfa-logistic`'s
/// multinomial one, which two classes have here as well.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedLogistic<C> {
    classes: Vec<C>,
    /// Coefficients and certificate.
    pub fit: LogisticFit,
}

impl<C> FittedLogistic<C> {
    /// Classes, sorted: column `j` of all that has one belongs to class `j`.
    #[must_use]
    pub fn classes(&self) -> &[C] {
        &self.classes
    }

    /// Coefficients, `(n_features, n_classes)`.
    #[must_use]
    pub fn params(&self) -> &Array2<f64> {
        &self.fit.coef
    }

    /// `(n_classes,)`.
    #[must_use]
    pub fn intercept(&self) -> &Array1<f64> {
        &self.fit.intercept
    }

    /// Probability of each class, `(n_samples, n_classes)`; rows sum to 1.
    ///
    /// # Panics
    /// Where `x` has another number of features.
    pub fn predict_probabilities<A: Feature, D: Data<Elem = A>>(&self, x: &ArrayBase<D, Ix2>) -> Array2<f64> {
        let mut probabilities = self.logits(x);
        softmax_rows(&mut probabilities);
        probabilities
    }

    fn logits<A: Feature, D: Data<Elem = A>>(&self, x: &ArrayBase<D, Ix2>) -> Array2<f64> {
        x.mapv(Into::into).dot(&self.fit.coef) + &self.fit.intercept
    }
}

impl<A, D, T, C> Fit<ArrayBase<D, Ix2>, T, HeadError> for LogisticValidParams
where
    A: Feature,
    D: Data<Elem = A>,
    T: AsSingleTargets<Elem = C>,
    C: Label + Ord + Clone + Debug + Hash,
{
    type Object = FittedLogistic<C>;

    /// Fits on `(n_samples, n_features)` records; linfa's sample weights count.
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<FittedLogistic<C>, HeadError> {
        let targets = dataset.targets().as_single_targets();
        let mut classes: Vec<C> = targets.iter().cloned().collect();
        classes.sort();
        classes.dedup();
        let class = |it: &C| classes.binary_search(it).expect("classes hold every target");
        let y: Vec<usize> = targets.iter().map(class).collect();
        let weights = dataset.weights().map(|it| it.iter().map(|w| f64::from(*w)).collect::<Vec<_>>());
        let x = dataset.records().view();
        let fit = fit_logistic(x, &y, classes.len(), weights.as_deref(), &self.0)?;
        Ok(FittedLogistic { classes, fit })
    }
}

impl<A, D, C> PredictInplace<ArrayBase<D, Ix2>, Array1<C>> for FittedLogistic<C>
where
    A: Feature,
    D: Data<Elem = A>,
    C: Clone + Default,
{
    fn predict_inplace<'a>(&'a self, x: &'a ArrayBase<D, Ix2>, y: &mut Array1<C>) {
        assert_eq!(x.nrows(), y.len(), "the number of data points must match the number of targets");
        for (row, out) in self.logits(x).outer_iter().zip(y) {
            let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |it| it.0);
            *out = self.classes[best].clone();
        }
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<C> {
        Array1::from_elem(x.nrows(), C::default())
    }
}
