//! The store as the one run that writes to it sees it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{StoreError, io};
use crate::file;
use crate::journal::{self, Journal};
use crate::part::{self, PartWriter};
use crate::sample::{self, Sample, SampleTable};
use crate::store::Store;

/// Journal size at which its rows become a part in the middle of a run.
const JOURNAL_BYTES: u64 = 256 << 20;

/// Which part of a dataset a run covers. Runs of different names may write at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// All of it.
    Whole,
    /// One of several fixed parts of the listing.
    Shard {
        /// From 0.
        index: u32,
        /// How many there are.
        count: u32,
    },
}

/// Name of the run's lock, journal and samples file; a repeat of the run has the same.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Shard { index, count } => write!(f, "shard-{index:05}-of-{count:05}"),
        }
    }
}

/// What a run found and put in order before it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Embeddings taken over from runs that were killed.
    pub n_recovered: usize,
    /// Files that did not read and were set aside; their embeddings will be computed again.
    pub set_aside: Vec<PathBuf>,
}

/// Adds embeddings to a store and replaces its samples; made by [`Store::writer`].
#[derive(Debug)]
pub struct Writer {
    store: Store,
    run: Run,
    /// Held until the run ends, however it ends.
    _lock: File,
    journal: Option<Journal>,
    in_parts: HashSet<Digest>,
    in_journal: HashSet<Digest>,
    previous: SampleTable,
    recovery: Recovery,
}

impl Writer {
    pub(crate) fn open(store: &Store, run: Run) -> Result<Self, StoreError> {
        let locked = || StoreError::Locked { path: store.dir().to_owned() };
        let lock = try_lock(store.dir(), &run.to_string())?.ok_or_else(locked)?;
        let mut writer = Self {
            store: store.clone(),
            run,
            _lock: lock,
            journal: None,
            in_parts: HashSet::new(),
            in_journal: HashSet::new(),
            previous: SampleTable::default(),
            recovery: Recovery::default(),
        };
        writer.read_parts()?;
        writer.read_samples()?;
        writer.clean_up()?;
        Ok(writer)
    }

    /// Whether the store has this embedding, or this run has added it.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.in_parts.contains(digest) || self.in_journal.contains(digest)
    }

    /// The digests that have an embedding in the store's parts: all that were there when the run began.
    #[must_use]
    pub fn stored(&self) -> &HashSet<Digest> {
        &self.in_parts
    }

    /// The samples as the last run left them, and the folder they are relative to.
    #[must_use]
    pub fn previous_samples(&self) -> &SampleTable {
        &self.previous
    }

    /// What was put in order when the run began.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Adds embeddings. They survive a kill from here on; digests the store has are skipped.
    ///
    /// # Errors
    /// [`StoreError::FeatureCountMismatch`] when `rows` is not `digests.len() × n_features`;
    /// [`StoreError::Io`].
    pub fn append(&mut self, digests: &[Digest], rows: &[f32]) -> Result<(), StoreError> {
        let expected = self.store.space().n_features;
        if rows.len() != digests.len() * expected {
            let actual = rows.len().checked_div(digests.len()).unwrap_or(rows.len());
            return Err(StoreError::FeatureCountMismatch { expected, actual });
        }
        let mut new_digests = Vec::with_capacity(digests.len());
        let mut new_rows = Vec::with_capacity(rows.len());
        for (digest, row) in digests.iter().zip(rows.chunks_exact(expected)) {
            if !self.in_parts.contains(digest) && self.in_journal.insert(*digest) {
                new_digests.push(*digest);
                new_rows.extend_from_slice(row);
            }
        }
        if new_digests.is_empty() {
            return Ok(());
        }
        let journal = match &mut self.journal {
            Some(journal) => journal,
            none => none.insert(Journal::create(&journal_path(&self.store, &self.run.to_string()))?),
        };
        journal.append(&new_digests, &new_rows)?;
        if journal.n_bytes() > JOURNAL_BYTES {
            self.fold_own_journal()?;
        }
        Ok(())
    }

    /// Ends the run: its rows become a part, `table` becomes the samples.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Parquet`]; the rows stay in the journal then, for the next run.
    pub fn finish(mut self, table: &SampleTable) -> Result<(), StoreError> {
        self.fold_own_journal()?;
        let path = self.store.samples_dir().join(format!("{}.parquet", self.run));
        if *table != self.previous || !path.exists() {
            sample::write(&path, &self.run.to_string(), table)?;
        }
        for other in self.store.sample_files()? {
            if other != path && !self.is_sibling(&other) {
                file::remove(&other)?;
            }
        }
        Ok(())
    }

    /// Whether a samples file belongs to another shard of the same division.
    fn is_sibling(&self, path: &Path) -> bool {
        let Run::Shard { count, .. } = self.run else {
            return false;
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        name.ends_with(&format!("-of-{count:05}"))
    }

    fn read_parts(&mut self) -> Result<(), StoreError> {
        for path in self.store.parts()? {
            match part::read_digests(&path) {
                Ok(digests) => self.in_parts.extend(digests),
                Err(err) => self.set_aside(&path, err)?,
            }
        }
        Ok(())
    }

    fn read_samples(&mut self) -> Result<(), StoreError> {
        for path in self.store.sample_files()? {
            match sample::read(&path) {
                Ok(SampleTable { root, samples }) => {
                    self.previous.root = root;
                    self.previous.samples.extend(samples);
                }
                Err(err) => self.set_aside(&path, err)?,
            }
        }
        Ok(())
    }

    /// A file that reads as damaged goes out of the way, to be looked at; a disk that fails is reported.
    fn set_aside(&mut self, path: &Path, err: StoreError) -> Result<(), StoreError> {
        if matches!(err, StoreError::Io { .. }) {
            return Err(err);
        }
        let aside = path.with_extension("parquet.corrupt");
        fs::rename(path, &aside).map_err(io("rename", path))?;
        self.recovery.set_aside.push(aside);
        Ok(())
    }

    /// Finishes what runs that are no longer going on left behind.
    fn clean_up(&mut self) -> Result<(), StoreError> {
        let own = self.run.to_string();
        let mut held: HashMap<String, Option<File>> = HashMap::new();
        let folders = [self.store.dir().to_owned(), self.store.embeddings_dir(), self.store.samples_dir()];
        for path in folders.iter().map(|it| file::list(it)).collect::<Result<Vec<_>, _>>()?.concat() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let journal_of = name.strip_prefix("journal-").and_then(|it| it.strip_suffix(".bin"));
            let temporary_of = name.strip_prefix('.').and_then(|it| it.strip_suffix(".tmp"));
            let Some(owner) = journal_of.or(temporary_of) else {
                continue;
            };
            // A run that still holds its lock still needs its files.
            if owner != own && !owner.starts_with(file::MANIFEST_OWNER) {
                if !held.contains_key(owner) {
                    held.insert(owner.to_owned(), try_lock(self.store.dir(), owner)?);
                }
                if held[owner].is_none() {
                    continue;
                }
            }
            if journal_of.is_some() {
                self.recovery.n_recovered += self.fold(&path)?;
            }
            file::remove(&path)?;
        }
        Ok(())
    }

    fn fold_own_journal(&mut self) -> Result<(), StoreError> {
        if let Some(journal) = self.journal.take() {
            let path = journal.path().to_owned();
            drop(journal);
            self.fold(&path)?;
            self.in_journal.clear();
            file::remove(&path)?;
        }
        Ok(())
    }

    /// Writes the rows of a journal that no part has as a part, and returns how many they are.
    fn fold(&mut self, journal: &Path) -> Result<usize, StoreError> {
        let dir = self.store.embeddings_dir();
        let n_features = self.store.space().n_features;
        let temporary = file::temporary(&dir.join("part"), &self.run.to_string());
        let out = File::create(&temporary).map_err(io("write", &temporary))?;
        let mut part = PartWriter::new(out, &temporary, n_features)?;
        let mut added = HashSet::new();
        journal::replay(journal, n_features, |digests, rows| {
            let mut new_digests = Vec::with_capacity(digests.len());
            let mut new_rows = Vec::with_capacity(rows.len());
            for (digest, row) in digests.iter().zip(rows.chunks_exact(n_features)) {
                if !self.in_parts.contains(digest) && added.insert(*digest) {
                    new_digests.push(*digest);
                    new_rows.extend_from_slice(row);
                }
            }
            part.write(&temporary, &new_digests, &new_rows)
        })?;
        let out = part.finish(&temporary)?;
        if added.is_empty() {
            drop(out);
            file::remove(&temporary)?;
            return Ok(0);
        }
        // Named after its bytes: folding the same journal twice gives the same file, and damage shows.
        let name = part::name(&file::hash(&temporary)?);
        file::commit(out, &temporary, &dir.join(name))?;
        let n_added = added.len();
        self.in_parts.extend(added);
        Ok(n_added)
    }

    /// The previous samples by path.
    #[must_use]
    pub fn previous_by_path(&self) -> HashMap<&str, &Sample> {
        self.previous.samples.iter().map(|it| (it.path.as_str(), it)).collect()
    }
}

fn journal_path(store: &Store, owner: &str) -> PathBuf {
    store.embeddings_dir().join(format!("journal-{owner}.bin"))
}

/// Takes a run's lock; `None` while another process holds it. The operating system lets go of it when
/// the process ends, however it ends.
fn try_lock(dir: &Path, owner: &str) -> Result<Option<File>, StoreError> {
    let folder = dir.join("locks");
    let path = folder.join(format!("{owner}.lock"));
    fs::create_dir_all(&folder).map_err(io("create", &folder))?;
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(err)) => Err(io("lock", &path)(err)),
    }
}
