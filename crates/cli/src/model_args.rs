//! Which model, and how it is fed, as arguments.

use std::path::Path;

use clap::Args;
use headstart::ModelConfig;
use headstart::backbone::{EMBEDDED_ID, Registry, default_model};
use headstart::head::HeadModel;
use headstart::input::{
    AudioOptions, Background, Channels, Filling, Filter, FrontEnd, ImageOptions, NamedFrontEnd, Statistics,
    TextOptions,
};
use headstart::onnx::Pool;

use crate::dataset_args::DatasetArgs;

/// Which model, and how to feed it where the registry does not know.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Id of the registry (see `headstart models list`) or a path to an .onnx file. Default: the one that is compiled
    /// in for the dataset's inputs; with --head, the one of its embeddings.
    #[arg(long, value_name = "ID|FILE")]
    model: Option<String>,
    #[command(flatten)]
    cut: CutArgs,
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    text: TextArgs,
    #[command(flatten)]
    audio: AudioArgs,
}

/// Where a model is cut, where that is not the registry's or the TOML's word.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(
    next_help_heading = "Where the model is cut (default: the registry's entry, the .toml beside FILE, its graph)"
)]
struct CutArgs {
    /// Tensor to cut at, by name; found by structure when not given.
    #[arg(long, value_name = "TENSOR")]
    tap: Option<String>,
    /// How a tap with positions becomes one row: mean of (n, c, h, w) or (n, tokens, c), mean-nhwc of (n, h, w, c),
    /// mean-nct of (n, c, frames), first or last (token), or none to take all its numbers. Default: the mean that its layout asks for.
    #[arg(long, value_name = "HOW")]
    pool: Option<Pool>,
    /// Bring every embedding to length 1.
    #[arg(long)]
    normalize: bool,
}

/// How texts become a model's input, where that is not the registry's or the TOML's word.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "How texts are fed")]
struct TextArgs {
    /// Most tokens of a text, special ones among them; what is longer is cut at the end.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Put before every text: `query: `, for instance.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
}

/// How sounds become a model's input, where that is not the registry's or the TOML's word.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "How sounds are fed")]
struct AudioArgs {
    /// Samples a second that the model takes (16000).
    #[arg(long, value_name = "HZ")]
    sample_rate: Option<u32>,
    /// Length of a window. Default: what the model takes; where it takes any, a sound goes through whole.
    #[arg(long, value_name = "SECONDS")]
    window: Option<f64>,
    /// From the begin of a window to that of the next. Default: those of a window.
    #[arg(long, value_name = "SECONDS")]
    hop: Option<f64>,
    /// What a sound shorter than a window is filled up with: zeros (default), or repeat.
    #[arg(long, value_name = "HOW")]
    short: Option<Filling>,
    /// What becomes of the rows of several windows: mean (default), or mean-std, which is twice as long.
    #[arg(long, value_name = "WHAT")]
    statistics: Option<Statistics>,
    /// What stands for full scale: 1 (default), or 32768 for a model trained on 16-bit integers.
    #[arg(long, value_name = "NUMBER")]
    full_scale: Option<f32>,
    /// What a model of features wants computed first: zero-mean-unit-variance, whisper-80, whisper-128, ast, wespeaker.
    #[arg(long, value_name = "NAME")]
    front_end: Option<NamedFrontEnd>,
}

/// How images become a model's input, where that is not the registry's or the TOML's word.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(
    next_help_heading = "How pictures are fed (default: the registry's entry, or the .toml beside FILE)"
)]
struct ImageArgs {
    /// Height and width of the model's input.
    #[arg(long, value_name = "SIDE|H,W", value_parser = parse_size)]
    size: Option<[u32; 2]>,
    /// Length the short side is resized to before the centre crop; 0 squeezes the whole image.
    #[arg(long, value_name = "PIXELS")]
    short_side: Option<u32>,
    /// Resampling filter: bilinear or bicubic, both antialiased.
    #[arg(long, value_name = "FILTER")]
    filter: Option<Filter>,
    /// Channels: rgb, bgr or grey.
    #[arg(long, value_name = "ORDER")]
    channels: Option<Channels>,
    /// Mean of each channel, subtracted from pixels in 0–1 (or 0–255 with --levels).
    #[arg(long, value_name = "M,…", value_delimiter = ',', allow_negative_numbers = true)]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel.
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    std: Option<Vec<f32>>,
    /// Pixels keep their grey levels 0–255 instead of being divided by 255; mean is 0 and std 1 then, unless
    /// they are given.
    #[arg(long)]
    levels: bool,
    /// What lies behind transparent pixels: white (default) or black.
    #[arg(long, value_name = "COLOUR")]
    background: Option<Background>,
    /// Ignore the EXIF orientation.
    #[arg(long)]
    no_orientation: bool,
    /// Decode a JPEG at a half, a quarter or an eighth of its size where that still covers what is needed:
    /// much faster for photos of many megapixels, with slightly other pixels.
    #[arg(long)]
    scaled_jpeg: bool,
}

impl ModelArgs {
    /// The model that was named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The model for a dataset, and how it is to be fed.
    pub(crate) fn for_dataset(&self, path: &Path, reading: &DatasetArgs) -> ModelConfig {
        self.config(self.named().unwrap_or_else(|| default_model(reading.kind_of(path))))
    }

    /// The model for a head, and how it is to be fed.
    pub(crate) fn for_head(&self, head: &HeadModel) -> ModelConfig {
        let of_space = head.metadata.space["model"].as_str();
        // A file of one's own is told by its name alone: who has it must say where.
        let known = of_space.filter(|it| Registry::builtin().get(it).is_some());
        self.config(self.named().or(known).unwrap_or(EMBEDDED_ID))
    }

    fn config(&self, model: &str) -> ModelConfig {
        let (it, cut, text) = (self.image.clone(), self.cut.clone(), self.text.clone());
        let audio = self.audio.clone();
        ModelConfig {
            model: model.to_owned(),
            tap: cut.tap,
            pool: cut.pool,
            normalize: cut.normalize.then_some(true),
            text: TextOptions { max_tokens: text.max_tokens, prefix: text.prefix },
            audio: AudioOptions {
                sample_rate: audio.sample_rate,
                window: audio.window,
                hop: audio.hop,
                short: audio.short,
                statistics: audio.statistics,
                full_scale: audio.full_scale,
                front_end: audio.front_end.map(FrontEnd::Named),
            },
            image: ImageOptions {
                size: it.size,
                short_side: it.short_side,
                filter: it.filter,
                channels: it.channels,
                mean: it.mean,
                std: it.std,
                unit_range: it.levels.then_some(false),
                background: it.background,
                orientation: it.no_orientation.then_some(false),
                scaled_jpeg: it.scaled_jpeg.then_some(true),
            },
        }
    }

    /// Whether nothing is said of how it is fed or cut.
    pub(crate) fn is_plain(&self) -> bool {
        self.config(EMBEDDED_ID) == ModelConfig::default()
    }
}

fn parse_size(text: &str) -> Result<[u32; 2], String> {
    let number = |it: &str| it.trim().parse::<u32>().map_err(|err| format!("`{it}` is no size: {err}"));
    match text.split_once(',') {
        Some((height, width)) => Ok([number(height)?, number(width)?]),
        None => number(text).map(|side| [side, side]),
    }
}
