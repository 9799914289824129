//! What of folders and tables is an input, a class, a split, a label; and what is said of it.

mod folders;
mod tables;

use std::fs;
use std::path::Path;

use headstart_store::Label;
use tempfile::TempDir;

use super::{Dataset, DatasetConfig, LabelFrom};
use crate::error::Error;

/// The first bytes of a PNG and of a HEIC file.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0";

/// A folder with these files, each of the bytes of a PNG.
fn folder(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|it| write(folder.path(), it, PNG));
    folder
}

fn write(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn from(label_from: LabelFrom) -> DatasetConfig {
    DatasetConfig { label_from: Some(label_from), ..DatasetConfig::default() }
}

fn open(folder: &TempDir, config: &DatasetConfig) -> Result<Dataset, Error> {
    Dataset::open(folder.path(), config)
}

fn class(name: &str) -> Option<Label> {
    Some(Label::Class(name.to_owned()))
}

/// Split and label of every input, `-` where there is none.
fn read(dataset: &Dataset) -> Vec<String> {
    let text = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
    let input = |it: &headstart_backbone::Input| {
        format!("{} {}", text(&it.split), text(&it.label.as_ref().map(ToString::to_string)))
    };
    dataset.listing.inputs.iter().map(input).collect()
}

fn failures(dataset: &Dataset) -> Vec<String> {
    dataset.listing.unreadable.iter().map(ToString::to_string).collect()
}

/// A manifest, listed.
fn manifest(name: &str, bytes: impl AsRef<[u8]>, config: &DatasetConfig) -> Result<Dataset, Error> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), name, bytes.as_ref());
    Dataset::open(folder.path().join(name), config)
}

fn csv(text: &str) -> Dataset {
    manifest("a.csv", text, &DatasetConfig::default()).unwrap()
}
