//! Fetching a build and putting it into the cache: whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::builds::{Build, Source, Wheel};
use super::error::ProvisionError;
use super::network::{download, hash_of};
use crate::error::{Error, io as io_error};
use crate::event::{Events, Note, note};
use crate::files::write_file;

/// Lengths and checksums of a build's files, beside them.
const FILES: &str = "files.json";

/// What the names of temporary folders begin with.
const TEMPORARY: &str = ".setup-";

/// Puts a build into its folder below `folder`, and returns the path of ONNX Runtime's library.
pub(super) fn install(build: &Build, folder: &Path, events: &mut Events<'_>) -> Result<PathBuf, Error> {
    // What a killed setup left: whoever installs holds the lock.
    for entry in fs::read_dir(folder).map_err(io_error("read", folder))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    // The temporary folder lies beside its destination, so that a rename moves what it holds.
    let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(folder);
    let temporary = temporary.map_err(io_error("write", folder))?;
    let staged = temporary.path().join("staged");
    fs::create_dir(&staged).map_err(io_error("create", &staged))?;
    match &build.source {
        Source::Wheels(wheels) => {
            for wheel in *wheels {
                unpack_wheel(&fetch_wheel(wheel, temporary.path(), events)?, &staged)?;
            }
        }
        Source::Archive { name, version, sha256, member } => {
            let address =
                format!("https://github.com/microsoft/onnxruntime/releases/download/v{version}/{name}");
            let path = temporary.path().join(name);
            download(&address, &path, sha256, None, events)?;
            let library = if name.ends_with(".zip") {
                member_of_zip(&path, member)?
            } else {
                member_of_tar(&path, member)?
            };
            write_synced(&staged.join(build.library), &mut library.as_slice())?;
        }
    }
    if !staged.join(build.library).is_file() {
        let reason = "it is not in what was fetched".to_owned();
        return Err(ProvisionError::Package { path: PathBuf::from(build.library), reason }.into());
    }
    write_known(&staged)?;
    let destination = folder.join(build.folder);
    // One that was damaged goes with the temporary folder: at no time is a half of it there.
    if destination.exists() {
        let old = temporary.path().join("old");
        fs::rename(&destination, old).map_err(io_error("replace", &destination))?;
    }
    fs::rename(&staged, &destination).map_err(io_error("write", &destination))?;
    Ok(destination.join(build.library))
}

/// What is known of a build in the cache.
pub(super) enum State {
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
pub(super) fn check(library: &Path) -> State {
    let Some(files) = known(library) else { return State::Unknown };
    for (file, Known { sha256, .. }) in files {
        match hash_of(&file) {
            Ok(found) if found == sha256 => {}
            Ok(_) => return State::Damaged(format!("{} is damaged", file.display())),
            Err(err) => return State::Damaged(chain(&err)),
        }
    }
    State::Good
}

/// A file of a build that has not the length it should have, in words; quick enough for every start.
pub(super) fn cut_short(library: &Path) -> Option<String> {
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

fn write_known(staged: &Path) -> Result<(), Error> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(staged).map_err(io_error("read", staged))? {
        let entry = entry.map_err(io_error("read", staged))?;
        let bytes = entry.metadata().map_err(io_error("read", staged))?.len();
        let known = Known { bytes, sha256: hash_of(&entry.path())? };
        files.insert(entry.file_name().to_string_lossy().into_owned(), known);
    }
    let text = serde_json::to_string_pretty(&files).expect("names and numbers are JSON");
    write_file(&staged.join(FILES), text.as_bytes())
}

/// An error and what caused it, in one line.
pub(super) fn chain(err: &Error) -> String {
    let mut text = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(err) = cause {
        text += &format!(": {err}");
        cause = err.source();
    }
    text
}

/// Has pip download a wheel into a folder of its own, and checks it.
fn fetch_wheel(wheel: &Wheel, temporary: &Path, events: &mut Events<'_>) -> Result<PathBuf, Error> {
    let Wheel { package, version, platform, sha256 } = wheel;
    note(events, Note::Getting { package: (*package).to_owned(), version: (*version).to_owned() });
    let folder = temporary.join(package);
    let python = Path::new(if cfg!(windows) { "python" } else { "python3" });
    let output = Command::new(python)
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"])
        .args(["--abi", "cp312", "--abi", "none", "--platform", platform, "--dest"])
        .arg(&folder)
        .arg(format!("{package}=={version}"))
        .output()
        .map_err(io_error("run", python))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.lines().last().unwrap_or("failed without a word").to_owned();
        return Err(ProvisionError::Pip { message }.into());
    }
    let mut files = fs::read_dir(&folder).map_err(io_error("read", &folder))?.flatten().map(|it| it.path());
    let Some(path) = files.find(|it| it.extension().is_some_and(|it| it == "whl")) else {
        return Err(ProvisionError::Pip { message: "downloaded no wheel".to_owned() }.into());
    };
    let found = hash_of(&path)?;
    if found != *sha256 {
        return Err(ProvisionError::Package {
            path,
            reason: format!("has SHA-256 {found}, expected {sha256}"),
        }
        .into());
    }
    Ok(path)
}

/// A package that does not read.
fn damaged<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> Error {
    |err| ProvisionError::Package { path: path.to_owned(), reason: err.to_string() }.into()
}

/// Writes a wheel's shared libraries into one folder: they find each other there.
fn unpack_wheel(wheel: &Path, folder: &Path) -> Result<(), Error> {
    let mut archive = open_zip(wheel)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged(wheel))?;
        let name = entry.name().map_err(damaged(wheel))?.rsplit('/').next().unwrap_or_default().to_owned();
        let is_library = name.ends_with(".dll") || name.ends_with(".dylib") || name.contains(".so");
        // Python's own module, and twins for toolchains of another time.
        if is_library && !name.contains("pybind11_state") && !name.contains(".alt.") {
            write_synced(&folder.join(&name), &mut entry)?;
        }
    }
    Ok(())
}

fn open_zip(path: &Path) -> Result<zip::ZipArchive<File>, Error> {
    zip::ZipArchive::new(File::open(path).map_err(io_error("read", path))?).map_err(damaged(path))
}

fn member_of_zip(path: &Path, member: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut archive = open_zip(path)?;
    let mut entry = archive.by_name(member).map_err(damaged(path))?;
    entry.read_to_end(&mut bytes).map_err(damaged(path))?;
    Ok(bytes)
}

fn member_of_tar(path: &Path, member: &str) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().map_err(damaged(path))? {
        let mut entry = entry.map_err(damaged(path))?;
        let name = entry.path().map_err(damaged(path))?.to_string_lossy().into_owned();
        if name.trim_start_matches("./") == member {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(damaged(path))?;
            return Ok(bytes);
        }
    }
    Err(ProvisionError::Package { path: path.to_owned(), reason: format!("has no {member}") }.into())
}

/// Writes a file of a folder that is renamed as a whole.
fn write_synced(path: &Path, content: &mut dyn Read) -> Result<(), Error> {
    let mut file = File::create(path).map_err(io_error("write", path))?;
    io::copy(content, &mut file).map_err(io_error("write", path))?;
    file.sync_all().map_err(io_error("write", path))
}
