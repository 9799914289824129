//! `headstart predict`: what a head says of pictures.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use headstart::backbone::{Precision, Progress, Source};
use headstart::store::Failure;
use headstart::{Event, Files, OutKind, Places, Predictor, check_out, key, read_head};

use super::extract;
use crate::answers::{Answers, Resumed, RowFormat};
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
    /// Write there instead of stdout, a row as soon as a picture is done: as its ending says (.csv, .json, .jsonl),
    /// unless a flag says otherwise.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write there even where a file of another kind is.
    #[arg(long, requires = "out")]
    force: bool,
    /// Go on with the file that --out names, after a kill: what it has of these pictures is kept. (JSON and CSV.)
    #[arg(long, requires = "out")]
    resume: bool,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &PredictArgs, places: &Places) -> Result<Ended> {
    ensure!(!args.resume || args.format() != RowFormat::Table, "only JSON and CSV can be gone on with");
    let (files, unreadable) = inputs(&args.paths)?;
    if let Some(out) = &args.out {
        check_out(out, if args.force { OutKind::Any } else { OutKind::Table })?;
    }
    let mut predictor = open(args, places, files.len())?;
    let mut answers = Answers::new(predictor.outputs().clone(), args.format(), args.top, &files);
    let before = match &args.out {
        Some(out) if args.resume && out.exists() => answers.resume(out, &files)?,
        Some(out) => answers.create(out).map(|()| Resumed::default())?,
        None => answers.begin().map(|()| Resumed::default())?,
    };
    // One of before is looked at again: that it says the same shows that the model is the same.
    let again = before.check.as_ref().map(|it| it.0);
    let todo: Vec<usize> = again.into_iter().chain(before.n_rows..files.len()).collect();
    let sources: Vec<Source<'_>> = todo.iter().map(|it| Source::from(&files[*it])).collect();
    let mut failures = Vec::new();
    // Where rows go to the terminal, they show how far it is.
    let shows = args.out.is_some() || !stdout().is_terminal();
    let mut listener = Listener::default();
    let mut progress = Progress { n_inputs: files.len(), n_unchanged: before.n_rows, ..Progress::default() };
    predictor.predict(&sources, &mut |index, predicted| {
        let path = key(&files[todo[index]]);
        if let (0, Some((_, row))) = (index, &before.check) {
            return answers.check_same(row, &path, &predicted);
        }
        progress.n_done += 1;
        match predicted {
            Ok(prediction) => answers.print(&path, &prediction)?,
            Err(reason) => {
                answers.print_error(&path, &reason)?;
                failures.push(Failure { path, reason });
                progress.n_failed += 1;
            }
        }
        if shows {
            listener.hear(Event::Progress(progress));
        }
        Ok::<(), anyhow::Error>(())
    })?;
    listener.finish();
    for failure in failures.iter().chain(&unreadable) {
        report::say(failure.to_string());
    }
    let n_failed = failures.len() + unreadable.len() + before.n_failed;
    if let Some(out) = &args.out {
        let earlier =
            if before.n_rows == 0 { String::new() } else { format!(" ({} of them before)", before.n_rows) };
        report::say(format!("wrote {}: {} pictures{earlier}, {n_failed} failed", out.display(), files.len()));
    }
    Ok(if n_failed == 0 { Ended::Good } else { Ended::SomeFailed })
}

impl PredictArgs {
    fn format(&self) -> RowFormat {
        let ending = self.out.as_ref().and_then(|it| it.extension());
        match (self.json, self.csv, ending.and_then(|it| it.to_str())) {
            (true, ..) | (false, false, Some("json" | "jsonl")) => RowFormat::Json,
            (_, true, _) | (_, _, Some("csv")) => RowFormat::Csv,
            _ => RowFormat::Table,
        }
    }
}

/// The pictures named, folders and lists listed; and what in folders could not be looked at.
fn inputs(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<Failure>)> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        if path == Path::new("-") {
            let listed = DatasetArgs::default().open(path)?.listing.inputs;
            files.extend(listed.into_iter().map(|it| it.file));
        } else {
            let found = Files::of(path);
            extract::say_ignored(found.n_ignored);
            if found.files.is_empty() {
                report::say(format!("{} holds no pictures", path.display()));
            }
            files.extend(found.files);
            unreadable.extend(found.unreadable);
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
    let is_path = path.extension().is_some_and(|it| it == "onnx") || path.components().count() > 1;
    ensure!(path.exists() || !is_path, "there is no file {}", path.display());
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
