//! Who may write to a store, and when.
//!
//! Locks are the operating system's: it lets go of them when a process ends, however it ends. A run holds
//! the lock of its name from its first look to its end. A whole run holds that of `whole` alone, shards
//! share it: they exclude each other, shards of different names do not. All of these are taken, looked at
//! and removed by whoever has the store's *turn*, a lock that is held for short: while a run takes its locks,
//! cleans up after dead ones, and replaces the samples.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{StoreError, io};
use crate::file;
use crate::run::Run;

/// Held until dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    _files: Vec<File>,
}

/// Waits for the store's turn.
pub(crate) fn turn(dir: &Path) -> Result<Lock, StoreError> {
    let path = path(dir, "turn");
    let file = open(&path)?;
    file.lock().map_err(io("lock", &path))?;
    Ok(Lock { _files: vec![file] })
}

/// Takes a run's locks; to be called by whoever has the turn.
pub(crate) fn run(dir: &Path, run: Run) -> Result<Lock, StoreError> {
    let whole = path(dir, &Run::Whole.to_string());
    let own = path(dir, &run.to_string());
    let is_whole = run == Run::Whole;
    let mut files = vec![taken(&whole, if is_whole { File::try_lock } else { File::try_lock_shared })?];
    if !is_whole {
        files.push(taken(&own, File::try_lock)?);
    }
    let files = files.into_iter().collect::<Option<Vec<_>>>();
    let files = files.ok_or_else(|| StoreError::Locked { path: dir.to_owned() })?;
    Ok(Lock { _files: files })
}

/// Names of the shards that are being run, `own` aside; to be called by whoever has the turn, after
/// [`run`]. Lock files of others are removed.
pub(crate) fn running(dir: &Path, own: Run) -> Result<HashSet<String>, StoreError> {
    let mut running = HashSet::new();
    for path in file::list(&folder(dir))? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("shard-") && name != own.to_string() {
            match taken(&path, File::try_lock)? {
                Some(_) => file::remove(&path)?,
                None => drop(running.insert(name)),
            }
        }
    }
    Ok(running)
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("locks")
}

fn path(dir: &Path, name: &str) -> PathBuf {
    folder(dir).join(format!("{name}.lock"))
}

fn open(path: &Path) -> Result<File, StoreError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io("create", folder))?;
    }
    // Read too: NFS shares no lock on a file that is only written.
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options.open(path).map_err(io("write", path))
}

/// Takes a lock; `None` while another process holds it.
fn taken(
    path: &Path,
    lock: impl FnOnce(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>, StoreError> {
    let file = open(path)?;
    match lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(err)) => Err(io("lock", path)(err)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// A file that is open for writing only cannot have a shared lock on NFS, which no local disk shows.
    #[test]
    fn lock_files_are_open_for_reading() {
        let dir = std::env::temp_dir().join(format!("headstart-store-lock-{}", std::process::id()));
        let mut file = open(&path(&dir, "whole")).unwrap();
        assert_eq!(file.read(&mut [0]).unwrap(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
