//! From encoded bytes to the pixels a backbone takes, described by a value.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decode::{self, DecodeLimits};
use crate::error::{BackboneError, ImageError};
use crate::resize;
use crate::stat::{look_at, read_file};

/// How an image becomes the input of a backbone. Enters the fingerprint as a whole.
///
/// Steps, in this order: decode, turn by the EXIF orientation, lay transparency over the background,
/// convert the channels, resize, centre crop to [`size`](Self::size). The graph then computes
/// `(pixel / 255 - mean) / std`, or `(pixel - mean) / std` where [`unit_range`](Self::unit_range) is false.
///
/// # Examples
/// ```
/// use headstart_backbone::Preprocess;
/// let preprocess = Preprocess::imagenet();
/// assert_eq!((preprocess.size, preprocess.short_side), ([224, 224], Some(256)));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Preprocess {
    /// Height and width the backbone takes.
    pub size: [u32; 2],
    /// The short side is resized to this before the crop; without it the whole image is squeezed to `size`.
    pub short_side: Option<u32>,
    /// Resampling filter.
    pub filter: Filter,
    /// Channels and their order.
    pub channels: Channels,
    /// Whether pixels are divided by 255 before `mean` and `std`.
    pub unit_range: bool,
    /// Subtracted from each channel.
    pub mean: Vec<f32>,
    /// Divides each channel after that.
    pub std: Vec<f32>,
    /// What lies behind transparent pixels.
    pub background: Background,
    /// Whether the EXIF orientation is applied.
    pub orientation: bool,
    /// Whether a JPEG is decoded at a half, a quarter or an eighth of its size where that still covers what
    /// is needed: much faster for large photos, with slightly other pixels.
    #[serde(skip_serializing_if = "is_false")]
    pub scaled_jpeg: bool,
}

/// What is off leaves no trace, so that it changes no fingerprint.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Resampling filter, antialiased: its support grows with the reduction, as Pillow defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Triangle filter (Pillow's `BILINEAR`, torchvision's default).
    Bilinear,
    /// Catmull-Rom-like cubic (Pillow's `BICUBIC`, timm's and CLIP's default).
    Bicubic,
}

/// Channels and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red (OpenCV's order).
    Bgr,
    /// ITU-R 601 luma: 0.299 R + 0.587 G + 0.114 B.
    Grey,
}

/// What lies behind transparent pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Background {
    /// White: what a transparent logo or drawing is made for.
    White,
    /// Black.
    Black,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self::imagenet()
    }
}

impl Preprocess {
    /// The usual one of ImageNet classifiers: short side 256, centre crop 224, RGB, ImageNet mean and std.
    #[must_use]
    pub fn imagenet() -> Self {
        Self {
            size: [224, 224],
            short_side: Some(256),
            filter: Filter::Bilinear,
            channels: Channels::Rgb,
            unit_range: true,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            background: Background::White,
            orientation: true,
            scaled_jpeg: false,
        }
    }

    /// Number of channels.
    #[must_use]
    pub fn n_channels(&self) -> usize {
        if self.channels == Channels::Grey { 1 } else { 3 }
    }

    /// Bytes of one preprocessed image: `height · width · channels`.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.size[0] as usize * self.size[1] as usize * self.n_channels()
    }

    /// Checks that the parts fit each other.
    ///
    /// # Errors
    /// [`BackboneError::Preprocess`] when mean or std do not have one value a channel, a std is not
    /// positive, the size is zero, or the short side is smaller than the crop.
    pub fn check(&self) -> Result<(), BackboneError> {
        let bad = |reason: String| Err(BackboneError::Preprocess { reason });
        let channels = self.n_channels();
        if self.mean.len() != channels || self.std.len() != channels {
            let (mean, std) = (self.mean.len(), self.std.len());
            return bad(format!("{channels} channels, but {mean} values of mean and {std} of std"));
        }
        if self.std.iter().any(|it| !it.is_finite() || *it <= 0.0)
            || self.mean.iter().any(|it| !it.is_finite())
        {
            return bad(format!("mean {:?} and std {:?} must be finite, std positive", self.mean, self.std));
        }
        if self.size.iter().any(|it| *it == 0 || *it > 8192) {
            return bad(format!("size {:?} is outside 1–8192", self.size));
        }
        if let Some(side) = self.short_side.filter(|it| *it < self.size[0].max(self.size[1]) || *it > 8192) {
            return bad(format!("short side {side} does not cover the crop {:?}", self.size));
        }
        Ok(())
    }

    /// The least short side that a JPEG may be decoded to, if it may be scaled.
    pub(crate) fn least_jpeg_side(&self) -> Option<u32> {
        self.scaled_jpeg.then(|| self.short_side.unwrap_or(self.size[0].max(self.size[1])))
    }

    /// Mean and std in grey levels, as the graph applies them to uint8 pixels.
    #[must_use]
    pub fn mean_std_levels(&self) -> (Vec<f32>, Vec<f32>) {
        let range = if self.unit_range { 255.0 } else { 1.0 };
        (self.mean.iter().map(|it| it * range).collect(), self.std.iter().map(|it| it * range).collect())
    }

    /// Decodes and preprocesses one image.
    ///
    /// # Shapes
    /// - `bytes`: an encoded JPEG, PNG, WebP, GIF (first frame), BMP or TIFF file.
    /// - returns `(height, width, channels)`, row-major, 0–255.
    ///
    /// # Errors
    /// [`ImageError`] when the bytes do not decode, or would take more memory than `limits` allow.
    pub fn apply(&self, bytes: &[u8], limits: &DecodeLimits) -> Result<Vec<u8>, ImageError> {
        let image = decode::decode(bytes, self, limits)?;
        resize::resize_and_crop(&image, self)
    }

    /// As [`apply`](Self::apply), for a file.
    ///
    /// # Errors
    /// [`ImageError`] also when it is no regular file, or changes while it is read.
    pub fn apply_file(&self, file: &Path, limits: &DecodeLimits) -> Result<Vec<u8>, ImageError> {
        self.apply(&read_file(file, look_at(file, limits)?)?.0, limits)
    }
}
