//! What a user can do about an error, in the program's own commands and flags.

use headstart::backbone::BackboneError;
use headstart::{DatasetError, Error, Kind, ProvisionError, Unusable};

/// What a user types to get a runtime.
pub(crate) fn setup_command(kind: Kind) -> String {
    match kind {
        Kind::Cpu => "headstart setup".to_owned(),
        kind => format!("headstart setup --device {kind}"),
    }
}

/// What goes behind an error's message: an empty line and a hint, or nothing.
pub(crate) fn after(err: &anyhow::Error) -> String {
    err.downcast_ref().and_then(hint).map(|it| format!("\n\n{it}")).unwrap_or_default()
}

fn hint(err: &Error) -> Option<String> {
    Some(match err {
        Error::UnknownModel { .. } => "pass a path ending in .onnx for a file of your own".to_owned(),
        Error::NoSamples { .. } => "`headstart extract` fills a store".to_owned(),
        Error::MissingEmbeddings { .. } => "run `headstart extract` again".to_owned(),
        Error::Dataset(DatasetError::WhichAreClasses { .. }) => {
            "--label-from top makes the outer ones classes, --label-from parent the inner ones".to_owned()
        }
        Error::Dataset(DatasetError::SeveralColumns { .. } | DatasetError::MissingColumn { .. }) => {
            "--path-column and --label-columns name columns".to_owned()
        }
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
