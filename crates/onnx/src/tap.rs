//! Where to cut: the tensor that enters the last classifier layer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::search::Search;

/// Where a backbone is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// The tensor that becomes the embedding.
    pub tensor: String,
    /// How its positions become one row.
    pub pool: Pool,
}

/// How a tensor with several positions per sample becomes one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The tensor is `(n, n_features)` already.
    None,
    /// Mean over the positions: `(n, c, h, w)` or `(n, tokens, c)` → `(n, c)`; of tokens those that
    /// the mask counts, where the model takes one ([`is_token_mask`](crate::is_token_mask)).
    Mean,
    /// Mean over the positions of `(n, h, w, c)` → `(n, c)`.
    MeanNhwc,
    /// Mean over the positions of `(n, c, frames)` → `(n, c)`.
    MeanNct,
    /// The first token: `(n, tokens, c)` → `(n, c)`.
    First,
    /// The last token that the mask counts: `(n, tokens, c)` → `(n, c)`.
    Last,
}

impl Pool {
    const WORDS: [(&str, Self); 6] = [
        ("none", Self::None),
        ("mean", Self::Mean),
        ("mean-nhwc", Self::MeanNhwc),
        ("mean-nct", Self::MeanNct),
        ("first", Self::First),
        ("last", Self::Last),
    ];
}

/// `none`, `mean`, `mean-nhwc`, `mean-nct`, `first` or `last`.
impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS.iter().find(|it| it.1 == *self).map_or("", |it| it.0))
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::WORDS.iter().find(|it| it.0 == text).map(|it| it.1);
        found.ok_or_else(|| format!("expected one of: {}", Self::WORDS.map(|it| it.0).join(", ")))
    }
}

/// Words that mark an output as an embedding, not as scores.
const EMBEDDING_WORDS: [&str; 5] = ["feature", "embed", "pool", "hidden", "represent"];

/// How the names of outputs begin that a decoder wants back with the next token.
const KEPT_WORDS: [&str; 2] = ["present", "past"];

/// Of several embeddings of a text those that count, the first of them.
const PREFERRED: [&str; 4] =
    ["sentence_embedding", "sentence_embeddings", "last_hidden_state", "token_embeddings"];

/// Finds the tap: the tensor that enters the last classifier layer.
///
/// Walks back from each output through activations, arithmetic with constants, slices, pooling and reshapes to
/// a fully connected layer (`Gemm`, `MatMul` or `Einsum` with a constant, their quantised forms), or to a 1×1
/// convolution that is pooled afterwards, as in SqueezeNet, or before, as in MobileNet. Of a mean of two such
/// layers the first counts. A quantised input of the layer is traced back to the float tensor it was quantised
/// from. Outputs whose name says that they are embeddings are not searched; where they are all there is, and in
/// a model without a classifier, the output itself is the tap: of several, that of the whole text, then that of its
/// tokens. What a decoder keeps of its tokens is no output here.
///
/// # Errors
/// [`OnnxError::NoTap`] when there are several outputs and none leads to a classifier, or the only one is of
/// integers.
pub fn find_tap(model: &OnnxModel) -> Result<Tap, OnnxError> {
    let search = Search::new(model);
    // What a decoder keeps of its tokens is neither.
    let is_kept = |name: &&str| KEPT_WORDS.iter().any(|word| name.to_lowercase().starts_with(word));
    let outputs = model.graph().output.iter().map(|it| it.name());
    let outputs: Vec<&str> = outputs.filter(|it| !is_kept(it)).collect();
    let (embeddings, scores): (Vec<&str>, Vec<&str>) = outputs.iter().partition(|name| {
        let name = name.to_lowercase();
        EMBEDDING_WORDS.iter().any(|word| name.contains(word))
    });
    if let Some(tap) = scores.iter().find_map(|output| search.classifier_input(output)) {
        return Ok(tap);
    }
    let none = |reason| Err(OnnxError::NoTap { reason, last: model.last_tensors() });
    match (&embeddings[..], &outputs[..]) {
        ([output], _) | ([], [output]) if is_integer(model, output) => {
            none(format!("no classifier was found, and the output {output} is of integers"))
        }
        ([output], _) | ([], [output]) => Ok(search.tap_at(output)),
        (several, _) => match PREFERRED.iter().find(|it| several.contains(it)) {
            Some(output) => Ok(search.tap_at(output)),
            None => none(format!("none of the outputs {} ends in a classifier", outputs.join(", "))),
        },
    }
}

/// The tap at a tensor the user names.
///
/// # Errors
/// [`OnnxError::NoSuchTensor`].
pub fn tap_at(model: &OnnxModel, tensor: &str) -> Result<Tap, OnnxError> {
    model.check_tensor(tensor)?;
    Ok(Search::new(model).tap_at(tensor))
}

/// Whether an output is declared to be of integers.
fn is_integer(model: &OnnxModel, output: &str) -> bool {
    let info = model.graph().output.iter().find(|it| it.name() == output);
    let floats = [data_type::FLOAT, data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE];
    info.and_then(|it| it.elem_type()).is_some_and(|it| !floats.contains(&it))
}
