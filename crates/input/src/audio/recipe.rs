//! How a sound becomes the input of a backbone, as a value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::decode::{DECODER, RATES};
use super::front_end::FrontEnd;
use super::resample::RESAMPLER;
use crate::error::RecipeError;
use crate::image::word;
use crate::tensor::{Data, Tensor};

/// Name how windows are cut and front ends computed in the fingerprint: another way gives other rows.
const WINDOWS: &str = "1: the last one ends with the sound; 30 s, where any length will do";
const FRONT_END: u32 = 1;

/// Samples a second of most models of sounds.
const SAMPLE_RATE: u32 = 16_000;

/// Seconds of a piece, where nobody says how long a window is: a longer sound goes through the model in several.
const LONGEST_PIECE: f64 = 30.0;

/// Seconds of a sound that goes whole through a model that cuts its windows itself.
const LONGEST_WHOLE: f64 = 600.0;

/// Seconds of a made-up sound, where nobody says how long a window is.
const PROBE: f64 = 1.0;

/// Samples a window may have.
const MOST_SAMPLES: f64 = 16e6;

/// How a sound becomes the input of a backbone. Enters the fingerprint as a whole.
///
/// Steps: decoding; the mean of all channels; the rate of the model, by a windowed sinc; windows, of which each goes
/// through the model, and whose rows become one by [`statistics`](Self::statistics).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AudioRecipe {
    /// Samples a second that the model takes. Default: 16,000.
    pub sample_rate: u32,
    /// Seconds of a window. Default: what the model takes; where it takes any length, a sound goes through whole, up to
    /// 30 seconds at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<f64>,
    /// Seconds from the begin of a window to that of the next. Default: those of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<f64>,
    /// What a sound shorter than a window is filled up with.
    pub short: Filling,
    /// What becomes of the rows of several windows.
    pub statistics: Statistics,
    /// The number that stands for full scale: 1, or 32,768 for a model that was trained on 16-bit integers.
    pub full_scale: f32,
    /// What is computed of a window first, for a model that takes no waveform. Default: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front_end: Option<FrontEnd>,
    /// Whether the model cuts windows itself, as an exported one does.
    #[serde(skip_serializing_if = "is_false")]
    pub whole: bool,
}

/// What a sound shorter than a window is filled up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filling {
    /// Silence behind it.
    #[default]
    Zeros,
    /// The sound itself, again and again.
    Repeat,
}

/// What becomes of the rows of several windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistics {
    /// Their mean.
    #[default]
    Mean,
    /// Their mean, and behind it their standard deviation: a row twice as long.
    MeanStd,
}

/// What of a recipe is to be otherwise than in another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AudioOptions {
    /// Samples a second that the model takes.
    pub sample_rate: Option<u32>,
    /// Seconds of a window.
    pub window: Option<f64>,
    /// Seconds from the begin of a window to that of the next.
    pub hop: Option<f64>,
    /// What a sound shorter than a window is filled up with.
    pub short: Option<Filling>,
    /// What becomes of the rows of several windows.
    pub statistics: Option<Statistics>,
    /// The number that stands for full scale.
    pub full_scale: Option<f32>,
    /// What is computed of a window first.
    pub front_end: Option<FrontEnd>,
}

impl Default for AudioRecipe {
    fn default() -> Self {
        Self {
            sample_rate: SAMPLE_RATE,
            window: None,
            hop: None,
            short: Filling::default(),
            statistics: Statistics::default(),
            full_scale: 1.0,
            front_end: None,
            whole: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl AudioRecipe {
    /// Name of the tensor that a sound becomes.
    pub const TENSOR: &str = "waveform";

    /// The recipe but for some options.
    #[must_use]
    pub fn with(self, options: &AudioOptions) -> Self {
        Self {
            sample_rate: options.sample_rate.unwrap_or(self.sample_rate),
            window: options.window.or(self.window),
            hop: options.hop.or(self.hop),
            short: options.short.unwrap_or(self.short),
            statistics: options.statistics.unwrap_or(self.statistics),
            full_scale: options.full_scale.unwrap_or(self.full_scale),
            front_end: options.front_end.clone().or(self.front_end),
            whole: self.whole,
        }
    }

    /// The recipe of a model that takes so many samples, and no other number.
    #[must_use]
    pub fn of_samples(self, n: usize) -> Self {
        Self { window: Some(n as f64 / f64::from(self.sample_rate)), ..self }
    }

    /// The recipe of the same model where it cuts windows itself: sounds go through whole.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { sample_rate: self.sample_rate, full_scale: self.full_scale, whole: true, ..Self::default() }
    }

    /// Checks that its numbers can be followed.
    ///
    /// # Errors
    /// [`RecipeError::Audio`].
    pub fn check(&self) -> Result<(), RecipeError> {
        let bad = |what: &'static str, value: f64| Err(RecipeError::Audio { what, value });
        if !RATES.contains(&self.sample_rate) {
            return bad("sample-rate, in Hz", f64::from(self.sample_rate));
        }
        if !(self.full_scale.is_finite() && self.full_scale > 0.0) {
            return bad("full-scale", f64::from(self.full_scale));
        }
        for (what, seconds) in [("window, in seconds", self.window), ("hop, in seconds", self.hop)] {
            let Some(seconds) = seconds else { continue };
            let n = seconds * f64::from(self.sample_rate);
            if !(n.is_finite() && (1.0..=MOST_SAMPLES).contains(&n)) {
                return bad(what, seconds);
            }
        }
        if let (Some(hop), true) = (self.hop, self.n_hop() > self.n_window()) {
            return bad("hop, in seconds, of longer steps than windows", hop);
        }
        self.front_end.as_ref().map_or(Ok(()), |it| it.check(self.sample_rate, self.n_window()))
    }

    /// Samples of a window: as many as a piece of a sound has at most.
    #[must_use]
    pub fn n_window(&self) -> usize {
        self.longest().0
    }

    /// Samples from the begin of a window to that of the next.
    #[must_use]
    pub fn n_hop(&self) -> usize {
        self.hop.map_or(self.n_window(), |it| self.samples(it))
    }

    /// Whether every piece has as many samples as a window.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.longest().1
    }

    /// Most samples of a piece, and whether shorter ones are filled up to them.
    fn longest(&self) -> (usize, bool) {
        if self.whole {
            return (self.samples(LONGEST_WHOLE), false);
        }
        let front_end = self.front_end.as_ref();
        match (self.window.or_else(|| front_end?.seconds()), front_end.and_then(|it| it.longest())) {
            (Some(seconds), _) => (self.samples(seconds), true),
            (None, Some(samples)) => (samples, false),
            (None, None) => (self.samples(LONGEST_PIECE), false),
        }
    }

    fn samples(&self, seconds: f64) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: 1 to 16 million"
        )]
        let n = (seconds * f64::from(self.sample_rate)).round() as usize;
        n.max(1)
    }

    /// Samples as a tensor, at the model's scale.
    pub(crate) fn tensor(&self, mut samples: Vec<f32>) -> Tensor {
        #[expect(clippy::float_cmp, reason = "1 is exact, and the usual case")]
        if self.full_scale != 1.0 {
            samples.iter_mut().for_each(|it| *it *= self.full_scale);
        }
        Tensor::new(Self::TENSOR, vec![samples.len()], Data::F32(samples))
    }

    /// A made-up sound of a window; the same every time.
    pub(crate) fn probe(&self, probe: usize) -> Vec<f32> {
        self.made_up(probe, self.n_probe())
    }

    /// A made-up sound as a model takes it that cuts its windows itself: from a part of a window to four of them.
    #[must_use]
    pub fn probe_of_windows(&self, probe: usize) -> Tensor {
        let window = self.n_probe();
        self.tensor(self.made_up(probe, (window * (1 + 7 * probe % 16)).div_ceil(4)))
    }

    fn n_probe(&self) -> usize {
        match self.longest() {
            (n, true) => n,
            (n, false) => n.min(self.samples(PROBE)),
        }
    }

    /// Tones that come and go in noise, another mixture every time.
    fn made_up(&self, probe: usize, n: usize) -> Vec<f32> {
        let rate = f64::from(self.sample_rate);
        let sample = |at: usize| {
            let t = at as f64 / rate;
            let tone = |it: usize| {
                let pitch = 110.0 * (1.0 + ((probe * 5 + it * 7) % 23) as f64);
                let swell = (t * (1.0 + ((probe + it) % 5) as f64)).sin().powi(2);
                0.1 * swell * (pitch * t * std::f64::consts::TAU).sin()
            };
            let hash = ((probe << 32 | at) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let noise = f64::from(hash.to_be_bytes()[0]) / 255.0 - 0.5;
            #[expect(clippy::cast_possible_truncation, reason = "within ±1")]
            let sample = ((0..4).map(tone).sum::<f64>() + 0.05 * noise) as f32;
            sample
        };
        (0..n).map(sample).collect()
    }

    pub(crate) fn identity(&self) -> Map<String, Value> {
        let mut identity = Map::new();
        identity.insert("preprocess".to_owned(), json!(self));
        identity.insert("decoder".to_owned(), json!(DECODER));
        identity.insert("resampler".to_owned(), json!(RESAMPLER));
        identity.insert("windows".to_owned(), json!(WINDOWS));
        if let Some(front_end) = &self.front_end {
            // What a name stands for, and the graph that computes it.
            identity.insert("front_end".to_owned(), json!({"graph": FRONT_END, "log-mel": front_end.mel()}));
        }
        identity
    }
}

impl FromStr for Filling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("zeros", Self::Zeros), ("repeat", Self::Repeat)])
    }
}

impl FromStr for Statistics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &[("mean", Self::Mean), ("mean-std", Self::MeanStd)])
    }
}

/// How sounds are fed, in one line.
impl fmt::Display for AudioRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz mono, ±{}", self.sample_rate, self.full_scale)?;
        let seconds = self.n_window() as f64 / f64::from(self.sample_rate);
        match self.is_filled() {
            _ if self.whole => f.write_str(", whole")?,
            false => write!(f, ", whole or {seconds} s at a time")?,
            true => {
                write!(f, ", windows of {seconds} s")?;
                if let Some(hop) = self.hop {
                    write!(f, " every {hop} s")?;
                }
                match self.short {
                    Filling::Zeros => f.write_str(", shorter ones filled up with silence")?,
                    Filling::Repeat => f.write_str(", shorter ones repeated")?,
                }
            }
        }
        match &self.front_end {
            None => {}
            Some(FrontEnd::Named(named)) => write!(f, ", as {named} prepares them")?,
            Some(FrontEnd::LogMel(mel)) => write!(f, ", {} log-mel bins", mel.n_mels)?,
        }
        match self.statistics {
            _ if self.whole => Ok(()),
            Statistics::Mean => f.write_str(", their mean"),
            Statistics::MeanStd => f.write_str(", their mean and deviation"),
        }
    }
}
