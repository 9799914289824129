//! How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use headstart::Rate;
use headstart::backbone::Progress;
use headstart::head::FoldFitted;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report;

/// Seconds between two lines where stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of an extraction.
pub(crate) struct ExtractProgress {
    pub(crate) bar: ProgressBar,
    rate: Rate,
    last_line: Instant,
    is_terminal: bool,
}

impl ExtractProgress {
    /// Begins to show.
    pub(crate) fn new() -> Self {
        let is_terminal = stderr().is_terminal();
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}").expect("a constant template"),
        );
        let now = Instant::now();
        Self { bar, rate: Rate::new(now), last_line: now, is_terminal }
    }

    /// Shows a new state.
    pub(crate) fn update(&mut self, state: Progress) {
        // The length leaves out what was known beforehand, so that the time left is right on resume.
        let todo = state.n_inputs - state.n_unchanged;
        let now = Instant::now();
        self.rate.update(now, state.n_done);
        let rate = self.rate.per_second();
        let failed = if state.n_failed == 0 { String::new() } else { format!(", {} failed", state.n_failed) };
        let message = format!("inputs, {rate:.0}/s{failed}{}", left(todo - state.n_done, rate));
        if !self.is_terminal && now - self.last_line > LINE_INTERVAL {
            self.last_line = now;
            report::say(format!("{}/{todo} {message}", state.n_done));
        }
        self.bar.set_length(todo as u64);
        self.bar.set_position(state.n_done as u64);
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Shows how far the choice of alpha is: how many it takes is known at its end.
pub(crate) struct FoldProgress {
    pub(crate) bar: ProgressBar,
    alphas: Vec<f64>,
    last_line: Instant,
    is_terminal: bool,
}

impl FoldProgress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a constant template"));
        Self { bar, alphas: Vec::new(), last_line: Instant::now(), is_terminal: stderr().is_terminal() }
    }

    /// Shows that a fold is fitted; of several labels a fold comes again for each.
    pub(crate) fn update(&mut self, fitted: FoldFitted) {
        let FoldFitted { alpha, fold, n_folds } = fitted;
        if self.alphas.last() != Some(&alpha) {
            self.alphas.push(alpha);
        }
        let message = format!(
            "choosing alpha: fold {} of {n_folds} at {} (alpha number {})",
            fold + 1,
            report::short_number(alpha),
            self.alphas.len()
        );
        let now = Instant::now();
        if !self.is_terminal && now - self.last_line > LINE_INTERVAL {
            self.last_line = now;
            report::say(&message);
        }
        self.bar.set_message(message);
        self.bar.tick();
    }

    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// `, 75 s left`; nothing while nobody knows.
fn left(n_inputs: usize, rate: f64) -> String {
    let seconds = n_inputs as f64 / rate;
    if seconds.is_finite() { format!(", {} left", duration(seconds)) } else { String::new() }
}

/// `75 s`, `12 min`, `3 h 20 min`.
fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    match seconds {
        it if it < 100.0 => format!("{it:.0} s"),
        it if it < 6000.0 => format!("{minutes:.0} min"),
        _ => format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!([left(10, 2.0), left(10, 0.0), left(0, 0.0)], [", 5 s left", "", ""]);
        assert_eq!([9.6, 99.0, 600.0, 12_000.0].map(duration), ["10 s", "99 s", "10 min", "3 h 20 min"]);
    }
}
