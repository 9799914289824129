//! JPEG, bit for bit what libjpeg-turbo and so Pillow decodes: the only module that names `libjpeg_turbo_rs`.

use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits as JpegLimits, Decoder, PixelFormat, ScalingFactor};

use super::orientation;
use super::pixels::{Pixels, check_memory};
use crate::error::InputError;
use crate::limits::Limits;

/// Decodes to RGB; the second value is the EXIF orientation.
///
/// A file that ends early or is damaged in its picture data is an error: half a photo filled up with grey
/// would be embedded as if it were one. Stray bytes between its headers are not.
///
/// With a `least_side` it is decoded at the smallest of 1, 1/2, 1/4 and 1/8 of its size whose short side is
/// no less: the inverse DCT of each block then makes fewer pixels.
pub(crate) fn decode(
    bytes: &[u8],
    least_side: Option<u32>,
    limits: &Limits,
) -> Result<(Pixels, Option<Orientation>), InputError> {
    let damaged = |err| InputError::Jpeg(Box::new(err));
    let jpeg_limits = JpegLimits { max_memory: Some(limits.max_bytes), ..JpegLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, jpeg_limits).map_err(damaged)?;
    let header = decoder.header();
    let (width, height, n_components) = (header.width(), header.height(), header.components.len());
    let too_large = || InputError::TooLarge {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        limit_bytes: limits.max_bytes,
    };
    let is_cmyk = n_components == 4;
    let short = width.min(height);
    let fits = |it: &u32| least_side.is_some_and(|side| short.div_ceil(*it as usize) >= side as usize);
    let reduction = [8, 4, 2].into_iter().find(fits).unwrap_or(1);
    // The pixels and a copy for turning or converting them; a progressive file is held whole as 16-bit
    // coefficients before that.
    let coefficients = if header.is_progressive { 2 * n_components as u64 } else { 0 };
    let pixels = if is_cmyk { 7 } else { 6 };
    let [w, h] = [width, height].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
    check_memory(w, h, pixels.max(3 + coefficients), limits)?;
    if reduction > 1 {
        decoder.set_scale(ScalingFactor::try_new(1, reduction).map_err(damaged)?);
    }
    decoder.set_output_format(if is_cmyk { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif);
    let orientation = orientation.or_else(|| orientation::of_jpeg_xmp(bytes));
    let image = decoder.decode_image().map_err(|err| match err {
        libjpeg_turbo_rs::JpegError::LimitExceeded { .. } => too_large(),
        err => damaged(err),
    })?;
    let data = if is_cmyk { image.data.chunks_exact(4).flat_map(cmyk_to_rgb).collect() } else { image.data };
    let [width, height] = [image.width, image.height].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
    Ok((Pixels { width, height, data }, orientation))
}

/// Inverted CMYK, as every JPEG writer since Photoshop has it, by Pillow's integers
/// (`cmyk2rgb` in `libImaging/Convert.c`).
fn cmyk_to_rgb(pixel: &[u8]) -> [u8; 3] {
    let paper = u32::from(pixel[3]);
    [0, 1, 2].map(|ink| {
        let product = u32::from(255 - pixel[ink]) * paper + 128;
        (paper - (((product >> 8) + product) >> 8)).to_le_bytes()[0]
    })
}
