//! What is computed of a waveform before a model's own first operator, as a value; graphs compute it.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::error::RecipeError;
use crate::image::word;

/// What is computed of a waveform first, for a model that takes no waveform: a name, or a table of its numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FrontEnd {
    /// One that is known by name.
    Named(NamedFrontEnd),
    /// Log-mel features of one's own numbers.
    LogMel(MelRecipe),
}

/// Most numbers of a step of a front end.
const MOST_NUMBERS: usize = 1 << 26;

/// Front ends that are known by name: those of feature extractors in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedFrontEnd {
    /// `(x − mean) / √(variance + 1e-7)` of each sound: wav2vec2, HuBERT, WavLM. The model takes a waveform.
    ZeroMeanUnitVariance,
    /// Whisper's 80 bins, 3,000 frames of 30 seconds.
    Whisper80,
    /// Whisper's 128 bins (large-v3).
    Whisper128,
    /// The 128 bins and 1,024 frames of the Audio Spectrogram Transformer.
    Ast,
    /// Kaldi's 80 bins as WeSpeaker takes them: of 16-bit numbers, the mean of each bin taken away.
    Wespeaker,
}

/// Log-mel features: a spectrum of short frames, summed in bins that are even in pitch, as logarithms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MelRecipe {
    /// Bins.
    pub n_mels: usize,
    /// Samples of a frame.
    pub frame_length: usize,
    /// Samples from the begin of a frame to that of the next.
    pub hop_length: usize,
    /// Points of the Fourier transform: at least the samples of a frame.
    pub n_fft: usize,
    /// What a frame is weighed by: `hann`, `hann-symmetric`, `hamming-symmetric`, `povey`.
    pub window: MelWindow,
    /// Whether frames lie around multiples of the hop, the sound mirrored at its ends; else the first begins where the
    /// sound does, and none goes beyond its end.
    pub center: bool,
    /// Whether the mean of a frame is taken away first.
    pub remove_mean: bool,
    /// How much of the sample before is taken away from each.
    pub preemphasis: f64,
    /// What of the spectrum is summed: `power` or `magnitude`.
    pub spectrum: MelSpectrum,
    /// What samples are multiplied by first: 32,768 for what was trained on 16-bit integers.
    pub gain: f64,
    /// Where the lowest bin begins and the highest ends, in Hz.
    pub range: [f64; 2],
    /// The scale that bins are even on: `htk`, `slaney`, `kaldi`.
    pub scale: MelScale,
    /// Whether a bin is divided by its width in Hz (Slaney's norm).
    pub by_width: bool,
    /// The logarithm: `ln`, `log10` of what is at least `floor`, or `ln-plus` of what `floor` is added to.
    pub log: MelLog,
    /// The least number that a logarithm is taken of, or what is added to all.
    pub floor: f64,
    /// What becomes of the logarithms: `none`, `whisper`, `mean-std`, `bin-mean`.
    pub normalization: MelNormalization,
    /// Mean and deviation, for `mean-std`.
    pub mean_std: [f64; 2],
    /// Whether the last frame is left out.
    pub drop_last: bool,
    /// Frames that shorter sounds are filled up to with zeros, before the normalization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_frames: Option<usize>,
    /// Whether the model takes `(n, n_mels, frames)`; otherwise `(n, frames, n_mels)`.
    pub bins_first: bool,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }
    };
}

words! {
    /// What a frame is weighed by.
    MelWindow {
        /// `0.5 − 0.5·cos(2πi/n)`.
        Hann,
        /// `0.5 − 0.5·cos(2πi/(n−1))`.
        HannSymmetric,
        /// `0.54 − 0.46·cos(2πi/(n−1))`.
        HammingSymmetric,
        /// The symmetric Hann window to the power of 0.85, Kaldi's.
        Povey
    }
}
words! {
    /// What of the spectrum is summed.
    MelSpectrum {
        /// Squares.
        Power,
        /// Their roots.
        Magnitude
    }
}
words! {
    /// A scale of pitch.
    MelScale {
        /// `2595·log10(1 + f/700)`.
        Htk,
        /// Straight up to 1000 Hz, logarithmic above.
        Slaney,
        /// `1127·ln(1 + f/700)`; triangles are straight in mel.
        Kaldi
    }
}
words! {
    /// A logarithm.
    MelLog {
        /// `ln(max(x, floor))`.
        Ln,
        /// `log10(max(x, floor))`.
        Log10,
        /// `ln(x + floor)`.
        LnPlus
    }
}
words! {
    /// What becomes of the logarithms of a sound.
    MelNormalization {
        /// Nothing.
        None,
        /// `(max(x, largest − 8) + 4) / 4`.
        Whisper,
        /// `(x − mean) / std` of numbers that are known.
        MeanStd,
        /// The mean of each bin is taken away.
        BinMean
    }
}

/// The front ends that are known by name.
const NAMES: [(&str, NamedFrontEnd); 5] = [
    ("zero-mean-unit-variance", NamedFrontEnd::ZeroMeanUnitVariance),
    ("whisper-80", NamedFrontEnd::Whisper80),
    ("whisper-128", NamedFrontEnd::Whisper128),
    ("ast", NamedFrontEnd::Ast),
    ("wespeaker", NamedFrontEnd::Wespeaker),
];

/// By hand: an untagged enum's error names no field.
impl<'de> Deserialize<'de> for FrontEnd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) => name.parse().map(Self::Named).map_err(D::Error::custom),
            table => MelRecipe::deserialize(table).map(Self::LogMel).map_err(D::Error::custom),
        }
    }
}

impl FromStr for NamedFrontEnd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &NAMES)
    }
}

impl Serialize for NamedFrontEnd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for NamedFrontEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|it| it.1 == *self).map_or("", |it| it.0))
    }
}

impl Default for MelRecipe {
    /// 64 bins of frames of 25 ms every 10 ms at 16 kHz, as most feature extractors for it compute them.
    fn default() -> Self {
        Self {
            n_mels: 64,
            frame_length: 400,
            hop_length: 160,
            n_fft: 512,
            window: MelWindow::Hann,
            center: false,
            remove_mean: false,
            preemphasis: 0.0,
            spectrum: MelSpectrum::Power,
            gain: 1.0,
            range: [20.0, 8000.0],
            scale: MelScale::Htk,
            by_width: false,
            log: MelLog::Ln,
            floor: 1e-10,
            normalization: MelNormalization::None,
            mean_std: [0.0, 1.0],
            drop_last: false,
            n_frames: None,
            bins_first: false,
        }
    }
}

impl FrontEnd {
    /// The log-mel features that it is; none for what keeps a waveform.
    #[must_use]
    pub fn mel(&self) -> Option<MelRecipe> {
        let named = match self {
            Self::LogMel(mel) => return Some(mel.clone()),
            Self::Named(named) => named,
        };
        let kaldi = MelRecipe {
            remove_mean: true,
            preemphasis: 0.97,
            scale: MelScale::Kaldi,
            floor: f64::from(f32::EPSILON),
            ..MelRecipe::default()
        };
        let whisper = MelRecipe {
            n_mels: 80,
            n_fft: 400,
            center: true,
            range: [0.0, 8000.0],
            scale: MelScale::Slaney,
            by_width: true,
            log: MelLog::Log10,
            normalization: MelNormalization::Whisper,
            drop_last: true,
            bins_first: true,
            ..MelRecipe::default()
        };
        match named {
            NamedFrontEnd::ZeroMeanUnitVariance => None,
            NamedFrontEnd::Whisper80 => Some(whisper),
            NamedFrontEnd::Whisper128 => Some(MelRecipe { n_mels: 128, ..whisper }),
            NamedFrontEnd::Ast => Some(MelRecipe {
                n_mels: 128,
                window: MelWindow::HannSymmetric,
                normalization: MelNormalization::MeanStd,
                // The extractor divides by twice the deviation.
                mean_std: [-4.267_739_3, 2.0 * 4.568_997_4],
                n_frames: Some(1024),
                ..kaldi
            }),
            NamedFrontEnd::Wespeaker => Some(MelRecipe {
                n_mels: 80,
                window: MelWindow::HammingSymmetric,
                normalization: MelNormalization::BinMean,
                gain: 32_768.0,
                ..kaldi
            }),
        }
    }

    /// Seconds of a window that the feature extractor fills sounds up to, where it does.
    pub(crate) fn seconds(&self) -> Option<f64> {
        matches!(self, Self::Named(NamedFrontEnd::Whisper80 | NamedFrontEnd::Whisper128)).then_some(30.0)
    }

    /// Most samples that its frames have room for, where these have a number.
    pub(crate) fn longest(&self) -> Option<usize> {
        let mel = self.mel()?;
        let inside = if mel.center { 0 } else { mel.frame_length };
        Some(mel.n_frames?.saturating_sub(1).saturating_mul(mel.hop_length).saturating_add(inside).max(1))
    }

    /// Checks that its numbers can be followed, at a rate and for windows of so many samples.
    pub(crate) fn check(&self, sample_rate: u32, n_window: usize) -> Result<(), RecipeError> {
        let Some(mel) = self.mel() else { return Ok(()) };
        let bad = |what: &'static str, value: f64| Err(RecipeError::Audio { what, value });
        // A transform is a matrix: no larger than some hundred megabytes.
        for (what, n) in
            [("n-mels", mel.n_mels), ("frame-length", mel.frame_length), ("hop-length", mel.hop_length)]
        {
            if !(1..=4096).contains(&n) {
                return bad(what, n as f64);
            }
        }
        if mel.frame_length < 2 {
            return bad("frame-length", mel.frame_length as f64);
        }
        if mel.n_frames.unwrap_or(0).saturating_mul(mel.n_mels) > MOST_NUMBERS {
            return bad("n-frames, for so many bins", mel.n_frames.unwrap_or(0) as f64);
        }
        // What is held of a window at once, in numbers of eight bytes.
        let n_frames = n_window.saturating_sub(mel.frame_length) / mel.hop_length + 1;
        let widest = mel.frame_length.max(mel.n_fft / 2 + 1).max(mel.n_mels);
        if n_frames.saturating_mul(widest) > MOST_NUMBERS {
            return bad("hop-length, for the frames that it makes of a window", mel.hop_length as f64);
        }
        if !(mel.frame_length..=8192).contains(&mel.n_fft) || mel.center && mel.n_fft != mel.frame_length {
            return bad("n-fft, beside the frame-length", mel.n_fft as f64);
        }
        if mel.n_frames.is_some_and(|it| !(1..=1_000_000).contains(&it)) {
            return bad("n-frames", mel.n_frames.unwrap_or(0) as f64);
        }
        let [low, high] = mel.range;
        if !(low >= 0.0 && low < high && high <= f64::from(sample_rate) / 2.0) {
            return bad("range, in Hz, up to half the sample rate", high);
        }
        if !(mel.floor.is_finite() && mel.floor > 0.0) {
            return bad("floor", mel.floor);
        }
        for (what, value) in [("preemphasis", mel.preemphasis), ("gain", mel.gain)] {
            if value.is_nan() || value.abs() > 1e9 {
                return bad(what, value);
            }
        }
        let [mean, std] = mel.mean_std;
        if !(mean.is_finite() && std.is_finite() && std > 0.0) {
            return bad("std, of mean-std", std);
        }
        Ok(())
    }
}
