//! `headstart models quantize`: a backbone in 8-bit integers, and what that costs on the user's own images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use headstart_backbone::{
    Backbone, CutModel, Input, ModelSpec, Outcome as Row, Progress, quantize, run_files,
};
use headstart_head::{HeadError, Logistic, default_alphas, stratified_folds};
use headstart_onnx::Pool;
use headstart_store::Digest;
use ndarray::{Array2, ArrayView1};
use serde_json::json;

use super::{Opened, RunArgs, load_backbone, with_hint, write_file};
use crate::dataset::{self, Columns};
use crate::models::{ModelArgs, description};
use crate::progress::ExtractProgress;
use crate::{Outcome, report};

/// Folds of the comparison.
const N_FOLDS: usize = 5;

/// Quantise a backbone to 8-bit integers, by the values it takes on your own images.
///
/// Writes FILE and a .toml beside it that says how it is fed, so that `--model FILE` is all it takes to
/// use it. Then both are run on the images, and compared: embeddings, accuracy of a head, speed.
#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    /// Images to calibrate and compare on: a folder, a manifest, or - for a list on stdin.
    #[arg(long, value_name = "DATASET")]
    dataset: PathBuf,
    /// File to write, ending in .onnx.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Images to take the ranges from.
    #[arg(long, value_name = "N", default_value_t = 200)]
    calibrate: usize,
    /// Images to compare on, at most.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    compare: usize,
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
    ensure!(
        args.out.extension().is_some_and(|it| it.eq_ignore_ascii_case("onnx")),
        "{} must end in .onnx to be used as a model",
        args.out.display()
    );
    ensure!(args.calibrate > 0, "--calibrate must be at least 1");
    ensure!(args.run.precision.is_none(), "--precision is for what runs a model; this makes one in int8");
    let inputs = drawn(args)?;
    let (opened, mut floats) = load_backbone(&args.model, &args.run, inputs.len())?;
    let n_calibrated = write_quantized(args, &opened, &floats, &inputs)?;

    let (spec, _) = ModelSpec::of_file(&args.out)?;
    let config = headstart_backbone::SessionConfig {
        precision: headstart_backbone::Precision::Int8,
        ..opened.session.clone()
    };
    let n_sessions = opened.n_sessions(inputs.len());
    let integers = CutModel::load(&args.out, &spec)?;
    let integers = Backbone::load(&opened.runtime, integers, &config, n_sessions);
    let mut integers = integers.map_err(|err| with_hint(err, &opened))?;

    let compared = &inputs[..inputs.len().min(args.compare)];
    let [of_floats, of_integers] = [&mut floats, &mut integers].map(|it| embed(&opened, it, compared));
    let comparison = Comparison::new(compared, &of_floats?, &of_integers?)?;
    let batch_size = opened.pipeline.batch_size;
    let [speed, old_speed] =
        [&mut integers, &mut floats].map(|it| it.runner_mut().images_per_second(batch_size));
    let (speed, old_speed) = (speed?, old_speed?);
    report::say(comparison.describe());
    report::say(format!(
        "{speed:.0} images/s instead of {old_speed:.0} on {} (the model alone)",
        config.device
    ));
    if args.json {
        let value = json!({
            "out": args.out,
            "n_calibrated": n_calibrated,
            "n_compared": comparison.n_images,
            "cosine_mean": comparison.cosine_mean,
            "cosine_min": comparison.cosine_min,
            "accuracy": comparison.accuracy.map(|it| it[1]),
            "accuracy_f32": comparison.accuracy.map(|it| it[0]),
            "images_per_second": speed,
            "images_per_second_f32": old_speed,
            "device": config.device.to_string(),
        });
        report::data(value.to_string())?;
    }
    Ok(Outcome::Good)
}

/// The images, in an order that has nothing to do with how they are listed: any first part is a fair sample.
fn drawn(args: &QuantizeArgs) -> Result<Vec<Input>> {
    let mut inputs = dataset::list(&args.dataset, &Columns::default())?.inputs;
    ensure!(!inputs.is_empty(), "no pictures in {}", args.dataset.display());
    inputs.sort_by_cached_key(|it| Digest::of(it.path.as_bytes()).0);
    Ok(inputs)
}

/// Calibrates, quantises and writes the model with its description; how many images it took.
fn write_quantized(
    args: &QuantizeArgs,
    opened: &Opened,
    floats: &Backbone,
    inputs: &[Input],
) -> Result<usize> {
    let (preprocess, limits) = (floats.runner().preprocess(), opened.pipeline.limits);
    let images = inputs.iter().filter_map(|input| {
        let image = fs::read(&input.file).map_err(anyhow::Error::new);
        let image = image.and_then(|it| Ok(preprocess.apply(&it, &limits)?));
        image.map_err(|err| report::say(format!("{} {err:#}", input.path))).ok()
    });
    let images: Vec<Vec<u8>> = images.take(args.calibrate).collect();
    let n_inputs = 2 * images.len();
    let mut progress = ExtractProgress::new();
    let quantized = quantize(&opened.runtime, floats.model(), &images, &mut |n_done| {
        progress.update(Progress { n_inputs, n_unchanged: 0, n_done, n_embedded: n_done, n_failed: 0 });
    });
    progress.finish();
    let quantized = quantized.context("cannot quantise")?;
    let toml = args.out.with_extension("toml");
    let tap = &quantized.output_names()[0];
    let id = format!("{}-int8", floats.model().id);
    let text = description(&id, tap, Pool::None, &floats.model().preprocess)?;
    let folder = args.out.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    quantized.save(&args.out)?;
    write_file(&toml, text.as_bytes())?;
    report::say(format!(
        "wrote {} ({}) and {}: ranges of {} images",
        args.out.display(),
        report::bytes(args.out.metadata().map_or(0, |it| it.len())),
        toml.display(),
        images.len(),
    ));
    Ok(images.len())
}

/// The embeddings of images; none for those that have none, or are copies.
fn embed(opened: &Opened, backbone: &mut Backbone, inputs: &[Input]) -> Result<Vec<Option<Vec<f32>>>> {
    let files: Vec<PathBuf> = inputs.iter().map(|it| it.file.clone()).collect();
    let mut rows = vec![None; files.len()];
    let width = backbone.runner().width();
    let mut progress = ExtractProgress::new();
    let mut state = Progress { n_inputs: files.len(), n_unchanged: 0, n_done: 0, n_embedded: 0, n_failed: 0 };
    run_files(backbone.runner_mut(), &files, &opened.pipeline, &|_| false, &mut |delivery| {
        let mut embedded = delivery.rows.chunks_exact(width);
        for (index, outcome) in delivery.outcomes {
            state.n_done += 1;
            match outcome {
                Row::Embedded(..) => rows[index] = embedded.next().map(<[f32]>::to_vec),
                Row::Failed(..) => state.n_failed += 1,
                Row::Known(..) => {}
            }
        }
        progress.update(state);
        Ok(())
    })?;
    progress.finish();
    Ok(rows)
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

    fn describe(&self) -> String {
        let Self { n_images, cosine_mean, cosine_min, accuracy } = self;
        let accuracy = match accuracy {
            Some([floats, integers]) => format!(
                "accuracy of a logistic head in {N_FOLDS}-fold cross-validation {} instead of {}",
                report::percent(*integers),
                report::percent(*floats)
            ),
            None => "no classes to compare the accuracy of a head by".to_owned(),
        };
        format!(
            "int8 against f32 on {n_images} images: cosine {cosine_mean:.4} on average, {cosine_min:.4} at least; {accuracy}"
        )
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let [a, b] = [a, b].map(|it| ArrayView1::from(it).mapv(f64::from));
    a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
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
