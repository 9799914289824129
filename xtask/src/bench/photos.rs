//! Photos to embed: the real ones, many times over, or much larger.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use headstart_input::{ImageRecipe, Limits};
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use crate::target;

/// Different photos: the real ones again and again, a few bytes behind the picture telling copies apart.
pub(crate) fn repeated(shared: &Path, n_photos: usize) -> Result<PathBuf> {
    made_once(&format!("photos-{n_photos}"), |folder| {
        let originals = originals(shared)?;
        for index in 0..n_photos {
            let mut bytes = fs::read(&originals[index % originals.len()])?;
            bytes.extend((index as u64).to_le_bytes());
            fs::write(folder.join(format!("{index:06}.jpg")), bytes)?;
        }
        Ok(())
    })
}

/// Photos enlarged to 4000×3000.
pub(crate) fn enlarged(shared: &Path, n_photos: usize) -> Result<PathBuf> {
    let (width, height) = (4000, 3000);
    made_once(&format!("photos-12-megapixels-{n_photos}"), |folder| {
        let squeezed = ImageRecipe { size: [height, width], short_side: None, ..ImageRecipe::imagenet() };
        for (index, original) in originals(shared)?.iter().take(n_photos).enumerate() {
            let pixels = squeezed.apply(&fs::read(original)?, &Limits::default())?;
            let (w, h) = (width as usize, height as usize);
            let bytes = compress(&pixels, w, h, PixelFormat::Rgb, 90, Subsampling::S420)?;
            fs::write(folder.join(format!("{index:06}.jpg")), bytes)?;
        }
        Ok(())
    })
}

/// The JPEGs of two sets of photos of 0.2 megapixels.
fn originals(shared: &Path) -> Result<Vec<PathBuf>> {
    let classes = ["train/ants", "train/bees", "val/ants", "val/bees"].map(|it| format!("hymenoptera/{it}"));
    let mut originals = Vec::new();
    for place in classes.iter().map(String::as_str).chain(["imagenet_samples100"]) {
        let folder = shared.join("datasets").join(place);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            originals.push(entry?.path());
        }
    }
    let is_jpeg = |it: &str| it.eq_ignore_ascii_case("jpg") || it.eq_ignore_ascii_case("jpeg");
    originals.retain(|it| it.extension().and_then(|it| it.to_str()).is_some_and(is_jpeg));
    originals.sort();
    Ok(originals)
}

fn made_once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = target().join("bench").join(name);
    if !folder.is_dir() {
        let staging = folder.with_extension("tmp");
        fs::create_dir_all(&staging)?;
        make(&staging)?;
        fs::rename(&staging, &folder)?;
    }
    Ok(folder)
}
