#![doc = include_str!("../README.md")]

mod baselines;
mod class_weight;
mod eigen;
mod error;
mod feature;
mod head;
mod layer;
mod logistic;
mod loss;
mod metrics;
mod mlp;
mod multilabel;
mod ridge;
mod scaler;
mod split;
mod task;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use baselines::{Baselines, NEIGHBOURS};
pub use class_weight::{balanced_weights, correct_prior};
pub use error::HeadError;
pub use feature::Feature;
pub use head::{FitRecord, HeadMetadata, HeadModel, TrainingRecord};
pub use layer::{Activation, DenseLayer};
pub use logistic::{
    AlphaPath, Certificate, FittedLogistic, FoldFitted, Logistic, LogisticConfig, LogisticFit,
    LogisticParams, LogisticValidParams, OneVsRest, OneVsRestFit, RowSource, Visit, Watch, default_alphas,
    fit_logistic, fit_with_linfa,
};
pub use loss::{Loss, LossName, NamedLoss};
pub use metrics::{ClassificationReport, RegressionReport, argmax, mcnemar, one_hot, wilson_interval};
pub use mlp::{Epoch, MlpConfig, MlpFit, MlpSamples, fit_mlp};
pub use multilabel::{DEFAULT_THRESHOLD, LabelScore, MultilabelReport, f1_thresholds};
pub use ridge::{Ridge, RidgeFit};
pub use scaler::Scaler;
pub use split::{stratified_folds, stratified_split};
pub use task::{Outputs, Prediction, Task};
