//! `headstart.toml` in the current folder: flags that one types again and again.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, Command, CommandFactory};
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
    let mut all = crate::Cli::command();
    all.build();
    check_keys(&table, &all, &all)?;
    let (mut command, mut of_command) = (&all, Some(&table));
    let mut values = of_this(&table);
    for word in said.iter().filter(|it| !it.starts_with('-')) {
        let Some(sub) = command.find_subcommand(word) else { break };
        of_command = of_command.and_then(|it| it.get(sub.get_name())).and_then(Value::as_table);
        values.extend(of_command.map(of_this).unwrap_or_default());
        command = sub;
    }
    let is_said = |arg: &Arg| {
        let flags = arg.get_long().into_iter().map(|it| format!("--{it}"));
        let short = arg.get_short().map(|it| format!("-{it}"));
        let is = |flag: String| said.iter().any(|it| *it == flag || it.starts_with(&format!("{flag}=")));
        flags.chain(short).any(is)
    };
    let mut added = Vec::new();
    for (key, value) in &values {
        let Some(arg) = flag_of(command, key) else { continue };
        // What was said goes before, and what it goes against.
        if is_said(arg) || command.get_arg_conflicts_with(arg).into_iter().any(is_said) {
            continue;
        }
        let flag = format!("--{key}");
        let is_one = arg.get_value_delimiter().is_some() || matches!(arg.get_action(), ArgAction::Set);
        match value {
            Value::Boolean(false) => {}
            Value::Boolean(true) => added.push(flag),
            Value::Array(items) if is_one => {
                let items: Vec<String> = items.iter().map(text).collect();
                added.push(format!("{flag}={}", items.join(",")));
            }
            Value::Array(items) => added.extend(items.iter().map(|it| format!("{flag}={}", text(it)))),
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

/// The flags of a table, without those of the commands in it.
fn of_this(table: &Table) -> Table {
    table.iter().filter(|it| !it.1.is_table()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn flag_of<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    let is_help = |it: &Arg| matches!(it.get_action(), ArgAction::Help | ArgAction::Version);
    command.get_arguments().find(|it| it.get_long() == Some(key) && !is_help(it))
}

/// Whether a command, or one of its own, has a flag.
fn has_flag(command: &Command, key: &str) -> bool {
    flag_of(command, key).is_some() || command.get_subcommands().any(|it| has_flag(it, key))
}

/// Refuses a key that is a flag of no command: it would be passed over in silence.
fn check_keys(table: &Table, command: &Command, all: &Command) -> Result<()> {
    for (key, value) in table {
        if let Value::Table(of_sub) = value {
            let sub = command.find_subcommand(key);
            check_keys(of_sub, sub.with_context(|| format!("{FILE}: there is no command `{key}`"))?, all)?;
            continue;
        }
        let is_all = std::ptr::eq(command, all);
        let who =
            if is_all { "no command has a".to_owned() } else { format!("`{}` has no", command.get_name()) };
        ensure!(has_flag(command, key), "{FILE}: {who} flag --{key}");
    }
    Ok(())
}
