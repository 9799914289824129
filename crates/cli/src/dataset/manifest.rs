//! Manifests: a row a picture, in CSV, TSV, JSON lines or Parquet.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use headstart_backbone::{Input, Listing};
use headstart_store::Failure;

use super::{Columns, absolute};

/// A manifest's rows, named fields each.
type Rows = Vec<Result<HashMap<String, String>, Failure>>;

/// Lists a manifest, its kind told by its extension.
pub(super) fn list(manifest: &Path, columns: &Columns) -> Result<Listing> {
    let extension = manifest.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let rows = match extension.as_str() {
        "csv" => read_delimited(manifest, b',', columns)?,
        "tsv" => read_delimited(manifest, b'\t', columns)?,
        "jsonl" | "ndjson" => read_json_lines(manifest, columns)?,
        "parquet" => {
            let required: Vec<&str> = columns.required().collect();
            let mut optional = vec!["split", "group"];
            optional.extend(columns.labels.iter().map(String::as_str).filter(|it| !required.contains(it)));
            let rows = headstart_store::read_text_columns(manifest, &required, &optional)?;
            rows.into_iter().map(Ok).collect()
        }
        _ => bail!(
            "{} is no folder and no manifest; expected .csv, .tsv, .jsonl, .ndjson or .parquet",
            manifest.display()
        ),
    };
    from_rows(manifest, rows, columns)
}

fn from_rows(manifest: &Path, rows: Rows, columns: &Columns) -> Result<Listing> {
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
            let path = format!("row {} of {}", index + 1, manifest.display());
            listing.unreadable.push(Failure { path, reason: format!("has no `{}`", columns.path) });
            continue;
        };
        // Spaces around a label are a habit of typing; around a path they may be part of it.
        let mut text =
            |name: &str| row.remove(name).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let path = match path.trim() {
            trimmed if trimmed != path && !folder.join(&path).exists() => trimmed.to_owned(),
            _ => path,
        };
        let labels: Vec<String> = columns.labels.iter().filter_map(|it| text(it)).collect();
        let (split, group) = (text("split"), text("group"));
        let label = (labels.len() == columns.labels.len()).then(|| labels.join("|"));
        listing.inputs.push(Input { file: folder.join(&path), path, label, split, group });
    }
    if let (true, Some(first)) = (listing.inputs.is_empty(), listing.unreadable.first()) {
        bail!("no row of {} can be used: {first}", manifest.display());
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
            Err(err) => {
                let path = format!("row {} of {}", index + 1, path.display());
                Err(Failure { path, reason: err.to_string() })
            }
        });
    }
    Ok(rows)
}

fn read_json_lines(path: &Path, columns: &Columns) -> Result<Rows> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rows = Rows::new();
    let mut names = BTreeSet::new();
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        let line = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| index == 0).unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let object: serde_json::Map<String, serde_json::Value> = match serde_json::from_slice(line) {
            Ok(object) => object,
            Err(err) => {
                let path = format!("line {} of {}", index + 1, path.display());
                rows.push(Err(Failure { path, reason: format!("is no JSON object: {err}") }));
                continue;
            }
        };
        names.extend(object.keys().cloned());
        let fields = object.into_iter().filter_map(|(name, value)| Some((name, text_of(&value)?)));
        rows.push(Ok(fields.collect()));
    }
    // A row may lack what others have.
    if !names.is_empty() {
        check_columns(path, &names.into_iter().collect::<Vec<_>>(), columns)?;
    }
    Ok(rows)
}

/// A JSON value as a manifest's text: several labels in an array are joined by `|`, none are a lone `|`.
fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(items) => {
            let texts: Vec<String> = items.iter().filter_map(text_of).collect();
            // None of the labels, which is not the same as not labelled.
            Some(if texts.is_empty() { "|".to_owned() } else { texts.join("|") })
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
