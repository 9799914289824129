//! What there is to embed.

use std::path::PathBuf;

use headstart_store::{Digest, Failure, FileStat, Label, Run};

use crate::row::Source;
use crate::stat::stat_of;

/// One input of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Path as the store records it.
    pub path: String,
    /// The input itself.
    pub content: Content,
    /// What it is known to be.
    pub label: Option<Label>,
    /// Split it belongs to.
    pub split: Option<String>,
    /// Group it belongs to.
    pub group: Option<String>,
}

/// What an input is, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file.
    File(PathBuf),
    /// A text that stands in the dataset itself.
    Text(Box<str>),
}

impl Content {
    /// What tells it from a changed one without reading it; none for a file that is not there.
    pub(crate) fn stat(&self) -> Option<FileStat> {
        match self {
            Self::File(path) => stat_of(path),
            Self::Text(text) => Some(FileStat { size: text.len() as u64, mtime_ns: 0, ctime_ns: 0 }),
        }
    }
}

impl<'a> From<&'a Content> for Source<'a> {
    fn from(content: &'a Content) -> Self {
        match content {
            Content::File(path) => Self::File(path),
            Content::Text(text) => Self::Bytes(text.as_bytes()),
        }
    }
}

/// A dataset, or a part of one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// Absolute folder the inputs' paths are relative to.
    pub root: String,
    /// The inputs.
    pub inputs: Vec<Input>,
    /// Entries that are no inputs, and why; they count as failed.
    pub unreadable: Vec<Failure>,
}

impl Listing {
    /// Keeps one of `count` fixed parts, `index` from 0, and names its run.
    ///
    /// An input's part depends on its path alone. The run's name depends on the whole listing, so that only
    /// parts of equal ones come together in a store: the same `root`, paths, labels, splits and groups, in
    /// any order, on whatever machine.
    #[must_use]
    pub fn shard(mut self, index: u32, count: u32) -> (Self, Run) {
        let run = Run::Shard { index, count, listing: self.number() };
        self.inputs.retain(|it| run.contains(&it.path));
        // What these are called depends on how the dataset was named: one shard tells of them all.
        self.unreadable.retain(|_| index == 0);
        (self, run)
    }

    /// A hash of all that ends in a store's samples, files' content left out.
    fn number(&self) -> u64 {
        let fields = |it: &Input| {
            let mut bytes = Vec::new();
            let text = |it: Option<&String>, bytes: &mut Vec<u8>| {
                // The length of each keeps a field's end from being taken for the next one's beginning.
                bytes.extend(it.map_or(u64::MAX, |it| it.len() as u64).to_le_bytes());
                bytes.extend(it.map_or(&[][..], |it| it.as_bytes()));
            };
            text(Some(&it.path), &mut bytes);
            Label::identify(it.label.as_ref(), &mut |it| bytes.extend_from_slice(it));
            text(it.split.as_ref(), &mut bytes);
            text(it.group.as_ref(), &mut bytes);
            if let Content::Text(it) = &it.content {
                bytes.extend(Digest::of(it.as_bytes()).0);
            }
            Digest::of(&bytes).0
        };
        let mut digests: Vec<[u8; 32]> = self.inputs.iter().map(fields).collect();
        digests.sort_unstable();
        digests.push(Digest::of(self.root.as_bytes()).0);
        Digest::of(digests.as_flattened()).number()
    }
}
