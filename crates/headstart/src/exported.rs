//! What an exported file says of itself: the one place that names its keys.

use std::path::Path;

use headstart_head::{FitRecord, HeadModel, Outputs, Task};
use headstart_input::Recipe;
use headstart_onnx::OnnxModel;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// JSON array of the labels, in the order of the outputs.
const LABELS: &str = "headstart.labels";
/// JSON string: what the outputs mean.
const TASK: &str = "headstart.task";
/// JSON array of the probabilities from which on each label is given; only where a sample may have several.
const THRESHOLDS: &str = "headstart.thresholds";
/// JSON object: how an input becomes what the graph takes.
const RECIPE: &str = "headstart.preprocess";
/// Identity of the embedding space.
const FINGERPRINT: &str = "headstart.fingerprint";
/// JSON object: how the head was fitted.
const FIT: &str = "headstart.fit";
/// JSON object: how near the graph comes to its head.
const VERIFICATION: &str = "headstart.verification";

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
    let Outputs { task, labels, thresholds } = &head.metadata.outputs;
    set(graph, LABELS, labels);
    set(graph, TASK, task);
    if !thresholds.is_empty() {
        set(graph, THRESHOLDS, thresholds);
    }
    set(graph, RECIPE, recipe);
    graph.set_metadata(FINGERPRINT, head.metadata.fingerprint.clone());
    let fit: &FitRecord = &head.metadata.fit;
    set(graph, FIT, fit);
}

/// Writes the result of the comparison.
pub(crate) fn verified(graph: &mut OnnxModel, verification: &Verification) {
    set(graph, VERIFICATION, verification);
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
    Ok((Outputs { task, labels, thresholds }, recipe))
}

fn set(graph: &mut OnnxModel, key: &str, value: &impl Serialize) {
    graph.set_metadata(key, serde_json::to_string(value).expect("plain values are JSON"));
}

fn get<T: DeserializeOwned>(graph: &OnnxModel, key: &str, path: &Path) -> Result<T, Error> {
    let bad = |reason| Error::NotExported { path: path.to_owned(), reason };
    let text = graph.metadata(key).ok_or_else(|| bad(format!("no `{key}` in its metadata")))?;
    serde_json::from_str(text).map_err(|err| bad(format!("`{key}` does not read: {err}")))
}
