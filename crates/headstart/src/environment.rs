//! Where things are on this machine: the only module that reads environment variables.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::error::Error;

/// Folders and files that an [`Engine`](crate::Engine) looks into.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Folder for runtimes and models that were got; none where the system has no place for one.
    pub cache: Option<PathBuf>,
    /// Folders in which models of the registry are looked for, in order.
    pub model_folders: Vec<PathBuf>,
    /// The ONNX Runtime library that is to be used, whatever is in the cache.
    pub runtime: Option<PathBuf>,
}

impl Places {
    /// What the environment says: `HEADSTART_CACHE`, else the system's cache folder for this user;
    /// `HEADSTART_MODELS`, folders between the system's separators; `ORT_DYLIB_PATH`.
    #[must_use]
    pub fn from_environment() -> Self {
        let of_system = || Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("headstart"));
        Self {
            cache: variable("HEADSTART_CACHE").map(PathBuf::from).or_else(of_system),
            model_folders: variable("HEADSTART_MODELS")
                .map(|it| env::split_paths(&it).collect())
                .unwrap_or_default(),
            runtime: variable("ORT_DYLIB_PATH").map(PathBuf::from),
        }
    }

    /// The cache.
    ///
    /// # Errors
    /// [`Error::NoCache`].
    pub fn cache(&self) -> Result<&Path, Error> {
        self.cache.as_deref().ok_or(Error::NoCache)
    }

    /// Folder of the runtimes in the cache.
    pub(crate) fn runtimes(&self) -> Result<PathBuf, Error> {
        Ok(self.cache()?.join("runtime"))
    }

    /// Folder of downloaded models in the cache.
    pub(crate) fn models(&self) -> Result<PathBuf, Error> {
        Ok(self.cache()?.join("models"))
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|it| !it.is_empty())
}
