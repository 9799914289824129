//! Pictures: encoded bytes to the pixels a backbone takes, bit for bit as Pillow and libjpeg-turbo make them.

mod coefficients;
mod decode;
mod format;
mod jpeg;
mod jpeg2000;
mod orientation;
mod pixels;
mod recipe;
mod resize;
mod tiff_kinds;

use serde_json::{Map, Value, json};

use crate::error::InputError;
use crate::limits::Limits;
use crate::tensor::{Data, Tensor};

pub(crate) use format::{BY_NAME_ALONE, EXTENSIONS, MAGIC, RAW, told_otherwise};
pub(crate) use pixels::Pixels;
pub(crate) use recipe::word;
pub use recipe::{Background, Channels, Filter, ImageOptions, ImageRecipe};

impl ImageRecipe {
    /// Name of the tensor that a picture becomes.
    pub const TENSOR: &str = "image";

    /// Decodes and preprocesses one picture.
    ///
    /// # Shapes
    /// - `bytes`: an encoded JPEG, PNG, WebP, GIF (first frame), BMP, TIFF, ICO (largest picture), TGA, PNM, QOI or
    ///   JPEG 2000 file.
    /// - returns `(height, width, channels)`, row-major, 0–255.
    ///
    /// # Errors
    /// [`InputError`] when the bytes do not decode, or would take more memory than `limits` allow.
    ///
    /// # Panics
    /// May, for a recipe that [`check`](Self::check) refuses.
    pub fn apply(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, InputError> {
        self.resize_and_crop(&self.decode(bytes, limits)?)
    }

    pub(crate) fn decode(&self, bytes: &[u8], limits: &Limits) -> Result<Pixels, InputError> {
        decode::decode(bytes, self, limits)
    }

    pub(crate) fn resize_and_crop(&self, pixels: &Pixels) -> Result<Vec<u8>, InputError> {
        resize::resize_and_crop(pixels, self)
    }

    /// Preprocessed pixels, `(height, width, channels)`, as a tensor.
    pub(crate) fn tensor(&self, pixels: Vec<u8>) -> Tensor {
        let [height, width] = self.size.map(|it| it as usize);
        Tensor::new(Self::TENSOR, vec![height, width, self.n_channels()], Data::U8(pixels))
    }

    /// Noise: blocks of 1, 2, 4, … 32 pixels share one hashed colour.
    pub(crate) fn probe(&self, probe: usize) -> Vec<u8> {
        let [height, width] = self.size.map(|it| it as usize);
        let channels = self.n_channels();
        let block = 1 << (probe % 6);
        let places =
            (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| (y, x, c))));
        let level = |(y, x, c): (usize, usize, usize)| {
            let place = ((probe * 8192 + y / block) * 8192 + x / block) * 4 + c;
            let hash = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()[0]
        };
        places.map(level).collect()
    }

    pub(crate) fn identity(&self) -> Map<String, Value> {
        let mut identity = Map::new();
        identity.insert("preprocess".to_owned(), json!(self));
        identity.insert("decoder".to_owned(), json!(decode::DECODER));
        identity.insert("resizer".to_owned(), json!(resize::RESIZER));
        identity
    }
}
