//! `headstart predict`: what a head says of inputs.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use headstart::backbone::{Precision, Progress, Source};
use headstart::store::Failure;
use headstart::{
    Asked, Content, DatasetConfig, Event, InputKind, OutKind, Places, Predictor, Resumed, RowFormat,
    check_out, is_manifest, read_head,
};

use super::extract;
use crate::answers::Answers;
use crate::dataset_args::DatasetArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::run_args::RunArgs;
use crate::{Ended, report};

/// Predict labels or numbers of pictures or texts.
///
/// With --head, MODEL is the backbone the head was fitted on; without it, a file written by `headstart
/// export`. PATHS are files, folders of files, manifests with a column of texts, or - for a list on stdin: of paths,
/// or of texts, one a line.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// Files, folders, manifests of texts, or - for a list on stdin.
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
    /// Column of a manifest that holds texts [default: text, sentence, question, …, whichever is there].
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &PredictArgs, places: &Places) -> Result<Ended> {
    ensure!(!args.resume || args.format().is_some(), "only JSON and CSV can be gone on with");
    if let Some(out) = &args.out {
        check_out(out, if args.force { OutKind::Any } else { OutKind::Table })?;
        let is_out = |path: &PathBuf| {
            path.canonicalize().ok().is_some_and(|it| out.canonicalize().is_ok_and(|out| it == out))
        };
        ensure!(
            !args.paths.iter().any(is_out),
            "{} is what is to be read, and would be overwritten",
            out.display()
        );
    }
    let mut predictor = open(args, places)?;
    let nouns = predictor.kind().nouns()[1];
    let (files, unreadable) = inputs(args, predictor.kind())?;
    let mut answers = Answers::new(predictor.outputs().clone(), args.format(), args.top, &files);
    let before = match &args.out {
        Some(out) if args.resume && out.exists() => answers.resume(out, &files)?,
        Some(out) => answers.create(out).map(|()| Resumed::default())?,
        None => answers.begin().map(|()| Resumed::default())?,
    };
    // One of before is looked at again: that it says the same shows that the model is the same.
    let again = before.check.as_ref().map(|it| it.0);
    let todo: Vec<usize> = again.into_iter().chain(before.n_rows..files.len()).collect();
    let sources: Vec<Source<'_>> = todo.iter().map(|it| Source::from(&files[*it].1)).collect();
    let mut failures = Vec::new();
    // Where rows go to the terminal, they show how far it is.
    let shows = args.out.is_some() || !stdout().is_terminal();
    let mut listener = Listener::default();
    let mut progress = Progress { n_inputs: files.len(), n_unchanged: before.n_rows, ..Progress::default() };
    let remarks = predictor.predict(&sources, &mut |index, predicted| {
        let path = files[todo[index]].0.clone();
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
    extract::say_remarks(remarks, predictor.recipe());
    for failure in failures.iter().chain(&unreadable) {
        report::say(failure.to_string());
    }
    let n_failed = failures.len() + unreadable.len() + before.n_failed;
    if let Some(out) = &args.out {
        let earlier =
            if before.n_rows == 0 { String::new() } else { format!(" ({} of them before)", before.n_rows) };
        report::say(format!("wrote {}: {} {nouns}{earlier}, {n_failed} failed", out.display(), files.len()));
    }
    Ok(if n_failed == 0 { Ended::Good } else { Ended::SomeFailed })
}

impl PredictArgs {
    fn format(&self) -> Option<RowFormat> {
        let ending = self.out.as_ref().and_then(|it| it.extension());
        match (self.json, self.csv, ending.and_then(|it| it.to_str())) {
            (true, ..) | (false, false, Some("json" | "jsonl")) => Some(RowFormat::Json),
            (_, true, _) | (_, _, Some("csv")) => Some(RowFormat::Csv),
            _ => None,
        }
    }
}

/// What an input is called, and the input.
type Named = (String, Content);

/// The inputs named, folders and lists listed; and what in folders could not be looked at.
fn inputs(args: &PredictArgs, kind: InputKind) -> Result<(Vec<Named>, Vec<Failure>)> {
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    let nouns = kind.nouns()[1];
    let config = DatasetConfig { kind, text_column: args.text_column.clone(), ..DatasetConfig::default() };
    for path in &args.paths {
        let asked = if path == Path::new("-") {
            DatasetArgs::default().open(path, kind)?.into()
        } else {
            Asked::of(path, &config)?
        };
        extract::say_ignored(asked.n_ignored, kind);
        if asked.inputs.is_empty() {
            report::say(format!("{} holds no {nouns}", path.display()));
        }
        all.extend(asked.inputs);
        unreadable.extend(asked.unreadable);
    }
    ensure!(!all.is_empty() || !unreadable.is_empty(), "no {nouns} in the paths given");
    Ok((all, unreadable))
}

/// Threads that have something to do, where that is known before it is known what is in the paths.
fn n_at_most(paths: &[PathBuf]) -> usize {
    let is_one = |it: &PathBuf| it != Path::new("-") && !it.is_dir() && !is_manifest(it);
    if paths.iter().all(is_one) { paths.len() } else { usize::MAX }
}

fn open(args: &PredictArgs, places: &Places) -> Result<Predictor> {
    let mut listener = Listener::default();
    let engine = args.run.engine(places).limited_to(n_at_most(&args.paths));
    if let Some(head) = &args.head {
        let head = read_head(head)?;
        let backbone = engine.backbone(&args.model.for_head(&head), &mut |it| listener.hear(it))?;
        return Ok(Predictor::new(&engine, backbone, head)?);
    }
    let path = Path::new(args.model.named().unwrap_or_default());
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
