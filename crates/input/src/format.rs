//! Formats of files, told by the ending of a file's name or by its first bytes.

use crate::recipe::InputKind;
use crate::{audio as sounds, image as pictures};

/// A format that inputs of a kind come in.
///
/// # Examples
/// ```
/// use headstart_input::{FileFormat, InputKind};
///
/// let heic = FileFormat::of_bytes(InputKind::Image, b"\0\0\0\x18ftypheic\0\0\0\0").expect("a picture");
/// assert_eq!((heic.name, heic.is_read), ("HEIC", false));
/// assert!(FileFormat::of_extension(InputKind::Image, "JPG").is_some_and(|it| it.is_read));
/// assert!(FileFormat::of_extension(InputKind::Audio, "jpg").is_none());
/// assert_eq!(FileFormat::of_bytes(InputKind::Audio, b"PK\x03\x04 a zip file"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFormat {
    /// Name, as people write it.
    pub name: &'static str,
    /// Whether files of it are read.
    pub is_read: bool,
}

/// Endings of names: a name, whether it is read, and the endings in small letters.
pub(crate) type Extensions = [(&'static str, bool, &'static [&'static str])];

/// First bytes: a name, whether it is read, where they stand, and what they are.
pub(crate) type Magic = [(&'static str, bool, usize, &'static [u8])];

impl FileFormat {
    /// Bytes at the beginning of a file that tell its format.
    pub const N_BYTES: usize = 40;

    /// The format that a file's ending stands for, without its dot, in letters of any size.
    #[must_use]
    pub fn of_extension(kind: InputKind, extension: &str) -> Option<Self> {
        let extension = extension.to_lowercase();
        let extensions: &Extensions = match kind {
            InputKind::Image => &pictures::EXTENSIONS,
            InputKind::Audio => &sounds::EXTENSIONS,
            InputKind::Text => &[("text", true, &["txt"])],
        };
        let found = extensions.iter().find(|it| it.2.contains(&extension.as_str()));
        found.map(|&(name, is_read, _)| Self { name, is_read })
    }

    /// The format that a file's first bytes, [`N_BYTES`](Self::N_BYTES) of them, are of; no bytes tell a text.
    #[must_use]
    pub fn of_bytes(kind: InputKind, bytes: &[u8]) -> Option<Self> {
        let magic: &Magic = match kind {
            InputKind::Image => match pictures::told_otherwise(bytes) {
                Some(name) => return Some(Self { name, is_read: true }),
                None => &pictures::MAGIC,
            },
            InputKind::Audio => &sounds::MAGIC,
            InputKind::Text => &[],
        };
        let is = |it: &&(&str, bool, usize, &[u8])| bytes.get(it.2..).is_some_and(|at| at.starts_with(it.3));
        magic.iter().find(is).map(|&(name, is_read, ..)| Self { name, is_read })
    }

    /// Whether all files of the format, but no others, begin as [`of_bytes`](Self::of_bytes) expects.
    #[must_use]
    pub fn is_told_by_bytes(&self) -> bool {
        !pictures::BY_NAME_ALONE.contains(&self.name)
    }

    /// Whether a file with its ending is one, or a damaged one: an `.ico` beside photos may be anything.
    #[must_use]
    pub fn is_told_by_name(&self) -> bool {
        (self.is_read && self.name != "ICO") || self.is_camera_raw()
    }

    /// Whether it is what cameras keep of a photo: such files begin as TIFFs do, and are none.
    #[must_use]
    pub fn is_camera_raw(&self) -> bool {
        self.name == pictures::RAW
    }
}
