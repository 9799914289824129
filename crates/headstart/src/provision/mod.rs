//! ONNX Runtime: where it is found, and how it gets there.

mod builds;
mod error;
mod install;
mod network;

use std::fs::{self, File};
use std::path::PathBuf;

use headstart_backbone::{BackboneError, Device, MINIMUM_VERSION, Precision, Runtime, has_cuda_driver};

use crate::environment::Places;
use crate::error::{Error, io};
use crate::event::{Events, Note, note};
use builds::builds;
use install::{State, chain, check, cut_short, install};

pub use builds::Kind;
pub use error::{ProvisionError, Unusable};
pub(crate) use network::{download, hash_of};

/// Loads ONNX Runtime for a kind of device: the library that [`Places::runtime`] names, else the one in the cache.
///
/// # Errors
/// [`ProvisionError::NoRuntime`], [`ProvisionError::NoDriver`] when there is none; [`ProvisionError::RuntimeDamaged`],
/// [`ProvisionError::Runtime`] when it cannot be loaded.
pub fn load_runtime(kind: Kind, places: &Places) -> Result<Runtime, Error> {
    let path = find(kind, places)?.ok_or_else(|| match kind {
        Kind::Cuda if !has_cuda_driver() => ProvisionError::NoDriver,
        kind => ProvisionError::NoRuntime { kind, needed: MINIMUM_VERSION },
    })?;
    let is_named = places.runtime.is_some();
    // A library that is cut short is mapped all the same, and ends the process.
    if let (false, Some(reason)) = (is_named, cut_short(&path)) {
        return Err(ProvisionError::RuntimeDamaged { kind, reason }.into());
    }
    Runtime::load(&path).map_err(|cause| match cause {
        BackboneError::RuntimeMissing { .. }
        | BackboneError::RuntimeTooOld { .. }
        | BackboneError::RuntimeLoad { .. } => {
            ProvisionError::Runtime(Box::new(Unusable { kind, is_named, cause })).into()
        }
        cause => cause.into(),
    })
}

/// The ONNX Runtime library for a kind of device: the one that is named, else the one in the cache.
///
/// # Errors
/// [`Error::NoCache`].
pub(crate) fn find(kind: Kind, places: &Places) -> Result<Option<PathBuf>, Error> {
    match &places.runtime {
        Some(path) => Ok(Some(path.clone())),
        None => in_cache(kind, places),
    }
}

/// The library in the cache.
///
/// # Errors
/// [`Error::NoCache`].
pub(crate) fn in_cache(kind: Kind, places: &Places) -> Result<Option<PathBuf>, Error> {
    let folder = places.runtimes()?;
    Ok(builds(kind).map(|it| folder.join(it.folder).join(it.library)).find(|it| it.is_file()))
}

/// The device that `auto` takes for a precision, and why.
pub(crate) fn best_device(precision: Precision, places: &Places) -> Result<(Device, &'static str), Error> {
    let is_named = places.runtime.is_some();
    // With a library of the user's own, what is in the cache does not matter.
    let is_set_up = |kind| Ok::<_, Error>(!is_named && in_cache(kind, places)?.is_some());
    Ok(match precision {
        Precision::Bf16 => (Device::OpenVino, "the only one that computes in bf16"),
        Precision::F16 => (Device::Cuda(0), "the only one that computes in f16"),
        Precision::Int8 if is_set_up(Kind::Openvino)? => {
            (Device::OpenVino, "it is set up, and quicker with integers than ONNX Runtime's own kernels")
        }
        Precision::Int8 => {
            (Device::Cpu, "the one that computes in int8 as it is; OpenVINO is quicker, where it is set up")
        }
        Precision::F32 if is_named => {
            (Device::Cpu, "ORT_DYLIB_PATH names a library; asked for by its name, a GPU is tried with it")
        }
        Precision::F32 => match (is_set_up(Kind::Cuda)?, has_cuda_driver()) {
            (true, true) => (Device::Cuda(0), "its runtime is set up and its driver answers"),
            _ if is_set_up(Kind::Openvino)? && !is_set_up(Kind::Cpu)? => {
                (Device::OpenVino, "it is set up, and the runtime for the CPU alone is not")
            }
            (true, false) => (Device::Cpu, "CUDA is set up, but no driver answers"),
            (false, true) => (Device::Cpu, "there is a GPU, but no runtime for it; `setup` for CUDA gets it"),
            (false, false) => (Device::Cpu, "there is no GPU"),
        },
    })
}

/// Puts ONNX Runtime into the cache, once, and again where it is damaged: from Python wheels where there is
/// pip, else from the release archive. Two processes at once are safe: one waits for the other.
///
/// # Errors
/// [`ProvisionError::NoBuild`], [`ProvisionError::Setup`] when it cannot be had; [`Error::Io`], [`Error::NoCache`].
pub fn setup(kind: Kind, places: &Places, events: &mut Events<'_>) -> Result<PathBuf, Error> {
    let folder = places.runtimes()?;
    fs::create_dir_all(&folder).map_err(io("create", &folder))?;
    let lock_path = folder.join("setup.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(io("write", &lock_path))?;
    lock.lock().map_err(io("lock", &lock_path))?;
    let there = in_cache(kind, places)?;
    let state = there.as_ref().map_or(State::Unknown, |it| check(it));
    match &state {
        State::Good => return Ok(there.unwrap_or_default()),
        State::Unknown => {}
        State::Damaged(reason) => note(events, Note::RuntimeDamaged { reason: reason.clone() }),
    }
    if kind == Kind::Cuda && !has_cuda_driver() {
        note(events, Note::NoDriver);
    }
    let mut reasons = Vec::new();
    for build in builds(kind) {
        match install(build, &folder, events) {
            Ok(path) => {
                // Where another build took its place, the damaged one would still be found first.
                let left = there.as_ref().and_then(|it| it.parent()).filter(|it| Some(*it) != path.parent());
                left.map_or(Ok(()), |it| fs::remove_dir_all(it).map_err(io("remove", it)))?;
                return Ok(path);
            }
            Err(err) => {
                let reason = chain(&err);
                note(events, Note::BuildFailed { build: build.folder.to_owned(), reason: reason.clone() });
                reasons.push(reason);
            }
        }
    }
    match (there, state) {
        (Some(path), State::Unknown) => {
            note(events, Note::RuntimeUnchecked);
            Ok(path)
        }
        _ if reasons.is_empty() => Err(ProvisionError::NoBuild { kind }.into()),
        _ => Err(ProvisionError::Setup { kind, reasons }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_a_device_that_offers_the_precision() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16, Precision::Int8] {
            let (device, reason) = best_device(precision, &Places::from_environment()).unwrap();
            assert!(device.precisions().contains(&precision), "{precision}: {device}, {reason}");
        }
    }
}
