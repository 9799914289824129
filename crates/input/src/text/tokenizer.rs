//! Hugging Face's `tokenizers`, the only place that names it: a `tokenizer.json` as a value.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use tokenizers::{ModelWrapper, TruncationDirection};

use crate::error::{InputError, RecipeError};
use crate::quietly::quietly;

/// Most bytes of a `tokenizer.json`; the largest in use have some 35 MB.
const MAX_BYTES: usize = 128 << 20;

/// A tokenizer: what a `tokenizer.json` says. Clones share it.
///
/// Its own truncation and padding are left out: how long a text may be is the recipe's word, and rows are padded
/// where a batch needs it.
///
/// # Examples
/// ```
/// use headstart_input::Tokenizer;
///
/// let json = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
///   "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
///   "model": {"type": "WordLevel", "vocab": {"?": 0, "good": 1, "bad": 2}, "unk_token": "?"}}"#;
/// let tokenizer = Tokenizer::from_json(json)?;
/// assert_eq!(tokenizer.n_tokens(), 3);
/// # Ok::<(), headstart_input::RecipeError>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer(Arc<Loaded>);

struct Loaded {
    json: String,
    sha256: String,
    tokenizer: tokenizers::Tokenizer,
    max_tokens: Option<usize>,
    pad_id: u32,
}

/// A text as a tokenizer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) ids: Vec<u32>,
    pub(crate) types: Vec<u32>,
    /// How many there were before the text was cut.
    pub(crate) n_uncut: usize,
}

/// Names the code that follows a tokenizer in the fingerprint.
pub(crate) const TOKENIZER: &str = "tokenizers 0.23";

impl Tokenizer {
    /// Reads what a `tokenizer.json` says.
    ///
    /// # Errors
    /// [`RecipeError::Tokenizer`] when it is none.
    pub fn from_json(json: &str) -> Result<Self, RecipeError> {
        let failed = |reason: String| RecipeError::Tokenizer { reason };
        if json.len() > MAX_BYTES {
            return Err(failed(format!("it has {} bytes, above the limit of {MAX_BYTES}", json.len())));
        }
        // It was not written for files that lie.
        let read = quietly(|| json.parse::<tokenizers::Tokenizer>());
        let read = read.map_err(|_| failed("it made its reader panic".to_owned()))?;
        let mut tokenizer = read.map_err(|err| failed(err.to_string()))?;
        let max_tokens = tokenizer.get_truncation().map(|it| it.max_length);
        let padding = tokenizer.get_padding().map(|it| it.pad_id);
        let usual = ["[PAD]", "<pad>", "<|pad|>"].into_iter().find_map(|it| tokenizer.token_to_id(it));
        let pad_id = padding.or(usual).unwrap_or(0);
        // BPE's dropout makes other tokens each time: that is for training.
        if let ModelWrapper::BPE(bpe) = tokenizer.get_model()
            && bpe.dropout.is_some_and(|it| it > 0.0)
        {
            return Err(failed("it draws its tokens (`dropout`); it must be 0 to serve".to_owned()));
        }
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|err| failed(err.to_string()))?;
        let sha256 = Sha256::digest(json).iter().map(|it| format!("{it:02x}")).collect();
        Ok(Self(Arc::new(Loaded { json: json.to_owned(), sha256, tokenizer, max_tokens, pad_id })))
    }

    /// What it was read from.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// SHA-256 of that, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// How many different tokens there are.
    #[must_use]
    pub fn n_tokens(&self) -> usize {
        self.0.tokenizer.get_vocab_size(true)
    }

    /// Most tokens of a text, where the file says so.
    #[must_use]
    pub fn max_tokens(&self) -> Option<usize> {
        self.0.max_tokens
    }

    /// Tokens that stand around every text.
    pub(crate) fn n_special(&self) -> usize {
        self.encode("", usize::MAX).map_or(0, |it| it.ids.len())
    }

    /// The token that fills up a row; 0 where the file names none, since the mask hides it.
    pub(crate) fn pad_id(&self) -> u32 {
        self.0.pad_id
    }

    /// The tokens of a text, at most so many, special ones among them: what is longer is cut at the end.
    pub(crate) fn encode(&self, text: &str, max_tokens: usize) -> Result<Tokens, InputError> {
        let encode = || -> tokenizers::Result<Tokens> {
            let tokenizer = &self.0.tokenizer;
            let mut encoding = tokenizer.encode_fast(text, true)?;
            let n_uncut = encoding.len();
            if n_uncut > max_tokens {
                drop(encoding);
                // Special tokens come around what is left of the text.
                let mut plain = tokenizer.encode_fast(text, false)?;
                let n_special = n_uncut.saturating_sub(plain.len());
                plain.truncate(max_tokens.saturating_sub(n_special), 0, TruncationDirection::Right);
                plain.take_overflowing();
                encoding = tokenizer.post_process(plain, None, true)?;
            }
            Ok(Tokens { ids: encoding.get_ids().to_vec(), types: encoding.get_type_ids().to_vec(), n_uncut })
        };
        let tokens = quietly(encode).map_err(|_| InputError::DecoderPanic)?;
        tokens.map_err(|err| InputError::Unsupported(err.to_string()))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer({})", self.sha256())
    }
}

/// Those of one text are one.
impl PartialEq for Tokenizer {
    fn eq(&self, other: &Self) -> bool {
        self.sha256() == other.sha256()
    }
}

/// As the text it was read from.
impl Serialize for Tokenizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.json())
    }
}

impl<'de> Deserialize<'de> for Tokenizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
