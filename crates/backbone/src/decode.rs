//! Encoded bytes to 8-bit RGB or grey pixels, within a memory limit.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use crate::error::ImageError;
use crate::jpeg;
use crate::palette_tiff;
use crate::preprocess::{Background, Channels, Preprocess};

/// Names the decoders in the fingerprint: another decoder gives other pixels.
pub(crate) const DECODER: &str = "libjpeg-turbo-rs 0.9, image 0.25";

/// What one image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most memory that one image may take while it is decoded, turned and converted, in bytes, besides
    /// its file and 16 MiB for the resize. An image that would take more is refused by its header.
    pub max_bytes: u64,
    /// Longest file that is read, in bytes.
    pub max_file_bytes: u64,
}

/// 512 MiB for one picture (an 89-megapixel JPEG, 59 where it is progressive), 256 MiB for its file.
impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_bytes: 512 << 20, max_file_bytes: 256 << 20 }
    }
}

/// Decoded pixels, `(height, width, channels)`, row-major.
#[derive(Debug)]
pub(crate) struct Pixels {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn decode(
    bytes: &[u8],
    preprocess: &Preprocess,
    limits: &DecodeLimits,
) -> Result<Pixels, ImageError> {
    // Decoders are written for damaged files, yet a panic in one must cost one picture, not the run.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_dynamic(bytes, preprocess, limits)));
    let image = decoded.unwrap_or(Err(ImageError::DecoderPanic))?;
    if image.width() == 0 || image.height() == 0 {
        return Err(ImageError::Empty);
    }
    let (width, height) = (image.width(), image.height());
    let mut rgb = flatten(image, preprocess.background);
    let data = match preprocess.channels {
        Channels::Rgb => rgb,
        Channels::Bgr => {
            rgb.chunks_exact_mut(3).for_each(|it| it.swap(0, 2));
            rgb
        }
        Channels::Grey => rgb.chunks_exact(3).map(luma).collect(),
    };
    Ok(Pixels { width, height, data })
}

fn decode_dynamic(
    bytes: &[u8],
    preprocess: &Preprocess,
    decode_limits: &DecodeLimits,
) -> Result<DynamicImage, ImageError> {
    let orient = preprocess.orientation;
    let format = image::guess_format(bytes).map_err(|_| ImageError::UnknownFormat)?;
    if format == ImageFormat::Jpeg {
        let (image, orientation) = jpeg::decode(bytes, preprocess.least_jpeg_side(), decode_limits)?;
        let image = RgbImage::from_raw(image.width, image.height, image.data).ok_or(ImageError::Empty)?;
        return Ok(oriented(image.into(), orientation.filter(|_| orient)));
    }
    let boxed = |err| match err {
        image::ImageError::Unsupported(err) => ImageError::Unsupported(err.to_string()),
        err => ImageError::Decode(Box::new(err)),
    };
    if format == ImageFormat::Tiff
        && let Some((image, orientation)) = palette_tiff::decode(bytes, decode_limits)?
    {
        return Ok(oriented(image.into(), orientation.filter(|_| orient)));
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(boxed)?;
    let (width, height) = decoder.dimensions();
    let decoded = u64::from(decoder.color_type().bytes_per_pixel());
    // Turning copies the pixels; laying them over a background goes through RGBA to RGB.
    let own = if matches!(format, ImageFormat::WebP | ImageFormat::Gif) { 4 } else { 0 };
    check_memory(width, height, own + (2 * decoded).max(decoded + 4).max(7), decode_limits)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(decode_limits.max_bytes);
    limits.reserve(decoder.total_bytes()).map_err(boxed)?;
    decoder.set_limits(limits).map_err(boxed)?;
    let orientation = orient.then(|| orientation_of(&mut decoder)).flatten();
    Ok(oriented(DynamicImage::from_decoder(decoder).map_err(boxed)?, orientation))
}

/// Refuses an image by its size, before anything is allocated for it.
///
/// `bytes_per_pixel` is the most that its pixels take at one time; the coefficients of the resize grow
/// with its sides.
pub(crate) fn check_memory(
    width: u32,
    height: u32,
    bytes_per_pixel: u64,
    limits: &DecodeLimits,
) -> Result<(), ImageError> {
    let sides = 32 * (u64::from(width) + u64::from(height));
    let pixels = u64::from(width) * u64::from(height);
    let needed = pixels.saturating_mul(bytes_per_pixel).saturating_add(sides);
    if needed > limits.max_bytes {
        return Err(ImageError::TooLarge { width, height, limit_bytes: limits.max_bytes });
    }
    Ok(())
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
