//! Why a dataset cannot be listed.

use std::path::PathBuf;

use headstart_input::InputKind;
use headstart_store::Failure;

use crate::error::clip;

/// Why a dataset cannot be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// Nothing is at the dataset's path.
    #[error("no dataset at {}", path.display())]
    NoDataset {
        /// The path.
        path: PathBuf,
    },
    /// A file that is no manifest by its name.
    #[error("{} is no folder and no manifest; expected .csv, .tsv, .jsonl, .ndjson or .parquet", path.display())]
    NotAManifest {
        /// The file.
        path: PathBuf,
    },
    /// A manifest lacks a column.
    #[error("{} has no column `{}`; its columns are: {}", path.display(), clip(column), clip(&found.join(", ")))]
    MissingColumn {
        /// The manifest.
        path: PathBuf,
        /// The column.
        column: String,
        /// Columns that are there.
        found: Vec<String>,
    },
    /// A manifest has a column twice.
    #[error("{} has two columns `{column}`; rename one", path.display())]
    RepeatedColumn {
        /// The manifest.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A column was named for two things.
    #[error("the column `{column}` of {} was named twice; each can be one thing", path.display())]
    ColumnNamedTwice {
        /// The manifest.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A manifest has several columns that could be meant.
    #[error("{} has several columns that could be {what}: {}", path.display(), found.join(", "))]
    SeveralColumns {
        /// The manifest.
        path: PathBuf,
        /// `the path`, `the label`, …
        what: &'static str,
        /// The columns.
        found: Vec<String>,
    },
    /// A table of text does not read from a line on.
    #[error("line {line} of {} {reason}", path.display())]
    Table {
        /// The manifest.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What it does or has that it should not.
        reason: String,
    },
    /// A manifest without a usable row.
    #[error("no row of {} can be used: {first}", path.display())]
    NoUsableRow {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with the first.
        first: Failure,
    },
    /// A folder that has splits, and others beside them.
    #[error("{} has the splits {} and beside them the folder {other}; move that elsewhere, or list the pictures in a manifest", path.display(), splits.join(", "))]
    FolderBesideSplits {
        /// The dataset.
        path: PathBuf,
        /// Its splits.
        splits: Vec<String>,
        /// One of the others.
        other: String,
    },
    /// A folder whose own folders all hold the same ones: either could be the classes.
    #[error("the folders {} of {} all hold the same: {}; either could be the classes", some(folders), path.display(), some(inside))]
    WhichAreClasses {
        /// The dataset.
        path: PathBuf,
        /// Its folders.
        folders: Vec<String>,
        /// What each of them holds.
        inside: Vec<String>,
    },
    /// A dataset without an input.
    #[error("no {} in {}", kind.nouns()[1], path.display())]
    NoInputs {
        /// The dataset.
        path: PathBuf,
        /// What was looked for.
        kind: InputKind,
    },
}

/// The first of some names.
fn some(names: &[String]) -> String {
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(5)].join(", "))
}
