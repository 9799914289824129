//! Encoded bytes to 8-bit RGB or grey pixels, within a memory limit.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::format::PictureFormat;
use super::pixels::{Pixels, check_memory};
use super::recipe::{Background, Channels, ImageRecipe};
use super::{jpeg, palette_tiff};
use crate::error::InputError;
use crate::limits::Limits;

/// Names the decoders in the fingerprint: another decoder gives other pixels.
pub(crate) const DECODER: &str = "libjpeg-turbo-rs 0.9, image 0.25";

pub(crate) fn decode(bytes: &[u8], recipe: &ImageRecipe, limits: &Limits) -> Result<Pixels, InputError> {
    // Decoders are written for damaged files, yet a panic in one must cost one picture, not the run.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_dynamic(bytes, recipe, limits)));
    let image = decoded.unwrap_or(Err(InputError::DecoderPanic))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(InputError::Empty);
    }
    let (width, height) = (image.width(), image.height());
    let mut rgb = flatten(image, recipe.background);
    let data = match recipe.channels {
        Channels::Rgb => rgb,
        Channels::Bgr => {
            rgb.chunks_exact_mut(3).for_each(|it| it.swap(0, 2));
            rgb
        }
        Channels::Grey => rgb.chunks_exact(3).map(luma).collect(),
    };
    Ok(Pixels { width, height, data })
}

fn decode_dynamic(bytes: &[u8], recipe: &ImageRecipe, limits: &Limits) -> Result<DynamicImage, InputError> {
    let orient = recipe.orientation;
    let format = format_of(bytes)?;
    if format == ImageFormat::Jpeg {
        let (image, orientation) = jpeg::decode(bytes, recipe.least_jpeg_side(), limits)?;
        let image = RgbImage::from_raw(image.width, image.height, image.data).ok_or(InputError::Empty)?;
        return Ok(oriented(image.into(), orientation.filter(|_| orient)));
    }
    let boxed = |err| match err {
        image::ImageError::Unsupported(err) => InputError::Unsupported(err.to_string()),
        err => InputError::Decode(Box::new(err)),
    };
    if format == ImageFormat::Tiff
        && let Some((image, orientation)) = palette_tiff::decode(bytes, limits)?
    {
        return Ok(oriented(image.into(), orientation.filter(|_| orient)));
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(boxed)?;
    let (width, height) = decoder.dimensions();
    let decoded = u64::from(decoder.color_type().bytes_per_pixel());
    // Turning copies the pixels; laying them over a background goes through RGBA to RGB.
    let own = if matches!(format, ImageFormat::WebP | ImageFormat::Gif) { 4 } else { 0 };
    check_memory(width, height, own + (2 * decoded).max(decoded + 4).max(7), limits)?;
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_bytes);
    decoder_limits.reserve(decoder.total_bytes()).map_err(boxed)?;
    decoder.set_limits(decoder_limits).map_err(boxed)?;
    let orientation = orient.then(|| orientation_of(&mut decoder)).flatten();
    Ok(oriented(DynamicImage::from_decoder(decoder).map_err(boxed)?, orientation))
}

/// The format, which the first bytes tell.
fn format_of(bytes: &[u8]) -> Result<ImageFormat, InputError> {
    match PictureFormat::of_bytes(bytes) {
        Some(PictureFormat { name, is_read: false }) => Err(InputError::FormatNotRead { format: name }),
        _ => image::guess_format(bytes).map_err(|_| InputError::UnknownFormat),
    }
}

/// The EXIF orientation. Some writers of WebP put JPEG's marker before the EXIF data, as Pillow knows.
fn orientation_of(decoder: &mut impl ImageDecoder) -> Option<Orientation> {
    let exif = decoder.exif_metadata().ok().flatten();
    let marked = exif.as_deref().and_then(|it| it.strip_prefix(b"Exif\0\0"));
    marked.map_or_else(|| decoder.orientation().ok(), Orientation::from_exif_chunk)
}

fn oriented(mut image: DynamicImage, orientation: Option<Orientation>) -> DynamicImage {
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    image
}

/// 8-bit RGB, transparency laid over the background.
fn flatten(image: DynamicImage, background: Background) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    let behind = if background == Background::White { 255 } else { 0 };
    let rgba = image.into_rgba8();
    let mut rgb = Vec::with_capacity(rgba.as_raw().len() / 4 * 3);
    for pixel in rgba.as_raw().chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        // Rounded, exact for alpha 0 and 255.
        let over = |value: u8| (u32::from(value) * alpha + behind * (255 - alpha) + 127) / 255;
        rgb.extend(pixel[..3].iter().map(|it| over(*it).to_le_bytes()[0]));
    }
    rgb
}

/// Pillow's integer form of ITU-R 601 (`L24` in `libImaging/Convert.c`).
fn luma(rgb: &[u8]) -> u8 {
    let sum = u32::from(rgb[0]) * 19595 + u32::from(rgb[1]) * 38470 + u32::from(rgb[2]) * 7471 + 0x8000;
    (sum >> 16).to_le_bytes()[0]
}
