//! Runs: which part of a dataset each covers, and what its files are called.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::digest::Digest;

/// Which part of a dataset a run covers.
///
/// One run of all of it, or any number of different shards, may write at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// All of it.
    Whole,
    /// One of several fixed parts of a listing.
    Shard {
        /// Index of the shard, from 0.
        index: u32,
        /// How many there are.
        count: u32,
        /// Number of the listing, a hash of all of it: shards of different ones never mix.
        listing: u64,
    },
}

/// Name of the run's lock, journal and samples file; a repeat of the run has the same.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Shard { index, count, listing } => {
                // From 1, as people count them.
                write!(f, "shard-{:05}-of-{count:05}-{listing:016x}", u64::from(*index) + 1)
            }
        }
    }
}

impl Run {
    /// Whether a path is in this part: by a hash of it, so that it stays there whatever else is listed.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Shard { index, count, .. } => {
                Digest::of(path.as_bytes()).number() % u64::from(*count).max(1) == u64::from(*index)
            }
        }
    }

    /// The run whose file this is; `None` for a name that is no run's.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        path.file_stem().and_then(|it| Self::parse(it.to_str()?))
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == Self::Whole.to_string() {
            return Some(Self::Whole);
        }
        let mut fields = name.strip_prefix("shard-")?.split('-');
        let (index, of, count, listing) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (index, count) = (index.parse::<u32>().ok()?.checked_sub(1)?, count.parse().ok()?);
        let run = Self::Shard { index, count, listing: u64::from_str_radix(listing, 16).ok()? };
        (of == "of" && index < count && run.to_string() == name).then_some(run)
    }
}

/// Which shards of a listing are there; written as those that are not, `2/3, 3/3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// Those that are there, from 0.
    pub present: BTreeSet<u32>,
    /// How many the listing has; 1 for that of a whole run.
    pub count: u32,
}

impl Shards {
    /// How many are not there.
    #[must_use]
    pub fn n_missing(&self) -> usize {
        (self.count as usize).saturating_sub(self.present.len())
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const N_TOLD: usize = 5;
        let missing = (0..self.count).filter(|it| !self.present.contains(it)).take(N_TOLD);
        let missing: Vec<String> = missing.map(|it| format!("{}/{}", it + 1, self.count)).collect();
        f.write_str(&missing.join(", "))?;
        match self.n_missing().saturating_sub(missing.len()) {
            0 => Ok(()),
            n => write!(f, " and {n} more"),
        }
    }
}

/// A dataset of which some shards are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Its folder.
    pub root: String,
    /// Its shards.
    pub shards: Shards,
}

/// `/data/ants: 2/3, 3/3`: its folder, and what is missing.
impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.root, self.shards)
    }
}
