//! Folders: pictures, and what their places say of splits and classes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use headstart_backbone::{Input, Listing};
use headstart_store::{Failure, Label};
use walkdir::WalkDir;

use super::{Dataset, absolute, key};
use crate::error::Error;

const PICTURE_EXTENSIONS: [&str; 12] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "apng"];

/// Names of top-level folders that are splits and not classes.
const SPLITS: [&str; 8] = ["train", "training", "val", "valid", "validation", "dev", "test", "testing"];

/// The pictures of a folder, whatever its layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pictures {
    /// The files, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Files that are no pictures by their extension.
    pub(crate) n_ignored: usize,
    /// Entries that cannot be looked at, with the reason.
    pub(crate) unreadable: Vec<Failure>,
}

/// How a folder was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of the splits, sorted.
    pub splits: Vec<String>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// Pictures that lie in no folder of a class.
    pub n_unlabelled: usize,
}

impl Pictures {
    /// Lists the pictures of a folder and of those below it, hidden ones left out.
    #[must_use]
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut found = Self::default();
        // Following links finds pictures kept elsewhere; walkdir notices loops.
        let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(|it| !is_hidden(it)) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) if is_picture(entry.path()) => found.files.push(entry.into_path()),
                Ok(_) => found.n_ignored += 1,
                Err(err) => {
                    let reason = match err.loop_ancestor() {
                        Some(ancestor) => format!("is a link back to {}", ancestor.display()),
                        None => err
                            .io_error()
                            .map_or_else(|| err.to_string(), |it| format!("cannot be read: {it}")),
                    };
                    found.unreadable.push(Failure { path: key(err.path().unwrap_or(folder)), reason });
                }
            }
        }
        found
    }
}

/// Lists a folder as a dataset.
pub(super) fn list(folder: &Path) -> Result<Dataset, Error> {
    let Pictures { files, n_ignored, unreadable } = Pictures::of_folder(folder);
    let prefix = key(folder);
    let prefix = prefix.trim_end_matches('/');
    let inside = |path: String| match path.strip_prefix(prefix).and_then(|it| it.strip_prefix('/')) {
        Some(inside) => inside.to_owned(),
        None => path,
    };
    let unreadable = unreadable.into_iter().map(|it| Failure { path: inside(it.path), ..it }).collect();
    let mut listing = Listing { root: absolute(folder)?, inputs: Vec::new(), unreadable };
    let has_splits = has_splits(folder, &files)?;
    for file in files {
        let path = file.strip_prefix(folder).unwrap_or(&file).to_owned();
        let folders: Vec<String> = path
            .parent()
            .map(|it| it.components().map(|c| key(c.as_os_str().as_ref())).collect())
            .unwrap_or_default();
        let (split, label) = if has_splits {
            (folders.first().cloned(), folders.get(1).cloned())
        } else {
            (None, folders.first().cloned())
        };
        let label = label.map(Label::Class);
        listing.inputs.push(Input { path: key(&path), file, label, split, group: None });
    }
    let layout = Some(layout(&listing.inputs));
    Ok(Dataset { listing, n_ignored, layout })
}

/// `<split>/<class>/*`: every top-level folder with pictures is named like a split.
///
/// A class may well be called `train` or `test`; `train` and `test` beside a third folder are refused,
/// because either reading would be wrong for somebody without a word.
fn has_splits(folder: &Path, files: &[PathBuf]) -> Result<bool, Error> {
    let paths = files.iter().map(|it| it.strip_prefix(folder).unwrap_or(it));
    let nested = paths.filter(|it| it.components().count() > 1);
    let tops: BTreeSet<String> =
        nested.filter_map(|it| it.components().next()).map(|it| key(it.as_os_str().as_ref())).collect();
    let is_split = |it: &&String| SPLITS.contains(&it.to_lowercase().as_str());
    let (splits, others): (Vec<&String>, Vec<&String>) = tops.iter().partition(is_split);
    if let (true, Some(other)) = (splits.len() > 1, others.first()) {
        return Err(Error::FolderBesideSplits {
            path: folder.to_owned(),
            splits: splits.into_iter().cloned().collect(),
            other: (*other).clone(),
        });
    }
    Ok(!splits.is_empty() && others.is_empty())
}

fn layout(inputs: &[Input]) -> Layout {
    let splits: BTreeSet<&String> = inputs.iter().filter_map(|it| it.split.as_ref()).collect();
    let class = |it: &Input| if let Some(Label::Class(it)) = &it.label { Some(it.clone()) } else { None };
    let classes: BTreeSet<String> = inputs.iter().filter_map(class).collect();
    Layout {
        splits: splits.into_iter().cloned().collect(),
        classes: classes.into_iter().collect(),
        n_unlabelled: inputs.iter().filter(|it| it.label.is_none()).count(),
    }
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    PICTURE_EXTENSIONS.contains(&extension.as_str())
}
