//! Tests, and everything else CI looks at.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cargo, headstart_setup, python, root, run, say, target};

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
    packages()
}

/// Those that are published, each after those it uses.
const PACKAGES: [&str; 7] = [
    "headstart-onnx",
    "headstart-store",
    "headstart-head",
    "headstart-input",
    "headstart-backbone",
    "headstart",
    "headstart-cli",
];

/// Packs every crate and checks it from its own package, as a user of crates.io would build it.
///
/// `cargo package` can verify that itself, but it unpacks the crates into the machine's registry cache,
/// by version: on a machine that packed this version before, it would check today's crates against those.
fn packages() -> Result<()> {
    run(cargo().args(["package", "--workspace", "--allow-dirty", "--no-verify", "--quiet"]))?;
    let folder = target().join("packages");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut manifest =
        String::from("[workspace]\nresolver = \"3\"\nmembers = [\"headstart*\"]\n\n[patch.crates-io]\n");
    for name in PACKAGES {
        let package = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
        let packed = target().join("package").join(format!("{package}.crate"));
        // `m`: cargo goes by the time of a file, and those in a package are the same in every package.
        run(Command::new("tar").arg("-xmzf").arg(packed).arg("-C").arg(&folder))?;
        manifest += &format!("{name} = {{ path = \"{package}\" }}\n");
    }
    // The same profiles and versions, so that what the dependencies cost has been paid already.
    let own = fs::read_to_string(root().join("Cargo.toml"))?;
    let profiles = own.find("[profile.").map_or("", |at| &own[at..]);
    fs::write(folder.join("Cargo.toml"), format!("{manifest}\n{profiles}"))?;
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let manifest_path = folder.join("Cargo.toml");
    let check = ["check", "--workspace", "--quiet", "--manifest-path"];
    run(cargo().args(check).arg(manifest_path).env("CARGO_TARGET_DIR", target()))
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
