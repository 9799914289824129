//! `headstart doctor`: what this machine offers, and what is missing.

use anyhow::Result;
use clap::Args;
use headstart::backbone::{MINIMUM_VERSION, Registry, Runtime, has_cuda_driver};
use headstart::{Kind, ModelSource, Places, cpu_features, find_local, in_cache, load_runtime};
use serde_json::{Map, Value, json};

use crate::{Ended, hints, report};

/// Show the runtime, its devices, this machine and the models found.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was looked at.
struct Found {
    runtime: Result<Runtime>,
    /// The kinds of runtime, and where each is.
    runtimes: Vec<(Kind, Option<String>)>,
    /// Every model of the registry, and where it is.
    models: Vec<(String, Option<String>)>,
    cache: String,
    model_folders: Vec<String>,
    n_cores: usize,
}

pub(crate) fn run(args: &DoctorArgs, places: &Places) -> Result<Ended> {
    let found = Found::look(places)?;
    match args.json {
        true => report::data(serde_json::to_string_pretty(&found.to_json())?)?,
        false => report::data(found.table())?,
    }
    Ok(if found.runtime.is_ok() { Ended::Good } else { Ended::SomeFailed })
}

impl Found {
    fn look(places: &Places) -> Result<Self> {
        let mut runtimes = Vec::new();
        for kind in Kind::ALL {
            runtimes.push((kind, in_cache(kind, places)?.map(|it| it.display().to_string())));
        }
        let mut models = Vec::new();
        for spec in Registry::builtin().models {
            let place = find_local(&spec, places)?.map(|it| match it {
                ModelSource::Embedded(_) => "compiled in".to_owned(),
                ModelSource::File(path) => path.display().to_string(),
            });
            models.push((spec.id, place));
        }
        Ok(Self {
            runtime: load_runtime(Kind::Cpu, places).map_err(Into::into),
            runtimes,
            models,
            cache: places.cache()?.display().to_string(),
            model_folders: places.model_folders.iter().map(|it| it.display().to_string()).collect(),
            n_cores: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }

    fn to_json(&self) -> Value {
        let runtime = self.runtime.as_ref().ok();
        let error = self.runtime.as_ref().err().map(|it| format!("{it:#}{}", hints::after(it)));
        let runtimes = self.runtimes.iter().map(|(kind, path)| (kind.to_string(), json!(path)));
        let models = self.models.iter().map(|(id, place)| json!({"id": id, "found": place}));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "runtime": {
                "version": runtime.map(Runtime::version),
                "path": runtime.map(|it| it.path().display().to_string()),
                "minimum_version": MINIMUM_VERSION,
                "execution_providers": runtime.map(Runtime::execution_providers),
                "error": error,
            },
            "runtimes": runtimes.collect::<Map<_, _>>(),
            "cuda_driver": has_cuda_driver(),
            "cpu": { "cores": self.n_cores, "features": cpu_features() },
            "cache": self.cache,
            "model_folders": self.model_folders,
            "models": models.collect::<Vec<_>>(),
        })
    }

    fn table(&self) -> String {
        let mut rows = vec![vec!["headstart".to_owned(), env!("CARGO_PKG_VERSION").to_owned()]];
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        match &self.runtime {
            Ok(runtime) => {
                let version = runtime.version();
                row("runtime", format!("ONNX Runtime {version} (needs {MINIMUM_VERSION} or newer)"));
                row("library", runtime.path().display().to_string());
                row("execution providers", runtime.execution_providers().join(", "));
            }
            Err(err) => {
                let reason = format!("{err:#}{}", hints::after(err)).replace("\n\n", "; ");
                row("runtime", format!("MISSING: {reason}"));
            }
        }
        for (kind, path) in &self.runtimes {
            let place = path.clone().unwrap_or_else(|| hints::setup_command(*kind) + " gets it");
            row("runtime for", format!("{kind}: {place}"));
        }
        row("CUDA driver", if has_cuda_driver() { "answers" } else { "none" }.to_owned());
        row("cpu", format!("{} cores, {}", self.n_cores, cpu_features().join(" ")));
        row("cache", self.cache.clone());
        let folders = self.model_folders.join(", ");
        row("HEADSTART_MODELS", if folders.is_empty() { "not set".to_owned() } else { folders });
        for (id, place) in &self.models {
            row("model", format!("{id}: {}", place.as_deref().unwrap_or("not here")));
        }
        report::table(&rows)
    }
}
