//! `headstart doctor`: what this machine offers, and what is missing.

use anyhow::Result;
use clap::Args;
use headstart_backbone::{MINIMUM_VERSION, Registry, Runtime, has_cuda_driver};
use serde_json::json;

use crate::models::{Source, find_local};
use crate::provision::{self, Kind};
use crate::{Outcome, folders, machine, report};

/// Show the runtime, its devices, this machine and the models found.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<Outcome> {
    let runtime = provision::load_runtime(Kind::Cpu);
    let runtimes = provision::found()?;
    let models = models_found()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if args.json {
        let error = runtime.as_ref().err().map(|it| format!("{it:#}"));
        let runtime = runtime.as_ref().ok();
        let models: Vec<_> = models.iter().map(|(id, place)| json!({"id": id, "found": place})).collect();
        report::data(serde_json::to_string_pretty(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "runtime": {
                "version": runtime.map(Runtime::version),
                "path": runtime.map(|it| it.path().display().to_string()),
                "minimum_version": MINIMUM_VERSION,
                "execution_providers": runtime.map(Runtime::execution_providers),
                "error": error,
            },
            "runtimes": runtimes
                .iter()
                .map(|(kind, path)| (kind.to_string(), json!(path)))
                .collect::<serde_json::Map<_, _>>(),
            "cuda_driver": has_cuda_driver(),
            "cpu": { "cores": cores, "features": machine::cpu_features() },
            "cache": folders::cache()?,
            "model_folders": folders::model_folders(),
            "models": models,
        }))?)?;
        return Ok(if error.is_none() { Outcome::Good } else { Outcome::SomeFailed });
    }
    let mut rows = vec![vec!["headstart".to_owned(), env!("CARGO_PKG_VERSION").to_owned()]];
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    match &runtime {
        Ok(runtime) => {
            row("runtime", format!("ONNX Runtime {} (needs {MINIMUM_VERSION} or newer)", runtime.version()));
            row("library", runtime.path().display().to_string());
            row("execution providers", runtime.execution_providers().join(", "));
        }
        Err(err) => row("runtime", format!("MISSING: {}", format!("{err:#}").replace("\n\n", "; "))),
    }
    for (kind, path) in &runtimes {
        let place = path.as_ref().map(|it| it.display().to_string());
        row(
            "runtime for",
            format!("{kind}: {}", place.unwrap_or_else(|| provision::setup_command(*kind) + " gets it")),
        );
    }
    row("CUDA driver", if has_cuda_driver() { "answers" } else { "none" }.to_owned());
    row("cpu", format!("{cores} cores, {}", machine::cpu_features().join(" ")));
    row("cache", folders::cache()?.display().to_string());
    let folders: Vec<String> = folders::model_folders().iter().map(|it| it.display().to_string()).collect();
    row("HEADSTART_MODELS", if folders.is_empty() { "not set".to_owned() } else { folders.join(", ") });
    for (id, place) in models {
        row("model", format!("{id}: {}", place.unwrap_or_else(|| "not here".to_owned())));
    }
    report::data(report::table(&rows))?;
    Ok(if runtime.is_ok() { Outcome::Good } else { Outcome::SomeFailed })
}

/// Every model of the registry and where it is.
fn models_found() -> Result<Vec<(String, Option<String>)>> {
    let mut found = Vec::new();
    for spec in Registry::builtin().models {
        let place = find_local(&spec)?.map(|it| match it {
            Source::Embedded(_) => "compiled in".to_owned(),
            Source::File(path) => path.display().to_string(),
        });
        found.push((spec.id, place));
    }
    Ok(found)
}
