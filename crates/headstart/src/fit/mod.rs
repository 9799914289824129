//! Fitting a head and judging it: each kind of labels in a module of its own.

mod classes;
mod config;
mod hidden;
mod labels;
mod numbers;
mod rows;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use headstart_head::{
    AlphaPath, Baselines, Certificate, DenseLayer, FitRecord, HeadError, HeadMetadata, HeadModel, LossName,
    Outputs, Task, TrainingRecord, Watch, mcnemar,
};
use ndarray::{Array1, Array2};

use crate::error::Error;
use crate::event::{Event, Events, Note, note};
use crate::files::check_space;
use crate::judge::{Judged, judge_scores, note_unknown};
use crate::samples::Samples;
use crate::split::{Role, rows_of};
use rows::Training;

pub use config::{FitConfig, HeadConfig, LinearHead, LogisticHead, MlpHead, Solver};

/// Where there are too few samples to cross-validate; good across backbones and datasets on standardised
/// features (`bench/RESULTS.md`).
const DEFAULT_ALPHA: f64 = 10.0;

/// Held-out samples below which they say little, and a cross-validation of the others is told beside.
const FEW_HELD_OUT: usize = 50;

/// Chance that a head no worse than a prediction without a fit looks so much worse, below which that is said.
const SIGNIFICANT: f64 = 0.05;

/// A fitted head, and what it is worth.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The head.
    pub head: HeadModel,
    /// What it is worth on samples that it was not fitted on, those of `val` before those of `test`; none
    /// where none was held out.
    pub validation: Option<Judged>,
    /// What it is worth on those it was fitted on.
    pub train: Judged,
    /// What heads like it are worth on samples that they were not fitted on, each fold of those held out in turn:
    /// where hardly any were held out; for logistic heads of one class a sample.
    pub cross_validated: Option<Judged>,
    /// What needs no fit, on the held-out samples; for classes whose embeddings are in memory.
    pub baselines: Option<Baselines>,
    /// How long it took to read the embeddings and to fit.
    pub fit_time: Duration,
}

/// Fits a head on the samples of the split `train`, and judges it by those of `val`, else of `test`. A dataset
/// without splits gets a stratified one, drawn by the seed.
///
/// # Errors
/// [`Error::EmptySplit`], [`Error::OneClass`] and their like when there is nothing to fit on;
/// [`Error::InvalidFit`], [`Error::TaskOfHead`] for settings that do not go together; [`Error::Head`] when
/// the fit does not converge, or belongs to another space than the head to start from.
///
/// # Determinism
/// The same samples and settings give the same head, to the last bit.
pub fn fit(samples: &Samples, config: &FitConfig, events: &mut Events<'_>) -> Result<Fitted, Error> {
    let start = Instant::now();
    let task = choose_task(config, samples, events)?;
    config.check(task)?;
    samples.note_left_out(events);
    let roles = samples.roles(task, config.validation, config.seed);
    let others = rows_of(&roles, Role::Other);
    if let Some(first) = others.first() {
        let example = samples.as_slice()[*first].split.clone().unwrap_or_default();
        note(events, Note::SplitIgnored { n: others.len(), example });
    }
    let train = rows_of(&roles, Role::Train);
    if train.is_empty() {
        let (store, split) = (samples.store().dir().to_owned(), "train".to_owned());
        return Err(Error::EmptySplit { store, split });
    }
    if let Some(older) = config.start() {
        check_space(older, samples.store().space())?;
    }
    let judged_by = [Role::Validation, Role::Test].into_iter().find(|it| roles.contains(it));
    let held_out = judged_by.map(|role| rows_of(&roles, role)).unwrap_or_default();
    let training =
        tracing::info_span!("load").in_scope(|| Training::read(config, samples, train, held_out, events))?;
    let _span = tracing::info_span!("fit").entered();
    let (head, out_of_fold) = fit_head(config, task, &training, events)?;
    let fit_time = start.elapsed();
    judge(head, out_of_fold, &training, fit_time, events)
}

/// What the labels are to be taken for.
fn choose_task(config: &FitConfig, samples: &Samples, events: &mut Events<'_>) -> Result<Task, Error> {
    let refused = |head, offered, wanted, better| Err(Error::TaskOfHead { head, offered, wanted, better });
    Ok(match (&config.head, config.task) {
        (HeadConfig::Logistic(_), Some(Task::Regression)) => {
            return refused("logistic", "classes", "numbers", "a linear head or a hidden layer");
        }
        (HeadConfig::Linear(_), Some(Task::Multilabel)) => {
            let better = "a logistic head or a hidden layer";
            return refused("linear", "classes or numbers", "several labels", better);
        }
        (_, Some(Task::Regression)) => samples.targets().map(|_| Task::Regression)?,
        (_, Some(task)) => task,
        (_, None) if samples.has_several_numbers() => {
            if matches!(config.head, HeadConfig::Linear(_)) {
                note(events, Note::LabelsAreNumbers);
                return Ok(Task::Regression);
            }
            note(events, Note::CombinationsAreClasses);
            Task::Classification
        }
        (HeadConfig::Logistic(_) | HeadConfig::Mlp(_), None) if samples.has_several() => {
            note(events, Note::LabelsAreSeveral);
            Task::Multilabel
        }
        (head, None) => match samples.targets() {
            Ok(targets) if predicts_numbers(head, &targets) => {
                note(events, Note::LabelsAreNumbers);
                Task::Regression
            }
            Ok(_) => {
                note(events, Note::NumbersAreClasses { n_classes: samples.classes().0.len() });
                Task::Classification
            }
            Err(err) => {
                note_not_all_numbers(samples, err, events);
                Task::Classification
            }
        },
    })
}

/// Whether a head predicts labels that are all numbers as numbers, where nobody says: a hidden layer those that are no
/// whole ones, or where its loss is for numbers.
fn predicts_numbers(head: &HeadConfig, targets: &Array2<f64>) -> bool {
    match head {
        HeadConfig::Logistic(_) => false,
        HeadConfig::Linear(_) => true,
        HeadConfig::Mlp(head) => match head.loss {
            Some(loss) => matches!(loss, LossName::Squared | LossName::Huber),
            None => targets.iter().any(|it| it.fract() != 0.0),
        },
    }
}

/// Says so where most labels are numbers, and one is not.
fn note_not_all_numbers(samples: &Samples, err: Error, events: &mut Events<'_>) {
    let n_numbers = samples.n_numbers();
    if let (true, Error::NotANumber { path, label }) = (2 * n_numbers > samples.len(), err) {
        note(events, Note::NotAllNumbers { n_numbers, n_samples: samples.len(), path, label });
    }
}

/// What a fit comes to.
struct Solved {
    layers: Vec<DenseLayer>,
    outputs: Outputs,
    class_counts: Vec<usize>,
    how: How,
}

/// What there is to say of the way there.
#[derive(Default)]
struct How {
    alpha: Option<f64>,
    path: Option<AlphaPath>,
    certificate: Option<Certificate>,
    training: Option<TrainingRecord>,
    /// Probabilities of the training samples, each by a fit without its fold.
    out_of_fold: Option<Array2<f64>>,
}

/// Fits a head on the training samples, from an older one where there is one.
fn fit_head(
    config: &FitConfig,
    task: Task,
    training: &Training<'_>,
    events: &mut Events<'_>,
) -> Result<(HeadModel, Option<Array2<f64>>), Error> {
    if let Some(start) = config.start() {
        let (head, of_start) = (start.metadata.fit.head.clone(), start.metadata.outputs.task);
        if head != "logistic" || of_start != task {
            return Err(Error::OtherStart { head, task: of_start, wanted: task });
        }
        note(events, what_is_new(start, training));
    }
    let solved = match task {
        Task::Classification => classes::fit(config, training, events)?,
        Task::Multilabel => labels::fit(config, training, events)?,
        Task::Regression => numbers::fit(config, training, events)?,
    };
    let Solved { layers, outputs, class_counts, how } = solved;
    let space = training.samples.store().space();
    let is_linfa = matches!(&config.head, HeadConfig::Logistic(LogisticHead { solver: Solver::Linfa, .. }));
    let ours = concat!("headstart ", env!("CARGO_PKG_VERSION"));
    let head = HeadModel {
        layers,
        trained_on: training.samples.identities(&training.rows),
        metadata: HeadMetadata {
            outputs,
            fingerprint: space.fingerprint(),
            space: serde_json::to_value(space).expect("a space is JSON"),
            fit: FitRecord {
                head: config.head.name().to_owned(),
                solver: if is_linfa { "linfa-logistic" } else { ours }.to_owned(),
                alpha: how.alpha,
                path: how.path,
                balanced: config.balanced(),
                standardized: config.standardized(),
                n_samples: training.rows.len(),
                class_counts,
                validation: config.validation,
                seed: config.seed,
                certificate: how.certificate,
                training: how.training,
            },
        },
    };
    Ok((head, how.out_of_fold))
}

/// Judges a head by the samples that were held out and by those it was fitted on.
fn judge(
    head: HeadModel,
    out_of_fold: Option<Array2<f64>>,
    training: &Training<'_>,
    fit_time: Duration,
    events: &mut Events<'_>,
) -> Result<Fitted, Error> {
    let samples = training.samples;
    let (of_train, of_held_out) = training.scores(&head)?;
    let n_held_out = training.held_out.len();
    let n = training.held_out.iter().filter(|it| samples.was_trained_on(&head, **it)).count();
    if n > 0 {
        note(events, Note::HeldOutTrainedOn { n, n_held_out });
    }
    note_unknown(&head, samples, &training.held_out, events);
    let train = judge_scores(&head, samples, &training.rows, of_train)?;
    let (mut validation, mut baselines) = (None, None);
    if n_held_out > 0 {
        baselines = training.baselines(&head)?;
        let hits = training.hits(&head, &of_held_out);
        let judged = judge_scores(&head, samples, &training.held_out, of_held_out)?;
        if let (Some(baselines), Judged::Classes(judged)) = (&baselines, &judged) {
            let (baseline, accuracy, of_baseline) = baselines.best();
            if accuracy > judged.accuracy && mcnemar(of_baseline, &hits) < SIGNIFICANT {
                note(events, Note::BaselineWins { baseline, accuracy, of_head: judged.accuracy });
            }
        }
        validation = Some(judged);
    }
    let cross_validated =
        out_of_fold.map(|it| judge_scores(&head, samples, &training.rows, it)).transpose()?;
    Ok(Fitted { head, validation, train, cross_validated, baselines, fit_time })
}

fn what_is_new(start: &HeadModel, training: &Training<'_>) -> Note {
    let (samples, known) = (training.samples, &start.metadata.outputs.labels);
    let n_new = training.rows.iter().filter(|it| !samples.was_trained_on(start, **it)).count();
    let labels = match start.metadata.outputs.task {
        Task::Multilabel => samples.all_labels(&training.rows),
        _ => samples.classes().0,
    };
    let new_labels = labels.into_iter().filter(|it| !known.contains(it)).collect();
    Note::WarmStart { n_new, n_samples: training.rows.len(), new_labels }
}

/// The alpha to fit with: the one asked for, that of the head started from, or the best of a path. `path`
/// is only called where a choice is to be made.
fn choose_alpha(
    logistic: &LogisticHead,
    path: impl FnOnce(&Watch<'_>) -> Result<AlphaPath, HeadError>,
    events: &mut Events<'_>,
) -> Result<(f64, Option<AlphaPath>), Error> {
    // An alpha of raw features says nothing of standardised ones.
    let is_comparable = |it: &&HeadModel| it.metadata.fit.standardized == logistic.standardize;
    let of_start = logistic.start.as_deref().filter(is_comparable).and_then(|it| it.metadata.fit.alpha);
    if let Some(alpha) = logistic.alpha.or(of_start.filter(|_| logistic.alphas.is_none())) {
        return Ok((alpha, None));
    }
    let heard = Mutex::new(&mut *events);
    let path = tracing::info_span!("choose alpha").in_scope(|| {
        path(&|fold| {
            tracing::info!(alpha = fold.alpha, fold = fold.fold + 1, n_folds = fold.n_folds, "fitted");
            // Poisoned only by a panic of the hearer, which goes on up anyway.
            if let Ok(mut events) = heard.lock() {
                events(Event::Fold(fold));
            }
        })
    });
    match path {
        Ok(path) => {
            note_edge(path.alphas[path.best], &logistic.alphas(), events);
            Ok((path.alphas[logistic.chosen(&path)], Some(path)))
        }
        Err(
            err @ (HeadError::TooFewFolds { .. } | HeadError::TooFewClasses { .. } | HeadError::NoSamples),
        ) => {
            note(events, Note::DefaultAlpha { reason: err.to_string(), alpha: DEFAULT_ALPHA });
            Ok((DEFAULT_ALPHA, None))
        }
        Err(err) => Err(err.into()),
    }
}

/// Says so where the best of several alphas may not be the best there is.
fn note_edge(best: f64, alphas: &[f64], events: &mut Events<'_>) {
    let ends = alphas.iter().fold((f64::INFINITY, 0.0_f64), |it, a| (it.0.min(*a), it.1.max(*a)));
    if alphas.len() > 1 && (best <= ends.0 || best >= ends.1) {
        note(events, Note::AlphaOnEdge { alpha: best });
    }
}

/// The columns of an old head for new labels, zero where a label is new: `(n_features, n_labels)` and
/// `(n_labels,)`; and its certificate.
fn columns_for(
    start: &HeadModel,
    labels: &[String],
) -> Result<(Array2<f64>, Array1<f64>, Certificate), Error> {
    let layer = &start.layers[0];
    let mut coef = Array2::zeros((layer.weight.nrows(), labels.len()));
    let mut intercept = Array1::zeros(labels.len());
    for (column, label) in labels.iter().enumerate() {
        if let Some(old) = start.metadata.outputs.labels.iter().position(|it| it == label) {
            coef.column_mut(column).assign(&layer.weight.column(old));
            intercept[column] = layer.bias[old];
        }
    }
    let certificate = start.metadata.fit.certificate.ok_or(Error::StartWithoutCertificate)?;
    Ok((coef, intercept, certificate))
}
