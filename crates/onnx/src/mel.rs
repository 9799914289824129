//! Log-mel features as a graph: what models of sounds that want a spectrogram are fed.
//!
//! Everything up to the spectrum is linear in a frame's samples (taking the mean away, pre-emphasis, the window, the
//! Fourier transform), so that it is one matrix, computed here in f64. The graph multiplies in f64 too: where a bin is
//! a thousandth of its frame's loudest, f32 would miss its logarithm by a hundredth.

use std::f64::consts::PI;

use crate::cut::Dim;
use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::opset::expect_opset;
use crate::pool::Appending;
use crate::proto::{AttributeProto, TensorProto};
use crate::waveform::{WAVEFORM, with_waveform};

/// How a waveform becomes log-mel features.
#[derive(Debug, Clone, PartialEq)]
pub struct LogMel {
    /// Samples a second.
    pub sample_rate: f64,
    /// Samples of a frame.
    pub frame_length: usize,
    /// Samples from the begin of a frame to that of the next.
    pub hop_length: usize,
    /// Points of the Fourier transform: at least the samples of a frame, which silence fills up.
    pub n_fft: usize,
    /// What a frame is weighed by.
    pub window: Taper,
    /// Whether frames lie around multiples of the hop, the sound mirrored at its ends; else the first begins where the
    /// sound does, and none goes beyond its end.
    pub center: bool,
    /// Whether the mean of a frame is taken away.
    pub remove_mean: bool,
    /// How much of the sample before is taken away from each; 0 for none.
    pub preemphasis: f64,
    /// What samples are multiplied by.
    pub gain: f64,
    /// What of the spectrum is summed: its magnitude or its power.
    pub magnitude: bool,
    /// Bins.
    pub n_mels: usize,
    /// Where the lowest bin begins and the highest ends, in Hz.
    pub range: [f64; 2],
    /// The scale that bins are even on.
    pub scale: MelScale,
    /// Whether a bin is divided by its width in Hz (Slaney's norm).
    pub by_width: bool,
    /// The logarithm, and the least number that it is taken of.
    pub log: Log,
    /// What becomes of the logarithms.
    pub normalization: MelNormalization,
    /// Whether the last frame is left out, as Whisper does.
    pub drop_last: bool,
    /// Frames that shorter sounds are filled up to, behind their end, with zeros before the normalization.
    pub n_frames: Option<usize>,
    /// Whether the model takes `(n, n_mels, frames)`; otherwise `(n, frames, n_mels)`.
    pub bins_first: bool,
}

/// What a frame is weighed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taper {
    /// `0.5 − 0.5·cos(2πi/n)`.
    Hann,
    /// `0.5 − 0.5·cos(2πi/(n−1))`.
    HannSymmetric,
    /// `0.54 − 0.46·cos(2πi/(n−1))`.
    HammingSymmetric,
    /// The symmetric Hann window to the power of 0.85, Kaldi's.
    Povey,
}

/// A scale of pitch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MelScale {
    /// `2595·log10(1 + f/700)`; triangles are straight in Hz.
    Htk,
    /// Straight up to 1000 Hz, logarithmic above; triangles are straight in Hz.
    Slaney,
    /// `1127·ln(1 + f/700)`; triangles are straight in mel.
    Kaldi,
}

/// A logarithm, of numbers that are at least so large or have so much added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Log {
    /// `ln(max(x, floor))`.
    Ln(f64),
    /// `log10(max(x, floor))`.
    Log10(f64),
    /// `ln(x + offset)`.
    LnPlus(f64),
}

/// What becomes of logarithms of a sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MelNormalization {
    /// Nothing.
    None,
    /// `(max(x, largest − 8) + 4) / 4`: Whisper's.
    Whisper,
    /// `(x − mean) / std` of numbers that are known.
    MeanStd(f64, f64),
    /// The mean of each bin over the sound's frames is taken away.
    BinMean,
}

/// Replaces the features that a model takes by the waveform that they are of: `waveform`, float32 `(n, samples)`.
///
/// # Errors
/// [`OnnxError::InputCount`] unless the model has exactly one input; [`OnnxError::OpsetTooOld`] below opset 13.
pub fn take_log_mel(model: &OnnxModel, mel: &LogMel) -> Result<OnnxModel, OnnxError> {
    expect_opset(model.opset(), 13, Some("Pad"))?;
    let input = model.single_input()?;
    let (rank, element) = (input.dims().map_or(3, |it| it.len()), input.elem_type());
    with_waveform(model, Dim::Unknown, |to, old| {
        let features = append_mel(to, mel);
        let float = AttributeProto::int("to", element.unwrap_or(data_type::FLOAT));
        // `(n, 1, n_mels, frames)` is what models made of pictures' take.
        if rank == 4 {
            let cast = to.node("Cast", &[&features], &name("cast"), vec![float]);
            to.over("Unsqueeze", &cast, &[1], None, old);
        } else {
            to.node("Cast", &[&features], old, vec![float]);
        }
    })
}

fn name(role: &str) -> String {
    format!("{WAVEFORM}/{role}")
}

/// Features of the waveform, in f64, in the layout that the model takes.
fn append_mel(to: &mut Appending<'_>, mel: &LogMel) -> String {
    let frames = append_frames(to, mel);
    let spectrum = append_spectrum(to, mel, &frames);
    let mut logs = append_logs(to, mel, &spectrum);
    if mel.drop_last {
        let [begin, end, axis] =
            [("first", 0), ("last", -1), ("frames_axis", 1)].map(|(role, it)| to.constant(role, &[1], &[it]));
        logs = to.node("Slice", &[&logs, &begin, &end, &axis], &name("logs_but_last"), vec![]);
    }
    if let Some(n_frames) = mel.n_frames {
        logs = append_filling(to, &logs, n_frames);
    }
    let logs = append_normalization(to, mel.normalization, logs);
    if !mel.bins_first {
        return logs;
    }
    to.node("Transpose", &[&logs], &name("bins_first"), vec![AttributeProto::ints("perm", &[0, 2, 1])])
}

/// A constant in f64.
fn double(to: &mut Appending<'_>, role: &str, dims: &[usize], values: &[f64]) -> String {
    let raw = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    to.graph.initializer.push(TensorProto::from_raw(name(role), data_type::DOUBLE, dims, raw));
    name(role)
}

/// `(n, frames, frame_length)` to `(n, frames, n_fft / 2 + 1)`: powers or magnitudes.
fn append_spectrum(to: &mut Appending<'_>, mel: &LogMel, frames: &str) -> String {
    let to_double = AttributeProto::int("to", data_type::DOUBLE);
    let frames = to.node("Cast", &[frames], &name("frames_f64"), vec![to_double]);
    let dims = [mel.frame_length, mel.n_fft / 2 + 1];
    let [cosines, sines] = mel.transform();
    let (cosines, sines) = (double(to, "cosines", &dims, &cosines), double(to, "sines", &dims, &sines));
    let real = to.node("MatMul", &[&frames, &cosines], &name("real"), vec![]);
    let imaginary = to.node("MatMul", &[&frames, &sines], &name("imaginary"), vec![]);
    let real = to.node("Mul", &[&real, &real], &name("real_power"), vec![]);
    let imaginary = to.node("Mul", &[&imaginary, &imaginary], &name("imaginary_power"), vec![]);
    let power = to.node("Add", &[&real, &imaginary], &name("power"), vec![]);
    if mel.magnitude { to.node("Sqrt", &[&power], &name("magnitude"), vec![]) } else { power }
}

/// `(n, frames, n_fft / 2 + 1)` to `(n, frames, n_mels)`: logarithms of bins.
fn append_logs(to: &mut Appending<'_>, mel: &LogMel, spectrum: &str) -> String {
    let filters = double(to, "filters", &[mel.n_fft / 2 + 1, mel.n_mels], &mel.filters());
    let bins = to.node("MatMul", &[spectrum, &filters], &name("bins"), vec![]);
    let (op, least) = match mel.log {
        Log::Ln(floor) | Log::Log10(floor) => ("Max", floor),
        Log::LnPlus(offset) => ("Add", offset),
    };
    let least = double(to, "least", &[], &[least]);
    let bins = to.node(op, &[&bins, &least], &name("bins_or_least"), vec![]);
    let logs = to.node("Log", &[&bins], &name("logs"), vec![]);
    if !matches!(mel.log, Log::Log10(_)) {
        return logs;
    }
    let scale = double(to, "log_scale", &[], &[std::f64::consts::LN_10.recip()]);
    to.node("Mul", &[&logs, &scale], &name("logs_10"), vec![])
}

fn append_normalization(to: &mut Appending<'_>, normalization: MelNormalization, logs: String) -> String {
    match normalization {
        MelNormalization::None => logs,
        MelNormalization::Whisper => {
            let largest = to.over("ReduceMax", &logs, &[1, 2], Some(1), &name("largest"));
            let [eight, four] =
                [("eight", 8.0), ("four", 4.0)].map(|(role, it)| double(to, role, &[], &[it]));
            let floor = to.node("Sub", &[&largest, &eight], &name("floor"), vec![]);
            let clipped = to.node("Max", &[&logs, &floor], &name("clipped"), vec![]);
            let moved = to.node("Add", &[&clipped, &four], &name("moved"), vec![]);
            to.node("Div", &[&moved, &four], &name("normalized"), vec![])
        }
        MelNormalization::MeanStd(mean, std) => {
            let [mean, std] = [("mean", mean), ("std", std)].map(|(role, it)| double(to, role, &[], &[it]));
            let centred = to.node("Sub", &[&logs, &mean], &name("centred"), vec![]);
            to.node("Div", &[&centred, &std], &name("normalized"), vec![])
        }
        MelNormalization::BinMean => {
            let mean = to.over("ReduceMean", &logs, &[1], Some(1), &name("bin_mean"));
            to.node("Sub", &[&logs, &mean], &name("normalized"), vec![])
        }
    }
}

/// `(n, samples)` to `(n, frames, frame_length)`.
fn append_frames(to: &mut Appending<'_>, mel: &LogMel) -> String {
    let count = |it: usize| i64::try_from(it).unwrap_or(i64::MAX);
    let sound = WAVEFORM.to_owned();
    // A sound shorter than a frame is filled up to one.
    let fill = [("mel_frame", count(mel.frame_length)), ("mel_none", 0)];
    let [frame, none] = fill.map(|(role, it)| to.constant(role, &[1], &[it]));
    let [axis, no_pads] = [("mel_axis", &[1][..]), ("mel_no_pads", &[0, 0, 0])]
        .map(|(role, it)| to.constant(role, &[it.len()], it));
    let shape = to.node("Shape", &[&sound], &name("mel_sound_shape"), vec![]);
    let n = to.node("Gather", &[&shape, &axis], &name("mel_sound_n"), vec![AttributeProto::int("axis", 0)]);
    let missing = to.node("Sub", &[&frame, &n], &name("mel_missing"), vec![]);
    let missing = to.node("Max", &[&missing, &none], &name("mel_missing_or_none"), vec![]);
    let first = AttributeProto::int("axis", 0);
    let pads = to.node("Concat", &[&no_pads, &missing], &name("mel_fill"), vec![first]);
    let sound = to.node("Pad", &[&sound, &pads], &name("mel_sound"), vec![]);
    let sound = if mel.center {
        let half = count(mel.n_fft / 2);
        let pads = to.constant("mel_pads", &[4], &[0, half, 0, half]);
        let reflect = AttributeProto::text("mode", "reflect");
        to.node("Pad", &[&sound, &pads], &name("mirrored"), vec![reflect])
    } else {
        sound
    };
    let shape = to.node("Shape", &[&sound], &name("mel_shape"), vec![]);
    let [zero, one, length, hop] = [
        ("mel_zero", 0),
        ("mel_one", 1),
        ("mel_length", count(mel.frame_length)),
        ("mel_hop", count(mel.hop_length)),
    ]
    .map(|(role, it)| to.constant(role, &[], &[it]));
    let n = to.node("Gather", &[&shape, &one], &name("mel_n"), vec![AttributeProto::int("axis", 0)]);
    let span = to.node("Sub", &[&n, &length], &name("mel_span"), vec![]);
    let end = to.node("Add", &[&span, &one], &name("mel_end"), vec![]);
    let begins = to.node("Range", &[&zero, &end, &hop], &name("mel_begins"), vec![]);
    let begins = to.over("Unsqueeze", &begins, &[1], None, &name("mel_begins_wide"));
    let inside = to.node("Range", &[&zero, &length, &one], &name("mel_inside"), vec![]);
    let places = to.node("Add", &[&begins, &inside], &name("mel_places"), vec![]);
    to.node("Gather", &[&sound, &places], &name("frames"), vec![AttributeProto::int("axis", 1)])
}

/// Fills up or cuts to a number of frames.
fn append_filling(to: &mut Appending<'_>, logs: &str, n_frames: usize) -> String {
    let n_frames = i64::try_from(n_frames).unwrap_or(i64::MAX);
    let pads = to.constant("fill_pads", &[6], &[0, 0, 0, 0, n_frames, 0]);
    let nothing = double(to, "fill_value", &[], &[0.0]);
    let filled = to.node("Pad", &[logs, &pads, &nothing], &name("filled_up"), vec![]);
    let [begin, end, axis] = [("fill_begin", 0), ("fill_end", n_frames), ("fill_axis", 1)]
        .map(|(role, it)| to.constant(role, &[1], &[it]));
    to.node("Slice", &[&filled, &begin, &end, &axis], &name("filled_up_to"), vec![])
}

impl LogMel {
    /// Real and imaginary part of the spectrum of a frame, as matrices `(frame_length, n_fft / 2 + 1)`.
    fn transform(&self) -> [Vec<f64>; 2] {
        let (n, n_bins) = (self.frame_length, self.n_fft / 2 + 1);
        let window: Vec<f64> = (0..n).map(|it| self.gain * self.window.at(it, n)).collect();
        [f64::cos as fn(f64) -> f64, |it| -it.sin()].map(|part| {
            let mut matrix = vec![0.0; n * n_bins];
            for bin in 0..n_bins {
                // What a bin takes of each sample, from the last step to the first: transform, window, pre-emphasis,
                // mean.
                let angle = |it: usize| 2.0 * PI * ((bin * it) % self.n_fft) as f64 / self.n_fft as f64;
                let weighed: Vec<f64> = (0..n).map(|it| part(angle(it)) * window[it]).collect();
                let behind = |it: usize| weighed.get(it + 1).copied().unwrap_or(0.0);
                // The first sample has none before it, and is its own.
                let own = |it: usize| if it == 0 { self.preemphasis * weighed[0] } else { 0.0 };
                let emphasised = |it: usize| weighed[it] - self.preemphasis * behind(it) - own(it);
                let column: Vec<f64> = (0..n).map(emphasised).collect();
                let mean = if self.remove_mean { column.iter().sum::<f64>() / n as f64 } else { 0.0 };
                column.iter().enumerate().for_each(|(it, value)| matrix[it * n_bins + bin] = value - mean);
            }
            matrix
        })
    }

    /// What each bin takes of the spectrum, `(n_fft / 2 + 1, n_mels)`.
    ///
    /// Source: `librosa.filters.mel`, `torchaudio.functional.melscale_fbanks`, `torchaudio.compliance.kaldi`; they agree
    /// where their scales do.
    fn filters(&self) -> Vec<f64> {
        let (n_bins, n_mels) = (self.n_fft / 2 + 1, self.n_mels);
        let [low, high] = self.range.map(|it| self.scale.of_hz(it));
        let step = (high - low) / (n_mels + 1) as f64;
        let edge = |it: usize| low + step * it as f64;
        let hz_of = |bin: usize| bin as f64 * self.sample_rate / self.n_fft as f64;
        let mut filters = vec![0.0; n_bins * n_mels];
        for mel in 0..n_mels {
            let edges = [edge(mel), edge(mel + 1), edge(mel + 2)];
            let hz = edges.map(|it| self.scale.to_hz(it));
            let width = if self.by_width { 2.0 / (hz[2] - hz[0]) } else { 1.0 };
            for bin in 0..n_bins {
                let (at, [left, centre, right]) = match self.scale {
                    MelScale::Kaldi => (self.scale.of_hz(hz_of(bin)), edges),
                    MelScale::Htk | MelScale::Slaney => (hz_of(bin), hz),
                };
                let up = (at - left) / (centre - left);
                let down = (right - at) / (right - centre);
                filters[bin * n_mels + mel] = width * up.min(down).max(0.0);
            }
        }
        filters
    }
}

impl Taper {
    fn at(self, index: usize, n: usize) -> f64 {
        let (index, n) = (index as f64, n as f64);
        let hann = |period: f64| 0.5 - 0.5 * (2.0 * PI * index / period).cos();
        match self {
            Self::Hann => hann(n),
            Self::HannSymmetric => hann(n - 1.0),
            Self::HammingSymmetric => 0.54 - 0.46 * (2.0 * PI * index / (n - 1.0)).cos(),
            Self::Povey => hann(n - 1.0).powf(0.85),
        }
    }
}

/// Where Slaney's scale turns from straight to logarithmic, in Hz and in mels, and how steep it is on either side.
const TURN_HZ: f64 = 1000.0;
const HZ_A_MEL: f64 = 200.0 / 3.0;
const TURN_MEL: f64 = TURN_HZ / HZ_A_MEL;

impl MelScale {
    fn of_hz(self, hz: f64) -> f64 {
        match self {
            Self::Htk => 2595.0 * (1.0 + hz / 700.0).log10(),
            Self::Kaldi => 1127.0 * (1.0 + hz / 700.0).ln(),
            Self::Slaney if hz < TURN_HZ => hz / HZ_A_MEL,
            Self::Slaney => TURN_MEL + (hz / TURN_HZ).ln() / (6.4_f64.ln() / 27.0),
        }
    }

    fn to_hz(self, mel: f64) -> f64 {
        match self {
            Self::Htk => 700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0),
            Self::Kaldi => 700.0 * ((mel / 1127.0).exp() - 1.0),
            Self::Slaney if mel < TURN_MEL => mel * HZ_A_MEL,
            Self::Slaney => TURN_HZ * ((mel - TURN_MEL) * (6.4_f64.ln() / 27.0)).exp(),
        }
    }
}
