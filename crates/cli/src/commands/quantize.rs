//! `headstart models quantize`: a backbone in 8-bit integers, and what that costs on the user's own inputs.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use headstart::{N_FOLDS, Places, QuantizeConfig, Quantized, check_quantized_out, quantize};
use serde_json::json;

use super::{extract, say_first};
use crate::dataset_args::DatasetArgs;
use crate::listener::Listener;
use crate::model_args::ModelArgs;
use crate::report::percent;
use crate::run_args::RunArgs;
use crate::{Ended, report};

/// Most inputs to calibrate on: all are held in memory.
const MAX_CALIBRATED: u64 = 2000;

/// Quantise a backbone to 8-bit integers, by the values it takes on your own pictures, texts or sounds.
///
/// The result is run on them beside the backbone, and compared: embeddings, accuracy of a head,
/// speed. Then FILE is written, and a .toml beside it that says how it is fed, so that `--model FILE` is
/// all it takes to use it.
#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// Images to calibrate and compare on: a folder, a manifest, or - for a list on stdin.
    #[arg(long, value_name = "DATASET")]
    dataset: PathBuf,
    /// File to write, ending in .onnx.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Images to take the ranges from.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=MAX_CALIBRATED))]
    calibrate: u64,
    /// Images to compare on, at most: those it was calibrated on come last.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    compare: u64,
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

pub(crate) fn run(args: &QuantizeArgs, places: &Places) -> Result<Ended> {
    check_quantized_out(&args.out, Path::new(args.model.named().unwrap_or_default()))?;
    ensure!(args.run.precision.is_none(), "--precision is for what runs a model; this makes one in int8");
    let mut listener = Listener::default();
    let engine = args.run.engine(places);
    let (model, dataset) = extract::open(&engine, &args.model, &args.reading, &args.dataset, &mut listener)?;
    ensure!(
        !dataset.listing.inputs.is_empty(),
        "no {} in {}",
        dataset.kind.nouns()[1],
        args.dataset.display()
    );
    let nouns = dataset.kind.nouns()[1];
    let engine = engine.limited_to_dataset(&dataset);
    let mut hear = |it| listener.hear(it);
    let mut floats = engine.load_model(model, &mut hear)?;
    let number = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
    let config = QuantizeConfig { n_calibrate: number(args.calibrate), n_compare: number(args.compare) };
    let quantized = quantize(&engine, &mut floats, dataset, &args.out, &config, &mut hear)?;
    listener.finish();
    say(&quantized, nouns);
    if args.json {
        let mut value = json!(quantized);
        listener.add_to(&mut value);
        report::json(value)?;
    }
    Ok(if quantized.failures.is_empty() { Ended::Good } else { Ended::SomeFailed })
}

fn say(quantized: &Quantized, nouns: &str) {
    let n_failed = quantized.failures.len();
    say_first(&quantized.failures);
    if n_failed > 0 {
        report::say(format!("{n_failed} {nouns} have no embedding and were left out"));
    }
    report::say(format!(
        "wrote {} ({}) and {}: ranges of {} {nouns}",
        quantized.out.display(),
        report::bytes(quantized.out.metadata().map_or(0, |it| it.len())),
        quantized.description.display(),
        quantized.n_calibrated,
    ));
    let accuracy = match quantized.accuracy.zip(quantized.accuracy_f32) {
        Some((integers, floats)) => format!(
            "accuracy of a logistic head in {N_FOLDS}-fold cross-validation {} instead of {}",
            percent(integers),
            percent(floats)
        ),
        None => "no classes to compare the accuracy of a head by".to_owned(),
    };
    let seen = match quantized.n_compared_calibrated {
        0 => String::new(),
        n => format!(" ({n} of them its own)"),
    };
    report::say(format!(
        "int8 against f32 on {} {nouns}{seen}: cosine {:.4} on average, {:.4} at least; {accuracy}",
        quantized.n_compared, quantized.cosine_mean, quantized.cosine_min
    ));
    let Quantized { images_per_second, images_per_second_f32, device, .. } = quantized;
    report::say(format!(
        "{images_per_second:.0} {nouns}/s instead of {images_per_second_f32:.0} on {device} (the model alone)"
    ));
}
