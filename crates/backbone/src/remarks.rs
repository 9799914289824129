//! What was done to the inputs of a run that its user should know.

use std::sync::{Mutex, PoisonError};

use headstart_input::{Filling, Recipe, Remark};
use serde::Serialize;

/// What was done to the inputs of a run that its user should know; of those that were prepared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// Texts that had more tokens than they may, and were cut.
    pub n_cut: usize,
    /// Tokens of the longest of those.
    pub longest: usize,
    /// Sounds that had fewer samples a second than the model takes.
    pub n_upsampled: usize,
    /// Samples a second of the one with the fewest; 0 where there is none.
    pub lowest_rate: u32,
    /// Sounds that are shorter than a window, and were filled up.
    pub n_short: usize,
    /// Sounds that are silent.
    pub n_silent: usize,
    /// Sounds of which parts did not decode, and were left out.
    pub n_damaged: usize,
}

impl Remarks {
    /// What there is to say of them, a line each; `recipe` is what the inputs were prepared by.
    #[must_use]
    pub fn in_words(&self, recipe: &Recipe) -> Vec<String> {
        let of = |n: usize, one: &str, several: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {several}"),
        };
        let mut lines = Vec::new();
        if let (n @ 1.., Recipe::Text(text)) = (self.n_cut, recipe) {
            let (texts, most) = (of(n, "text has", "texts have"), text.n_tokens());
            let longest = if n == 1 { "it has" } else { "the longest has" };
            let cut = if n == 1 { "was" } else { "were" };
            lines.push(format!(
                "warning: {texts} more than {most} tokens and {cut} cut ({longest} {}); max-tokens sets how many",
                self.longest
            ));
        }
        let Recipe::Audio(audio) = recipe else { return lines };
        if self.n_damaged > 0 {
            let sounds = of(self.n_damaged, "sound", "sounds");
            lines.push(format!(
                "warning: parts of {sounds} did not decode, or end too early; they are left out"
            ));
        }
        if self.n_upsampled > 0 {
            let sounds = of(self.n_upsampled, "sound has", "sounds have");
            let (lowest, rate) = (self.lowest_rate, audio.sample_rate);
            lines.push(format!(
                "warning: {sounds} a lower rate than the model's {rate} Hz (down to {lowest} Hz): what is above half of that is not there"
            ));
        }
        if self.n_short > 0 {
            let sounds = of(self.n_short, "sound is", "sounds are");
            let with = if audio.short == Filling::Zeros { "filled up with silence" } else { "repeated" };
            let window = audio.n_window() as f64 / f64::from(audio.sample_rate);
            lines.push(format!("{sounds} shorter than a window of {window} s, and {with}"));
        }
        if self.n_silent > 0 {
            lines.push(format!("warning: {} silent", of(self.n_silent, "sound is", "sounds are")));
        }
        lines
    }
}

/// Remarks that threads share.
#[derive(Default)]
pub(crate) struct Remarking(Mutex<Remarks>);

impl Remarking {
    pub(crate) fn add(&self, remarks: &[Remark]) {
        if remarks.is_empty() {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for remark in remarks {
            match *remark {
                Remark::Cut(n_tokens) => {
                    all.n_cut += 1;
                    all.longest = all.longest.max(n_tokens);
                }
                Remark::Upsampled(rate) => {
                    all.lowest_rate = if all.n_upsampled == 0 { rate } else { all.lowest_rate.min(rate) };
                    all.n_upsampled += 1;
                }
                Remark::Short => all.n_short += 1,
                Remark::Silent => all.n_silent += 1,
                Remark::Damaged => all.n_damaged += 1,
            }
        }
    }

    pub(crate) fn all(&self) -> Remarks {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
