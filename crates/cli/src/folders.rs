//! Folders of this program, and the environment variables that move them.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use etcetera::BaseStrategy;

/// The cache: `HEADSTART_CACHE`, else the system's cache folder for this user.
pub(crate) fn cache() -> Result<PathBuf> {
    if let Some(dir) = env::var_os("HEADSTART_CACHE").filter(|it| !it.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let dirs = etcetera::choose_base_strategy();
    let dirs = dirs.context("no home folder to keep a cache in; set HEADSTART_CACHE to a folder")?;
    Ok(dirs.cache_dir().join("headstart"))
}

/// Where downloaded models are kept.
pub(crate) fn cached_models() -> Result<PathBuf> {
    Ok(cache()?.join("models"))
}

/// Folders of `HEADSTART_MODELS`, in order.
pub(crate) fn model_folders() -> Vec<PathBuf> {
    env::var_os("HEADSTART_MODELS").map(|it| env::split_paths(&it).collect()).unwrap_or_default()
}
