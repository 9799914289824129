//! `headstart completions`: what a shell completes commands and flags by.

use anyhow::Result;
use clap::Args;
use clap_complete::{Shell, generate};

use crate::{Ended, report};

/// Print what a shell completes commands and flags by: bash, elvish, fish, powershell, zsh.
///
/// For bash: headstart completions bash > ~/.local/share/bash-completion/completions/headstart
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Ended> {
    let mut script = Vec::new();
    generate(args.shell, &mut crate::command(), "headstart", &mut script);
    report::data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Ended::Good)
}
