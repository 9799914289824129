//! Why a model could not be read, changed or written.

use std::path::PathBuf;

/// Why a model could not be read, changed or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are no ONNX protobuf, or cross a limit that keeps memory bounded.
    #[error("not a readable ONNX file: {reason}")]
    Malformed {
        /// What was found.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file holds no graph.
    #[error("the model has no graph")]
    NoGraph,
    /// The graph does not have exactly one input that is not a weight.
    #[error("expected one input, found {}: {}", names.len(), names.join(", "))]
    InputCount {
        /// Names of the inputs found.
        names: Vec<String>,
    },
    /// A tensor was named that the graph does not have.
    #[error("no tensor named `{name}` in the graph; the last ones are: {}", last.join(", "))]
    NoSuchTensor {
        /// The name asked for.
        name: String,
        /// Tensors near the end of the graph, where a tap usually lies.
        last: Vec<String>,
    },
    /// No classifier was recognised and no single output can serve as the embedding.
    #[error("cannot tell where to cut: {reason}; name a tensor, one of: {}", last.join(", "))]
    NoTap {
        /// What was looked at.
        reason: String,
        /// Tensors near the end of the graph.
        last: Vec<String>,
    },
    /// A weight in another file points outside the model's folder, or past the end of its file.
    #[error("external data of `{tensor}`: {reason}")]
    ExternalData {
        /// The weight.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor's data does not fit its shape and type.
    #[error("tensor `{tensor}`: {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// The graph uses an operator set that the change does not support.
    #[error(
        "the model uses opset {found}{}, this change needs at least {needed}",
        operator.as_ref().map(|it| format!(", whose {it} is not raised")).unwrap_or_default()
    )]
    OpsetTooOld {
        /// The operator in the way, where it is one.
        operator: Option<String>,
        /// Version of `ai.onnx` in the file.
        found: i64,
        /// Version needed.
        needed: i64,
    },
    /// The graph cannot be turned into half floats.
    #[error("the model cannot be turned into half floats: {reason}")]
    NotConvertible {
        /// What stands in the way.
        reason: String,
    },
    /// There is nothing to quantise, or nothing left to.
    #[error("the model cannot be quantised: {reason}")]
    NotQuantizable {
        /// Why.
        reason: String,
    },
    /// The layers of a head do not fit each other or the embedding.
    #[error("layer {layer} takes {expected} features but {actual} come in")]
    LayerShape {
        /// Index of the layer.
        layer: usize,
        /// Rows of its weight.
        expected: usize,
        /// Features that reach it.
        actual: usize,
    },
    /// The file would exceed protobuf's limit of 2 GiB; weights that large belong in external data.
    #[error(
        "the model would be {bytes} bytes, above protobuf's limit of 2 GiB; keep its weights as external data"
    )]
    TooLarge {
        /// Size it would have.
        bytes: usize,
    },
}
