#![doc = include_str!("../README.md")]

mod audio;
mod error;
mod format;
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

pub use self::audio::{
    AudioOptions, AudioRecipe, Filling, FrontEnd, MelLog, MelNormalization, MelRecipe, MelScale, MelSpectrum,
    MelWindow, NamedFrontEnd, Statistics,
};
pub use self::image::{Background, Channels, Filter, ImageOptions, ImageRecipe};
pub use error::{InputError, RecipeError};
pub use format::FileFormat;
pub use limits::Limits;
pub use recipe::{Decoded, InputKind, Pieces, Recipe, Remark};
pub use tensor::{Data, Tensor};
pub use text::{TextOptions, TextRecipe, TokenInput, TokenRole, Tokenizer};
