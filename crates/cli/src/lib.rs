#![doc = include_str!("../README.md")]

mod answers;
mod commands;
mod dataset_args;
mod defaults;
mod fit_args;
mod force_args;
mod hints;
mod judged;
mod listener;
mod model_args;
mod progress;
mod report;
mod run_args;

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use headstart::Places;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All good: exit code 0.
    Good,
    /// It ran, but some inputs failed: exit code 1.
    SomeFailed,
    /// Nothing can run here: exit code 2.
    NothingRuns,
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
    /// Say more: certificates, folds, baselines; twice: what takes how long (as RUST_LOG does).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(commands::setup::SetupArgs),
    Doctor(commands::doctor::DoctorArgs),
    Models(commands::models::ModelsArgs),
    Train(Box<commands::train::TrainArgs>),
    Extract(commands::extract::ExtractArgs),
    FitHead(commands::fit_head::FitHeadArgs),
    Eval(commands::eval::EvalArgs),
    Predict(commands::predict::PredictArgs),
    Export(commands::export::ExportArgs),
    Table(commands::table::TableArgs),
    Completions(commands::completions::CompletionsArgs),
}

/// Runs the program with arguments as from the command line (the first is the program's name), prints what
/// there is to say, and returns the exit code. Runtimes and models are where `places` says.
pub fn run(arguments: impl IntoIterator<Item = OsString>, places: &Places) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_json = |arguments: &[OsString]| arguments.iter().any(|it| it == "--json");
    let mut wants_json = is_json(&arguments);
    let parsed = defaults::with_defaults(arguments).and_then(|it| {
        wants_json |= is_json(&it);
        Ok(Cli::try_parse_from(it)?)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(err) => return not_understood(&err, wants_json),
    };
    if cli.verbose > 0 {
        report::be_verbose();
    }
    start_logging(cli.verbose > 1);
    match start_threads().and_then(|()| execute(cli.command, places)) {
        Ok(Ended::Good) => ExitCode::SUCCESS,
        Ok(Ended::SomeFailed) => ExitCode::from(1),
        Ok(Ended::NothingRuns) => ExitCode::from(2),
        // A reader that went away (`| head`) has what it wanted.
        Err(err) if is_closed_pipe(&err) => ExitCode::SUCCESS,
        Err(err) => {
            if wants_json {
                say_error(&hints::code(&err), &format!("{err:#}"), hints::of(&err));
            }
            report::say(format!("error: {err:#}{}", hints::after(&err)));
            ExitCode::from(2)
        }
    }
}

/// The command, for shells and manuals.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Arguments that cannot be read, or a call for help.
fn not_understood(err: &anyhow::Error, is_json: bool) -> ExitCode {
    let Some(err) = err.downcast_ref::<clap::Error>() else {
        if is_json {
            say_error("defaults", &format!("{err:#}"), None);
        }
        report::say(format!("error: {err:#}"));
        return ExitCode::from(2);
    };
    // Help and version are data and succeed; everything else could not run.
    if !err.use_stderr() {
        drop(err.print());
        return ExitCode::SUCCESS;
    }
    if is_json {
        let text = err.to_string();
        // What is wrong comes before the first empty line, tips and usage behind it.
        let message: Vec<&str> = text.lines().take_while(|it| !it.is_empty()).map(str::trim).collect();
        let tip = text.lines().find_map(|it| it.trim().strip_prefix("tip: ")).map(str::to_owned);
        say_error("usage", message.join(" ").trim_start_matches("error: "), tip);
    }
    drop(err.print());
    ExitCode::from(2)
}

/// An error as data, for a program that asked for JSON.
fn say_error(code: &str, message: &str, hint: Option<String>) {
    let error = serde_json::json!({"error": {"code": code, "message": message, "hint": hint}});
    drop(report::json(error));
}

fn execute(command: Command, places: &Places) -> Result<Ended> {
    match command {
        Command::Setup(args) => commands::setup::run(&args, places),
        Command::Doctor(args) => commands::doctor::run(&args, places),
        Command::Models(args) => commands::models::run(&args, places),
        Command::Train(args) => commands::train::run(&args, places),
        Command::Extract(args) => commands::extract::run(&args, places),
        Command::FitHead(args) => commands::fit_head::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Predict(args) => commands::predict::run(&args, places),
        Command::Export(args) => commands::export::run(&args, places),
        Command::Table(args) => commands::table::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}

fn is_closed_pipe(err: &anyhow::Error) -> bool {
    err.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
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

/// Logs go to stderr: those that `RUST_LOG` asks for, or how long each step took.
fn start_logging(with_steps: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        tracing_subscriber::EnvFilter::new(if with_steps { "headstart=info" } else { "off" })
    });
    let spans = tracing_subscriber::fmt::format::FmtSpan::CLOSE;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(spans);
    drop(log.with_writer(io::stderr).with_target(false).try_init());
}
