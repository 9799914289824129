//! Several labels a sample: one binary logistic regression a label, on features prepared once.

use ndarray::{Array1, Array2};

use super::fit::Logistic;
use super::folds::{CrossValidated, PATH_GAP, SEARCH_GAP, Shared, VisitLogits, Watch};
use super::path::{AlphaPath, whole_path};
use super::rows::RowSource;
use super::search::search;
use super::{Certificate, LogisticConfig, LogisticFit};
use crate::error::HeadError;

/// Samples of which each may have any of the labels.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::{LogisticConfig, OneVsRest};
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 0.1], [1.0, 0.0], [0.1, 1.0], [0.9, 1.1]];
/// let view = x.view();
/// // The first feature decides the first label, the second the other.
/// let labels = [vec![0, 1, 0, 1], vec![0, 0, 1, 1]];
/// let fit = OneVsRest::new(&view, &labels, None, false)?.fit(&LogisticConfig::default())?;
/// assert!(fit.coef[[0, 0]] > 0.1 && fit.coef[[1, 0]].abs() < 0.1);
/// assert!(fit.certificate.gap < 1e-6 * fit.certificate.objective);
/// # Ok(())
/// # }
/// ```
pub struct OneVsRest<'a, S> {
    labels: Vec<Logistic<'a, S>>,
}

/// Fitted labels.
#[derive(Debug, Clone, PartialEq)]
pub struct OneVsRestFit {
    /// `(n_features, n_labels)`: a column gives the log-odds of its label, for features as they came.
    pub coef: Array2<f64>,
    /// `(n_labels,)`.
    pub intercept: Array1<f64>,
    /// The certificates of all labels together: objectives, gaps and iterations summed, the largest gradient.
    pub certificate: Certificate,
}

impl<'a, S: RowSource> OneVsRest<'a, S> {
    /// Prepares samples.
    ///
    /// # Shapes
    /// - `source`: `(n_samples, n_features)`, as for [`Logistic::new`].
    /// - `labels`: for each label `(n_samples,)`, 1 for the samples that have it, 0 for the others.
    /// - `weights`: `(n_samples,)`, not negative; `None` counts every sample once.
    ///
    /// # Errors
    /// As [`Logistic::new`]; [`HeadError::TooFewClasses`] also for a label that all samples have, or none,
    /// and without labels.
    pub fn new(
        source: &'a S,
        labels: &'a [Vec<usize>],
        weights: Option<&'a [f64]>,
        standardize: bool,
    ) -> Result<Self, HeadError> {
        let (first, others) =
            labels.split_first().ok_or(HeadError::TooFewClasses { found: 0, only: None })?;
        let first = Logistic::new(source, first, 2, weights, standardize)?;
        let others = others.iter().map(|it| first.with_classes(it, 2)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { labels: std::iter::once(first).chain(others).collect() })
    }

    /// The same samples; `watch` is told of every fold that a cross-validation has fitted, of every label.
    #[must_use]
    pub fn watched<'w>(&self, watch: &'w Watch<'w>) -> OneVsRest<'w, S>
    where
        'a: 'w,
    {
        OneVsRest { labels: self.labels.iter().map(|it| it.watched(watch)).collect() }
    }

    /// Fits every label.
    ///
    /// # Errors
    /// As [`Logistic::fit`].
    pub fn fit(&self, config: &LogisticConfig) -> Result<OneVsRestFit, HeadError> {
        self.fit_each(|_, samples| samples.fit(config))
    }

    /// Fits every label from the solution of a similar problem; a column of zeros is no start.
    ///
    /// # Errors
    /// As [`Logistic::fit_from`]; [`HeadError::LabelCountMismatch`] when the start has other labels.
    pub fn fit_from(&self, start: &OneVsRestFit, config: &LogisticConfig) -> Result<OneVsRestFit, HeadError> {
        let (expected, actual) = (self.labels.len(), start.coef.ncols());
        if actual != expected {
            return Err(HeadError::LabelCountMismatch { expected, actual });
        }
        let halves = [-0.5, 0.5];
        self.fit_each(|label, samples| {
            let column = start.coef.column(label);
            let of_label = LogisticFit {
                coef: Array2::from_shape_fn((column.len(), 2), |(i, j)| halves[j] * column[i]),
                intercept: halves.iter().map(|it| it * start.intercept[label]).collect(),
                certificate: start.certificate,
            };
            samples.fit_from(&of_label, config)
        })
    }

    /// Cross-validates every alpha, the same for all labels: losses are means over them.
    ///
    /// # Errors
    /// As [`Logistic::cross_validate`].
    pub fn cross_validate(&self, folds: &[usize], alphas: &[f64]) -> Result<AlphaPath, HeadError> {
        rayon::scope(|_| whole_path(&mut self.folded(folds, PATH_GAP)?, alphas))
    }

    /// Cross-validates as many alphas as it takes to find the best for all labels together.
    ///
    /// # Errors
    /// As [`Logistic::select_alpha`].
    pub fn select_alpha(
        &self,
        folds: &[usize],
        alphas: &[f64],
        whole_side: bool,
    ) -> Result<AlphaPath, HeadError> {
        rayon::scope(|_| search(&mut self.folded(folds, SEARCH_GAP)?, alphas, whole_side))
    }

    fn folded(&self, folds: &[usize], gap: f64) -> Result<Labels<'_>, HeadError> {
        let mut shared = Shared::by(self.labels.len());
        let labels = self.labels.iter().map(|it| it.folded(folds, gap, &mut shared));
        Ok(Labels(labels.collect::<Result<_, _>>()?))
    }

    /// Probabilities of every sample's labels by fits on the other folds, `(n_samples, n_labels)`.
    ///
    /// # Errors
    /// As [`Logistic::cross_validate`].
    pub fn out_of_fold(&self, folds: &[usize], alpha: f64) -> Result<Array2<f64>, HeadError> {
        let mut all = Array2::zeros((folds.len(), self.labels.len()));
        for (label, mut column) in self.labels.iter().zip(all.columns_mut()) {
            let log_odds = label.out_of_fold(folds, alpha)?;
            column.assign(&log_odds.column(0).mapv(|it| 1.0 / (1.0 + (-it).exp())));
        }
        Ok(all)
    }

    fn fit_each(
        &self,
        fit: impl Fn(usize, &Logistic<'a, S>) -> Result<LogisticFit, HeadError>,
    ) -> Result<OneVsRestFit, HeadError> {
        let fits = self.labels.iter().enumerate().map(|(label, samples)| fit(label, samples));
        let fits = fits.collect::<Result<Vec<_>, _>>()?;
        let n_features = fits[0].coef.nrows();
        let log_odds = |(i, label): (usize, usize)| fits[label].coef[[i, 1]] - fits[label].coef[[i, 0]];
        let coef = Array2::from_shape_fn((n_features, fits.len()), log_odds);
        let certificate = fits.iter().map(|it| it.certificate).reduce(|a, b| Certificate {
            objective: a.objective + b.objective,
            gradient: a.gradient.max(b.gradient),
            tolerance: a.tolerance,
            gap: a.gap + b.gap,
            n_iterations: a.n_iterations + b.n_iterations,
        });
        Ok(OneVsRestFit {
            coef,
            intercept: fits.iter().map(|it| it.intercept[1] - it.intercept[0]).collect(),
            certificate: certificate.expect("at least one label"),
        })
    }
}

/// Every label's cross-validation: losses are means of the labels that count in a fold.
struct Labels<'a>(Vec<Box<dyn CrossValidated + 'a>>);

impl CrossValidated for Labels<'_> {
    fn folds_with(&self, n_samples: usize) -> usize {
        self.0[0].folds_with(n_samples)
    }

    fn losses(
        &mut self,
        alpha: f64,
        n_folds: usize,
        visit: &mut VisitLogits<'_>,
    ) -> Result<Vec<Option<f64>>, HeadError> {
        let of_labels = self.0.iter_mut().map(|it| it.losses(alpha, n_folds, visit));
        let of_labels = of_labels.collect::<Result<Vec<_>, _>>()?;
        let of_fold = |fold: usize| {
            let counted: Vec<f64> = of_labels.iter().filter_map(|it| it[fold]).collect();
            (!counted.is_empty()).then(|| counted.iter().sum::<f64>() / counted.len() as f64)
        };
        Ok((0..of_labels[0].len()).map(of_fold).collect())
    }
}
