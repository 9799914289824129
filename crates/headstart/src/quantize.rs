//! A backbone in 8-bit integers, and what that costs on the user's own inputs.

use std::path::{Path, PathBuf};

use headstart_backbone::{
    Backbone, BackboneError, Content, CutModel, Device, Input, Known, Listing, ModelSpec, Precision,
    Progress, Row, SessionConfig, Source, read_input, run,
};
use headstart_head::{HeadError, Logistic, argmax, default_alphas, stratified_folds};
use headstart_input::{Recipe, Tensor, TextRecipe};
use headstart_onnx::{OnnxModel, Pool};
use headstart_store::{Digest, Failure};
use ndarray::{Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::Dataset;
use crate::engine::Engine;
use crate::error::{Error, io};
use crate::event::{Event, Events, as_text};
use crate::files::{OutKind, check_out, folder_of, write_file};
use crate::model::description;
use crate::provision::hash_of;

/// Folds of the comparison.
pub const N_FOLDS: usize = 5;

/// Inputs decoded for calibration before it is seen whether they are enough: work for every core.
const DECODED_AT_ONCE: usize = 64;

/// How a backbone is to be quantised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizeConfig {
    /// Inputs to take the ranges from; all are held in memory. Default 200.
    pub n_calibrate: usize,
    /// Inputs to compare on, at most: those it was calibrated on come last. Default 2000.
    pub n_compare: usize,
}

impl Default for QuantizeConfig {
    fn default() -> Self {
        Self { n_calibrate: 200, n_compare: 2000 }
    }
}

/// A quantised backbone, compared with the one in floats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quantized {
    /// The file.
    pub out: PathBuf,
    /// The description beside it, which says how it is fed.
    pub description: PathBuf,
    /// Inputs that its ranges are of.
    pub n_calibrated: usize,
    /// Inputs that both have an embedding of.
    pub n_compared: usize,
    /// How many of those it may be compared on were calibrated on.
    pub n_compared_calibrated: usize,
    /// Inputs without an embedding.
    pub n_failed: usize,
    /// These, and why.
    #[serde(skip)]
    pub failures: Vec<Failure>,
    /// Mean cosine of both embeddings of an input.
    pub cosine_mean: f64,
    /// The least.
    pub cosine_min: f64,
    /// Cross-validated accuracy of a logistic head on its embeddings; none where inputs have no classes.
    pub accuracy: Option<f64>,
    /// The same on those in floats.
    pub accuracy_f32: Option<f64>,
    /// Images per second of the model alone.
    pub images_per_second: f64,
    /// Those of the one in floats.
    pub images_per_second_f32: f64,
    /// Where they ran.
    #[serde(serialize_with = "as_text")]
    pub device: Device,
}

/// Refuses a place that a quantised model cannot be written to: one of another ending, `model` itself, or
/// beside a `.toml` that is no model's description. To be called before anything is computed.
///
/// # Errors
/// [`Error::NotOnnx`], [`Error::IsModel`], [`Error::NotADescription`], [`Error::IsFolder`] and its like.
pub fn check_quantized_out(out: &Path, model: &Path) -> Result<(), Error> {
    check_place(out)?;
    if model.canonicalize().is_ok_and(|it| out.canonicalize().is_ok_and(|out| out == it)) {
        return Err(Error::IsModel { path: out.to_owned() });
    }
    Ok(())
}

/// Refuses what cannot be a model, or has beside it what is no description of one.
fn check_place(out: &Path) -> Result<(), Error> {
    check_out(out, OutKind::Any)?;
    if !out.extension().is_some_and(|it| it.eq_ignore_ascii_case("onnx")) {
        return Err(Error::NotOnnx { path: out.to_owned() });
    }
    let path = out.with_extension("toml");
    check_out(&path, OutKind::Any)?;
    if path.exists()
        && let Err(source) = ModelSpec::of_file(out)
    {
        return Err(Error::NotADescription { path, source });
    }
    Ok(())
}

/// Quantises a backbone in floats by the values it takes on a dataset, runs both on it, and writes the result
/// to `out` with a description beside it, so that its path is all it takes to use it.
///
/// # Errors
/// As [`check_quantized_out`], the model told by its hash; [`Error::NothingReadable`], [`Error::Quantize`],
/// [`Error::NothingToCompare`]; [`Error::Backbone`] when a runtime fails.
///
/// # Determinism
/// The same dataset gives the same file, byte for byte.
pub fn quantize(
    engine: &Engine,
    floats: &mut Backbone,
    dataset: Dataset,
    out: &Path,
    config: &QuantizeConfig,
    events: &mut Events<'_>,
) -> Result<Quantized, Error> {
    check_place(out)?;
    if out.is_file() && hash_of(out)? == floats.model().sha256 {
        return Err(Error::IsModel { path: out.to_owned() });
    }
    let device = floats.config().device;
    device.check(Precision::Int8)?;
    let mut inputs = Inputs::drawn(dataset.listing);
    // Nothing is at `out` before what is to be there has run.
    let folder = folder_of(out);
    let staging = tempfile::Builder::new().prefix(".quantize-").tempdir_in(folder);
    let staging = staging.map_err(io("write to", folder))?;
    let staged = staging.path().join("model.onnx");
    let graph = inputs.calibrate(engine, floats, config.n_calibrate, events)?;
    graph.save(&staged)?;
    let id = format!("{}-int8", floats.model().id);
    let (recipe, normalize) = (floats.runner().recipe().clone(), floats.model().normalize);
    let text = description(&id, &graph.output_names()[0], Pool::None, normalize, &recipe);
    let describe = |model: &Path| -> Result<(), Error> {
        if let Recipe::Text(TextRecipe { tokenizer: Some(tokenizer), .. }) = &recipe {
            write_file(&model.with_extension("tokenizer.json"), tokenizer.json().as_bytes())?;
        }
        write_file(&model.with_extension("toml"), text.as_bytes())
    };
    describe(&staged)?;

    let (spec, _) = ModelSpec::of_file(&staged)?;
    let session = SessionConfig { precision: Precision::Int8, ..floats.config().clone() };
    let model = CutModel::load(&staged, &spec)?;
    let mut integers = engine.load(&floats.runtime().clone(), &session, model)?;
    let n_compared = inputs.inputs.len().min(config.n_compare);
    // Those that nothing was calibrated on come first.
    let compared = &inputs.inputs[..n_compared];
    let of_floats = embed(engine, floats, compared, events)?;
    let of_integers = embed(engine, &mut integers, compared, events)?;
    let comparison = Comparison::new(compared, &of_floats.rows, &of_integers.rows)?;
    let images_per_second = integers.runner_mut().inputs_per_second(engine.run_config())?;
    let images_per_second_f32 = floats.runner_mut().inputs_per_second(engine.run_config())?;
    graph.save(out)?;
    describe(out)?;
    let description = out.with_extension("toml");
    let failures: Vec<Failure> = inputs.unreadable.into_iter().chain(of_floats.failures).collect();
    Ok(Quantized {
        out: out.to_owned(),
        description,
        n_calibrated: inputs.n_calibrated,
        n_compared: comparison.n_inputs,
        n_compared_calibrated: inputs.n_calibrated.saturating_sub(inputs.inputs.len() - n_compared),
        n_failed: failures.len(),
        failures,
        cosine_mean: comparison.cosine_mean,
        cosine_min: comparison.cosine_min,
        accuracy: comparison.accuracy.map(|it| it[1]),
        accuracy_f32: comparison.accuracy.map(|it| it[0]),
        images_per_second,
        images_per_second_f32,
        device,
    })
}

/// The inputs of the dataset, in an order that has nothing to do with how they are listed: any part of them
/// is a fair sample.
struct Inputs {
    /// Those it is calibrated on come last.
    inputs: Vec<Input>,
    unreadable: Vec<Failure>,
    n_calibrated: usize,
}

impl Inputs {
    fn drawn(listing: Listing) -> Self {
        let Listing { mut inputs, unreadable, .. } = listing;
        inputs.sort_by_cached_key(|it| Digest::of(it.path.as_bytes()).0);
        Self { inputs, unreadable, n_calibrated: 0 }
    }

    /// Quantises by the last of the inputs that can be read.
    fn calibrate(
        &mut self,
        engine: &Engine,
        floats: &Backbone,
        wanted: usize,
        events: &mut Events<'_>,
    ) -> Result<OnnxModel, Error> {
        let (recipe, limits) = (floats.runner().recipe(), engine.run_config().limits);
        let tensors = |input: &Input| match &input.content {
            Content::File(file) => recipe.apply(&read_input(file, &limits).ok()?, &limits).ok(),
            Content::Text(text) => recipe.apply(text.as_bytes(), &limits).ok(),
        };
        let mut read: Vec<Vec<Tensor>> = Vec::new();
        let n = engine.n_workers();
        let workers = rayon::ThreadPoolBuilder::new().num_threads(n).build();
        let workers =
            workers.map_err(|err| BackboneError::Threads { n, source: std::io::Error::other(err) })?;
        for some in self.inputs.rchunks(DECODED_AT_ONCE) {
            workers.install(|| read.par_extend(some.par_iter().rev().filter_map(tensors)));
            if read.len() >= wanted {
                break;
            }
        }
        read.truncate(wanted);
        if read.is_empty() {
            return Err(Error::NothingReadable { n: self.inputs.len() });
        }
        self.n_calibrated = read.len();
        let n_inputs = 2 * read.len();
        let mut progress = |n_done| {
            let state = Progress { n_inputs, n_unchanged: 0, n_done, n_embedded: n_done, n_failed: 0 };
            events(Event::Progress(state));
        };
        let quantized = headstart_backbone::quantize(floats.runtime(), floats.model(), &read, &mut progress);
        quantized.map_err(|source| Error::Quantize { source })
    }
}

/// Embeddings of inputs, and the failures of those that have none.
struct Embedded {
    rows: Vec<Option<Vec<f32>>>,
    failures: Vec<Failure>,
}

fn embed(
    engine: &Engine,
    backbone: &mut Backbone,
    inputs: &[Input],
    events: &mut Events<'_>,
) -> Result<Embedded, Error> {
    let sources: Vec<Source<'_>> = inputs.iter().map(|it| Source::from(&it.content)).collect();
    let mut rows = vec![None; inputs.len()];
    let mut failures = Vec::new();
    let mut state =
        Progress { n_inputs: inputs.len(), n_unchanged: 0, n_done: 0, n_embedded: 0, n_failed: 0 };
    let config = engine.run_config();
    run(backbone.runner_mut(), &sources, Known::Nothing, config, &mut |index, result| {
        state.n_done += 1;
        match result {
            Ok(Row { values, .. }) => rows[index] = values.map(<[f32]>::to_vec),
            Err(err) => {
                state.n_failed += 1;
                failures.push(Failure { path: inputs[index].path.clone(), reason: err.to_string() });
            }
        }
        events(Event::Progress(state));
        Ok::<(), Error>(())
    })?;
    failures.sort();
    Ok(Embedded { rows, failures })
}

/// What quantisation costs.
struct Comparison {
    n_inputs: usize,
    cosine_mean: f64,
    cosine_min: f64,
    accuracy: Option<[f64; 2]>,
}

impl Comparison {
    fn new(
        inputs: &[Input],
        floats: &[Option<Vec<f32>>],
        integers: &[Option<Vec<f32>>],
    ) -> Result<Self, Error> {
        let both = inputs.iter().zip(floats.iter().zip(integers));
        let both: Vec<(&Input, &Vec<f32>, &Vec<f32>)> =
            both.filter_map(|(input, (a, b))| Some((input, a.as_ref()?, b.as_ref()?))).collect();
        if both.is_empty() {
            return Err(Error::NothingToCompare);
        }
        let cosines: Vec<f64> = both.iter().map(|(_, a, b)| cosine(a, b)).collect();
        let labels: Option<Vec<String>> =
            both.iter().map(|it| Some(it.0.label.as_ref()?.to_string())).collect();
        let accuracy = match labels {
            Some(labels) => {
                let of = |rows: Vec<&Vec<f32>>| accuracy(&rows, &labels);
                let floats = of(both.iter().map(|it| it.1).collect())?;
                floats.zip(of(both.iter().map(|it| it.2).collect())?).map(|(a, b)| [a, b])
            }
            None => None,
        };
        let n_inputs = both.len();
        let cosine_mean = cosines.iter().sum::<f64>() / n_inputs as f64;
        let cosine_min = cosines.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Self { n_inputs, cosine_mean, cosine_min, accuracy })
    }
}

/// The cosine of two rows: 1 where both are zero, 0 where one is.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let [a, b] = [a, b].map(|it| ArrayView1::from(it).mapv(f64::from));
    let lengths = (a.dot(&a) * b.dot(&b)).sqrt();
    if lengths > 0.0 { a.dot(&b) / lengths } else { f64::from(u8::from(a == b)) }
}

/// Cross-validated accuracy of a logistic head at its best alpha; none where the labels make no classes.
fn accuracy(rows: &[&Vec<f32>], labels: &[String]) -> Result<Option<f64>, Error> {
    let x: Vec<f32> = rows.iter().flat_map(|it| it.iter().copied()).collect();
    let x = ArrayView2::from_shape((rows.len(), rows[0].len()), &x).expect("rows of one width");
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let y: Vec<usize> = labels.iter().map(|it| classes.binary_search(it).unwrap_or_default()).collect();
    let groups: Vec<u64> = (0..labels.len() as u64).collect();
    let folds = stratified_folds(&y, &groups, N_FOLDS, 0);
    let out_of_fold = || -> Result<Array2<f64>, HeadError> {
        let samples = Logistic::new(&x, &y, classes.len(), None, true)?;
        let path = samples.cross_validate(&folds, &default_alphas())?;
        samples.out_of_fold(&folds, path.alphas[path.best])
    };
    let logits = match out_of_fold() {
        Ok(logits) => logits,
        Err(HeadError::TooFewClasses { .. } | HeadError::TooFewFolds { .. }) => return Ok(None),
        Err(err) => return Err(err.into()),
    };
    let predicted = |row: ArrayView1<'_, f64>| match row.as_slice() {
        Some([log_odds]) => usize::from(*log_odds > 0.0),
        _ => argmax(row.iter().copied()),
    };
    let n_right = logits.outer_iter().zip(&y).filter(|it| predicted(it.0) == *it.1).count();
    Ok(Some(n_right as f64 / y.len() as f64))
}
