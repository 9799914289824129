//! How a head is to be fitted, as arguments.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use headstart::head::{LossName, MlpConfig, Task, default_alphas};
use headstart::{FitConfig, HeadConfig, LinearHead, LogisticHead, MlpHead, Solver, read_head};

/// How a head is to be fitted.
#[derive(Debug, Clone, Args)]
pub(crate) struct FitArgs {
    /// Kind of head.
    #[arg(long, value_enum, default_value = "logistic")]
    head: HeadKind,
    /// What the labels are. By default: numbers for a linear head when all labels are numbers; several
    /// labels a sample when some are joined by `|`; else classes.
    #[arg(long, value_enum)]
    task: Option<TaskKind>,
    /// L2 weight on the summed loss (1 / C of scikit-learn). Default: the best of --alphas, by
    /// cross-validated log-loss for logistic, by leave-one-out error for linear.
    #[arg(long, conflicts_with_all = ["alphas", "one_standard_error"])]
    alpha: Option<f64>,
    /// Alphas to choose from, all of which are looked at; `all` for the 45 from 1e-6 to 1e5 [default: as many
    /// of these as it takes to find the best].
    #[arg(long, value_name = "A,…", value_parser = parse_alphas)]
    alphas: Option<Alphas>,
    /// Folds of the cross-validation; groups stay together [default: 5].
    #[arg(long, value_name = "K")]
    folds: Option<usize>,
    /// Take the strongest alpha whose loss is within one standard error of the best.
    #[arg(long)]
    one_standard_error: bool,
    /// Count every class alike in the fit, however many samples it has; probabilities are those of the
    /// classes as they are all the same.
    #[arg(long)]
    balanced: bool,
    /// Penalise coefficients of raw features; by default they are those of standardised ones, so that a
    /// feature's scale does not decide how much it may count.
    #[arg(long)]
    no_standardize: bool,
    /// Start from an older head: samples or labels were added to its store. Its alpha is kept unless
    /// --alpha or --alphas says otherwise.
    #[arg(long, value_name = "HEAD")]
    warm_start: Option<PathBuf>,
    /// What fits a logistic head; either is certified.
    #[arg(long, value_enum, default_value = "headstart")]
    solver: SolverName,
    /// Share of every class held out when the dataset has no split.
    #[arg(long, value_name = "SHARE", default_value_t = FitConfig::default().validation)]
    validation: f64,
    /// Seed of that draw, of the folds and of a hidden layer.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Most memory embeddings may take, in MiB; a logistic head on more of them reads the store again for
    /// every pass, and chooses alpha on as many as fit. Default: half of this machine's.
    #[arg(long, value_name = "MIB")]
    max_memory: Option<u64>,
    #[command(flatten)]
    hidden: HiddenArgs,
}

/// How the hidden layer of `--head mlp` is to be trained.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "A hidden layer (--head mlp)")]
struct HiddenArgs {
    /// Loss: cross-entropy, focal, squared or huber. Default: cross-entropy, squared for numbers.
    #[arg(long)]
    loss: Option<LossName>,
    /// Units of the hidden layer.
    #[arg(long, value_name = "N", default_value_t = MlpConfig::default().hidden)]
    hidden: usize,
    /// Share of hidden units left out of each step.
    #[arg(long, value_name = "SHARE", default_value_t = MlpConfig::default().dropout)]
    dropout: f64,
    /// Step of Adam.
    #[arg(long, value_name = "RATE", default_value_t = MlpConfig::default().learning_rate)]
    learning_rate: f64,
    /// Most epochs.
    #[arg(long, value_name = "N", default_value_t = MlpConfig::default().max_epochs)]
    epochs: usize,
    /// Epochs without a lower validation loss after which training ends.
    #[arg(long, value_name = "N", default_value_t = MlpConfig::default().patience)]
    patience: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadKind {
    /// Logistic regression: multinomial, or one a label.
    Logistic,
    /// Ridge regression, on classes (one-hot) or numbers.
    Linear,
    /// One hidden layer with ReLU and dropout.
    Mlp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TaskKind {
    /// One class a sample.
    Classification,
    /// Any number of labels a sample, joined by `|`.
    Multilabel,
    /// Numbers, joined by `|`.
    Regression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SolverName {
    /// Our own.
    Headstart,
    /// linfa-logistic: slow, to compare with.
    Linfa,
}

/// Alphas as one argument has them.
#[derive(Debug, Clone)]
struct Alphas(Vec<f64>);

fn parse_alphas(text: &str) -> Result<Alphas, String> {
    if text == "all" {
        return Ok(Alphas(default_alphas()));
    }
    let number = |it: &str| it.trim().parse().map_err(|_| format!("`{it}` is no number"));
    Ok(Alphas(text.split(',').map(number).collect::<Result<_, _>>()?))
}

impl FitArgs {
    /// What is to be done; flags that do not go together are refused.
    pub(crate) fn config(&self) -> Result<FitConfig> {
        self.check()?;
        let (alpha, alphas, standardize) =
            (self.alpha, self.alphas.clone().map(|it| it.0), !self.no_standardize);
        let balanced = self.balanced;
        let head = match self.head {
            HeadKind::Logistic => HeadConfig::Logistic(LogisticHead {
                alpha,
                alphas,
                n_folds: self.folds.unwrap_or(LogisticHead::default().n_folds),
                one_standard_error: self.one_standard_error,
                balanced,
                standardize,
                solver: match self.solver {
                    SolverName::Headstart => Solver::Headstart,
                    SolverName::Linfa => Solver::Linfa,
                },
                start: self.warm_start.as_deref().map(read_head).transpose()?.map(Box::new),
            }),
            HeadKind::Linear => HeadConfig::Linear(LinearHead { alpha, alphas, standardize }),
            HeadKind::Mlp => {
                let config = self.hidden.config();
                HeadConfig::Mlp(MlpHead { loss: self.hidden.loss, config, balanced })
            }
        };
        let task = self.task.map(|it| match it {
            TaskKind::Classification => Task::Classification,
            TaskKind::Multilabel => Task::Multilabel,
            TaskKind::Regression => Task::Regression,
        });
        let max_memory = self.max_memory.map(|it| it.saturating_mul(1 << 20));
        Ok(FitConfig { head, task, validation: self.validation, seed: self.seed, max_memory })
    }

    fn check(&self) -> Result<()> {
        let is = |head| self.head == head;
        ensure!((0.0..1.0).contains(&self.validation), "--validation must be at least 0 and below 1");
        ensure!(
            self.hidden.loss.is_none() || is(HeadKind::Mlp),
            "--loss is for --head mlp; a logistic head has cross-entropy, a linear one squared error"
        );
        let is_of_classes = self.task.is_none_or(|it| it == TaskKind::Classification);
        ensure!(
            self.solver == SolverName::Headstart
                || (is(HeadKind::Logistic) && is_of_classes && !self.balanced),
            "--solver linfa is for logistic heads on classes, not balanced"
        );
        ensure!(
            is(HeadKind::Logistic) || (self.folds.is_none() && !self.one_standard_error),
            "--folds and --one-standard-error are for logistic heads: for a linear one alpha is chosen by \
             leave-one-out, a hidden layer has none"
        );
        ensure!(
            !is(HeadKind::Mlp) || (self.alpha.is_none() && self.alphas.is_none() && !self.no_standardize),
            "--alpha, --alphas and --no-standardize are for logistic and linear heads: a hidden layer has no \
             penalty, and its features are always standardised"
        );
        ensure!(
            is(HeadKind::Mlp) || self.hidden.config() == MlpConfig::default(),
            "--hidden, --dropout, --learning-rate, --epochs and --patience are for --head mlp"
        );
        ensure!(self.folds.is_none_or(|it| it >= 2), "--folds must be at least 2");
        ensure!(
            self.warm_start.is_none() || (is(HeadKind::Logistic) && self.solver == SolverName::Headstart),
            "--warm-start is for logistic heads; the others have nothing to gain from it"
        );
        ensure!(
            !self.balanced || (is_of_classes && !is(HeadKind::Linear)),
            "--balanced is for logistic heads and hidden layers on classes"
        );
        Ok(())
    }
}

impl HiddenArgs {
    fn config(&self) -> MlpConfig {
        let Self { hidden, dropout, learning_rate, epochs, patience, .. } = *self;
        MlpConfig { hidden, dropout, learning_rate, max_epochs: epochs, patience, ..MlpConfig::default() }
    }
}
