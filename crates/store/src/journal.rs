//! The rows of a run in progress: appended batch by batch, readable up to the last whole batch.
//!
//! A Parquet file is useless until its footer is written, so rows go here first. A record is
//! `n_rows: u32 LE`, then per row the digest (32 bytes) and the embedding (f32 LE), then BLAKE3 of all
//! that. A record cut short by a kill, or garbled by a power failure, ends the journal; everything
//! before it counts.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::digest::Digest;
use crate::error::{StoreError, io as io_error};

/// Most rows in one record: bounds what a garbled length can make the reader allocate.
const MAX_ROWS: u32 = 1 << 16;

/// A kill loses nothing that was written; a power failure at most this much.
const SYNC_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    synced: Instant,
}

impl Journal {
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path);
        let file = file.map_err(io_error("write", path))?;
        Ok(Self { path: path.to_owned(), file, n_bytes: 0, synced: Instant::now() })
    }

    pub(crate) fn append(&mut self, digests: &[Digest], rows: &[f32]) -> Result<(), StoreError> {
        let Some(n_features) = rows.len().checked_div(digests.len()) else {
            return Ok(());
        };
        for (digests, rows) in
            digests.chunks(MAX_ROWS as usize).zip(rows.chunks(MAX_ROWS as usize * n_features.max(1)))
        {
            let mut record = Vec::with_capacity(4 + digests.len() * (32 + 4 * n_features) + 32);
            let n_rows = u32::try_from(digests.len()).expect("chunks of at most MAX_ROWS");
            record.extend_from_slice(&n_rows.to_le_bytes());
            for (digest, row) in digests.iter().zip(rows.chunks_exact(n_features)) {
                record.extend_from_slice(&digest.0);
                record.extend(row.iter().flat_map(|it| it.to_le_bytes()));
            }
            record.extend_from_slice(blake3::hash(&record).as_bytes());
            // One write per record: a kill leaves at most one record incomplete.
            self.file.write_all(&record).map_err(io_error("write", &self.path))?;
            self.n_bytes += record.len() as u64;
        }
        if self.synced.elapsed() > SYNC_INTERVAL {
            self.file.sync_data().map_err(io_error("write", &self.path))?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Calls `visit` with the digests and rows of every whole record.
pub(crate) fn replay(
    path: &Path,
    n_features: usize,
    mut visit: impl FnMut(&[Digest], &[f32]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let file = File::open(path).map_err(io_error("read", path))?;
    let mut reader = BufReader::new(file);
    let (mut record, mut digests, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    while read_record(&mut reader, n_features, &mut record).map_err(io_error("read", path))? {
        digests.clear();
        rows.clear();
        for row in record[4..].chunks_exact(32 + 4 * n_features) {
            let (digest, values) = row.split_at(32);
            digests.push(Digest(digest.try_into().expect("32 bytes")));
            rows.extend(values.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])));
        }
        visit(&digests, &rows)?;
    }
    Ok(())
}

/// Reads one record into `record` (without its checksum); false at the end or at damage.
fn read_record(reader: &mut impl Read, n_features: usize, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut head = [0; 4];
    if !read_whole(reader, &mut head)? {
        return Ok(false);
    }
    let n_rows = u32::from_le_bytes(head);
    if n_rows > MAX_ROWS {
        return Ok(false);
    }
    let length = n_rows as usize * (32 + 4 * n_features);
    record.clear();
    record.extend_from_slice(&head);
    // `take` grows the buffer as bytes arrive: a wrong length cannot allocate more than the file has.
    let got = reader.by_ref().take(length as u64).read_to_end(record)?;
    let mut checksum = [0; 32];
    Ok(got == length && read_whole(reader, &mut checksum)? && blake3::hash(record).as_bytes() == &checksum)
}

fn read_whole(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(err) => Err(err),
    }
}
