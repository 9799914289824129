//! The commands: arguments, what they do, what they print.

pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod extract;
pub(crate) mod fit_head;
pub(crate) mod models;
pub(crate) mod predict;
mod quantize;
pub(crate) mod setup;
pub(crate) mod table;
pub(crate) mod train;

use headstart::store::Failure;

use crate::report;

/// Tells the first failures one by one.
fn say_first<'a>(failures: impl IntoIterator<Item = &'a Failure>) {
    for failure in failures.into_iter().take(5) {
        report::say(format!("  {failure}"));
    }
}
