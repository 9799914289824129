//! Datasets: folders, manifests, lists. Which files there are, and what is known of them.

mod columns;
mod delimited;
mod error;
mod folder;
mod kind;
mod labels;
mod layout;
mod manifest;
mod splits;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headstart_backbone::{Content, Input, Listing};
use headstart_input::InputKind;
use headstart_store::Failure;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::error::{Error, io};
use crate::event::Note;

pub use error::DatasetError;
pub(crate) use folder::Found;
pub use kind::kind_of;
pub use layout::{LabelFrom, Layout};
pub use manifest::is_manifest;

/// Longest line or record of a manifest, in bytes.
const MAX_ROW_BYTES: usize = 1 << 20;

/// A listed dataset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// The inputs, sorted by path for a folder, else in the order they were listed; entries of a folder or
    /// rows of a manifest that are no inputs are among the unreadable, and so are folders that hold files but
    /// no input.
    pub listing: Listing,
    /// What its inputs are.
    pub kind: InputKind,
    /// Files of a folder that are none.
    pub n_ignored: usize,
    /// How a folder was understood.
    pub layout: Option<Layout>,
    /// What its user should know of how it was read.
    pub notes: Vec<Note>,
}

/// How a dataset is to be read, where that is not plain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetConfig {
    /// What inputs are: what the backbone takes.
    pub kind: InputKind,
    /// Column of a manifest that holds texts. Default: the one of a usual name (`text`, `sentence`, `question`, …);
    /// without one, a manifest of texts names files.
    pub text_column: Option<String>,
    /// Column of a manifest that holds the path. Default: the one of a usual name (`path`, `filename`, `image`, …).
    pub path_column: Option<String>,
    /// Columns of a manifest that hold the label; several make several targets, or, where all hold only yes and
    /// no, several labels. Default: the one of a usual name (`label`, `class`, `target`, `category`, …).
    pub label_columns: Vec<String>,
    /// Texts that say that there is no label.
    pub missing: Vec<String>,
    /// What values of a manifest's column of splits stand for: `train`, `val`, `test`.
    pub splits: BTreeMap<String, String>,
    /// Which folder of a picture is its label. Default: the topmost, below splits.
    pub label_from: Option<LabelFrom>,
}

impl Dataset {
    /// Lists a dataset: a folder (`<class>/*` or `<split>/<class>/*`), or a manifest (`.csv`, `.tsv`,
    /// `.jsonl`, `.ndjson`, `.parquet` with columns path or text, label, split, group); of texts also a folder with
    /// a manifest for each split (`train.jsonl`, `test.jsonl`).
    ///
    /// A row or a line of a manifest has at most 1 MiB, a cell 32 KiB, a text 1 MiB.
    ///
    /// # Errors
    /// When it does not read, a manifest lacks a column that it needs or has several that could be meant, or
    /// folders can be understood in two ways. A row that is no input is among the listing's unreadable.
    pub fn open(dataset: impl AsRef<Path>, config: &DatasetConfig) -> Result<Self, Error> {
        let dataset = dataset.as_ref();
        let _span = tracing::info_span!("list", dataset = %dataset.display()).entered();
        let mut listed = if dataset.is_dir() {
            // Below, what does not read is a failure; here, it is all of them.
            std::fs::read_dir(dataset).map_err(io("read", dataset))?;
            match splits::manifests(dataset, config)? {
                Some(manifests) => splits::list(dataset, &manifests, config)?,
                None => folder::list(dataset, config)?,
            }
        } else if dataset.exists() {
            manifest::list(dataset, config)?
        } else {
            return Err(DatasetError::NoDataset { path: dataset.to_owned() }.into());
        };
        listed.listing.inputs.shrink_to_fit();
        listed.kind = config.kind;
        Ok(listed)
    }

    /// A list from stdin: of paths ([`from_list`](Self::from_list)), or of texts, one a line.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no current folder.
    pub fn from_stdin(list: &[u8], kind: InputKind) -> Result<Self, Error> {
        if kind != InputKind::Text {
            return Self::from_list(list);
        }
        let mut listing = Listing { root: absolute(Path::new("."))?, ..Listing::default() };
        let lines = list.split(|it| *it == b'\n').map(|it| it.strip_suffix(b"\r").unwrap_or(it));
        for (number, line) in (1..).zip(lines).filter(|it| !it.1.is_empty()) {
            let path = format!("-:{number}");
            match std::str::from_utf8(line) {
                Ok(text) => {
                    let content = Content::Text(text.into());
                    listing.inputs.push(Input { path, content, label: None, split: None, group: None });
                }
                Err(_) => listing.unreadable.push(Failure { path, reason: "is no UTF-8 text".to_owned() }),
            }
        }
        Ok(Self { listing, kind, ..Self::default() })
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
            Input { path: key(&file), content: Content::File(file), label: None, split: None, group: None }
        });
        let (root, unreadable) = (absolute(Path::new("."))?, Vec::new());
        let listing = Listing { inputs: inputs.collect(), root, unreadable };
        Ok(Self { listing, ..Self::default() })
    }

    /// Refuses a dataset without a single input, read or not.
    ///
    /// # Errors
    /// [`DatasetError::NoInputs`], which names `path`.
    pub fn check_not_empty(&self, path: &Path) -> Result<(), Error> {
        if self.listing.inputs.is_empty() && self.listing.unreadable.is_empty() {
            return Err(DatasetError::NoInputs { path: path.to_owned(), kind: self.kind }.into());
        }
        Ok(())
    }

    /// Refuses a dataset of which no input has a label: what is to be fitted is refused before it is embedded.
    ///
    /// # Errors
    /// [`Error::NoLabels`], which names `path`.
    pub fn check_labelled(&self, path: &Path) -> Result<(), Error> {
        let inputs = &self.listing.inputs;
        if !inputs.is_empty() && inputs.iter().all(|it| it.label.is_none()) {
            return Err(Error::NoLabels { path: path.to_owned(), n: inputs.len() });
        }
        Ok(())
    }
}

/// A name in the one form of Unicode in which equal ones are equal (NFC).
fn normalised(name: &str) -> String {
    if is_nfc(name) { name.to_owned() } else { name.nfc().collect() }
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
