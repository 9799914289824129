//! Why something could not be done.

use std::path::{Path, PathBuf};

use headstart_backbone::{BackboneError, ItemError};
use headstart_head::{HeadError, Task};
use headstart_input::InputKind;
use headstart_onnx::OnnxError;
use headstart_store::StoreError;

use crate::dataset::DatasetError;
use crate::provision::{ProvisionError, Unusable};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read, written, …
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A folder, where a file is to be written.
    #[error("{} is a folder", path.display())]
    IsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A pipe, a device, …, where a file is to be written.
    #[error("{} is no regular file", path.display())]
    NotRegular {
        /// What is there.
        path: PathBuf,
    },
    /// A file of another kind where one is to be written.
    #[error("{} is there already, and is no {kind}", path.display())]
    OtherKind {
        /// What is there.
        path: PathBuf,
        /// What was to be written.
        kind: crate::files::OutKind,
    },
    /// A table in a format that is not written.
    #[error("{}: expected a name that ends in .parquet, .arrow, .csv or .npy", path.display())]
    TableFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file that is longer than any of its kind should be.
    #[error("{} has {bytes} bytes, above the limit of {limit}", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// Longest that is read.
        limit: u64,
    },
    /// There is no folder for a cache.
    #[error("no home folder to keep a cache in; set HEADSTART_CACHE to a folder")]
    NoCache,

    /// A dataset that cannot be listed.
    #[error(transparent)]
    Dataset(#[from] DatasetError),

    /// A store that lists nothing.
    #[error("{} has no samples; extract a dataset into it, or see the failures that its last run listed there", path.display())]
    NoSamples {
        /// The store.
        path: PathBuf,
    },
    /// A store or a dataset without a label.
    #[error("none of the {n} samples of {} has a label; a folder a class, or a manifest's `label` column gives it", path.display())]
    NoLabels {
        /// The store, or the dataset.
        path: PathBuf,
        /// Its samples.
        n: usize,
    },
    /// A label that is to be a number.
    #[error("{}: label `{}` is no number", clip(path), clip(label))]
    NotANumber {
        /// The sample.
        path: String,
        /// Its label.
        label: String,
    },
    /// Samples with different numbers of targets.
    #[error("{path}: {found} numbers, the first sample has {expected}")]
    TargetCount {
        /// The sample.
        path: String,
        /// Numbers that it has.
        found: usize,
        /// Numbers that the first has.
        expected: usize,
    },
    /// Samples whose embeddings are not in the store.
    #[error("{n} of {n_samples} samples have no embedding in {}, {first} first; extract the dataset again", store.display())]
    MissingEmbeddings {
        /// How many.
        n: usize,
        /// Samples that were wanted.
        n_samples: usize,
        /// The store.
        store: PathBuf,
        /// The first of them.
        first: String,
    },
    /// A name that is no split's.
    #[error("split `{}` is none of train, val, test", clip(split))]
    UnknownSplit {
        /// The name.
        split: String,
    },
    /// A split without a sample.
    #[error("no sample of {} is in the split `{split}`", store.display())]
    EmptySplit {
        /// The store.
        store: PathBuf,
        /// The split.
        split: String,
    },
    /// Nothing to judge a head by.
    #[error("no sample of {} was held out; the splits `train` and `all` judge by those it was fitted on", store.display())]
    NothingHeldOut {
        /// The store.
        store: PathBuf,
    },

    /// Nothing to tell apart.
    #[error("all training samples have the label `{}`: nothing to tell apart", clip(label))]
    OneClass {
        /// The label.
        label: String,
    },
    /// Training samples that have none of several labels.
    #[error("no training sample has a label")]
    NoTrainingLabels,
    /// A head that does not do what it is asked to.
    #[error("a {head} head predicts {offered}, {wanted} are for {better}")]
    TaskOfHead {
        /// The head.
        head: &'static str,
        /// What it predicts.
        offered: &'static str,
        /// What it was asked for.
        wanted: &'static str,
        /// Heads that do.
        better: &'static str,
    },
    /// Settings of a fit that cannot be meant.
    #[error("{reason}")]
    InvalidFit {
        /// What they must be.
        reason: &'static str,
    },
    /// A head to start from that is of another kind.
    #[error("the head to start from is another: {head} for {task:?}, this is logistic for {wanted:?}")]
    OtherStart {
        /// Its kind.
        head: String,
        /// Its task.
        task: Task,
        /// The task of the fit.
        wanted: Task,
    },
    /// A head to start from that nothing vouches for.
    #[error("the head to start from has no certificate")]
    StartWithoutCertificate,
    /// A head that is fitted in memory alone.
    #[error("this head needs its samples in memory; a logistic one does not")]
    NotInMemory,
    /// A head that predicts other numbers than samples have.
    #[error("the head predicts {expected} numbers, the samples have {found}")]
    NumberCount {
        /// Numbers of the head.
        expected: usize,
        /// Numbers of the samples.
        found: usize,
    },
    /// The head crate refused.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A file that is no head.
    #[error("{}", path.display())]
    HeadFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: HeadError,
    },

    /// No file at a model's path.
    #[error("no model file at {}", path.display())]
    NoModelFile {
        /// The path.
        path: PathBuf,
    },
    /// An id that the registry does not have.
    #[error("no model `{model}` in the registry, which has: {}", known.join(", "))]
    UnknownModel {
        /// The id.
        model: String,
        /// Ids that it has.
        known: Vec<String>,
    },
    /// A model of windows that cannot take those of a sound together, as an exported file would.
    #[error(
        "a file that takes sounds whole runs their windows together, and this model does not take that: {reason}"
    )]
    ExportWindows {
        /// Why.
        reason: String,
    },
    /// A file of predictions that is gone on with is of other inputs, or of another model.
    #[error("cannot go on with {}: {reason}", path.display())]
    OtherRows {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A model is to be fed as models of another kind of input are.
    #[error("{model} takes {}: what is said of how it is fed is for others", kind.nouns()[1])]
    OtherKindOfInput {
        /// The model, as it was named.
        model: String,
        /// What it takes.
        kind: InputKind,
    },
    /// A model that cannot be used.
    #[error("cannot use {model}")]
    Model {
        /// The model, as it was named.
        model: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that is not the registry's.
    #[error("{} has SHA-256 {found}, the registry expects {expected}; remove it, or pass it as a path if it is another model", path.display())]
    ModelHash {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The registry's.
        expected: String,
    },
    /// A model that is to be had from nowhere.
    #[error("{model} has no public address; put {file} into a folder and name that in HEADSTART_MODELS")]
    NoAddress {
        /// The model.
        model: String,
        /// Its file.
        file: String,
    },
    /// A model that could not be downloaded.
    #[error("cannot get {model}; put {file} into a folder of HEADSTART_MODELS to do without the network")]
    Pull {
        /// The model.
        model: String,
        /// Its file.
        file: String,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
    /// A backbone could not be loaded or run.
    #[error(transparent)]
    Backbone(#[from] BackboneError),
    /// A store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A graph could not be read, changed or written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),

    /// A device that cannot be used.
    #[error(transparent)]
    Device(Box<Unusable>),
    /// A picture to compare on that cannot be used.
    #[error("{} {reason}", path.display())]
    Sample {
        /// The picture.
        path: PathBuf,
        /// Why.
        reason: ItemError,
    },
    /// An exported graph that gives other scores than the head.
    #[error(
        "the exported graph differs from the head by {difference:.2e}, more than {tolerance:.0e}; nothing was written"
    )]
    ExportDiffers {
        /// Largest difference.
        difference: f64,
        /// Largest that is allowed.
        tolerance: f64,
    },
    /// An exported graph that takes only one input at a time, of a backbone that takes several.
    #[error("the exported graph is right for one input at a time alone: {reason}; nothing was written")]
    ExportBatch {
        /// Why.
        reason: String,
    },
    /// An exported graph that gives other outputs than the head.
    #[error("the exported graph gives {found} numbers, expected {expected}")]
    ExportShape {
        /// Numbers it gives.
        found: usize,
        /// Numbers the head gives.
        expected: usize,
    },
    /// A file that was not written by an export.
    #[error("{}: {reason}", path.display())]
    NotExported {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A file to write that could not be used as a model.
    #[error("{} must end in .onnx to be used as a model", path.display())]
    NotOnnx {
        /// The file.
        path: PathBuf,
    },
    /// The model itself would be overwritten.
    #[error("{} is the model itself; write to another file", path.display())]
    IsModel {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no description of a model would be overwritten.
    #[error("{} describes no model, and would be overwritten", path.display())]
    NotADescription {
        /// The file.
        path: PathBuf,
        /// Why it is none.
        #[source]
        source: BackboneError,
    },
    /// A backbone that is quantised with nothing.
    #[error("none of the {n} pictures can be read")]
    NothingReadable {
        /// Pictures that were tried.
        n: usize,
    },
    /// Two backbones that have no embedding of the same input.
    #[error("no image has an embedding by both models")]
    NothingToCompare,
    /// A backbone that cannot be quantised.
    #[error("cannot quantise")]
    Quantize {
        /// The cause.
        #[source]
        source: BackboneError,
    },
    /// A runtime or a model could not be got.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// What somebody else wrote, to be quoted: at most 200 characters of it.
pub(crate) fn clip(text: &str) -> String {
    const MAX: usize = 200;
    if text.chars().nth(MAX).is_none() {
        return text.to_owned();
    }
    text.chars().take(MAX - 1).chain(['…']).collect()
}

pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}
