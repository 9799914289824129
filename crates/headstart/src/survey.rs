//! What this machine offers, and what is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use headstart_backbone::{MINIMUM_VERSION, Registry, Runtime, has_cuda_driver};
use serde::Serialize;

use crate::environment::Places;
use crate::error::Error;
use crate::machine::cpu_features;
use crate::model::{ModelSource, find_local};
use crate::provision::{Kind, in_cache, load_runtime};

/// What this machine offers.
#[derive(Debug, Serialize)]
pub struct Survey {
    /// Version of this library.
    pub version: &'static str,
    /// The runtime for the CPU.
    pub runtime: RuntimeFound,
    /// Libraries in the cache, by kind of device.
    pub runtimes: BTreeMap<String, Option<PathBuf>>,
    /// Whether an NVIDIA driver answers.
    pub cuda_driver: bool,
    /// The processor.
    pub cpu: Cpu,
    /// The cache.
    pub cache: PathBuf,
    /// Folders in which models are looked for.
    pub model_folders: Vec<PathBuf>,
    /// The models of the registry.
    pub models: Vec<ModelFound>,
    /// Why the runtime cannot be used.
    #[serde(skip)]
    pub error: Option<Error>,
}

/// A runtime, where it can be loaded.
#[derive(Debug, Serialize)]
pub struct RuntimeFound {
    /// Its version.
    pub version: Option<String>,
    /// Its library.
    pub path: Option<PathBuf>,
    /// Oldest version that works.
    pub minimum_version: &'static str,
    /// What it was compiled with.
    pub execution_providers: Option<Vec<String>>,
}

/// A processor.
#[derive(Debug, Serialize)]
pub struct Cpu {
    /// Threads that run at once.
    pub cores: usize,
    /// Extensions that matter for inference.
    pub features: Vec<&'static str>,
}

/// A model of the registry.
#[derive(Debug, Serialize)]
pub struct ModelFound {
    /// Its id.
    pub id: String,
    /// Its file, or `compiled in`; none where it is not here.
    pub found: Option<String>,
}

impl Survey {
    /// Looks at this machine.
    ///
    /// # Errors
    /// [`Error::NoCache`].
    pub fn of(places: &Places) -> Result<Self, Error> {
        let (runtime, error) = match load_runtime(Kind::Cpu, places) {
            Ok(runtime) => (Some(runtime), None),
            Err(err) => (None, Some(err)),
        };
        let mut runtimes = BTreeMap::new();
        for kind in Kind::ALL {
            runtimes.insert(kind.to_string(), in_cache(kind, places)?);
        }
        let mut models = Vec::new();
        for spec in Registry::builtin().models {
            let found = find_local(&spec, places)?.map(|it| match it {
                ModelSource::Embedded(_) => "compiled in".to_owned(),
                ModelSource::File(path) => path.display().to_string(),
            });
            models.push(ModelFound { id: spec.id, found });
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            runtime: RuntimeFound {
                version: runtime.as_ref().map(|it| it.version().to_owned()),
                path: runtime.as_ref().map(|it| it.path().to_owned()),
                minimum_version: MINIMUM_VERSION,
                execution_providers: runtime.as_ref().map(Runtime::execution_providers),
            },
            runtimes,
            cuda_driver: has_cuda_driver(),
            cpu: Cpu {
                cores: std::thread::available_parallelism().map_or(1, usize::from),
                features: cpu_features(),
            },
            cache: places.cache()?.to_owned(),
            model_folders: places.model_folders.clone(),
            models,
            error,
        })
    }
}
