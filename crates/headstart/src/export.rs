//! Backbone and head as one ONNX file that proves itself.

use std::path::{Path, PathBuf};

use headstart_backbone::{Backbone, Runner, merge_rows, read_input};
use headstart_head::{Activation, HeadModel};
use headstart_input::{AudioRecipe, Filling, Limits, Recipe, Statistics, Tensor};
use headstart_onnx::{
    GraphWindows, Layer, Nonlinearity, OnnxModel, ShortSound, attach_head, cut_windows, fix_batch_at_one,
};
use ndarray::ArrayView2;

use crate::error::{Error, io};
use crate::exported::{self, Verification};
use crate::files::{OutKind, check_out, check_space, folder_of};
use crate::serving::write_page;

/// Largest difference to the head's own scores: probabilities, or numbers relative to the largest.
///
/// The head computes in f64, the graph in f32: logits of size 30 carry an error of about 1e-5.
const TOLERANCE: f64 = 1e-4;

/// Inputs that are made for the comparison.
const N_PROBES: usize = 16;

/// What was exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// How near the file comes to its head.
    pub verification: Verification,
    /// The page beside it; none where somebody else's has its place.
    pub page: Option<PathBuf>,
}

/// Writes backbone and head as one ONNX file.
///
/// The file is run over inputs made up for it, and over `samples`, and compared with the head's own scores
/// before it is written: one that does not agree is not. Where the backbone runs inputs one by one, the file
/// takes one at a time. Beside it lies a page, `<name>.md`, with code in Python and JavaScript that uses it; a page by
/// somebody else stays. Weights above protobuf's 2 GiB lie in `<file name>.data` beside it.
///
/// # Errors
/// [`Error::Head`] for a head of another embedding space; [`Error::ExportDiffers`], [`Error::ExportBatch`];
/// [`Error::Sample`] for a sample that cannot be used; [`Error::Io`] and its like when the file cannot be
/// written.
pub fn export(
    backbone: &mut Backbone,
    head: &HeadModel,
    out: impl AsRef<Path>,
    samples: &[PathBuf],
) -> Result<Exported, Error> {
    let out = out.as_ref();
    check_out(out, OutKind::Any)?;
    check_space(head, backbone.space())?;
    let n_features = backbone.space().n_features;
    let recipe = backbone.runner().recipe();
    if let (Some(reason), true) = (backbone.runner().one_by_one(), recipe.has_pieces()) {
        return Err(Error::ExportWindows { reason: reason.to_owned() });
    }
    let (body, served) = match recipe {
        // A file that is used without this program takes sounds whole.
        Recipe::Audio(audio) => {
            (cut_windows(&backbone.model().graph, &windows(audio))?, Recipe::Audio(audio.whole()))
        }
        Recipe::Image(_) | Recipe::Text(_) => (backbone.model().graph.clone(), recipe.clone()),
    };
    let mut graph = attach_head(&body, n_features, &layers(head))?;
    if backbone.runner().one_by_one().is_some() || recipe.has_pieces() {
        fix_batch_at_one(&mut graph);
    }
    // One file, where protobuf's limit lets it be.
    graph.embed_external_data()?;
    exported::describe(&mut graph, head, &served);
    let inputs = inputs(recipe, &served, samples)?;
    // The comparison runs the very bytes that are shipped, as a file, external data and all.
    let folder = folder_of(out);
    let staging = tempfile::Builder::new().prefix(".export-").tempdir_in(folder);
    let staged = staging.map_err(io("write", folder))?;
    let staged = staged.path().join("model.onnx");
    graph.save(&staged)?;
    let difference = compare(&staged, backbone, head, &inputs)?;
    // A difference that is no number is none that is allowed.
    if difference.is_nan() || difference > TOLERANCE {
        return Err(Error::ExportDiffers { difference, tolerance: TOLERANCE });
    }
    let (n_samples, tolerance) = (inputs.len(), TOLERANCE);
    let verification = Verification { n_samples, max_abs_difference: difference, tolerance };
    exported::verified(&mut graph, &verification)?;
    graph.save(out)?;
    let page = write_page(out, &head.metadata.outputs, &served)?;
    Ok(Exported { verification, page })
}

/// The head's layers as a graph has them.
#[expect(clippy::cast_possible_truncation, reason = "the graph computes in f32")]
fn layers(head: &HeadModel) -> Vec<Layer> {
    let layers = head.layers.iter().map(|layer| Layer {
        weight: layer.weight.iter().map(|it| *it as f32).collect(),
        bias: layer.bias.iter().map(|it| *it as f32).collect(),
        nonlinearity: match layer.activation {
            Activation::Identity => Nonlinearity::Identity,
            Activation::Relu => Nonlinearity::Relu,
            Activation::Softmax => Nonlinearity::Softmax,
            Activation::Sigmoid => Nonlinearity::Sigmoid,
        },
    });
    layers.collect()
}

/// How a graph cuts windows as a recipe does.
fn windows(recipe: &AudioRecipe) -> GraphWindows {
    let short = match (recipe.is_filled(), recipe.short) {
        (false, _) => ShortSound::AsItIs,
        (_, Filling::Zeros) => ShortSound::Zeros,
        (_, Filling::Repeat) => ShortSound::Repeat,
    };
    let has_std = recipe.statistics == Statistics::MeanStd;
    GraphWindows { length: recipe.n_window(), hop: recipe.n_hop(), short, has_std }
}

/// Made-up inputs, and the user's own, as the file takes them.
fn inputs(recipe: &Recipe, served: &Recipe, samples: &[PathBuf]) -> Result<Vec<Vec<Tensor>>, Error> {
    let limits = Limits::default();
    let mut inputs = match recipe {
        // Of a few lengths: a part of a window, one, several.
        Recipe::Audio(audio) => (0..N_PROBES).map(|it| vec![audio.probe_of_windows(it)]).collect(),
        Recipe::Image(_) | Recipe::Text(_) => recipe.probes(N_PROBES),
    };
    for path in samples {
        let tensors = read_input(path, &limits).and_then(|it| Ok(served.apply(&it, &limits)?));
        inputs.push(tensors.map_err(|reason| Error::Sample { path: path.clone(), reason })?);
    }
    Ok(inputs)
}

/// What the backbone itself makes of inputs, `(n_inputs, n_features)`.
fn embeddings(backbone: &mut Backbone, inputs: &[Vec<Tensor>]) -> Result<Vec<f32>, Error> {
    let recipe = backbone.runner().recipe().clone();
    let mut embeddings = Vec::new();
    for input in inputs {
        let pieces = recipe.pieces_of(input);
        let rows = backbone.runner_mut().run(&pieces)?;
        embeddings.extend(merge_rows(&recipe, &rows, rows.len() / pieces.len().max(1)));
    }
    Ok(embeddings)
}

/// Largest difference between the exported file's scores and the head's own.
fn compare(
    file: &Path,
    backbone: &mut Backbone,
    head: &HeadModel,
    inputs: &[Vec<Tensor>],
) -> Result<f64, Error> {
    let (name, graph) = (file.display().to_string(), OnnxModel::load(file)?);
    let (_, recipe) = exported::read(&graph, file)?;
    let (runtime, config) = (backbone.runtime().clone(), backbone.config().clone());
    let mut exported = Runner::load(&runtime, &name, &graph, &recipe, &config, 1)?;
    // Loading it has compared a batch of two with one by one.
    let whole = backbone.runner().recipe().has_pieces();
    if let (Some(reason), None, false) = (exported.one_by_one(), backbone.runner().one_by_one(), whole) {
        return Err(Error::ExportBatch { reason: reason.to_owned() });
    }
    let scores = exported.run(inputs)?;
    let embeddings = embeddings(backbone, inputs)?;
    let embeddings = ArrayView2::from_shape((inputs.len(), head.n_features()), &embeddings);
    let expected = head.predict(embeddings.expect("a row an input"))?;
    if scores.len() != expected.len() {
        return Err(Error::ExportShape { found: scores.len(), expected: expected.len() });
    }
    let unit = expected.iter().fold(1.0_f64, |max, it| max.max(it.abs()));
    let differences = scores.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs() / unit);
    // `max` would drop a NaN.
    Ok(differences.fold(0.0, |max: f64, it| if it.is_nan() || it > max { it } else { max }))
}
