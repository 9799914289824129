//! What a file looks like from outside, and its bytes with that.

use std::fs::{File, Metadata};
use std::io::{Read, Seek};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headstart_input::Limits;
use headstart_store::{Digest, FileStat};

use crate::row::ItemError;

/// Size and times of a file.
#[must_use]
pub(crate) fn file_stat(metadata: &Metadata) -> FileStat {
    let mtime_ns = metadata
        .modified()
        .ok()
        .and_then(|it| i64::try_from(it.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok())
        .unwrap_or(0);
    FileStat { size: metadata.len(), mtime_ns, ctime_ns: ctime_ns(metadata).unwrap_or(mtime_ns) }
}

#[cfg(unix)]
fn ctime_ns(metadata: &Metadata) -> Option<i64> {
    use std::os::unix::fs::MetadataExt;
    metadata.ctime().checked_mul(1_000_000_000)?.checked_add(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn ctime_ns(_: &Metadata) -> Option<i64> {
    None
}

/// What a regular file looks like.
pub(crate) fn stat_of(path: &Path) -> Option<FileStat> {
    std::fs::metadata(path).ok().filter(Metadata::is_file).map(|it| file_stat(&it))
}

/// What a regular file looks like that has at most so many bytes.
pub(crate) fn look_at(path: &Path, limit: u64) -> Result<FileStat, ItemError> {
    let metadata = std::fs::metadata(path).map_err(ItemError::Read)?;
    if !metadata.is_file() {
        return Err(ItemError::NotAFile);
    }
    let bytes = metadata.len();
    if bytes > limit {
        return Err(ItemError::TooLong { bytes, limit });
    }
    Ok(file_stat(&metadata))
}

/// Reads the file of an input whole.
///
/// # Errors
/// [`ItemError`] when it is no regular file or too long, cannot be read, or changes meanwhile.
pub fn read_input(path: &Path, limits: &Limits) -> Result<Vec<u8>, ItemError> {
    Ok(read_file(path, look_at(path, limits.max_input_bytes)?)?.0)
}

/// Reads a file whole that was looked at, since opening a pipe would wait for its writer; refuses one that
/// changed meanwhile. Returns the stat to remember.
pub(crate) fn read_file(path: &Path, before: FileStat) -> Result<(Vec<u8>, FileStat), ItemError> {
    let mut file = File::open(path).map_err(ItemError::Read)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0));
    file.by_ref().take(before.size + 1).read_to_end(&mut bytes).map_err(ItemError::Read)?;
    expect_unchanged(&file, before)?;
    if before.size != bytes.len() as u64 {
        return Err(ItemError::Changed);
    }
    Ok((bytes, settled(before)))
}

/// A file that was looked at, its digest, and the stat to remember; its bytes are not held.
pub(crate) fn digest_file(path: &Path, before: FileStat) -> Result<(File, Digest, FileStat), ItemError> {
    let mut file = File::open(path).map_err(ItemError::Read)?;
    let digest = Digest::of_reader(&file).map_err(ItemError::Read)?;
    file.rewind().map_err(ItemError::Read)?;
    expect_unchanged(&file, before)?;
    Ok((file, digest, settled(before)))
}

/// Refuses a file that is no longer what it was.
pub(crate) fn expect_unchanged(file: &File, before: FileStat) -> Result<(), ItemError> {
    let stat = file_stat(&file.metadata().map_err(ItemError::Read)?);
    if stat == before { Ok(()) } else { Err(ItemError::Changed) }
}

/// A file changed this shortly before it was read may change again within the same tick of the file
/// system's clock, without its times showing it (Git calls such a file racily clean).
const RACY: Duration = Duration::from_millis(50);

/// The stat to remember: of a file that may still change unseen, one that matches no file, so that the
/// next run reads it again.
fn settled(stat: FileStat) -> FileStat {
    let racy_from = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(RACY);
    let changed = stat.mtime_ns.max(stat.ctime_ns);
    if i128::from(changed) < i128::try_from(racy_from.as_nanos()).unwrap_or(i128::MAX) {
        return stat;
    }
    FileStat { mtime_ns: i64::MIN, ..stat }
}
