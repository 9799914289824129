//! How fast something goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is measured counts this far back.
const WINDOW: Duration = Duration::from_secs(8);

/// How many inputs a second are done, lately.
///
/// Files that need not be computed go by a hundred times faster, and must not make the rest look near: only
/// the last eight seconds count.
#[derive(Debug, Clone)]
pub struct Rate {
    /// Times and counts, the oldest just outside the window.
    points: VecDeque<(Instant, usize)>,
}

impl Rate {
    /// Begins to count at some time.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { points: VecDeque::from([(now, 0)]) }
    }

    /// Takes note of how many are done at some time.
    pub fn update(&mut self, now: Instant, n_done: usize) {
        self.points.push_back((now, n_done));
        while self.points.get(1).is_some_and(|it| now - it.0 > WINDOW) {
            self.points.pop_front();
        }
    }

    /// How many a second; 0 before anything is done.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else { return 0.0 };
        (last.1 - first.1) as f64 / (last.0 - first.0).as_secs_f64().max(1e-9)
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
}
