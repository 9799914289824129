//! What a file looks like from outside.

use std::fs::Metadata;
use std::time::UNIX_EPOCH;

use headstart_store::FileStat;

/// Size and times of a file.
#[must_use]
pub fn file_stat(metadata: &Metadata) -> FileStat {
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
