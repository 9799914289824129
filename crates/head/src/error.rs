//! Why a head could not be fitted, applied or read.

use crate::layer::Activation;
use crate::loss::LossName;

/// Why a head could not be fitted, applied or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// `x` and `y` disagree on the number of samples.
    #[error("x has {x_rows} samples but y has {y_len} targets")]
    SampleCountMismatch {
        /// Rows of `x`.
        x_rows: usize,
        /// Length of `y`.
        y_len: usize,
    },
    /// The head takes another number of features.
    #[error("expected {expected} features, got {actual}")]
    FeatureCountMismatch {
        /// Features the head was fitted on.
        expected: usize,
        /// Features that came.
        actual: usize,
    },
    /// A start or a truth has another number of classes or targets.
    #[error("expected {expected} classes or targets, got {actual}")]
    LabelCountMismatch {
        /// Classes there should be.
        expected: usize,
        /// Classes that came.
        actual: usize,
    },
    /// A source of rows could not be read.
    #[error("rows cannot be read")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Cross-validation needs two folds with samples, and an alpha.
    #[error("cross-validation needs at least 2 folds with samples and 1 alpha, found {found} folds")]
    TooFewFolds {
        /// Folds with samples.
        found: usize,
    },
    /// Folds are dealt in memory.
    #[error("cross-validation needs its samples in memory; validate on part of them")]
    NotInMemory,
    /// There is nothing to fit.
    #[error("no samples to fit on")]
    NoSamples,
    /// Fewer than two classes: nothing to tell apart.
    #[error("expected at least 2 classes, found {found}{}", only.as_ref().map(|it| format!(" (`{it}`)")).unwrap_or_default())]
    TooFewClasses {
        /// Classes found.
        found: usize,
        /// The only one, where there is one.
        only: Option<String>,
    },
    /// A class index outside the number of classes.
    #[error("sample {sample} has class {class}, but there are {n_classes} classes")]
    UnknownClass {
        /// Row of the sample.
        sample: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// A feature is NaN or infinite.
    #[error("feature {feature} of sample {sample} is not finite")]
    NonFinite {
        /// Row of `x`.
        sample: usize,
        /// Column of `x`.
        feature: usize,
    },
    /// A target is NaN or infinite.
    #[error("target {target} of sample {sample} is not finite")]
    NonFiniteTarget {
        /// Row of `y`.
        sample: usize,
        /// Column of `y`.
        target: usize,
    },
    /// A sample weight that is negative, NaN or infinite, or weights that are all zero.
    #[error("sample weights must be finite, not negative and not all zero; weight {sample} is {weight}")]
    InvalidWeight {
        /// Row of the weight.
        sample: usize,
        /// The weight.
        weight: f64,
    },
    /// `alpha` must be positive: without it separable data have no optimum.
    #[error("alpha must be positive and finite, got {alpha}")]
    InvalidAlpha {
        /// The value that came.
        alpha: f64,
    },
    /// The tolerance must be positive.
    #[error("tolerance must be positive and finite, got {tolerance}")]
    InvalidTolerance {
        /// The value that came.
        tolerance: f64,
    },
    /// The solver stopped away from the minimum.
    #[error(
        "the fit did not converge in {n_iterations} iterations: gradient {gradient:.3e} (tolerance {tolerance:.1e}), objective {objective:.6}, at most {gap:.1e} above its minimum"
    )]
    NotConverged {
        /// Largest component of the gradient per sample.
        gradient: f64,
        /// What it should have been below.
        tolerance: f64,
        /// How far above its minimum the objective may be.
        gap: f64,
        /// Iterations done.
        n_iterations: usize,
        /// Best objective reached.
        objective: f64,
    },
    /// The Gram matrix of the features has no eigenvectors: its entries are not finite.
    #[error(
        "the features cannot be decomposed: their products are not finite; scale features down, or standardise them"
    )]
    Decomposition,
    /// A fit asked for other features than its samples were prepared with.
    #[error("samples were prepared with standardize = {prepared}, the fit asks for standardize = {asked}")]
    StandardizeMismatch {
        /// What the samples were prepared with.
        prepared: bool,
        /// What the settings of the fit say.
        asked: bool,
    },
    /// Settings of a hidden layer's training that cannot be meant.
    #[error("{reason}")]
    InvalidMlp {
        /// What they must be.
        reason: &'static str,
    },
    /// The loss grew beyond all bounds.
    #[error("training diverged in epoch {epoch}: its loss is not finite; a smaller learning rate may help")]
    Diverged {
        /// The epoch.
        epoch: usize,
    },
    /// A loss of probabilities with outputs that are none.
    #[error("the loss `{loss}` does not fit outputs with the activation {activation:?}")]
    LossActivation {
        /// The loss.
        loss: LossName,
        /// What follows the last layer's sums.
        activation: Activation,
    },
    /// `linfa-logistic` could not fit.
    #[error("linfa-logistic gave up")]
    Linfa(#[from] linfa_logistic::error::Error),
    /// linfa refused the dataset.
    #[error(transparent)]
    Dataset(#[from] linfa::Error),
    /// The bytes are no head file.
    #[error("not a readable head file: {reason}")]
    Malformed {
        /// What was found.
        reason: String,
    },
    /// The head belongs to another embedding space.
    #[error("the head was fitted on embeddings of another space, which differs in {}", settings(differences))]
    FingerprintMismatch {
        /// What differs: a setting, what it was for the head, and what it is now.
        differences: Vec<[String; 3]>,
    },
}

/// Names of what differs.
fn settings(differences: &[[String; 3]]) -> String {
    differences.iter().map(|it| it[0].as_str()).collect::<Vec<_>>().join(", ")
}
