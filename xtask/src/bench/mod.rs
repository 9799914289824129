//! Measurements against peers: both sides on the same files, in turns, in one run.

mod cost;
mod embedded;
mod extract;
mod features;
mod head;
mod photos;
mod plot;
mod selection;
mod sounds;
mod tabular;
mod texts;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::{cargo, python, root, run as run_command, say, target};

/// What every benchmark takes: `bench NAME [--quick] [--json FILE]`.
pub(crate) struct Options {
    /// Fewer pictures, fewer rounds: under five minutes.
    pub(crate) quick: bool,
    /// Where the figures go besides the table on stdout.
    pub(crate) json: Option<PathBuf>,
}

/// Runs a benchmark by name.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let name = arguments.first().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let mut options = Options { quick: false, json: None };
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_string_lossy().as_ref() {
            "--quick" => options.quick = true,
            "--json" => options.json = Some(PathBuf::from(rest.next().context("--json needs a file")?)),
            other => bail!("no option `{other}`; expected --quick, --json FILE"),
        }
    }
    // Generic code of the fits is compiled here: measured as users have it, optimised.
    if cfg!(debug_assertions) {
        run_command(cargo().args(["build", "--release", "--quiet", "--package", "xtask"]))?;
        let mut again = Command::new(target().join("release/xtask"));
        return run_command(again.arg("bench").args(arguments));
    }
    match name.as_str() {
        "extract" => extract::run_benchmark(&options),
        "head" => head::run_benchmark(&options),
        "embedded" => embedded::run_benchmark(&options),
        "text" => texts::run_benchmark(&options),
        "audio" => sounds::run_benchmark(&options),
        _ => bail!("no benchmark `{name}`; there are: extract, head, embedded, text, audio"),
    }
}

impl Options {
    /// Writes the figures where they were asked for.
    fn write(&self, figures: &Value) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        fs::write(path, serde_json::to_string_pretty(figures)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What both sides of a measurement are run by.
struct Sides {
    /// The program, optimised.
    program: PathBuf,
    /// Python with the packages of the peers.
    python: PathBuf,
    /// Cores that each side may use.
    cores: String,
}

impl Sides {
    /// Builds and installs them; `requirements` is a file of `bench/peers`.
    fn prepare(requirements: &str) -> Result<Self> {
        let python = python::prepare()?;
        run_command(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(root().join("bench/peers").join(requirements)),
        )?;
        run_command(cargo().args(["build", "--release", "--quiet", "--package", "headstart-cli"]))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        Ok(Self { program: target().join("release/headstart"), python, cores })
    }
}

/// Inputs a second of ours (asked for as none) and of each peer, in turns, and how much faster than the best peer ours is.
fn side_by_side(
    name: &str,
    noun: &str,
    peers: &[&str],
    n_rounds: usize,
    rate: &mut dyn FnMut(Option<&str>) -> Result<f64>,
) -> Result<(Value, f64)> {
    let mut ours = Vec::new();
    let mut theirs: Vec<(&str, Vec<f64>)> = peers.iter().map(|it| (*it, Vec::new())).collect();
    for round in 0..n_rounds {
        say(&format!("{name}: round {} of {n_rounds}", round + 1));
        ours.push(rate(None)?);
        for (peer, rates) in &mut theirs {
            rates.push(rate(Some(peer))?);
        }
    }
    let ours = median(&ours)?;
    say(&format!("\n{name}: {noun}s/s from the first {noun} to the last row"));
    say(&format!("{:<40}{ours:>10.1}", "headstart, cpu f32"));
    let mut row = Map::from_iter([("headstart".to_owned(), json!(ours))]);
    let mut best = 0.0_f64;
    for (peer, rates) in &theirs {
        let rate = median(rates)?;
        best = best.max(rate);
        say(&format!("{peer:<40}{rate:>10.1}"));
        row.insert((*peer).to_owned(), json!(rate));
    }
    say(&format!("{:<40}{:>9.2}×\n", "the best of them", ours / best));
    row.insert("vs_best_peer".to_owned(), json!(ours / best));
    Ok((Value::Object(row), ours / best))
}

/// A number of a result; NaN where there is none.
fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or(f64::NAN)
}

/// A text of a result.
fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// The middle of some values.
fn median(values: &[f64]) -> Result<f64> {
    ensure!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted[sorted.len() / 2])
}

/// What a command prints as JSON, in its last line.
fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    // One object, over several lines or behind others.
    let last = || serde_json::from_str(text.trim().lines().last().unwrap_or_default());
    Ok(serde_json::from_str(&text).or_else(|_| last())?)
}
