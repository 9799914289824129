//! What was done to the inputs of a run that its user should know.

use std::sync::{Mutex, PoisonError};

use headstart_input::Remark;
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
