//! What a user can do about an error, in the program's own commands and flags.

use headstart::backbone::BackboneError;
use headstart::head::HeadError;
use headstart::store::StoreError;
use headstart::{DatasetError, Error, Kind, ProvisionError, Unusable};

use crate::report;

/// What a user types to get a runtime.
pub(crate) fn setup_command(kind: Kind) -> String {
    match kind {
        Kind::Cpu => "headstart setup".to_owned(),
        kind => format!("headstart setup --device {kind}"),
    }
}

/// What goes behind an error's message: an empty line and a hint, or nothing.
pub(crate) fn after(err: &anyhow::Error) -> String {
    of(err).map(|it| format!("\n\n{it}")).unwrap_or_default()
}

/// What can be done about an error.
pub(crate) fn of(err: &anyhow::Error) -> Option<String> {
    err.downcast_ref().and_then(hint)
}

/// What a program tells an error by: the name of its kind, in small letters with dashes.
pub(crate) fn code(err: &anyhow::Error) -> String {
    let Some(err) = err.downcast_ref::<Error>() else { return "other".to_owned() };
    // Of an error within another the inner one: `Dataset(NoDataset { … })`.
    let text = format!("{err:?}");
    let mut name = "";
    let mut rest = text.as_str();
    while rest.starts_with(char::is_uppercase) {
        let end = rest.find(|it: char| !it.is_alphanumeric()).unwrap_or(rest.len());
        name = &rest[..end];
        rest = rest[end..].strip_prefix('(').unwrap_or("");
    }
    let mut code = String::new();
    for it in name.chars() {
        if it.is_uppercase() && !code.is_empty() {
            code.push('-');
        }
        code.extend(it.to_lowercase());
    }
    code
}

fn hint(err: &Error) -> Option<String> {
    Some(match err {
        Error::UnknownModel { .. } => "pass a path ending in .onnx for a file of your own".to_owned(),
        Error::OtherRows { .. } => {
            "--resume needs the same ones, in the same order, and the same model".to_owned()
        }
        Error::OtherKind { .. } => "--force replaces it".to_owned(),
        Error::TableFormat { .. } => "the ending says in which format".to_owned(),
        Error::Store(StoreError::FingerprintMismatch { differences, .. }) => {
            let table = of_space(differences, ["", "the store", "asked for"]);
            format!("{table}\n\nanother --store keeps both")
        }
        Error::Head(HeadError::FingerprintMismatch { differences }) => {
            of_space(differences, ["", "the head", "now"])
        }
        Error::NoSamples { .. } => "`headstart extract` fills a store".to_owned(),
        Error::MissingEmbeddings { .. } => "run `headstart extract` again".to_owned(),
        Error::Dataset(DatasetError::WhichAreClasses { .. }) => {
            "--label-from top makes the outer ones classes, --label-from parent the inner ones".to_owned()
        }
        Error::Dataset(DatasetError::SeveralColumns { .. } | DatasetError::MissingColumn { .. }) => {
            "--path-column and --label-columns name columns".to_owned()
        }
        Error::NoLabels { .. } => "--label-columns of `extract` and `train` names another column".to_owned(),
        Error::NothingHeldOut { .. } => {
            "`--split train` or `--split all` judges by those it was fitted on".to_owned()
        }
        Error::NotInMemory => "raise --max-memory, or fit a logistic one".to_owned(),
        Error::Provision(err) => return of_provision(err),
        Error::Device(it) => of_device(it),
        Error::Backbone(BackboneError::NotQuantized { .. }) => {
            "`headstart models quantize` makes one".to_owned()
        }
        _ => return None,
    })
}

/// A table of what differs between two embedding spaces.
fn of_space(differences: &[[String; 3]], titles: [&str; 3]) -> String {
    let rows = [titles.map(str::to_owned)].into_iter().chain(differences.iter().cloned());
    report::table(&rows.map(|it| it.to_vec()).collect::<Vec<_>>())
}

fn of_provision(err: &ProvisionError) -> Option<String> {
    let get = |kind: &Kind| setup_command(*kind);
    Some(match err {
        ProvisionError::NoDriver => format!("once there is a driver, run `{}`", setup_command(Kind::Cuda)),
        ProvisionError::NoRuntime { kind: kind @ Kind::Cpu, .. } => {
            format!("run `{}` to get it, or set ORT_DYLIB_PATH to a library", get(kind))
        }
        ProvisionError::NoRuntime { kind, .. } => {
            format!("run `{}` to get it, or set ORT_DYLIB_PATH to a library that has it", get(kind))
        }
        ProvisionError::RuntimeDamaged { kind, .. } => format!("run `{}` to mend it", get(kind)),
        ProvisionError::Runtime(it) => of_runtime(it),
        ProvisionError::NoBuild { .. } => {
            let needed = headstart::backbone::MINIMUM_VERSION;
            format!("set ORT_DYLIB_PATH to a library of version {needed} or newer that has it")
        }
        ProvisionError::Setup { .. } => {
            let needed = headstart::backbone::MINIMUM_VERSION;
            format!(
                "install Python's pip or connect to the internet, or set ORT_DYLIB_PATH to a library of version \
                 {needed} or newer"
            )
        }
        _ => return None,
    })
}

fn of_runtime(unusable: &Unusable) -> String {
    let command = setup_command(unusable.kind);
    if unusable.is_named {
        format!("ORT_DYLIB_PATH names it: set it to a library that works, or unset it and run `{command}`")
    } else {
        format!("run `{command}` to get one that works, or set ORT_DYLIB_PATH to a library")
    }
}

fn of_device(unusable: &Unusable) -> String {
    let command = setup_command(unusable.kind);
    if unusable.is_named {
        format!(
            "ORT_DYLIB_PATH names the runtime: unset it and run `{command}`, or name one that has the device"
        )
    } else {
        format!("`{command}` gets the libraries, or mends them; `headstart doctor` shows what is there")
    }
}
