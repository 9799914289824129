//! How bytes become the tensors a backbone takes: one serialisable value for every kind of input.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::audio::{AudioRecipe, Windowing};
use crate::error::{InputError, RecipeError};
use crate::image::{ImageRecipe, Pixels};
use crate::limits::Limits;
use crate::tensor::Tensor;
use crate::text::{TextRecipe, Tokens};

/// How bytes become the tensors a backbone takes.
///
/// Written as the fields of its kind with the key `kind`; one without it is of pictures.
///
/// # Examples
/// ```
/// use headstart_input::{ImageRecipe, Recipe};
///
/// let recipe: Recipe = serde_json::from_str(r#"{"size": [96, 96], "short-side": 96}"#)?;
/// let Recipe::Image(image) = &recipe else { panic!("one without a kind is of pictures") };
/// assert_eq!((image.size, image.short_side), ([96, 96], Some(96)));
/// assert_eq!(recipe.neutral()[0].shape, [96, 96, 3]);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Recipe {
    /// A picture: one tensor of uint8 pixels.
    Image(ImageRecipe),
    /// A text: the ids of its tokens, and what goes with them.
    Text(TextRecipe),
    /// A sound: its samples, in windows.
    Audio(AudioRecipe),
}

/// Samples of a sound that count as one step of an input's length.
const SAMPLES_A_STEP: usize = 160;

/// A kind of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Pictures.
    #[default]
    Image,
    /// Texts.
    Text,
    /// Sounds.
    Audio,
}

impl InputKind {
    /// What inputs of the kind are called: one, and several.
    #[must_use]
    pub fn nouns(self) -> [&'static str; 2] {
        match self {
            Self::Image => ["picture", "pictures"],
            Self::Text => ["text", "texts"],
            Self::Audio => ["sound", "sounds"],
        }
    }
}

/// What was done to an input that its user should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remark {
    /// A text was cut: it had so many tokens.
    Cut(usize),
    /// A sound had fewer samples a second, so many, than its model takes: what is above half of them is not there.
    Upsampled(u32),
    /// A sound is shorter than a window, and was filled up.
    Short,
    /// A sound is silent from its begin to its end.
    Silent,
    /// Parts of a sound did not decode, and were left out.
    Damaged,
}

/// An input whose bytes are read, and that is not yet in the form a backbone takes.
pub struct Decoded<'a>(Form<'a>);

enum Form<'a> {
    Image(Pixels),
    Text(Tokens),
    Audio(Box<Windowing<'a>>),
}

/// The pieces that an input goes through its model in, each as tensors: one, but for sounds, of which each window is
/// one. A sound is decoded as they are asked for. Behind an error comes nothing.
pub struct Pieces<'a>(Pending<'a>);

enum Pending<'a> {
    One(Option<Result<Vec<Tensor>, InputError>>, Option<Remark>),
    Windows(Box<Windowing<'a>>),
}

impl Pieces<'_> {
    /// What was done to the input that its user should know; complete behind the last piece.
    #[must_use]
    pub fn remarks(&self) -> Vec<Remark> {
        match &self.0 {
            Pending::One(_, remark) => remark.iter().copied().collect(),
            Pending::Windows(windows) => windows.remarks(),
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Vec<Tensor>, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Pending::One(piece, _) => piece.take(),
            Pending::Windows(windows) => windows.next(),
        }
    }
}

impl Recipe {
    /// The kind of input.
    #[must_use]
    pub fn kind(&self) -> InputKind {
        match self {
            Self::Image(_) => InputKind::Image,
            Self::Text(_) => InputKind::Text,
            Self::Audio(_) => InputKind::Audio,
        }
    }

    /// Refuses a recipe that contradicts itself.
    ///
    /// # Errors
    /// [`RecipeError`], which says what contradicts what.
    pub fn check(&self) -> Result<(), RecipeError> {
        match self {
            Self::Image(recipe) => recipe.check(),
            Self::Text(recipe) => recipe.check(),
            Self::Audio(recipe) => recipe.check(),
        }
    }

    /// Tensors of one input, without a batch dimension: [`decode`](Self::decode), then the first of its
    /// [`pieces`](Self::pieces), which is the only one but for sounds of several windows.
    ///
    /// # Errors
    /// [`InputError`] when the bytes do not decode, or would take more memory than `limits` allow.
    ///
    /// # Panics
    /// May, as all of these functions may, for a recipe that [`check`](Self::check) refuses.
    pub fn apply(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<Tensor>, InputError> {
        let decoded = self.decode(bytes.into(), limits)?;
        self.pieces(decoded).next().unwrap_or(Err(InputError::NoSamples))
    }

    /// Decodes the bytes of one input; of a sound its header.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn decode<'a>(&self, bytes: Cow<'a, [u8]>, limits: &Limits) -> Result<Decoded<'a>, InputError> {
        Ok(Decoded(match self {
            Self::Image(recipe) => Form::Image(recipe.decode(&bytes, limits)?),
            Self::Text(recipe) => Form::Text(recipe.decode(&bytes, limits)?),
            Self::Audio(recipe) => Form::Audio(Box::new(recipe.decode(bytes)?)),
        }))
    }

    /// Whether inputs can be decoded from a file while it is read: then none is too long to be held in memory.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        matches!(self, Self::Audio(_))
    }

    /// As [`decode`](Self::decode), from a file that is read as its pieces are asked for.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    ///
    /// # Panics
    /// For a recipe that does not [read files](Self::reads_files).
    pub fn decode_file(&self, file: File) -> Result<Decoded<'static>, InputError> {
        let Self::Audio(recipe) = self else { panic!("only sounds are decoded from files") };
        Ok(Decoded(Form::Audio(Box::new(recipe.decode_file(file)?))))
    }

    /// Brings what was decoded into the form a backbone takes: always the same names and element types, in
    /// the same order.
    ///
    /// # Panics
    /// For what was decoded by a recipe of another kind.
    #[must_use]
    pub fn pieces<'a>(&self, decoded: Decoded<'a>) -> Pieces<'a> {
        Pieces(match (self, decoded.0) {
            (Self::Image(recipe), Form::Image(pixels)) => {
                Pending::One(Some(recipe.resize_and_crop(&pixels).map(|it| vec![recipe.tensor(it)])), None)
            }
            (Self::Text(recipe), Form::Text(tokens)) => {
                let is_cut = tokens.n_uncut > tokens.ids.len();
                let remark = is_cut.then_some(Remark::Cut(tokens.n_uncut));
                Pending::One(Some(Ok(recipe.tensors(&tokens))), remark)
            }
            (Self::Audio(_), Form::Audio(windows)) => Pending::Windows(windows),
            _ => panic!("what was decoded is of the recipe's kind"),
        })
    }

    /// The pieces that an input goes through its model in, of the tensors that it would be whole: for a model that cuts
    /// windows itself.
    #[must_use]
    pub fn pieces_of(&self, tensors: &[Tensor]) -> Vec<Vec<Tensor>> {
        match (self, tensors) {
            (Self::Audio(recipe), [waveform]) => {
                recipe.windows_of(waveform).into_iter().map(|it| vec![it]).collect()
            }
            _ => vec![tensors.to_vec()],
        }
    }

    /// Whether an input may have several pieces.
    #[must_use]
    pub fn has_pieces(&self) -> bool {
        matches!(self, Self::Audio(recipe) if !recipe.whole)
    }

    /// Tensors of several inputs as those of a batch: `(…)` of each becomes `(n, …)`, shorter texts filled up to the
    /// longest of them. `None` for none, and for inputs that no batch can hold together.
    #[must_use]
    pub fn stack(&self, inputs: &[&[Tensor]]) -> Option<Vec<Tensor>> {
        let filled: Vec<Vec<Tensor>>;
        let mut inputs = inputs.to_vec();
        if let Self::Text(recipe) = self {
            let longest = inputs.iter().map(|it| self.length(it)).max()?;
            if recipe.pads() && inputs.iter().any(|it| self.length(it) < longest) {
                filled = inputs.iter().map(|it| recipe.filled(it, longest)).collect();
                inputs = filled.iter().map(Vec::as_slice).collect();
            }
        }
        let n_tensors = inputs.first()?.len();
        if inputs.iter().any(|it| it.len() != n_tensors) {
            return None;
        }
        (0..n_tensors).map(|at| Tensor::stack(inputs.iter().map(|it| &it[at]))).collect()
    }

    /// Whether inputs of different lengths may stand in one batch: the model is told what fills up a row.
    #[must_use]
    pub fn pads(&self) -> bool {
        matches!(self, Self::Text(recipe) if recipe.pads())
    }

    /// How long an input is where inputs are of different lengths: the tokens of a text, hundredths of a second of a
    /// sound. 1 otherwise.
    #[must_use]
    pub fn length(&self, tensors: &[Tensor]) -> usize {
        match self {
            Self::Image(_) => 1,
            // A second of sound is about as much work as some tokens.
            Self::Audio(_) => {
                tensors.iter().map(|it| it.data.len().div_ceil(SAMPLES_A_STEP)).max().unwrap_or(1)
            }
            Self::Text(_) => {
                tensors.iter().filter(|it| it.shape.len() == 1).map(|it| it.shape[0]).max().unwrap_or(1)
            }
        }
    }

    /// Whether all inputs are of one length.
    #[must_use]
    pub fn is_of_one_length(&self) -> bool {
        match self {
            Self::Image(_) => true,
            Self::Text(recipe) => recipe.length.is_some(),
            Self::Audio(recipe) => recipe.is_filled(),
        }
    }

    /// An input that says nothing, as tensors: to fill up a batch, and to ask a device whether it still
    /// works. A black picture, a text of few words, a tone.
    #[must_use]
    pub fn neutral(&self) -> Vec<Tensor> {
        match self {
            Self::Image(recipe) => vec![recipe.tensor(vec![0; recipe.n_bytes()])],
            Self::Text(_) => self.made_up(0),
            Self::Audio(recipe) => vec![recipe.tensor(recipe.probe(0))],
        }
    }

    /// Made-up inputs to compare two models on, as tensors; the same every time. Pictures are noise in
    /// blocks of 1, 2, 4, … 32 pixels, texts 3, 8, 13, 18 words of random letters, sounds tones in noise.
    #[must_use]
    pub fn probes(&self, n: usize) -> Vec<Vec<Tensor>> {
        match self {
            Self::Image(recipe) => (0..n).map(|it| vec![recipe.tensor(recipe.probe(it))]).collect(),
            Self::Text(_) => (0..n).map(|it| self.made_up(it)).collect(),
            Self::Audio(recipe) => (0..n).map(|it| vec![recipe.tensor(recipe.probe(it))]).collect(),
        }
    }

    /// A made-up text. A tokenizer that makes nothing of letters is no tokenizer of texts.
    fn made_up(&self, index: usize) -> Vec<Tensor> {
        self.apply(TextRecipe::probe(index).as_bytes(), &Limits::default()).unwrap_or_default()
    }

    /// What tensors depend on besides the bytes: the recipe and the code that follows it. Part of the
    /// identity of an embedding space.
    #[must_use]
    pub fn identity(&self) -> Map<String, Value> {
        match self {
            Self::Image(recipe) => recipe.identity(),
            Self::Text(recipe) => recipe.identity(),
            Self::Audio(recipe) => recipe.identity(),
        }
    }
}

/// How inputs are fed, in one line.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(recipe) => recipe.fmt(f),
            Self::Text(recipe) => recipe.fmt(f),
            Self::Audio(recipe) => recipe.fmt(f),
        }
    }
}

impl Serialize for Recipe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'a, T> {
            kind: InputKind,
            #[serde(flatten)]
            recipe: &'a T,
        }
        match self {
            // What is the default leaves no trace: files and fingerprints of before stay as they are.
            Self::Image(recipe) => recipe.serialize(serializer),
            Self::Text(recipe) => Named { kind: InputKind::Text, recipe }.serialize(serializer),
            Self::Audio(recipe) => Named { kind: InputKind::Audio, recipe }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Recipe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let kind = fields.remove("kind");
        let kind = match &kind {
            None => InputKind::Image,
            Some(named) => InputKind::deserialize(named).map_err(|_| {
                D::Error::custom(format!("expected kind `image`, `text` or `audio`, found {named}"))
            })?,
        };
        let fields = Value::Object(fields);
        match kind {
            InputKind::Image => ImageRecipe::deserialize(fields).map(Self::Image),
            InputKind::Text => TextRecipe::deserialize(fields).map(Self::Text),
            InputKind::Audio => AudioRecipe::deserialize(fields).map(Self::Audio),
        }
        .map_err(D::Error::custom)
    }
}

impl Default for Recipe {
    /// [`ImageRecipe::imagenet`].
    fn default() -> Self {
        Self::Image(ImageRecipe::default())
    }
}
