//! `headstart fit-head`: a head from a store.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use headstart_head::{
    Activation, AlphaPath, Baselines, Certificate, DenseLayer, FitRecord, HeadError, HeadMetadata, HeadModel,
    Logistic, LogisticConfig, LogisticFit, Ridge, RidgeFit, Scaler, Task, balanced_weights, correct_prior,
    default_alphas, one_hot, stratified_folds,
};
use headstart_store::Store;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde_json::json;

use super::eval::{self, Judged};
use super::write_file;
use crate::data::{DrawnSplit, Labelled, Role, rows_of};
use crate::{Outcome, report};

/// Fit a head on the embeddings of a store.
///
/// Samples of the split `train` are fitted on, those of `val` (or `test`) judge the result. A dataset
/// without splits gets a stratified one, drawn by --seed.
#[derive(Debug, Args)]
pub(crate) struct FitHeadArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Kind of head.
    #[arg(long, value_enum, default_value = "logistic")]
    head: HeadKind,
    /// File the head is written to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// L2 weight on the summed loss (1 / C of scikit-learn). Default: the best of --alphas, by
    /// cross-validated log-loss for logistic, by leave-one-out error for linear.
    #[arg(long, conflicts_with_all = ["alphas", "folds", "one_standard_error"])]
    alpha: Option<f64>,
    /// Alphas to choose from [default: 45 from 1e-6 to 1e5].
    #[arg(long, value_name = "A,…", value_delimiter = ',')]
    alphas: Option<Vec<f64>>,
    /// Folds of the cross-validation; groups stay together.
    #[arg(long, value_name = "K", default_value_t = 5)]
    folds: usize,
    /// Take the strongest alpha whose loss is within one standard error of the best.
    #[arg(long)]
    one_standard_error: bool,
    /// Count every class alike in the fit, however many samples it has; probabilities are those of the
    /// classes as they are all the same.
    #[arg(long)]
    balanced: bool,
    /// What the labels are; by default numbers for a linear head when all labels are numbers, else classes.
    #[arg(long, value_enum)]
    task: Option<TaskKind>,
    /// Penalise coefficients of raw features; by default they are those of standardised ones, so that a
    /// feature's scale does not decide how much it may count.
    #[arg(long)]
    no_standardize: bool,
    /// Share of every class held out when the dataset has no split.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    validation: f64,
    /// Seed of that draw.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the result as JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Where there are too few samples to cross-validate; good across backbones and datasets on standardised
/// features (`bench/RESULTS.md`).
const DEFAULT_ALPHA: f64 = 10.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadKind {
    /// Multinomial logistic regression.
    Logistic,
    /// Ridge regression, on classes (one-hot) or numbers.
    Linear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TaskKind {
    Classification,
    Regression,
}

impl FitHeadArgs {
    fn alphas(&self) -> Vec<f64> {
        self.alphas.clone().unwrap_or_else(default_alphas)
    }

    /// Index of the alpha to take from a path.
    fn chosen(&self, path: &AlphaPath) -> usize {
        if self.one_standard_error { path.one_standard_error } else { path.best }
    }
}

/// A fitted linear map, what its outputs mean and what it took.
struct Fitted {
    task: Task,
    activation: Activation,
    labels: Vec<String>,
    class_counts: Vec<usize>,
    coef: Array2<f64>,
    intercept: Array1<f64>,
    alpha: f64,
    path: Option<AlphaPath>,
    certificate: Certificate,
}

pub(crate) fn run(args: &FitHeadArgs) -> Result<Outcome> {
    let start = Instant::now();
    ensure!((0.0..1.0).contains(&args.validation), "--validation must be at least 0 and below 1");
    let store = Store::open(&args.store)?;
    let labelled = Labelled::read(&store)?;
    if labelled.n_unlabelled > 0 {
        report::say(format!("{} samples without a label are left out", labelled.n_unlabelled));
    }
    let task = choose_task(args, &labelled)?;
    let drawn = DrawnSplit { fraction: args.validation, seed: args.seed };
    let roles = labelled.roles(task, drawn);
    let others = rows_of(&roles, Role::Other);
    if let Some(first) = others.first() {
        let name = labelled.samples[*first].split.as_deref().unwrap_or_default();
        let n = others.len();
        report::say(format!("{n} samples are left out: `{name}`, for one, is none of train, val, test"));
    }
    let train = rows_of(&roles, Role::Train);
    ensure!(!train.is_empty(), "no sample of {} is in the split `train`", args.store.display());
    let x = labelled.embeddings(&store, &train)?;
    let fitted = match task {
        Task::Classification => fit_classes(args, &labelled, &train, x.view())?,
        Task::Regression => fit_numbers(args, &labelled, &train, x.view())?,
    };
    let head = head(args, &store, labelled.identities(&train), train.len(), fitted)?;
    let seconds = start.elapsed().as_secs_f64();
    write_file(&args.out, &head.to_bytes()?)?;

    let certificate = head.metadata.fit.certificate;
    report::say(format!(
        "{:?} head: {} features, {} labels, {} training samples, alpha {}, {seconds:.1} s",
        args.head,
        head.n_features(),
        head.metadata.labels.len(),
        train.len(),
        short_number(head.metadata.fit.alpha),
    ));
    report::say(format!(
        "certificate: objective {:.6}, at most {:.1e} above its minimum; gradient {:.1e} (tolerance {:.0e}), {} iterations",
        certificate.objective,
        certificate.gap,
        certificate.gradient,
        certificate.tolerance,
        certificate.n_iterations,
    ));
    if let Some(path) = &head.metadata.fit.path {
        say_path(path, args);
    }
    let judged_by = [Role::Validation, Role::Test].into_iter().find(|it| roles.contains(it));
    let held_out = judged_by.map(|role| rows_of(&roles, role));
    let held_out_x = held_out.as_ref().map(|rows| labelled.embeddings(&store, rows)).transpose()?;
    let held_out = held_out.as_ref().zip(held_out_x.as_ref());
    let validation = held_out.map(|(rows, x)| eval::judge(&head, x.view(), &labelled, rows)).transpose()?;
    let baselines = match held_out.filter(|_| task == Task::Classification) {
        Some((rows, held_out_x)) => {
            Some(baselines(&head, &labelled, (&train, x.view()), (rows, held_out_x.view()))?)
        }
        None => None,
    };
    let on_train = eval::judge(&head, x.view(), &labelled, &train)?;
    match &validation {
        Some(judged) => report::say(eval::describe(judged, "held-out samples")),
        None => report::say("no held-out samples: the figures below are of the training samples"),
    }
    if let (Some(baselines), Some(Judged::Classes(judged))) = (&baselines, &validation) {
        say_baselines(baselines, judged.accuracy);
    }
    report::say(eval::one_line(&on_train, "training samples"));
    report::say(format!("wrote {}", args.out.display()));
    if args.json {
        let value = json!({
            "out": args.out,
            "fit": head.metadata.fit,
            "labels": head.metadata.labels,
            "train": eval::to_json(&on_train),
            "validation": validation.as_ref().map(eval::to_json),
            "baselines": baselines,
            "seconds": seconds,
        });
        report::data(value.to_string())?;
    }
    Ok(Outcome::Good)
}

fn say_path(path: &AlphaPath, args: &FitHeadArgs) {
    let at = |index: usize| format!("{:.4} ± {:.4}", path.mean_loss[index], path.standard_error[index]);
    let chosen = args.chosen(path);
    report::say(format!(
        "{}-fold cross-validation of {} alphas: log-loss {} at alpha {}",
        args.folds,
        path.alphas.len(),
        at(chosen),
        short_number(path.alphas[chosen]),
    ));
    if path.is_on_edge() && path.alphas.len() > 1 {
        report::say("warning: the best alpha is at an end of the grid; --alphas may reach further");
    }
}

/// What needs no fit, on the same samples: training rows and features, held-out rows and features.
fn baselines(
    head: &HeadModel,
    labelled: &Labelled,
    (train, x): (&[usize], ArrayView2<'_, f32>),
    (held_out, held_out_x): (&[usize], ArrayView2<'_, f32>),
) -> Result<Baselines> {
    let labels = &head.metadata.labels;
    let class =
        |it: &usize| labels.iter().position(|label| label == labelled.label(*it)).unwrap_or(labels.len());
    let [y, y_held_out] = [train, held_out].map(|rows| rows.iter().map(class).collect::<Vec<_>>());
    Ok(Baselines::new(x, &y, labels.len(), held_out_x, &y_held_out)?)
}

fn say_baselines(baselines: &Baselines, accuracy: f64) {
    let neighbours: Vec<String> =
        baselines.k_nearest.iter().map(|(k, it)| format!("{} ({k})", report::percent(*it))).collect();
    let neighbours = if neighbours.is_empty() { "too few samples".to_owned() } else { neighbours.join(", ") };
    report::say(format!(
        "without a fit: majority class {}, nearest class mean {}, nearest neighbours {neighbours}",
        report::percent(baselines.majority),
        report::percent(baselines.nearest_class_mean),
    ));
    let (what, best) = baselines.best();
    if best > accuracy {
        let (accuracy, best) = (report::percent(accuracy), report::percent(best));
        report::say(format!("warning: {what} reaches {best}, more than the head's {accuracy}"));
    }
}

/// Three digits, without an exponent where that is short.
fn short_number(value: f64) -> String {
    if (1e-3..1e5).contains(&value) { format!("{value:.3}") } else { format!("{value:.2e}") }
}

fn choose_task(args: &FitHeadArgs, labelled: &Labelled) -> Result<Task> {
    let numeric = labelled.is_numeric();
    match (args.head, args.task) {
        (HeadKind::Logistic, Some(TaskKind::Regression)) => {
            bail!("a logistic head predicts classes; use --head linear for numbers")
        }
        (HeadKind::Logistic, _) | (_, Some(TaskKind::Classification)) => Ok(Task::Classification),
        (HeadKind::Linear, Some(TaskKind::Regression)) => {
            labelled.targets()?;
            Ok(Task::Regression)
        }
        (HeadKind::Linear, None) if numeric => {
            report::say(
                "all labels are numbers: predicting numbers (--task classification predicts classes)",
            );
            Ok(Task::Regression)
        }
        (HeadKind::Linear, None) => Ok(Task::Classification),
    }
}

fn fit_classes(
    args: &FitHeadArgs,
    labelled: &Labelled,
    train: &[usize],
    x: ArrayView2<'_, f32>,
) -> Result<Fitted> {
    // Only classes that are trained on: a class seen in validation alone has nothing to learn from.
    let mut labels: Vec<String> = train.iter().map(|it| labelled.label(*it).to_owned()).collect();
    labels.sort();
    labels.dedup();
    ensure!(labels.len() > 1, "all training samples have the label `{}`: nothing to tell apart", labels[0]);
    let class = |it: &usize| {
        labels
            .binary_search_by(|label| label.as_str().cmp(labelled.label(*it)))
            .expect("labels hold every training label")
    };
    let y: Vec<usize> = train.iter().map(class).collect();
    let mut class_counts = vec![0; labels.len()];
    y.iter().for_each(|it| class_counts[*it] += 1);
    let (coef, intercept, alpha, path, certificate) = match args.head {
        HeadKind::Logistic => {
            let (fit, alpha, path) = fit_logistic(args, &y, labels.len(), &labelled.groups_of(train), x)?;
            (fit.coef, fit.intercept, alpha, path, fit.certificate)
        }
        HeadKind::Linear => {
            let (alpha, fit) = fit_ridge(args, x, one_hot(&y, labels.len()).view())?;
            (fit.coef, fit.intercept, alpha, None, fit.certificate)
        }
    };
    // Ridge scores of classes are no probabilities; softmax keeps their order and makes them sum to 1.
    let (task, activation) = (Task::Classification, Activation::Softmax);
    Ok(Fitted { task, activation, labels, class_counts, coef, intercept, alpha, path, certificate })
}

fn fit_numbers(
    args: &FitHeadArgs,
    labelled: &Labelled,
    train: &[usize],
    x: ArrayView2<'_, f32>,
) -> Result<Fitted> {
    let targets = labelled.targets()?.select(Axis(0), train);
    let (alpha, fit) = fit_ridge(args, x, targets.view())?;
    let labels = match targets.ncols() {
        1 => vec!["target".to_owned()],
        n => (0..n).map(|it| format!("target_{it}")).collect(),
    };
    Ok(Fitted {
        task: Task::Regression,
        activation: Activation::Identity,
        labels,
        class_counts: Vec::new(),
        coef: fit.coef,
        intercept: fit.intercept,
        alpha,
        path: None,
        certificate: fit.certificate,
    })
}

/// Logistic regression at the alpha asked for, or at the best by cross-validation.
fn fit_logistic(
    args: &FitHeadArgs,
    y: &[usize],
    n_classes: usize,
    groups: &[u64],
    x: ArrayView2<'_, f32>,
) -> Result<(LogisticFit, f64, Option<AlphaPath>)> {
    let class_weights = args.balanced.then(|| balanced_weights(y, n_classes));
    let weights: Option<Vec<f64>> =
        class_weights.as_ref().map(|by_class| y.iter().map(|it| by_class[*it]).collect());
    let standardize = !args.no_standardize;
    let samples = Logistic::new(&x, y, n_classes, weights.as_deref(), standardize)?;
    let folds = stratified_folds(y, groups, args.folds.max(1), args.seed);
    let path = match args.alpha {
        Some(_) => None,
        None => match samples.cross_validate(&folds, &args.alphas()) {
            Ok(path) => Some(path),
            Err(err @ HeadError::TooFewFolds { .. }) => {
                report::say(format!("{err}; alpha is {DEFAULT_ALPHA} then"));
                None
            }
            Err(err) => return Err(err.into()),
        },
    };
    let chosen = path.as_ref().map(|path| path.alphas[args.chosen(path)]);
    let alpha = args.alpha.or(chosen).unwrap_or(DEFAULT_ALPHA);
    let mut fit = samples.fit(&LogisticConfig { alpha, standardize, ..LogisticConfig::default() })?;
    if let Some(class_weights) = class_weights {
        correct_prior(&mut fit, &class_weights);
    }
    Ok((fit, alpha, path))
}

/// Ridge at the alpha asked for, or at the one of 45 with the smallest leave-one-out error.
fn fit_ridge(args: &FitHeadArgs, x: ArrayView2<'_, f32>, y: ArrayView2<'_, f64>) -> Result<(f64, RidgeFit)> {
    let scaler = (!args.no_standardize).then(|| Scaler::fit(x));
    let ridge = match &scaler {
        Some(scaler) => Ridge::new(scaler.transform(x).view(), y)?,
        None => Ridge::new(x, y)?,
    };
    let alpha = match args.alpha {
        Some(alpha) => alpha,
        None => {
            let mut best = (f64::INFINITY, 1.0);
            for alpha in args.alphas() {
                let error = ridge.leave_one_out(alpha)?.iter().map(|it| it * it).sum::<f64>();
                if error < best.0 {
                    best = (error, alpha);
                }
            }
            best.1
        }
    };
    let mut fit = ridge.fit(alpha)?;
    if let Some(scaler) = scaler {
        (fit.coef, fit.intercept) = scaler.fold(&fit.coef, &fit.intercept);
    }
    Ok((alpha, fit))
}

fn head(
    args: &FitHeadArgs,
    store: &Store,
    trained_on: Vec<u64>,
    n_samples: usize,
    fitted: Fitted,
) -> Result<HeadModel> {
    let head_name = args.head.to_possible_value().context("every head has a name")?;
    let Fitted { task, activation, labels, class_counts, coef, intercept, alpha, path, certificate } = fitted;
    Ok(HeadModel {
        trained_on,
        layers: vec![DenseLayer { weight: coef, bias: intercept, activation }],
        metadata: HeadMetadata {
            task,
            labels,
            fingerprint: store.space().fingerprint(),
            space: serde_json::to_value(store.space())?,
            fit: FitRecord {
                head: head_name.get_name().to_owned(),
                solver: format!("headstart {}", env!("CARGO_PKG_VERSION")),
                alpha,
                path,
                balanced: args.balanced,
                standardized: !args.no_standardize,
                n_samples,
                class_counts,
                validation: args.validation,
                seed: args.seed,
                certificate,
            },
        },
    })
}
