//! `headstart setup`: ONNX Runtime into the cache.

use anyhow::Result;
use clap::Args;

use crate::{Outcome, provision, report};

/// Get ONNX Runtime, once: from its Python wheel through pip, or from its release archive.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Say nothing when there is nothing to do.
    #[arg(long)]
    quiet: bool,
}

pub(crate) fn run(args: &SetupArgs) -> Result<Outcome> {
    let path = provision::setup()?;
    if !args.quiet {
        report::say(format!("ONNX Runtime is at {}", path.display()));
    }
    Ok(Outcome::Good)
}
