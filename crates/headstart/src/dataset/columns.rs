//! Which column of a manifest is what.

use std::path::Path;

use headstart_input::InputKind;
use headstart_store::MAX_CELL_BYTES;

use super::{DatasetConfig, DatasetError, MAX_ROW_BYTES};
use crate::event::Note;
use crate::split::role_of;

/// Names in use for each column, the first the one that this project writes.
const PATHS: [&str; 17] = [
    "path",
    "file_path",
    "filepath",
    "file",
    "filename",
    "file_name",
    "image_path",
    "image",
    "image_file",
    "img_path",
    "img",
    "picture",
    "photo",
    "audio",
    "audio_path",
    "sound",
    "clip",
];
const TEXTS: [&str; 14] = [
    "text",
    "sentence",
    "utterance",
    "content",
    "body",
    "review",
    "question",
    "query",
    "message",
    "comment",
    "title",
    "document",
    "tweet",
    "phrase",
];
const LABELS: [&str; 10] =
    ["label", "labels", "class", "classes", "class_name", "target", "targets", "category", "tag", "tags"];
const SPLITS: [&str; 4] = ["split", "subset", "partition", "usage"];
const GROUPS: [&str; 7] = ["group", "groups", "speaker", "speaker_id", "client_id", "document", "doc_id"];

/// What a store writes a label in, by its kind; in a store's own table, one of them has it.
pub(super) const OF_STORE: [&str; 3] = ["label", "labels", "targets"];

/// Whether a column of this name is taken for the paths of files.
pub(super) fn is_path_column(name: &str) -> bool {
    PATHS.contains(&name.to_lowercase().as_str())
}

/// Whether a column of this name is taken for texts.
pub(super) fn is_text_column(name: &str) -> bool {
    TEXTS.contains(&name.to_lowercase().as_str())
}

/// The columns of a manifest that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Columns {
    /// Names: the path or the text first, then `n_labels` of the label, then the others.
    pub(super) names: Vec<String>,
    pub(super) n_labels: usize,
    /// Whether the first is of texts, not of paths.
    pub(super) is_text: bool,
    /// Whether other names than this project's own were taken.
    pub(super) is_guess: bool,
    split: Option<usize>,
    group: Option<usize>,
}

/// Cells of a row, in the order of the columns' names.
pub(super) struct Cells<'a, T> {
    pub(super) content: &'a mut Option<T>,
    pub(super) labels: &'a mut [Option<T>],
    pub(super) others: &'a mut [Option<T>],
}

impl Columns {
    /// Finds the columns: those that were named, else those of the usual names.
    ///
    /// # Errors
    /// [`DatasetError::MissingColumn`], [`DatasetError::RepeatedColumn`]; [`DatasetError::SeveralColumns`] where more
    /// than one could be meant; [`DatasetError::ColumnNamedTwice`].
    pub(super) fn find(
        manifest: &Path,
        found: &[String],
        config: &DatasetConfig,
    ) -> Result<Self, DatasetError> {
        // One that was named is that, and nothing else.
        let named = config.path_column.iter().chain(&config.text_column).chain(&config.label_columns);
        let named: Vec<&String> = named.collect();
        if let Some((_, column)) = named.iter().enumerate().find(|(place, it)| named[..*place].contains(it)) {
            let (path, column) = (manifest.to_owned(), (*column).clone());
            return Err(DatasetError::ColumnNamedTwice { path, column });
        }
        let others: Vec<String> = found.iter().filter(|it| !named.contains(it)).cloned().collect();
        let of_usual = |usual: &[&str], what| one_of(manifest, &others, usual, what);
        let text = match (config.kind, &config.text_column, &config.path_column) {
            (InputKind::Image | InputKind::Audio, ..) => None,
            (InputKind::Text, Some(text), _) => Some(text.clone()),
            (InputKind::Text, None, Some(_)) => None,
            (InputKind::Text, None, None) => of_usual(&TEXTS, "the text")?,
        };
        let is_text = text.is_some();
        let path = match (text, &config.path_column) {
            (Some(text), _) => text,
            (None, Some(path)) => path.clone(),
            (None, None) => {
                let default = if config.kind == InputKind::Text { TEXTS[0] } else { PATHS[0] };
                of_usual(&PATHS, "the path")?.unwrap_or_else(|| default.to_owned())
            }
        };
        let labels = match &config.label_columns[..] {
            [] if OF_STORE.iter().all(|it| found.iter().any(|name| name == it)) => {
                OF_STORE.map(str::to_owned).to_vec()
            }
            [] => of_usual(&LABELS, "the label")?.into_iter().collect(),
            named => named.to_vec(),
        };
        // What is one of those already is nothing else.
        let others: Vec<String> =
            others.iter().filter(|it| **it != path && !labels.contains(it)).cloned().collect();
        let split = one_of(manifest, &others, &SPLITS, "the split")?;
        let is = |usual: &&str| others.iter().find(|it| it.to_lowercase() == **usual).cloned();
        let group = GROUPS.iter().find_map(is);
        let n_labels = labels.len();
        let mut names: Vec<String> = [path].into_iter().chain(labels).collect();
        for name in &names {
            if !found.contains(name) {
                let (path, column, found) = (manifest.to_owned(), name.clone(), found.to_vec());
                return Err(DatasetError::MissingColumn { path, column, found });
            }
        }
        let mut place = |name: Option<String>| {
            name.map(|it| {
                names.push(it);
                names.len() - n_labels - 2
            })
        };
        let (split, group) = (place(split), place(group));
        if let Some(column) = names.iter().find(|name| found.iter().filter(|it| it == name).count() > 1) {
            return Err(DatasetError::RepeatedColumn { path: manifest.to_owned(), column: column.clone() });
        }
        let usual = [PATHS[0], TEXTS[0], LABELS[0], SPLITS[0], GROUPS[0]];
        let is_expected = |it: &String| {
            usual.contains(&it.as_str())
                || OF_STORE.contains(&it.as_str())
                || config.path_column.as_ref() == Some(it)
                || config.text_column.as_ref() == Some(it)
                || config.label_columns.contains(it)
        };
        let is_guess = !names.iter().all(is_expected);
        Ok(Self { names, n_labels, is_text, is_guess, split, group })
    }

    /// Takes no column as the split where it has another name than `split` and most of its values have no role: what
    /// it tells apart is something else.
    pub(super) fn doubt_split<'a>(&mut self, values: impl Iterator<Item = &'a str>) -> Option<Note> {
        let place = self.split? + 1 + self.n_labels;
        if self.names[place].eq_ignore_ascii_case(SPLITS[0]) {
            return None;
        }
        let (mut n_roles, mut others) = (0, Vec::new());
        for value in values {
            if role_of(value).is_some() { n_roles += 1 } else { others.push(value) }
        }
        let value = others.first().filter(|_| others.len() > n_roles)?;
        self.split = None;
        Some(Note::NotASplit { column: self.names[place].clone(), value: (*value).to_owned() })
    }

    /// Most bytes of a cell of the column in a place.
    pub(super) fn max_cell_bytes(&self, place: usize) -> usize {
        if place == 0 && self.is_text { MAX_ROW_BYTES } else { MAX_CELL_BYTES }
    }

    /// What there is to say of the columns.
    pub(super) fn note(&self) -> Option<Note> {
        let is_read = |place: usize| {
            let other = place.checked_sub(1 + self.n_labels);
            other.is_none() || other == self.split || other == self.group
        };
        let names = (0..self.names.len()).filter(|it| is_read(*it)).map(|it| self.names[it].clone());
        self.is_guess.then(|| Note::ColumnsTaken { columns: names.collect() })
    }

    /// The cells of a row by what they are.
    pub(super) fn cells<'a, T>(&self, row: &'a mut [Option<T>]) -> Cells<'a, T> {
        let (content, rest) = row.split_first_mut().expect("a row has a cell for every name");
        let (labels, others) = rest.split_at_mut(self.n_labels);
        Cells { content, labels, others }
    }

    /// The cells of split and group among the others.
    pub(super) fn split_and_group<T>(&self, others: &mut [Option<T>]) -> [Option<T>; 2] {
        [self.split, self.group].map(|it| it.and_then(|it| others.get_mut(it)?.take()))
    }
}

/// The column of one of some usual names: of the first where it is there to the letter, else of the only one
/// that is.
fn one_of(
    manifest: &Path,
    found: &[String],
    usual: &[&str],
    what: &'static str,
) -> Result<Option<String>, DatasetError> {
    if found.iter().any(|it| it == usual[0]) {
        return Ok(Some(usual[0].to_owned()));
    }
    let is_usual = |it: &&String| usual.contains(&it.to_lowercase().as_str());
    let candidates: Vec<&String> = found.iter().filter(is_usual).collect();
    match &candidates[..] {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        _ => {
            let found = candidates.into_iter().cloned().collect();
            Err(DatasetError::SeveralColumns { path: manifest.to_owned(), what, found })
        }
    }
}
