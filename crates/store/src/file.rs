//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{StoreError, io as io_error};

/// The temporary name that writer `owner` uses beside `path`; one per writer, so a repeat reuses it.
pub(crate) fn temporary(path: &Path, owner: &str) -> PathBuf {
    path.with_file_name(format!(".{owner}.tmp"))
}

/// Writes a file under a temporary name, syncs it, renames it into place and syncs the folder.
pub(crate) fn write_atomically(
    path: &Path,
    owner: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let temporary = temporary(path, owner);
    let mut file = File::create(&temporary).map_err(io_error("write", &temporary))?;
    write(&mut file).map_err(io_error("write", &temporary))?;
    commit(file, &temporary, path)
}

/// Syncs a finished temporary file and renames it into place.
pub(crate) fn commit(file: File, temporary: &Path, path: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(io_error("write", temporary))?;
    drop(file);
    fs::rename(temporary, path).map_err(io_error("rename", path))?;
    sync_folder(path);
    Ok(())
}

/// Makes a rename durable. Systems that cannot sync a folder do not need it, or offer nothing better.
fn sync_folder(path: &Path) {
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        drop(folder.sync_all());
    }
}

/// The files of a folder, sorted by name; empty when the folder does not exist.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(io_error("read", dir)(err)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(io_error("read", dir))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// BLAKE3 of a file's bytes, hexadecimal; computed on all cores.
pub(crate) fn hash(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(io_error("read", path))?;
    let mut hasher = blake3::Hasher::new();
    // Read and not mapped: a disk that fails under a mapping kills the process.
    let mut buffer = vec![0; 8 << 20];
    loop {
        match file.read(&mut buffer).map_err(io_error("read", path))? {
            0 => return Ok(hasher.finalize().to_hex().to_string()),
            n => hasher.update_rayon(&buffer[..n]),
        };
    }
}

/// Removes a file; one that is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(err)),
        _ => Ok(()),
    }
}
