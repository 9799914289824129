//! Where words and data go: words to stderr, data to stdout.

use std::io::{self, Write};

use anyhow::Result;

pub(crate) use headstart::bytes_in_words as bytes;

/// Prints a line of data to stdout. A reader that went away (`| head`) ends the program, as a success.
pub(crate) fn data(line: impl AsRef<str>) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{}", line.as_ref())?)
}

/// Prints a line of words to stderr. Nothing can be done when that fails.
///
/// Names of files and classes are in it: what would control a terminal is escaped.
pub(crate) fn say(line: impl AsRef<str>) {
    let is_control = |it: char| it.is_control() && it != '\n' && it != '\t';
    let line = line.as_ref();
    let line = match line.contains(is_control) {
        true => line
            .chars()
            .map(|it| if is_control(it) { it.escape_default().to_string() } else { it.into() })
            .collect(),
        false => line.to_owned(),
    };
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Widest that a column is made for what stands in it.
pub(crate) const MAX_WIDTH: usize = 100;

/// Rows as aligned columns, two spaces apart; numbers are for the caller to pad.
#[must_use]
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(|it| width(it).min(MAX_WIDTH)).collect();
    let line = |row: &Vec<String>| {
        // A tab or an end of line within would be one of the table.
        let cell = |it: &String| it.replace(char::is_control, " ");
        let cells = row.iter().zip(&widths).map(|(it, width)| format!("{:<width$}", cell(it)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A share as a percentage with one digit: `95.4%`.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}
