//! Inputs that have no embedding, in a file for each run: one JSON object a line.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::StoreError;
use crate::file;
use crate::run::Run;

/// An input that has no embedding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Failure {
    /// Path as the dataset names it.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// `path reason`, control characters escaped: a name must not write to a terminal.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{} {}", self.path, self.reason);
        text.chars().try_for_each(|it| match it {
            it if it.is_control() => write!(f, "{}", it.escape_default()),
            it => write!(f, "{it}"),
        })
    }
}

const STEM: &str = "failures";

/// `failures.jsonl` of a whole run, `failures-shard-….jsonl` of a shard.
pub(crate) fn path(dir: &Path, run: Run) -> PathBuf {
    match run {
        Run::Whole => dir.join(format!("{STEM}.jsonl")),
        Run::Shard { .. } => dir.join(format!("{STEM}-{run}.jsonl")),
    }
}

/// Replaces the list of a run; none is left when nothing failed.
pub(crate) fn write(path: &Path, run: Run, failures: &[Failure]) -> Result<(), StoreError> {
    if failures.is_empty() {
        return file::remove(path);
    }
    file::write_atomically(path, &run.to_string(), |file| {
        let mut out = std::io::BufWriter::new(file);
        for failure in failures {
            serde_json::to_writer(&mut out, failure)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    })
}

/// The lists of all runs, and whose each is.
pub(crate) fn lists(dir: &Path) -> Result<Vec<(PathBuf, Run)>, StoreError> {
    let run = |path: &PathBuf| {
        match path.file_name()?.to_str()?.strip_suffix(".jsonl")?.strip_prefix(STEM)? {
            "" => Some(Run::Whole),
            // Not what a user keeps as `failures-old.jsonl`.
            name => Run::parse(name.strip_prefix('-')?).filter(|it| *it != Run::Whole),
        }
    };
    Ok(file::list(dir)?.into_iter().filter_map(|it| run(&it).map(|run| (it, run))).collect())
}
