//! How a picture becomes the input of a backbone, as a value.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::RecipeError;

/// How an image becomes the input of a backbone. Enters the fingerprint as a whole.
///
/// Steps, in this order: decode, turn by the EXIF orientation, lay transparency over the background,
/// convert the channels, resize, centre crop to [`size`](Self::size). The graph then computes
/// `(pixel / 255 - mean) / std`, or `(pixel - mean) / std` where [`unit_range`](Self::unit_range) is false.
///
/// # Examples
/// ```
/// use headstart_input::ImageRecipe;
/// let recipe = ImageRecipe::imagenet();
/// assert_eq!((recipe.size, recipe.short_side), ([224, 224], Some(256)));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImageRecipe {
    /// Height and width the backbone takes.
    pub size: [u32; 2],
    /// The short side is resized to this before the crop; without it the whole image is squeezed to `size`.
    /// TOML, which has no word for nothing, says 0.
    #[serde(deserialize_with = "zero_is_none")]
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

fn zero_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Option::deserialize(deserializer)?.filter(|it| *it > 0))
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

impl Default for ImageRecipe {
    fn default() -> Self {
        Self::imagenet()
    }
}

impl ImageRecipe {
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
    /// [`RecipeError`] when mean or std do not have one value a channel, a std is not positive, the size is
    /// zero, or the short side is smaller than the crop.
    pub fn check(&self) -> Result<(), RecipeError> {
        let n_channels = self.n_channels();
        let (n_means, n_stds) = (self.mean.len(), self.std.len());
        if n_means != n_channels || n_stds != n_channels {
            return Err(RecipeError::ChannelCount { n_channels, n_means, n_stds });
        }
        let is_positive = |it: &f32| it.is_finite() && *it > 0.0;
        if !self.std.iter().all(is_positive) || !self.mean.iter().all(|it| it.is_finite()) {
            return Err(RecipeError::MeanStd { mean: self.mean.clone(), std: self.std.clone() });
        }
        let size = self.size;
        if size.iter().any(|it| *it == 0 || *it > 8192) {
            return Err(RecipeError::Size { size });
        }
        match self.short_side {
            Some(short_side) if short_side < size[0].max(size[1]) || short_side > 8192 => {
                Err(RecipeError::ShortSide { short_side, size })
            }
            _ => Ok(()),
        }
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
}

/// Reads a word as one of some values, and says which there are.
fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|it| it.0 == text).map(|it| it.1);
    found.ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|it| it.0).collect();
        format!("expected one of: {}", names.join(", "))
    })
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("bilinear", Self::Bilinear), ("bicubic", Self::Bicubic)])
    }
}

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("rgb", Self::Rgb), ("bgr", Self::Bgr), ("grey", Self::Grey)])
    }
}

impl FromStr for Background {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("white", Self::White), ("black", Self::Black)])
    }
}
