//! What an exported file says of itself: the one place that names its keys.

use std::io::{self, Write};
use std::path::Path;

use headstart_head::{FitRecord, HeadModel, Outputs, Task};
use headstart_input::Recipe;
use headstart_onnx::OnnxModel;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::files::hex;

/// JSON array of the labels, in the order of the outputs.
const LABELS: &str = "headstart.labels";
/// JSON string: what the outputs mean.
const TASK: &str = "headstart.task";
/// JSON array of the probabilities from which on each label is given; only where a sample may have several.
const THRESHOLDS: &str = "headstart.thresholds";
/// JSON array of the classes' shares in training; only of a fit that counted all classes alike.
const SHARES: &str = "headstart.shares";
/// JSON object: how an input becomes what the graph takes.
const RECIPE: &str = "headstart.preprocess";
/// Identity of the embedding space.
const FINGERPRINT: &str = "headstart.fingerprint";
/// JSON object: how the head was fitted.
const FIT: &str = "headstart.fit";
/// JSON object: how near the graph comes to its head.
const VERIFICATION: &str = "headstart.verification";
/// SHA-256 of the file without this entry, and of the file of its weights where they lie in one; hexadecimal.
const CHECKSUM: &str = "headstart.sha256";

/// How near an exported graph comes to its head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Verification {
    /// Inputs that were compared on.
    pub n_samples: usize,
    /// Largest difference of a score: of probabilities, or of numbers relative to the largest.
    pub max_abs_difference: f64,
    /// Largest that is allowed.
    pub tolerance: f64,
}

/// Writes what is known of the head and of how it is fed.
pub(crate) fn describe(graph: &mut OnnxModel, head: &HeadModel, recipe: &Recipe) {
    let Outputs { task, labels, thresholds, shares } = &head.metadata.outputs;
    set(graph, LABELS, labels);
    set(graph, TASK, task);
    if !thresholds.is_empty() {
        set(graph, THRESHOLDS, thresholds);
    }
    if !shares.is_empty() {
        set(graph, SHARES, shares);
    }
    set(graph, RECIPE, recipe);
    graph.set_metadata(FINGERPRINT, head.metadata.fingerprint.clone());
    let fit: &FitRecord = &head.metadata.fit;
    set(graph, FIT, fit);
}

/// Writes the result of the comparison, and a checksum of all.
///
/// # Errors
/// [`Error::Onnx`] where weights in another file cannot be read.
pub(crate) fn verified(graph: &mut OnnxModel, verification: &Verification) -> Result<(), Error> {
    set(graph, VERIFICATION, verification);
    let sum = checksum(graph)?;
    graph.set_metadata(CHECKSUM, sum);
    Ok(())
}

/// Refuses a file that is not what was written. One of before, which does not name its producer's version either,
/// has no checksum and is taken as it is.
///
/// # Errors
/// [`Error::NotExported`].
pub(crate) fn check(graph: &OnnxModel, path: &Path) -> Result<(), Error> {
    let expected = graph.metadata(CHECKSUM);
    let (name, version) = (&graph.proto().producer_name, &graph.proto().producer_version);
    // The compiled-in backbones name the producer, too, but no version.
    let is_of_before = expected.is_none() && !(name.as_deref() == Some("headstart") && version.is_some());
    if is_of_before || expected == Some(&checksum(graph)?) {
        return Ok(());
    }
    let reason =
        "its checksum is not that of what it holds: it is damaged, or was changed since it was exported";
    Err(Error::NotExported { path: path.to_owned(), reason: reason.to_owned() })
}

/// SHA-256 of a model without its checksum; of weights in another file their elements count, wherever they lie.
fn checksum(graph: &OnnxModel) -> Result<String, Error> {
    let mut graph = graph.clone();
    graph.remove_metadata(CHECKSUM);
    let mut hashing = Hashing(Sha256::new());
    graph.write_canonical(&mut hashing)?;
    Ok(hex(&hashing.0.finalize()))
}

/// Hashes what is written to it.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the outputs of an exported graph mean, and how it is fed.
pub(crate) fn read(graph: &OnnxModel, path: &Path) -> Result<(Outputs, Recipe), Error> {
    let recipe: Recipe = get(graph, RECIPE, path)?;
    let (task, labels): (Task, Vec<String>) = (get(graph, TASK, path)?, get(graph, LABELS, path)?);
    let thresholds: Vec<f64> =
        if task == Task::Multilabel { get(graph, THRESHOLDS, path)? } else { Vec::new() };
    let expected = if task == Task::Multilabel { labels.len() } else { 0 };
    if thresholds.len() != expected {
        let reason = format!("{} thresholds for {} labels", thresholds.len(), labels.len());
        return Err(Error::NotExported { path: path.to_owned(), reason });
    }
    let shares: Vec<f64> =
        if graph.metadata(SHARES).is_some() { get(graph, SHARES, path)? } else { Vec::new() };
    Ok((Outputs { task, labels, thresholds, shares }, recipe))
}

fn set(graph: &mut OnnxModel, key: &str, value: &impl Serialize) {
    graph.set_metadata(key, serde_json::to_string(value).expect("plain values are JSON"));
}

fn get<T: DeserializeOwned>(graph: &OnnxModel, key: &str, path: &Path) -> Result<T, Error> {
    let bad = |reason| Error::NotExported { path: path.to_owned(), reason };
    let text = graph.metadata(key).ok_or_else(|| bad(format!("no `{key}` in its metadata")))?;
    serde_json::from_str(text).map_err(|err| bad(format!("`{key}` does not read: {err}")))
}
