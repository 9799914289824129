//! The store as readers see it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::error::{StoreError, io};
use crate::label::Label;
use crate::part::EmbeddingBatch;
use crate::run::{Run, Unfinished};
use crate::sample::{self, Sample, SampleTable};
use crate::space::{self, EmbeddingSpace};
use crate::writer::Writer;
use crate::{file, listing, lock, part};

/// Embeddings on disk, filed by digest, and the samples they belong to.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use headstart_store::{Digest, EmbeddingSpace, Run, SampleTable, Store};
///
/// # let dir = std::env::temp_dir().join(format!("headstart-doc-{}", std::process::id()));
/// let space = EmbeddingSpace {
///     model: "mobilenet".to_owned(),
///     n_features: 2,
///     description: serde_json::Map::new(),
/// };
/// let store = Store::create(&dir, &space)?;
/// let mut writer = store.writer(Run::Whole)?;
/// writer.append(&[Digest::of(b"a photo")], &[0.5, 1.5])?;
/// writer.finish(&SampleTable::default(), &[])?;
///
/// let rows = Store::open(&dir)?.load(&[Digest::of(b"a photo"), Digest::of(b"unknown")])?;
/// assert_eq!(rows.values, [0.5, 1.5, 0.0, 0.0]);
/// assert_eq!(rows.missing, [1]);
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    space: EmbeddingSpace,
}

/// Embeddings in the order they were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// `(n_digests, n_features)`, row-major; rows of missing digests are zero.
    pub values: Vec<f32>,
    /// Indices of the digests that have no embedding.
    pub missing: Vec<usize>,
}

impl Store {
    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`StoreError::NotAStore`] when there is none; [`StoreError::FormatVersion`],
    /// [`StoreError::Manifest`], [`StoreError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let space = space::read(dir)?.ok_or_else(|| StoreError::NotAStore { path: dir.to_owned() })?;
        Ok(Self { dir: dir.to_owned(), space })
    }

    /// Opens a store for embeddings of `space`, and makes it when there is none.
    ///
    /// # Errors
    /// [`StoreError::FingerprintMismatch`] when it holds embeddings of another space; as
    /// [`open`](Self::open) otherwise.
    pub fn create(dir: &Path, space: &EmbeddingSpace) -> Result<Self, StoreError> {
        for folder in ["embeddings", "samples", "locks"].map(|it| dir.join(it)) {
            fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        }
        if space::read(dir)?.is_none() {
            // Of two that make it at once, one is first, and the other must fit.
            let _turn = lock::turn(dir)?;
            if space::read(dir)?.is_none() {
                // Made before anything else is: whoever removed it has left rows of an unknown space.
                if !file::list(&dir.join("embeddings"))?.is_empty() {
                    return Err(StoreError::ManifestMissing { path: dir.to_owned() });
                }
                space::write(dir, space)?;
            }
        }
        let store = Self::open(dir)?;
        let differences = store.space.differences(space);
        if !differences.is_empty() {
            return Err(StoreError::FingerprintMismatch { path: dir.to_owned(), differences });
        }
        Ok(store)
    }

    /// Folder of the store.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the embeddings depend on.
    #[must_use]
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// Begins a run that adds embeddings and replaces the samples.
    ///
    /// Finishes what killed runs left behind first: their journals become parts, their temporary files
    /// go, parts that do not read are set aside. Waits while another run does that, or ends.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while the same run is going on, or a whole one and this is a shard, or a
    /// shard and this is a whole one; [`StoreError::NoSuchShard`], [`StoreError::Io`],
    /// [`StoreError::Parquet`].
    pub fn writer(&self, run: Run) -> Result<Writer, StoreError> {
        Writer::open(self, run)
    }

    /// The samples of the dataset that was last listed as a whole, ordered by path when that was done in
    /// shards.
    ///
    /// # Errors
    /// [`StoreError::IncompleteListing`] when shards are missing and no complete listing is there either;
    /// [`StoreError::Parquet`], [`StoreError::MissingColumn`], [`StoreError::Io`].
    pub fn samples(&self) -> Result<SampleTable, StoreError> {
        // A run that ends meanwhile removes files that were just listed, or they were listed half-way.
        for _ in 0..10 {
            let files = self.sample_files()?;
            match self.read_samples(&files) {
                Err(err) if err.is_gone() || self.sample_files()? != files => {}
                result => return result,
            }
        }
        self.read_samples(&self.sample_files()?)
    }

    fn read_samples(&self, files: &[PathBuf]) -> Result<SampleTable, StoreError> {
        let paths = listing::current(&self.dir, files)?.map(|it| it.files).unwrap_or_default();
        let mut table = SampleTable::default();
        let mut are_typed = true;
        for path in &paths {
            let (SampleTable { root, samples }, is_typed) = sample::read(path)?;
            table.root = root;
            table.samples.extend(samples);
            are_typed &= is_typed;
        }
        if !are_typed {
            type_labels(&mut table.samples);
        }
        if paths.len() > 1 {
            table.samples.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(table)
    }

    /// A dataset of which a shard was written after the one that [`samples`](Self::samples) gives, and that
    /// is not whole yet.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn unfinished(&self) -> Result<Option<Unfinished>, StoreError> {
        let last = listing::listings(&self.sample_files()?).pop().filter(|it| !it.is_complete());
        Ok(last.map(listing::SampleFiles::unfinished))
    }

    /// All embeddings, some rows at a time, in no particular order; a digest may come more than once.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder does not read; each item carries its own.
    pub fn batches(
        &self,
    ) -> Result<impl Iterator<Item = Result<EmbeddingBatch, StoreError>> + use<>, StoreError> {
        let n_features = self.space.n_features;
        let parts = self.parts()?.into_iter();
        let checked =
            move |path: &Path| part::check(path).and_then(|()| part::read_batches(path, n_features));
        Ok(parts.flat_map(move |path| flatten(checked(&path))))
    }

    /// The embeddings that are here now, to be gone through again and again; every part is checked once.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn scan(&self) -> Result<Scan, StoreError> {
        let parts = self.parts()?;
        parts.iter().try_for_each(|it| part::check(it))?;
        Ok(Scan { parts, n_features: self.space.n_features })
    }

    /// The embeddings of some digests, in their order.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Parquet`].
    pub fn load(&self, digests: &[Digest]) -> Result<Rows, StoreError> {
        gather(digests, self.batches()?, self.space.n_features, 0.0)
    }

    /// The digests that have an embedding.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Parquet`].
    pub fn digests(&self) -> Result<HashSet<Digest>, StoreError> {
        let mut digests = HashSet::new();
        for path in self.parts()? {
            digests.extend(part::read_digests(&path)?);
        }
        Ok(digests)
    }

    pub(crate) fn embeddings_dir(&self) -> PathBuf {
        self.dir.join("embeddings")
    }

    pub(crate) fn samples_dir(&self) -> PathBuf {
        self.dir.join("samples")
    }

    pub(crate) fn parts(&self) -> Result<Vec<PathBuf>, StoreError> {
        Ok(parquet_files(file::list(&self.embeddings_dir())?))
    }

    pub(crate) fn sample_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        Ok(parquet_files(file::list(&self.samples_dir())?))
    }
}

/// Embeddings that do not change while they are gone through, always in the same order.
#[derive(Debug, Clone)]
pub struct Scan {
    parts: Vec<PathBuf>,
    n_features: usize,
}

impl Scan {
    /// All embeddings, some rows at a time; a digest may come more than once. Each item carries its own
    /// error.
    pub fn batches(&self) -> impl Iterator<Item = Result<EmbeddingBatch, StoreError>> + use<> {
        let n_features = self.n_features;
        self.parts.clone().into_iter().flat_map(move |path| flatten(part::read_batches(&path, n_features)))
    }
}

/// The embeddings of some digests, in their order, by one pass over all; `missing` is what rows without one are filled
/// with. Of a digest that comes twice the first counts: its rows are equal.
pub(crate) fn gather(
    digests: &[Digest],
    batches: impl Iterator<Item = Result<EmbeddingBatch, StoreError>>,
    n_features: usize,
    missing: f32,
) -> Result<Rows, StoreError> {
    let mut places: HashMap<Digest, Vec<usize>> = HashMap::with_capacity(digests.len());
    for (row, digest) in digests.iter().enumerate() {
        places.entry(*digest).or_default().push(row);
    }
    let mut values = vec![missing; digests.len() * n_features];
    for batch in batches {
        let EmbeddingBatch { digests, rows } = batch?;
        for (digest, row) in digests.iter().zip(rows.chunks_exact(n_features)) {
            for place in places.remove(digest).unwrap_or_default() {
                values[place * n_features..][..n_features].copy_from_slice(row);
            }
        }
    }
    let mut missing: Vec<usize> = places.into_values().flatten().collect();
    missing.sort_unstable();
    Ok(Rows { values, missing })
}

/// Gives the labels of a store of before, which were all texts, their kinds.
fn type_labels(samples: &mut [Sample]) {
    let texts: Vec<String> = samples
        .iter()
        .filter_map(|it| match &it.label {
            Some(Label::Class(text)) => Some(text.clone()),
            Some(typed) => Some(typed.to_string()),
            None => None,
        })
        .collect();
    let typed = Label::from_texts(texts.iter().map(String::as_str));
    samples.iter_mut().filter_map(|it| it.label.as_mut()).zip(typed).for_each(|(it, typed)| *it = typed);
}

/// Items, or the error that there are none.
fn flatten<T>(
    items: Result<impl Iterator<Item = Result<T, StoreError>>, StoreError>,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let (items, error) = match items {
        Ok(items) => (Some(items), None),
        Err(err) => (None, Some(Err(err))),
    };
    error.into_iter().chain(items.into_iter().flatten())
}

fn parquet_files(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.retain(|it| it.extension().is_some_and(|it| it == "parquet"));
    paths
}
