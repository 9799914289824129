//! Tests, and everything else CI looks at.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cargo, headstart_setup, python, root, run, say};

/// Sets up and runs all tests.
pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    headstart_setup()?;
    let mut cargo_test = cargo();
    cargo_test.args(["test", "--workspace", "--quiet"]).args(arguments);
    let python = python::prepare_if_possible()?;
    cargo_test.envs(python.iter().map(|it| ("HEADSTART_PYTHON", it)));
    if !root().join("../shared").is_dir() {
        say("no ../shared here: tests on real weights and photos will say that they were skipped");
    } else if python.is_some() {
        python::golden()?;
    }
    run(&mut cargo_test)
}

/// Everything CI looks at.
pub(crate) fn ci() -> Result<()> {
    check()?;
    test(&[])
}

/// Format, lints, docs, licences, packages.
pub(crate) fn check() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    install_deny()?;
    run(cargo().args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]))?;
    match cargo().args(["deny", "--log-level", "off", "fetch", "db"]).output() {
        Ok(fetched) if fetched.status.success() => {
            run(cargo().args(["deny", "--log-level", "error", "check", "advisories", "--disable-fetch"]))?;
        }
        _ => say("advisories are not checked: their database cannot be reached from here"),
    }
    // Its verification builds every crate from its own package, as a user of crates.io would.
    run(cargo().args(["package", "--workspace", "--allow-dirty", "--quiet"]))
}

/// Installs cargo-deny where it is missing.
fn install_deny() -> Result<()> {
    let is_there = Command::new("cargo").args(["deny", "--version"]).output().context("cannot run cargo")?;
    if is_there.status.success() {
        return Ok(());
    }
    say("installing cargo-deny");
    // Its own speed does not matter here, the time to compile it does.
    run(cargo().args(["install", "--locked", "--quiet", "--debug", "cargo-deny"]))
}
