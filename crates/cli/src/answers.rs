//! What a head says of pictures, as rows: on stdout, or in a file that can be gone on with.

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

/// Largest difference of a score to the one that a file has of the same picture.
const SAME_SCORE: f64 = 1e-3;

/// Longest row of a file that is gone on with.
const MAX_ROW_BYTES: u64 = 64 << 20;

/// What a file that is gone on with has.
#[derive(Debug, Default)]
pub(crate) struct Resumed {
    /// Rows, those of errors among them.
    pub(crate) n_rows: usize,
    /// Rows of errors.
    pub(crate) n_failed: usize,
    /// The last row that is none, and its place: what is said of that picture now shows whether the model is the same.
    pub(crate) last_good: Option<(usize, String)>,
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
        let mut reader = BufReader::new(&file);
        let mut resumed = Resumed::default();
        let (mut header, mut end) = (self.header()?, 0);
        loop {
            let mut line = String::new();
            let n_bytes = reader.by_ref().take(MAX_ROW_BYTES).read_line(&mut line).with_context(failed)?;
            ensure!(n_bytes < MAX_ROW_BYTES as usize, "{} has lines that are no rows", path.display());
            if !line.ends_with('\n') {
                break;
            }
            end += n_bytes as u64;
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
            let row = self.read_row(&line);
            let found = row.as_ref().map(|it| it.0.clone());
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
                Some((_, true)) => resumed.n_failed += 1,
                _ => resumed.last_good = Some((index, line)),
            }
            resumed.n_rows += 1;
        }
        file.set_len(end).with_context(failed)?;
        file.seek(SeekFrom::End(0)).with_context(failed)?;
        self.file = Some(file);
        if header.is_some() {
            self.begin()?;
        }
        Ok(resumed)
    }

    /// Refuses a row that says something else of a picture than is said now: another model made it.
    pub(crate) fn check_same(&self, row: &str, path: &str, now: &Result<Prediction, String>) -> Result<()> {
        let numbers = |line: &str| -> Vec<f64> {
            let of_json = |value: &Value| match value {
                Value::Object(it) => it.values().filter_map(Value::as_f64).collect::<Vec<_>>(),
                Value::Array(it) => it.iter().filter_map(Value::as_f64).collect(),
                _ => Vec::new(),
            };
            match serde_json::from_str::<Value>(line) {
                Ok(Value::Object(object)) => object.values().flat_map(of_json).collect(),
                _ => line.trim_end().split(',').filter_map(|it| it.parse().ok()).collect(),
            }
        };
        let here = match now {
            Ok(prediction) => self.row(path, prediction)?,
            Err(reason) => self.error_row(path, reason)?.unwrap_or_default(),
        };
        let (before, now) = (numbers(row), numbers(&here));
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() <= SAME_SCORE * b.abs().max(1.0);
        let is_same = before.len() == now.len() && before.iter().zip(&now).all(is_near);
        ensure!(is_same, "{path} has other scores in the file than now: another model made it");
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

    /// The path that a row is of, and whether it is of an error.
    fn read_row(&self, line: &str) -> Option<(String, bool)> {
        if self.format == RowFormat::Json {
            let object: Value = serde_json::from_str(line).ok()?;
            return Some((object["path"].as_str()?.to_owned(), !object["error"].is_null()));
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let record = reader.records().next()?.ok()?;
        Some((record.get(0)?.to_owned(), !record.iter().last()?.is_empty()))
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
