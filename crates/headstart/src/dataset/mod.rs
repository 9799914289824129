//! Datasets: folders, manifests, lists. Which files there are, and what is known of them.

mod folder;
mod manifest;

use std::path::{Path, PathBuf};

use headstart_backbone::{Input, Listing};

use crate::error::{Error, io};

pub use folder::Layout;
pub(crate) use folder::Pictures;

/// A listed dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// The inputs, sorted by path for a folder, else in the order they were listed; entries of a folder or
    /// rows of a manifest that are no inputs are among the unreadable.
    pub listing: Listing,
    /// Files of a folder that are no pictures by their extension.
    pub n_ignored: usize,
    /// How a folder was understood.
    pub layout: Option<Layout>,
}

/// Columns of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Column of the path. Default `path`.
    pub path: String,
    /// Columns of the label; several make several targets. Default `label`; where a row has none there,
    /// `labels` or `targets`, as a store's own table has them.
    pub labels: Vec<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self { path: "path".to_owned(), labels: vec!["label".to_owned()] }
    }
}

impl Dataset {
    /// Lists a dataset: a folder (`<class>/*` or `<split>/<class>/*`), or a manifest (`.csv`, `.tsv`,
    /// `.jsonl`, `.ndjson`, `.parquet` with columns path, label, split, group).
    ///
    /// # Errors
    /// When it does not read, or a manifest lacks a column that it needs. A row that is no input is among
    /// the listing's unreadable.
    pub fn open(dataset: impl AsRef<Path>, columns: &Columns) -> Result<Self, Error> {
        let dataset = dataset.as_ref();
        let mut listed = if dataset.is_dir() {
            // Below, what does not read is a failure; here, it is all of them.
            std::fs::read_dir(dataset).map_err(io("read", dataset))?;
            folder::list(dataset)?
        } else if dataset.exists() {
            Self { listing: manifest::list(dataset, columns)?, ..Self::default() }
        } else {
            return Err(Error::NoDataset { path: dataset.to_owned() });
        };
        listed.listing.inputs.shrink_to_fit();
        Ok(listed)
    }

    /// A list of paths, one a line, or separated by NUL; relative to the current folder.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no current folder.
    pub fn from_list(list: &[u8]) -> Result<Self, Error> {
        let separator = if list.contains(&0) { 0 } else { b'\n' };
        let paths = list.split(|it| *it == separator).map(|it| it.strip_suffix(b"\r").unwrap_or(it));
        let inputs = paths.filter(|it| !it.is_empty()).map(|path| {
            let file = path_from_bytes(path);
            Input { path: key(&file), file, label: None, split: None, group: None }
        });
        let (root, unreadable) = (absolute(Path::new("."))?, Vec::new());
        let listing = Listing { inputs: inputs.collect(), root, unreadable };
        Ok(Self { listing, ..Self::default() })
    }

    /// Refuses a dataset without a single input, read or not.
    ///
    /// # Errors
    /// [`Error::NoInputs`], which names `path`.
    pub fn check_not_empty(&self, path: &Path) -> Result<(), Error> {
        if self.listing.inputs.is_empty() && self.listing.unreadable.is_empty() {
            return Err(Error::NoInputs { path: path.to_owned() });
        }
        Ok(())
    }
}

fn absolute(folder: &Path) -> Result<String, Error> {
    Ok(key(&folder.canonicalize().map_err(io("read", folder))?))
}

/// A path as text, with `/` between folders; bytes that are no UTF-8 are written `\xNN`, and a backslash
/// before an `x` is written `\x5c`, so that two different names never become the same text.
#[must_use]
pub fn key(path: &Path) -> String {
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
