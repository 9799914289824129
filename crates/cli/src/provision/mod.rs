//! ONNX Runtime: where it is found, and how it gets there.

mod builds;
mod install;

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use headstart_backbone::{BackboneError, Device, MINIMUM_VERSION, Precision, Runtime, has_cuda_driver};

use crate::{folders, report};
use builds::builds;
use install::{State, check, cut_short, install};

pub(crate) use builds::Kind;

const NO_DRIVER: &str = "there is no NVIDIA driver, or it does not answer (version 525 or newer is needed)";

/// Loads ONNX Runtime for a device, from where [`find`] finds it.
pub(crate) fn load_runtime(kind: Kind) -> Result<Runtime> {
    let path = find_kind(kind)?.ok_or_else(|| match kind {
        Kind::Cpu => anyhow!(
            "no ONNX Runtime found; this program needs version {MINIMUM_VERSION} or newer\n\nrun `headstart setup` to get it, or set ORT_DYLIB_PATH to a library"
        ),
        Kind::Cuda if !has_cuda_driver() => anyhow!(
            "{NO_DRIVER}, and no ONNX Runtime for cuda found\n\nonce there is a driver, run `{}`",
            setup_command(kind)
        ),
        kind => anyhow!(
            "no ONNX Runtime for {kind} found\n\nrun `{}` to get it, or set ORT_DYLIB_PATH to a library that has it",
            setup_command(kind)
        ),
    })?;
    // A library that is cut short is mapped all the same, and ends the process.
    if let (false, Some(reason)) = (is_named(), cut_short(&path)) {
        bail!("{reason}\n\nrun `{}` to mend it", setup_command(kind));
    }
    Runtime::load(&path).map_err(|err| match err {
        BackboneError::RuntimeMissing { .. }
        | BackboneError::RuntimeTooOld { .. }
        | BackboneError::RuntimeLoad { .. } => {
            let command = setup_command(kind);
            let hint = if is_named() {
                format!(
                    "ORT_DYLIB_PATH names it: set it to a library that works, or unset it and run `{command}`"
                )
            } else {
                format!("run `{command}` to get one that works, or set ORT_DYLIB_PATH to a library")
            };
            anyhow!("{:#}\n\n{hint}", anyhow::Error::new(err))
        }
        err => err.into(),
    })
}

/// What a user types to get a runtime.
pub(crate) fn setup_command(kind: Kind) -> String {
    match kind {
        Kind::Cpu => "headstart setup".to_owned(),
        kind => format!("headstart setup --device {kind}"),
    }
}

/// Whether the user has named a library.
pub(crate) fn is_named() -> bool {
    env::var_os("ORT_DYLIB_PATH").is_some_and(|it| !it.is_empty())
}

/// The ONNX Runtime library for the CPU: `ORT_DYLIB_PATH`, else the one that `headstart setup` put into
/// the cache.
///
/// # Errors
/// When there is no home folder to have a cache in, and `HEADSTART_CACHE` is not set.
pub fn find() -> Result<Option<PathBuf>> {
    find_kind(Kind::Cpu)
}

fn find_kind(kind: Kind) -> Result<Option<PathBuf>> {
    match env::var_os("ORT_DYLIB_PATH").filter(|it| !it.is_empty()) {
        Some(path) => Ok(Some(PathBuf::from(path))),
        None => in_cache(kind),
    }
}

/// The library in the cache.
fn in_cache(kind: Kind) -> Result<Option<PathBuf>> {
    let folder = folders::cache()?.join("runtime");
    Ok(builds(kind).map(|it| folder.join(it.folder).join(it.library)).find(|it| it.is_file()))
}

/// The device that `auto` takes for a precision, and why.
pub(crate) fn best_device(precision: Precision) -> Result<(Device, &'static str)> {
    // With a library of the user's own, what is in the cache does not matter.
    let is_set_up = |kind| Ok::<_, anyhow::Error>(!is_named() && in_cache(kind)?.is_some());
    Ok(match precision {
        Precision::Bf16 => (Device::OpenVino, "the only one that computes in bf16"),
        Precision::F16 => (Device::Cuda(0), "the only one that computes in f16"),
        Precision::Int8 if is_set_up(Kind::Openvino)? => {
            (Device::OpenVino, "it is set up, and quicker with integers than ONNX Runtime's own kernels")
        }
        Precision::Int8 => {
            (Device::Cpu, "the one that computes in int8 as it is; OpenVINO is quicker, where it is set up")
        }
        Precision::F32 if is_named() => {
            (Device::Cpu, "ORT_DYLIB_PATH names a library; --device cuda tries its GPU")
        }
        Precision::F32 => match (is_set_up(Kind::Cuda)?, has_cuda_driver()) {
            (true, true) => (Device::Cuda(0), "its runtime is set up and its driver answers"),
            _ if is_set_up(Kind::Openvino)? && !is_set_up(Kind::Cpu)? => {
                (Device::OpenVino, "it is set up, and the runtime for the CPU alone is not")
            }
            (true, false) => (Device::Cpu, "CUDA is set up, but no driver answers"),
            (false, true) => {
                (Device::Cpu, "there is a GPU; `headstart setup --device cuda` gets its runtime")
            }
            (false, false) => (Device::Cpu, "there is no GPU"),
        },
    })
}

/// The kinds of runtime, and where each is.
pub(crate) fn found() -> Result<Vec<(Kind, Option<PathBuf>)>> {
    Kind::value_variants().iter().map(|kind| Ok((*kind, in_cache(*kind)?))).collect()
}

/// Puts ONNX Runtime into the cache, once, and again where it is damaged: from Python wheels where there is
/// pip, else from the release archive. Two processes at once are safe: one waits for the other.
pub(crate) fn setup(kind: Kind) -> Result<PathBuf> {
    let folder = folders::cache()?.join("runtime");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock_path = folder.join("setup.lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.with_context(|| format!("cannot write {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    let there = in_cache(kind)?;
    let state = there.as_ref().map_or(State::Unknown, |it| check(it));
    match &state {
        State::Good => return Ok(there.unwrap_or_default()),
        State::Unknown => {}
        State::Damaged(reason) => report::say(format!("{reason}; getting it again")),
    }
    if kind == Kind::Cuda && !has_cuda_driver() {
        report::say(format!("{NO_DRIVER}: the libraries alone do not make CUDA work"));
    }
    let mut reasons = Vec::new();
    for build in builds(kind) {
        match install(build, &folder) {
            Ok(path) => {
                // Where another build took its place, the damaged one would still be found first.
                let left = there.as_ref().and_then(|it| it.parent()).filter(|it| Some(*it) != path.parent());
                left.map_or(Ok(()), fs::remove_dir_all).context("cannot remove the damaged runtime")?;
                return Ok(path);
            }
            Err(err) => {
                report::say(format!("{}: {err:#}", build.folder));
                reasons.push(format!("{err:#}"));
            }
        }
    }
    if let (Some(path), State::Unknown) = (&there, &state) {
        report::say(
            "nothing says whether what is there is whole, and it could not be got again: it is left as it is",
        );
        return Ok(path.clone());
    }
    let (os, arch) = (env::consts::OS, env::consts::ARCH);
    let hint = format!("set ORT_DYLIB_PATH to a library of version {MINIMUM_VERSION} or newer");
    if reasons.is_empty() {
        bail!("no pinned ONNX Runtime for {kind} on {os} ({arch}); {hint} that has it");
    }
    bail!(
        "cannot get ONNX Runtime for {kind}: {}\n\ninstall Python's pip or connect to the internet, or {hint}",
        reasons.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_a_device_that_offers_the_precision() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16, Precision::Int8] {
            let (device, reason) = best_device(precision).unwrap();
            assert!(device.precisions().contains(&precision), "{precision}: {device}, {reason}");
        }
    }
}
