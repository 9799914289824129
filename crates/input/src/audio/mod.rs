//! Sounds: encoded bytes to the samples a backbone takes, in windows, as `soundfile` and `torchaudio` make them.

mod decode;
mod format;
mod front_end;
mod recipe;
pub(crate) mod resample;
pub(crate) mod windows;

use std::borrow::Cow;
use std::fs::File;

use crate::error::InputError;
use crate::recipe::Remark;
use crate::tensor::{Data, Tensor};

use decode::Sound;
pub(crate) use format::{EXTENSIONS, MAGIC};
pub use front_end::{
    FrontEnd, MelLog, MelNormalization, MelRecipe, MelScale, MelSpectrum, MelWindow, NamedFrontEnd,
};
pub use recipe::{AudioOptions, AudioRecipe, Filling, Statistics};
use resample::Resampler;
use windows::Windows;

/// Hours that a sound may last: one that never ends is an attack.
const MOST_HOURS: u64 = 48;

/// Loudest sample of what counts as silence: the last bit of 16.
const SILENCE: f32 = 1.0 / 32_768.0;

/// A sound that is being decoded, resampled and cut into windows; memory does not depend on how long it is.
pub(crate) struct Windowing<'a> {
    recipe: AudioRecipe,
    sound: Sound<'a>,
    resampler: Option<Resampler>,
    windows: Windows,
    block: Vec<f32>,
    loudest: f32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Decoding,
    /// All samples have come.
    Decoded,
    /// All windows are given, or there will be none.
    Over,
}

impl AudioRecipe {
    pub(crate) fn decode<'a>(&self, bytes: Cow<'a, [u8]>) -> Result<Windowing<'a>, InputError> {
        Ok(Windowing::new(self, Sound::of_bytes(bytes)?))
    }

    pub(crate) fn decode_file(&self, file: File) -> Result<Windowing<'static>, InputError> {
        Ok(Windowing::new(self, Sound::of_file(file)?))
    }

    /// The windows of samples that are there already, at the model's rate and scale, as tensors.
    pub(crate) fn windows_of(&self, waveform: &Tensor) -> Vec<Tensor> {
        let Data::F32(samples) = &waveform.data else { return Vec::new() };
        let mut windows = self.new_windows();
        windows.held_mut().extend_from_slice(samples);
        let mut found = Vec::new();
        while let Some(window) = windows.whole() {
            found.push(window);
        }
        found.extend(windows.last());
        let tensor = |it: Vec<f32>| Tensor::new(Self::TENSOR, vec![it.len()], Data::F32(it));
        found.into_iter().map(tensor).collect()
    }

    fn new_windows(&self) -> Windows {
        Windows::new(self.n_window(), self.n_hop(), self.is_filled().then_some(self.short))
    }
}

impl<'a> Windowing<'a> {
    fn new(recipe: &AudioRecipe, sound: Sound<'a>) -> Self {
        Self {
            windows: recipe.new_windows(),
            recipe: recipe.clone(),
            sound,
            resampler: None,
            block: Vec::new(),
            loudest: 0.0,
            state: State::Decoding,
        }
    }

    /// What was done to the sound that its user should know; complete behind the last window.
    pub(crate) fn remarks(&self) -> Vec<Remark> {
        let n_samples = self.windows.n_samples();
        let is_short = self.recipe.is_filled() && n_samples < self.recipe.n_window() as u64;
        let rate = self.sound.rate();
        let said = [
            (rate < self.recipe.sample_rate).then_some(Remark::Upsampled(rate)),
            is_short.then_some(Remark::Short),
            (self.loudest < SILENCE).then_some(Remark::Silent),
            self.sound.is_damaged().then_some(Remark::Damaged),
        ];
        said.into_iter().flatten().collect()
    }

    /// Decodes a block; what it gives is held for windows.
    fn decode(&mut self) -> Result<(), InputError> {
        self.block.clear();
        let goes_on = self.sound.read(&mut self.block)?;
        let (from, to) = (self.sound.rate(), self.recipe.sample_rate);
        let held = self.windows.held_mut();
        let is_other = !self.block.is_empty() && from != to;
        if is_other || self.resampler.is_some() {
            self.resampler.get_or_insert_with(|| Resampler::new(from, to)).push(&self.block, held);
        } else {
            held.extend_from_slice(&self.block);
        }
        self.loudest = self.block.iter().fold(self.loudest, |loudest, it| loudest.max(it.abs()));
        if !goes_on {
            if let Some(resampler) = &mut self.resampler {
                resampler.finish(held);
            }
            self.state = State::Decoded;
        }
        let n = self.windows.n_samples();
        let hours = n / u64::from(to) / 3600;
        if hours >= MOST_HOURS {
            return Err(InputError::TooLongSound { limit_seconds: MOST_HOURS * 3600 });
        }
        if self.recipe.whole && n > self.recipe.n_window() as u64 {
            let limit_seconds = self.recipe.n_window() as u64 / u64::from(to);
            return Err(InputError::TooLongSound { limit_seconds });
        }
        Ok(())
    }

    fn next_window(&mut self) -> Result<Option<Vec<f32>>, InputError> {
        loop {
            if let Some(window) = self.windows.whole() {
                return Ok(Some(window));
            }
            match self.state {
                State::Decoding => self.decode()?,
                State::Decoded => {
                    self.state = State::Over;
                    return match self.windows.n_samples() {
                        0 => Err(InputError::NoSamples),
                        _ => Ok(self.windows.last()),
                    };
                }
                State::Over => return Ok(None),
            }
        }
    }
}

/// The windows as tensors, until one does not decode.
impl Iterator for Windowing<'_> {
    type Item = Result<Vec<Tensor>, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let window = self.next_window().inspect_err(|_| self.state = State::Over).transpose()?;
        Some(window.map(|it| vec![self.recipe.tensor(it)]))
    }
}
