//! `headstart predict`: what a head says of pictures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use headstart_backbone::{Delivery, ImageModel, Outcome as FileOutcome, Precision, run_files};
use headstart_head::{HeadModel, Outputs, Task};
use headstart_onnx::{OnnxModel, is_quantized};
use headstart_store::Failure;
use ndarray::ArrayView2;
use serde_json::{Map, Value, json};

use super::{Opened, RunArgs, check_space, export, load_backbone, read_head, with_hint};
use crate::dataset::{self, Columns};
use crate::models::{InputArgs, ModelArgs};
use crate::{Outcome, report};

/// Predict labels or numbers of pictures.
///
/// With --head, MODEL is the backbone the head was fitted on; without it, a file written by `headstart
/// export`. PATHS are pictures, folders of pictures, or - for a list on stdin.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Pictures, folders, or - for a list on stdin.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Head file; not needed for an exported model.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// Labels to show for each picture, most probable first; by default the best one, or all that are
    /// given where there may be several.
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// Print one JSON object a line, with all scores.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, with a column for every label.
    #[arg(long)]
    csv: bool,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// What the columns of scores mean.
struct ScoreColumns {
    task: Task,
    labels: Vec<String>,
    /// Probabilities from which on labels are given.
    thresholds: Vec<f64>,
}

pub(crate) fn run(args: &PredictArgs) -> Result<Outcome> {
    let (files, unreadable) = files_of(&args.paths)?;
    let (scores, failures, columns) = match &args.head {
        Some(head) => {
            let head = read_head(head)?;
            let (opened, mut backbone) = load_backbone(&args.model, &args.run, files.len())?;
            check_space(&head, backbone.space())?;
            let score = |row: &[f32]| score_row(&head, row);
            let (scores, failures) = run_all(&opened, backbone.runner_mut(), &files, &score)?;
            let Outputs { task, labels, thresholds } = head.metadata.outputs;
            (scores, failures, ScoreColumns { task, labels, thresholds })
        }
        None => {
            let path = Path::new(&args.model.model);
            ensure!(path.is_file(), "without --head, --model must be a file written by `headstart export`");
            ensure!(
                args.model.input == InputArgs::default(),
                "an exported model knows how it is fed and where it was cut: such flags are for backbones"
            );
            ensure!(
                args.run.precision != Some(Precision::F16),
                "an exported model computes in what it was exported in: leave --precision out"
            );
            let graph = OnnxModel::load(path).with_context(|| format!("cannot use {}", path.display()))?;
            let opened = args.run.open(is_quantized(&graph))?;
            let n_threads = opened.n_threads(files.len());
            let name = path.display().to_string();
            let mut model =
                ImageModel::load_exported(&opened.runtime, &name, &graph, &opened.session, n_threads)
                    .map_err(|err| with_hint(err, &opened))?;
            let columns = columns_of(&graph).with_context(|| format!("{}", path.display()))?;
            let (n_labels, width) = (columns.labels.len(), model.width());
            ensure!(
                n_labels == width,
                "{} names {n_labels} labels, but its output has {width} columns",
                path.display()
            );
            let score = |row: &[f32]| Ok(row.iter().map(|it| f64::from(*it)).collect());
            let (scores, failures) = run_all(&opened, &mut model, &files, &score)?;
            (scores, failures, columns)
        }
    };
    print(args, &files, &scores, &columns)?;
    let n_failed = failures.len() + unreadable.len();
    for failure in failures.iter().chain(&unreadable) {
        report::say(failure.to_string());
    }
    Ok(if n_failed == 0 { Outcome::Good } else { Outcome::SomeFailed })
}

/// The pictures named, folders listed; and what in the folders could not be looked at, with the reason.
fn files_of(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Failure>)> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            let found = dataset::pictures(path);
            files.extend(found.files);
            unreadable.extend(found.unreadable);
        } else if path == Path::new("-") {
            files.extend(
                dataset::list(path, &Columns::default())?.listing.inputs.into_iter().map(|it| it.file),
            );
        } else {
            files.push(path.clone());
        }
    }
    ensure!(!files.is_empty() || !unreadable.is_empty(), "no pictures in the paths given");
    Ok((files, unreadable))
}

fn score_row(head: &HeadModel, row: &[f32]) -> Result<Vec<f64>> {
    Ok(head.predict(ArrayView2::from_shape((1, row.len()), row)?)?.into_iter().collect())
}

type Scored = (Vec<Option<Vec<f64>>>, Vec<Failure>);

/// Scores of every file, `None` for one that failed.
fn run_all(
    opened: &Opened,
    model: &mut ImageModel,
    files: &[PathBuf],
    score: &dyn Fn(&[f32]) -> Result<Vec<f64>>,
) -> Result<Scored> {
    let mut scores: Vec<Option<Vec<f64>>> = vec![None; files.len()];
    let mut first_of = HashMap::new();
    let mut copies = Vec::new();
    let mut failures = Vec::new();
    let mut rows_of_files: Vec<(usize, Vec<f32>)> = Vec::new();
    let width = model.width();
    run_files(model, files, &opened.pipeline, &|_| false, &mut |delivery: Delivery<'_>| {
        let mut rows = delivery.rows.chunks_exact(width);
        for (index, outcome) in delivery.outcomes {
            match outcome {
                FileOutcome::Embedded(digest, _) => {
                    first_of.insert(digest, index);
                    rows_of_files.push((index, rows.next().unwrap_or_default().to_vec()));
                }
                FileOutcome::Known(digest, _) => copies.push((index, digest)),
                FileOutcome::Failed(_, err) => failures.push((index, err.to_string())),
            }
        }
        Ok(())
    })?;
    for (index, row) in rows_of_files {
        scores[index] = Some(score(&row)?);
    }
    for (index, digest) in copies {
        match first_of.get(&digest) {
            Some(first) => scores[index] = scores[*first].clone(),
            None => failures.push((index, "has the content of a file that failed".to_owned())),
        }
    }
    failures.sort_by_key(|it| it.0);
    let failures = failures.into_iter();
    let failures = failures.map(|(index, reason)| Failure { path: dataset::key(&files[index]), reason });
    Ok((scores, failures.collect()))
}

fn columns_of(graph: &OnnxModel) -> Result<ScoreColumns> {
    let read = |key: &str| graph.metadata(key).with_context(|| format!("no `{key}` in its metadata"));
    let task = serde_json::from_str(read(export::TASK_KEY)?)?;
    let labels: Vec<String> = serde_json::from_str(read(export::LABELS_KEY)?)?;
    let thresholds: Vec<f64> = match task {
        Task::Multilabel => serde_json::from_str(read(export::THRESHOLDS_KEY)?)?,
        Task::Classification | Task::Regression => Vec::new(),
    };
    let n = if task == Task::Multilabel { labels.len() } else { 0 };
    ensure!(thresholds.len() == n, "{} thresholds for {} labels", thresholds.len(), labels.len());
    Ok(ScoreColumns { task, labels, thresholds })
}

impl ScoreColumns {
    /// Indices from the largest score to the smallest.
    fn ranking(scores: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order
    }

    /// Indices of the labels that are given, most probable first: one where classes exclude each other.
    fn given(&self, scores: &[f64]) -> Vec<usize> {
        let mut order = Self::ranking(scores);
        match self.task {
            Task::Classification => order.truncate(1),
            Task::Multilabel => order.retain(|it| scores[*it] >= self.thresholds[*it]),
            Task::Regression => order.clear(),
        }
        order
    }

    /// Their names, joined as in manifests.
    fn label(&self, scores: &[f64]) -> String {
        let names = self.given(scores).into_iter().map(|it| self.labels[it].as_str());
        names.collect::<Vec<_>>().join("|")
    }
}

fn print(
    args: &PredictArgs,
    files: &[PathBuf],
    scores: &[Option<Vec<f64>>],
    columns: &ScoreColumns,
) -> Result<()> {
    let scored =
        files.iter().zip(scores).filter_map(|(file, scores)| Some((dataset::key(file), scores.as_ref()?)));
    if args.csv {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut header = vec!["path"];
        if columns.task != Task::Regression {
            header.push("label");
        }
        header.extend(columns.labels.iter().map(String::as_str));
        writer.write_record(header)?;
        for (path, scores) in scored {
            let mut record = vec![path];
            if columns.task != Task::Regression {
                record.push(columns.label(scores));
            }
            record.extend(scores.iter().map(f64::to_string));
            writer.write_record(record)?;
        }
        let text = String::from_utf8(writer.into_inner()?)?;
        return report::data(text.trim_end());
    }
    let mut rows = Vec::new();
    for (path, scores) in scored {
        let by_label: Map<String, Value> =
            columns.labels.iter().cloned().zip(scores.iter().map(|it| json!(it))).collect();
        if args.json {
            let mut object = json!({ "path": path });
            match columns.task {
                Task::Classification => object["label"] = json!(columns.label(scores)),
                Task::Multilabel => {
                    let given = columns.given(scores).into_iter().map(|it| columns.labels[it].as_str());
                    object["labels"] = given.collect();
                }
                Task::Regression => {}
            }
            let name = if columns.task == Task::Regression { "predictions" } else { "probabilities" };
            object[name] = Value::Object(by_label);
            report::data(object.to_string())?;
            continue;
        }
        let mut row = vec![path];
        let shown = match (columns.task, args.top) {
            (Task::Regression, _) => {
                row.extend(columns.labels.iter().zip(scores).map(|(label, it)| format!("{label} {it:.4}")));
                Vec::new()
            }
            (Task::Classification, top) => {
                ScoreColumns::ranking(scores).into_iter().take(top.unwrap_or(1).max(1)).collect()
            }
            (Task::Multilabel, Some(top)) => {
                ScoreColumns::ranking(scores).into_iter().take(top.max(1)).collect()
            }
            (Task::Multilabel, None) => columns.given(scores),
        };
        for best in shown {
            row.extend([columns.labels[best].clone(), format!("{:>6}", report::percent(scores[best]))]);
        }
        rows.push(row);
    }
    if rows.is_empty() { Ok(()) } else { report::data(report::table(&rows)) }
}
