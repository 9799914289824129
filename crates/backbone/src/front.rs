//! Where a recipe and a graph meet: what of the preparation is left to the graph.

use headstart_input::{
    AudioRecipe, FrontEnd, ImageRecipe, MelLog, MelNormalization, MelRecipe, MelScale, MelSpectrum,
    MelWindow, Recipe,
};
use headstart_onnx::{
    Log, LogMel, OnnxModel, PixelInput, Taper, data_type, standardise_waveform, take_log_mel, take_pixels,
    take_waveform, takes_waveform,
};

use crate::cut_model::model_error;
use crate::error::BackboneError;

/// What a graph computes before the backbone's own first operator, for a recipe.
#[derive(Debug, Clone)]
pub(crate) enum Front {
    /// Normalises uint8 pixels.
    Pixels(PixelInput),
    /// Nothing: a model of texts takes what their recipe makes.
    Tokens,
    /// Gives samples the shape and the name they had.
    Waveform,
    /// The same, of sounds brought to mean 0 and variance 1.
    Standardised,
    /// Computes log-mel features.
    Mel(Box<LogMel>),
}

impl Front {
    /// Refuses a recipe that contradicts itself, and a model that does not take what it makes.
    pub(crate) fn new(id: &str, model: &OnnxModel, recipe: &Recipe) -> Result<Self, BackboneError> {
        recipe.check()?;
        match recipe {
            Recipe::Text(_) => Ok(Self::Tokens),
            Recipe::Image(recipe) => {
                let channels_first = image_layout(id, model, recipe)?;
                let (mean, std) = recipe.mean_std_levels();
                let [height, width] = recipe.size.map(|it| it as usize);
                Ok(Self::Pixels(PixelInput { height, width, mean, std, channels_first }))
            }
            Recipe::Audio(recipe) => Self::of_sounds(id, model, recipe),
        }
    }

    fn of_sounds(id: &str, model: &OnnxModel, recipe: &AudioRecipe) -> Result<Self, BackboneError> {
        let front_end = recipe.front_end.as_ref();
        match front_end.and_then(FrontEnd::mel) {
            Some(mel) if takes_features(model, &mel, n_frames(&mel, recipe)) => {
                Ok(Self::Mel(Box::new(log_mel(&mel, recipe.sample_rate))))
            }
            None if takes_waveform(model) && front_end.is_some() => Ok(Self::Standardised),
            None if takes_waveform(model) => Ok(Self::Waveform),
            mel => Err(BackboneError::Shape {
                model: id.to_owned(),
                expected: match mel {
                    Some(mel) => format!(
                        "one float input of {} bins and {} frames, (n, bins, frames) or (n, frames, bins) \
                         (window, n-frames and bins-first say how they are made)",
                        mel.n_mels,
                        n_frames(&mel, recipe).map_or("any number of".to_owned(), |it| it.to_string())
                    ),
                    None => "one float input of samples, (n, samples) or (n, 1, samples); or a front-end"
                        .to_owned(),
                },
                actual: inputs(model),
            }),
        }
    }

    /// The graph with what comes before it: it takes what the recipe makes.
    pub(crate) fn before(&self, id: &str, graph: &OnnxModel) -> Result<OnnxModel, BackboneError> {
        match self {
            Self::Pixels(pixels) => take_pixels(graph, pixels).map_err(|err| model_error(id, err)),
            Self::Tokens => Ok(graph.clone()),
            Self::Waveform => take_waveform(graph).map_err(|err| model_error(id, err)),
            Self::Standardised => {
                let taking = take_waveform(graph).and_then(|it| standardise_waveform(&it));
                taking.map_err(|err| model_error(id, err))
            }
            Self::Mel(mel) => take_log_mel(graph, mel).map_err(|err| model_error(id, err)),
        }
    }
}

/// Whether the model takes `(n, c, h, w)`; checks that its input is one image of the size the
/// recipe makes.
fn image_layout(id: &str, model: &OnnxModel, recipe: &ImageRecipe) -> Result<bool, BackboneError> {
    let input = model.single_input().map_err(|err| model_error(id, err))?;
    let channels = recipe.n_channels() as i64;
    let shape_error = |actual: String| BackboneError::Shape {
        model: id.to_owned(),
        expected: format!(
            "one float input of {channels} channels and {}×{} pixels (set size, short-side and channels to what the model takes)",
            recipe.size[0], recipe.size[1]
        ),
        actual,
    };
    if input.elem_type() == Some(data_type::UINT8) {
        return Err(shape_error(format!(
            "uint8 pixels as `{}`, as a model takes that was exported with its head; a backbone takes floats",
            input.name()
        )));
    }
    let float = [data_type::FLOAT, data_type::FLOAT16];
    if !input.elem_type().is_some_and(|it| float.contains(&it)) {
        let element = input.elem_type().map_or("none".to_owned(), |it| it.to_string());
        return Err(shape_error(format!("ONNX element type {element} of `{}`", input.name())));
    }
    let dims = input.dims().filter(|it| it.len() == 4).ok_or_else(|| {
        shape_error(format!(
            "shape {} of `{}`",
            input.dims().map_or("unknown".to_owned(), |it| shape(&it)),
            input.name()
        ))
    })?;
    let size = recipe.size.map(i64::from);
    let fits =
        |it: &[Option<i64>], want: [i64; 3]| it.iter().zip(want).all(|(a, b)| a.is_none_or(|a| a == b));
    let (first, last) =
        (fits(&dims[1..], [channels, size[0], size[1]]), fits(&dims[1..], [size[0], size[1], channels]));
    // Fully symbolic shapes fit both; channels first is what PyTorch writes.
    if first || last {
        Ok(first)
    } else {
        Err(shape_error(format!("shape {} of `{}`", shape(&dims), input.name())))
    }
}

/// Whether a model takes such features: one tensor of floats, `(n, bins, frames)` or `(n, frames, bins)`, as images
/// have them `(n, 1, …, …)`.
fn takes_features(model: &OnnxModel, mel: &MelRecipe, n_frames: Option<usize>) -> bool {
    let inputs = model.inputs();
    let [input] = inputs[..] else { return false };
    let is_float = matches!(input.elem_type(), Some(data_type::FLOAT | data_type::FLOAT16));
    let (first, last) = match input.dims().as_deref() {
        Some([_, first, last] | [_, Some(1), first, last]) => (*first, *last),
        _ => return false,
    };
    let (bins, frames) = if mel.bins_first { (first, last) } else { (last, first) };
    let is = |dim: Option<i64>, n: Option<usize>| dim.is_none_or(|it| usize::try_from(it).ok() == n);
    is_float && is(bins, Some(mel.n_mels)) && is(frames, n_frames)
}

/// Frames that a front end makes of every sound; none where that is their length's to say.
fn n_frames(mel: &MelRecipe, recipe: &AudioRecipe) -> Option<usize> {
    let of_window = || {
        let inside = if mel.center { 0 } else { mel.frame_length };
        let n = recipe.n_window().saturating_sub(inside) / mel.hop_length + 1;
        n - usize::from(mel.drop_last && n > 1)
    };
    mel.n_frames.or_else(|| recipe.is_filled().then(of_window))
}

/// A front end as a graph has it: neither crate knows the other's.
fn log_mel(mel: &MelRecipe, sample_rate: u32) -> LogMel {
    LogMel {
        sample_rate: f64::from(sample_rate),
        frame_length: mel.frame_length,
        hop_length: mel.hop_length,
        n_fft: mel.n_fft,
        window: match mel.window {
            MelWindow::Hann => Taper::Hann,
            MelWindow::HannSymmetric => Taper::HannSymmetric,
            MelWindow::HammingSymmetric => Taper::HammingSymmetric,
            MelWindow::Povey => Taper::Povey,
        },
        center: mel.center,
        remove_mean: mel.remove_mean,
        preemphasis: mel.preemphasis,
        gain: mel.gain,
        magnitude: mel.spectrum == MelSpectrum::Magnitude,
        n_mels: mel.n_mels,
        range: mel.range,
        scale: match mel.scale {
            MelScale::Htk => headstart_onnx::MelScale::Htk,
            MelScale::Slaney => headstart_onnx::MelScale::Slaney,
            MelScale::Kaldi => headstart_onnx::MelScale::Kaldi,
        },
        by_width: mel.by_width,
        log: match mel.log {
            MelLog::Ln => Log::Ln(mel.floor),
            MelLog::Log10 => Log::Log10(mel.floor),
            MelLog::LnPlus => Log::LnPlus(mel.floor),
        },
        normalization: match mel.normalization {
            MelNormalization::None => headstart_onnx::MelNormalization::None,
            MelNormalization::Whisper => headstart_onnx::MelNormalization::Whisper,
            MelNormalization::MeanStd => {
                headstart_onnx::MelNormalization::MeanStd(mel.mean_std[0], mel.mean_std[1])
            }
            MelNormalization::BinMean => headstart_onnx::MelNormalization::BinMean,
        },
        drop_last: mel.drop_last,
        n_frames: mel.n_frames,
        bins_first: mel.bins_first,
    }
}

/// ``a` [N, 16000], `b` [N, 80]``
fn inputs(model: &OnnxModel) -> String {
    let input = |it: &&headstart_onnx::proto::ValueInfoProto| {
        format!("`{}` {}", it.name(), it.dims().map_or("of unknown shape".to_owned(), |it| shape(&it)))
    };
    model.inputs().iter().map(input).collect::<Vec<_>>().join(", ")
}

/// `[N, 3, 224, 224]`
fn shape(dims: &[Option<i64>]) -> String {
    let dims = dims.iter().map(|it| it.map_or("N".to_owned(), |it| it.to_string()));
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither crate knows the other: here is where they must agree.
    #[test]
    fn inputs_come_in_under_the_name_that_the_graph_gives_them() {
        assert_eq!(ImageRecipe::TENSOR, headstart_onnx::PIXELS);
        assert_eq!(AudioRecipe::TENSOR, headstart_onnx::WAVEFORM);
    }
}
