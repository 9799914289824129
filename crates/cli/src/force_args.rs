//! Whether a file of another kind may be replaced, as an argument.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use headstart::{OutKind, check_out};

/// Whether a file of another kind may be replaced.
#[derive(Debug, Clone, Args)]
pub(crate) struct ForceArgs {
    /// Write there even where a file of another kind is.
    #[arg(long)]
    force: bool,
}

impl ForceArgs {
    /// Refuses a place where no file of this kind can be put, before anything is computed for it.
    pub(crate) fn check(&self, out: &Path, kind: OutKind) -> Result<()> {
        Ok(check_out(out, if self.force { OutKind::Any } else { kind })?)
    }
}
