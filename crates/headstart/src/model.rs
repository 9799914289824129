//! From a model's name to a model ready to be loaded.

use std::path::{Path, PathBuf};

use headstart_backbone::{CutModel, EMBEDDED_ID, ModelSpec, Registry, embedded_model};
use headstart_input::{AudioOptions, ImageOptions, InputKind, Recipe, TextOptions, TextRecipe, Tokenizer};
use headstart_onnx::Pool;
use serde::Serialize;
use serde_json::Value;

use crate::environment::Places;
use crate::error::Error;
use crate::event::{Events, Note, note};
use crate::provision::{download, hash_of};

/// Which model, and what is to be otherwise than the registry or its description says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Id of the registry, or path of an `.onnx` file. Default: the one that is compiled in.
    pub model: String,
    /// Tensor to cut at; found by structure when not given.
    pub tap: Option<String>,
    /// How a tap with positions becomes one row.
    pub pool: Option<Pool>,
    /// Whether rows are brought to length 1.
    pub normalize: Option<bool>,
    /// How pictures are fed.
    pub image: ImageOptions,
    /// How texts are fed.
    pub text: TextOptions,
    /// How sounds are fed.
    pub audio: AudioOptions,
}

impl From<&str> for ModelConfig {
    fn from(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            tap: None,
            pool: None,
            normalize: None,
            image: ImageOptions::default(),
            text: TextOptions::default(),
            audio: AudioOptions::default(),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::from(EMBEDDED_ID)
    }
}

/// Where a model's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// Compiled into this crate.
    Embedded(&'static [u8]),
    /// A file.
    File(PathBuf),
}

/// Finds a model, downloading it where the registry says from where, checks its hash, and cuts it.
///
/// # Errors
/// [`Error::NoModelFile`], [`Error::UnknownModel`], [`Error::ModelHash`]; [`Error::Model`] when it cannot
/// be cut or fed so; [`Error::Pull`], [`Error::NoAddress`].
pub(crate) fn prepare(
    config: &ModelConfig,
    places: &Places,
    events: &mut Events<'_>,
) -> Result<CutModel, Error> {
    let (mut spec, source) = resolve(&config.model, places, events)?;
    let registered = spec.recipe.clone();
    config.apply(&mut spec)?;
    let model = match &source {
        ModelSource::Embedded(bytes) => CutModel::from_bytes(bytes, &spec),
        ModelSource::File(path) => CutModel::load(path, &spec),
    }
    .or_else(|err| {
        // That a damaged file is not the registry's says more than what of it does not read.
        if let ModelSource::File(path) = &source {
            check_hash(&spec, path)?;
        }
        Err(Error::Model { model: config.model.clone(), source: Box::new(err) })
    })?;
    if let ModelSource::File(path) = &source {
        expect_hash(&spec, path, &model.sha256)?;
        check_tokenizer(&spec, path, &model.recipe)?;
    }
    let name = || config.model.clone();
    config.check_kind(model.recipe.kind())?;
    // Nothing vouches for what is fed to a file of the user's own but these words.
    let is_own = spec.sha256.is_none();
    if is_own || *config != ModelConfig::from(config.model.as_str()) {
        let (recipe, tap, normalize) = (Box::new(model.recipe.clone()), model.tap.clone(), model.normalize);
        note(events, Note::FedAs { model: name(), recipe, tap, normalize });
    }
    let is_otherwise = spec.text != TextOptions::default() || spec.audio != AudioOptions::default();
    if !is_own && (spec.recipe != registered || is_otherwise) {
        note(events, Note::FedOtherwise { model: name(), registered: Box::new(registered) });
    }
    if let Recipe::Image(recipe) = &model.recipe
        && let (true, true, Some((operator, constant))) = (is_own, recipe.unit_range, model.rescaling.clone())
    {
        note(events, Note::RescalesItself { model: name(), operator, constant });
    }
    Ok(model)
}

/// Finds a model by id or path, downloading it where the registry says from where.
fn resolve(model: &str, places: &Places, events: &mut Events<'_>) -> Result<(ModelSpec, ModelSource), Error> {
    let path = Path::new(model);
    let is_onnx = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("onnx"));
    if is_onnx || path.components().count() > 1 {
        if !path.is_file() {
            return Err(Error::NoModelFile { path: path.to_owned() });
        }
        let (spec, description) = ModelSpec::of_file(path)?;
        if let Some(path) = description {
            note(events, Note::DescribedBy { model: model.to_owned(), path });
        }
        return Ok((spec, ModelSource::File(path.to_owned())));
    }
    let registry = Registry::builtin();
    let Some(spec) = registry.get(model) else {
        let known = registry.models.iter().filter(|it| !it.is_development).map(|it| it.id.clone()).collect();
        return Err(Error::UnknownModel { model: model.to_owned(), known });
    };
    let source = match find_local(spec, places)? {
        Some(source) => source,
        None => ModelSource::File(pull(spec, places, events)?),
    };
    Ok((spec.clone(), source))
}

/// A model that needs no download: compiled in, in a folder of models, or in the cache.
///
/// # Errors
/// [`Error::NoCache`].
pub fn find_local(spec: &ModelSpec, places: &Places) -> Result<Option<ModelSource>, Error> {
    if let Some(bytes) = embedded_model(&spec.id) {
        return Ok(Some(ModelSource::Embedded(bytes)));
    }
    let folders = places.model_folders.iter().cloned().chain([places.models()?]);
    Ok(folders.map(|it| it.join(&spec.file)).find(|it| it.is_file()).map(ModelSource::File))
}

/// Refuses a file that is not the registry's.
///
/// # Errors
/// [`Error::ModelHash`], [`Error::Io`].
pub fn check_hash(spec: &ModelSpec, path: &Path) -> Result<(), Error> {
    expect_hash(spec, path, &hash_of(path)?)
}

/// Refuses a tokenizer that is not the registry's.
fn check_tokenizer(spec: &ModelSpec, path: &Path, recipe: &Recipe) -> Result<(), Error> {
    let Recipe::Text(recipe) = recipe else { return Ok(()) };
    let found = recipe.tokenizer.as_ref().map(Tokenizer::sha256).unwrap_or_default();
    match &spec.tokenizer_sha256 {
        Some(expected) if expected != found => Err(Error::ModelHash {
            path: path.with_file_name(spec.tokenizer.as_deref().unwrap_or("tokenizer.json")),
            found: found.to_owned(),
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}

fn expect_hash(spec: &ModelSpec, path: &Path, found: &str) -> Result<(), Error> {
    match &spec.sha256 {
        Some(expected) if expected != found => Err(Error::ModelHash {
            path: path.to_owned(),
            found: found.to_owned(),
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}

/// Downloads a model into the cache, and returns where it is.
///
/// # Errors
/// [`Error::NoAddress`], [`Error::Pull`].
pub fn pull(spec: &ModelSpec, places: &Places, events: &mut Events<'_>) -> Result<PathBuf, Error> {
    let (model, file) = (spec.id.clone(), spec.file.clone());
    let (Some(url), Some(sha256)) = (&spec.url, &spec.sha256) else {
        return Err(Error::NoAddress { model, file });
    };
    let path = places.models()?.join(&spec.file);
    let got = download(url, &path, sha256, spec.bytes, events);
    got.map_err(|source| Error::Pull { model, file, source: Box::new(source) })?;
    Ok(path)
}

/// The TOML that belongs beside a model file: what [`ModelSpec::of_file`] reads. A tokenizer lies beside it, too.
pub(crate) fn description(id: &str, tap: &str, pool: Pool, normalize: bool, recipe: &Recipe) -> String {
    #[derive(Serialize)]
    struct Description<'a> {
        id: &'a str,
        tap: &'a str,
        pool: Pool,
        #[serde(skip_serializing_if = "Option::is_none")]
        normalize: Option<bool>,
        preprocess: Value,
    }
    // What the graph says and what has a file of its own is not said again.
    let recipe = match recipe {
        Recipe::Image(_) | Recipe::Audio(_) => recipe.clone(),
        Recipe::Text(text) => {
            let (max_tokens, prefix) = (Some(text.n_tokens()), text.prefix.clone());
            Recipe::Text(TextRecipe { max_tokens, prefix, ..TextRecipe::default() })
        }
    };
    let mut preprocess = serde_json::to_value(recipe).expect("a recipe is JSON");
    // TOML has no word for nothing, and what is left out has its default.
    if let Some(side) = preprocess.get_mut("short-side").filter(|it| it.is_null()) {
        *side = 0.into();
    }
    let normalize = normalize.then_some(true);
    toml::to_string(&Description { id, tap, pool, normalize, preprocess }).expect("plain values")
}

impl ModelConfig {
    /// Makes a model's description what was asked for.
    fn apply(&self, spec: &mut ModelSpec) -> Result<(), Error> {
        match &mut spec.recipe {
            Recipe::Image(recipe) => {
                *recipe = recipe.clone().with(&self.image);
                recipe.check().map_err(headstart_backbone::BackboneError::from)?;
            }
            Recipe::Text(_) | Recipe::Audio(_) => {}
        }
        spec.text.clone_from(&self.text);
        spec.audio.clone_from(&self.audio);
        spec.size_is_open &= self.image.size.is_none();
        if self.tap.is_some() {
            spec.tap.clone_from(&self.tap);
        }
        spec.pool = self.pool.or(spec.pool);
        spec.normalize = self.normalize.unwrap_or(spec.normalize);
        Ok(())
    }

    /// Refuses what is said of another kind of input than the model's.
    fn check_kind(&self, kind: InputKind) -> Result<(), Error> {
        let said = [
            (InputKind::Image, self.image != ImageOptions::default()),
            (InputKind::Text, self.text != TextOptions::default()),
            (InputKind::Audio, self.audio != AudioOptions::default()),
        ];
        if said.into_iter().any(|(of, is_said)| is_said && of != kind) {
            Err(Error::OtherKindOfInput { model: self.model.clone(), kind })
        } else {
            Ok(())
        }
    }
}
