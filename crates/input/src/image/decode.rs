//! Encoded bytes to 8-bit RGB or grey pixels, within a memory limit.

use std::borrow::Cow;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::pixels::{Pixels, check_memory};
use super::recipe::{Background, Channels, ImageRecipe};
use super::{jpeg, jpeg2000, orientation, tiff_kinds};
use crate::error::InputError;
use crate::format::FileFormat;
use crate::limits::Limits;
use crate::quietly::quietly;
use crate::recipe::InputKind;

/// Names the decoders in the fingerprint: another decoder gives other pixels; the number is of what is made of them
/// (2: orientation from XMP and raw profiles, premultiplied TIFF).
pub(crate) const DECODER: &str = "2: libjpeg-turbo-rs 0.9, image 0.25, hayro-jpeg2000 0.5";

pub(crate) fn decode(bytes: &[u8], recipe: &ImageRecipe, limits: &Limits) -> Result<Pixels, InputError> {
    // Decoders are written for damaged files, yet a panic in one must cost one picture, not the run.
    let decoded = quietly(|| decode_dynamic(bytes, recipe, limits));
    let (image, alpha) = decoded.unwrap_or(Err(InputError::DecoderPanic))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(InputError::Empty);
    }
    let (width, height) = (image.width(), image.height());
    let mut rgb = flatten(image, recipe.background, alpha);
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

/// What alpha has done to colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alpha {
    /// Nothing yet.
    Straight,
    /// They are multiplied by it.
    Premultiplied,
}

fn decode_dynamic(
    bytes: &[u8],
    recipe: &ImageRecipe,
    limits: &Limits,
) -> Result<(DynamicImage, Alpha), InputError> {
    let orient = recipe.orientation;
    let Some(format) = format_of(bytes)? else {
        return Ok((jpeg2000::decode(bytes, limits)?, Alpha::Straight));
    };
    if format == ImageFormat::Jpeg {
        let (image, orientation) = jpeg::decode(bytes, recipe.least_jpeg_side(), limits)?;
        let image = RgbImage::from_raw(image.width, image.height, image.data).ok_or(InputError::Empty)?;
        return Ok((oriented(image.into(), orientation.filter(|_| orient)), Alpha::Straight));
    }
    let boxed = |err| match err {
        image::ImageError::Unsupported(err) => InputError::Unsupported(err.to_string()),
        err => InputError::Decode(Box::new(err)),
    };
    if let Some(png) = png_in_icon(bytes).filter(|_| format == ImageFormat::Ico) {
        return decode_dynamic(png, recipe, limits);
    }
    let kind = if format == ImageFormat::Tiff {
        tiff_kinds::decode(bytes, limits)?
    } else {
        tiff_kinds::Kind::Plain
    };
    let alpha = match kind {
        tiff_kinds::Kind::Decoded { image, turned, is_premultiplied } => {
            let alpha = if is_premultiplied { Alpha::Premultiplied } else { Alpha::Straight };
            return Ok((oriented(image, turned.filter(|_| orient)), alpha));
        }
        tiff_kinds::Kind::Premultiplied => Alpha::Premultiplied,
        tiff_kinds::Kind::Plain => Alpha::Straight,
    };
    // A PNG that lacks its last chunk has all of its pixels.
    let end: &[u8] = if format == ImageFormat::Png { b"\0\0\0\0IEND\xae\x42\x60\x82" } else { b"" };
    let whole = if bytes.ends_with(end) { Cow::Borrowed(bytes) } else { [bytes, end].concat().into() };
    let reader = ImageReader::with_format(Cursor::new(&*whole), format);
    let mut decoder = reader.into_decoder().map_err(boxed)?;
    let (width, height) = decoder.dimensions();
    let decoded = u64::from(decoder.color_type().bytes_per_pixel());
    // Turning copies the pixels; laying them over a background goes through RGBA to RGB.
    let own = if matches!(format, ImageFormat::WebP | ImageFormat::Gif) { 4 } else { 0 };
    check_memory(width, height, own + (2 * decoded).max(decoded + 4).max(7), limits)?;
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(limits.max_bytes);
    decoder_limits.reserve(decoder.total_bytes()).map_err(boxed)?;
    decoder.set_limits(decoder_limits).map_err(boxed)?;
    let orientation = orient.then(|| orientation::of_decoder(&mut decoder, bytes)).flatten();
    Ok((oriented(DynamicImage::from_decoder(decoder).map_err(boxed)?, orientation), alpha))
}

/// The format, which the first bytes tell; none for JPEG 2000, which `image` does not read.
fn format_of(bytes: &[u8]) -> Result<Option<ImageFormat>, InputError> {
    let unknown = || InputError::UnknownFormat { kind: InputKind::Image };
    let format = match FileFormat::of_bytes(InputKind::Image, bytes) {
        Some(FileFormat { name, is_read: false }) => {
            return Err(InputError::FormatNotRead { kind: InputKind::Image, format: name });
        }
        Some(FileFormat { name: "JPEG 2000", .. }) => return Ok(None),
        Some(FileFormat { name: "TIFF", .. }) => ImageFormat::Tiff,
        Some(_) => image::guess_format(bytes).map_err(|_| unknown())?,
        None if is_tga(bytes) => ImageFormat::Tga,
        None => return Err(unknown()),
    };
    Ok(Some(format))
}

/// The largest picture of an icon, where that is a PNG: `image` reads only some kinds of these.
fn png_in_icon(bytes: &[u8]) -> Option<&[u8]> {
    let n_entries = u16::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let entries = bytes.get(6..)?.chunks_exact(16).take(usize::from(n_entries));
    // A side of 0 is one of 256.
    let side = |it: u8| if it == 0 { 256_u32 } else { u32::from(it) };
    let largest = entries.max_by_key(|it| (side(it[0]) * side(it[1]), it[6]))?;
    let number = |at: usize| usize::try_from(u32::from_le_bytes(*largest.get(at..)?.first_chunk()?)).ok();
    let (length, begin) = (number(8)?, number(12)?);
    let png = bytes.get(begin..begin.checked_add(length)?)?;
    png.starts_with(b"\x89PNG\r\n\x1a\n").then_some(png)
}

/// Whether the first bytes could be a TGA's, which has no signature.
///
/// Source: Truevision TGA file format specification 2.0, fields 2 to 5; the same test as Pillow's `TgaImagePlugin`.
fn is_tga(bytes: &[u8]) -> bool {
    let Some(&[_, has_map, kind, ..]) = bytes.get(..18) else { return false };
    let [width, height] = [12, 14].map(|at| u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let is_kind = matches!((has_map, kind), (1, 1 | 9) | (0, 2 | 3 | 10 | 11));
    is_kind && matches!(bytes[16], 8 | 15 | 16 | 24 | 32) && width > 0 && height > 0
}

fn oriented(mut image: DynamicImage, orientation: Option<Orientation>) -> DynamicImage {
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    image
}

/// 8-bit RGB, transparency laid over the background.
fn flatten(image: DynamicImage, background: Background, alpha: Alpha) -> Vec<u8> {
    if !image.color().has_alpha() {
        return image.into_rgb8().into_raw();
    }
    let behind = if background == Background::White { 255 } else { 0 };
    let is_premultiplied = alpha == Alpha::Premultiplied;
    let rgba = image.into_rgba8();
    let mut rgb = Vec::with_capacity(rgba.as_raw().len() / 4 * 3);
    for pixel in rgba.as_raw().chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        // Rounded, exact for alpha 0 and 255.
        let over = |value: u8| {
            let own = if is_premultiplied { 255 * u32::from(value) } else { u32::from(value) * alpha };
            ((own + behind * (255 - alpha) + 127) / 255).min(255)
        };
        rgb.extend(pixel[..3].iter().map(|it| over(*it).to_le_bytes()[0]));
    }
    rgb
}

/// Pillow's integer form of ITU-R 601 (`L24` in `libImaging/Convert.c`).
fn luma(rgb: &[u8]) -> u8 {
    let sum = u32::from(rgb[0]) * 19595 + u32::from(rgb[1]) * 38470 + u32::from(rgb[2]) * 7471 + 0x8000;
    (sum >> 16).to_le_bytes()[0]
}
