#![doc = include_str!("../README.md")]

mod error;
mod image;
mod limits;
mod quietly;
mod recipe;
mod tensor;
mod text;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use self::image::{Background, Channels, Filter, ImageOptions, ImageRecipe, PictureFormat};
pub use error::{InputError, RecipeError};
pub use limits::Limits;
pub use recipe::{Decoded, InputKind, Recipe, Remark};
pub use tensor::{Data, Tensor};
pub use text::{TextOptions, TextRecipe, TokenInput, TokenRole, Tokenizer};
