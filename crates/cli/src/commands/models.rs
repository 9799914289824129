//! `headstart models`: the registry, downloads, and a look into files.

use std::path::Path;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use headstart::backbone::{ModelSpec, Registry};
use headstart::onnx::{OnnxModel, Summary, TensorSummary, find_tap};
use headstart::{Engine, EngineConfig, ModelConfig, ModelSource, Places, check_hash, find_local, pull};
use serde_json::json;

use super::quantize::{self, QuantizeArgs};
use crate::listener::Listener;
use crate::{Ended, report};

/// List, download, quantise and inspect models.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the registry: ids, sizes, licences, and what is here already.
    List {
        /// Also those that the project's own tests are made with.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download a model into the cache and check its hash.
    Pull {
        /// Id of the registry.
        id: String,
    },
    Quantize(Box<QuantizeArgs>),
    /// Show what is in an .onnx file, what it takes, and where it would be cut.
    Inspect {
        /// The file, or an id of the registry.
        file: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &ModelsArgs, places: &Places) -> Result<Ended> {
    match &args.command {
        ModelsCommand::List { all, json } => list(*all, *json, places),
        ModelsCommand::Pull { id } => get(id, places),
        ModelsCommand::Quantize(args) => quantize::run(args, places),
        ModelsCommand::Inspect { file, json } => inspect(file, *json, places),
    }
}

fn get(id: &str, places: &Places) -> Result<Ended> {
    let registry = Registry::builtin();
    let spec = registry.get(id).with_context(|| format!("no model `{id}`; see `headstart models list`"))?;
    let path = match find_local(spec, places)? {
        Some(ModelSource::Embedded(_)) => {
            report::say(format!("{id} is compiled in"));
            return Ok(Ended::Good);
        }
        Some(ModelSource::File(path)) => {
            check_hash(spec, &path)?;
            path
        }
        None => {
            let mut listener = Listener::default();
            pull(spec, places, &mut |it| listener.hear(it))?
        }
    };
    report::say(format!("{id} is at {}", path.display()));
    Ok(Ended::Good)
}

fn list(all: bool, as_json: bool, places: &Places) -> Result<Ended> {
    let registry = Registry::builtin();
    let models: Vec<&ModelSpec> = registry.models.iter().filter(|it| all || !it.is_development).collect();
    if as_json {
        let object = |it: &&ModelSpec| {
            let mut value = json!(it);
            value["here"] = json!(find_local(it, places).ok().flatten().is_some());
            value
        };
        report::pretty_json(json!({"models": models.iter().map(object).collect::<Vec<_>>()}))?;
        return Ok(Ended::Good);
    }
    let mut rows = vec![["id", "features", "size", "licence", "here", "about"].map(str::to_owned).to_vec()];
    for spec in models {
        let here = match find_local(spec, places)? {
            Some(_) => "yes",
            None if spec.url.is_some() => "pull",
            None => "no",
        };
        rows.push(vec![
            spec.id.clone(),
            spec.n_features.map_or(String::new(), |it| it.to_string()),
            spec.bytes.map_or(String::new(), report::bytes),
            spec.licence.clone().unwrap_or_default(),
            here.to_owned(),
            spec.about.clone().unwrap_or_default(),
        ]);
    }
    report::data(report::table(&rows))?;
    Ok(Ended::Good)
}

fn inspect(name: &str, as_json: bool, places: &Places) -> Result<Ended> {
    let registry = Registry::builtin();
    let registered = registry.get(name);
    let model = match registered.map(|it| find_local(it, places)).transpose()?.flatten() {
        Some(ModelSource::Embedded(bytes)) => OnnxModel::from_bytes(bytes.to_vec()),
        Some(ModelSource::File(path)) => OnnxModel::load(&path),
        None => OnnxModel::load(name.as_ref()),
    };
    let model = model.with_context(|| name.to_owned())?;
    let summary = Summary::of(&model);
    let engine = Engine::new(EngineConfig { places: Some(places.clone()), ..EngineConfig::default() });
    // A file is one whatever it is called, unless an id is.
    let path = || Path::new(".").join(name).to_string_lossy().into_owned();
    let asked = registered.map_or_else(path, |it| it.id.clone());
    let made = engine.model(&ModelConfig::from(asked.as_str()), &mut |_| ()).map_err(anyhow::Error::from);
    let tap = made.as_ref().ok().map(|it| it.tap.clone()).or_else(|| find_tap(&model).ok());
    let (kind, fed) =
        (made.as_ref().ok().map(|it| it.recipe.kind()), made.as_ref().map(|it| it.recipe.to_string()));
    if as_json {
        let mut value = json!(summary);
        value["tap"] = json!(tap);
        value["kind"] = json!(kind);
        value["fed"] = json!(fed.ok());
        report::pretty_json(value)?;
        return Ok(Ended::Good);
    }
    let tensor = |it: &TensorSummary| format!("{} {} [{}]", it.name, it.dtype, it.shape.join(", "));
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    summary.inputs.iter().for_each(|it| row("input", tensor(it)));
    summary.outputs.iter().for_each(|it| row("output", tensor(it)));
    row("parameters", summary.n_parameters.to_string());
    let opsets = summary.opsets.iter().map(|(domain, version)| format!("{domain} {version}"));
    row("opsets", opsets.collect::<Vec<_>>().join(", "));
    let mut operators: Vec<_> = summary.operators.iter().collect();
    operators.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), name.as_str()));
    let operators = operators.iter().map(|(name, count)| format!("{name} ×{count}"));
    row("operators", operators.collect::<Vec<_>>().join(", "));
    if let Some(tap) = tap {
        row("tap", format!("{} (pooling: {})", tap.tensor, tap.pool));
    }
    match (kind, fed) {
        (Some(kind), Ok(fed)) => row("takes", format!("{}: {fed}", kind.nouns()[1])),
        (_, fed) => row("is no backbone yet", fed.err().map_or(String::new(), |err| format!("{err:#}"))),
    }
    summary.metadata.iter().for_each(|(key, value)| row(key, value.chars().take(100).collect()));
    report::data(report::table(&rows))?;
    Ok(Ended::Good)
}
