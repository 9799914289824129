//! Where words and data go: words to stderr, data to stdout.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use console::{Term, style};
use headstart::{JSON_VERSION, csv_line};
use serde_json::Value;

pub(crate) use headstart::bytes_in_words as bytes;

/// Prints a line of data to stdout. A reader that went away (`| head`) ends the program, as a success.
pub(crate) fn data(line: impl AsRef<str>) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{}", line.as_ref())?)
}

/// Prints an object to stdout in one line, with its version.
pub(crate) fn json(mut object: Value) -> Result<()> {
    object["version"] = JSON_VERSION.into();
    data(object.to_string())
}

/// The same in many lines, for people to read too.
pub(crate) fn pretty_json(mut object: Value) -> Result<()> {
    object["version"] = JSON_VERSION.into();
    data(serde_json::to_string_pretty(&object)?)
}

/// Prints a row of CSV to stdout.
pub(crate) fn csv<T: AsRef<[u8]>>(fields: impl IntoIterator<Item = T>) -> Result<()> {
    data(csv_line(fields).trim_end_matches('\n'))
}

static IS_VERBOSE: AtomicBool = AtomicBool::new(false);

/// Says what [`say_more`] is asked to, from now on.
pub(crate) fn be_verbose() {
    IS_VERBOSE.store(true, Ordering::Relaxed);
}

/// Prints lines of words to stderr, on a terminal wrapped at its width. Nothing can be done when that fails.
///
/// Names of files and classes are in it: what would control a terminal is escaped.
pub(crate) fn say(lines: impl AsRef<str>) {
    let lines = escaped(lines.as_ref());
    let terminal = Term::stderr();
    let wrapped: String = match terminal.size_checked() {
        Some((_, width)) if terminal.is_term() => {
            let options = textwrap::Options::new(usize::from(width).max(20)).subsequent_indent("  ");
            lines.lines().flat_map(|it| textwrap::wrap(it, &options)).collect::<Vec<_>>().join("\n")
        }
        _ => lines,
    };
    print(&coloured(&wrapped));
}

/// As [`say`], where all is asked for.
pub(crate) fn say_more(lines: impl AsRef<str>) {
    if IS_VERBOSE.load(Ordering::Relaxed) {
        say(lines);
    }
}

/// As [`say`], in bold: what was asked for.
pub(crate) fn say_first(line: impl AsRef<str>) {
    print(&style(escaped(line.as_ref())).for_stderr().bold().to_string());
}

/// As [`say`], in lines that stay as they are.
pub(crate) fn say_table(lines: impl AsRef<str>) {
    print(&escaped(lines.as_ref()));
}

fn print(lines: &str) {
    drop(writeln!(io::stderr().lock(), "{lines}"));
}

fn escaped(lines: &str) -> String {
    let is_control = |it: char| it.is_control() && it != '\n' && it != '\t';
    match lines.contains(is_control) {
        true => lines
            .chars()
            .map(|it| if is_control(it) { it.escape_default().to_string() } else { it.into() })
            .collect(),
        false => lines.to_owned(),
    }
}

/// The word that a warning or an error begins with, in a colour where colours are wanted.
fn coloured(lines: &str) -> String {
    for (word, of_word) in [("warning:", style("warning:").yellow()), ("error:", style("error:").red())] {
        if let Some(rest) = lines.strip_prefix(word) {
            return format!("{}{rest}", of_word.for_stderr().bold());
        }
    }
    lines.to_owned()
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

/// Three digits, without an exponent where that is short.
#[must_use]
pub(crate) fn short_number(value: f64) -> String {
    if (1e-3..1e5).contains(&value) {
        format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{value:.2e}")
    }
}

/// A share as a percentage with one digit: `95.4%`.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// A share as a whole percentage: `95%`.
#[must_use]
pub(crate) fn whole_percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}
