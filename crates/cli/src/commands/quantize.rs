//! `headstart models quantize`: a backbone in 8-bit integers, and what that costs on the user's own images.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use headstart_backbone::{
    Backbone, CutModel, Input, Listing, ModelSpec, Outcome as Row, Precision, Progress, SessionConfig,
    quantize, run_files,
};
use headstart_head::{HeadError, Logistic, default_alphas, stratified_folds};
use headstart_onnx::{OnnxModel, Pool};
use headstart_store::{Digest, Failure};
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;
use serde_json::json;

use super::{Opened, RunArgs, check_out, folder_of, load_backbone, say_first, with_hint, write_file};
use crate::dataset::{self, Columns};
use crate::models::{ModelArgs, description};
use crate::progress::ExtractProgress;
use crate::{Outcome, report};

/// Folds of the comparison.
const N_FOLDS: usize = 5;

/// Most images to calibrate on: all are held in memory.
const MAX_CALIBRATED: u64 = 2000;

/// Pictures decoded for calibration before it is seen whether they are enough: work for every core.
const DECODED_AT_ONCE: usize = 64;

/// Quantise a backbone to 8-bit integers, by the values it takes on your own images.
///
/// The result is run on the images beside the backbone, and compared: embeddings, accuracy of a head,
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
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &QuantizeArgs) -> Result<Outcome> {
    check_out(&args.out)?;
    check_model_file(args)?;
    ensure!(args.run.precision.is_none(), "--precision is for what runs a model; this makes one in int8");
    let mut images = Images::drawn(args)?;
    let (opened, mut floats) = load_backbone(&args.model, &args.run, images.inputs.len())?;
    let device = opened.session.device;
    device.check(Precision::Int8)?;
    // Nothing is at FILE before what is to be there has run.
    let folder = folder_of(&args.out);
    let staging = tempfile::Builder::new().prefix(".quantize-").tempdir_in(folder);
    let staging = staging.with_context(|| format!("cannot write to {}", folder.display()))?;
    let staged = staging.path().join("model.onnx");
    let quantized = calibrate(args, &opened, &floats, &mut images)?;
    quantized.save(&staged)?;
    let tap = &quantized.output_names()[0];
    let id = format!("{}-int8", floats.model().id);
    let toml = description(&id, tap, Pool::None, &floats.model().preprocess)?;
    write_file(&staged.with_extension("toml"), toml.as_bytes())?;

    let (spec, _) = ModelSpec::of_file(&staged)?;
    let config = SessionConfig { precision: Precision::Int8, ..opened.session.clone() };
    let n_threads = opened.n_threads(images.inputs.len());
    let integers = Backbone::load(&opened.runtime, CutModel::load(&staged, &spec)?, &config, n_threads);
    let mut integers = integers.map_err(|err| with_hint(err, &opened))?;
    // Those that nothing was calibrated on come first.
    let n_compared = images.inputs.len().min(usize::try_from(args.compare).unwrap_or(usize::MAX));
    let n_seen = images.n_calibrated.saturating_sub(images.inputs.len() - n_compared);
    let compared = &images.inputs[..n_compared];
    let of_floats = embed(&opened, &mut floats, compared)?;
    let of_integers = embed(&opened, &mut integers, compared)?;
    let comparison = Comparison::new(compared, &of_floats.rows, &of_integers.rows)?;
    let batch_size = opened.pipeline.batch_size;
    let speed = integers.runner_mut().images_per_second(batch_size)?;
    let old_speed = floats.runner_mut().images_per_second(batch_size)?;
    quantized.save(&args.out)?;
    write_file(&args.out.with_extension("toml"), toml.as_bytes())?;

    let n_failed = of_floats.failures.len() + images.unreadable.len();
    say_first(images.unreadable.iter().chain(&of_floats.failures));
    if n_failed > 0 {
        report::say(format!("{n_failed} images have no embedding and were left out"));
    }
    report::say(format!(
        "wrote {} ({}) and {}: ranges of {} images",
        args.out.display(),
        report::bytes(args.out.metadata().map_or(0, |it| it.len())),
        args.out.with_extension("toml").display(),
        images.n_calibrated,
    ));
    report::say(comparison.describe(n_seen));
    report::say(format!("{speed:.0} images/s instead of {old_speed:.0} on {device} (the model alone)"));
    if args.json {
        let value = json!({
            "out": args.out,
            "n_calibrated": images.n_calibrated,
            "n_compared": comparison.n_images,
            "n_compared_calibrated": n_seen,
            "n_failed": n_failed,
            "cosine_mean": comparison.cosine_mean,
            "cosine_min": comparison.cosine_min,
            "accuracy": comparison.accuracy.map(|it| it[1]),
            "accuracy_f32": comparison.accuracy.map(|it| it[0]),
            "images_per_second": speed,
            "images_per_second_f32": old_speed,
            "device": device.to_string(),
        });
        report::data(value.to_string())?;
    }
    Ok(if n_failed == 0 { Outcome::Good } else { Outcome::SomeFailed })
}

/// Refuses to write over what is no quantised model of an earlier run.
fn check_model_file(args: &QuantizeArgs) -> Result<()> {
    let out = args.out.display();
    let is_onnx = args.out.extension().is_some_and(|it| it.eq_ignore_ascii_case("onnx"));
    ensure!(is_onnx, "{out} must end in .onnx to be used as a model");
    let is_model =
        |path: &Path| path.canonicalize().is_ok_and(|it| args.out.canonicalize().is_ok_and(|out| out == it));
    ensure!(!is_model(Path::new(&args.model.model)), "{out} is the model itself; write to another file");
    let toml = args.out.with_extension("toml");
    check_out(&toml)?;
    if toml.exists() {
        let described = ModelSpec::of_file(&args.out);
        described
            .with_context(|| format!("{} describes no model, and would be overwritten", toml.display()))?;
    }
    Ok(())
}

/// The images of the dataset, in an order that has nothing to do with how they are listed: any part of them
/// is a fair sample.
struct Images {
    /// Those it is calibrated on come last.
    inputs: Vec<Input>,
    unreadable: Vec<Failure>,
    n_calibrated: usize,
}

impl Images {
    fn drawn(args: &QuantizeArgs) -> Result<Self> {
        let listing = dataset::list(&args.dataset, &Columns::default())?.listing;
        let Listing { mut inputs, unreadable, .. } = listing;
        ensure!(!inputs.is_empty(), "no pictures in {}", args.dataset.display());
        inputs.sort_by_cached_key(|it| Digest::of(it.path.as_bytes()).0);
        Ok(Self { inputs, unreadable, n_calibrated: 0 })
    }
}

/// Quantises by the last of the images that can be read.
fn calibrate(
    args: &QuantizeArgs,
    opened: &Opened,
    floats: &Backbone,
    images: &mut Images,
) -> Result<OnnxModel> {
    let (preprocess, limits) = (floats.runner().preprocess(), opened.pipeline.limits);
    let of_input = |input: &Input| preprocess.apply_file(&input.file, &limits).ok();
    let wanted = usize::try_from(args.calibrate).unwrap_or(usize::MAX);
    let mut pixels: Vec<Vec<u8>> = Vec::new();
    let workers = rayon::ThreadPoolBuilder::new().num_threads(opened.n_workers).build()?;
    for inputs in images.inputs.rchunks(DECODED_AT_ONCE) {
        workers.install(|| pixels.par_extend(inputs.par_iter().rev().filter_map(of_input)));
        if pixels.len() >= wanted {
            break;
        }
    }
    pixels.truncate(wanted);
    ensure!(!pixels.is_empty(), "none of the {} pictures can be read", images.inputs.len());
    images.n_calibrated = pixels.len();
    let n_inputs = 2 * pixels.len();
    let mut progress = ExtractProgress::new();
    let quantized = quantize(&opened.runtime, floats.model(), &pixels, &mut |n_done| {
        progress.update(Progress { n_inputs, n_unchanged: 0, n_done, n_embedded: n_done, n_failed: 0 });
    });
    progress.finish();
    quantized.context("cannot quantise")
}

/// Embeddings of images, and why some have none.
struct Embedded {
    /// None for those that have none, or are copies.
    rows: Vec<Option<Vec<f32>>>,
    failures: Vec<Failure>,
}

fn embed(opened: &Opened, backbone: &mut Backbone, inputs: &[Input]) -> Result<Embedded> {
    let files: Vec<&Path> = inputs.iter().map(|it| it.file.as_path()).collect();
    let (mut rows, mut failures) = (vec![None; files.len()], Vec::new());
    let width = backbone.runner().width();
    let mut progress = ExtractProgress::new();
    let mut state = Progress { n_inputs: files.len(), n_unchanged: 0, n_done: 0, n_embedded: 0, n_failed: 0 };
    run_files(backbone.runner_mut(), &files, &opened.pipeline, &|_| false, &mut |delivery| {
        let mut embedded = delivery.rows.chunks_exact(width);
        for (index, outcome) in delivery.outcomes {
            state.n_done += 1;
            match outcome {
                Row::Embedded(..) => rows[index] = embedded.next().map(<[f32]>::to_vec),
                Row::Failed(_, err) => {
                    state.n_failed += 1;
                    failures.push(Failure { path: inputs[index].path.clone(), reason: err.to_string() });
                }
                Row::Known(..) => {}
            }
        }
        progress.update(state);
        Ok(())
    })?;
    progress.finish();
    failures.sort();
    Ok(Embedded { rows, failures })
}

/// What quantisation costs.
struct Comparison {
    n_images: usize,
    cosine_mean: f64,
    cosine_min: f64,
    /// Cross-validated accuracy of a head on the embeddings of floats, and of integers.
    accuracy: Option<[f64; 2]>,
}

impl Comparison {
    fn new(inputs: &[Input], floats: &[Option<Vec<f32>>], integers: &[Option<Vec<f32>>]) -> Result<Self> {
        let both = (0..inputs.len()).filter(|it| floats[*it].is_some() && integers[*it].is_some());
        let both: Vec<usize> = both.collect();
        ensure!(!both.is_empty(), "no image has an embedding by both models");
        let row = |rows: &[Option<Vec<f32>>], index: usize| rows[index].clone().unwrap_or_default();
        let cosines = both.iter().map(|it| cosine(&row(floats, *it), &row(integers, *it)));
        let cosines: Vec<f64> = cosines.collect();
        let labels: Option<Vec<&str>> = both.iter().map(|it| inputs[*it].label.as_deref()).collect();
        let matrix = |rows: &[Option<Vec<f32>>]| {
            let all: Vec<Vec<f32>> = both.iter().map(|it| row(rows, *it)).collect();
            Array2::from_shape_vec((all.len(), all[0].len()), all.concat())
        };
        let accuracy = match labels {
            Some(labels) => {
                match (accuracy(&matrix(floats)?, &labels)?, accuracy(&matrix(integers)?, &labels)?) {
                    (Some(floats), Some(integers)) => Some([floats, integers]),
                    _ => None,
                }
            }
            None => None,
        };
        let n_images = both.len();
        let cosine_mean = cosines.iter().sum::<f64>() / n_images as f64;
        let cosine_min = cosines.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Self { n_images, cosine_mean, cosine_min, accuracy })
    }

    /// `n_seen` of the images are those it was calibrated on.
    fn describe(&self, n_seen: usize) -> String {
        let Self { n_images, cosine_mean, cosine_min, accuracy } = self;
        let accuracy = match accuracy {
            Some([floats, integers]) => format!(
                "accuracy of a logistic head in {N_FOLDS}-fold cross-validation {} instead of {}",
                report::percent(*integers),
                report::percent(*floats)
            ),
            None => "no classes to compare the accuracy of a head by".to_owned(),
        };
        let seen = if n_seen > 0 { format!(" ({n_seen} of them its own)") } else { String::new() };
        format!(
            "int8 against f32 on {n_images} images{seen}: cosine {cosine_mean:.4} on average, {cosine_min:.4} at least; {accuracy}"
        )
    }
}

/// Of rows that are both zero 1, of one that is 0.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let [a, b] = [a, b].map(|it| ArrayView1::from(it).mapv(f64::from));
    let lengths = (a.dot(&a) * b.dot(&b)).sqrt();
    if lengths > 0.0 { a.dot(&b) / lengths } else { f64::from(u8::from(a == b)) }
}

/// Cross-validated accuracy of a logistic head at its best alpha; none where the labels make no classes.
fn accuracy(x: &Array2<f32>, labels: &[&str]) -> Result<Option<f64>> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let y: Vec<usize> = labels.iter().map(|it| classes.binary_search(it).unwrap_or_default()).collect();
    let groups: Vec<u64> = (0..labels.len() as u64).collect();
    let folds = stratified_folds(&y, &groups, N_FOLDS, 0);
    let out_of_fold = || -> Result<Array2<f64>, HeadError> {
        let x = x.view();
        let samples = Logistic::new(&x, &y, classes.len(), None, true)?;
        let path = samples.cross_validate(&folds, &default_alphas())?;
        samples.out_of_fold(&folds, path.alphas[path.best])
    };
    let logits = match out_of_fold() {
        Ok(logits) => logits,
        Err(HeadError::TooFewClasses { .. } | HeadError::TooFewFolds { .. }) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let is_right = |(row, class): (ArrayView1<'_, f64>, &usize)| match row.as_slice() {
        Some([log_odds]) => usize::from(*log_odds > 0.0) == *class,
        _ => row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).is_some_and(|it| it.0 == *class),
    };
    let n_right = logits.outer_iter().zip(&y).filter(|it| is_right((it.0, it.1))).count();
    Ok(Some(n_right as f64 / y.len() as f64))
}
