//! How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use headstart::backbone::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report;

/// Seconds between two lines where stderr is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What is measured counts this far back: files that need not be computed go by a hundred times faster,
/// and must not make the rest look near.
const WINDOW: Duration = Duration::from_secs(8);

/// Shows the progress of an extraction.
pub(crate) struct ExtractProgress {
    bar: ProgressBar,
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
            ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}").expect("a constant template"),
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
        let message = format!("images, {rate:.0} images/s{failed}{}", left(todo - state.n_done, rate));
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

/// How many a second, over the last [`WINDOW`].
struct Rate {
    /// Times and counts, the oldest just outside the window.
    points: VecDeque<(Instant, usize)>,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { points: VecDeque::from([(now, 0)]) }
    }

    fn update(&mut self, now: Instant, n_done: usize) {
        self.points.push_back((now, n_done));
        while self.points.get(1).is_some_and(|it| now - it.0 > WINDOW) {
            self.points.pop_front();
        }
    }

    fn per_second(&self) -> f64 {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else { return 0.0 };
        (last.1 - first.1) as f64 / (last.0 - first.0).as_secs_f64().max(1e-9)
    }
}

/// `, 75 s left`; nothing while nobody knows.
fn left(n_images: usize, rate: f64) -> String {
    let seconds = n_images as f64 / rate;
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

    /// A run that was cut off at 9,000 of 10,000: they go by at 5,000 a second, the rest at 100.
    #[test]
    fn the_time_left_is_right_on_resume() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let at = |tenths: u32| start + Duration::from_millis(100) * tenths;
        (1..=18).for_each(|it| rate.update(at(it), 500 * it as usize));
        let n_done = |tenths: u32| 9000 + 10 * (tenths as usize - 18);
        (19..=100).for_each(|it| rate.update(at(it), n_done(it)));
        let left = (10_000 - n_done(100)) as f64 / rate.per_second();
        assert!((left - 1.8).abs() < 0.1, "{left} seconds left, but it is 1.8");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([left(10, 2.0), left(10, 0.0), left(0, 0.0)], [", 5 s left", "", ""]);
        assert_eq!([9.6, 99.0, 600.0, 12_000.0].map(duration), ["10 s", "99 s", "10 min", "3 h 20 min"]);
    }
}
