//! `headstart setup`: ONNX Runtime into the cache.

use anyhow::Result;
use clap::{Args, ValueEnum};
use headstart::{Kind, Places};

use crate::listener::Listener;
use crate::{Ended, report};

/// Get ONNX Runtime, once: from its Python wheels through pip, or from its release archive.
///
/// What is there already is checked, and got again where it is damaged.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Kind of device it is for.
    #[arg(long, value_enum, default_value_t = KindName::Cpu)]
    device: KindName,
    /// Say nothing when there is nothing to do.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// ONNX Runtime's own CPU kernels.
    Cpu,
    /// With OpenVINO and its libraries.
    Openvino,
    /// With CUDA, cuDNN and their libraries (1.7 GB to fetch).
    Cuda,
}

pub(crate) fn run(args: &SetupArgs, places: &Places) -> Result<Ended> {
    let kind = match args.device {
        KindName::Cpu => Kind::Cpu,
        KindName::Openvino => Kind::Openvino,
        KindName::Cuda => Kind::Cuda,
    };
    let mut listener = Listener::default();
    let path = headstart::setup(kind, places, &mut |it| listener.hear(it))?;
    if !args.quiet {
        report::say(format!("ONNX Runtime is at {}", path.display()));
    }
    Ok(Ended::Good)
}
