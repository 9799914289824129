//! Runs the program inside another: what it has to say goes to this one's output.

use headstart::Places;

fn main() -> std::process::ExitCode {
    let arguments = ["headstart", "models", "list"].map(Into::into);
    headstart_cli::run(arguments, &Places::from_environment())
}
