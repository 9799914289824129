//! Predictions as rows of JSON or CSV, in a file that can be gone on with after a kill.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use headstart_head::{Outputs, Prediction, Task};
use headstart_store::Label;
use serde_json::{Value, json};

use crate::error::{Error, io as io_error};

/// Largest difference of a score to the one that a file has of the same input: batches and devices round otherwise.
const SAME_SCORE: f64 = 1e-4;

/// Longest row of a file that is gone on with.
const MAX_ROW_BYTES: u64 = 64 << 20;

/// Version of what is written as JSON (`docs/json`), rows among it: raised where something goes, or means something
/// else.
pub const JSON_VERSION: u32 = 1;

/// What rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// A JSON object a line, with all scores, or with an error.
    Json,
    /// A header, then a line a row: path, label, a column for each label, error.
    Csv,
}

/// Predictions as rows, each a line with its end.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionRows {
    outputs: Outputs,
    format: RowFormat,
}

/// What a file that is gone on with has.
#[derive(Debug, Default)]
pub struct Resumed {
    /// The file, to write behind its last whole row.
    pub file: Option<File>,
    /// Rows, those of errors among them.
    pub n_rows: usize,
    /// Rows of errors.
    pub n_failed: usize,
    /// The least sure row that is none, and its place: what is said of that input now shows whether the model is the
    /// same.
    pub check: Option<(usize, String)>,
    /// Whether it has a header, or needs none.
    pub has_header: bool,
}

impl PredictionRows {
    /// Rows of what `outputs` say.
    #[must_use]
    pub fn new(outputs: Outputs, format: RowFormat) -> Self {
        Self { outputs, format }
    }

    /// What stands above the rows.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        let labels = self.outputs.labels.iter().map(String::as_str);
        let label = self.has_labels().then_some("label");
        let columns = ["path"].into_iter().chain(label).chain(labels).chain(["error"]);
        (self.format == RowFormat::Csv).then(|| csv_line(columns))
    }

    /// The row of an input.
    #[must_use]
    pub fn row(&self, path: &str, prediction: &Prediction) -> String {
        if self.format == RowFormat::Json {
            let mut object = self.outputs.to_json(prediction);
            object.insert("path".to_owned(), path.into());
            object.insert("version".to_owned(), JSON_VERSION.into());
            return format!("{}\n", Value::Object(object));
        }
        let given = self.has_labels().then(|| self.given(prediction));
        let scores = prediction.scores.iter().map(f64::to_string);
        csv_line([path.to_owned()].into_iter().chain(given).chain(scores).chain([String::new()]))
    }

    /// The row of an input that nothing can be said of.
    #[must_use]
    pub fn error_row(&self, path: &str, reason: &str) -> String {
        if self.format == RowFormat::Json {
            return format!("{}\n", json!({"path": path, "error": reason, "version": JSON_VERSION}));
        }
        let n_empty = self.outputs.labels.len() + usize::from(self.has_labels());
        let empty = std::iter::repeat_n("", n_empty);
        csv_line([path].into_iter().chain(empty).chain([reason]))
    }

    /// Goes on with a file: its rows must be those of the first inputs, which `name` names. A row that a kill cut off
    /// goes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::OtherRows`] where they are of other inputs, or of another model.
    pub fn resume(&self, path: &Path, name: &dyn Fn(usize) -> Option<String>) -> Result<Resumed, Error> {
        let failed = |err| io_error("go on with", path)(err);
        let other = |reason: String| Error::OtherRows { path: path.to_owned(), reason };
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(failed)?;
        let (mut resumed, mut least_sure, mut end_of_rows) = (Resumed::default(), f64::INFINITY, 0);
        let mut header = self.header();
        for row in Rows::new(self.format, &file).map_err(failed)? {
            let (line, end) = row.map_err(failed)?;
            end_of_rows = end;
            if let Some(header) = header.take() {
                if line != header {
                    return Err(other(
                        "it has other columns than this model's; it was made by another".to_owned(),
                    ));
                }
                continue;
            }
            let index = resumed.n_rows;
            let (row, expected) = (self.read(&line), name(index));
            let found = row.as_ref().map(|it| it.path.clone());
            if found.is_none() || found != expected {
                let words = |it: Option<String>| it.unwrap_or_else(|| "nothing".to_owned());
                let (number, found, expected) = (index + 1, words(found), words(expected));
                return Err(other(format!(
                    "row {number} is of {found}, the inputs given have {expected} there"
                )));
            }
            match row {
                Some(row) if row.is_error => resumed.n_failed += 1,
                Some(row) => {
                    // Numbers of the least sure row tell heads apart; those of sure ones are all 0 and 1.
                    let sure = row.scores.values().fold(0.0_f64, |max, it| max.max(*it));
                    if sure < least_sure {
                        least_sure = sure;
                        resumed.check = Some((index, line));
                    }
                }
                None => {}
            }
            resumed.n_rows += 1;
        }
        file.set_len(end_of_rows).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Resumed { file: Some(file), has_header: header.is_none(), ..resumed })
    }

    /// Whether two rows of one input say the same.
    #[must_use]
    pub fn say_the_same(&self, row: &str, other: &str) -> bool {
        let (Some(row), Some(other)) = (self.read(row), self.read(other)) else { return false };
        let is_near = |(name, score): (&String, &f64)| {
            let other = other.scores.get(name);
            other.is_some_and(|it| (it - score).abs() <= SAME_SCORE * score.abs().max(1.0))
        };
        row.label == other.label && row.scores.len() == other.scores.len() && row.scores.iter().all(is_near)
    }

    fn has_labels(&self) -> bool {
        self.outputs.task != Task::Regression
    }

    /// The labels that are given, bars between them and escaped in them.
    fn given(&self, prediction: &Prediction) -> String {
        let names = self.outputs.names(&prediction.given);
        names.map(|it| Label::Class(it.to_owned()).to_string()).collect::<Vec<_>>().join("|")
    }

    /// What a row says.
    fn read(&self, line: &str) -> Option<ReadRow> {
        if self.format == RowFormat::Json {
            let object: Value = serde_json::from_str(line).ok()?;
            let scores = ["probabilities", "predictions"].iter().find_map(|it| object[it].as_object());
            let score = |(name, score): (&String, &Value)| Some((name.clone(), score.as_f64()?));
            return Some(ReadRow {
                path: object["path"].as_str()?.to_owned(),
                is_error: !object["error"].is_null(),
                label: format!("{}{}", object["label"], object["labels"]),
                scores: scores.into_iter().flatten().filter_map(score).collect(),
            });
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let record = reader.records().next()?.ok()?;
        let fields: Vec<&str> = record.iter().collect();
        let (path, rest) = fields.split_first()?;
        let (error, rest) = rest.split_last()?;
        let n_before = usize::from(self.has_labels());
        let scores = self.outputs.labels.iter().zip(rest.get(n_before..)?);
        Some(ReadRow {
            path: (*path).to_owned(),
            is_error: !error.is_empty(),
            label: rest.first().filter(|_| n_before > 0).map_or_else(String::new, |it| (*it).to_owned()),
            scores: scores.filter_map(|(name, it)| Some((name.clone(), it.parse().ok()?))).collect(),
        })
    }
}

/// What a row says.
struct ReadRow {
    path: String,
    is_error: bool,
    label: String,
    scores: BTreeMap<String, f64>,
}

/// The whole rows of a file, each with the place of its end.
enum Rows<'a> {
    Lines(BufReader<&'a File>, u64),
    /// Whether the file ends with a line, and how long it is: else its last row is cut off.
    Csv(csv::Reader<&'a File>, bool, u64),
}

impl<'a> Rows<'a> {
    fn new(format: RowFormat, mut file: &'a File) -> io::Result<Self> {
        if format == RowFormat::Json {
            return Ok(Self::Lines(BufReader::new(file), 0));
        }
        let length = file.seek(SeekFrom::End(0))?;
        let mut last = [0];
        if length > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        file.rewind()?;
        // Rows of a cut have fewer fields.
        let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
        Ok(Self::Csv(reader, last == *b"\n", length))
    }

    fn read(&mut self) -> io::Result<Option<(String, u64)>> {
        match self {
            Self::Lines(reader, end) => {
                let mut line = String::new();
                let n_bytes = reader.by_ref().take(MAX_ROW_BYTES).read_line(&mut line)? as u64;
                if n_bytes >= MAX_ROW_BYTES {
                    return Err(io::Error::other("it has lines that are no rows"));
                }
                *end += n_bytes;
                Ok(line.ends_with('\n').then_some((line, *end)))
            }
            Self::Csv(reader, is_whole, length) => {
                let mut record = csv::StringRecord::new();
                if !reader.read_record(&mut record)? {
                    return Ok(None);
                }
                let end = reader.position().byte();
                let is_last = end >= *length;
                Ok((!is_last || *is_whole).then(|| (csv_line(&record), end)))
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = io::Result<(String, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A line of CSV, its end with it.
///
/// # Panics
/// When the fields are no UTF-8.
pub fn csv_line<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields).expect("memory takes it");
    String::from_utf8(writer.into_inner().expect("memory takes it")).expect("fields are UTF-8")
}
