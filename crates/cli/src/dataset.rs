//! Datasets: folders, manifests, lists. Which files there are, and what is known of them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use headstart_backbone::Input;
use walkdir::WalkDir;

/// A listed dataset.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The inputs, sorted by path for a folder, else in the order they were listed.
    pub(crate) inputs: Vec<Input>,
    /// Absolute folder the paths are relative to.
    pub(crate) root: String,
    /// Files of a folder that are no pictures by their extension.
    pub(crate) n_ignored: usize,
    /// Entries of a folder or rows of a manifest that are no inputs, with the reason.
    pub(crate) unreadable: Vec<Unreadable>,
    /// How a folder was understood, in words.
    pub(crate) layout: Option<String>,
}

/// Where something is, and why it does not read.
pub(crate) type Unreadable = (String, String);

/// A manifest's rows, named fields each.
type Rows = Vec<Result<HashMap<String, String>, Unreadable>>;

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

const PICTURE_EXTENSIONS: [&str; 12] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib", "tif", "tiff", "apng"];

/// Names of top-level folders that are splits and not classes.
const SPLITS: [&str; 8] = ["train", "training", "val", "valid", "validation", "dev", "test", "testing"];

/// Lists a dataset: a folder, a manifest (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.parquet`), or `-` for a
/// list of paths on stdin, one a line, or separated by NUL.
pub(crate) fn list(dataset: &Path, columns: &Columns) -> Result<Listing> {
    if dataset == Path::new("-") {
        return from_stdin();
    }
    if dataset.is_dir() {
        return from_folder(dataset);
    }
    ensure!(dataset.exists(), "no dataset at {}", dataset.display());
    let extension = dataset.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let rows = match extension.as_str() {
        "csv" => read_delimited(dataset, b',', columns)?,
        "tsv" => read_delimited(dataset, b'\t', columns)?,
        "jsonl" | "ndjson" => read_json_lines(dataset, columns)?,
        "parquet" => {
            let required: Vec<&str> = columns.required().collect();
            let mut optional = vec!["split", "group"];
            optional.extend(columns.labels.iter().map(String::as_str).filter(|it| !required.contains(it)));
            let rows = headstart_store::read_text_columns(dataset, &required, &optional)?;
            rows.into_iter().map(Ok).collect()
        }
        _ => bail!(
            "{} is no folder and no manifest; expected .csv, .tsv, .jsonl, .ndjson or .parquet",
            dataset.display()
        ),
    };
    from_manifest(dataset, rows, columns)
}

fn from_folder(folder: &Path) -> Result<Listing> {
    let mut listing = Listing { root: absolute(folder)?, ..Listing::default() };
    let mut files = Vec::new();
    // Following links finds pictures kept elsewhere; walkdir notices loops.
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    for entry in entries.into_iter().filter_entry(|it| !is_hidden(it)) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if is_picture(entry.path()) => files.push(entry.into_path()),
            Ok(_) => listing.n_ignored += 1,
            Err(err) => {
                let path = err.path().unwrap_or(folder).strip_prefix(folder).unwrap_or(folder);
                let reason = match err.loop_ancestor() {
                    Some(ancestor) => format!("is a link back to {}", ancestor.display()),
                    None => {
                        err.io_error().map_or_else(|| err.to_string(), |it| format!("cannot be read: {it}"))
                    }
                };
                listing.unreadable.push((key(path), reason));
            }
        }
    }
    let relative: Vec<&Path> = files.iter().map(|it| it.strip_prefix(folder).unwrap_or(it)).collect();
    let has_splits = has_splits(folder, &relative)?;
    for (file, path) in files.iter().zip(relative) {
        let folders: Vec<String> = path
            .parent()
            .map(|it| it.components().map(|c| key(c.as_os_str().as_ref())).collect())
            .unwrap_or_default();
        let (split, label) = if has_splits {
            (folders.first().cloned(), folders.get(1).cloned())
        } else {
            (None, folders.first().cloned())
        };
        listing.inputs.push(Input { path: key(path), file: file.clone(), label, split, group: None });
    }
    listing.layout = Some(layout(&listing.inputs));
    Ok(listing)
}

/// `<split>/<class>/*`: every top-level folder with pictures is named like a split.
///
/// A class may well be called `train` or `test`; `train` and `test` beside a third folder are refused,
/// because either reading would be wrong for somebody without a word.
fn has_splits(folder: &Path, paths: &[&Path]) -> Result<bool> {
    let nested = paths.iter().filter(|it| it.components().count() > 1);
    let tops: BTreeSet<String> =
        nested.filter_map(|it| it.components().next()).map(|it| key(it.as_os_str().as_ref())).collect();
    let is_split = |it: &&String| SPLITS.contains(&it.to_lowercase().as_str());
    let (splits, others): (Vec<&String>, Vec<&String>) = tops.iter().partition(is_split);
    if let (true, Some(other)) = (splits.len() > 1, others.first()) {
        bail!(
            "{} has the splits {} and beside them the folder {other}; move that elsewhere, or list the pictures in a manifest",
            folder.display(),
            join(&splits)
        );
    }
    Ok(!splits.is_empty() && others.is_empty())
}

/// Splits and classes of a folder's pictures, in words.
fn layout(inputs: &[Input]) -> String {
    let splits: BTreeSet<&str> = inputs.iter().filter_map(|it| it.split.as_deref()).collect();
    let classes: BTreeSet<&str> = inputs.iter().filter_map(|it| it.label.as_deref()).collect();
    let mut text = match classes.len() {
        0 => "no classes (pictures lie in no folder of their own)".to_owned(),
        n => format!("{n} classes ({}{})", join(classes.iter().take(5)), if n > 5 { ", …" } else { "" }),
    };
    if !splits.is_empty() {
        text = format!("splits {}; {text}", join(&splits));
    }
    let unlabelled = inputs.iter().filter(|it| it.label.is_none()).count();
    if unlabelled > 0 && !classes.is_empty() {
        text = format!("{text}; {unlabelled} pictures without a class");
    }
    text
}

fn join<'a, T: AsRef<str> + 'a>(names: impl IntoIterator<Item = &'a T>) -> String {
    names.into_iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    PICTURE_EXTENSIONS.contains(&extension.as_str())
}

fn from_stdin() -> Result<Listing> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("cannot read the list on stdin")?;
    let separator = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths = bytes.split(|it| *it == separator).map(|it| it.strip_suffix(b"\r").unwrap_or(it));
    let inputs = paths.filter(|it| !it.is_empty()).map(|it| {
        let file = path_from_bytes(it);
        Input { path: key(&file), file, label: None, split: None, group: None }
    });
    Ok(Listing { inputs: inputs.collect(), root: absolute(Path::new("."))?, ..Listing::default() })
}

fn from_manifest(manifest: &Path, rows: Rows, columns: &Columns) -> Result<Listing> {
    let folder = manifest.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut listing = Listing { root: absolute(folder)?, ..Listing::default() };
    for (index, row) in rows.into_iter().enumerate() {
        let mut row = match row {
            Ok(row) => row,
            Err(unreadable) => {
                listing.unreadable.push(unreadable);
                continue;
            }
        };
        let Some(path) = row.remove(&columns.path).filter(|it| !it.is_empty()) else {
            let place = format!("row {} of {}", index + 1, manifest.display());
            listing.unreadable.push((place, format!("has no `{}`", columns.path)));
            continue;
        };
        let labels: Vec<String> =
            columns.labels.iter().filter_map(|it| row.remove(it)).filter(|it| !it.is_empty()).collect();
        let mut text = |name: &str| row.remove(name).filter(|it| !it.is_empty());
        let (split, group) = (text("split"), text("group"));
        let label = (labels.len() == columns.labels.len()).then(|| labels.join("|"));
        listing.inputs.push(Input { file: folder.join(&path), path, label, split, group });
    }
    if let (true, Some((place, reason))) = (listing.inputs.is_empty(), listing.unreadable.first()) {
        bail!("no row of {} can be used: {place} {reason}", manifest.display());
    }
    Ok(listing)
}

fn read_delimited(path: &Path, delimiter: u8, columns: &Columns) -> Result<Rows> {
    let reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_path(path);
    let mut reader = reader.with_context(|| format!("cannot read {}", path.display()))?;
    let header = reader.headers().with_context(|| format!("cannot read {}", path.display()))?.clone();
    let header: Vec<String> =
        header.iter().map(|it| it.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    check_columns(path, &header, columns)?;
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        rows.push(match record {
            Ok(record) => Ok(header.iter().cloned().zip(record.iter().map(str::to_owned)).collect()),
            Err(err) if err.is_io_error() => {
                return Err(err).with_context(|| format!("cannot read {}", path.display()));
            }
            Err(err) => Err((format!("row {} of {}", index + 1, path.display()), err.to_string())),
        });
    }
    Ok(rows)
}

fn read_json_lines(path: &Path, columns: &Columns) -> Result<Rows> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rows = Rows::new();
    let mut is_checked = false;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(&line) {
            Ok(object) => object,
            Err(err) => {
                let place = format!("line {} of {}", index + 1, path.display());
                rows.push(Err((place, format!("is no JSON object: {err}"))));
                continue;
            }
        };
        if !is_checked {
            check_columns(path, &object.keys().cloned().collect::<Vec<_>>(), columns)?;
            is_checked = true;
        }
        let fields = object.into_iter().filter_map(|(name, value)| Some((name, text_of(&value)?)));
        rows.push(Ok(fields.collect()));
    }
    Ok(rows)
}

/// A JSON value as a manifest's text: several labels in an array are joined by `|`.
fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(items) => {
            Some(items.iter().filter_map(text_of).collect::<Vec<_>>().join("|"))
        }
        other => Some(other.to_string()),
    }
}

fn check_columns(path: &Path, found: &[String], columns: &Columns) -> Result<()> {
    for name in columns.required() {
        ensure!(
            found.iter().any(|it| it == name),
            "{} has no column `{name}`; its columns are: {}",
            path.display(),
            found.join(", ")
        );
    }
    Ok(())
}

fn absolute(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(key(&folder))
}

/// A path as text, with `/` between folders; bytes that are no UTF-8 are written `\xNN`, so that two
/// different names never become the same text.
#[must_use]
pub(crate) fn key(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
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
