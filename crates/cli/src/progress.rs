//! How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use headstart_backbone::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report;

/// Seconds between two lines where stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows the progress of an extraction.
pub(crate) struct ExtractProgress {
    bar: ProgressBar,
    start: Instant,
    last_line: Instant,
    is_terminal: bool,
}

impl ExtractProgress {
    /// Begins to show.
    pub(crate) fn new() -> Self {
        let is_terminal = stderr().is_terminal();
        // Hidden by itself where stderr is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = "{bar:30} {pos}/{len} images, {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("a constant template"));
        Self { bar, start: Instant::now(), last_line: Instant::now(), is_terminal }
    }

    /// Shows a new state.
    pub(crate) fn update(&mut self, state: Progress) {
        let todo = state.n_inputs - state.n_unchanged;
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = state.n_done as f64 / seconds.max(1e-9);
        // The length leaves out what was known beforehand, so that the time left is right on resume.
        self.bar.set_length(todo as u64);
        self.bar.set_position(state.n_done as u64);
        self.bar.set_message(format!("{rate:.0} images/s{}", failed(state.n_failed)));
        if !self.is_terminal && self.last_line.elapsed() > LINE_INTERVAL {
            self.last_line = Instant::now();
            let left = (todo - state.n_done) as f64 / rate.max(1e-9);
            report::say(format!(
                "{}/{todo} images, {rate:.0} images/s{}, {left:.0} s left",
                state.n_done,
                failed(state.n_failed)
            ));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

fn failed(n: usize) -> String {
    if n == 0 { String::new() } else { format!(", {n} failed") }
}
