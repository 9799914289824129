//! What goes into a run, and what comes out of it for each input.

use std::path::Path;

use headstart_input::InputError;
use headstart_store::{Digest, FileStat};

/// Where an input's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// In a file.
    File(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Source<'a> {
    fn from(path: &'a P) -> Self {
        Self::File(path.as_ref())
    }
}

/// Which rows a run need not deliver, because its caller keeps them.
#[derive(Clone, Copy)]
pub enum Known<'a> {
    /// None: every input is delivered with its values. Inputs of equal content are run once as long as their
    /// row is remembered, which is a matter of [`REMEMBERED_BYTES`](Self::REMEMBERED_BYTES).
    Nothing,
    /// Those the function says yes to, and all that the run itself has delivered: such inputs are read, not
    /// run, and delivered without values.
    Rows(&'a (dyn Fn(&Digest) -> bool + Sync)),
}

impl Known<'_> {
    /// Memory that rows are remembered in for copies that may come, in bytes.
    pub const REMEMBERED_BYTES: usize = 16 << 20;
}

/// The row of one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// BLAKE3 of the input's bytes.
    pub digest: Digest,
    /// What the file looked like when it was read; none for bytes in memory.
    pub stat: Option<FileStat>,
    /// `(width,)`; none for a row that the caller keeps, see [`Known::Rows`].
    pub values: Option<&'a [f32]>,
}

/// Why one input has no row. The run goes on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// A folder, a pipe, a device: no regular file.
    #[error("is no regular file")]
    NotAFile,
    /// The input is longer than any should be.
    #[error("has {bytes} bytes, above the limit of {limit}")]
    TooLong {
        /// Length of the input.
        bytes: u64,
        /// Longest input that is taken.
        limit: u64,
    },
    /// The file changed while it was read.
    #[error("changed while it was read")]
    Changed,
    /// The bytes cannot be prepared for the model.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The runtime failed on this input, but not on others.
    #[error("made the model fail: {0}")]
    Run(String),
    /// The embedding has a value that is NaN or infinite.
    #[error("has an embedding that is not finite at feature {feature}")]
    NonFinite {
        /// Index of the feature.
        feature: usize,
    },
}
