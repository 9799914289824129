#![doc = include_str!("../README.md")]

mod commands;
mod data;
mod dataset;
mod fitting;
mod folders;
mod machine;
mod models;
mod network;
mod progress;
mod provision;
mod report;

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use headstart_backbone::Listing;

pub use machine::peak_memory_bytes;
pub use provision::find as find_runtime;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All good: exit code 0.
    Good,
    /// It ran, but some inputs failed: exit code 1.
    SomeFailed,
}

/// Transfer learning without the training loop.
///
/// A frozen ONNX backbone turns every picture into one embedding, once; a head is fitted on the
/// cached embeddings in seconds; what ships is one ONNX file.
#[derive(Debug, Parser)]
#[command(name = "headstart", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 all good, 1 some inputs failed, 2 could not run.\n\
    Environment: HEADSTART_MODELS (folders of model files), HEADSTART_CACHE, ORT_DYLIB_PATH, RUST_LOG, NO_COLOR.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(commands::setup::SetupArgs),
    Doctor(commands::doctor::DoctorArgs),
    Models(commands::models::ModelsArgs),
    Extract(commands::extract::ExtractArgs),
    FitHead(commands::fit_head::FitHeadArgs),
    Eval(commands::eval::EvalArgs),
    Predict(commands::predict::PredictArgs),
    Export(commands::export::ExportArgs),
}

/// Lists a dataset: a folder, or a manifest (`.csv`, `.tsv`, `.jsonl`, `.parquet`).
///
/// # Errors
/// When it does not read, or a manifest lacks a column that it needs. A row that is no input is among the
/// listing's unreadable.
pub fn list_dataset(dataset: &Path) -> Result<Listing> {
    Ok(dataset::list(dataset, &dataset::Columns::default())?.listing)
}

/// Runs the program with arguments as from the command line (the first is the program's name), prints
/// what there is to say, and returns the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are data and succeed; everything else could not run.
            let code = if err.use_stderr() { 2 } else { 0 };
            drop(err.print());
            return ExitCode::from(code);
        }
    };
    start_logging();
    match start_threads().and_then(|()| execute(cli.command)) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Err(err) => {
            report::say(format!("error: {err:#}"));
            ExitCode::from(2)
        }
    }
}

fn execute(command: Command) -> Result<Outcome> {
    match command {
        Command::Setup(args) => commands::setup::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Models(args) => commands::models::run(&args),
        Command::Extract(args) => commands::extract::run(&args),
        Command::FitHead(args) => commands::fit_head::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Export(args) => commands::export::run(&args),
    }
}

/// Where the system gives no threads, there is only this one: the pool would panic when first used.
fn start_threads() -> Result<()> {
    match rayon::ThreadPoolBuilder::new().build_global() {
        // Without a cause they are started already.
        Err(err) if err.source().is_some() => {
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
            Ok(alone.build_global()?)
        }
        _ => Ok(()),
    }
}

/// Logs go to stderr, off unless `RUST_LOG` asks for them.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off"));
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init());
}
