//! Why a store could not be read or written.

use std::path::{Path, PathBuf};

use crate::run::Unfinished;

/// Why a store could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file could not be read or written.
    #[error("{} is no Parquet file of this store, or is damaged", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<parquet::errors::ParquetError>,
    },
    /// A file's bytes are not those that were written.
    #[error("{} is damaged; where it belongs to a store, the next extraction sets it aside and makes it anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds no `store.json`.
    #[error("{} is no store: it has no store.json", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// Embeddings, but nothing that says of which space they are.
    #[error("{} holds embeddings but no store.json that says of which model; put it back, or remove the folder and extract again", path.display())]
    ManifestMissing {
        /// The folder.
        path: PathBuf,
    },
    /// `store.json` does not read as one.
    #[error("{} is damaged; put it back as it was, or remove the whole store and extract again", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The store was written by a version this one does not know.
    #[error("{} has format version {found}, this program reads version {expected}", path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Version this crate writes.
        expected: u32,
    },
    /// The store holds embeddings of another space: other model, tap, preprocessing, precision or runtime.
    #[error("{} holds embeddings of another space, which differs in {}", path.display(), settings(differences))]
    FingerprintMismatch {
        /// The store.
        path: PathBuf,
        /// What differs: a setting, what it is here, and what it should be.
        differences: Vec<[String; 3]>,
    },
    /// Another run writes to the store under the same name.
    #[error("another run is writing to {}; wait for it, or use another store", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// A run of a shard that there is not.
    #[error("expected a shard below {count}, counted from 0, got {index}")]
    NoSuchShard {
        /// The shard.
        index: u32,
        /// How many there are.
        count: u32,
    },
    /// Only some shards of a dataset were run.
    #[error("{} has only some shards of a dataset; run those that are missing of {last}{}", path.display(), of_several(*n_listings))]
    IncompleteListing {
        /// The store.
        path: PathBuf,
        /// The listing that was written to last.
        last: Unfinished,
        /// How many listings have shards here.
        n_listings: usize,
    },
    /// A row does not have the store's number of features.
    #[error("expected embeddings of {expected} features, got {actual}")]
    FeatureCountMismatch {
        /// Features of the store.
        expected: usize,
        /// Features that came.
        actual: usize,
    },
    /// A table cannot be written.
    #[error("the table cannot be written")]
    Table {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A column a table must have is missing.
    #[error("{} has no column `{column}`; its columns are: {}", path.display(), found.join(", "))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Columns that are there.
        found: Vec<String>,
    },
    /// A file that is small, and says that it unpacks to more than any table needs.
    #[error(
        "{} unpacks to {} MiB, more than the limit of {} MiB for a file of its size", path.display(), unpacked >> 20, limit >> 20
    )]
    Unpacked {
        /// The file.
        path: PathBuf,
        /// Bytes that it unpacks to, as it says itself.
        unpacked: u64,
        /// Most that are taken.
        limit: u64,
    },
}

impl StoreError {
    /// Whether a file was gone.
    pub(crate) fn is_gone(&self) -> bool {
        use std::io::ErrorKind::{NotFound, StaleNetworkFileHandle};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), NotFound | StaleNetworkFileHandle))
    }
}

fn of_several(n_listings: usize) -> String {
    match n_listings {
        0 | 1 => String::new(),
        n => format!(
            "; there are shards of {n} listings, which do not mix: where the dataset changed in between, or has another path on another machine, run all shards of one"
        ),
    }
}

pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

pub(crate) fn parquet<E: Into<parquet::errors::ParquetError>>(path: &Path) -> impl FnOnce(E) -> StoreError {
    let path = path.to_owned();
    move |source| {
        let source = source.into();
        // A disk that fails is not a file that is damaged.
        match io_error_of(&source) {
            Some(err) => io("read or write", &path)(err),
            None => StoreError::Parquet { path, source: Box::new(source) },
        }
    }
}

/// The error of the file system that a Parquet error wraps; a file that is merely too short has none.
fn io_error_of(err: &parquet::errors::ParquetError) -> Option<std::io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(err);
    while let Some(err) = cause {
        if let Some(io) = err.downcast_ref::<std::io::Error>() {
            let is_format = [std::io::ErrorKind::UnexpectedEof, std::io::ErrorKind::InvalidData];
            return (!is_format.contains(&io.kind())).then(|| match io.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(io.kind(), io.to_string()),
            });
        }
        cause = err.source();
    }
    None
}

/// Names of what differs.
fn settings(differences: &[[String; 3]]) -> String {
    differences.iter().map(|it| it[0].as_str()).collect::<Vec<_>>().join(", ")
}
