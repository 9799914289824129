//! How a picture becomes the input of a backbone, as a value.

use std::fmt;
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
#[serde(rename_all = "kebab-case", from = "ImageOptions")]
pub struct ImageRecipe {
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

/// What of a recipe is to be otherwise than in another: the one reader of descriptions, files and flags.
///
/// # Examples
/// ```
/// use headstart_input::{ImageOptions, ImageRecipe};
///
/// let options = ImageOptions { size: Some([112, 112]), ..ImageOptions::default() };
/// let recipe = ImageRecipe::imagenet().with(&options);
/// assert_eq!((recipe.size, recipe.short_side), ([112, 112], Some(128)));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImageOptions {
    /// Height and width the backbone takes. As much of the picture is seen as before: the short side follows.
    pub size: Option<[u32; 2]>,
    /// Length the short side is resized to before the crop; 0 squeezes the whole image to `size`.
    #[serde(deserialize_with = "nothing_is_zero")]
    pub short_side: Option<u32>,
    /// Resampling filter.
    pub filter: Option<Filter>,
    /// Channels and their order. Where their number changes, mean and std become 0.5.
    pub channels: Option<Channels>,
    /// Whether pixels are divided by 255 first. Where that changes, mean becomes 0 and std 1.
    pub unit_range: Option<bool>,
    /// Subtracted from each channel.
    pub mean: Option<Vec<f32>>,
    /// Divides each channel after that.
    pub std: Option<Vec<f32>>,
    /// What lies behind transparent pixels.
    pub background: Option<Background>,
    /// Whether the EXIF orientation is applied.
    pub orientation: Option<bool>,
    /// Whether large JPEGs are decoded at a fraction of their size.
    pub scaled_jpeg: Option<bool>,
}

/// JSON's word for nothing is TOML's 0: no side is resized to.
fn nothing_is_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or(0)))
}

/// On top of [`ImageRecipe::imagenet`].
impl From<ImageOptions> for ImageRecipe {
    fn from(options: ImageOptions) -> Self {
        Self::imagenet().with(&options)
    }
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

    /// The recipe but for some options.
    #[must_use]
    pub fn with(mut self, options: &ImageOptions) -> Self {
        if let Some([height, width]) = options.size {
            // As much of the picture as before: ImageNet's 256 for a crop of 224 is 110 for one of 96.
            let (old, new) = (self.size.into_iter().max().unwrap_or(1), height.max(width));
            let scaled = |it: u32| u64::from(it) * u64::from(new) / u64::from(old.max(1));
            self.short_side = self.short_side.map(|it| u32::try_from(scaled(it)).unwrap_or(new).max(new));
            self.size = [height, width];
        }
        if let Some(side) = options.short_side {
            self.short_side = (side > 0).then_some(side);
        }
        self.channels = options.channels.unwrap_or(self.channels);
        let n_channels = self.n_channels();
        if n_channels != self.mean.len() {
            (self.mean, self.std) = (vec![0.5; n_channels], vec![0.5; n_channels]);
        }
        if let Some(unit_range) = options.unit_range.filter(|it| *it != self.unit_range) {
            self.unit_range = unit_range;
            (self.mean, self.std) = (vec![0.0; n_channels], vec![1.0; n_channels]);
        }
        self.mean = options.mean.clone().unwrap_or(self.mean);
        self.std = options.std.clone().unwrap_or(self.std);
        self.filter = options.filter.unwrap_or(self.filter);
        self.background = options.background.unwrap_or(self.background);
        self.orientation = options.orientation.unwrap_or(self.orientation);
        self.scaled_jpeg = options.scaled_jpeg.unwrap_or(self.scaled_jpeg);
        self
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
        self.check_scale()?;
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

    /// Refuses mean and std of another scale than the pixels: no model is fed so.
    fn check_scale(&self) -> Result<(), RecipeError> {
        let all = || self.mean.iter().chain(&self.std);
        let is_of_unit = all().all(|it| (0.0..=1.0).contains(it));
        // Grey levels as they are: nothing subtracted, divided by one.
        let is = |values: &[f32], wanted: f32| values.iter().all(|it| it.total_cmp(&wanted).is_eq());
        let is_plain = is(&self.mean, 0.0) && is(&self.std, 1.0);
        let is_other = if self.unit_range { all().any(|it| *it > 2.0) } else { is_of_unit && !is_plain };
        if is_other {
            let (mean, std) = (self.mean.clone(), self.std.clone());
            return Err(RecipeError::Scale { unit_range: self.unit_range, mean, std });
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
}

/// How pictures are fed, in one line.
impl fmt::Display for ImageRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { short_side, filter, channels, mean, std, background, .. } = self;
        let [height, width] = self.size;
        match short_side {
            Some(side) => write!(f, "short side {side}, centre crop {height}×{width}, ")?,
            None => write!(f, "squeezed to {height}×{width}, ")?,
        }
        let [filter, channels, background] =
            [format!("{filter:?}"), format!("{channels:?}"), format!("{background:?}")]
                .map(|it| it.to_lowercase());
        let range = if self.unit_range { "/255" } else { "0–255" };
        let orientation = if self.orientation { "applied" } else { "ignored" };
        write!(
            f,
            "{filter}, {channels} {range}, mean {mean:?}, std {std:?}, transparent pixels over {background}, EXIF \
             orientation {orientation}"
        )?;
        f.write_str(if self.scaled_jpeg { ", large JPEGs decoded at a fraction of their size" } else { "" })
    }
}

/// Reads a word as one of some values, and says which there are.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
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
