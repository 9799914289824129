//! Folders: which inputs there are, and what else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use headstart_backbone::{Content, Input, Listing};
use headstart_input::{FileFormat, InputKind};
use headstart_store::{Failure, Label};
use walkdir::WalkDir;

use super::layout::{Layout, Places};
use super::{Dataset, DatasetConfig, absolute, key};
use crate::error::Error;
use crate::event::Note;

/// The files of a folder, whatever its layout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Inputs, sorted.
    pub(crate) files: Vec<PathBuf>,
    /// Files that are none, sorted.
    pub(crate) others: Vec<PathBuf>,
    /// Topmost folders with no file in them, sorted.
    pub(crate) empty: Vec<PathBuf>,
    /// Entries that cannot be looked at, and inputs of formats that are not read, with the reason.
    pub(crate) unreadable: Vec<Failure>,
    /// How many inputs there are of each format that is not read.
    pub(crate) not_read: BTreeMap<&'static str, usize>,
}

impl Found {
    /// Lists the inputs of a folder and of those below it, hidden ones left out.
    ///
    /// A picture or a sound is what the ending of its name says; one with another ending, or none, what its first bytes
    /// say. What a camera keeps of a photo is left out where the photo lies beside it. A text is a file that ends in
    /// `.txt`.
    #[must_use]
    pub(crate) fn of_folder(folder: &Path, kind: InputKind) -> Self {
        let mut found = Self::default();
        let (mut folders, mut not_read) = (Vec::new(), Vec::new());
        // Following links finds pictures kept elsewhere; walkdir notices loops.
        let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in entries.into_iter().filter_entry(|it| !is_hidden(it)) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => folders.push(entry.into_path()),
                Ok(entry) => match format_of(kind, entry.path()) {
                    Some(FileFormat { is_read: true, .. }) => found.files.push(entry.into_path()),
                    Some(format) => not_read.push((entry.into_path(), format)),
                    None => found.others.push(entry.into_path()),
                },
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
        let files = found.files.iter().chain(&found.others).chain(not_read.iter().map(|it| &it.0));
        // What cannot be looked into may be full.
        let closed = found.unreadable.iter().flat_map(|it| Path::new(&it.path).ancestors());
        let full: BTreeSet<&Path> = files.flat_map(|it| it.ancestors().skip(1)).chain(closed).collect();
        for folder in folders.into_iter().filter(|it| !full.contains(it.as_path())) {
            if !found.empty.last().is_some_and(|it| folder.starts_with(it)) {
                found.empty.push(folder);
            }
        }
        let has_raw = not_read.iter().any(|it| it.1.is_camera_raw());
        let photos = found.files.iter().filter(|_| has_raw).map(|it| it.with_extension(""));
        let photos: BTreeSet<PathBuf> = photos.collect();
        for (path, format) in not_read {
            if format.is_camera_raw() && photos.contains(&path.with_extension("")) {
                found.others.push(path);
                continue;
            }
            *found.not_read.entry(format.name).or_default() += 1;
            let reason = headstart_input::InputError::FormatNotRead { kind, format: format.name }.to_string();
            found.unreadable.push(Failure { path: key(&path), reason });
        }
        found
    }
}

/// The first files of a folder and of those below it, hidden ones left out, each with how deep it lies.
pub(super) fn first_files(folder: &Path, n: usize) -> impl Iterator<Item = (usize, PathBuf)> {
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    let entries = entries.into_iter().filter_entry(|it| !is_hidden(it)).filter_map(Result::ok);
    let files = entries.filter(|it| it.file_type().is_file());
    files.take(n).map(|it| (it.depth(), it.into_path()))
}

/// The format of an input of a kind; none for a file that is none: not every `.hdr` or `.ico` is a picture.
fn format_of(kind: InputKind, path: &Path) -> Option<FileFormat> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let by_name = FileFormat::of_extension(kind, &extension);
    if kind == InputKind::Text || by_name.is_some_and(|it| it.is_told_by_name()) {
        return by_name;
    }
    let mut bytes = Vec::new();
    // One that cannot be opened is what its name says. A pipe is not opened: that would wait for its writer.
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        drop(file.take(FileFormat::N_BYTES as u64).read_to_end(&mut bytes));
    }
    let is_of_name = |it: &FileFormat| bytes.is_empty() || !it.is_told_by_bytes();
    FileFormat::of_bytes(kind, &bytes).or(by_name.filter(is_of_name))
}

/// Lists a folder as a dataset.
pub(super) fn list(folder: &Path, config: &DatasetConfig) -> Result<Dataset, Error> {
    let Found { files, others, empty, unreadable, not_read } = Found::of_folder(folder, config.kind);
    let below = |file: &Path| file.strip_prefix(folder).unwrap_or(file).to_owned();
    let places = Places::new(files.iter().map(|it| below(it)));
    let (layout, mut notes) = Layout::of(folder, &places, config.label_from)?;
    let prefix = key(folder);
    let prefix = prefix.trim_end_matches('/');
    let inside = |path: String| match path.strip_prefix(prefix).and_then(|it| it.strip_prefix('/')) {
        Some(inside) => inside.to_owned(),
        None => path,
    };
    let unreadable = unreadable.into_iter().map(|it| Failure { path: inside(it.path), ..it });
    let mut listing =
        Listing { root: absolute(folder)?, inputs: Vec::new(), unreadable: unreadable.collect() };
    if !not_read.is_empty() {
        let formats = not_read.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        notes.push(Note::FormatsNotRead { input_kind: config.kind, formats });
    }
    let could_be_class = |it: &Path| it.components().count() <= layout.label_depth;
    let empty = empty.iter().map(|it| below(it)).filter(|it| could_be_class(it)).map(|it| key(&it));
    let empty: Vec<String> = empty.collect();
    if !empty.is_empty() {
        notes.push(Note::EmptyFolders { folders: empty });
    }
    let others_below = others.iter().map(|it| below(it));
    let barren = barren_folders(&places, others_below, layout.label_depth, config.kind);
    for (file, place) in files.into_iter().zip(places.of_files()) {
        let (split, label) = layout.read(place);
        let (label, path) = (label.map(Label::Class), key(&below(&file)));
        listing.inputs.push(Input { path, content: Content::File(file), label, split, group: None });
    }
    // Where nothing is an input, that is said of the whole.
    if !listing.inputs.is_empty() {
        listing.unreadable.extend(barren);
    }
    Ok(Dataset { listing, n_ignored: others.len(), layout: Some(layout), notes, ..Dataset::default() })
}

/// Folders that could be a class's, and hold files but not one input.
fn barren_folders(
    places: &Places,
    others: impl Iterator<Item = PathBuf>,
    depth: usize,
    kind: InputKind,
) -> Vec<Failure> {
    let noun = kind.nouns()[0];
    let fertile: BTreeSet<&[String]> =
        places.folders.iter().flat_map(|it| (1..=it.len()).map(move |n| &it[..n])).collect();
    let mut barren: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for folders in Places::new(others).of_files() {
        // The topmost without an input, no deeper than classes are.
        let n = (1..=folders.len().min(depth)).find(|n| !fertile.contains(&folders[..*n]));
        if let Some(n) = n {
            *barren.entry(folders[..n].to_vec()).or_default() += 1;
        }
    }
    let failure = |(folders, n): (Vec<String>, usize)| {
        let files = if n == 1 { "1 file that is".to_owned() } else { format!("{n} files that are") };
        Failure { path: folders.join("/"), reason: format!("holds no {noun}, but {files} none") }
    };
    barren.into_iter().map(failure).collect()
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}
