//! The `headstart` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    headstart::run(std::env::args_os())
}
