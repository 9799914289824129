//! Manifests: a row an input, in CSV, TSV, JSON lines or Parquet.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use headstart_backbone::{Content, Input, Listing};
use headstart_store::{Cell, Failure, column_names, read_columns_within};
use serde_json::Value;

use super::columns::Columns;
use super::delimited::Delimited;
use super::labels::{Said, settle};
use super::{Dataset, DatasetConfig, DatasetError, MAX_ROW_BYTES, absolute, key};
use crate::error::{Error, clip, io};
use crate::event::Note;

/// The rows of a manifest, of the columns that are read.
struct Table {
    columns: Columns,
    /// Each with its number, or why it is none.
    rows: Vec<(usize, Result<Row, String>)>,
    /// What that is the number of: `line` or `row`.
    unit: &'static str,
    /// Whether its texts have no other way to say several than bars between them.
    has_bars: bool,
    notes: Vec<Note>,
}

/// A cell for each of the columns.
type Row = Vec<Option<Cell>>;

/// How a manifest is written.
enum Form {
    /// With this between fields, as a rule.
    Delimited(u8),
    JsonLines,
    Parquet,
}

/// The form that a manifest's extension tells.
fn form_of(path: &Path) -> Option<Form> {
    match path.extension()?.to_string_lossy().to_lowercase().as_str() {
        "csv" => Some(Form::Delimited(b',')),
        "tsv" | "tab" => Some(Form::Delimited(b'\t')),
        "jsonl" | "ndjson" => Some(Form::JsonLines),
        "parquet" => Some(Form::Parquet),
        _ => None,
    }
}

/// Whether a path is that of a manifest, by its extension: `.csv`, `.tsv`, `.tab`, `.jsonl`, `.ndjson`, `.parquet`.
#[must_use]
pub fn is_manifest(path: &Path) -> bool {
    form_of(path).is_some()
}

/// Lists a manifest, its form told by its extension.
pub(super) fn list(manifest: &Path, config: &DatasetConfig) -> Result<Dataset, Error> {
    let table = match form_of(manifest) {
        Some(Form::Delimited(usual)) => read_delimited(manifest, usual, config)?,
        Some(Form::JsonLines) => read_json_lines(manifest, config)?,
        Some(Form::Parquet) => read_parquet(manifest, config)?,
        None => return Err(DatasetError::NotAManifest { path: manifest.to_owned() }.into()),
    };
    from_rows(manifest, table, config)
}

fn from_rows(manifest: &Path, table: Table, config: &DatasetConfig) -> Result<Dataset, Error> {
    let folder = manifest.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = manifest.file_name().unwrap_or_default();
    let mut listing = Listing { root: absolute(folder)?, ..Listing::default() };
    let Table { mut columns, rows, unit, has_bars, mut notes } = table;
    let mut said = Vec::new();
    for (number, row) in rows {
        let at = |reason: String| Failure {
            path: format!("{unit} {number} of {}", manifest.display()),
            reason: clip(&reason),
        };
        let mut row = match row {
            Ok(row) => row,
            Err(reason) => {
                listing.unreadable.push(at(reason));
                continue;
            }
        };
        if let Some((name, n)) = too_long(&columns, &row) {
            listing.unreadable.push(at(format!("has {n} bytes in `{name}`, more than a cell may have")));
            continue;
        }
        let cells = columns.cells(&mut row);
        let Some(content) = cells.content.take().map(|it| it.to_string()).filter(|it| !it.is_empty()) else {
            listing.unreadable.push(at(format!("has no `{}`", columns.names[0])));
            continue;
        };
        let (path, content) = match columns.is_text {
            true => (format!("{}:{number}", key(name.as_ref())), Content::Text(content.into())),
            false => named(folder, content),
        };
        match Said::of(cells.labels, config) {
            Ok(label) => said.push(label),
            Err(reason) => {
                listing.unreadable.push(Failure { path, reason });
                continue;
            }
        }
        let [split, group] = columns.split_and_group(cells.others).map(trimmed);
        let split = split.map(|it| config.splits.get(&it).cloned().unwrap_or(it));
        listing.inputs.push(Input { path, content, label: None, split, group });
    }
    if let (true, Some(first)) = (listing.inputs.is_empty(), listing.unreadable.first()) {
        return Err(DatasetError::NoUsableRow { path: manifest.to_owned(), first: first.clone() }.into());
    }
    let splits = listing.inputs.iter().filter_map(|it| it.split.as_deref());
    if config.splits.is_empty()
        && let Some(note) = columns.doubt_split(splits)
    {
        listing.inputs.iter_mut().for_each(|it| it.split = None);
        notes.push(note);
    }
    notes.splice(0..0, columns.note());
    let names = &columns.names[1..=columns.n_labels];
    settle(&mut listing.inputs, said, names, has_bars, &mut notes);
    Ok(Dataset { listing, notes, ..Dataset::default() })
}

/// The file at a path of a manifest.
fn named(folder: &Path, path: String) -> (String, Content) {
    // Spaces around a label are a habit of typing; around a path they may be part of it.
    let path = match path.trim() {
        trimmed if trimmed != path && !folder.join(&path).exists() => trimmed.to_owned(),
        _ => path,
    };
    let file = folder.join(&path);
    (path, Content::File(file))
}

/// The first cell that is longer than a cell may be, and its length.
fn too_long<'a>(columns: &'a Columns, row: &Row) -> Option<(&'a str, usize)> {
    columns.names.iter().zip(row).find_map(|(name, cell)| match cell {
        Some(Cell::TooLong(n)) => Some((name.as_str(), *n)),
        _ => None,
    })
}

/// The text of a cell without the spaces around it; none where nothing is left.
pub(super) fn trimmed(cell: Option<Cell>) -> Option<String> {
    cell.map(|it| it.to_string().trim().to_owned()).filter(|it| !it.is_empty())
}

fn read_parquet(path: &Path, config: &DatasetConfig) -> Result<Table, Error> {
    let columns = Columns::find(path, &column_names(path)?, config)?;
    let names = columns.names.iter().enumerate();
    let wanted: Vec<(&str, usize)> =
        names.map(|(place, name)| (name.as_str(), columns.max_cell_bytes(place))).collect();
    let rows = (1..).zip(read_columns_within(path, &wanted)?.into_iter().map(Ok)).collect();
    Ok(Table { columns, rows, unit: "row", has_bars: false, notes: Vec::new() })
}

fn read_delimited(path: &Path, usual: u8, config: &DatasetConfig) -> Result<Table, Error> {
    let mut table = Delimited::open(path, usual)?;
    let columns = Columns::find(path, &table.header, config)?;
    let mut notes = Vec::new();
    if table.delimiter != usual || table.is_utf16 {
        notes.push(Note::TableReadAs { delimiter: char::from(table.delimiter), is_utf16: table.is_utf16 });
    }
    let place = |name: &String| table.header.iter().position(|it| it == name).expect("it was found");
    let places: Vec<usize> = columns.names.iter().map(place).collect();
    let mut rows = Vec::new();
    while let Some((line, fields)) = table.next_record(path)? {
        let cell = |fields: &Vec<String>, (place, field): (usize, &usize)| {
            Some(Cell::Text(fields[*field].clone()).within(columns.max_cell_bytes(place)))
        };
        let row = |fields| places.iter().enumerate().map(|it| cell(&fields, it)).collect();
        rows.push((line, fields.map(row)));
    }
    Ok(Table { columns, rows, unit: "line", has_bars: true, notes })
}

fn read_json_lines(path: &Path, config: &DatasetConfig) -> Result<Table, Error> {
    let mut objects = Vec::new();
    let (mut names, mut known): (Vec<String>, HashSet<String>) = Default::default();
    for_each_line(path, &mut |number, line| {
        let object = line.and_then(|line| {
            serde_json::from_slice::<serde_json::Map<String, Value>>(line)
                .map_err(|err| format!("is no JSON object: {err}"))
        });
        if let Ok(object) = &object {
            names.extend(object.keys().filter(|it| known.insert((*it).clone())).cloned());
        }
        objects.push((number, object));
    })?;
    // Nothing that reads: what is wrong with the first line says more than a column that is missing.
    if let ([], Some((number, Err(reason)))) = (&names[..], objects.first()) {
        let first = Failure { path: format!("line {number} of {}", path.display()), reason: clip(reason) };
        return Err(DatasetError::NoUsableRow { path: path.to_owned(), first }.into());
    }
    let columns = Columns::find(path, &names, config)?;
    // A row may lack what others have.
    let row = |mut object: serde_json::Map<String, Value>| {
        let mut bounded = |(place, name): (usize, &String)| {
            object.remove(name).and_then(cell).map(|it| it.within(columns.max_cell_bytes(place)))
        };
        columns.names.iter().enumerate().map(&mut bounded).collect()
    };
    let rows = objects.into_iter().map(|(number, it)| (number, it.map(row))).collect();
    Ok(Table { columns, rows, unit: "line", has_bars: false, notes: Vec::new() })
}

/// What is called with the number of a line and its bytes, or what is wrong with it.
type VisitLine<'a> = dyn FnMut(usize, Result<&[u8], String>) + 'a;

/// Visits the lines of a file that are not empty, numbered from 1; of one that is too long, that it is.
fn for_each_line(path: &Path, visit: &mut VisitLine<'_>) -> Result<(), Error> {
    let mut reader = BufReader::new(File::open(path).map_err(io("read", path))?);
    let limit = MAX_ROW_BYTES as u64 + 1;
    for number in 1.. {
        let mut line = Vec::new();
        if reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(io("read", path))? == 0 {
            break;
        }
        if line.len() > MAX_ROW_BYTES && line.last() != Some(&b'\n') {
            reader.skip_until(b'\n').map_err(io("read", path))?;
            visit(number, Err(format!("is longer than {MAX_ROW_BYTES} bytes")));
            continue;
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1).unwrap_or(&line);
        if !line.trim_ascii().is_empty() {
            visit(number, Ok(line));
        }
    }
    Ok(())
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
