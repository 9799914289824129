//! Texts: UTF-8 to the ids of tokens, as Hugging Face's `tokenizers` has them.

mod tokenizer;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{InputError, RecipeError};
use crate::limits::Limits;
use crate::tensor::{Data, Tensor};

use tokenizer::TOKENIZER;
pub use tokenizer::Tokenizer;
pub(crate) use tokenizer::Tokens;

/// Memory that a byte of a text takes while it is tokenised, about: its place before and after normalising, and a
/// token where it is one.
const BYTES_A_BYTE: u64 = 128;

/// Most tokens where neither a recipe nor its tokenizer says.
const MAX_TOKENS: usize = 512;

/// Most tokens that a recipe may let a text have.
const MOST_TOKENS: usize = 1_000_000;

/// How a text becomes the input of a backbone. Enters the fingerprint as a whole.
///
/// Steps: the prefix before the text; the tokenizer, special tokens among them; what is longer than
/// [`max_tokens`](Self::max_tokens) is cut at its end, and said ([`Remark::Cut`](crate::Remark)). A batch is padded
/// at the end of its rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TextRecipe {
    /// What makes tokens of a text; none until a model brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// Most tokens of a text, special ones among them. Default: what the tokenizer says, else 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
    /// Put before every text: `query: ` for instance.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Number of tokens that every row is filled up to, for a model that takes no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// What the model takes; as its graph says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<TokenInput>,
}

/// What of a recipe is to be otherwise than in another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextOptions {
    /// Most tokens of a text, special ones among them.
    pub max_tokens: Option<usize>,
    /// Put before every text.
    pub prefix: Option<String>,
}

/// An input of a model of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TokenInput {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: TokenRole,
    /// Whether its integers have 32 bits instead of 64.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_int32: bool,
}

/// What an input of a model of tokens is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenRole {
    /// `(n_tokens,)`: the ids of the tokens.
    Ids,
    /// `(n_tokens,)`: 1 for each token, 0 for what fills up a row.
    Mask,
    /// `(n_tokens,)`: the part of the input that a token belongs to; 0 for one text.
    Types,
    /// `(n_tokens,)`: 0, 1, 2, …
    Positions,
    /// `(n_heads, 0, n_features)`: what a decoder kept of tokens before, of which there are none.
    Past([usize; 2]),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl TextRecipe {
    /// The recipe but for some options.
    #[must_use]
    pub fn with(mut self, options: &TextOptions) -> Self {
        self.max_tokens = options.max_tokens.or(self.max_tokens);
        self.prefix = options.prefix.clone().unwrap_or(self.prefix);
        self
    }

    /// Most tokens of a text.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        let said = self.max_tokens.or_else(|| self.tokenizer.as_ref()?.max_tokens());
        said.unwrap_or(MAX_TOKENS).min(self.length.unwrap_or(usize::MAX))
    }

    /// Checks that there is a tokenizer and something to put its tokens in.
    ///
    /// # Errors
    /// [`RecipeError::NoTokenizer`], [`RecipeError::NoIds`], [`RecipeError::MaxTokens`].
    pub fn check(&self) -> Result<(), RecipeError> {
        let n_special = self.tokenizer.as_ref().ok_or(RecipeError::NoTokenizer)?.n_special();
        if !self.inputs.iter().any(|it| it.role == TokenRole::Ids) {
            return Err(RecipeError::NoIds);
        }
        let n = self.n_tokens();
        // As many as any model takes: what is not bounded is no limit.
        if n <= n_special || n.max(self.length.unwrap_or(0)) > MOST_TOKENS {
            Err(RecipeError::MaxTokens { n, n_special })
        } else {
            Ok(())
        }
    }

    /// Whether texts of different lengths may stand in one batch: the model is told what fills up a row.
    pub(crate) fn pads(&self) -> bool {
        self.inputs.iter().any(|it| it.role == TokenRole::Mask)
    }

    pub(crate) fn decode(&self, bytes: &[u8], limits: &Limits) -> Result<Tokens, InputError> {
        let text = std::str::from_utf8(bytes).map_err(|err| InputError::NotUtf8 { at: err.valid_up_to() })?;
        let (n_bytes, limit) = (bytes.len() as u64, limits.max_bytes / BYTES_A_BYTE);
        if n_bytes > limit {
            return Err(InputError::TooLongText { n_bytes, limit });
        }
        let tokenizer = self.tokenizer.as_ref().ok_or(InputError::NoTokens)?;
        let tokens = match self.prefix.as_str() {
            "" => tokenizer.encode(text, self.n_tokens())?,
            prefix => tokenizer.encode(&format!("{prefix}{text}"), self.n_tokens())?,
        };
        if tokens.ids.is_empty() { Err(InputError::NoTokens) } else { Ok(tokens) }
    }

    pub(crate) fn tensors(&self, tokens: &Tokens) -> Vec<Tensor> {
        let n = tokens.ids.len();
        let widened = |ids: &[u32]| ids.iter().map(|it| i64::from(*it)).collect();
        let tensor = |it: &TokenInput| {
            let (shape, values) = match it.role {
                TokenRole::Ids => (vec![n], widened(&tokens.ids)),
                TokenRole::Types => (vec![n], widened(&tokens.types)),
                TokenRole::Mask => (vec![n], vec![1; n]),
                TokenRole::Positions => (vec![n], (0..).take(n).collect()),
                TokenRole::Past([n_heads, n_features]) => {
                    return Tensor::new(&*it.name, vec![n_heads, 0, n_features], Data::F32(Vec::new()));
                }
            };
            Tensor::new(&*it.name, shape, integers(values, it.is_int32))
        };
        let tensors: Vec<Tensor> = self.inputs.iter().map(tensor).collect();
        match self.length {
            Some(length) => self.filled(&tensors, length),
            None => tensors,
        }
    }

    /// Tensors of one text, filled up to a number of tokens.
    pub(crate) fn filled(&self, tensors: &[Tensor], length: usize) -> Vec<Tensor> {
        let pad_id = self.tokenizer.as_ref().map_or(0, Tokenizer::pad_id);
        let filled = |(input, tensor): (&TokenInput, &Tensor)| {
            let value = match input.role {
                TokenRole::Past(_) => return tensor.clone(),
                TokenRole::Ids => i64::from(pad_id),
                _ => 0,
            };
            tensor.filled(length, value)
        };
        self.inputs.iter().zip(tensors).map(filled).collect()
    }

    /// A made-up text: words of hashed letters, another number of them every time.
    pub(crate) fn probe(probe: usize) -> String {
        let hash = |it: usize| {
            let hash = (it as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
        };
        let word = |word: usize| -> String {
            let of_word = hash(probe * 1024 + word);
            let letter = |it: u64| {
                char::from(b"etaoinshrdlucmfw"[((of_word >> (4 * it)) & 15).to_le_bytes()[0] as usize])
            };
            (0..2 + of_word % 5).map(letter).collect()
        };
        let words: Vec<String> = (0..3 + 5 * (probe % 4)).map(word).collect();
        words.join(" ")
    }

    pub(crate) fn identity(&self) -> Map<String, Value> {
        let mut identity = Map::new();
        // The file is said by its hash.
        let mut preprocess = json!(Self { tokenizer: None, ..self.clone() });
        preprocess["max-tokens"] = json!(self.n_tokens());
        identity.insert("preprocess".to_owned(), preprocess);
        identity.insert("tokenizer_sha256".to_owned(), json!(self.tokenizer.as_ref().map(Tokenizer::sha256)));
        identity.insert("tokenizer".to_owned(), json!(TOKENIZER));
        identity
    }
}

/// Integers of 32 or 64 bits. Ids have fewer than 31.
fn integers(values: Vec<i64>, is_int32: bool) -> Data {
    if !is_int32 {
        return Data::I64(values);
    }
    Data::I32(values.into_iter().map(|it| i32::try_from(it).unwrap_or(i32::MAX)).collect())
}

/// How texts are fed, in one line.
impl fmt::Display for TextRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tokenizer {
            Some(tokenizer) => write!(f, "tokens of {} kinds", tokenizer.n_tokens())?,
            None => f.write_str("tokens")?,
        }
        write!(f, ", at most {} a text", self.n_tokens())?;
        if let Some(length) = self.length {
            write!(f, ", filled up to {length}")?;
        }
        if self.prefix.is_empty() { Ok(()) } else { write!(f, ", {:?} before each", self.prefix) }
    }
}
