//! Datasets: folders, manifests, lists. Which files there are, and what is known of them.

mod folder;
mod manifest;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headstart_backbone::{Input, Listing};

pub(crate) use folder::pictures;

/// A listed dataset.
#[derive(Debug, Default)]
pub(crate) struct Dataset {
    /// The inputs, sorted by path for a folder, else in the order they were listed; entries of a folder or
    /// rows of a manifest that are no inputs are among the unreadable.
    pub(crate) listing: Listing,
    /// Files of a folder that are no pictures by their extension.
    pub(crate) n_ignored: usize,
    /// How a folder was understood, in words.
    pub(crate) layout: Option<String>,
}

/// Columns of a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    /// Column of the path.
    pub(crate) path: String,
    /// Columns of the label; several are joined by `|`.
    pub(crate) labels: Vec<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { path: "path".to_owned(), labels: vec!["label".to_owned()] }
    }
}

impl Columns {
    /// Columns a manifest must have: the path, and those of the label that the user named.
    fn required(&self) -> impl Iterator<Item = &str> {
        let default = Self::default().labels;
        let named = self.labels.iter().filter(move |it| !default.contains(it));
        [self.path.as_str()].into_iter().chain(named.map(String::as_str))
    }
}

/// Lists a dataset: a folder, a manifest (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.parquet`), or `-` for a
/// list of paths on stdin, one a line, or separated by NUL.
pub(crate) fn list(dataset: &Path, columns: &Columns) -> Result<Dataset> {
    if dataset == Path::new("-") {
        return from_stdin();
    }
    let mut listed = if dataset.is_dir() {
        // Below, what does not read is a failure; here, it is all of them.
        std::fs::read_dir(dataset).with_context(|| format!("cannot read {}", dataset.display()))?;
        folder::list(dataset)?
    } else {
        ensure!(dataset.exists(), "no dataset at {}", dataset.display());
        Dataset { listing: manifest::list(dataset, columns)?, ..Dataset::default() }
    };
    listed.listing.inputs.shrink_to_fit();
    Ok(listed)
}

fn from_stdin() -> Result<Dataset> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read the list on stdin")?;
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths = bytes.split(|it| *it == separator).map(|it| it.strip_suffix(b"\r").unwrap_or(it));
    let inputs = paths.filter(|it| !it.is_empty()).map(|it| {
        let file = path_from_bytes(it);
        Input { path: key(&file), file, label: None, split: None, group: None }
    });
    let listing =
        Listing { inputs: inputs.collect(), root: absolute(Path::new("."))?, unreadable: Vec::new() };
    Ok(Dataset { listing, ..Dataset::default() })
}

fn absolute(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(key(&folder))
}

/// A path as text, with `/` between folders; bytes that are no UTF-8 are written `\xNN`, and a backslash
/// before an `x` is written `\x5c`, so that two different names never become the same text.
#[must_use]
pub(crate) fn key(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(&if cfg!(windows) {
            chunk.valid().to_owned()
        } else {
            chunk.valid().replace("\\x", "\\x5cx")
        });
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if cfg!(windows) { text.replace('\\', "/") } else { text }
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
