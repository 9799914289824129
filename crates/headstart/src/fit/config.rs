//! How a head is to be fitted.

use headstart_head::{
    AlphaPath, HeadError, HeadModel, LogisticConfig, LossName, MlpConfig, Task, default_alphas,
};

use crate::error::Error;

/// How a head is to be fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct FitConfig {
    /// Kind of head. Default: logistic.
    pub head: HeadConfig,
    /// What the labels are. Default: numbers for a linear head when all labels are numbers; several labels a
    /// sample when the dataset has them so; else classes.
    pub task: Option<Task>,
    /// Share of every class held out when the dataset has no split, at least 0 and below 1. Default 0.2.
    pub validation: f64,
    /// Seed of that draw, of the folds and of a hidden layer. Default 0.
    pub seed: u64,
    /// Most memory embeddings may take, in bytes; a logistic head on more of them reads the store again for
    /// every pass, and chooses alpha on as many as fit. Default: half of this machine's.
    pub max_memory: Option<u64>,
}

/// A kind of head, and what is its own.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum HeadConfig {
    /// Logistic regression: multinomial, or one a label.
    Logistic(LogisticHead),
    /// Ridge regression, on classes (one-hot) or numbers.
    Linear(LinearHead),
    /// One hidden layer with ReLU and dropout.
    Mlp(MlpHead),
}

/// How a logistic head is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticHead {
    /// L2 weight on the summed loss. Default: the best of `alphas`, by cross-validated log-loss.
    pub alpha: Option<f64>,
    /// Alphas to choose from, all of which are looked at. Default: as many of 45 from 1e-6 to 1e5 as it takes to find
    /// the best, or that of the head that is started from.
    pub alphas: Option<Vec<f64>>,
    /// Folds of the cross-validation, at least 2; groups stay together. Default 5.
    pub n_folds: usize,
    /// Whether the strongest alpha is taken whose loss is within one standard error of the best.
    pub one_standard_error: bool,
    /// Whether every class counts alike in the fit, however many samples it has.
    pub balanced: bool,
    /// Whether alpha weighs coefficients of standardised features. Default true.
    pub standardize: bool,
    /// What fits it.
    pub solver: Solver,
    /// An older head to start from: samples or labels were added to its store.
    pub start: Option<Box<HeadModel>>,
}

/// How a linear head is fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    /// L2 weight on the summed loss. Default: the best of `alphas`, by leave-one-out error.
    pub alpha: Option<f64>,
    /// Alphas to choose from. Default: 45 from 1e-6 to 1e5.
    pub alphas: Option<Vec<f64>>,
    /// Whether alpha weighs coefficients of standardised features. Default true.
    pub standardize: bool,
}

/// How a hidden layer is trained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MlpHead {
    /// Loss. Default: cross-entropy, squared for numbers.
    pub loss: Option<LossName>,
    /// Settings; the seed is that of the fit.
    pub config: MlpConfig,
    /// Whether every class counts alike.
    pub balanced: bool,
}

/// What fits a logistic head; either is certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Solver {
    /// Our own.
    #[default]
    Headstart,
    /// linfa-logistic: slow, to compare with.
    Linfa,
}

impl Default for FitConfig {
    fn default() -> Self {
        let head = HeadConfig::Logistic(LogisticHead::default());
        Self { head, task: None, validation: 0.2, seed: 0, max_memory: None }
    }
}

impl Default for LogisticHead {
    fn default() -> Self {
        Self {
            alpha: None,
            alphas: None,
            n_folds: 5,
            one_standard_error: false,
            balanced: false,
            standardize: true,
            solver: Solver::default(),
            start: None,
        }
    }
}

impl Default for LinearHead {
    fn default() -> Self {
        Self { alpha: None, alphas: None, standardize: true }
    }
}

impl FitConfig {
    /// Refuses what cannot be meant of a task.
    pub(crate) fn check(&self, task: Task) -> Result<(), Error> {
        let invalid = |reason| Err(Error::InvalidFit { reason });
        if !(0.0..1.0).contains(&self.validation) {
            return invalid("the share that is held out must be at least 0 and below 1");
        }
        if let HeadConfig::Logistic(LogisticHead { n_folds, solver, start, .. }) = &self.head {
            if *n_folds < 2 {
                return invalid("cross-validation needs at least 2 folds");
            }
            if *solver == Solver::Linfa && (task != Task::Classification || self.balanced()) {
                return invalid("linfa-logistic fits classes that are not balanced, and nothing else");
            }
            if *solver == Solver::Linfa && start.is_some() {
                return invalid("linfa-logistic does not start from an older head");
            }
        }
        if self.balanced() && task != Task::Classification {
            return invalid("only classes can be balanced");
        }
        Ok(())
    }

    /// Whether every class counts alike.
    pub(crate) fn balanced(&self) -> bool {
        match &self.head {
            HeadConfig::Logistic(it) => it.balanced,
            HeadConfig::Linear(_) => false,
            HeadConfig::Mlp(it) => it.balanced,
        }
    }

    /// Whether features are standardised for the penalty, or for a hidden layer.
    pub(crate) fn standardized(&self) -> bool {
        match &self.head {
            HeadConfig::Logistic(it) => it.standardize,
            HeadConfig::Linear(it) => it.standardize,
            HeadConfig::Mlp(_) => true,
        }
    }

    /// The head to start from.
    pub(crate) fn start(&self) -> Option<&HeadModel> {
        if let HeadConfig::Logistic(it) = &self.head { it.start.as_deref() } else { None }
    }

    /// Bytes a fit needs for a feature: the embedding, its centred copy, and that in the order of folds;
    /// ridge and hidden layers compute in f64, with left singular vectors or in linfa's own copies.
    pub(crate) fn bytes_per_feature(&self) -> u64 {
        match &self.head {
            HeadConfig::Logistic(LogisticHead { solver: Solver::Headstart, .. }) => 12,
            _ => 28,
        }
    }
}

impl HeadConfig {
    /// Name of the kind in head files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Logistic(_) => "logistic",
            Self::Linear(_) => "linear",
            Self::Mlp(_) => "mlp",
        }
    }
}

impl LogisticHead {
    /// The alphas there are to choose from.
    pub(crate) fn alphas(&self) -> Vec<f64> {
        self.alphas.clone().unwrap_or_else(default_alphas)
    }

    /// The path that alpha is chosen by: of the default's as many as it takes, of those that were asked for all.
    pub(crate) fn path(
        &self,
        select: impl FnOnce(&[f64], bool) -> Result<AlphaPath, HeadError>,
        whole: impl FnOnce(&[f64]) -> Result<AlphaPath, HeadError>,
    ) -> Result<AlphaPath, HeadError> {
        match &self.alphas {
            None => select(&default_alphas(), self.one_standard_error),
            Some(alphas) => whole(alphas),
        }
    }

    /// Index of the alpha to take from a path.
    #[must_use]
    pub fn chosen(&self, path: &AlphaPath) -> usize {
        if self.one_standard_error { path.one_standard_error } else { path.best }
    }

    /// Settings of a fit at one alpha.
    pub(crate) fn at(&self, alpha: f64) -> LogisticConfig {
        LogisticConfig { alpha, standardize: self.standardize, ..LogisticConfig::default() }
    }
}
