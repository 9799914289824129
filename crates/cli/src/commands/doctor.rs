//! `headstart doctor`: what this machine offers, and what is missing.

use anyhow::Result;
use clap::Args;
use headstart::{Kind, Places, Survey};
use serde_json::json;

use crate::{Ended, hints, report};

/// Show the runtime, its devices, this machine and the models found.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs, places: &Places) -> Result<Ended> {
    let mut survey = Survey::of(places)?;
    let error = survey.error.take().map(anyhow::Error::new);
    let error = error.map(|it| format!("{it:#}{}", hints::after(&it)));
    if args.json {
        let mut value = json!(survey);
        // `version` is that of the JSON.
        value["headstart"] = json!(survey.version);
        value["runtime"]["error"] = json!(error);
        report::pretty_json(value)?;
    } else {
        report::data(table(&survey, error.as_deref()))?;
    }
    Ok(if error.is_none() { Ended::Good } else { Ended::NothingRuns })
}

fn table(survey: &Survey, error: Option<&str>) -> String {
    let mut rows = vec![vec!["headstart".to_owned(), survey.version.to_owned()]];
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    let runtime = &survey.runtime;
    if let (Some(version), Some(path)) = (&runtime.version, &runtime.path) {
        row("runtime", format!("ONNX Runtime {version} (needs {} or newer)", runtime.minimum_version));
        row("library", path.display().to_string());
        row(
            "execution providers",
            runtime.execution_providers.iter().flatten().cloned().collect::<Vec<_>>().join(", "),
        );
    }
    if let Some(error) = error {
        row("runtime", format!("MISSING: {}", error.replace("\n\n", "; ")));
    }
    for kind in Kind::ALL {
        let place = survey.runtimes.get(&kind.to_string()).and_then(Option::as_ref);
        let place =
            place.map_or_else(|| hints::setup_command(kind) + " gets it", |it| it.display().to_string());
        row("runtime for", format!("{kind}: {place}"));
    }
    row("CUDA driver", if survey.cuda_driver { "answers" } else { "none" }.to_owned());
    row("cpu", format!("{} cores, {}", survey.cpu.cores, survey.cpu.features.join(" ")));
    row("cache", survey.cache.display().to_string());
    let folders: Vec<String> = survey.model_folders.iter().map(|it| it.display().to_string()).collect();
    row("HEADSTART_MODELS", if folders.is_empty() { "not set".to_owned() } else { folders.join(", ") });
    for model in &survey.models {
        row("model", format!("{}: {}", model.id, model.found.as_deref().unwrap_or("not here")));
    }
    report::table(&rows)
}
