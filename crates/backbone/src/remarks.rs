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
}

/// Remarks that threads share.
#[derive(Default)]
pub(crate) struct Remarking(Mutex<Remarks>);

impl Remarking {
    pub(crate) fn add(&self, remark: Option<Remark>) {
        let Some(remark) = remark else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match remark {
            Remark::Cut(n_tokens) => {
                all.n_cut += 1;
                all.longest = all.longest.max(n_tokens);
            }
        }
    }

    pub(crate) fn all(&self) -> Remarks {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
