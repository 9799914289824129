//! What a head says of pictures, as rows: on stdout, or in a file that can be gone on with.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use headstart::head::{Outputs, Prediction, Task};
use headstart::key;
use headstart::store::Label;
use serde_json::{Value, json};

use crate::report;

/// What rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowFormat {
    Table,
    Json,
    Csv,
}

/// Largest difference of a score to the one that a file has of the same picture: batches and devices round otherwise.
const SAME_SCORE: f64 = 1e-4;

/// Longest row of a file that is gone on with.
const MAX_ROW_BYTES: u64 = 64 << 20;

/// What a file that is gone on with has.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// Rows, those of errors among them.
    pub(crate) n_rows: usize,
    /// Rows of errors.
    pub(crate) n_failed: usize,
    /// The least sure row that is none, and its place: what is said of that picture now shows whether the model is the
    /// same.
    pub(crate) check: Option<(usize, String)>,
    /// Bytes of whole rows.
    end: u64,
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
    fn new(format: RowFormat, mut file: &'a File) -> std::io::Result<Self> {
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

    fn read(&mut self) -> Result<Option<(String, u64)>> {
        match self {
            Self::Lines(reader, end) => {
                let mut line = String::new();
                let n_bytes = reader.by_ref().take(MAX_ROW_BYTES).read_line(&mut line)? as u64;
                ensure!(n_bytes < MAX_ROW_BYTES, "it has lines that are no rows");
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
                Ok((!is_last || *is_whole)
                    .then(|| report::csv_line(&record))
                    .transpose()?
                    .map(|it| (it, end)))
            }
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(String, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Writes predictions as they come.
pub(crate) struct Answers {
    outputs: Outputs,
    format: RowFormat,
    /// Labels that a row of a table shows.
    top: Option<u32>,
    /// Characters of the longest path, and of the longest label: columns are aligned before all is known.
    path_width: usize,
    label_width: usize,
    file: Option<File>,
}

impl Answers {
    pub(crate) fn new(outputs: Outputs, format: RowFormat, top: Option<u32>, files: &[PathBuf]) -> Self {
        // What is longer than that stands out of its column.
        let widest = |all: &mut dyn Iterator<Item = usize>| all.max().unwrap_or(0).min(report::MAX_WIDTH);
        let path_width = widest(&mut files.iter().map(|it| key(it).chars().count()));
        let label_width = widest(&mut outputs.labels.iter().map(|it| it.chars().count()));
        Self { outputs, format, top, path_width, label_width, file: None }
    }

    /// Writes to a new file instead of stdout.
    pub(crate) fn create(&mut self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        self.file = Some(file);
        self.begin()
    }

    /// Goes on with a file: its rows must be those of the first of `files`. A row that a kill cut off goes.
    pub(crate) fn resume(&mut self, path: &Path, files: &[PathBuf]) -> Result<Resumed> {
        let failed = || format!("cannot go on with {}", path.display());
        let mut file = OpenOptions::new().read(true).append(true).open(path).with_context(failed)?;
        let mut resumed = Resumed::default();
        let mut least_sure = f64::INFINITY;
        let mut header = self.header()?;
        for row in Rows::new(self.format, &file).with_context(failed)? {
            let (line, end) = row.with_context(failed)?;
            resumed.end = end;
            if let Some(header) = header.take() {
                ensure!(
                    line == header,
                    "{} has other columns than this model's; it was made by another",
                    path.display()
                );
                continue;
            }
            let index = resumed.n_rows;
            let expected = files.get(index).map(|it| key(it));
            let row = self.read(&line);
            let found = row.as_ref().map(|it| it.path.clone());
            if found.is_none() || found != expected {
                let words = |it: Option<String>| it.unwrap_or_else(|| "nothing".to_owned());
                bail!(
                    "row {} of {} is of {}, the pictures given have {} there; --resume needs the same ones",
                    index + 1,
                    path.display(),
                    words(found),
                    words(expected),
                );
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
        file.set_len(resumed.end).with_context(failed)?;
        file.seek(SeekFrom::End(0)).with_context(failed)?;
        self.file = Some(file);
        if header.is_some() {
            self.begin()?;
        }
        Ok(resumed)
    }

    /// Refuses a row that says something else of a picture than is said now: another model made it.
    pub(crate) fn check_same(&self, row: &str, path: &str, now: &Result<Prediction, String>) -> Result<()> {
        let now = match now {
            Ok(prediction) => self.row(path, prediction)?,
            Err(reason) => self.error_row(path, reason)?.unwrap_or_default(),
        };
        let is_same = match (self.read(row), self.read(&now)) {
            (Some(before), Some(now)) => {
                let is_near = |(name, score): (&String, &f64)| {
                    let now = now.scores.get(name);
                    now.is_some_and(|it| (it - score).abs() <= SAME_SCORE * score.abs().max(1.0))
                };
                before.label == now.label
                    && before.scores.len() == now.scores.len()
                    && before.scores.iter().all(is_near)
            }
            _ => false,
        };
        ensure!(is_same, "{path} has another answer in the file than now: another model made it");
        Ok(())
    }

    /// What stands above the predictions.
    pub(crate) fn begin(&mut self) -> Result<()> {
        match self.header()? {
            Some(header) => self.write(&header),
            None => Ok(()),
        }
    }

    fn header(&self) -> Result<Option<String>> {
        if self.format != RowFormat::Csv {
            return Ok(None);
        }
        let labels = self.outputs.labels.iter().map(String::as_str);
        let label = self.has_labels().then_some("label");
        report::csv_line(["path"].into_iter().chain(label).chain(labels).chain(["error"])).map(Some)
    }

    /// Writes the row of a picture.
    pub(crate) fn print(&mut self, path: &str, prediction: &Prediction) -> Result<()> {
        let row = self.row(path, prediction)?;
        self.write(&row)
    }

    /// Writes the row of a picture that nothing can be said of; a table has none, for stderr has the reason.
    pub(crate) fn print_error(&mut self, path: &str, reason: &str) -> Result<()> {
        match self.error_row(path, reason)? {
            Some(row) => self.write(&row),
            None => Ok(()),
        }
    }

    /// One line, its end with it: each is whole in the file before the next is begun.
    fn write(&mut self, line: &str) -> Result<()> {
        match &mut self.file {
            Some(file) => Ok(file.write_all(line.as_bytes())?),
            None => report::data(line.strip_suffix('\n').unwrap_or(line)),
        }
    }

    fn has_labels(&self) -> bool {
        self.outputs.task != Task::Regression
    }

    fn row(&self, path: &str, prediction: &Prediction) -> Result<String> {
        match self.format {
            RowFormat::Json => {
                let mut object = self.outputs.to_json(prediction);
                object.insert("path".to_owned(), path.into());
                object.insert("version".to_owned(), report::JSON_VERSION.into());
                Ok(format!("{}\n", Value::Object(object)))
            }
            RowFormat::Csv => {
                let given = self.has_labels().then(|| self.given(prediction));
                let scores = prediction.scores.iter().map(f64::to_string);
                report::csv_line(
                    [path.to_owned()].into_iter().chain(given).chain(scores).chain([String::new()]),
                )
            }
            RowFormat::Table => Ok(format!("{}\n", self.table_row(path, prediction))),
        }
    }

    fn error_row(&self, path: &str, reason: &str) -> Result<Option<String>> {
        match self.format {
            RowFormat::Json => Ok(Some(format!(
                "{}\n",
                json!({"path": path, "error": reason, "version": report::JSON_VERSION})
            ))),
            RowFormat::Csv => {
                let n_empty = self.outputs.labels.len() + usize::from(self.has_labels());
                let empty = std::iter::repeat_n("", n_empty);
                report::csv_line([path].into_iter().chain(empty).chain([reason])).map(Some)
            }
            RowFormat::Table => Ok(None),
        }
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

    /// The labels that are given, bars between them and escaped in them.
    fn given(&self, prediction: &Prediction) -> String {
        let names = self.outputs.names(&prediction.given);
        names.map(|it| Label::Class(it.to_owned()).to_string()).collect::<Vec<_>>().join("|")
    }

    fn table_row(&self, path: &str, prediction: &Prediction) -> String {
        let shown = match (self.outputs.task, self.top) {
            (Task::Regression, _) => (0..prediction.scores.len()).collect(),
            (Task::Multilabel, None) => prediction.given.clone(),
            (_, top) => prediction.ranking().into_iter().take(top.unwrap_or(1) as usize).collect::<Vec<_>>(),
        };
        let width = self.label_width;
        let cell = |column: usize| {
            let (label, score) = (&self.outputs.labels[column], prediction.scores[column]);
            match self.has_labels() {
                true => format!("  {label:<width$}  {:>6}", report::percent(score)),
                false => format!("  {:<width$}", format!("{label} {score:.4}"), width = width + 11),
            }
        };
        let cells: String = shown.into_iter().map(cell).collect();
        format!("{path:<width$}{cells}", width = self.path_width).trim_end().to_owned()
    }
}
