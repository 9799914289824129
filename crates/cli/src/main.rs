//! The `headstart` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    headstart_cli::run(std::env::args_os(), &headstart::Places::from_environment())
}
