//! The Python environment that references are computed in, and Node, which comes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{root, run, say, target};

/// Makes `target/python`, a virtual environment with the pinned packages of
/// `tests/python/requirements.txt`, unless it is there; returns its interpreter.
pub(crate) fn prepare() -> Result<PathBuf> {
    let folder = target().join("python");
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let requirements = root().join("tests/python/requirements.txt");
    let text = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = folder.join("requirements.blake3");
    let package = root().join("tests/js/package.json");
    let package_text =
        fs::read_to_string(&package).with_context(|| format!("cannot read {}", package.display()))?;
    let hash = blake3::hash([text.as_str(), &package_text].concat().as_bytes()).to_string();
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|it| it == hash) {
        return Ok(python);
    }
    say("preparing the Python environment of the tests");
    let system = if cfg!(windows) { "python" } else { "python3" };
    run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements))?;
    node_packages(&folder, &package_text)?;
    fs::write(&stamp, hash).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Installs the packages of `tests/js/package.json` into `js` of the environment, by its own npm.
fn node_packages(folder: &Path, package: &str) -> Result<()> {
    let modules = folder.join("js");
    fs::create_dir_all(&modules).with_context(|| format!("cannot make {}", modules.display()))?;
    let file = modules.join("package.json");
    fs::write(&file, package).with_context(|| format!("cannot write {}", file.display()))?;
    let bin = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    // npm looks for node there.
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin.clone()].into_iter().chain(std::env::split_paths(&others)))?;
    run(Command::new(bin.join("npm"))
        .args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
        .arg(&modules)
        .env("PATH", path))
}

/// As [`prepare`]; without Python only the tests that need it are missing, unless `HEADSTART_STRICT` asks
/// for all.
pub(crate) fn prepare_if_possible() -> Result<Option<PathBuf>> {
    match prepare() {
        Err(err) if std::env::var_os("HEADSTART_STRICT").is_none() => {
            say(&format!("no Python for the tests ({err:#}); those that need it will say they were skipped"));
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Writes the reference arrays of the parity tests, unless they are there for these very scripts
/// and packages.
pub(crate) fn golden() -> Result<()> {
    let shared = root().join("../shared");
    ensure!(
        shared.join("models").is_dir(),
        "the references are made from {}, which is not here",
        shared.display()
    );
    let python = prepare()?;
    let script = root().join("tests/python/golden.py");
    let folder = target().join("golden");
    let stamp = folder.join("script.blake3");
    let mut hasher = blake3::Hasher::new();
    for name in ["golden.py", "preprocess.py", "requirements.txt"] {
        hasher.update(&fs::read(script.with_file_name(name))?);
    }
    let hash = hasher.finalize().to_string();
    if fs::read_to_string(&stamp).is_ok_and(|it| it == hash) {
        return Ok(());
    }
    run(Command::new(python).arg(script).arg(&shared).arg(&folder))?;
    fs::write(&stamp, hash).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(())
}
