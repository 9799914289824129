//! Manual pages of the program: the only module that names `clap_mangen`.

use std::fs;

use anyhow::{Context, Result};
use clap_mangen::generate_to;

use crate::{say, target};

/// Writes a page for the program and one for each of its commands.
pub(crate) fn write() -> Result<()> {
    let folder = target().join("man");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    generate_to(headstart_cli::command(), &folder)
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    let n_pages = fs::read_dir(&folder)?.count();
    say(&format!("{n_pages} pages in {}", folder.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(headstart_cli::command(), &folder).unwrap();
        for command in headstart_cli::command().get_subcommands() {
            let page = folder.path().join(format!("headstart-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains("SYNOPSIS"), "{}", page.display());
        }
    }
}
