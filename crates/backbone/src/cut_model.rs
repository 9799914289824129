//! A model file made ready: cut at the tap, taking what a recipe makes, with the identity of its embeddings.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use headstart_input::{AudioRecipe, ImageOptions, InputKind, Recipe, TextRecipe, TokenRole, Tokenizer};
use headstart_onnx::{
    OnnxModel, Pool, Tap, channels_last, cut, declare_rank, find_tap, fix_batch_at_one, is_quantized,
    known_rank, make_batch_dynamic, normalize_rows, randomness, rescaling, takes_waveform, tap_at, to_f16,
};

use crate::audio::fitted;
use crate::error::BackboneError;
use crate::front::Front;
use crate::registry::ModelSpec;
use crate::tokens::{fed, takes_tokens, tokenizer_beside, tokenizer_within};

/// A backbone ready to be loaded: what a recipe makes goes in, embeddings come out.
#[derive(Debug, Clone)]
pub struct CutModel {
    /// Id of the model.
    pub id: String,
    /// The cut graph, taking what the recipe makes.
    pub graph: OnnxModel,
    /// The cut graph with the inputs it had, its rows as long as they are.
    pub(crate) bare_graph: OnnxModel,
    /// What makes these inputs of what the recipe makes.
    pub(crate) front: Front,
    /// Where it was cut.
    pub tap: Tap,
    /// How bytes become its inputs.
    pub recipe: Recipe,
    /// SHA-256 of the file it came from, hexadecimal.
    pub sha256: String,
    /// Whether its rows are brought to length 1.
    pub normalize: bool,
    /// Why samples must be run one by one, if they must.
    pub one_by_one: Option<String>,
    /// Whether the embedding is the model's own output, for no classifier was found.
    pub has_no_classifier: bool,
    /// What the model does to its input first, where that is arithmetic with a constant: operator and constant.
    pub rescaling: Option<(String, f32)>,
    /// Whether the pooling was asked for; else it is chosen by the rank of the tap.
    pool_is_chosen: bool,
    /// Whether the channels of a map at the tap come last; none where the graph does not tell.
    channels_last: Option<bool>,
    /// The model as it came, where its batch was fixed.
    original: Option<OnnxModel>,
}

impl CutModel {
    /// Reads a model file, makes its batch dynamic, cuts it and lets it take what its recipe makes.
    ///
    /// # Errors
    /// [`BackboneError::Model`] when the file does not read or cannot be cut;
    /// [`BackboneError::Shape`] when it does not take what the recipe makes;
    /// [`BackboneError::Recipe`] when the recipe contradicts itself.
    pub fn load(path: &Path, spec: &ModelSpec) -> Result<Self, BackboneError> {
        let bytes =
            std::fs::read(path).map_err(|source| BackboneError::Read { path: path.to_owned(), source })?;
        let mut hasher = Sha256::new_with_prefix(&bytes);
        let model = OnnxModel::from_file_bytes(bytes, path).map_err(|err| model_error(&spec.id, err))?;
        // Weights in other files are as much the model as the file that names them.
        for path in model.external_data_files().map_err(|err| model_error(&spec.id, err))? {
            let read_error = |source| BackboneError::Read { path: path.clone(), source };
            let mut file = std::fs::File::open(&path).map_err(read_error)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer).map_err(read_error)? {
                    0 => break,
                    n => hasher.update(&buffer[..n]),
                }
            }
        }
        let tokenizer = || tokenizer_beside(path, spec);
        Self::from_model(model, hex(&hasher.finalize()), spec, &tokenizer)
    }

    /// As [`load`](Self::load), from memory: nothing lies beside it but the tokenizer that is compiled in with it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], spec: &ModelSpec) -> Result<Self, BackboneError> {
        let sha256 = hex(&Sha256::digest(bytes));
        let model = OnnxModel::from_bytes(bytes.to_vec()).map_err(|err| model_error(&spec.id, err))?;
        Self::from_model(model, sha256, spec, &|| tokenizer_within(&spec.id))
    }

    fn from_model(
        mut model: OnnxModel,
        sha256: String,
        spec: &ModelSpec,
        tokenizer: &dyn Fn() -> Result<Option<Tokenizer>, BackboneError>,
    ) -> Result<Self, BackboneError> {
        let id = spec.id.clone();
        let failed = |err| model_error(&id, err);
        let recipe = recipe_of(spec, &mut model, tokenizer)?;
        let front = Front::new(&id, &model, &recipe)?;
        let rescaling = rescaling(&model);
        let original = model.clone();
        let was_fixed = make_batch_dynamic(&mut model).map_err(failed)?;
        let found = match &spec.tap {
            Some(tensor) => tap_at(&model, tensor),
            None => find_tap(&model),
        };
        let mut tap = found.map_err(failed)?;
        // The registry knows what its models give.
        let has_no_classifier =
            spec.tap.is_none() && spec.sha256.is_none() && model.output_names().contains(&tap.tensor);
        let channels_last = channels_last(&front.before(&id, &model)?, &tap.tensor);
        let rank = known_rank(&model, &tap.tensor);
        // Of a sound's frames or of its channels: that takes the rank, which the runtime may have to say.
        let is_open = spec.pool == Some(Pool::Mean) && recipe.kind() == InputKind::Audio && rank.is_none();
        let chosen = spec.pool.filter(|_| !is_open);
        tap.pool = match (chosen, recipe.kind(), tap.pool) {
            (Some(pool), ..) => pool,
            (None, InputKind::Text, _) => pool_of_tokens(&id, &tap.tensor, rank)?,
            (None, InputKind::Audio, pool) => match rank {
                Some(3) => pool_of_frames(channels_last),
                Some(2) => Pool::None,
                _ if pool == Pool::Mean => pool_of_map(&id, &tap.tensor, channels_last)?,
                _ => pool,
            },
            (None, InputKind::Image, Pool::Mean) => pool_of_map(&id, &tap.tensor, channels_last)?,
            (None, InputKind::Image, pool) => pool,
        };
        let bare_graph = cut(&model, &tap).map_err(failed)?;
        if let Some(node) = randomness(&bare_graph) {
            return Err(BackboneError::Random { model: id, node });
        }
        let one_by_one = dynamic_quantisation(&bare_graph);
        // What the embedding does not depend on is not asked for any more.
        let recipe = match &recipe {
            Recipe::Text(text) => Recipe::Text(fed(text, &id, &bare_graph)?),
            Recipe::Image(_) | Recipe::Audio(_) => recipe,
        };
        recipe.check()?;
        check_filling(&id, &recipe, tap.pool)?;
        let graph = feed(&front, &id, &bare_graph, spec.normalize)?;
        Ok(Self {
            id,
            graph,
            bare_graph,
            front,
            tap,
            recipe,
            sha256,
            normalize: spec.normalize,
            one_by_one,
            has_no_classifier,
            rescaling,
            pool_is_chosen: chosen.is_some(),
            channels_last,
            original: was_fixed.then_some(original),
        })
    }

    /// Pools the output of a tap that turned out to have positions, where no pooling was asked for.
    ///
    /// The rank of a tap is known only once the model is loaded.
    pub(crate) fn pooled_by_rank(&self, rank: usize) -> Result<Option<Self>, BackboneError> {
        if self.pool_is_chosen || self.tap.pool != Pool::None || rank <= 2 {
            return Ok(None);
        }
        if rank == 3 && self.recipe.kind() == InputKind::Audio {
            return self.pooled(pool_of_frames(self.channels_last), rank).map(Some);
        }
        if rank != 4 {
            return Err(BackboneError::Shape {
                model: self.id.clone(),
                expected:
                    "a tap of one row an input, or a choice of pooling: `mean`, `first`, `last` or `none`"
                        .to_owned(),
                actual: format!("tap `{}` of rank {rank}", self.tap.tensor),
            });
        }
        self.pooled(pool_of_map(&self.id, &self.tap.tensor, self.channels_last)?, rank).map(Some)
    }

    /// The same, its tap of a rank pooled.
    fn pooled(&self, pool: Pool, rank: usize) -> Result<Self, BackboneError> {
        let mut open = self.bare_graph.clone();
        declare_rank(&mut open, rank);
        // The tensor itself may have been renamed or cast on the way out.
        let output = Tap { tensor: self.bare_graph.output_names()[0].clone(), pool };
        let bare_graph = cut(&open, &output).map_err(|err| model_error(&self.id, err))?;
        let graph = feed(&self.front, &self.id, &bare_graph, self.normalize)?;
        let tap = Tap { tensor: self.tap.tensor.clone(), pool };
        Ok(Self { graph, bare_graph, tap, ..self.clone() })
    }

    /// The same for one input at a time, and declared so: where the batch was fixed, as the model came.
    pub(crate) fn one_at_a_time(&self, reason: &str) -> Result<Self, BackboneError> {
        let mut bare_graph = match &self.original {
            Some(original) => cut(original, &self.tap).map_err(|err| model_error(&self.id, err))?,
            None => self.bare_graph.clone(),
        };
        fix_batch_at_one(&mut bare_graph);
        let mut graph = feed(&self.front, &self.id, &bare_graph, self.normalize)?;
        fix_batch_at_one(&mut graph);
        Ok(Self { graph, bare_graph, one_by_one: Some(reason.to_owned()), ..self.clone() })
    }

    /// The same in half floats: pixels are normalised in f32, embeddings come out as f32.
    ///
    /// # Errors
    /// [`BackboneError::Model`] when the graph has operators that take f32 only.
    pub fn to_f16(&self) -> Result<Self, BackboneError> {
        let failed = |err| model_error(&self.id, err);
        let bare_graph = to_f16(&self.bare_graph).map_err(failed)?;
        let graph = feed(&self.front, &self.id, &bare_graph, self.normalize)?;
        Ok(Self { graph, bare_graph, original: None, ..self.clone() })
    }

    /// Whether it computes in 8-bit integers.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        is_quantized(&self.graph)
    }

    /// What the embeddings depend on besides the input and the runtime.
    pub(crate) fn description(&self) -> Map<String, Value> {
        let mut description = self.recipe.identity();
        description.insert("model_sha256".to_owned(), json!(self.sha256));
        description.insert("tap".to_owned(), json!(self.tap));
        if self.normalize {
            description.insert("normalize".to_owned(), json!("l2"));
        }
        description
    }
}

/// A cut graph that takes what a recipe makes, and gives rows of the length that is asked for.
fn feed(
    front: &Front,
    id: &str,
    bare_graph: &OnnxModel,
    normalize: bool,
) -> Result<OnnxModel, BackboneError> {
    let graph = front.before(id, bare_graph)?;
    Ok(if normalize { normalize_rows(&graph) } else { graph })
}

/// The recipe: of the kind that the model takes, where nobody says; with what the model says of its inputs.
fn recipe_of(
    spec: &ModelSpec,
    model: &mut OnnxModel,
    tokenizer: &dyn Fn() -> Result<Option<Tokenizer>, BackboneError>,
) -> Result<Recipe, BackboneError> {
    match &spec.recipe {
        Recipe::Image(_) if spec.kind_is_open && takes_waveform(model) => {
            fitted(AudioRecipe::default().with(&spec.audio), &spec.id, model).map(Recipe::Audio)
        }
        Recipe::Audio(recipe) => fitted(recipe.clone().with(&spec.audio), &spec.id, model).map(Recipe::Audio),
        Recipe::Image(_) if spec.kind_is_open && takes_tokens(model) => {
            let recipe = TextRecipe { tokenizer: tokenizer()?, ..TextRecipe::default() };
            Ok(Recipe::Text(fed(&recipe.with(&spec.text), &spec.id, model)?))
        }
        Recipe::Image(recipe) => {
            let dims = model.single_input().ok().and_then(|it| it.dims()).filter(|_| spec.size_is_open);
            let channels = recipe.n_channels() as i64;
            let size = match dims.as_deref() {
                Some([_, Some(first), Some(height), Some(width)]) if *first == channels => [height, width],
                Some([_, Some(height), Some(width), Some(last)]) if *last == channels => [height, width],
                _ => return Ok(spec.recipe.clone()),
            };
            let size = size.map(|it| u32::try_from(*it).unwrap_or(0));
            Ok(Recipe::Image(
                recipe.clone().with(&ImageOptions { size: Some(size), ..ImageOptions::default() }),
            ))
        }
        Recipe::Text(recipe) => {
            let tokenizer = if recipe.tokenizer.is_some() { recipe.tokenizer.clone() } else { tokenizer()? };
            let recipe = TextRecipe { tokenizer, ..recipe.clone() }.with(&spec.text);
            Ok(Recipe::Text(fed(&recipe, &spec.id, model)?))
        }
    }
}

/// Refuses to pool what fills up a row as if it were a token.
fn check_filling(id: &str, recipe: &Recipe, pool: Pool) -> Result<(), BackboneError> {
    let Recipe::Text(text) = recipe else { return Ok(()) };
    let has_mask = text.inputs.iter().any(|it| it.role == TokenRole::Mask);
    let (Some(length), Pool::Mean | Pool::Last, false) = (text.length, pool, has_mask) else { return Ok(()) };
    Err(BackboneError::Shape {
        model: id.to_owned(),
        expected: format!("a mask of tokens, to pool by `{pool}` (`first` and `none` need none)"),
        actual: format!("texts filled up to {length} tokens, and no mask"),
    })
}

/// How the tokens of a text become one row.
fn pool_of_tokens(id: &str, tensor: &str, rank: Option<usize>) -> Result<Pool, BackboneError> {
    match rank {
        Some(2) => Ok(Pool::None),
        Some(3) => Ok(Pool::Mean),
        rank => Err(BackboneError::Shape {
            model: id.to_owned(),
            expected: "a tap of one row a text or a token, or a choice of pooling: `mean`, `first`, `last` or `none`"
                .to_owned(),
            actual: match rank {
                Some(rank) => format!("tap `{tensor}` of rank {rank}"),
                None => format!("tap `{tensor}`, of which the graph does not say the rank"),
            },
        }),
    }
}

/// How the frames of a sound become one row: a convolution's stand behind its channels, others' before them.
fn pool_of_frames(channels_last: Option<bool>) -> Pool {
    if channels_last == Some(false) { Pool::MeanNct } else { Pool::Mean }
}

/// How a map becomes one row, by its layout.
fn pool_of_map(id: &str, tensor: &str, channels_last: Option<bool>) -> Result<Pool, BackboneError> {
    match channels_last {
        Some(true) => Ok(Pool::MeanNhwc),
        Some(false) => Ok(Pool::Mean),
        None => Err(BackboneError::MapLayout { model: id.to_owned(), tensor: tensor.to_owned() }),
    }
}

pub(crate) fn model_error(id: &str, err: headstart_onnx::OnnxError) -> BackboneError {
    BackboneError::Model { model: id.to_owned(), source: Box::new(err) }
}

/// Dynamic quantisation takes its scales from the batch, so that embeddings depend on their neighbours.
fn dynamic_quantisation(model: &OnnxModel) -> Option<String> {
    let nodes = model.proto().graph.as_ref().map(|it| it.node.as_slice()).unwrap_or_default();
    let found = nodes.iter().filter_map(|it| it.op_type.as_deref()).find(|it| it.starts_with("Dynamic"));
    found.map(|it| format!("dynamically quantised ({it}): embeddings would depend on the batch"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}
