//! `headstart.toml` in the current folder: flags that one types again and again.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{ArgAction, Command, CommandFactory};
use toml::{Table, Value};

use crate::report;

const FILE: &str = "headstart.toml";

/// Most bytes of the file.
const MAX_BYTES: u64 = 1 << 20;

/// Arguments with what the file says, where they do not say it themselves: a key is the name of a flag, for every
/// command that has it; in a table of a command's name, for that command alone.
pub(crate) fn with_defaults(mut arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    let path = Path::new(FILE);
    if !path.is_file() {
        return Ok(arguments);
    }
    let said: Vec<String> = arguments.iter().skip(1).map(|it| it.to_string_lossy().into_owned()).collect();
    // Help and versions are of the program, not of this folder.
    if said.iter().any(|it| ["-h", "--help", "-V", "--version", "help"].contains(&it.as_str())) {
        return Ok(arguments);
    }
    let failed = || format!("cannot read {FILE}, which stands in the current folder");
    let n_bytes = fs::metadata(path).with_context(failed)?.len();
    ensure!(n_bytes <= MAX_BYTES, "{FILE} has {n_bytes} bytes, above the limit of {MAX_BYTES}");
    let table: Table = fs::read_to_string(path).with_context(failed)?.parse().with_context(failed)?;
    let all = crate::Cli::command();
    check_keys(&table, &all)?;
    let mut command = &all;
    for word in said.iter().filter(|it| !it.starts_with('-')) {
        let Some(sub) = command.find_subcommand(word) else { break };
        command = sub;
    }
    let mut values = table.clone();
    values.retain(|_, value| !value.is_table());
    if let Some(Value::Table(of_command)) = table.get(command.get_name()) {
        values.extend(of_command.clone());
    }
    let mut added = Vec::new();
    for (key, value) in &values {
        let flag = format!("--{key}");
        let is_said = said.iter().any(|it| *it == flag || it.starts_with(&format!("{flag}=")));
        if is_said || flag_of(command, key).is_none() {
            continue;
        }
        match value {
            Value::Boolean(false) => {}
            Value::Boolean(true) => added.push(flag),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                added.push(format!("{flag}={}", items.join(",")));
            }
            value => added.push(format!("{flag}={}", text(value))),
        }
    }
    if !added.is_empty() {
        report::say(format!("{FILE}: {}", added.join(" ")));
        // Before what stands behind `--`, which are paths.
        let end = arguments.iter().position(|it| it == "--").unwrap_or(arguments.len());
        arguments.splice(end..end, added.into_iter().map(OsString::from));
    }
    Ok(arguments)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn flag_of<'a>(command: &'a Command, key: &str) -> Option<&'a clap::Arg> {
    command
        .get_arguments()
        .find(|it| it.get_long() == Some(key) && !matches!(it.get_action(), ArgAction::Help))
}

/// Refuses a key that is a flag of no command: it would be passed over in silence.
fn check_keys(table: &Table, all: &Command) -> Result<()> {
    for (key, value) in table {
        if let Value::Table(of_command) = value {
            let command = all.find_subcommand(key);
            let command = command.with_context(|| format!("{FILE}: there is no command `{key}`"))?;
            for key in of_command.keys() {
                let name = command.get_name();
                ensure!(flag_of(command, key).is_some(), "{FILE}: `headstart {name}` has no flag --{key}");
            }
            continue;
        }
        let is_known = all.get_subcommands().any(|it| flag_of(it, key).is_some());
        ensure!(is_known, "{FILE}: no command has a flag --{key}");
    }
    Ok(())
}
