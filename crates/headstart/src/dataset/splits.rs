//! Folders with a manifest for each split: how datasets of texts are often kept.

use std::path::{Path, PathBuf};

use headstart_backbone::Listing;
use headstart_input::InputKind;
use headstart_store::Label;

use super::{Dataset, DatasetConfig, absolute, key, manifest};
use crate::error::{Error, io};
use crate::event::Note;
use crate::split::role_of;

/// The manifests of a folder of texts that are named as splits; none where there is no such.
pub(super) fn manifests(folder: &Path, config: &DatasetConfig) -> Result<Option<Vec<PathBuf>>, Error> {
    if config.kind != InputKind::Text {
        return Ok(None);
    }
    let entries = std::fs::read_dir(folder).map_err(io("read", folder))?;
    let is_split = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        manifest::is_manifest(path) && role_of(&stem).is_some()
    };
    let mut found: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).filter(is_split).collect();
    found.sort();
    Ok((!found.is_empty()).then_some(found))
}

/// Lists manifests as one dataset: what a row does not say of its split, the name of its manifest does.
pub(super) fn list(folder: &Path, manifests: &[PathBuf], config: &DatasetConfig) -> Result<Dataset, Error> {
    let mut all =
        Dataset { listing: Listing { root: absolute(folder)?, ..Listing::default() }, ..Dataset::default() };
    for path in manifests {
        let Dataset { listing, notes, .. } = manifest::list(path, config)?;
        let split = key(path.file_stem().unwrap_or_default().as_ref());
        all.listing.inputs.extend(listing.inputs.into_iter().map(|mut it| {
            it.split.get_or_insert_with(|| split.clone());
            it
        }));
        all.listing.unreadable.extend(listing.unreadable);
        all.notes.extend(notes.into_iter().filter(|it| !all.notes.contains(it)).collect::<Vec<_>>());
    }
    // What one file takes for numbers may be names in another.
    Label::make_alike(all.listing.inputs.iter_mut().filter_map(|it| it.label.as_mut()));
    let names = manifests.iter().map(|it| key(it.file_name().unwrap_or_default().as_ref())).collect();
    all.notes.insert(0, Note::ManifestsAreSplits { manifests: names });
    Ok(all)
}
