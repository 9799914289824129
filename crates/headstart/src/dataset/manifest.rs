//! Manifests: a row a picture, in CSV, TSV, JSON lines or Parquet.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use headstart_backbone::{Input, Listing};
use headstart_store::{Cell, Failure, Label, read_columns};

use serde_json::Value;

use super::{Columns, absolute};
use crate::error::{Error, io};

/// A manifest's rows, named fields each.
type Rows = Vec<Result<HashMap<String, Cell>, Failure>>;

/// Lists a manifest, its kind told by its extension.
pub(super) fn list(manifest: &Path, columns: &Columns) -> Result<Listing, Error> {
    let extension = manifest.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    // Only a table of texts has no other way to write several labels than bars between them.
    let (rows, has_bars) = match extension.as_str() {
        "csv" => (read_delimited(manifest, b',', columns)?, true),
        "tsv" => (read_delimited(manifest, b'\t', columns)?, true),
        "jsonl" | "ndjson" => (read_json_lines(manifest, columns)?, false),
        "parquet" => (read_parquet(manifest, columns)?, false),
        _ => return Err(Error::NotAManifest { path: manifest.to_owned() }),
    };
    from_rows(manifest, rows, columns, has_bars)
}

fn from_rows(manifest: &Path, rows: Rows, columns: &Columns, has_bars: bool) -> Result<Listing, Error> {
    let folder = manifest.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut listing = Listing { root: absolute(folder)?, ..Listing::default() };
    let mut labels: Vec<Option<Labelled>> = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let mut row = match row {
            Ok(row) => row,
            Err(unreadable) => {
                listing.unreadable.push(unreadable);
                continue;
            }
        };
        let Some(path) = row.remove(&columns.path).map(text_of).filter(|it| !it.is_empty()) else {
            let path = format!("row {} of {}", index + 1, manifest.display());
            listing.unreadable.push(Failure { path, reason: format!("has no `{}`", columns.path) });
            continue;
        };
        // Spaces around a label are a habit of typing; around a path they may be part of it.
        let path = match path.trim() {
            trimmed if trimmed != path && !folder.join(&path).exists() => trimmed.to_owned(),
            _ => path,
        };
        let label = label_of(&mut row, columns, has_bars);
        if let Some(Labelled::Typed(Label::Numbers(numbers))) = &label
            && !numbers.iter().all(|it| it.is_finite())
        {
            let reason = "has a target that is no finite number".to_owned();
            listing.unreadable.push(Failure { path, reason });
            continue;
        }
        labels.push(label);
        let [split, group] = ["split", "group"].map(|it| trimmed(row.remove(it)));
        listing.inputs.push(Input { file: folder.join(&path), path, label: None, split, group });
    }
    if let (true, Some(first)) = (listing.inputs.is_empty(), listing.unreadable.first()) {
        return Err(Error::NoUsableRow { path: manifest.to_owned(), first: first.clone() });
    }
    settle(&mut listing.inputs, &labels, has_bars);
    Ok(listing)
}

/// Gives inputs their labels: what a text stands for depends on all of them.
fn settle(inputs: &mut [Input], labels: &[Option<Labelled>], has_bars: bool) {
    let texts =
        labels.iter().flatten().filter_map(|it| if let Labelled::Text(it) = it { Some(&**it) } else { None });
    let texts: Vec<&str> = texts.collect();
    let mut of_texts = Label::from_texts(texts.iter().copied()).collect::<Vec<_>>().into_iter();
    for (input, label) in inputs.iter_mut().zip(labels) {
        input.label = match label {
            Some(Labelled::Text(_)) => of_texts.next(),
            Some(Labelled::Typed(label)) => Some(label.clone()),
            None => None,
        };
    }
    let mut labels: Vec<&mut Label> = inputs.iter_mut().filter_map(|it| it.label.as_mut()).collect();
    // Lists that all hold one name; the bar in `cat|` says that there could be more.
    if !has_bars && labels.iter().all(|it| matches!(it, Label::Classes(names) if names.len() == 1)) {
        for label in &mut labels {
            if let Label::Classes(names) = &mut **label {
                **label = Label::Class(names.swap_remove(0));
            }
        }
    }
    Label::make_alike(labels);
}

/// What a row says of its label.
enum Labelled {
    /// A text, whose kind the whole column decides.
    Text(String),
    /// A list, which says it itself.
    Typed(Label),
}

fn label_of(row: &mut HashMap<String, Cell>, columns: &Columns, has_bars: bool) -> Option<Labelled> {
    if let [column] = &columns.labels[..] {
        return match row.remove(column)? {
            Cell::Texts(names) => Some(Labelled::Typed(Label::Classes(names))),
            Cell::Numbers(numbers) => Some(Labelled::Typed(Label::Numbers(numbers))),
            text if has_bars => trimmed(Some(text)).map(Labelled::Text),
            text => trimmed(Some(text)).map(|it| Labelled::Typed(Label::Class(it))),
        };
    }
    let texts: Vec<String> = columns.labels.iter().filter_map(|it| trimmed(row.remove(it))).collect();
    if texts.len() < columns.labels.len() {
        return None;
    }
    // As one text: whether these are numbers, all rows together say.
    Some(Labelled::Text(if has_bars { texts.join("|") } else { Label::Classes(texts).to_string() }))
}

/// The text of a cell without the spaces around it; none where nothing is left.
fn trimmed(cell: Option<Cell>) -> Option<String> {
    cell.map(|it| text_of(it).trim().to_owned()).filter(|it| !it.is_empty())
}

/// A cell where one text is wanted.
fn text_of(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        Cell::Texts(texts) => Label::Classes(texts).to_string(),
        Cell::Numbers(numbers) => Label::Numbers(numbers).to_string(),
    }
}

fn read_parquet(path: &Path, columns: &Columns) -> Result<Rows, Error> {
    let required: Vec<&str> = columns.required().collect();
    let labels = columns.labels.iter().map(String::as_str).filter(|it| !required.contains(it));
    let optional: Vec<&str> = ["split", "group"].into_iter().chain(labels).collect();
    let mut rows = read_columns(path, &required, &optional)?;
    // A store's own table has several labels, and numbers, in columns of their own.
    let label = Columns::default().labels.swap_remove(0);
    for own in ["labels", "targets"] {
        if *columns != Columns::default() || rows.iter().any(|it| it.contains_key(&label)) {
            break;
        }
        // In another's table, what has this name may be anything.
        let lists = read_columns(path, &[own], &[]).unwrap_or_default();
        for (row, mut cells) in rows.iter_mut().zip(lists) {
            let list = cells.remove(own).filter(|it| !matches!(it, Cell::Text(_)));
            row.extend(list.map(|it| (label.clone(), it)));
        }
    }
    Ok(rows.into_iter().map(Ok).collect())
}

fn read_delimited(path: &Path, delimiter: u8, columns: &Columns) -> Result<Rows, Error> {
    let reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_path(path);
    let failed = |source| Error::Csv { path: path.to_owned(), source };
    let mut reader = reader.map_err(failed)?;
    let header = reader.headers().map_err(failed)?.clone();
    let header: Vec<String> =
        header.iter().map(|it| it.trim_start_matches('\u{feff}').trim().to_owned()).collect();
    check_columns(path, &header, columns)?;
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        rows.push(match record {
            Ok(record) => {
                let cells = record.iter().map(|it| Cell::Text(it.to_owned()));
                Ok(header.iter().cloned().zip(cells).collect())
            }
            Err(err) if err.is_io_error() => return Err(failed(err)),
            Err(err) => {
                let path = format!("row {} of {}", index + 1, path.display());
                Err(Failure { path, reason: err.to_string() })
            }
        });
    }
    Ok(rows)
}

fn read_json_lines(path: &Path, columns: &Columns) -> Result<Rows, Error> {
    let file = File::open(path).map_err(io("read", path))?;
    let mut rows = Rows::new();
    let mut names = BTreeSet::new();
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(io("read", path))?;
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| index == 0).unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object: serde_json::Map<String, Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(err) => {
                let path = format!("line {} of {}", index + 1, path.display());
                rows.push(Err(Failure { path, reason: format!("is no JSON object: {err}") }));
                continue;
            }
        };
        names.extend(object.keys().cloned());
        let fields = object.into_iter().filter_map(|(name, value)| Some((name, cell(value)?)));
        rows.push(Ok(fields.collect()));
    }
    // A row may lack what others have.
    if !names.is_empty() {
        check_columns(path, &names.into_iter().collect::<Vec<_>>(), columns)?;
    }
    Ok(rows)
}

/// A JSON value as a cell: lists of numbers are numbers, other lists are texts. A number that is missing is NaN.
fn cell(value: Value) -> Option<Cell> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cell::Text(text)),
        Value::Array(items) => {
            let number = |it: &Value| if it.is_null() { Some(f64::NAN) } else { it.as_f64() };
            let numbers: Option<Vec<f64>> = items.iter().map(number).collect();
            let text = |it: Value| if let Value::String(it) = it { it } else { it.to_string() };
            Some(match numbers.filter(|it| it.iter().any(|it| !it.is_nan())) {
                Some(numbers) => Cell::Numbers(numbers),
                None => Cell::Texts(items.into_iter().filter(|it| !it.is_null()).map(text).collect()),
            })
        }
        other => Some(Cell::Text(other.to_string())),
    }
}

fn check_columns(path: &Path, found: &[String], columns: &Columns) -> Result<(), Error> {
    match columns.required().find(|name| found.iter().all(|it| it != name)) {
        Some(column) => {
            let (path, column, found) = (path.to_owned(), column.to_owned(), found.to_vec());
            Err(Error::MissingColumn { path, column, found })
        }
        None => Ok(()),
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
