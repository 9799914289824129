//! Models of texts: what their graphs take, and the tokenizer beside them.

use std::path::{Path, PathBuf};

use headstart_input::{TextRecipe, TokenInput, TokenRole, Tokenizer};
use headstart_onnx::{OnnxModel, data_type, is_token_mask};

use crate::error::BackboneError;
use crate::registry::{ModelSpec, embedded_tokenizer};

/// Longest tokenizer that is read, in bytes.
const MAX_TOKENIZER: u64 = 128 << 20;

/// Whether a model takes the ids of tokens.
pub(crate) fn takes_tokens(model: &OnnxModel) -> bool {
    let is_integer = |it: Option<i64>| matches!(it, Some(data_type::INT64 | data_type::INT32));
    model.inputs().iter().any(|it| role(it.name()) == Some(TokenRole::Ids) && is_integer(it.elem_type()))
}

/// What a model of texts takes, by the names that transformers and TensorFlow give it.
///
/// # Errors
/// [`BackboneError::Shape`] for an input of another name, type or shape.
fn token_inputs(id: &str, model: &OnnxModel) -> Result<Vec<TokenInput>, BackboneError> {
    let input = |it: &&headstart_onnx::proto::ValueInfoProto| {
        let (name, dims) = (it.name().to_owned(), it.dims().unwrap_or_default());
        let other = |expected: &str| BackboneError::Shape {
            model: id.to_owned(),
            expected: expected.to_owned(),
            actual: format!("input `{name}`, {} dimensions of ONNX type {:?}", dims.len(), it.elem_type()),
        };
        let role = role(&name).ok_or_else(|| {
            other(
                "inputs of a text: input_ids, attention_mask, token_type_ids, position_ids, past_key_values",
            )
        })?;
        let is_float = it.elem_type() == Some(data_type::FLOAT);
        match (role, it.elem_type(), &dims[..]) {
            (TokenRole::Past(_), _, [_, Some(heads), _, Some(features)]) if is_float => {
                let size = |it: &i64| usize::try_from(*it).unwrap_or(0);
                let role = TokenRole::Past([size(heads), size(features)]);
                Ok(TokenInput { name, role, is_int32: false })
            }
            (TokenRole::Past(_), ..) => {
                Err(other("float32 (n, heads, tokens, features) of known heads and features"))
            }
            (role, Some(data_type::INT64), [_, _] | []) => Ok(TokenInput { name, role, is_int32: false }),
            (role, Some(data_type::INT32), [_, _] | []) => Ok(TokenInput { name, role, is_int32: true }),
            _ => Err(other("int64 or int32 (n, tokens)")),
        }
    };
    model.inputs().iter().map(input).collect()
}

fn role(name: &str) -> Option<TokenRole> {
    Some(match name {
        "input_ids" | "input_word_ids" | "ids" | "tokens" => TokenRole::Ids,
        // The one that poolings count by.
        _ if is_token_mask(name) => TokenRole::Mask,
        "token_type_ids" | "segment_ids" | "input_type_ids" => TokenRole::Types,
        "position_ids" => TokenRole::Positions,
        _ if name.starts_with("past_key_values") || name.starts_with("past.") => TokenRole::Past([0, 0]),
        _ => return None,
    })
}

/// A recipe with what its model takes, and the number of tokens where it takes no other.
pub(crate) fn fed(recipe: &TextRecipe, id: &str, model: &OnnxModel) -> Result<TextRecipe, BackboneError> {
    let ids = model.inputs().into_iter().find(|it| role(it.name()) == Some(TokenRole::Ids));
    let length = ids.and_then(|it| it.dims()?.get(1).copied().flatten());
    let length = length.and_then(|it| usize::try_from(it).ok());
    let inputs = token_inputs(id, model)?;
    Ok(TextRecipe { inputs, length, ..recipe.clone() })
}

/// The tokenizer beside a model file: the one that is named, else one of a usual name.
///
/// # Errors
/// [`BackboneError::NoTokenizer`], [`BackboneError::Read`], [`BackboneError::Tokenizer`].
pub(crate) fn tokenizer_beside(path: &Path, spec: &ModelSpec) -> Result<Option<Tokenizer>, BackboneError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let names = match &spec.tokenizer {
        Some(name) => vec![name.clone()],
        None => {
            vec![
                format!("{stem}.tokenizer.json"),
                format!("{stem}-tokenizer.json"),
                "tokenizer.json".to_owned(),
            ]
        }
    };
    let beside = names.iter().map(|it| path.with_file_name(it));
    let Some(path) = beside.into_iter().find(|it| spec.tokenizer.is_some() || it.exists()) else {
        return Err(BackboneError::NoTokenizer { path: path.to_owned(), tried: names });
    };
    let failed = |source| BackboneError::Read { path: path.clone(), source };
    let metadata = std::fs::metadata(&path).map_err(failed)?;
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() || metadata.len() > MAX_TOKENIZER {
        return Err(failed(std::io::Error::other(format!("it is no file of at most {MAX_TOKENIZER} bytes"))));
    }
    let text = std::fs::read_to_string(&path).map_err(failed)?;
    read_tokenizer(&text, path).map(Some)
}

/// The tokenizer of a model that is compiled in, where that is one of texts.
pub(crate) fn tokenizer_within(id: &str) -> Result<Option<Tokenizer>, BackboneError> {
    embedded_tokenizer(id).map(|it| read_tokenizer(it, PathBuf::from(id))).transpose()
}

fn read_tokenizer(text: &str, path: PathBuf) -> Result<Tokenizer, BackboneError> {
    Tokenizer::from_json(text).map_err(|source| BackboneError::Tokenizer { path, source })
}
