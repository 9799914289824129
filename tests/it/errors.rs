//! The text of every error of every crate, as it stands in `snapshots/`: one that is missing here fails.

use std::io;
use std::path::PathBuf;

use headstart::{DatasetError, Error, Kind, ProvisionError, Unusable};
use headstart_backbone::{BackboneError, ItemError};
use headstart_head::{Activation, HeadError, LossName, Task};
use headstart_input::{InputError, InputKind, RecipeError};
use headstart_onnx::OnnxError;
use headstart_store::{Failure, Shards, StoreError, Unfinished};

use crate::support::root;

fn path() -> PathBuf {
    PathBuf::from("folder/file")
}

fn gone() -> io::Error {
    io::Error::other("the disk is gone")
}

fn text() -> String {
    "text".to_owned()
}

/// Checks that all variants of a crate's errors are here, but those that only a foreign library can make,
/// and compares their texts.
fn check(crate_: &str, n_foreign: usize, errors: &[&dyn std::error::Error]) {
    let file = root().join("crates").join(crate_);
    let source = std::fs::read_to_string(file).expect("it reads");
    let n_variants = source.matches("#[error(").count();
    assert_eq!(errors.len() + n_foreign, n_variants, "{crate_}: an error has no text here, or one too many");
    let mut told = String::new();
    for error in errors {
        told += &format!("{error}\n");
        let mut cause = error.source();
        while let Some(error) = cause {
            told += &format!("    {error}\n");
            cause = error.source();
        }
        let name = format!("{error:?}");
        let is_capital = error.to_string().chars().next().is_some_and(char::is_uppercase);
        assert!(!error.to_string().ends_with('.') && !told.is_empty(), "{name}");
        assert!(!is_capital || error.to_string().starts_with("ONNX"), "{name}: {error}");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    let name = crate_.split('/').next().unwrap_or_default();
    let name = match crate_.rsplit('/').nth(1) {
        Some("provision") => "provision",
        Some("dataset") => "dataset",
        _ if crate_.ends_with("row.rs") => "backbone-items",
        _ => name,
    };
    settings.bind(|| insta::assert_snapshot!(format!("errors-{name}"), told));
}

#[test]
fn errors_of_graphs_and_stores() {
    check(
        "onnx/src/error.rs",
        0,
        &[
            &OnnxError::Malformed { reason: text() },
            &OnnxError::Io { action: "read", path: path(), source: gone() },
            &OnnxError::NoGraph,
            &OnnxError::InputCount { names: vec![text(), text()] },
            &OnnxError::NoSuchTensor { name: text(), last: vec![text()] },
            &OnnxError::NoTap { reason: text(), last: vec![text()] },
            &OnnxError::ExternalData { tensor: text(), reason: text() },
            &OnnxError::Tensor { tensor: text(), reason: text() },
            &OnnxError::OpsetTooOld { operator: Some(text()), found: 6, needed: 13 },
            &OnnxError::NotConvertible { reason: text() },
            &OnnxError::NotQuantizable { reason: text() },
            &OnnxError::LayerShape { layer: 0, expected: 3, actual: 4 },
            &OnnxError::TooLarge { bytes: 3 << 30 },
        ],
    );
    let last = Unfinished { root: text(), shards: Shards { present: [0].into(), count: 3 } };
    let manifest = serde_json::from_str::<u32>("{").expect_err("no number");
    check(
        "store/src/error.rs",
        1,
        &[
            &StoreError::Io { action: "read", path: path(), source: gone() },
            &StoreError::Damaged { path: path() },
            &StoreError::NotAStore { path: path() },
            &StoreError::ManifestMissing { path: path() },
            &StoreError::Manifest { path: path(), source: manifest },
            &StoreError::FormatVersion { path: path(), found: 2, expected: 1 },
            &StoreError::FingerprintMismatch { path: path(), differences: vec![[text(), text(), text()]] },
            &StoreError::Locked { path: path() },
            &StoreError::Table { source: Box::new(gone()) },
            &StoreError::NoSuchShard { index: 3, count: 3 },
            &StoreError::IncompleteListing { path: path(), last, n_listings: 2 },
            &StoreError::FeatureCountMismatch { expected: 3, actual: 4 },
            &StoreError::MissingColumn { path: path(), column: text(), found: vec![text()] },
            &StoreError::Unpacked { path: path(), unpacked: 2 << 30, limit: 256 << 20 },
        ],
    );
}

#[test]
fn errors_of_inputs() {
    check(
        "input/src/error.rs",
        2,
        &[
            &InputError::UnknownFormat { kind: InputKind::Image },
            &InputError::FormatNotRead { kind: InputKind::Audio, format: "Opus" },
            &InputError::Unsupported(text()),
            &InputError::TooLarge { width: 9, height: 8, limit_bytes: 1 << 20 },
            &InputError::DecoderPanic,
            &InputError::NotUtf8 { at: 7 },
            &InputError::TooLongText { n_bytes: 9 << 20, limit: 4 << 20 },
            &InputError::NoTokens,
            &InputError::Empty,
            &InputError::Sound(text()),
            &InputError::Silent,
            &InputError::NoSamples,
            &InputError::NotFinite,
            &InputError::TooLongSound { limit_seconds: 600 },
            &RecipeError::Audio { what: "hop, in seconds", value: -1.0 },
            &RecipeError::ChannelCount { n_channels: 3, n_means: 1, n_stds: 2 },
            &RecipeError::MeanStd { mean: vec![0.5], std: vec![0.0] },
            &RecipeError::Scale { unit_range: true, mean: vec![123.0], std: vec![58.0] },
            &RecipeError::Size { size: [0, 9] },
            &RecipeError::Tokenizer { reason: text() },
            &RecipeError::NoTokenizer,
            &RecipeError::NoIds,
            &RecipeError::MaxTokens { n: 2, n_special: 2 },
            &RecipeError::ShortSide { short_side: 3, size: [9, 9] },
        ],
    );
}

#[test]
fn errors_of_heads() {
    let not_converged =
        HeadError::NotConverged { gradient: 0.5, tolerance: 1e-6, gap: 2.0, n_iterations: 7, objective: 3.0 };
    check(
        "head/src/error.rs",
        2,
        &[
            &HeadError::SampleCountMismatch { x_rows: 3, y_len: 4 },
            &HeadError::FeatureCountMismatch { expected: 3, actual: 4 },
            &HeadError::LabelCountMismatch { expected: 3, actual: 4 },
            &HeadError::Source(Box::new(gone())),
            &HeadError::TooFewFolds { found: 1 },
            &HeadError::NotInMemory,
            &HeadError::NoSamples,
            &HeadError::TooFewClasses { found: 1, only: Some(text()) },
            &HeadError::UnknownClass { sample: 2, class: 9, n_classes: 3 },
            &HeadError::NonFinite { sample: 2, feature: 3 },
            &HeadError::NonFiniteTarget { sample: 2, target: 3 },
            &HeadError::InvalidWeight { sample: 2, weight: -1.0 },
            &HeadError::InvalidAlpha { alpha: 0.0 },
            &HeadError::InvalidTolerance { tolerance: 0.0 },
            &not_converged,
            &HeadError::Decomposition,
            &HeadError::StandardizeMismatch { prepared: true, asked: false },
            &HeadError::InvalidMlp { reason: "what they must be" },
            &HeadError::Diverged { epoch: 3 },
            &HeadError::LossActivation { loss: LossName::Focal, activation: Activation::Identity },
            &HeadError::Malformed { reason: text() },
            &HeadError::FingerprintMismatch { differences: vec![[text(), text(), text()]] },
        ],
    );
}

#[test]
fn errors_of_backbones() {
    let (found, needed) = ("1.10.0".to_owned(), "1.24.0".to_owned());
    let toml = headstart_backbone::Registry::from_toml("=", &path()).expect_err("no TOML");
    check(
        "backbone/src/error.rs",
        1,
        &[
            &BackboneError::RuntimeMissing { path: path(), needed: needed.clone() },
            &BackboneError::RuntimeTooOld { path: path(), found, needed },
            &BackboneError::RuntimeLoad { path: path(), source: Box::new(gone()) },
            &BackboneError::RuntimeLoadedTwice { loaded: path(), asked: path() },
            &BackboneError::Device { device: text(), reason: text(), source: None },
            &BackboneError::Threads { n: 3, source: gone() },
            &BackboneError::NoBf16,
            &BackboneError::Precision { precision: text(), device: text(), offered: vec![text()] },
            &BackboneError::NotQuantized { model: text() },
            &BackboneError::Quantized { model: text(), precision: text() },
            &BackboneError::Inputs { expected: vec![text()], actual: vec![text(), text()] },
            &BackboneError::OutputType { output: text(), dtype: text() },
            &BackboneError::Batch { n_inputs: 3 },
            &BackboneError::Output { n_inputs: 3, shape: vec![2, 5] },
            &BackboneError::Model { model: text(), source: Box::new(OnnxError::NoGraph) },
            &BackboneError::Shape { model: text(), expected: text(), actual: text() },
            &toml,
            &BackboneError::Random { model: text(), node: "Dropout `drop`".to_owned() },
            &BackboneError::Irreproducible { model: text() },
            &BackboneError::MapLayout { model: text(), tensor: text() },
            &BackboneError::NoTokenizer { path: path(), tried: vec![text(), text()] },
            &BackboneError::Tokenizer { path: path(), source: RecipeError::Tokenizer { reason: text() } },
            &BackboneError::Recipe(RecipeError::Size { size: [0, 9] }),
            &BackboneError::Read { path: path(), source: gone() },
            &BackboneError::Store(StoreError::NotAStore { path: path() }),
        ],
    );
    check(
        "backbone/src/row.rs",
        0,
        &[
            &ItemError::Read(gone()),
            &ItemError::NotAFile,
            &ItemError::TooLong { bytes: 9, limit: 8 },
            &ItemError::Changed,
            &ItemError::Input(InputError::Empty),
            &ItemError::Run(text()),
            &ItemError::NonFinite { feature: 3 },
        ],
    );
}

#[test]
fn errors_of_the_whole_job() {
    let unusable = || {
        let cause = BackboneError::Device { device: text(), reason: text(), source: None };
        Box::new(Unusable { kind: Kind::Cuda, is_named: false, cause })
    };
    let (task, wanted) = (Task::Multilabel, Task::Classification);
    let first = Failure { path: text(), reason: "is none".to_owned() };
    check(
        "headstart/src/dataset/error.rs",
        0,
        &[
            &DatasetError::NoDataset { path: path() },
            &DatasetError::NotAManifest { path: path() },
            &DatasetError::MissingColumn { path: path(), column: text(), found: vec![text()] },
            &DatasetError::RepeatedColumn { path: path(), column: text() },
            &DatasetError::ColumnNamedTwice { path: path(), column: text() },
            &DatasetError::SeveralColumns { path: path(), what: "the path", found: vec![text(), text()] },
            &DatasetError::Table { path: path(), line: 3, reason: "has no end".to_owned() },
            &DatasetError::NoUsableRow { path: path(), first },
            &DatasetError::FolderBesideSplits { path: path(), splits: vec![text(), text()], other: text() },
            &DatasetError::WhichAreClasses {
                path: path(),
                folders: vec![text(); 2],
                inside: vec![text(); 7],
            },
            &DatasetError::NoInputs { path: path(), kind: InputKind::Text },
        ],
    );
    let no_head = || HeadError::Malformed { reason: text() };
    let no_model = || BackboneError::Read { path: path(), source: gone() };
    let pull = ProvisionError::Download { url: text(), source: Box::new(gone()) };
    check(
        "headstart/src/error.rs",
        1,
        &[
            &Error::Io { action: "read", path: path(), source: gone() },
            &Error::IsFolder { path: path() },
            &Error::NotRegular { path: path() },
            &Error::OtherKind { path: path(), kind: headstart::OutKind::Head },
            &Error::TableFormat { path: path() },
            &Error::FileTooLarge { path: path(), bytes: 9 << 30, limit: 4 << 30 },
            &Error::NoCache,
            &Error::NoSamples { path: path() },
            &Error::NoLabels { path: path(), n: 3 },
            &Error::NotANumber { path: text(), label: text() },
            &Error::TargetCount { path: text(), found: 2, expected: 3 },
            &Error::MissingEmbeddings { n: 2, n_samples: 3, store: path(), first: text() },
            &Error::UnknownSplit { split: text() },
            &Error::EmptySplit { store: path(), split: text() },
            &Error::NothingHeldOut { store: path() },
            &Error::OneClass { label: text() },
            &Error::NoTrainingLabels,
            &Error::TaskOfHead { head: "linear", offered: "classes", wanted: "labels", better: "others" },
            &Error::InvalidFit { reason: "what it must be" },
            &Error::OtherStart { head: text(), task, wanted },
            &Error::StartWithoutCertificate,
            &Error::NotInMemory,
            &Error::NumberCount { expected: 2, found: 3 },
            &Error::Head(no_head()),
            &Error::HeadFile { path: path(), source: no_head() },
            &Error::NoModelFile { path: path() },
            &Error::OtherRows { path: path(), reason: text() },
            &Error::ExportWindows { reason: text() },
            &Error::OtherKindOfInput { model: text(), kind: InputKind::Text },
            &Error::UnknownModel { model: text(), known: vec![text(), text()] },
            &Error::Model { model: text(), source: Box::new(gone()) },
            &Error::ModelHash { path: path(), found: text(), expected: text() },
            &Error::NoAddress { model: text(), file: text() },
            &Error::Pull { model: text(), file: text(), source: Box::new(pull.into()) },
            &Error::Backbone(no_model()),
            &Error::Store(StoreError::NotAStore { path: path() }),
            &Error::Onnx(OnnxError::NoGraph),
            &Error::Device(unusable()),
            &Error::Sample { path: path(), reason: ItemError::NotAFile },
            &Error::ExportDiffers { difference: 0.5, tolerance: 1e-4 },
            &Error::ExportBatch { reason: "it takes one image at a time".to_owned() },
            &Error::ExportShape { found: 2, expected: 3 },
            &Error::NotExported { path: path(), reason: text() },
            &Error::NotOnnx { path: path() },
            &Error::IsModel { path: path() },
            &Error::NotADescription { path: path(), source: no_model() },
            &Error::NothingReadable { n: 3 },
            &Error::NothingToCompare,
            &Error::Quantize { source: no_model() },
            &Error::Provision(ProvisionError::NoDriver),
        ],
    );
    check(
        "headstart/src/provision/error.rs",
        0,
        &[
            &ProvisionError::Download { url: text(), source: Box::new(gone()) },
            &ProvisionError::DownloadHash { url: text(), found: text(), expected: text() },
            &ProvisionError::NoRuntime { kind: Kind::Openvino, needed: "1.24.0" },
            &ProvisionError::NoDriver,
            &ProvisionError::RuntimeDamaged { kind: Kind::Cpu, reason: text() },
            &ProvisionError::Runtime(unusable()),
            &ProvisionError::NoBuild { kind: Kind::Cuda },
            &ProvisionError::Setup { kind: Kind::Cpu, reasons: vec![text(), text()] },
            &ProvisionError::Pip { message: text() },
            &ProvisionError::Package { path: path(), reason: text() },
        ],
    );
}

/// What every error must offer: it can cross threads, outlive its place, and say what caused it.
#[test]
fn errors_can_be_passed_on() {
    fn check<T: std::error::Error + Send + Sync + 'static>() {}
    check::<OnnxError>();
    check::<StoreError>();
    check::<HeadError>();
    check::<InputError>();
    check::<RecipeError>();
    check::<BackboneError>();
    check::<ItemError>();
    check::<Error>();
}
