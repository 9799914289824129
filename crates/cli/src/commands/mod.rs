//! The commands: arguments, what they do, what they print.

pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod fit_head;
pub(crate) mod models;
pub(crate) mod predict;
mod quantize;
pub(crate) mod setup;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use headstart::store::Failure;
use headstart::{Columns, Dataset};

use crate::report;

/// A dataset by its path, or from stdin where that is `-`.
fn open_dataset(path: &Path, columns: &Columns) -> Result<Dataset> {
    if path != Path::new("-") {
        return Ok(Dataset::open(path, columns)?);
    }
    let mut list = Vec::new();
    std::io::stdin().lock().read_to_end(&mut list).context("cannot read the list on stdin")?;
    Ok(Dataset::from_list(&list)?)
}

/// Tells the first failures one by one.
fn say_first<'a>(failures: impl IntoIterator<Item = &'a Failure>) {
    for failure in failures.into_iter().take(5) {
        report::say(format!("  {failure}"));
    }
}
