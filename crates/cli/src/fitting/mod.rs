//! Fitting a head as `fit-head` was told: each task in a module of its own.

mod classes;
mod hidden;
mod labels;
mod numbers;
mod options;
mod rows;

use anyhow::{Context, Result, bail, ensure};
use headstart_head::{
    AlphaPath, Certificate, DenseLayer, FitRecord, HeadError, HeadMetadata, HeadModel, LogisticConfig,
    Outputs, Task, TrainingRecord,
};
use ndarray::{Array1, Array2};

use crate::data::Labelled;
use crate::report;

pub(crate) use options::{FitOptions, HeadKind, Solver, TaskKind};
pub(crate) use rows::Training;

/// Where there are too few samples to cross-validate; good across backbones and datasets on standardised
/// features (`bench/RESULTS.md`).
const DEFAULT_ALPHA: f64 = 10.0;

/// What a fit comes to.
pub(crate) struct Fitted {
    pub(crate) layers: Vec<DenseLayer>,
    pub(crate) labels: Vec<String>,
    pub(crate) class_counts: Vec<usize>,
    pub(crate) thresholds: Vec<f64>,
    pub(crate) how: How,
}

/// What there is to say of the way there.
#[derive(Default)]
pub(crate) struct How {
    pub(crate) alpha: Option<f64>,
    pub(crate) path: Option<AlphaPath>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) training: Option<TrainingRecord>,
}

/// What the labels are to be taken for.
pub(crate) fn choose_task(options: &FitOptions, labelled: &Labelled) -> Result<Task> {
    let numeric = || labelled.targets().map(|_| Task::Regression);
    Ok(match (options.head, options.task) {
        (HeadKind::Logistic, Some(TaskKind::Regression)) => {
            bail!("a logistic head predicts classes; use --head linear or --head mlp for numbers")
        }
        (HeadKind::Linear, Some(TaskKind::Multilabel)) => {
            bail!("a linear head predicts classes or numbers; use --head logistic or --head mlp for labels")
        }
        (_, Some(TaskKind::Classification)) => Task::Classification,
        (_, Some(TaskKind::Multilabel)) => Task::Multilabel,
        (_, Some(TaskKind::Regression)) => numeric()?,
        (HeadKind::Linear, None) if labelled.is_numeric() => {
            report::say(
                "all labels are numbers: predicting numbers (--task classification predicts classes)",
            );
            Task::Regression
        }
        (HeadKind::Logistic | HeadKind::Mlp, None) if labelled.has_several() => {
            report::say(
                "labels are joined by `|`: a sample may have several (--task classification makes each \
                 combination a class)",
            );
            Task::Multilabel
        }
        (HeadKind::Logistic | HeadKind::Mlp, None) if labelled.label(0).contains('|') => {
            report::say(
                "labels are several numbers each: every combination is a class (--head linear predicts numbers)",
            );
            Task::Classification
        }
        _ => Task::Classification,
    })
}

/// Fits a head on the training samples, from an older one where there is one.
pub(crate) fn fit(
    options: &FitOptions,
    task: Task,
    training: &Training<'_>,
    start: Option<&HeadModel>,
) -> Result<HeadModel> {
    if let Some(start) = start {
        ensure!(
            start.metadata.fit.head == "logistic" && start.metadata.outputs.task == task,
            "the head to start from is another: {} for {:?}, this is logistic for {task:?}",
            start.metadata.fit.head,
            start.metadata.outputs.task,
        );
        say_what_is_new(start, training);
    }
    let fitted = match task {
        Task::Classification => classes::fit(options, training, start)?,
        Task::Multilabel => labels::fit(options, training, start)?,
        Task::Regression => numbers::fit(options, training)?,
    };
    head(options, task, training, fitted)
}

fn head(options: &FitOptions, task: Task, training: &Training<'_>, fitted: Fitted) -> Result<HeadModel> {
    let Fitted { layers, labels, class_counts, thresholds, how } = fitted;
    let space = training.store.space();
    let solver = match options.solver {
        Solver::Headstart => concat!("headstart ", env!("CARGO_PKG_VERSION")).to_owned(),
        Solver::Linfa => "linfa-logistic".to_owned(),
    };
    Ok(HeadModel {
        layers,
        trained_on: training.labelled.identities(&training.samples),
        metadata: HeadMetadata {
            outputs: Outputs { task, labels, thresholds },
            fingerprint: space.fingerprint(),
            space: serde_json::to_value(space)?,
            fit: FitRecord {
                head: options.head.name().to_owned(),
                solver,
                alpha: how.alpha,
                path: how.path,
                balanced: options.balanced,
                standardized: !options.no_standardize || options.head == HeadKind::Mlp,
                n_samples: training.samples.len(),
                class_counts,
                validation: options.validation,
                seed: options.seed,
                certificate: how.certificate,
                training: how.training,
            },
        },
    })
}

fn say_what_is_new(start: &HeadModel, training: &Training<'_>) {
    let (labelled, known) = (training.labelled, &start.metadata.outputs.labels);
    let is_new = |it: &&usize| !labelled.was_trained_on(start, **it);
    let n_new = training.samples.iter().filter(is_new).count();
    let labels = match start.metadata.outputs.task {
        Task::Multilabel => labelled.all_labels(&training.samples),
        _ => labelled.classes().0,
    };
    let new: Vec<String> = labels.into_iter().filter(|it| !known.contains(it)).collect();
    let new =
        if new.is_empty() { "no label is new".to_owned() } else { format!("new labels: {}", new.join(", ")) };
    report::say(format!("warm start: {n_new} of {} samples are new, {new}", training.samples.len()));
}

/// The alpha to fit with: the one asked for, that of the head started from, or the best of a path. `path`
/// is only called where a choice is to be made.
fn choose_alpha(
    options: &FitOptions,
    start: Option<&HeadModel>,
    path: impl FnOnce() -> Result<AlphaPath, HeadError>,
) -> Result<(f64, Option<AlphaPath>)> {
    // An alpha of raw features says nothing of standardised ones.
    let is_comparable = |it: &&HeadModel| it.metadata.fit.standardized != options.no_standardize;
    let kept =
        start.filter(is_comparable).and_then(|it| it.metadata.fit.alpha).filter(|_| options.alphas.is_none());
    if let Some(alpha) = options.alpha.or(kept) {
        return Ok((alpha, None));
    }
    match path() {
        Ok(path) => Ok((path.alphas[options.chosen(&path)], Some(path))),
        Err(
            err @ (HeadError::TooFewFolds { .. } | HeadError::TooFewClasses { .. } | HeadError::NoSamples),
        ) => {
            report::say(format!("{err}; alpha is {DEFAULT_ALPHA} then"));
            Ok((DEFAULT_ALPHA, None))
        }
        Err(err) => Err(err.into()),
    }
}

/// Says so where the best of several alphas may not be the best there is.
pub(crate) fn warn_of_edge(best: f64, alphas: &[f64]) {
    let ends = alphas.iter().fold((f64::INFINITY, 0.0_f64), |it, a| (it.0.min(*a), it.1.max(*a)));
    if alphas.len() > 1 && (best <= ends.0 || best >= ends.1) {
        report::say("warning: the best alpha is at an end of the grid; --alphas may reach further");
    }
}

/// Settings of a logistic fit.
fn logistic_config(options: &FitOptions, alpha: f64) -> LogisticConfig {
    LogisticConfig { alpha, standardize: !options.no_standardize, ..LogisticConfig::default() }
}

/// The columns of an old head for new labels, zero where a label is new: `(n_features, n_labels)` and
/// `(n_labels,)`; and its certificate.
fn columns_for(start: &HeadModel, labels: &[String]) -> Result<(Array2<f64>, Array1<f64>, Certificate)> {
    let layer = &start.layers[0];
    let mut coef = Array2::zeros((layer.weight.nrows(), labels.len()));
    let mut intercept = Array1::zeros(labels.len());
    for (column, label) in labels.iter().enumerate() {
        if let Some(old) = start.metadata.outputs.labels.iter().position(|it| it == label) {
            coef.column_mut(column).assign(&layer.weight.column(old));
            intercept[column] = layer.bias[old];
        }
    }
    let certificate = start.metadata.fit.certificate.context("the head to start from has no certificate")?;
    Ok((coef, intercept, certificate))
}
