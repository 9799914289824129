//! Why a backbone could not be loaded or run.

use std::path::PathBuf;

use headstart_input::RecipeError;
use headstart_onnx::OnnxError;
use headstart_store::StoreError;

/// Why a backbone could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackboneError {
    /// No ONNX Runtime library at the path given.
    #[error("no ONNX Runtime library at {}; this program needs version {needed} or newer", path.display())]
    RuntimeMissing {
        /// Where it was looked for.
        path: PathBuf,
        /// Oldest version that works.
        needed: String,
    },
    /// The library is older than the API this program uses.
    #[error("ONNX Runtime {found} at {} is too old; this program needs version {needed} or newer", path.display())]
    RuntimeTooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Oldest version that works.
        needed: String,
    },
    /// The library does not load.
    #[error("cannot load {} as ONNX Runtime", path.display())]
    RuntimeLoad {
        /// The library.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another library is loaded already; ONNX Runtime allows one a process.
    #[error("ONNX Runtime is loaded from {} already; one process can use only one, asked for {}", loaded.display(), asked.display())]
    RuntimeLoadedTwice {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// The device asked for cannot be used.
    #[error("device `{device}` cannot be used: {reason}")]
    Device {
        /// The device, as the user names it.
        device: String,
        /// What is missing.
        reason: String,
        /// What the runtime said.
        #[source]
        source: Option<Box<ort::Error>>,
    },
    /// The system gives no more threads.
    #[error("cannot start {n} threads; fewer workers need fewer")]
    Threads {
        /// How many there were to be.
        n: usize,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// OpenVINO would compute in f32 and say nothing.
    #[error(
        "device `openvino` cannot compute in bf16 here: this CPU has no bf16 instructions (AVX512_BF16); f32 it can"
    )]
    NoBf16,
    /// A precision that a device does not offer.
    #[error("precision `{precision}` is not available on `{device}`; it offers {}", offered.join(", "))]
    Precision {
        /// The precision asked for.
        precision: String,
        /// The device.
        device: String,
        /// What it offers.
        offered: Vec<String>,
    },
    /// Integers were asked of a model in floats.
    #[error("model {model} is not quantised, so there is no int8 of it")]
    NotQuantized {
        /// Id or path of the model.
        model: String,
    },
    /// Floats were asked of a model in integers.
    #[error("model {model} is quantised: it computes in int8, not in {precision}")]
    Quantized {
        /// Id or path of the model.
        model: String,
        /// The precision asked for.
        precision: String,
    },
    /// ONNX Runtime refused the model or a run of it.
    #[error("ONNX Runtime failed to {action}")]
    Session {
        /// `load the model`, `run the model`, …
        action: &'static str,
        /// What it said.
        #[source]
        source: Box<ort::Error>,
    },
    /// A run was given other inputs than the graph has.
    #[error("expected the inputs {}, got {}", expected.join(", "), actual.join(", "))]
    Inputs {
        /// Names of the graph's inputs, in its order.
        expected: Vec<String>,
        /// Names of the tensors that were given.
        actual: Vec<String>,
    },
    /// An output of a type that is not read here.
    #[error("output `{output}` has elements of type {dtype}, which are not read here")]
    OutputType {
        /// Name of the output.
        output: String,
        /// Its element type.
        dtype: String,
    },
    /// Inputs whose tensors are not alike cannot be one batch.
    #[error("{n_inputs} inputs have tensors of different names, shapes or types, which are no batch")]
    Batch {
        /// Inputs that were to be one.
        n_inputs: usize,
    },
    /// What a run gave cannot be told apart into one row an input.
    #[error("a batch of {n_inputs} inputs gave an output of shape {shape:?}, which is not a row an input")]
    Output {
        /// Inputs of the batch.
        n_inputs: usize,
        /// Shape of the output.
        shape: Vec<i64>,
    },
    /// The model file could not be read or cut.
    #[error("model {model}")]
    Model {
        /// Id or path of the model.
        model: String,
        /// The cause.
        #[source]
        source: Box<OnnxError>,
    },
    /// A model that draws numbers, or was exported in training mode.
    #[error(
        "model {model} gives something else each time: {node} is in training mode, or draws numbers; export it for \
         inference"
    )]
    Random {
        /// Id or path of the model.
        model: String,
        /// The node.
        node: String,
    },
    /// A model that gave two rows for one input.
    #[error("model {model} gives another row each time it runs on the same input")]
    Irreproducible {
        /// Id or path of the model.
        model: String,
    },
    /// A map whose channels could be first or last.
    #[error(
        "model {model}: the graph does not tell how the map at tap `{tensor}` is laid out; pooling `mean` is for \
         (n, c, h, w), `mean-nhwc` for (n, h, w, c)"
    )]
    MapLayout {
        /// Id or path of the model.
        model: String,
        /// The tap.
        tensor: String,
    },
    /// The model does not take what its recipe makes, or its shape is not known.
    #[error("model {model}: expected {expected}, found {actual}")]
    Shape {
        /// Id or path of the model.
        model: String,
        /// What the model should have.
        expected: String,
        /// What it has.
        actual: String,
    },
    /// A registry or a model's own description does not read.
    #[error("{}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The tokenizer beside a model does not read.
    #[error("cannot use {}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: RecipeError,
    },
    /// A model of texts without a tokenizer beside it.
    #[error("there is no tokenizer beside {}: none of {}", path.display(), tried.join(", "))]
    NoTokenizer {
        /// The model.
        path: PathBuf,
        /// Names of files that were looked for.
        tried: Vec<String>,
    },
    /// A recipe that contradicts itself.
    #[error("preprocessing")]
    Recipe(#[from] RecipeError),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
