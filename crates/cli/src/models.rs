//! From what the user typed after `--model` to a model ready to be loaded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use headstart_backbone::{
    Background, Channels, CutModel, EMBEDDED_ID, Filter, ModelSpec, Preprocess, Registry, embedded_model,
};
use headstart_onnx::Pool;
use serde::Serialize;

use crate::{folders, network, report};

/// Which model, and how to feed it where the registry does not know.
#[derive(Debug, Clone, Args)]
pub(crate) struct ModelArgs {
    /// Id of the registry (see `headstart models list`) or a path to an .onnx file.
    #[arg(long, value_name = "ID|FILE", default_value = EMBEDDED_ID)]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

/// How images become a model's input, where that is not the registry's or the TOML's word.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "How images are fed (default: the registry's entry, or the .toml beside FILE)")]
pub(crate) struct InputArgs {
    /// Tensor to cut at, by name; found by structure when not given.
    #[arg(long, value_name = "TENSOR")]
    pub(crate) tap: Option<String>,
    /// How a tap with positions becomes one row: mean, first, or none to take all its numbers. Default:
    /// mean for (n, c, h, w).
    #[arg(long, value_name = "HOW", value_parser = parse_pool)]
    pub(crate) pool: Option<Pool>,
    /// Height and width of the model's input.
    #[arg(long, value_name = "SIDE|H,W", value_parser = parse_size)]
    pub(crate) size: Option<[u32; 2]>,
    /// Length the short side is resized to before the centre crop; 0 squeezes the whole image.
    #[arg(long, value_name = "PIXELS")]
    pub(crate) short_side: Option<u32>,
    /// Resampling filter: bilinear or bicubic, both antialiased.
    #[arg(long, value_name = "FILTER", value_parser = parse_filter)]
    pub(crate) filter: Option<Filter>,
    /// Channels: rgb, bgr or grey.
    #[arg(long, value_name = "ORDER", value_parser = parse_channels)]
    pub(crate) channels: Option<Channels>,
    /// Mean of each channel, subtracted from pixels in 0–1 (or 0–255 with --levels).
    #[arg(long, value_name = "M,…", value_delimiter = ',', allow_negative_numbers = true)]
    pub(crate) mean: Option<Vec<f32>>,
    /// Standard deviation of each channel.
    #[arg(long, value_name = "S,…", value_delimiter = ',')]
    pub(crate) std: Option<Vec<f32>>,
    /// Pixels keep their grey levels 0–255 instead of being divided by 255.
    #[arg(long)]
    pub(crate) levels: bool,
    /// What lies behind transparent pixels: white (default) or black.
    #[arg(long, value_name = "COLOUR", value_parser = parse_background)]
    pub(crate) background: Option<Background>,
    /// Ignore the EXIF orientation.
    #[arg(long)]
    pub(crate) no_orientation: bool,
    /// Decode a JPEG at a half, a quarter or an eighth of its size where that still covers what is needed:
    /// much faster for photos of many megapixels, with slightly other pixels.
    #[arg(long)]
    pub(crate) scaled_jpeg: bool,
}

/// Where a model's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Compiled into the program.
    Embedded(&'static [u8]),
    /// A file.
    File(PathBuf),
}

/// Finds a model, checks its hash, cuts it; says on stderr what was assumed.
pub(crate) fn prepare(args: &ModelArgs) -> Result<CutModel> {
    let (mut spec, source) = resolve(&args.model)?;
    args.input.apply(&mut spec)?;
    let model = match &source {
        Source::Embedded(bytes) => CutModel::from_bytes(bytes, &spec),
        Source::File(path) => CutModel::load(path, &spec),
    }
    .or_else(|err| {
        // That a damaged file is not the registry's says more than what of it does not read.
        if let Source::File(path) = &source {
            check_hash(&spec, path)?;
        }
        Err(anyhow::Error::new(err).context(format!("cannot use {}", args.model)))
    })?;
    if let Source::File(path) = &source {
        expect_hash(&spec, path, &model.sha256)?;
    }
    // Nothing vouches for what is fed to a file of the user's own but these words.
    if spec.sha256.is_none() || args.input != InputArgs::default() {
        report::say(format!("{}: images are fed as {}", args.model, describe(&spec.preprocess)));
        report::say(format!(
            "{}: cut at `{}`, pooling {}",
            args.model,
            model.tap.tensor,
            pool_name(model.tap.pool)
        ));
    }
    if args.model == EMBEDDED_ID {
        report::say(format!(
            "model {EMBEDDED_ID}: a small distilled default that sees 96×96 pixels; --model names a larger one"
        ));
    }
    Ok(model)
}

/// Finds a model by id or path, downloading it where the registry says from where.
pub(crate) fn resolve(model: &str) -> Result<(ModelSpec, Source)> {
    let path = Path::new(model);
    let is_onnx = path.extension().is_some_and(|it| it.eq_ignore_ascii_case("onnx"));
    let looks_like_path = is_onnx || path.components().count() > 1;
    if looks_like_path {
        ensure!(path.is_file(), "no model file at {model}");
        let (spec, description) = ModelSpec::of_file(path)?;
        if let Some(toml) = description {
            report::say(format!("{model}: described by {}", toml.display()));
        }
        return Ok((spec, Source::File(path.to_owned())));
    }
    let registry = Registry::builtin();
    let Some(spec) = registry.get(model) else {
        let ids: Vec<&str> = registry.models.iter().map(|it| it.id.as_str()).collect();
        bail!(
            "no model `{model}` in the registry, which has: {}\n\npass a path ending in .onnx for a file of your own",
            ids.join(", ")
        );
    };
    if let Some(source) = find_local(spec)? {
        return Ok((spec.clone(), source));
    }
    let path = pull(spec)?;
    Ok((spec.clone(), Source::File(path)))
}

/// A model that needs no download.
pub(crate) fn find_local(spec: &ModelSpec) -> Result<Option<Source>> {
    if let Some(bytes) = embedded_model(&spec.id) {
        return Ok(Some(Source::Embedded(bytes)));
    }
    let folders = folders::model_folders().into_iter().chain([folders::cached_models()?]);
    Ok(folders.map(|it| it.join(&spec.file)).find(|it| it.is_file()).map(Source::File))
}

/// Refuses a file that is not the registry's.
pub(crate) fn check_hash(spec: &ModelSpec, path: &Path) -> Result<()> {
    expect_hash(spec, path, &network::hash_of(path)?)
}

fn expect_hash(spec: &ModelSpec, path: &Path, found: &str) -> Result<()> {
    let expected = spec.sha256.as_deref().unwrap_or(found);
    ensure!(
        expected == found,
        "{} has SHA-256 {found}, the registry expects {expected}; remove it, or pass it as a path if it is another model",
        path.display(),
    );
    Ok(())
}

/// Downloads a model into the cache.
pub(crate) fn pull(spec: &ModelSpec) -> Result<PathBuf> {
    let (Some(url), Some(sha256)) = (&spec.url, &spec.sha256) else {
        bail!(
            "{} has no public address; put {} into a folder and name that in HEADSTART_MODELS",
            spec.id,
            spec.file
        );
    };
    let path = folders::cached_models()?.join(&spec.file);
    network::download(url, &path, sha256, spec.bytes).with_context(|| {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).ok();
        format!(
            "cannot get {}; put {} into a folder of HEADSTART_MODELS to do without the network",
            spec.id, spec.file
        )
    })?;
    Ok(path)
}

/// The TOML that belongs beside a model file.
pub(crate) fn description(id: &str, tap: &str, pool: Pool, preprocess: &Preprocess) -> Result<String> {
    #[derive(Serialize)]
    struct Description<'a> {
        id: &'a str,
        tap: &'a str,
        pool: Pool,
        preprocess: &'a Preprocess,
    }
    Ok(toml::to_string(&Description { id, tap, pool, preprocess })?)
}

/// A preprocessing in one line.
#[must_use]
pub(crate) fn describe(preprocess: &Preprocess) -> String {
    let [height, width] = preprocess.size;
    let geometry = match preprocess.short_side {
        Some(side) => format!("short side {side}, centre crop {height}×{width}"),
        None => format!("squeezed to {height}×{width}"),
    };
    let range = if preprocess.unit_range { "/255" } else { "0–255" };
    let jpeg = if preprocess.scaled_jpeg { ", large JPEGs decoded at a fraction of their size" } else { "" };
    let orientation = if preprocess.orientation { "applied" } else { "ignored" };
    format!(
        "{geometry}, {:?}, {:?} {range}, mean {:?}, std {:?}, transparent pixels over {:?}, EXIF orientation {orientation}{jpeg}",
        preprocess.filter, preprocess.channels, preprocess.mean, preprocess.std, preprocess.background
    )
    .to_lowercase()
    .replace("exif", "EXIF")
    .replace("jpegs", "JPEGs")
}

impl InputArgs {
    fn apply(&self, spec: &mut ModelSpec) -> Result<()> {
        let preprocess = &mut spec.preprocess;
        if let Some([height, width]) = self.size {
            // As much of the picture as before: ImageNet's 256 for a crop of 224 is 110 for one of 96.
            let (old, new) = (preprocess.size.into_iter().max(), height.max(width));
            let scaled = |it: u32| u64::from(it) * u64::from(new) / u64::from(old.unwrap_or(new).max(1));
            preprocess.short_side =
                preprocess.short_side.map(|it| u32::try_from(scaled(it)).unwrap_or(new).max(new));
            preprocess.size = [height, width];
        }
        if let Some(side) = self.short_side {
            preprocess.short_side = (side > 0).then_some(side);
        }
        if let Some(channels) = self.channels {
            preprocess.channels = channels;
            if preprocess.n_channels() != preprocess.mean.len() {
                (preprocess.mean, preprocess.std) = (vec![0.5], vec![0.5]);
            }
        }
        preprocess.filter = self.filter.unwrap_or(preprocess.filter);
        preprocess.background = self.background.unwrap_or(preprocess.background);
        preprocess.unit_range &= !self.levels;
        preprocess.orientation &= !self.no_orientation;
        preprocess.scaled_jpeg |= self.scaled_jpeg;
        if let Some(mean) = &self.mean {
            preprocess.mean.clone_from(mean);
        }
        if let Some(std) = &self.std {
            preprocess.std.clone_from(std);
        }
        preprocess.check()?;
        if self.tap.is_some() {
            spec.tap.clone_from(&self.tap);
        }
        spec.pool = self.pool.or(spec.pool);
        Ok(())
    }
}

fn parse_size(text: &str) -> Result<[u32; 2], String> {
    let number = |it: &str| it.trim().parse::<u32>().map_err(|err| format!("`{it}` is no size: {err}"));
    match text.split_once(',') {
        Some((height, width)) => Ok([number(height)?, number(width)?]),
        None => number(text).map(|side| [side, side]),
    }
}

const POOLS: [(&str, Pool); 3] = [("none", Pool::None), ("mean", Pool::Mean), ("first", Pool::First)];

fn parse_pool(text: &str) -> Result<Pool, String> {
    choice(text, &POOLS)
}

/// The word for a pooling.
#[must_use]
pub(crate) fn pool_name(pool: Pool) -> &'static str {
    POOLS.iter().find(|(_, it)| *it == pool).map_or("", |(name, _)| name)
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    choice(text, &[("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)])
}

fn parse_channels(text: &str) -> Result<Channels, String> {
    choice(text, &[("rgb", Channels::Rgb), ("bgr", Channels::Bgr), ("grey", Channels::Grey)])
}

fn parse_background(text: &str) -> Result<Background, String> {
    choice(text, &[("white", Background::White), ("black", Background::Black)])
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, it)| *it);
    found.ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("expected one of: {}", names.join(", "))
    })
}
