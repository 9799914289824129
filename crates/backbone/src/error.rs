//! Why a backbone could not be loaded or run.

use std::path::PathBuf;

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
    #[error(
        "model {model} is not quantised, so there is no int8 of it; `headstart models quantize` makes one"
    )]
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
    /// What a run gave cannot be told apart into one row an image.
    #[error("a batch of {n_images} images gave an output of shape {shape:?}, which is not a row an image")]
    Output {
        /// Images of the batch.
        n_images: usize,
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
    /// The model does not take one image, or its shape is not known.
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
    /// Preprocessing that cannot be done.
    #[error("preprocessing: {reason}")]
    Preprocess {
        /// What contradicts what.
        reason: String,
    },
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

/// Why one image has no embedding. The run goes on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// A folder, a pipe, a device: no regular file.
    #[error("is no regular file")]
    NotAFile,
    /// The file is longer than any picture should be.
    #[error("has {bytes} bytes, above the limit of {limit}")]
    TooLong {
        /// Length of the file.
        bytes: u64,
        /// Longest file that is read.
        limit: u64,
    },
    /// The bytes are of none of the formats that are read.
    #[error("is not a JPEG, PNG, WebP, GIF, BMP or TIFF picture")]
    UnknownFormat,
    /// A picture of a kind its decoder does not know.
    #[error("cannot be decoded: {0}")]
    Unsupported(String),
    /// Decoding would need more memory than allowed.
    #[error("is {width}×{height} pixels, which needs more than the limit of {} MiB to decode", limit_bytes >> 20)]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Most memory one picture may take.
        limit_bytes: u64,
    },
    /// The decoder found damage.
    #[error("cannot be decoded: {0}")]
    Decode(#[source] Box<image::ImageError>),
    /// The JPEG decoder found damage.
    #[error("cannot be decoded: {0}")]
    Jpeg(#[source] Box<libjpeg_turbo_rs::JpegError>),
    /// The decoder itself failed.
    #[error("made its decoder panic")]
    DecoderPanic,
    /// A picture without pixels.
    #[error("has no pixels")]
    Empty,
    /// The file changed while it was read.
    #[error("changed while it was read")]
    Changed,
    /// The runtime failed on this picture, but not on others.
    #[error("made the model fail: {0}")]
    Run(String),
    /// The embedding has a value that is NaN or infinite.
    #[error("has an embedding that is not finite at feature {feature}")]
    NonFinite {
        /// Index of the feature.
        feature: usize,
    },
}
