//! What the inputs of a dataset are, by a look at it: nobody should have to say what the files say.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use headstart_input::{FileFormat, InputKind};
use headstart_store::column_names;

use super::columns::{is_path_column, is_text_column};
use super::folder::first_files;
use super::{DatasetConfig, is_manifest, manifest};

/// Files of a folder that are looked at.
const MOST_FILES: usize = 5000;

/// Bytes of a manifest that are looked at.
const MOST_BYTES: u64 = 1 << 16;

/// What the inputs of a dataset are: what most files are that a folder holds or a manifest names, pictures where they
/// are as many; texts where there is neither, but a column of them, or files that end in `.txt`.
#[must_use]
pub fn kind_of(dataset: &Path, config: &DatasetConfig) -> InputKind {
    if config.text_column.is_some() {
        return InputKind::Text;
    }
    let mut seen = Seen::default();
    if dataset.is_dir() {
        for (depth, path) in first_files(dataset, MOST_FILES) {
            seen.add_file(&path);
            // Manifests for splits are how texts lie in folders; beside pictures they are notes.
            if depth == 1 && is_manifest(&path) && has_texts(&path) {
                seen.has_texts = true;
            }
        }
    } else if is_manifest(dataset) {
        let names = columns_of(dataset);
        let has_paths = config.path_column.is_some() || names.iter().any(|it| is_path_column(it));
        seen.has_texts = !has_paths && names.iter().any(|it| is_text_column(it));
        // The files that it names; what is wrong with it is said when it is read for good.
        if let (true, Ok(listed)) = (has_paths, manifest::list(dataset, config)) {
            listed.listing.inputs.iter().take(MOST_FILES).for_each(|it| seen.add_file(Path::new(&it.path)));
        }
    }
    seen.kind()
}

#[derive(Default)]
struct Seen {
    n_pictures: usize,
    n_sounds: usize,
    has_texts: bool,
}

impl Seen {
    fn add_file(&mut self, path: &Path) {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let is = |kind| FileFormat::of_extension(kind, &extension).is_some();
        if is(InputKind::Image) {
            self.n_pictures += 1;
        } else if is(InputKind::Audio) {
            self.n_sounds += 1;
        } else if is(InputKind::Text) {
            self.has_texts = true;
        }
    }

    fn kind(&self) -> InputKind {
        match (self.n_pictures, self.n_sounds) {
            (0, 0) if self.has_texts => InputKind::Text,
            (pictures, sounds) if sounds > pictures => InputKind::Audio,
            _ => InputKind::Image,
        }
    }
}

/// Whether a manifest has a column of texts by a usual name, and none of files.
fn has_texts(manifest: &Path) -> bool {
    let names = columns_of(manifest);
    names.iter().any(|it| is_text_column(it)) && !names.iter().any(|it| is_path_column(it))
}

/// The columns of a manifest, as far as a look at its begin tells them.
fn columns_of(manifest: &Path) -> Vec<String> {
    if let Ok(names) = column_names(manifest) {
        return names;
    }
    let begin = begin_of(manifest);
    let line = begin.lines().next().unwrap_or_default();
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(row) => row.keys().cloned().collect(),
        Err(_) => {
            let fields = line.split([',', ';', '\t']);
            fields.map(|it| it.trim_matches(['"', ' ', '\u{feff}']).to_owned()).collect()
        }
    }
}

fn begin_of(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A pipe is not opened: that would wait for its writer.
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        drop(file.take(MOST_BYTES).read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
