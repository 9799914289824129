//! Listings: which samples files belong together, and which of them are the samples of the store.
//!
//! A run of a whole dataset writes one file, a shard one of several. The store's listing is the last one of
//! which every file is there; another takes its place only when that one is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::StoreError;
use crate::run::{Run, Shards, Unfinished};
use crate::sample;

/// The samples files of one listing, sorted by name; at least one.
#[derive(Debug)]
pub(crate) struct SampleFiles {
    pub(crate) key: Key,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) shards: Shards,
    /// When the first file was written, and the last.
    pub(crate) begun: Option<SystemTime>,
    pub(crate) written: Option<SystemTime>,
}

/// Count of shards and number of a listing; none for that of a whole run.
pub(crate) type Key = Option<(u32, u64)>;

pub(crate) fn key(run: Run) -> Key {
    match run {
        Run::Whole => None,
        Run::Shard { count, listing, .. } => Some((count, listing)),
    }
}

impl SampleFiles {
    pub(crate) fn is_complete(&self) -> bool {
        self.shards.n_missing() == 0
    }

    /// Whether another listing goes now that a run of this one has ended; `was_current` when it was the
    /// store's before.
    pub(crate) fn supersedes(&self, other: &Self, was_current: bool) -> bool {
        // A whole run is what is wanted now, and no shard goes on beside it. Among shards, one that was
        // begun later is still in the making.
        let is_in_the_making = was_current || other.begun >= self.begun;
        self.is_complete() && (other.is_complete() || self.key.is_none() || !is_in_the_making)
    }

    pub(crate) fn unfinished(self) -> Unfinished {
        // Not worth an error: nothing is made of it.
        let root = sample::read_root(&self.files[0]).unwrap_or_else(|_| "a dataset".to_owned());
        Unfinished { root, shards: self.shards }
    }
}

/// Sorts samples files by listing, the one that was written last at the end. What users or other programs
/// keep beside them is theirs, and left out.
pub(crate) fn listings(files: &[PathBuf]) -> Vec<SampleFiles> {
    let mut listings: BTreeMap<Key, SampleFiles> = BTreeMap::new();
    for file in files {
        let Some(run) = Run::of_file(file) else { continue };
        let (index, count) = match run {
            Run::Whole => (0, 1),
            Run::Shard { index, count, .. } => (index, count),
        };
        let key = key(run);
        let listing = listings.entry(key).or_insert_with(|| {
            let shards = Shards { present: [].into(), count };
            SampleFiles { key, files: Vec::new(), shards, begun: None, written: None }
        });
        listing.shards.present.insert(index);
        let written = fs::metadata(file).and_then(|it| it.modified()).ok();
        listing.begun = if listing.files.is_empty() { written } else { listing.begun.min(written) };
        listing.written = listing.written.max(written);
        listing.files.push(file.clone());
    }
    let mut listings: Vec<SampleFiles> = listings.into_values().collect();
    listings.sort_by_key(|it| it.written);
    listings
}

/// The store's listing; none when nothing was listed yet.
pub(crate) fn current(dir: &Path, files: &[PathBuf]) -> Result<Option<SampleFiles>, StoreError> {
    let (mut complete, mut incomplete): (Vec<_>, Vec<_>) =
        listings(files).into_iter().partition(SampleFiles::is_complete);
    // There are two only when a run was killed between writing one and removing the other.
    match (complete.pop(), incomplete.pop()) {
        (None, Some(last)) => {
            let (last, n_listings) = (last.unfinished(), incomplete.len() + 1);
            Err(StoreError::IncompleteListing { path: dir.to_owned(), last, n_listings })
        }
        (current, _) => Ok(current),
    }
}
