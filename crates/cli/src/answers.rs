//! What a head says of inputs, as rows: on stdout or in a file, as data or aligned for the eye.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headstart::head::{Outputs, Prediction, Task};
use headstart::{Content, PredictionRows, Resumed, RowFormat};

use crate::report;

/// Writes predictions as they come.
pub(crate) struct Answers {
    outputs: Outputs,
    /// None for a table.
    rows: Option<PredictionRows>,
    /// Labels that a row of a table shows.
    top: Option<u32>,
    /// Characters of the longest path, and of the longest label: columns are aligned before all is known.
    path_width: usize,
    label_width: usize,
    file: Option<File>,
}

impl Answers {
    pub(crate) fn new(
        outputs: Outputs,
        format: Option<RowFormat>,
        top: Option<u32>,
        inputs: &[(String, Content)],
    ) -> Self {
        // What is longer than that stands out of its column.
        let widest = |all: &mut dyn Iterator<Item = usize>| all.max().unwrap_or(0).min(report::MAX_WIDTH);
        let path_width = widest(&mut inputs.iter().map(|it| it.0.chars().count()));
        let label_width = widest(&mut outputs.labels.iter().map(|it| it.chars().count()));
        let rows = format.map(|it| PredictionRows::new(outputs.clone(), it));
        Self { outputs, rows, top, path_width, label_width, file: None }
    }

    /// Writes to a new file instead of stdout.
    pub(crate) fn create(&mut self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        self.file = Some(file);
        self.begin()
    }

    /// Goes on with a file: its rows must be those of the first of `inputs`.
    pub(crate) fn resume(&mut self, path: &Path, inputs: &[(String, Content)]) -> Result<Resumed> {
        let rows = self.rows.as_ref().context("only JSON and CSV can be gone on with")?;
        let mut resumed = rows.resume(path, &|it| inputs.get(it).map(|it| it.0.clone()))?;
        self.file = resumed.file.take();
        if !resumed.has_header {
            self.begin()?;
        }
        Ok(resumed)
    }

    /// Refuses a row that says something else of an input than is said now: another model made it.
    pub(crate) fn check_same(&self, row: &str, path: &str, now: &Result<Prediction, String>) -> Result<()> {
        let Some(rows) = &self.rows else { return Ok(()) };
        let now = match now {
            Ok(prediction) => rows.row(path, prediction),
            Err(reason) => rows.error_row(path, reason),
        };
        let is_same = rows.say_the_same(row, &now);
        ensure!(is_same, "{path} has another answer in the file than now: another model made it");
        Ok(())
    }

    /// What stands above the predictions.
    pub(crate) fn begin(&mut self) -> Result<()> {
        match self.rows.as_ref().and_then(PredictionRows::header) {
            Some(header) => self.write(&header),
            None => Ok(()),
        }
    }

    /// Writes the row of an input.
    pub(crate) fn print(&mut self, path: &str, prediction: &Prediction) -> Result<()> {
        let row = match &self.rows {
            Some(rows) => rows.row(path, prediction),
            None => format!("{}\n", self.table_row(path, prediction)),
        };
        self.write(&row)
    }

    /// Writes the row of an input that nothing can be said of; a table has none, for stderr has the reason.
    pub(crate) fn print_error(&mut self, path: &str, reason: &str) -> Result<()> {
        match self.rows.as_ref().map(|it| it.error_row(path, reason)) {
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

    fn table_row(&self, path: &str, prediction: &Prediction) -> String {
        let shown = match (self.outputs.task, self.top) {
            (Task::Regression, _) => (0..prediction.scores.len()).collect(),
            (Task::Multilabel, None) => prediction.given.clone(),
            (_, top) => prediction.ranking().into_iter().take(top.unwrap_or(1) as usize).collect::<Vec<_>>(),
        };
        let width = self.label_width;
        let cell = |column: usize| {
            let (label, score) = (&self.outputs.labels[column], prediction.scores[column]);
            match self.outputs.task != Task::Regression {
                true => format!("  {label:<width$}  {:>6}", report::percent(score)),
                false => format!("  {:<width$}", format!("{label} {score:.4}"), width = width + 11),
            }
        };
        let cells: String = shown.into_iter().map(cell).collect();
        format!("{path:<width$}{cells}", width = self.path_width).trim_end().to_owned()
    }
}
