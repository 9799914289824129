//! Files that are there whole or not at all.

use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use atomic_write_file::AtomicWriteFile;
use headstart_head::HeadModel;
use headstart_store::EmbeddingSpace;

use crate::error::{Error, io};

/// Longest head file that is read: 2,048 features of 250,000 classes.
const MAX_HEAD_BYTES: u64 = 4 << 30;

/// Reads a head file, of at most 4 GiB.
///
/// # Errors
/// [`Error::Io`], [`Error::NotRegular`], [`Error::FileTooLarge`]; [`Error::HeadFile`] for a file that is none, or
/// is damaged.
pub fn read_head(path: &Path) -> Result<HeadModel, Error> {
    let bytes = read_bounded(path, MAX_HEAD_BYTES)?;
    HeadModel::from_bytes(&bytes).map_err(|source| Error::HeadFile { path: path.to_owned(), source })
}

/// Reads a regular file of a bounded length.
///
/// # Errors
/// [`Error::NotRegular`], [`Error::FileTooLarge`], [`Error::Io`].
fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = fs::metadata(path).map_err(io("read", path))?;
    // Looked at before it is opened: opening a pipe would wait for its writer, and a device has no end.
    if !file.is_file() {
        return Err(Error::NotRegular { path: path.to_owned() });
    }
    if file.len() > limit {
        return Err(Error::FileTooLarge { path: path.to_owned(), bytes: file.len(), limit });
    }
    fs::read(path).map_err(io("read", path))
}

/// Writes a head file, in one piece.
///
/// # Errors
/// [`Error::Io`]; [`Error::Head`] for a head with numbers that are not finite.
pub fn write_head(head: &HeadModel, path: &Path) -> Result<(), Error> {
    write_file(path, &head.to_bytes()?)
}

/// Bytes of a digest, hexadecimal.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a head that was fitted on embeddings of another space, and says what differs.
///
/// # Errors
/// [`Error::Head`].
pub(crate) fn check_space(head: &HeadModel, space: &EmbeddingSpace) -> Result<(), Error> {
    let differences = || match serde_json::from_value::<EmbeddingSpace>(head.metadata.space.clone()) {
        Ok(of_head) => of_head.differences(space),
        Err(_) => vec![["space", "not said", "known"].map(str::to_owned)],
    };
    Ok(head.check_fingerprint(&space.fingerprint(), differences)?)
}

/// Refuses a place where no file can be put, before anything is computed for it, and makes its folder.
///
/// # Errors
/// [`Error::IsFolder`], [`Error::NotRegular`], [`Error::Io`]; [`Error::OtherKind`] where a file of another kind is there.
pub fn check_out(path: &Path, kind: OutKind) -> Result<(), Error> {
    if path.is_dir() {
        return Err(Error::IsFolder { path: path.to_owned() });
    }
    // A file takes the place of what is there: a device would be gone.
    if path.exists() && !path.is_file() {
        return Err(Error::NotRegular { path: path.to_owned() });
    }
    if path.exists() && !kind.is_of(path)? {
        return Err(Error::OtherKind { path: path.to_owned(), kind });
    }
    let folder = folder_of(path);
    let written = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    written.map(drop).map_err(io("write", path))
}

/// What a file that is to be written is: one of another kind is not replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutKind {
    /// A head.
    Head,
    /// An ONNX file.
    Onnx,
    /// A table; of CSV and JSON any text.
    Table,
    /// Whatever: what is there goes.
    Any,
}

impl OutKind {
    /// Whether what is there begins as files of this kind do; an empty file is of any.
    fn is_of(self, path: &Path) -> Result<bool, Error> {
        let mut begin = Vec::new();
        let file = fs::File::open(path).map_err(io("read", path))?;
        file.take(4096).read_to_end(&mut begin).map_err(io("read", path))?;
        let starts = |magic: &[u8]| begin.starts_with(magic);
        Ok(begin.is_empty()
            || match self {
                // Safetensors: the length of a JSON object, and the object.
                Self::Head => begin.get(8) == Some(&b'{'),
                // The version of the format is the first field.
                Self::Onnx => starts(b"\x08"),
                Self::Table => {
                    let is_text = !begin.contains(&0) && !starts(b"\x89") && !starts(b"\xff\xd8");
                    is_text || starts(b"PAR1") || starts(b"ARROW1") || starts(b"\x93NUMPY")
                }
                Self::Any => true,
            })
    }
}

impl fmt::Display for OutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "head",
            Self::Onnx => "ONNX file",
            Self::Table => "table",
            Self::Any => "file",
        })
    }
}

/// The folder of a file that is to be written.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that takes its place when it is committed, and leaves nothing behind when it is not.
pub(crate) fn atomic_file(path: &Path) -> Result<AtomicWriteFile, Error> {
    AtomicWriteFile::open(path).map_err(io("write", path))
}

/// Writes a file under a temporary name beside its destination, syncs it and renames it into place.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = atomic_file(path)?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.commit().map_err(io("write", path))
}
