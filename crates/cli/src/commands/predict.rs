//! `headstart predict`: what a head says of pictures.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use headstart::backbone::{Precision, Source};
use headstart::head::{Outputs, Prediction, Task};
use headstart::store::{Failure, Label};
use headstart::{Places, Predictor, files_of, key, read_head};
use serde_json::{Value, json};

use crate::dataset_args::DatasetArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::run_args::RunArgs;
use crate::{Ended, report};

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
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Print one JSON object a line, with all scores, or with the error of a picture that nothing can be said of.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, with a column for every label and one for errors.
    #[arg(long)]
    csv: bool,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &PredictArgs, places: &Places) -> Result<Ended> {
    let (files, unreadable) = inputs(&args.paths)?;
    let mut predictor = open(args, places, files.len())?;
    let printer = Printer::new(args, predictor.outputs().clone(), &files);
    printer.begin()?;
    let sources: Vec<Source<'_>> = files.iter().map(Source::from).collect();
    let mut failures = Vec::new();
    predictor.predict(&sources, &mut |index, predicted| {
        let path = key(&files[index]);
        match predicted {
            Ok(prediction) => printer.print(&path, &prediction)?,
            Err(reason) => {
                printer.print_error(&path, &reason)?;
                failures.push(Failure { path, reason });
            }
        }
        Ok::<(), anyhow::Error>(())
    })?;
    for failure in failures.iter().chain(&unreadable) {
        report::say(failure.to_string());
    }
    let n_failed = failures.len() + unreadable.len();
    Ok(if n_failed == 0 { Ended::Good } else { Ended::SomeFailed })
}

/// The pictures named, folders and lists listed; and what in folders could not be looked at.
fn inputs(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Failure>)> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        if path == Path::new("-") {
            let listed = DatasetArgs::default().open(path)?.listing.inputs;
            files.extend(listed.into_iter().map(|it| it.file));
        } else {
            let (found, bad) = files_of(std::slice::from_ref(path));
            files.extend(found);
            unreadable.extend(bad);
        }
    }
    ensure!(!files.is_empty() || !unreadable.is_empty(), "no pictures in the paths given");
    Ok((files, unreadable))
}

fn open(args: &PredictArgs, places: &Places, n_files: usize) -> Result<Predictor> {
    let mut listener = Listener::default();
    let engine = args.run.engine(places).limited_to(n_files);
    if let Some(head) = &args.head {
        let head = read_head(head)?;
        let backbone = engine.backbone(&args.model.config(), &mut |it| listener.hear(it))?;
        return Ok(Predictor::new(&engine, backbone, head)?);
    }
    let path = Path::new(&args.model.model);
    ensure!(path.is_file(), "without --head, --model must be a file written by `headstart export`");
    ensure!(
        args.model.is_plain(),
        "an exported model knows how it is fed and where it was cut: such flags are for backbones"
    );
    ensure!(
        args.run.precision != Some(Precision::F16),
        "an exported model computes in what it was exported in: leave --precision out"
    );
    Ok(Predictor::open(&engine, path, &mut |it| listener.hear(it))?)
}

/// Prints predictions as they come.
struct Printer<'a> {
    args: &'a PredictArgs,
    outputs: Outputs,
    /// Characters of the longest path, and of the longest label: columns are aligned before all is known.
    path_width: usize,
    label_width: usize,
}

impl<'a> Printer<'a> {
    fn new(args: &'a PredictArgs, outputs: Outputs, files: &[PathBuf]) -> Self {
        // What is longer than that stands out of its column.
        let widest = |all: &mut dyn Iterator<Item = usize>| all.max().unwrap_or(0).min(report::MAX_WIDTH);
        let path_width = widest(&mut files.iter().map(|it| key(it).chars().count()));
        let label_width = widest(&mut outputs.labels.iter().map(|it| it.chars().count()));
        Self { args, outputs, path_width, label_width }
    }

    fn has_labels(&self) -> bool {
        self.outputs.task != Task::Regression
    }

    /// What stands above the predictions.
    fn begin(&self) -> Result<()> {
        if !self.args.csv {
            return Ok(());
        }
        let labels = self.outputs.labels.iter().map(String::as_str);
        csv_line(
            ["path"].into_iter().chain(self.has_labels().then_some("label")).chain(labels).chain(["error"]),
        )
    }

    fn print(&self, path: &str, prediction: &Prediction) -> Result<()> {
        if self.args.json {
            let mut object = self.outputs.to_json(prediction);
            object.insert("path".to_owned(), path.into());
            report::data(Value::Object(object).to_string())
        } else if self.args.csv {
            let given = self.has_labels().then(|| self.given(prediction));
            let scores = prediction.scores.iter().map(f64::to_string);
            csv_line([path.to_owned()].into_iter().chain(given).chain(scores).chain([String::new()]))
        } else {
            report::data(self.table_row(path, prediction))
        }
    }

    /// The row of a picture that nothing can be said of; a table has none, for stderr has the reason.
    fn print_error(&self, path: &str, reason: &str) -> Result<()> {
        if self.args.json {
            return report::data(json!({"path": path, "error": reason}).to_string());
        }
        let n_empty = self.outputs.labels.len() + usize::from(self.has_labels());
        let empty = std::iter::repeat_n("", n_empty);
        if self.args.csv { csv_line([path].into_iter().chain(empty).chain([reason])) } else { Ok(()) }
    }

    /// The labels that are given, bars between them and escaped in them.
    fn given(&self, prediction: &Prediction) -> String {
        let names = self.outputs.names(&prediction.given);
        names.map(|it| Label::Class(it.to_owned()).to_string()).collect::<Vec<_>>().join("|")
    }

    fn table_row(&self, path: &str, prediction: &Prediction) -> String {
        let shown = match (self.outputs.task, self.args.top) {
            (Task::Regression, _) => (0..prediction.scores.len()).collect(),
            (Task::Multilabel, None) => prediction.given.clone(),
            (_, top) => prediction.ranking().into_iter().take(top.unwrap_or(1) as usize).collect::<Vec<_>>(),
        };
        let width = self.label_width;
        let cell = |column: usize| {
            let (label, score) = (&self.outputs.labels[column], prediction.scores[column]);
            match self.has_labels() {
                true => format!("  {label:<width$}  {:>6}", report::percent(score)),
                false => format!("  {:<width$}", format!("{label} {score:.4}"), width = width + 11),
            }
        };
        let cells: String = shown.into_iter().map(cell).collect();
        format!("{path:<width$}{cells}", width = self.path_width).trim_end().to_owned()
    }
}

fn csv_line<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let text = String::from_utf8(writer.into_inner()?)?;
    report::data(text.strip_suffix('\n').unwrap_or(&text))
}
