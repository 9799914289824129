//! `headstart export`: backbone and head as one ONNX file that proves itself.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use headstart_backbone::{Backbone, DecodeLimits, ImageModel, PREPROCESS_KEY, Preprocess};
use headstart_head::{Activation, HeadModel};
use headstart_onnx::{self as onnx, Layer, OnnxModel, attach_head};
use ndarray::ArrayView2;
use serde_json::json;

use super::{Opened, RunArgs, check_out, check_space, folder_of, load_backbone, read_head};
use crate::models::ModelArgs;
use crate::{Outcome, report};

/// Metadata key of the labels: a JSON array, in the order of the outputs.
pub(crate) const LABELS_KEY: &str = "headstart.labels";
/// Metadata key of the task: a JSON string.
pub(crate) const TASK_KEY: &str = "headstart.task";
/// Metadata key of the probabilities from which on each label is given: a JSON array.
pub(crate) const THRESHOLDS_KEY: &str = "headstart.thresholds";
const FINGERPRINT_KEY: &str = "headstart.fingerprint";
const FIT_KEY: &str = "headstart.fit";
const VERIFICATION_KEY: &str = "headstart.verification";

/// Largest difference to the head's own scores: probabilities, or numbers relative to the largest.
///
/// The head computes in f64, the graph in f32: logits of size 30 carry an error of about 1e-5.
const TOLERANCE: f64 = 1e-4;

/// Images made for the comparison where none are given.
const N_PROBES: usize = 16;

/// Write backbone and head as one ONNX file: uint8 pictures in, probabilities or numbers out.
///
/// The file is run over sample pictures and compared with the head's own scores before it is written.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Head file.
    #[arg(long, value_name = "FILE")]
    head: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Pictures to compare on, besides the 16 that are made by code.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    samples: Vec<PathBuf>,
    // Flattened last: their headings would hold for what follows.
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &ExportArgs) -> Result<Outcome> {
    check_out(&args.out)?;
    let head = read_head(&args.head)?;
    let (opened, mut backbone) = load_backbone(&args.model, &args.run, 1)?;
    check_space(&head, backbone.space())?;
    let mut graph = attach(&backbone, &head)?;
    let pixels = sample_pixels(args, backbone.runner().preprocess())?;
    // The comparison runs the very bytes that are shipped, as a file, external data and all.
    let folder = folder_of(&args.out);
    let staging = tempfile::Builder::new().prefix(".export-").tempdir_in(folder)?;
    let staged = staging.path().join("model.onnx");
    graph.save(&staged)?;
    let difference = compare(&opened, &staged, &mut backbone, &head, &pixels)?;
    ensure!(
        difference <= TOLERANCE,
        "the exported graph differs from the head by {difference:.2e}, more than {TOLERANCE:.0e}; nothing was written"
    );
    let n_samples = pixels.len() / backbone.runner().preprocess().n_bytes();
    graph.set_metadata(
        VERIFICATION_KEY,
        json!({ "n_samples": n_samples, "max_abs_difference": difference, "tolerance": TOLERANCE })
            .to_string(),
    );
    graph.save(&args.out)?;
    report::say(format!(
        "wrote {} ({}): agrees with the head to {difference:.1e} on {n_samples} pictures (tolerance {TOLERANCE:.0e})",
        args.out.display(),
        report::bytes(args.out.metadata().map_or(0, |it| it.len())),
    ));
    Ok(Outcome::Good)
}

fn attach(backbone: &Backbone, head: &HeadModel) -> Result<OnnxModel> {
    let layers: Vec<Layer> = head
        .layers
        .iter()
        .map(|layer| {
            #[expect(clippy::cast_possible_truncation, reason = "the graph computes in f32")]
            let narrow =
                |values: &mut dyn Iterator<Item = &f64>| values.map(|it| *it as f32).collect::<Vec<f32>>();
            Layer {
                weight: narrow(&mut layer.weight.iter()),
                bias: narrow(&mut layer.bias.iter()),
                nonlinearity: match layer.activation {
                    Activation::Identity => onnx::Nonlinearity::Identity,
                    Activation::Relu => onnx::Nonlinearity::Relu,
                    Activation::Softmax => onnx::Nonlinearity::Softmax,
                    Activation::Sigmoid => onnx::Nonlinearity::Sigmoid,
                },
            }
        })
        .collect();
    let mut graph = attach_head(&backbone.model().graph, backbone.space().n_features, &layers)?;
    graph.set_metadata(LABELS_KEY, serde_json::to_string(&head.metadata.outputs.labels)?);
    graph.set_metadata(TASK_KEY, serde_json::to_string(&head.metadata.outputs.task)?);
    if !head.metadata.outputs.thresholds.is_empty() {
        graph.set_metadata(THRESHOLDS_KEY, serde_json::to_string(&head.metadata.outputs.thresholds)?);
    }
    graph.set_metadata(PREPROCESS_KEY, serde_json::to_string(backbone.runner().preprocess())?);
    graph.set_metadata(FINGERPRINT_KEY, head.metadata.fingerprint.clone());
    graph.set_metadata(FIT_KEY, serde_json::to_string(&head.metadata.fit)?);
    Ok(graph)
}

/// Largest difference between the exported file's scores and the head's own.
fn compare(
    opened: &Opened,
    file: &std::path::Path,
    backbone: &mut Backbone,
    head: &HeadModel,
    pixels: &[u8],
) -> Result<f64> {
    let (name, graph) = (file.display().to_string(), OnnxModel::load(file)?);
    let mut exported = ImageModel::load_exported(&opened.runtime, &name, &graph, &opened.session, 1)?;
    let scores = exported.run(pixels)?;
    let embeddings = backbone.runner_mut().run(pixels)?;
    let n_rows = embeddings.len() / head.n_features();
    let expected = head.predict(ArrayView2::from_shape((n_rows, head.n_features()), &embeddings)?)?;
    ensure!(
        scores.len() == expected.len(),
        "the exported graph gives {} numbers, expected {}",
        scores.len(),
        expected.len()
    );
    let unit = expected.iter().fold(1.0_f64, |max, it| max.max(it.abs()));
    let differences = scores.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs() / unit);
    // `max` would drop a NaN.
    Ok(differences.fold(0.0, |max: f64, it| if it.is_nan() || it > max { it } else { max }))
}

/// Pictures to compare on: noise at several scales, seeded, and the user's own.
fn sample_pixels(args: &ExportArgs, preprocess: &Preprocess) -> Result<Vec<u8>> {
    let [height, width] = preprocess.size.map(|it| it as usize);
    let channels = preprocess.n_channels();
    let mut pixels = Vec::with_capacity(N_PROBES * preprocess.n_bytes());
    for probe in 0..N_PROBES {
        // Blocks of 1, 2, 4, … pixels share one hashed colour.
        let block = 1 << (probe % 6);
        for (y, x, c) in
            (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| (y, x, c))))
        {
            let place = ((probe * 8192 + y / block) * 8192 + x / block) * 4 + c;
            let hash = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            pixels.push((hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()[0]);
        }
    }
    for path in &args.samples {
        let image = preprocess.apply_file(path, &DecodeLimits::default());
        pixels.extend(image.map_err(|err| anyhow::anyhow!("{} {err}", path.display()))?);
    }
    Ok(pixels)
}
