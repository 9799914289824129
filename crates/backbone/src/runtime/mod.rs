//! ONNX Runtime: the only module that names `ort`.

mod builder;
mod library;
mod session;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider};
use ort::logging::LogLevel;

use crate::device::{Device, Precision};
use crate::error::BackboneError;
use library::{library_version, parse_version};

pub use library::has_cuda_driver;
pub use session::{Outlet, Session};

/// Oldest ONNX Runtime that works: the API version `ort` was built for.
pub const MINIMUM_VERSION: &str = "1.24.0";

/// An ONNX Runtime library in this process. There can be one; clones share it.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: String,
}

/// Dropping the environment would make every later one fail, so the first one stays.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads ONNX Runtime from a library file, once a process; the same path again gives the same runtime.
    ///
    /// # Errors
    /// [`BackboneError::RuntimeMissing`], [`RuntimeTooOld`](BackboneError::RuntimeTooOld),
    /// [`RuntimeLoad`](BackboneError::RuntimeLoad) when the file is missing, older than
    /// [`MINIMUM_VERSION`] or no ONNX Runtime; [`RuntimeLoadedTwice`](BackboneError::RuntimeLoadedTwice)
    /// when another file is in use.
    pub fn load(path: &Path) -> Result<Self, BackboneError> {
        let needed = || MINIMUM_VERSION.to_owned();
        let path = path
            .canonicalize()
            .map_err(|_| BackboneError::RuntimeMissing { path: path.to_owned(), needed: needed() })?;
        // A panic elsewhere cannot leave this half-written: it is set in one assignment.
        let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            if runtime.path != path {
                return Err(BackboneError::RuntimeLoadedTwice { loaded: runtime.path.clone(), asked: path });
            }
            return Ok(runtime.clone());
        }
        let version = library_version(&path)?;
        if parse_version(&version) < parse_version(MINIMUM_VERSION) {
            return Err(BackboneError::RuntimeTooOld { path, found: version, needed: needed() });
        }
        let load_error = |source: Box<dyn std::error::Error + Send + Sync>| BackboneError::RuntimeLoad {
            path: path.clone(),
            source,
        };
        let environment = ort::init_from(&path)
            .map_err(|err| load_error(err.to_string().into()))?
            .with_name("headstart")
            .with_telemetry(false)
            .with_logger(Arc::new(|level, _category: &str, _id: &str, location: &str, message: &str| {
                match level {
                    LogLevel::Error | LogLevel::Fatal => {
                        tracing::debug!(location, "onnxruntime: {message}")
                    }
                    _ => tracing::trace!(location, "onnxruntime: {message}"),
                }
            }))
            .build()
            .map_err(|err| load_error(Box::new(err)))?;
        let runtime = Self { environment, path, version };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Version of the library, `1.31.1` for instance.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The library file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Execution providers this build of the library was compiled with, by ONNX Runtime's names.
    #[must_use]
    pub fn execution_providers(&self) -> Vec<String> {
        let mut names = vec!["CPUExecutionProvider".to_owned()];
        let optional =
            [(ep::CUDA::NAME, ep::CUDA::is_available()), (ep::OpenVINO::NAME, ep::OpenVINO::is_available())];
        names.extend(
            optional.into_iter().filter(|(_, is)| matches!(is, Ok(true))).map(|(it, _)| it.to_owned()),
        );
        names
    }
}

/// How a session computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Where it computes.
    pub device: Device,
    /// In what precision.
    pub precision: Precision,
}

impl Default for SessionConfig {
    /// CPU, f32.
    fn default() -> Self {
        Self { device: Device::Cpu, precision: Precision::F32 }
    }
}
