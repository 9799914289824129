//! What an operation has to say: while it runs, and of what came of it. Values, never printed lines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use headstart_backbone::{Device, Progress};
use headstart_head::{Epoch, FoldFitted};
use headstart_input::{InputKind, Recipe};
use headstart_onnx::Tap;
use serde::Serialize;

/// Hears the events of an operation, from one thread at a time.
pub type Events<'a> = dyn FnMut(Event) + Send + 'a;

/// What a long operation tells while it runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Something that its user should know.
    Note(Note),
    /// How many inputs are done.
    Progress(Progress),
    /// An epoch of a hidden layer's training.
    Epoch(Epoch),
    /// A fold of a cross-validation that chooses alpha.
    Fold(FoldFitted),
    /// Bytes of a download.
    Download {
        /// Address.
        url: String,
        /// Bytes that are here.
        n_bytes: u64,
        /// Bytes in all, where that is known.
        n_total: Option<u64>,
        /// Whether it is over.
        is_over: bool,
    },
}

/// Something that the user of an operation should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// The device that was chosen, and why.
    DeviceChosen {
        /// The device.
        #[serde(serialize_with = "as_text")]
        device: Device,
        /// Why.
        reason: &'static str,
    },
    /// A file beside the model describes it.
    DescribedBy {
        /// The model, as it was named.
        model: String,
        /// The description.
        path: PathBuf,
    },
    /// How a model is fed and where it was cut, which nothing vouches for.
    FedAs {
        /// The model, as it was named.
        model: String,
        /// How inputs become what it takes.
        recipe: Box<Recipe>,
        /// Where it was cut.
        tap: Tap,
        /// Whether rows are brought to length 1.
        normalize: bool,
    },
    /// A model of the registry is fed otherwise than it was trained.
    FedOtherwise {
        /// The model, as it was named.
        model: String,
        /// How it was trained.
        registered: Box<Recipe>,
    },
    /// A model that takes pixels of 0–1 does arithmetic with a constant first: it was made for others.
    RescalesItself {
        /// The model, as it was named.
        model: String,
        /// The operator.
        operator: String,
        /// The constant.
        constant: f32,
    },
    /// No classifier was found: what the model gives is the embedding.
    NoClassifier {
        /// The model, as it was named.
        model: String,
        /// Its output.
        output: String,
        /// Numbers of an embedding.
        n_features: usize,
    },
    /// The default model is used, which is a small one.
    DefaultModel {
        /// Its id.
        model: String,
    },
    /// A package is being fetched.
    Getting {
        /// Its name.
        package: String,
        /// Its version.
        version: String,
    },
    /// A runtime in the cache is damaged, and is fetched again.
    RuntimeDamaged {
        /// What is wrong.
        reason: String,
    },
    /// There is no NVIDIA driver, or it does not answer.
    NoDriver,
    /// A build of the runtime cannot be had.
    BuildFailed {
        /// The build.
        build: String,
        /// Why.
        reason: String,
    },
    /// Nothing says whether the runtime that is there is whole, and it cannot be got again.
    RuntimeUnchecked,
    /// Samples without a label are left out.
    Unlabelled {
        /// How many.
        n: usize,
    },
    /// Pictures of formats that are not read.
    FormatsNotRead {
        /// What they are.
        input_kind: InputKind,
        /// How many of each format.
        formats: BTreeMap<String, usize>,
    },
    /// Folders where a class could be, with nothing in them.
    EmptyFolders {
        /// Their names, relative to the dataset.
        folders: Vec<String>,
    },
    /// All pictures lie in one folder, whose own folders are taken for splits and classes.
    OneFolder {
        /// That folder, relative to the dataset.
        folder: String,
    },
    /// Folders that all hold the same are taken for folds: all of them are used.
    FoldersAreFolds {
        /// Their names.
        folders: Vec<String>,
    },
    /// A folder has a manifest for each split.
    ManifestsAreSplits {
        /// Their names.
        manifests: Vec<String>,
    },
    /// Pictures lie deeper than their class, which is the topmost folder.
    LabelIsTop {
        /// The folders of one of them.
        folder: String,
        /// Its class.
        label: String,
    },
    /// Names that are spelt in two forms of Unicode, and look alike, are taken for one.
    SpellingsMerged {
        /// The names.
        classes: Vec<String>,
    },
    /// Columns of a manifest that have other names than `path`, `label`, `split`, `group`.
    ColumnsTaken {
        /// All columns that are read.
        columns: Vec<String>,
    },
    /// A column of a manifest that could be the split is not taken as such.
    NotASplit {
        /// The column.
        column: String,
        /// One of its values, which names no part of a dataset.
        value: String,
    },
    /// A table of text is written otherwise than its ending says.
    TableReadAs {
        /// What stands between its fields.
        delimiter: char,
        /// Whether it is UTF-16.
        is_utf16: bool,
    },
    /// Columns of yes and no are labels of the columns' names.
    ColumnsAreLabels {
        /// The columns.
        columns: Vec<String>,
    },
    /// Words in a column of numbers that say that there is none: such rows have no label.
    MissingNumbers {
        /// How many of each word.
        words: BTreeMap<String, usize>,
    },
    /// A newer dataset is in the making, and is not used.
    NewerDataset {
        /// The store.
        store: PathBuf,
        /// Its folder, and the shards that are missing.
        missing: String,
    },
    /// Samples are in a split that is none of train, val, test, and are left out.
    SplitIgnored {
        /// How many.
        n: usize,
        /// The split of one of them.
        example: String,
    },
    /// All labels are numbers, and are taken for such.
    LabelsAreNumbers,
    /// Samples may have several labels.
    LabelsAreSeveral,
    /// Labels that all training samples have: they are given always, and not fitted.
    ConstantLabels {
        /// Training samples.
        n_samples: usize,
        /// The labels.
        labels: Vec<String>,
    },
    /// Classes with one training sample each.
    OneSample {
        /// The classes.
        labels: Vec<String>,
    },
    /// All labels are numbers, and each is taken for a class.
    NumbersAreClasses {
        /// How many classes that makes.
        n_classes: usize,
    },
    /// Most labels are numbers, but not all: all are taken for classes.
    NotAllNumbers {
        /// Labels that are numbers.
        n_numbers: usize,
        /// All labels.
        n_samples: usize,
        /// The first sample whose label is none.
        path: String,
        /// That label.
        label: String,
    },
    /// Equal files have different labels.
    SameBytesOtherLabels {
        /// Samples whose label is not that of an equal file before them.
        n: usize,
        /// Two of them, and their labels.
        example: [(String, String); 2],
    },
    /// Every combination of numbers is taken for a class.
    CombinationsAreClasses,
    /// A fit begins at an older head.
    WarmStart {
        /// Samples that the older head was not fitted on.
        n_new: usize,
        /// All samples.
        n_samples: usize,
        /// Labels that the older head does not have.
        new_labels: Vec<String>,
    },
    /// Embeddings would take too much memory: they are read again for every pass.
    ReadFromStore {
        /// Samples to fit on.
        n_samples: usize,
        /// Bytes that they would take.
        needed_bytes: u64,
        /// Bytes that they may.
        limit_bytes: u64,
        /// Samples in memory, to choose alpha on.
        n_in_memory: usize,
    },
    /// Alpha could not be chosen.
    DefaultAlpha {
        /// Why.
        reason: String,
        /// What it is then.
        alpha: f64,
    },
    /// The best alpha lies at an end of the grid: a better one may lie beyond.
    AlphaOnEdge {
        /// The best of them.
        alpha: f64,
    },
    /// Labels of too few samples to choose a threshold.
    RareLabels {
        /// Samples that would be needed.
        min_support: usize,
        /// Probability from which on they are given then.
        threshold: f64,
        /// The labels.
        labels: Vec<String>,
    },
    /// Thresholds could not be chosen.
    DefaultThresholds {
        /// Why.
        reason: String,
        /// Probability from which on labels are given then.
        threshold: f64,
    },
    /// The epoch whose weights were kept.
    BestEpoch {
        /// Its number, from 1.
        epoch: usize,
    },
    /// Held-out samples are files or groups that were trained on too.
    HeldOutTrainedOn {
        /// How many.
        n: usize,
        /// Held-out samples in all.
        n_held_out: usize,
    },
    /// A prediction that needs no fit is better than the head.
    BaselineWins {
        /// What it is.
        baseline: String,
        /// Its accuracy.
        accuracy: f64,
        /// The head's.
        of_head: f64,
    },
    /// Samples that are judged were trained on.
    JudgedTrainedOn {
        /// How many.
        n: usize,
        /// Samples in all.
        n_samples: usize,
    },
    /// Samples have labels that the head does not know, which count as wrong.
    UnknownLabels {
        /// How many.
        n: usize,
        /// Samples in all.
        n_samples: usize,
        /// One of the labels.
        example: String,
    },
}

impl Note {
    /// Whether something may be wrong.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            Self::AlphaOnEdge { .. }
                | Self::FormatsNotRead { .. }
                | Self::ConstantLabels { .. }
                | Self::OneSample { .. }
                | Self::EmptyFolders { .. }
                | Self::NotAllNumbers { .. }
                | Self::SameBytesOtherLabels { .. }
                | Self::FedOtherwise { .. }
                | Self::RescalesItself { .. }
                | Self::HeldOutTrainedOn { .. }
                | Self::BaselineWins { .. }
                | Self::UnknownLabels { .. }
        )
    }
}

/// Tells a note.
pub(crate) fn note(events: &mut Events<'_>, note: Note) {
    events(Event::Note(note));
}

/// Writes a device as its name.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
pub(crate) fn as_text<S: serde::Serializer>(device: &Device, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(device)
}
