//! What the places of pictures in a folder say of their splits and classes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use super::{DatasetError, key, normalised};
use crate::event::Note;
use crate::split::{is_fold, role_of};

/// Which of the folders that a picture lies in is its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelFrom {
    /// The topmost: of `insects/bees/1.jpg`, `insects`.
    Top,
    /// The one that it lies in: `bees`.
    Parent,
    /// All of them: `insects/bees`.
    Path,
}

/// How a folder was understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Names of the splits, sorted.
    pub splits: Vec<String>,
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// Pictures that lie in no folder of a class.
    pub n_unlabelled: usize,
    /// Folders that all pictures lie in, and folds: they say nothing.
    n_skipped: usize,
    /// Folders down to that of the class.
    pub(super) label_depth: usize,
    label_from: Option<LabelFrom>,
}

/// The folders that each of some files lies in, the topmost first.
pub(super) struct Places {
    /// Those of the first file, and whenever a file's are others than those of the one before it.
    pub(super) folders: Vec<Vec<String>>,
    /// Files that lie in these.
    n_files: Vec<usize>,
}

impl Places {
    /// Of paths relative to the dataset.
    pub(super) fn new(files: impl Iterator<Item = PathBuf>) -> Self {
        let mut places = Self { folders: Vec::new(), n_files: Vec::new() };
        for file in files {
            let parent = file.parent().unwrap_or(Path::new(""));
            let folders: Vec<String> = parent.components().map(|it| key(it.as_os_str().as_ref())).collect();
            match places.n_files.last_mut() {
                Some(n) if places.folders.last() == Some(&folders) => *n += 1,
                _ => {
                    places.folders.push(folders);
                    places.n_files.push(1);
                }
            }
        }
        places
    }

    /// The folders of each file.
    pub(super) fn of_files(&self) -> impl Iterator<Item = &Vec<String>> {
        self.folders.iter().zip(&self.n_files).flat_map(|(folders, n)| std::iter::repeat_n(folders, *n))
    }

    /// The folders at a depth, and what lies in each: the folders, and whether pictures do.
    fn at(&self, depth: usize) -> BTreeMap<&str, (BTreeSet<&str>, bool)> {
        let mut tops: BTreeMap<&str, (BTreeSet<&str>, bool)> = BTreeMap::new();
        for folders in self.folders.iter().filter(|it| it.len() > depth) {
            let (inside, has_pictures) = tops.entry(&folders[depth]).or_default();
            match folders.get(depth + 1) {
                Some(next) => _ = inside.insert(next),
                None => *has_pictures = true,
            }
        }
        tops
    }
}

impl Layout {
    /// Reads the places of pictures, and what there is to say of how.
    ///
    /// # Errors
    /// [`DatasetError::FolderBesideSplits`], [`DatasetError::WhichAreClasses`] where either reading would be wrong
    /// for somebody without a word.
    pub(super) fn of(
        dataset: &Path,
        places: &Places,
        label_from: Option<LabelFrom>,
    ) -> Result<(Self, Vec<Note>), DatasetError> {
        let mut notes = Vec::new();
        let mut depth = 0;
        // Where all pictures lie in one folder's folders, that one tells nothing apart.
        while let [(top, (_, false))] = &places.at(depth).into_iter().collect::<Vec<_>>()[..]
            && places.folders.iter().all(|it| it.len() > depth)
            && role_of(top).is_none()
        {
            depth += 1;
        }
        // Unless it was asked for.
        let is_split = |it: &&str| role_of(it).is_some();
        if label_from.is_some() && !places.at(depth).keys().all(is_split) {
            depth = 0;
        }
        if depth > 0
            && let Some(first) = places.folders.first()
        {
            notes.push(Note::OneFolder { folder: first[..depth].join("/") });
        }
        let tops = places.at(depth);
        let (splits, others): (Vec<&str>, Vec<&str>) = tops.keys().partition(|it| role_of(it).is_some());
        let has_splits = !splits.is_empty() && others.is_empty();
        let path = || dataset.to_owned();
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        if let (true, Some(other)) = (splits.len() > 1, others.first()) {
            let (splits, other) = (owned(&splits), (*other).to_owned());
            return Err(DatasetError::FolderBesideSplits { path: path(), splits, other });
        }
        if !has_splits && label_from.is_none() && hold_the_same(&tops) {
            let folders: Vec<&str> = tops.keys().copied().collect();
            if !folders.iter().all(|it| is_fold(it)) {
                let inside = tops.values().flat_map(|it| &it.0).copied().collect::<BTreeSet<_>>();
                let inside = inside.into_iter().map(str::to_owned).collect();
                return Err(DatasetError::WhichAreClasses { path: path(), folders: owned(&folders), inside });
            }
            notes.push(Note::FoldersAreFolds { folders: owned(&folders) });
            depth += 1;
        }
        let label_depth = depth + 1 + usize::from(has_splits);
        let mut layout = Self { n_skipped: depth, label_depth, label_from, ..Self::default() };
        if has_splits {
            layout.splits = splits.iter().map(|it| normalised(it)).collect();
        }
        layout.read_classes(places, &mut notes);
        Ok((layout, notes))
    }

    fn read_classes(&mut self, places: &Places, notes: &mut Vec<Note>) {
        let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (folders, n_files) in places.folders.iter().zip(&places.n_files) {
            match self.label(folders) {
                Some(label) => _ = spellings.entry(normalised(&label)).or_default().insert(label),
                None => self.n_unlabelled += n_files,
            }
        }
        let two_forms = spellings.iter().filter(|it| it.1.len() > 1);
        let two_forms: Vec<String> = two_forms.map(|it| it.0.clone()).collect();
        if !two_forms.is_empty() {
            notes.push(Note::SpellingsMerged { classes: two_forms });
        }
        self.classes = spellings.into_keys().collect();
        let deeper = places.folders.iter().find(|it| it.len() > self.label_depth);
        if let (None, Some(folders)) = (self.label_from, deeper) {
            let folder = folders[self.n_skipped..].join("/");
            notes.push(Note::LabelIsTop { folder, label: folders[self.label_depth - 1].clone() });
        }
    }

    /// Split and label of a picture in these folders.
    pub(super) fn read(&self, folders: &[String]) -> (Option<String>, Option<String>) {
        let split = if self.splits.is_empty() { None } else { folders.get(self.n_skipped) };
        (split.map(|it| normalised(it)), self.label(folders).map(|it| normalised(&it)))
    }

    /// The label as it is written.
    fn label(&self, folders: &[String]) -> Option<String> {
        let of_label = folders.get(self.label_depth - 1..).filter(|it| !it.is_empty())?;
        match self.label_from.unwrap_or(LabelFrom::Top) {
            LabelFrom::Top => of_label.first().cloned(),
            LabelFrom::Parent => of_label.last().cloned(),
            LabelFrom::Path => Some(of_label.join("/")),
        }
    }
}

/// Whether there are several folders, all without a picture of their own and with the same folders inside, more
/// than one: parts of a dataset, or classes that are divided alike.
fn hold_the_same(tops: &BTreeMap<&str, (BTreeSet<&str>, bool)>) -> bool {
    let mut all = tops.values();
    let Some((inside, _)) = all.next() else { return false };
    tops.len() > 1 && inside.len() > 1 && tops.values().all(|it| it.0 == *inside && !it.1)
}

/// Splits and classes, in one line.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { splits, classes, n_unlabelled, .. } = self;
        if !splits.is_empty() {
            write!(f, "splits {}; ", splits.join(", "))?;
        }
        let some: Vec<&str> = classes.iter().take(5).map(String::as_str).collect();
        match classes.len() {
            0 => return f.write_str("no classes (no folder of their own)"),
            1 => write!(f, "1 class ({})", some.join(", "))?,
            n => write!(f, "{n} classes ({}{})", some.join(", "), if n > 5 { ", …" } else { "" })?,
        }
        match n_unlabelled {
            0 => Ok(()),
            n => write!(f, "; {n} without a class"),
        }
    }
}
