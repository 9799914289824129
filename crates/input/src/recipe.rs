//! How bytes become the tensors a backbone takes: one serialisable value for every kind of input.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{InputError, RecipeError};
use crate::image::{ImageRecipe, Pixels};
use crate::limits::Limits;
use crate::tensor::Tensor;

/// How bytes become the tensors a backbone takes.
///
/// Written as the fields of its kind with the key `kind`; one without it is of pictures.
///
/// # Examples
/// ```
/// use headstart_input::{ImageRecipe, Recipe};
///
/// let recipe: Recipe = serde_json::from_str(r#"{"size": [96, 96], "short-side": 96}"#)?;
/// let Recipe::Image(image) = &recipe;
/// assert_eq!((image.size, image.short_side), ([96, 96], Some(96)));
/// assert_eq!(recipe.neutral()[0].shape, [96, 96, 3]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// A picture: one tensor of uint8 pixels.
    Image(ImageRecipe),
}

/// An input whose bytes are read, and that is not yet in the form a backbone takes.
#[derive(Debug)]
pub struct Decoded(Form);

#[derive(Debug)]
enum Form {
    Image(Pixels),
}

/// Kinds of input, as the key `kind` names them.
const IMAGE: &str = "image";

impl Recipe {
    /// Refuses a recipe that contradicts itself.
    ///
    /// # Errors
    /// [`RecipeError`], which says what contradicts what.
    pub fn check(&self) -> Result<(), RecipeError> {
        match self {
            Self::Image(recipe) => recipe.check(),
        }
    }

    /// Tensors of one input, without a batch dimension: [`decode`](Self::decode), then
    /// [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// [`InputError`] when the bytes do not decode, or would take more memory than `limits` allow.
    ///
    /// # Panics
    /// May, as all of these functions may, for a recipe that [`check`](Self::check) refuses.
    pub fn apply(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<Tensor>, InputError> {
        self.tensors(self.decode(bytes, limits)?)
    }

    /// Decodes the bytes of one input.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn decode(&self, bytes: &[u8], limits: &Limits) -> Result<Decoded, InputError> {
        match self {
            Self::Image(recipe) => Ok(Decoded(Form::Image(recipe.decode(bytes, limits)?))),
        }
    }

    /// Brings what was decoded into the form a backbone takes: always the same names and element types, in
    /// the same order.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn tensors(&self, decoded: Decoded) -> Result<Vec<Tensor>, InputError> {
        match (self, decoded.0) {
            (Self::Image(recipe), Form::Image(pixels)) => {
                Ok(vec![recipe.tensor(recipe.resize_and_crop(&pixels)?)])
            }
        }
    }

    /// An input that says nothing, as tensors: to fill up a batch, and to ask a device whether it still
    /// works. A black picture.
    #[must_use]
    pub fn neutral(&self) -> Vec<Tensor> {
        match self {
            Self::Image(recipe) => vec![recipe.tensor(vec![0; recipe.n_bytes()])],
        }
    }

    /// Made-up inputs to compare two models on, as tensors; the same every time. Pictures are noise in
    /// blocks of 1, 2, 4, … 32 pixels.
    #[must_use]
    pub fn probes(&self, n: usize) -> Vec<Vec<Tensor>> {
        match self {
            Self::Image(recipe) => (0..n).map(|it| vec![recipe.tensor(recipe.probe(it))]).collect(),
        }
    }

    /// What tensors depend on besides the bytes: the recipe and the code that follows it. Part of the
    /// identity of an embedding space.
    #[must_use]
    pub fn identity(&self) -> Map<String, Value> {
        match self {
            Self::Image(recipe) => recipe.identity(),
        }
    }
}

/// How inputs are fed, in one line.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(recipe) => recipe.fmt(f),
        }
    }
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // What is the default leaves no trace: files and fingerprints of before stay as they are.
            Self::Image(recipe) => recipe.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        match fields.remove("kind") {
            None => {}
            Some(Value::String(kind)) if kind == IMAGE => {}
            Some(kind) => return Err(D::Error::custom(format!("expected kind `{IMAGE}`, found {kind}"))),
        }
        let recipe = ImageRecipe::deserialize(Value::Object(fields)).map_err(D::Error::custom)?;
        Ok(Self::Image(recipe))
    }
}

impl Default for Recipe {
    /// [`ImageRecipe::imagenet`].
    fn default() -> Self {
        Self::Image(ImageRecipe::default())
    }
}
