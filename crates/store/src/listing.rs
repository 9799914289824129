//! Listings: which samples files belong together, and which of them are the samples of the store.
//!
//! A run of a whole dataset writes one file, a shard one of several. The store's listing is the one of
//! which every file is there; another takes its place only when that one is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::StoreError;
use crate::run::{Run, Shards};

/// The samples files of one listing, sorted by name; at least one.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) key: Option<(u32, u64)>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) shards: Shards,
}

/// Count of shards and number of a listing; none for that of a whole run.
pub(crate) fn key(run: Run) -> Option<(u32, u64)> {
    match run {
        Run::Whole => None,
        Run::Shard { count, listing, .. } => Some((count, listing)),
    }
}

/// Sorts samples files by listing.
pub(crate) fn listings(files: &[PathBuf]) -> Vec<Listing> {
    let mut groups: BTreeMap<_, Vec<&PathBuf>> = BTreeMap::new();
    for file in files {
        groups.entry(key(Run::of_file(file))).or_default().push(file);
    }
    let of = |(key, files): (Option<(u32, u64)>, Vec<&PathBuf>)| {
        let index = |it: &&PathBuf| match Run::of_file(it) {
            Run::Whole => 0,
            Run::Shard { index, .. } => index,
        };
        let shards = Shards { present: files.iter().map(index).collect(), count: key.map_or(1, |it| it.0) };
        Listing { key, files: files.into_iter().cloned().collect(), shards }
    };
    groups.into_iter().map(of).collect()
}

/// The files of the store's listing; none when nothing was listed yet.
pub(crate) fn current(dir: &Path, files: &[PathBuf]) -> Result<Vec<PathBuf>, StoreError> {
    let (complete, incomplete): (Vec<_>, Vec<_>) =
        listings(files).into_iter().partition(|it| it.shards.n_missing() == 0);
    // There are two only when a run was killed between writing one and removing the other.
    if let Some(listing) = complete.into_iter().max_by_key(|it| written(&it.files)) {
        return Ok(listing.files);
    }
    let n_listings = incomplete.len();
    match incomplete.into_iter().min_by_key(|it| it.shards.n_missing()) {
        None => Ok(Vec::new()),
        Some(Listing { shards, .. }) => {
            Err(StoreError::IncompleteListing { path: dir.to_owned(), shards, n_listings })
        }
    }
}

/// When the last file was written; files that are gone meanwhile do not count.
fn written(files: &[PathBuf]) -> Option<SystemTime> {
    files.iter().filter_map(|it| fs::metadata(it).ok()?.modified().ok()).max()
}
