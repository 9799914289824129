//! Fetching a build and putting it into the cache: whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::builds::{Build, Source, Wheel};
use crate::{network, report};

/// Lengths and checksums of a build's files, beside them.
const FILES: &str = "files.json";

/// What the names of temporary folders begin with.
const TEMPORARY: &str = ".setup-";

/// Puts a build into its folder below `folder`, and returns the path of ONNX Runtime's library.
pub(crate) fn install(build: &Build, folder: &Path) -> Result<PathBuf> {
    // What a killed setup left: whoever installs holds the lock.
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    // The temporary folder lies beside its destination, so that a rename moves what it holds.
    let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(folder)?;
    let staged = temporary.path().join("staged");
    fs::create_dir(&staged)?;
    match &build.source {
        Source::Wheels(wheels) => {
            for wheel in *wheels {
                unpack_wheel(&fetch_wheel(wheel, temporary.path())?, &staged)?;
            }
        }
        Source::Archive { name, version, sha256, member } => {
            let address =
                format!("https://github.com/microsoft/onnxruntime/releases/download/v{version}/{name}");
            let path = temporary.path().join(name);
            network::download(&address, &path, sha256, None)?;
            let library = if name.ends_with(".zip") {
                let mut bytes = Vec::new();
                zip::ZipArchive::new(File::open(&path)?)?.by_name(member)?.read_to_end(&mut bytes)?;
                bytes
            } else {
                member_of_tar(&path, member)?
            };
            write_synced(&staged.join(build.library), &mut library.as_slice())?;
        }
    }
    ensure!(staged.join(build.library).is_file(), "there is no {} in what was fetched", build.library);
    write_known(&staged)?;
    let destination = folder.join(build.folder);
    // One that was damaged goes with the temporary folder: at no time is a half of it there.
    if destination.exists() {
        let old = temporary.path().join("old");
        fs::rename(&destination, old).with_context(|| format!("cannot replace {}", destination.display()))?;
    }
    fs::rename(&staged, &destination).with_context(|| format!("cannot write {}", destination.display()))?;
    Ok(destination.join(build.library))
}

/// What is known of a build in the cache.
pub(crate) enum State {
    /// Every file is as it was put there.
    Good,
    /// A file is not, and why.
    Damaged(String),
    /// Nothing says what it should be.
    Unknown,
}

/// What a file of a build was when it was put there.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    bytes: u64,
    sha256: String,
}

/// Checks all files of a build, by the path of its library.
pub(crate) fn check(library: &Path) -> State {
    let Some(files) = known(library) else { return State::Unknown };
    for (file, Known { sha256, .. }) in files {
        match network::hash_of(&file) {
            Ok(found) if found == sha256 => {}
            Ok(_) => return State::Damaged(format!("{} is damaged", file.display())),
            Err(err) => return State::Damaged(format!("{err:#}")),
        }
    }
    State::Good
}

/// A file of a build that has not the length it should have, in words; quick enough for every start.
pub(crate) fn cut_short(library: &Path) -> Option<String> {
    known(library)?.into_iter().find_map(|(file, Known { bytes, .. })| match fs::metadata(&file) {
        Ok(it) if it.len() == bytes => None,
        Ok(it) => {
            Some(format!("{} is damaged: it has {} bytes instead of {bytes}", file.display(), it.len()))
        }
        Err(err) => Some(format!("{} cannot be read: {err}", file.display())),
    })
}

/// The files of a build; `None` where they are not known, or its library is not among them.
fn known(library: &Path) -> Option<Vec<(PathBuf, Known)>> {
    let folder = library.parent()?;
    let text = fs::read_to_string(folder.join(FILES)).ok()?;
    let files: BTreeMap<String, Known> = serde_json::from_str(&text).ok()?;
    let is_named = files.contains_key(library.file_name()?.to_str()?);
    is_named.then(|| files.into_iter().map(|(name, it)| (folder.join(name), it)).collect())
}

fn write_known(staged: &Path) -> Result<()> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(staged)? {
        let entry = entry?;
        let known = Known { bytes: entry.metadata()?.len(), sha256: network::hash_of(&entry.path())? };
        files.insert(entry.file_name().to_string_lossy().into_owned(), known);
    }
    write_synced(&staged.join(FILES), &mut serde_json::to_string_pretty(&files)?.as_bytes())
}

/// Has pip download a wheel into a folder of its own, and checks it.
fn fetch_wheel(wheel: &Wheel, temporary: &Path) -> Result<PathBuf> {
    let Wheel { package, version, platform, sha256 } = wheel;
    report::say(format!("getting {package} {version} through pip"));
    let folder = temporary.join(package);
    let output = Command::new(if cfg!(windows) { "python" } else { "python3" })
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"])
        .args(["--abi", "cp312", "--abi", "none", "--platform", platform, "--dest"])
        .arg(&folder)
        .arg(format!("{package}=={version}"))
        .output()
        .context("cannot run python3")?;
    ensure!(
        output.status.success(),
        "pip: {}",
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("failed without a word")
    );
    let mut files = fs::read_dir(&folder)?.filter_map(Result::ok).map(|it| it.path());
    let path = files.find(|it| it.extension().is_some_and(|it| it == "whl"));
    let path = path.context("pip downloaded no wheel")?;
    let found = network::hash_of(&path)?;
    if found != *sha256 {
        bail!("{} has SHA-256 {found}, expected {sha256}", path.display());
    }
    Ok(path)
}

/// Writes a wheel's shared libraries into one folder: they find each other there.
fn unpack_wheel(wheel: &Path, folder: &Path) -> Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.rsplit('/').next().unwrap_or_default().to_owned();
        let is_library = name.ends_with(".dll") || name.ends_with(".dylib") || name.contains(".so");
        // Python's own module, and twins for toolchains of another time.
        if is_library && !name.contains("pybind11_state") && !name.contains(".alt.") {
            write_synced(&folder.join(&name), &mut entry)?;
        }
    }
    Ok(())
}

fn member_of_tar(path: &Path, member: &str) -> Result<Vec<u8>> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(path)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.to_string_lossy().trim_start_matches("./") == member {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    bail!("{} has no {member}", path.display())
}

fn write_synced(path: &Path, content: &mut dyn Read) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut file = File::create(path).with_context(context)?;
    io::copy(content, &mut file).with_context(context)?;
    file.flush().with_context(context)?;
    file.sync_all().with_context(context)
}
