//! A fitted head as a value and as a file.

use std::collections::HashMap;

use ndarray::{Array1, Array2, ArrayView2};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::HeadError;
use crate::feature::Feature;
use crate::layer::{Activation, DenseLayer};
use crate::logistic::{AlphaPath, Certificate};
use crate::loss::LossName;
use crate::mlp::{Epoch, MlpConfig};
use crate::task::{Outputs, Prediction, Task};

/// Version 2 has a checksum; heads of version 1 are read without.
const FORMAT_VERSION: u32 = 2;
const METADATA_KEY: &str = "headstart";
const CHECKSUM: &str = "sha256";
const TRAINED_ON: &str = "trained_on";

/// A fitted head: layers on top of an embedding, and everything needed to use and to trust them.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadModel {
    /// Fully connected layers, first to last; a linear head has one.
    pub layers: Vec<DenseLayer>,
    /// What the outputs mean and how they came about.
    pub metadata: HeadMetadata,
    /// Identities of the samples it was trained on and of their groups, sorted, 64 bits each: an
    /// evaluation must not judge the head by them.
    pub trained_on: Vec<u64>,
}

/// What the outputs mean and how they came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeadMetadata {
    /// What the columns of its scores mean.
    #[serde(flatten)]
    pub outputs: Outputs,
    /// Identity of the embedding space the head was fitted on.
    pub fingerprint: String,
    /// That space, for messages and for export.
    pub space: serde_json::Value,
    /// How the head was fitted.
    pub fit: FitRecord,
}

/// How a head was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitRecord {
    /// `logistic`, `linear` or `mlp`.
    pub head: String,
    /// Program or library that solved it.
    pub solver: String,
    /// L2 weight on the summed loss; none for a hidden layer.
    pub alpha: Option<f64>,
    /// Cross-validated losses that `alpha` was chosen by, where it was.
    pub path: Option<AlphaPath>,
    /// Whether every class counted alike in the fit, however many samples it has.
    pub balanced: bool,
    /// Whether `alpha` weighs coefficients of standardised features.
    pub standardized: bool,
    /// Samples it was fitted on.
    pub n_samples: usize,
    /// Samples of each class, in the order of the labels; empty for numbers.
    pub class_counts: Vec<usize>,
    /// Share held out where the dataset has no split of its own.
    pub validation: f64,
    /// Seed of that draw.
    pub seed: u64,
    /// What proves the optimum of the layer as it is here; a hidden layer has none.
    pub certificate: Option<Certificate>,
    /// How a hidden layer was trained.
    pub training: Option<TrainingRecord>,
}

/// How a hidden layer was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Its loss.
    pub loss: LossName,
    /// Its settings.
    pub config: MlpConfig,
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// The epoch whose weights were kept.
    pub best_epoch: usize,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    activations: Vec<Activation>,
    #[serde(flatten)]
    metadata: HeadMetadata,
}

impl HeadModel {
    /// Features the head takes.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.layers.first().map_or(0, |it| it.weight.nrows())
    }

    /// Probabilities of a classification head, predicted numbers of a regression head.
    ///
    /// # Shapes
    /// - `x`: `(n_samples, n_features)`.
    /// - returns `(n_samples, n_labels)`; rows of probabilities sum to 1.
    ///
    /// # Errors
    /// [`HeadError::FeatureCountMismatch`].
    pub fn predict<A: Feature>(&self, x: ArrayView2<'_, A>) -> Result<Array2<f64>, HeadError> {
        if x.ncols() != self.n_features() {
            return Err(HeadError::FeatureCountMismatch { expected: self.n_features(), actual: x.ncols() });
        }
        let x: Array2<f64> = x.mapv(Into::into);
        Ok(self.layers.iter().fold(x, |x, layer| layer.apply(&x)))
    }

    /// The answer to each row of scores: [`Outputs::decide`].
    ///
    /// # Shapes
    /// - `scores`: `(n_samples, n_labels)`, as [`predict`](Self::predict) gives them.
    #[must_use]
    pub fn decide(&self, scores: ArrayView2<'_, f64>) -> Vec<Prediction> {
        self.metadata.outputs.decide(scores)
    }

    /// Refuses embeddings of another space.
    ///
    /// # Errors
    /// [`HeadError::FingerprintMismatch`] carrying `differences`, which the caller knows how to state.
    pub fn check_fingerprint(
        &self,
        fingerprint: &str,
        differences: impl FnOnce() -> Vec<[String; 3]>,
    ) -> Result<(), HeadError> {
        if self.metadata.fingerprint == fingerprint {
            return Ok(());
        }
        Err(HeadError::FingerprintMismatch { differences: differences() })
    }

    /// Writes the head as a safetensors file: `layers.<i>.weight`, `layers.<i>.bias` (f64),
    /// `trained_on` (u64), everything else as JSON under the metadata key `headstart`, and the SHA-256 of all
    /// that as `sha256` (u8). The same head gives the same bytes.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] when it would not read back: a number in the metadata is not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeadError> {
        let malformed = |reason: String| HeadError::Malformed { reason };
        let header = Header {
            format_version: FORMAT_VERSION,
            activations: self.layers.iter().map(|it| it.activation).collect(),
            metadata: self.metadata.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|err| malformed(err.to_string()))?;
        // JSON has no word for a number that is not finite, and writes nothing in its place.
        serde_json::from_str::<Header>(&header).map_err(|err| malformed(err.to_string()))?;
        let mut tensors = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let shape = vec![layer.weight.nrows(), layer.weight.ncols()];
            tensors.push((format!("layers.{index}.weight"), shape, bytes(layer.weight.iter())));
            tensors.push((format!("layers.{index}.bias"), vec![layer.bias.len()], bytes(layer.bias.iter())));
        }
        let trained_on: Vec<u8> = self.trained_on.iter().flat_map(|it| it.to_le_bytes()).collect();
        let trained_on = TensorView::new(Dtype::U64, vec![self.trained_on.len()], &trained_on)
            .map(|view| (TRAINED_ON, view));
        let views = tensors.iter().map(|(name, shape, data)| {
            TensorView::new(Dtype::F64, shape.clone(), data).map(|view| (name.as_str(), view))
        });
        let views = views
            .chain([trained_on])
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| malformed(err.to_string()))?;
        let sum = checksum(&header, views.iter().map(|(name, view)| (*name, view)));
        let sum =
            TensorView::new(Dtype::U8, vec![sum.len()], &sum).map_err(|err| malformed(err.to_string()))?;
        let views: Vec<_> = views.into_iter().chain([(CHECKSUM, sum)]).collect();
        // One key: a map of several would be written in any order.
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|err| malformed(err.to_string()))
    }

    /// Reads a head file.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] when the bytes are no head file of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadError> {
        let malformed = |reason: String| HeadError::Malformed { reason };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|err| malformed(err.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|it| it.get(METADATA_KEY));
        let text = text.ok_or_else(|| malformed(format!("no `{METADATA_KEY}` in its metadata")))?;
        let header: Header = serde_json::from_str(text).map_err(|err| malformed(err.to_string()))?;
        let version = header.format_version;
        if !(1..=FORMAT_VERSION).contains(&version) {
            let expected = format!("this program reads 1 to {FORMAT_VERSION}");
            return Err(malformed(format!("format version {version}, {expected}")));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|err| malformed(err.to_string()))?;
        let named = tensors.tensors();
        let others = named.iter().filter(|it| it.0 != CHECKSUM);
        let sum = checksum(text, others.map(|(name, view)| (name.as_str(), view)));
        let is_whole = || tensors.tensor(CHECKSUM).is_ok_and(|it| *it.data() == sum);
        if version > 1 && !is_whole() {
            return Err(malformed(
                "its checksum is not that of what it holds: it is damaged, or was edited".to_owned(),
            ));
        }
        let mut layers: Vec<DenseLayer> = Vec::new();
        for (index, activation) in header.activations.iter().enumerate() {
            let (weight_shape, weight) = floats(&tensors, &format!("layers.{index}.weight"))?;
            let (bias_shape, bias) = floats(&tensors, &format!("layers.{index}.bias"))?;
            let fits_last = layers.last().is_none_or(|it| Some(&it.bias.len()) == weight_shape.first());
            let (&[rows, columns], &[outputs]) = (&weight_shape[..], &bias_shape[..]) else {
                return Err(malformed(format!(
                    "layer {index} has shapes {weight_shape:?} and {bias_shape:?}"
                )));
            };
            if columns != outputs || !fits_last {
                return Err(malformed(format!("layer {index} does not fit its neighbours")));
            }
            let weight =
                Array2::from_shape_vec((rows, columns), weight).map_err(|err| malformed(err.to_string()))?;
            layers.push(DenseLayer { weight, bias: Array1::from(bias), activation: *activation });
        }
        let n_outputs = layers.last().map_or(0, |it| it.bias.len());
        if n_outputs == 0 || n_outputs != header.metadata.outputs.labels.len() {
            let n_labels = header.metadata.outputs.labels.len();
            return Err(malformed(format!("{n_outputs} outputs for {n_labels} labels")));
        }
        let n_thresholds = header.metadata.outputs.thresholds.len();
        if n_thresholds != if header.metadata.outputs.task == Task::Multilabel { n_outputs } else { 0 } {
            return Err(malformed(format!("{n_thresholds} thresholds for {n_outputs} outputs")));
        }
        let n_shares = header.metadata.outputs.shares.len();
        if n_shares != 0 && n_shares != n_outputs {
            return Err(malformed(format!("{n_shares} shares for {n_outputs} outputs")));
        }
        let trained_on = eight_bytes(&tensors, TRAINED_ON, Dtype::U64)?.1.map(u64::from_le_bytes).collect();
        Ok(Self { layers, metadata: header.metadata, trained_on })
    }
}

/// SHA-256 of all that a head file says.
fn checksum<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, &'a TensorView<'a>)>) -> [u8; 32] {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|it| it.0);
    let mut hasher = Sha256::new_with_prefix(header);
    for (name, view) in tensors {
        hasher.update(format!("{name} {:?} {:?}", view.dtype(), view.shape()));
        hasher.update(view.data());
    }
    hasher.finalize().into()
}

fn bytes<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<u8> {
    values.flat_map(|it| it.to_le_bytes()).collect()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f64>), HeadError> {
    let (shape, values) = eight_bytes(tensors, name, Dtype::F64)?;
    let values: Vec<f64> = values.map(f64::from_le_bytes).collect();
    if values.iter().any(|it| !it.is_finite()) {
        let reason = format!("`{name}` has values that are not finite");
        return Err(HeadError::Malformed { reason });
    }
    Ok((shape, values))
}

/// Shape and elements of a tensor whose elements have eight bytes.
fn eight_bytes<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
) -> Result<(Vec<usize>, impl Iterator<Item = [u8; 8]> + use<'a>), HeadError> {
    let malformed = |reason: String| HeadError::Malformed { reason };
    let tensor = tensors.tensor(name).map_err(|_| malformed(format!("no tensor `{name}`")))?;
    if tensor.dtype() != dtype {
        return Err(malformed(format!("`{name}` is {:?}, expected {dtype:?}", tensor.dtype())));
    }
    let (elements, _) = tensor.data().as_chunks();
    Ok((tensor.shape().to_vec(), elements.iter().copied()))
}
