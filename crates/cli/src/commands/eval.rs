//! `headstart eval`: how good a head is on samples of a store.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use headstart_head::{ClassificationReport, HeadModel, MultilabelReport, RegressionReport, Task, argmax};
use headstart_store::Store;
use ndarray::{Array2, Axis, concatenate};
use serde_json::{Value, json};

use super::{check_space, read_head};
use crate::data::{Labelled, Role, role, rows_of};
use crate::{Outcome, report};

/// Labels up to which each gets a line of its own.
const MAX_LABELS: usize = 20;

/// Judge a head on samples of a store.
#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Folder of the store.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Head file.
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// Split to judge on: train, val, test or all. Default: val, else test. Where the dataset has none,
    /// train is what the head was fitted on and val is everything else.
    #[arg(long)]
    split: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A report of its kind.
pub(crate) enum Judged {
    Classes(ClassificationReport),
    Labels(MultilabelReport),
    Numbers(RegressionReport),
}

pub(crate) fn run(args: &EvalArgs) -> Result<Outcome> {
    let store = Store::open(&args.store)?;
    let head = read_head(&args.head)?;
    check_space(&head, store.space())?;
    let labelled = Labelled::read(&store)?;
    let trained_on: Vec<bool> =
        (0..labelled.samples.len()).map(|it| labelled.was_trained_on(&head, it)).collect();
    let drawn = |trained_on: &bool| if *trained_on { Role::Train } else { Role::Validation };
    let roles = labelled.own_roles().unwrap_or_else(|| trained_on.iter().map(drawn).collect());
    let split = match args.split.as_deref() {
        Some(split) => split,
        None if roles.contains(&Role::Validation) => "val",
        None if roles.contains(&Role::Test) => "test",
        None => bail!(
            "no sample of {} was held out; `--split train` or `--split all` judges by those it was fitted on",
            args.store.display()
        ),
    };
    let rows = match split {
        "all" => (0..roles.len()).collect(),
        split => rows_of(&roles, role(split)?),
    };
    ensure!(!rows.is_empty(), "no sample of {} is in the split `{split}`", args.store.display());
    let n_trained_on = rows.iter().filter(|it| trained_on[**it]).count();
    if n_trained_on > 0 {
        let n = rows.len();
        report::say(format!(
            "the head was trained on {n_trained_on} of these {n} samples (or on their groups)"
        ));
    }
    if head.metadata.outputs.task == Task::Classification {
        let known: HashSet<&str> = head.metadata.outputs.labels.iter().map(String::as_str).collect();
        let unknown: Vec<&usize> = rows.iter().filter(|it| !known.contains(labelled.label(**it))).collect();
        if let Some(first) = unknown.first() {
            report::say(format!(
                "warning: {} of {} samples have labels that the head does not know, `{}` for one: they count as wrong",
                unknown.len(),
                rows.len(),
                labelled.label(**first)
            ));
        }
    }
    let judged = judge(&head, &store, &labelled, &rows)?;
    if args.json {
        let mut value = to_json(&judged);
        value["split"] = json!(split);
        value["n_trained_on"] = json!(n_trained_on);
        report::data(serde_json::to_string_pretty(&value)?)?;
    } else {
        report::data(describe(&judged, &format!("samples of `{split}`")))?;
    }
    Ok(Outcome::Good)
}

/// Judges a head on some rows of the labelled samples.
pub(crate) fn judge(head: &HeadModel, store: &Store, labelled: &Labelled, rows: &[usize]) -> Result<Judged> {
    let scores = labelled.scores(store, head, rows)?;
    if head.metadata.outputs.task == Task::Multilabel {
        // Labels the head does not know come after its own, with probability 0: they count as wrong.
        let mut labels = head.metadata.outputs.labels.clone();
        let known = labels.len();
        labels.extend(
            labelled.all_labels(rows).into_iter().filter(|it| !head.metadata.outputs.labels.contains(it)),
        );
        let mut thresholds = head.metadata.outputs.thresholds.clone();
        thresholds.resize(labels.len(), 1.0);
        let scores = concatenate![Axis(1), scores, Array2::zeros((rows.len(), labels.len() - known))];
        let truth = labelled.indicator(rows, &labels);
        return Ok(Judged::Labels(MultilabelReport::new(scores.view(), truth.view(), &labels, &thresholds)?));
    }
    if head.metadata.outputs.task == Task::Regression {
        let truth = labelled.targets()?.select(Axis(0), rows);
        let (expected, found) = (head.metadata.outputs.labels.len(), truth.ncols());
        ensure!(expected == found, "the head predicts {expected} numbers, the samples have {found}");
        return Ok(Judged::Numbers(RegressionReport::new(scores.view(), truth.view())?));
    }
    // Classes the head does not know come after its own, with probability 0: they count as wrong.
    let mut labels = head.metadata.outputs.labels.clone();
    let mut index: BTreeMap<String, usize> = labels.iter().cloned().zip(0..).collect();
    let truth: Vec<usize> = rows
        .iter()
        .map(|row| {
            let label = labelled.label(*row);
            *index.entry(label.to_owned()).or_insert_with(|| {
                labels.push(label.to_owned());
                labels.len() - 1
            })
        })
        .collect();
    let unknown = labels.len() - head.metadata.outputs.labels.len();
    let scores = concatenate![Axis(1), scores, Array2::zeros((rows.len(), unknown))];
    let majority = argmax(head.metadata.fit.class_counts.iter().map(|it| *it as f64));
    Ok(Judged::Classes(ClassificationReport::new(scores.view(), &truth, &labels, majority)?))
}

pub(crate) fn to_json(judged: &Judged) -> Value {
    match judged {
        Judged::Classes(it) => json!(it),
        Judged::Labels(it) => json!(it),
        Judged::Numbers(it) => json!(it),
    }
}

pub(crate) fn one_line(judged: &Judged, what: &str) -> String {
    match judged {
        Judged::Classes(it) => format!(
            "{} {what}: accuracy {} (95% interval {}–{}), macro-F1 {:.3}, log-loss {:.3}; always `{}`: {}",
            it.n_samples,
            report::percent(it.accuracy),
            report::percent(it.accuracy_interval[0]),
            report::percent(it.accuracy_interval[1]),
            it.macro_f1,
            it.log_loss,
            it.majority_class,
            report::percent(it.majority_accuracy),
        ),
        Judged::Labels(it) => format!(
            "{} {what}: mean average precision {}, micro-F1 {:.3}, macro-F1 {:.3}, all labels right {}, log-loss {:.3}",
            it.n_samples,
            report::percent(it.mean_average_precision),
            it.micro_f1,
            it.macro_f1,
            report::percent(it.exact_match),
            it.log_loss,
        ),
        Judged::Numbers(it) => format!(
            "{} {what}: mean absolute error {:.4}, root mean squared error {:.4}, R² {:.4}",
            it.n_samples, it.mae, it.rmse, it.r2
        ),
    }
}

/// The line above, and the confusion matrix or a line a label where it fits a screen.
pub(crate) fn describe(judged: &Judged, what: &str) -> String {
    let line = one_line(judged, what);
    match judged {
        Judged::Classes(it) if it.labels.len() <= MAX_LABELS => format!("{line}\n{}", confusion(it)),
        Judged::Labels(it) if it.labels.len() <= MAX_LABELS => format!("{line}\n{}", by_label(it)),
        _ => line,
    }
}

fn by_label(report: &MultilabelReport) -> String {
    let titles = ["label", "samples", "precision", "recall", "F1", "average precision", "from"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let cell = |title: usize, text: String| format!("{text:>width$}", width = titles[title].len());
    for it in &report.labels {
        let precision = it.average_precision.map_or("none".to_owned(), report::percent);
        rows.push(vec![
            it.label.clone(),
            cell(1, it.support.to_string()),
            cell(2, report::percent(it.precision)),
            cell(3, report::percent(it.recall)),
            format!("{:.3}", it.f1),
            cell(5, precision),
            format!("{:.3}", it.threshold),
        ]);
    }
    report::table(&rows)
}

fn confusion(it: &ClassificationReport) -> String {
    let cut = |it: &str| it.chars().take(12).collect::<String>();
    let width = it.confusion.iter().flatten().map(|n| n.to_string().len()).max().unwrap_or(1);
    let widths: Vec<usize> = it.labels.iter().map(|it| cut(it).chars().count().max(width)).collect();
    let mut rows = vec![vec!["true \\ predicted".to_owned()]];
    rows[0].extend(it.labels.iter().zip(&widths).map(|(it, width)| format!("{:>width$}", cut(it))));
    for (label, counts) in it.labels.iter().zip(&it.confusion) {
        let mut row = vec![label.clone()];
        row.extend(counts.iter().zip(&widths).map(|(n, width)| format!("{n:>width$}")));
        rows.push(row);
    }
    report::table(&rows)
}
