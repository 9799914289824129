//! `headstart fit-head`: a head from a store.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use headstart_head::{
    Activation, Certificate, DenseLayer, FitRecord, HeadMetadata, HeadModel, LogisticConfig, Ridge, RidgeFit,
    Scaler, Task, fit_logistic, one_hot,
};
use headstart_store::Store;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde_json::json;

use super::eval;
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
    /// L2 weight on the summed loss (1 / C of scikit-learn). Default: 10 for logistic; for linear, the
    /// one with the smallest leave-one-out error.
    #[arg(long)]
    alpha: Option<f64>,
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

/// Good across backbones and datasets on standardised features: `bench/RESULTS.md`.
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

/// A fitted linear map, what its outputs mean and what it took.
struct Fitted {
    task: Task,
    activation: Activation,
    labels: Vec<String>,
    class_counts: Vec<usize>,
    coef: Array2<f64>,
    intercept: Array1<f64>,
    alpha: f64,
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
    let judged_by = [Role::Validation, Role::Test].into_iter().find(|it| roles.contains(it));
    let held_out = judged_by.map(|role| rows_of(&roles, role));
    let judge_held_out = |rows: &Vec<usize>| -> Result<_> {
        eval::judge(&head, labelled.embeddings(&store, rows)?.view(), &labelled, rows)
    };
    let validation = held_out.as_ref().map(judge_held_out).transpose()?;
    let on_train = eval::judge(&head, x.view(), &labelled, &train)?;
    match &validation {
        Some(judged) => report::say(eval::describe(judged, "held-out samples")),
        None => report::say("no held-out samples: the figures below are of the training samples"),
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
            "seconds": seconds,
        });
        report::data(value.to_string())?;
    }
    Ok(Outcome::Good)
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
    let (coef, intercept, alpha, certificate) = match args.head {
        HeadKind::Logistic => {
            let alpha = args.alpha.unwrap_or(DEFAULT_ALPHA);
            let standardize = !args.no_standardize;
            let config = LogisticConfig { alpha, standardize, ..LogisticConfig::default() };
            let fit = fit_logistic(x, &y, labels.len(), None, &config)?;
            (fit.coef, fit.intercept, alpha, fit.certificate)
        }
        HeadKind::Linear => {
            let (alpha, fit) = fit_ridge(args, x, one_hot(&y, labels.len()).view())?;
            (fit.coef, fit.intercept, alpha, fit.certificate)
        }
    };
    // Ridge scores of classes are no probabilities; softmax keeps their order and makes them sum to 1.
    let (task, activation) = (Task::Classification, Activation::Softmax);
    Ok(Fitted { task, activation, labels, class_counts, coef, intercept, alpha, certificate })
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
        certificate: fit.certificate,
    })
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
            for step in 0..45 {
                let alpha = 10_f64.powf(-6.0 + 11.0 * f64::from(step) / 44.0);
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
    let Fitted { task, activation, labels, class_counts, coef, intercept, alpha, certificate } = fitted;
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
