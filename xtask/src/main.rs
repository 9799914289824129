//! `cargo xtask <verb>`: what is done with this repository.

mod bench;
mod check;
mod demo;
mod fuzz;
mod manual;
mod python;
mod sentences;
mod shapes;
mod tones;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use headstart::Places;

const USAGE: &str = "\
cargo xtask <verb>

  setup                get ONNX Runtime and prepare the Python environment of the tests
  demo [OPTIONS]       the main job on pictures made by code (--text, --audio: on sentences, on sounds), or on --dataset DIR
                       with --model ID
  test [ARGS]          set up, then run all tests (ARGS go to `cargo test`)
  check                format, lints, docs, licences, packages
  ci                   check and test: everything CI runs
  bench extract        images per second beside Python's ([--quick] [--json FILE])
  bench head           fits and alpha sweeps beside scikit-learn's, and what a fit costs against the machine's
                       limits ([--quick] [--json FILE])
  bench text           texts per second and accuracy beside onnxruntime and fastembed ([--quick] [--json FILE])
  bench audio          sounds per second and accuracy beside soundfile and onnxruntime ([--quick] [--json FILE])
  bench embedded       the compiled-in backbone beside its teacher ([--json FILE])
  fuzz [TARGET…]       damaged and hostile bytes against every reader ([--seconds N] [--seed N])
  golden               write the reference arrays of the parity tests (target/golden)

  man                  write manual pages of the program (target/man)

  train | extract | fit-head | eval | predict | export | table | models | doctor
                       the program's commands, with the program's arguments";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let verb = arguments.first().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let rest = arguments.get(1..).unwrap_or_default();
    let result = match verb.as_str() {
        "train" | "extract" | "predict" | "export" => match headstart_setup() {
            Ok(()) => return program(&arguments),
            Err(err) => Err(err),
        },
        "fit-head" | "eval" | "table" | "models" | "doctor" => return program(&arguments),
        "setup" => setup(),
        "demo" => demo::run(rest),
        "test" => check::test(rest),
        "check" => check::check(),
        "ci" => check::ci(),
        "fuzz" => fuzz::run(rest),
        "golden" => python::golden(),
        "man" => manual::write(),
        "bench" => bench::run(rest),
        "" | "help" | "-h" | "--help" => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => Err(anyhow::anyhow!("no verb `{verb}`\n\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            say(&format!("error: {err:#}"));
            ExitCode::from(2)
        }
    }
}

/// Runs the program in this process.
fn program(arguments: &[OsString]) -> ExitCode {
    program_in(arguments, &Places::from_environment())
}

/// Runs the program in this process, with models and runtimes where `places` says.
fn program_in(arguments: &[OsString], places: &Places) -> ExitCode {
    let name = OsString::from("headstart");
    headstart_cli::run([name].into_iter().chain(arguments.iter().cloned()), places)
}

/// Runs a command of the program; that some inputs fail does not stop what follows.
fn headstart<const N: usize>(arguments: [&str; N]) -> Result<()> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let code = program(&arguments);
    let went_on = [ExitCode::SUCCESS, ExitCode::from(1)].contains(&code);
    ensure!(went_on, "`headstart {}` failed", arguments[0].to_string_lossy());
    Ok(())
}

/// Gets everything the project needs.
fn setup() -> Result<()> {
    headstart_setup()?;
    python::prepare_if_possible().map(drop)
}

/// Gets ONNX Runtime unless the user named one.
fn headstart_setup() -> Result<()> {
    if Places::from_environment().runtime.is_some() {
        return Ok(());
    }
    headstart(["setup", "--quiet"])
}

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where builds and everything made on the way go.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a command in the repository's folder; it must succeed.
fn run(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}").replace('"', "");
    say(&format!("$ {name}"));
    let status = command.current_dir(root()).status().with_context(|| format!("cannot run `{name}`"))?;
    ensure!(status.success(), "`{name}` failed with {status}");
    Ok(())
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Prints a line of words to stderr.
fn say(line: &str) {
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}
