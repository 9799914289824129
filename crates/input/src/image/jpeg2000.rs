//! JPEG 2000: the only module that names `hayro_jpeg2000`.

use hayro_jpeg2000::{ColorSpace, DecodeSettings, DecoderContext, Image};
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use super::pixels::check_memory;
use crate::error::InputError;
use crate::limits::Limits;

/// Most bytes that a channel of a pixel takes while it is decoded: as f32 in coefficients and in the result, as u8.
const BYTES_PER_CHANNEL: u64 = 12;

/// Decodes grey or RGB, each with or without alpha; other deeps than 8 bits are scaled to that.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<DynamicImage, InputError> {
    let failed = |err: hayro_jpeg2000::DecodeError| InputError::Unsupported(err.to_string());
    let image = Image::new(bytes, &DecodeSettings::default()).map_err(failed)?;
    let (width, height, has_alpha) = (image.width(), image.height(), image.has_alpha());
    let n_colours = image.color_space().num_channels();
    let n_channels = u64::from(n_colours) + u64::from(has_alpha);
    check_memory(width, height, BYTES_PER_CHANNEL * n_channels + 4, limits)?;
    let is_known = !matches!(image.color_space(), ColorSpace::CMYK | ColorSpace::Unknown { .. });
    let mut context = DecoderContext::default();
    let data = image.decode(&mut context).map_err(failed)?.data_u8();
    let image: Option<DynamicImage> = match (n_colours, has_alpha) {
        (1, false) => GrayImage::from_raw(width, height, data).map(Into::into),
        (1, true) => GrayAlphaImage::from_raw(width, height, data).map(Into::into),
        (3, false) => RgbImage::from_raw(width, height, data).map(Into::into),
        (3, true) => RgbaImage::from_raw(width, height, data).map(Into::into),
        _ => None,
    };
    let other = || InputError::Unsupported(format!("JPEG 2000 of {n_channels} channels that are no RGB"));
    image.filter(|_| is_known).ok_or_else(other)
}
