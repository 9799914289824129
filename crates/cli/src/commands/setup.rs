//! `headstart setup`: ONNX Runtime into the cache.

use anyhow::Result;
use clap::Args;

use crate::provision::{self, Kind};
use crate::{Outcome, report};

/// Get ONNX Runtime, once: from its Python wheels through pip, or from its release archive.
///
/// What is there already is checked, and got again where it is damaged.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Kind of device it is for.
    #[arg(long, value_enum, default_value_t = Kind::Cpu)]
    device: Kind,
    /// Say nothing when there is nothing to do.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &SetupArgs) -> Result<Outcome> {
    let path = provision::setup(args.device)?;
    if !args.quiet {
        report::say(format!("ONNX Runtime is at {}", path.display()));
    }
    Ok(Outcome::Good)
}
