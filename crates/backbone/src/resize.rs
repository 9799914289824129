//! Antialiased resize and centre crop in one pass.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::decode::Pixels;
use crate::error::ImageError;
use crate::preprocess::{Filter, Preprocess};

/// Names the resizer in the fingerprint.
pub(crate) const RESIZER: &str = "fast_image_resize 6";

/// Resizes and crops; only the region that survives the crop is computed.
///
/// Sizes and offsets follow torchvision's `Resize` and `CenterCrop`: the long side is truncated
/// (`int(size · long / short)`), the offset rounds half to even (`int(round((h - th) / 2))`).
pub(crate) fn resize_and_crop(image: &Pixels, preprocess: &Preprocess) -> Result<Vec<u8>, ImageError> {
    let [out_height, out_width] = preprocess.size;
    let (width, height) = (f64::from(image.width), f64::from(image.height));
    let (left, top, crop_width, crop_height) = match preprocess.short_side {
        None => (0.0, 0.0, width, height),
        Some(side) => {
            let (new_width, new_height) = resized_size(image.width, image.height, side);
            let (scale_x, scale_y) = (width / f64::from(new_width), height / f64::from(new_height));
            let left = (f64::from(new_width - out_width) / 2.0).round_ties_even();
            let top = (f64::from(new_height - out_height) / 2.0).round_ties_even();
            (left * scale_x, top * scale_y, f64::from(out_width) * scale_x, f64::from(out_height) * scale_y)
        }
    };
    let pixel_type = if preprocess.n_channels() == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let source = ImageRef::new(image.width, image.height, &image.data, pixel_type);
    let source = source.map_err(|_| ImageError::Empty)?;
    let mut out = Image::new(out_width, out_height, pixel_type);
    let filter = match preprocess.filter {
        Filter::Bilinear => FilterType::Bilinear,
        // Pillow's bicubic has a = -0.5, which is Catmull-Rom.
        Filter::Bicubic => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        // Floating-point noise must not push the box past the edge.
        .crop(left, top, crop_width.min(width - left), crop_height.min(height - top))
        .use_alpha(false);
    Resizer::new().resize(&source, &mut out, &options).map_err(|_| ImageError::Empty)?;
    Ok(out.into_vec())
}

/// Width and height after the short side became `side`.
fn resized_size(width: u32, height: u32, side: u32) -> (u32, u32) {
    let (short, long) = (width.min(height), width.max(height));
    let new_long = u64::from(side) * u64::from(long) / u64::from(short);
    let new_long = u32::try_from(new_long).unwrap_or(u32::MAX);
    if width <= height { (side, new_long) } else { (new_long, side) }
}
