#![doc = include_str!("../README.md")]

mod attach;
mod batch;
mod cut;
mod error;
mod file;
mod fold;
mod half_floats;
mod inspect;
mod mel;
mod model;
mod names;
mod opset;
mod pool;
pub mod proto;
mod quantize;
mod reproducible;
mod search;
mod tap;
mod values;
mod waveform;
mod wire;
mod wire_fields;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use attach::{Layer, Nonlinearity, PIXELS, PixelInput, attach_head, output, take_pixels};
pub use batch::{fix_batch_at_one, make_batch_dynamic};
pub use cut::{EMBEDDING, cut, declare_rank, known_rank};
pub use error::OnnxError;
pub use half_floats::to_f16;
pub use inspect::{Summary, TensorSummary, has_operator};
pub use mel::{Log, LogMel, MelNormalization, MelScale, Taper, take_log_mel};
pub use model::{OnnxModel, data_type};
pub use pool::{is_token_mask, normalize_rows};
pub use quantize::{Quantizer, computes_in_integers, is_quantized};
pub use reproducible::{randomness, rescaling};
pub use search::channels_last;
pub use tap::{Pool, Tap, find_tap, tap_at};
pub use waveform::{
    GraphWindows, ShortSound, WAVEFORM, cut_windows, fill_mask, standardise_waveform, take_waveform,
    takes_waveform, waveform_length,
};
