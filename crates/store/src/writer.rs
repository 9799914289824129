//! The store as the one run that writes to it sees it.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{StoreError, io};
use crate::failure::{self, Failure};
use crate::file;
use crate::journal::{self, Journal};
use crate::listing::{self, SampleFiles};
use crate::lock::{self, Lock};
use crate::part::{self, PartWriter};
use crate::run::{Run, Shards};
use crate::sample::{self, Sample, SampleTable};
use crate::store::Store;

/// Journal size at which its rows become a part in the middle of a run.
const JOURNAL_BYTES: u64 = 256 << 20;

/// What a run found and put in order before it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Embeddings taken over from runs that were killed.
    pub n_recovered: usize,
    /// Files that did not read and were set aside; their embeddings will be computed again.
    pub set_aside: Vec<PathBuf>,
}

/// What the end of a run left in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Shards of the run's listing. While some are missing, the store's listing is the one before.
    pub shards: Shards,
    /// Other listings of which shards are missing.
    pub n_unfinished: usize,
    /// Folder and number of samples of another dataset, which this one took the place of.
    pub replaced: Option<(String, usize)>,
    /// The list of the run's failures, when there are any.
    pub failures: Option<PathBuf>,
}

/// Adds embeddings to a store and replaces its samples; made by [`Store::writer`].
#[derive(Debug)]
pub struct Writer {
    store: Store,
    run: Run,
    /// Held until the run ends, however it ends.
    _lock: Lock,
    journal: Option<Journal>,
    in_parts: HashSet<Digest>,
    in_journal: HashSet<Digest>,
    /// The samples as earlier runs left them, of other listings too, the last one at the end.
    previous: Vec<Previous>,
    recovery: Recovery,
}

/// A samples file of an earlier run.
#[derive(Debug)]
struct Previous {
    path: PathBuf,
    table: SampleTable,
    /// Whether it is as files are written now.
    is_typed: bool,
}

impl Writer {
    pub(crate) fn open(store: &Store, run: Run) -> Result<Self, StoreError> {
        if let Run::Shard { index, count, .. } = run
            && index >= count
        {
            return Err(StoreError::NoSuchShard { index, count });
        }
        let turn = lock::turn(store.dir())?;
        let lock = lock::run(store.dir(), run)?;
        drop(turn);
        let mut writer = Self {
            store: store.clone(),
            run,
            _lock: lock,
            journal: None,
            in_parts: HashSet::new(),
            in_journal: HashSet::new(),
            previous: Vec::new(),
            recovery: Recovery::default(),
        };
        // Not in turn: reading a large store takes its time, and others begin and end meanwhile.
        let damaged = writer.read()?;
        let turn = lock::turn(store.dir())?;
        writer.set_aside(damaged)?;
        writer.clean_up()?;
        drop(turn);
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

    /// The samples of earlier runs by path, for those paths that are relative to `root`.
    #[must_use]
    pub fn previous_samples(&self, root: &str) -> HashMap<&str, &Sample> {
        let tables = self.previous.iter().map(|it| &it.table).filter(|it| it.root == root);
        tables.flat_map(|it| &it.samples).map(|it| (it.path.as_str(), it)).collect()
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

    /// Ends the run: its rows become a part, `table` becomes its samples, `failures` its list of those.
    ///
    /// Other listings go, and their lists of failures, as soon as every shard of this one is there (a whole
    /// run is its only shard). Shards of one that was begun later stay, unless this run is a whole one.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Parquet`]; the rows stay in the journal then, for the next run.
    pub fn finish(mut self, table: &SampleTable, failures: &[Failure]) -> Result<Finished, StoreError> {
        self.fold_own_journal()?;
        let dir = self.store.dir();
        let _turn = lock::turn(dir)?;
        let list = failure::path(dir, self.run);
        failure::write(&list, self.run, failures)?;
        let before = listing::current(dir, &self.store.sample_files()?).ok().flatten();
        let path = self.store.samples_dir().join(format!("{}.parquet", self.run));
        let is_same = |it: &Previous| it.is_typed && it.table == *table;
        if !self.previous(&path).is_some_and(is_same) || !path.exists() {
            sample::write(&path, &self.run.to_string(), table)?;
        }
        let key = listing::key(self.run);
        let all = listing::listings(&self.store.sample_files()?);
        let (own, mut others): (Vec<SampleFiles>, Vec<SampleFiles>) =
            all.into_iter().partition(|it| it.key == key);
        let gone = || io("read", &path)(std::io::ErrorKind::NotFound.into());
        let own = own.into_iter().next().ok_or_else(gone)?;
        let was_current = before.as_ref().is_some_and(|it| it.key == key);
        for superseded in others.extract_if(.., |it| own.supersedes(it, was_current)) {
            superseded.files.iter().try_for_each(|it| file::remove(it))?;
        }
        for (file, of) in failure::lists(dir)?.iter().map(|(file, run)| (file, listing::key(*run))) {
            if own.is_complete() && of != key && others.iter().all(|it| it.key != of) {
                file::remove(file)?;
            }
        }
        let before = before.filter(|_| own.is_complete()).map(|it| it.files).unwrap_or_default();
        let before: Vec<&SampleTable> =
            before.iter().filter_map(|it| Some(&self.previous(it)?.table)).collect();
        let other_root = before.first().map(|it| it.root.clone()).filter(|it| *it != table.root);
        Ok(Finished {
            shards: own.shards,
            n_unfinished: others.iter().filter(|it| !it.is_complete()).count(),
            replaced: other_root.map(|it| (it, before.iter().map(|it| it.samples.len()).sum())),
            failures: (!failures.is_empty()).then_some(list),
        })
    }

    fn previous(&self, file: &Path) -> Option<&Previous> {
        self.previous.iter().find(|it| it.path == file)
    }

    /// Reads what there is, and returns what does not read.
    fn read(&mut self) -> Result<Vec<PathBuf>, StoreError> {
        let samples = listing::listings(&self.store.sample_files()?).into_iter().flat_map(|it| it.files);
        let files: Vec<PathBuf> = self.store.parts()?.into_iter().chain(samples).collect();
        let mut damaged = Vec::new();
        for path in files {
            if self.is_damaged(&path)? {
                damaged.push(path);
            }
        }
        Ok(damaged)
    }

    /// Reads a file; whether it does not read. A disk that fails is reported.
    fn is_damaged(&mut self, path: &Path) -> Result<bool, StoreError> {
        match self.read_file(path) {
            Ok(()) => Ok(false),
            // Replaced or set aside meanwhile by another run.
            Err(err) if err.is_gone() => Ok(false),
            Err(err @ StoreError::Io { .. }) => Err(err),
            Err(_) => Ok(true),
        }
    }

    fn read_file(&mut self, path: &Path) -> Result<(), StoreError> {
        if !path.starts_with(self.store.samples_dir()) {
            self.in_parts.extend(part::read_digests(path)?);
            return Ok(());
        }
        let (table, is_typed) = sample::read(path)?;
        // Other shards of the same listing have other paths: that they read is all there is to know.
        let is_sibling = |it: Run| it != self.run && listing::key(it) == listing::key(self.run);
        if !Run::of_file(path).is_some_and(is_sibling) {
            self.previous.push(Previous { path: path.to_owned(), table, is_typed });
        }
        Ok(())
    }

    /// What reads as damaged goes out of the way, to be looked at.
    fn set_aside(&mut self, damaged: Vec<PathBuf>) -> Result<(), StoreError> {
        for path in damaged {
            // Unless another run has been here first, and made it anew.
            if self.is_damaged(&path)? {
                let aside = path.with_extension("parquet.corrupt");
                fs::rename(&path, &aside).map_err(io("rename", &path))?;
                self.recovery.set_aside.push(aside);
            }
        }
        Ok(())
    }

    /// Finishes what runs that are no longer going on left behind.
    fn clean_up(&mut self) -> Result<(), StoreError> {
        let running = lock::running(self.store.dir(), self.run)?;
        let folders = [self.store.dir().to_owned(), self.store.embeddings_dir(), self.store.samples_dir()];
        for path in folders.iter().map(|it| file::list(it)).collect::<Result<Vec<_>, _>>()?.concat() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let journal_of = name.strip_prefix("journal-").and_then(|it| it.strip_suffix(".bin"));
            let temporary_of = name.strip_prefix('.').and_then(|it| it.strip_suffix(".tmp"));
            let Some(owner) = journal_of.or(temporary_of) else {
                continue;
            };
            if running.contains(owner) {
                continue;
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
        let mut part = PartWriter::new(out, &temporary, self.store.space())?;
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
}

fn journal_path(store: &Store, owner: &str) -> PathBuf {
    store.embeddings_dir().join(format!("journal-{owner}.bin"))
}
