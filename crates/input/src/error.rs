//! Why an input cannot be prepared, or a recipe cannot be followed.

use crate::recipe::InputKind;

/// Why one input gives no tensors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The bytes are of none of the formats that are read.
    #[error("is no {} in a format that is known", kind.nouns()[0])]
    UnknownFormat {
        /// What it should be.
        kind: InputKind,
    },
    /// A picture or a sound of a format that is not read.
    #[error("is a {} in {format}, which is not read; convert it to {}", kind.nouns()[0], instead(*kind))]
    FormatNotRead {
        /// What it is.
        kind: InputKind,
        /// Name of the format.
        format: &'static str,
    },
    /// A picture or a sound of a kind its decoder does not know.
    #[error("cannot be decoded: {0}")]
    Unsupported(String),
    /// Decoding would need more memory than allowed.
    #[error("is {width}×{height} pixels, which needs more than the limit of {} MiB to decode", limit_bytes >> 20)]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Most memory one input may take.
        limit_bytes: u64,
    },
    /// The decoder found damage.
    #[error("cannot be decoded: {0}")]
    Decode(#[source] Box<image::ImageError>),
    /// The JPEG decoder found damage.
    #[error("cannot be decoded: {0}")]
    Jpeg(#[source] Box<libjpeg_turbo_rs::JpegError>),
    /// The decoder itself failed.
    #[error("made its decoder panic")]
    DecoderPanic,
    /// A text that is no UTF-8.
    #[error("is no UTF-8 text: byte {at} belongs to none")]
    NotUtf8 {
        /// Bytes before the first that is none.
        at: usize,
    },
    /// A text that would take more memory than allowed.
    #[error("is a text of {n_bytes} bytes, above the limit of {limit}")]
    TooLongText {
        /// Its bytes.
        n_bytes: u64,
        /// Most that a text may have.
        limit: u64,
    },
    /// A text of which the tokenizer makes nothing.
    #[error("has no tokens")]
    NoTokens,
    /// A picture without pixels.
    #[error("has no pixels")]
    Empty,
    /// The decoder of a sound found damage.
    #[error("cannot be decoded: {0}")]
    Sound(String),
    /// A film without a sound.
    #[error("holds no sound")]
    Silent,
    /// A sound without samples.
    #[error("has no samples")]
    NoSamples,
    /// A sound with samples that are NaN or infinite.
    #[error("has samples that are no finite numbers")]
    NotFinite,
    /// A sound that lasts longer than allowed.
    #[error("lasts longer than {limit_seconds} seconds, which is the limit")]
    TooLongSound {
        /// Most that it may last.
        limit_seconds: u64,
    },
}

/// Formats to convert to.
fn instead(kind: InputKind) -> &'static str {
    match kind {
        InputKind::Image => "JPEG, PNG or TIFF",
        InputKind::Text => "plain text in UTF-8",
        InputKind::Audio => "WAV, FLAC or MP3",
    }
}

/// Why a recipe cannot be followed: it contradicts itself.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Means and deviations that are not one each for every channel.
    #[error("{n_channels} channels, but {n_means} values of mean and {n_stds} of std")]
    ChannelCount {
        /// Channels of the picture.
        n_channels: usize,
        /// Values of `mean`.
        n_means: usize,
        /// Values of `std`.
        n_stds: usize,
    },
    /// Means or deviations that cannot be computed with.
    #[error("mean {mean:?} and std {std:?} must be finite, std positive")]
    MeanStd {
        /// `mean` as it is.
        mean: Vec<f32>,
        /// `std` as it is.
        std: Vec<f32>,
    },
    /// Means and deviations of another scale than the pixels they are for.
    #[error(
        "mean {mean:?} and std {std:?} are of {}, the pixels of {}",
        if *unit_range { "grey levels (0–255)" } else { "0–1" },
        if *unit_range { "0–1 (unit-range; --levels keeps grey levels)" } else { "grey levels (0–255)" }
    )]
    Scale {
        /// Whether pixels are divided by 255 first.
        unit_range: bool,
        /// `mean` as it is.
        mean: Vec<f32>,
        /// `std` as it is.
        std: Vec<f32>,
    },
    /// A size that no picture can be made in.
    #[error("size {size:?} is outside 1–8192")]
    Size {
        /// Height and width as they are.
        size: [u32; 2],
    },
    /// What should be a tokenizer is none.
    #[error("the tokenizer does not read: {reason}")]
    Tokenizer {
        /// Why.
        reason: String,
    },
    /// A model of texts without a tokenizer.
    #[error("a model of texts needs its tokenizer")]
    NoTokenizer,
    /// A model that takes no ids of tokens.
    #[error("nothing takes the ids of tokens")]
    NoIds,
    /// A number of tokens that no text can be cut to.
    #[error("at most {n} tokens a text are no bound, or leave no room beside the {n_special} special ones")]
    MaxTokens {
        /// The number.
        n: usize,
        /// Tokens that stand around every text.
        n_special: usize,
    },
    /// A number of a recipe of sounds that cannot be followed.
    #[error("{what}, cannot be {value}")]
    Audio {
        /// What it is, and its unit.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// A short side that is less than the crop behind it.
    #[error("short side {short_side} does not cover the crop {size:?}")]
    ShortSide {
        /// The short side.
        short_side: u32,
        /// Height and width of the crop.
        size: [u32; 2],
    },
}
