//! `headstart extract`: a dataset's embeddings, into a store.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use headstart::backbone::{Backbone, CutModel, Report};
use headstart::input::Recipe;
use headstart::store::{Finished, Run};
use headstart::{
    Dataset, Engine, Event, Extraction, InputKind, Places, Remarks, Shard, peak_memory_bytes,
    remarks_in_words,
};
use serde_json::{Value, json};

use super::say_first;
use crate::dataset_args::DatasetArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::run_args::RunArgs;
use crate::{Ended, report};

/// Embed every picture or text of a dataset that the store does not have yet: what MODEL takes.
///
/// DATASET is a folder (`<class>/*` or `<split>/<class>/*`), a manifest (.csv, .tsv, .jsonl, .parquet
/// with columns path or text, label, split, group), for texts also a folder with a manifest for each split, or `-` for
/// a list on stdin, of paths or of texts. Several labels are a list in JSON and Parquet, and one text in CSV, `|`
/// between them; a label's own is written `\|`.
#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    /// Folder, manifest, or - for a list on stdin.
    dataset: PathBuf,
    /// Folder of the store; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Embed only one of N fixed parts of the dataset, I from 1 to N. Runs of different parts may go on at
    /// once, on machines that share the store and see the dataset under the same path; repeated, a run
    /// takes the place of its last one. All N together give the store of a single run; until they are
    /// there, what the store listed before stays. (Paths of a list on stdin are those of the current folder.)
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// End with one JSON object on stdout.
    #[arg(long)]
    json: bool,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    reading: DatasetArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &ExtractArgs, places: &Places) -> Result<Ended> {
    let start = Instant::now();
    let mut listener = Listener::default();
    let engine = args.run.engine(places);
    let (model, dataset) = open(&engine, &args.model, &args.reading, &args.dataset, &mut listener)?;
    dataset.check_not_empty(&args.dataset)?;
    say_dataset(&args.dataset, &dataset, &mut listener);
    let engine = engine.limited_to_dataset(&dataset);
    let mut backbone = engine.load_model(model, &mut |it| listener.hear(it))?;
    let nouns = dataset.kind.nouns()[1];
    report::say(format!("model {}: {} features", backbone.model().id, backbone.space().n_features));
    if let Some(reason) = backbone.runner().one_by_one() {
        report::say(format!("{nouns} are run one by one: {reason}"));
    }
    if let Some(Shard { index, count }) = args.shard {
        let run = Run::Shard { index, count, listing: 0 };
        let n = dataset.listing.inputs.iter().filter(|it| run.contains(&it.path)).count();
        report::say(format!("shard {} of {count}: {n} {nouns}", index + 1));
    }
    let mut hear = |it| listener.hear(it);
    let extraction = engine.extract(&mut backbone, dataset, &args.store, args.shard, &mut hear)?;
    let Extraction { report: result, .. } = extraction;
    listener.finish();
    let seconds = start.elapsed().as_secs_f64();
    summarise(&backbone, &result, seconds);
    if args.json {
        let mut value = to_json(&backbone, &result, seconds);
        listener.add_to(&mut value);
        report::json(value)?;
    }
    Ok(if result.failures.is_empty() { Ended::Good } else { Ended::SomeFailed })
}

/// A model, and a dataset of what it takes.
pub(crate) fn open(
    engine: &Engine,
    model: &ModelArgs,
    reading: &DatasetArgs,
    dataset: &Path,
    listener: &mut Listener,
) -> Result<(CutModel, Dataset)> {
    reading.check(dataset)?;
    let model = engine.model(&model.for_dataset(dataset, reading), &mut |it| listener.hear(it))?;
    let dataset = reading.open(dataset, model.recipe.kind())?;
    Ok((model, dataset))
}

pub(crate) fn say_dataset(path: &Path, dataset: &Dataset, listener: &mut Listener) {
    let n_inputs = dataset.listing.inputs.len();
    let noun = dataset.kind.nouns();
    say_ignored(dataset.n_ignored, dataset.kind);
    let unreadable = match dataset.listing.unreadable.len() {
        0 => String::new(),
        n => format!(" (and {n} that cannot be read)"),
    };
    let found = format!("{}: {n_inputs} {}{unreadable}", path.display(), noun[usize::from(n_inputs != 1)]);
    match &dataset.layout {
        Some(layout) => report::say(format!("{found}, {layout}")),
        None if dataset.kind == InputKind::Text => report::say(found),
        None => {}
    }
    dataset.notes.iter().for_each(|it| listener.hear(Event::Note(it.clone())));
}

pub(crate) fn say_ignored(n: usize, kind: InputKind) {
    let [noun, nouns] = kind.nouns();
    match n {
        0 => {}
        1 => report::say(format!("1 file that is no {noun} is left out")),
        n => report::say(format!("{n} files that are no {nouns} are left out")),
    }
}

/// Those that were computed: the others cost next to nothing.
fn inputs_per_second(result: &Report, seconds: f64) -> f64 {
    result.n_embedded as f64 / seconds.max(1e-9)
}

fn to_json(backbone: &Backbone, result: &Report, seconds: f64) -> Value {
    json!({
        "n_embedded": result.n_embedded,
        "n_cached": result.n_cached,
        "n_unchanged": result.n_unchanged,
        "n_failed": result.failures.len(),
        "n_recovered": result.n_recovered,
        "set_aside": result.set_aside,
        "one_by_one": backbone.runner().one_by_one(),
        "n_missing_shards": result.finished.shards.n_missing(),
        "inputs_per_second": inputs_per_second(result, seconds),
        "peak_memory_bytes": peak_memory_bytes(),
        "device": backbone.config().device.to_string(),
        "precision": backbone.config().precision,
        "seconds": seconds,
        "pipeline_seconds": result.pipeline_time.as_secs_f64(),
        "n_cut": result.remarks.n_cut,
        "longest_cut": result.remarks.longest,
        "n_upsampled": result.remarks.n_upsampled,
        "n_short": result.remarks.n_short,
        "n_silent": result.remarks.n_silent,
        "n_damaged": result.remarks.n_damaged,
        "fingerprint": backbone.space().fingerprint(),
        "thread_seconds": result.stages.seconds(),
        "model_inputs_per_second": result.model_inputs_per_second,
    })
}

pub(crate) fn summarise(backbone: &Backbone, result: &Report, seconds: f64) {
    if result.n_recovered > 0 {
        report::say(format!("{} embeddings taken over from a run that was cut off", result.n_recovered));
    }
    for path in &result.set_aside {
        report::say(format!("{} is damaged and was set aside; what it held is made anew", path.display()));
    }
    if let Some((root, n @ 1..)) = &result.finished.replaced {
        report::say(format!(
            "the store listed {n} samples of {root} before; these took their place (embeddings stay, and cost nothing to list again)"
        ));
    }
    let memory = peak_memory_bytes().map_or("unknown".to_owned(), report::bytes);
    let rate = match result.n_embedded {
        0 => String::new(),
        _ => format!(" ({:.0} {}/s)", inputs_per_second(result, seconds), nouns(backbone)),
    };
    report::say(format!(
        "{} embedded, {} cached, {} failed in {seconds:.1} s{rate} on {} ({}), peak memory {memory}",
        result.n_embedded,
        result.n_cached,
        result.failures.len(),
        backbone.config().device,
        backbone.config().precision,
    ));
    say_remarks(result.remarks, backbone.runner().recipe());
    if result.n_embedded >= STAGES_FROM {
        say_stages(result, nouns(backbone));
    }
    say_first(&result.failures);
    if let Some(path) = &result.finished.failures {
        report::say(format!("all failures: {}", path.display()));
    }
    say_shards(&result.finished);
}

fn nouns(backbone: &Backbone) -> &'static str {
    backbone.runner().recipe().kind().nouns()[1]
}

/// What was done to inputs that their user should know.
pub(crate) fn say_remarks(remarks: Remarks, recipe: &Recipe) {
    remarks_in_words(&remarks, recipe).into_iter().for_each(report::say);
}

fn say_shards(finished: &Finished) {
    let Finished { shards, n_unfinished, .. } = finished;
    match (shards.n_missing(), shards.count) {
        (0, 0 | 1) => (),
        (0, count) => report::say(format!("all {count} shards are there")),
        _ => report::say(format!(
            "shards still missing: {shards}; until they are there, the store lists what it listed before"
        )),
    }
    if shards.n_missing() > 0 && *n_unfinished > 0 {
        report::say(format!(
            "shards of other listings are here too ({n_unfinished}): they come together only when folder, files and labels were the same for all"
        ));
    }
}

/// Inputs from which on it is worth a line where the time went.
const STAGES_FROM: usize = 100;

/// Where the time of all threads went, and how far the run was from what the model alone can do.
fn say_stages(result: &Report, nouns: &str) {
    let stages = &result.stages;
    let total: f64 = stages.named().iter().map(|it| it.1.as_secs_f64()).sum();
    let share = |(name, time): (&str, Duration)| format!("{name} {:.0}%", 100.0 * time.as_secs_f64() / total);
    let shares = stages.named().map(share).join(", ");
    let (n_readers, n_sessions) = (stages.n_readers, stages.n_sessions);
    let threads = match stages.n_decoders {
        0 => format!("{n_readers} read, {n_sessions} decode and run the model"),
        n_decoders => format!("{n_readers} read, {n_decoders} decode, {n_sessions} run the model"),
    };
    let mut line =
        format!("time of all threads ({threads}): {shares}; {} is the bottleneck", stages.bottleneck());
    let reached = result.n_embedded as f64 / result.pipeline_time.as_secs_f64();
    // Where the machine was slower when the model was measured alone, that says nothing.
    if let Some(roof) = result.model_inputs_per_second.filter(|it| *it >= reached) {
        line += &format!("; {reached:.0} {nouns}/s of the about {roof:.0} that the model alone makes");
    }
    report::say(line);
}
