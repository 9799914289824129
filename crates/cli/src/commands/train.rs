//! `headstart train`: from a dataset to one file, in one go.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use headstart::backbone::{EMBEDDED_ID, Registry};
use headstart::{Event, Note, OutKind, Places, Samples, export, find_local, fit};
use serde_json::json;

use super::{export as export_command, extract, fit_head};
use crate::dataset_args::DatasetArgs;
use crate::fit_args::FitArgs;
use crate::force_args::ForceArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::run_args::RunArgs;
use crate::{Ended, report};

/// The model that is offered instead of the compiled-in one.
const BETTER: &str = "mobilenetv2";

/// From labelled pictures or texts to one ONNX file: extract, fit-head and export in one go.
///
/// DATASET is as for `extract`. What is embedded stays in the store: the next run, with pictures or labels
/// added, embeds what is new.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Folder, manifest, or - for a list on stdin.
    dataset: PathBuf,
    /// File to write: inputs in, labels out.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    force: ForceArgs,
    /// Folder of the store [default: the name of --out, with .store instead of .onnx].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// End with one JSON object on stdout.
    #[arg(long)]
    json: bool,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    reading: DatasetArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &TrainArgs, places: &Places) -> Result<Ended> {
    let start = Instant::now();
    let store = args.store.clone().unwrap_or_else(|| args.out.with_extension("store"));
    ensure!(store != args.out, "{} cannot be the file and the store; name another --store", store.display());
    args.force.check(&args.out, OutKind::Onnx)?;
    let config = args.fit.config()?;
    let mut listener = Listener::default();
    let engine = args.run.engine(places);
    let (model, dataset) = extract::open(&engine, &args.model, &args.reading, &args.dataset, &mut listener)?;
    dataset.check_not_empty(&args.dataset)?;
    extract::say_dataset(&args.dataset, &dataset, &mut listener);
    dataset.check_labelled(&args.dataset)?;
    let engine = engine.limited_to_dataset(&dataset);
    let mut backbone = engine.load_model(model, &mut |it| match it {
        // What follows says that better.
        Event::Note(Note::DefaultModel { .. }) => {}
        it => listener.hear(it),
    })?;
    if backbone.model().id == EMBEDDED_ID && args.model.named().is_none() {
        offer_better(places);
    }
    let kind = dataset.kind;
    let extraction = engine.extract(&mut backbone, dataset, &store, None, &mut |it| listener.hear(it))?;
    listener.finish();
    let embedded = start.elapsed().as_secs_f64();
    extract::summarise(&backbone, &extraction.report, embedded);
    // What stays unsaid for a moment has its place behind the verdict.
    listener.hold();
    let samples = Samples::read(&extraction.store)?;
    let fitted = fit(&samples, &config, &mut |it| listener.hear(it))?;
    listener.finish();
    fit_head::say_fitted(&fitted, fitted.fit_time, &config, &mut listener);
    let exported = export(&mut backbone, &fitted.head, &args.out, &[])?;
    export_command::say_export(&args.out, &exported, kind);
    let failures = &extraction.report.failures;
    if args.json {
        let mut value = json!({
            "out": args.out,
            "store": store,
            "n_failed": failures.len(),
            "labels": fitted.head.metadata.outputs.labels,
            "train": fitted.train,
            "validation": fitted.validation,
            "cross_validated": fitted.cross_validated,
            "verification": exported.verification,
            "seconds": start.elapsed().as_secs_f64(),
        });
        listener.add_to(&mut value);
        report::json(value)?;
    }
    Ok(if failures.is_empty() { Ended::Good } else { Ended::SomeFailed })
}

/// Says that a model that sees more is here, or can be had.
fn offer_better(places: &Places) {
    let registry = Registry::builtin();
    let Some(spec) = registry.get(BETTER) else { return };
    let is_here = find_local(spec, places).ok().flatten().is_some();
    let bytes = spec.bytes.map_or(String::new(), |it| format!(" ({})", report::bytes(it)));
    let how = if is_here { "is here".to_owned() } else { format!("can be had{bytes}") };
    report::say(format!(
        "{BETTER} {how} and is right more often, on ants and bees 96% instead of 80%: --model {BETTER}, \
         with another --out or --store"
    ));
}
