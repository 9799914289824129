//! Models known by name, and what is assumed about the ones that are not.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use headstart_input::{AudioOptions, InputKind, Recipe, TextOptions};
use headstart_onnx::Pool;

use crate::error::BackboneError;

/// The registry this crate was built with, `models/models.toml`.
const BUILTIN: &str = include_str!("../models/models.toml");

/// Id of the default backbone, of pictures, which is compiled in.
pub const EMBEDDED_ID: &str = "headstart-distilled-96";

/// Ids of the default backbones of texts and of sounds, which are compiled in.
const TEXTS_ID: &str = "headstart-words";
const SOUNDS_ID: &str = "headstart-log-mel";

/// Ids and files of the models that are compiled in.
const EMBEDDED: [(&str, &[u8]); 4] = [
    (EMBEDDED_ID, include_bytes!("../models/headstart-distilled-96.onnx")),
    ("headstart-distilled-96-int8", include_bytes!("../models/headstart-distilled-96-int8.onnx")),
    (TEXTS_ID, include_bytes!("../models/headstart-words.onnx")),
    (SOUNDS_ID, include_bytes!("../models/headstart-log-mel.onnx")),
];

/// Longest description beside a model, in bytes.
const MAX_DESCRIPTION: u64 = 1 << 20;

/// A model: where it comes from, how to check it, how to feed it, where to cut it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelSpec {
    /// Name on the command line and in reports.
    pub id: String,
    /// File name in model folders and caches.
    #[serde(default)]
    pub file: String,
    /// Where it can be downloaded; none for files that are only found locally.
    pub url: Option<String>,
    /// SHA-256 of the file, hexadecimal; none for a user's own file.
    pub sha256: Option<String>,
    /// Length of the file.
    pub bytes: Option<u64>,
    /// Licence of the weights.
    pub licence: Option<String>,
    /// What it is, in a few words.
    pub about: Option<String>,
    /// Whether only the project's own tests and benchmarks need it.
    #[serde(default, rename = "development", skip_serializing_if = "is_false")]
    pub is_development: bool,
    /// The tensor to cut at; found by structure when absent.
    pub tap: Option<String>,
    /// How positions become one row; by rank when absent.
    pub pool: Option<Pool>,
    /// Whether rows are brought to length 1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub normalize: bool,
    /// Name of the file with the tokenizer of a model of texts, in the same folder; when absent, one of a usual name.
    pub tokenizer: Option<String>,
    /// SHA-256 of that, hexadecimal.
    pub tokenizer_sha256: Option<String>,
    /// Length of the embedding; found by a run when absent.
    pub n_features: Option<usize>,
    /// How bytes become its inputs.
    #[serde(default, rename = "preprocess")]
    pub recipe: Recipe,
    /// Whether nobody says how large its input is: where the model itself does, that counts.
    #[serde(skip)]
    pub size_is_open: bool,
    /// What is to be otherwise than the recipe of a model of texts says.
    #[serde(skip)]
    pub text: TextOptions,
    /// What is to be otherwise than the recipe of a model of sounds says.
    #[serde(skip)]
    pub audio: AudioOptions,
    /// Whether nobody says what kind of input it takes: then the model's inputs do.
    #[serde(skip)]
    pub kind_is_open: bool,
}

/// What is off is not written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Models known by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The models, in the file's order.
    #[serde(rename = "model")]
    pub models: Vec<ModelSpec>,
}

impl Registry {
    /// The registry this crate was built with.
    ///
    /// # Panics
    /// Never: a test reads the file that is compiled in.
    #[must_use]
    pub fn builtin() -> Self {
        Self::from_toml(BUILTIN, Path::new("models.toml")).expect("a test reads the built-in registry")
    }

    /// Reads a registry.
    ///
    /// # Errors
    /// [`BackboneError::Description`] naming `path` when the text is none.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, BackboneError> {
        toml::from_str(text)
            .map_err(|err| BackboneError::Description { path: path.to_owned(), source: Box::new(err) })
    }

    /// A model by id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&ModelSpec> {
        self.models.iter().find(|it| it.id == id)
    }
}

/// Id of the default backbone for a kind of input; all are compiled in.
#[must_use]
pub fn default_model(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Image => EMBEDDED_ID,
        InputKind::Text => TEXTS_ID,
        InputKind::Audio => SOUNDS_ID,
    }
}

/// The tokenizer of a model that is compiled in.
pub(crate) fn embedded_tokenizer(id: &str) -> Option<&'static str> {
    (id == TEXTS_ID).then_some(include_str!("../models/headstart-words.tokenizer.json"))
}

/// The file of a model that is compiled in: [`EMBEDDED_ID`], the same in 8-bit integers, those of texts and sounds.
#[must_use]
pub fn embedded_model(id: &str) -> Option<&'static [u8]> {
    EMBEDDED.iter().find(|it| it.0 == id).map(|it| it.1)
}

impl ModelSpec {
    /// What is known of a user's own file: the `.toml` beside it where there is one, else
    /// [`Recipe::default`]. The second value is the description that was read.
    ///
    /// # Errors
    /// [`BackboneError::Read`], [`BackboneError::Description`] when the description is there but does
    /// not read.
    pub fn of_file(path: &Path) -> Result<(Self, Option<PathBuf>), BackboneError> {
        let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let description = path.with_extension("toml");
        let read = std::fs::metadata(&description).and_then(|it| {
            match it.is_file() && it.len() <= MAX_DESCRIPTION {
                true => std::fs::read_to_string(&description),
                false => {
                    Err(std::io::Error::other(format!("it is no file of at most {MAX_DESCRIPTION} bytes")))
                }
            }
        });
        let text = match read {
            Ok(text) => text,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Self { size_is_open: true, kind_is_open: true, ..Self::named(id) }, None));
            }
            Err(source) => {
                return Err(BackboneError::Read { path: description, source });
            }
        };
        let described: Described = toml::from_str(&text)
            .map_err(|err| BackboneError::Description { path: description.clone(), source: Box::new(err) })?;
        let says_size =
            |text: &str| Some(text.parse::<toml::Table>().ok()?.get("preprocess")?.get("size").is_some());
        let spec = Self {
            size_is_open: !says_size(&text).unwrap_or(false),
            kind_is_open: described.recipe.is_none(),
            tap: described.tap,
            pool: described.pool,
            normalize: described.normalize,
            tokenizer: described.tokenizer,
            recipe: described.recipe.unwrap_or_default(),
            ..Self::named(described.id.unwrap_or(id))
        };
        Ok((spec, Some(description)))
    }

    fn named(id: String) -> Self {
        Self {
            file: format!("{id}.onnx"),
            id,
            url: None,
            sha256: None,
            bytes: None,
            licence: None,
            about: None,
            is_development: false,
            tap: None,
            pool: None,
            normalize: false,
            tokenizer: None,
            tokenizer_sha256: None,
            n_features: None,
            recipe: Recipe::default(),
            size_is_open: false,
            text: TextOptions::default(),
            audio: AudioOptions::default(),
            kind_is_open: false,
        }
    }
}

/// The TOML beside a user's own model.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Described {
    id: Option<String>,
    tap: Option<String>,
    pool: Option<Pool>,
    #[serde(default)]
    normalize: bool,
    tokenizer: Option<String>,
    #[serde(rename = "preprocess")]
    recipe: Option<Recipe>,
}
