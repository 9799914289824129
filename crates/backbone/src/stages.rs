//! How long each stage of a run takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time spent in each stage, summed over threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Reading files and taking their digests.
    pub read: Duration,
    /// Decoding.
    pub decode: Duration,
    /// Resizing, cropping.
    pub preprocess: Duration,
    /// Running the model.
    pub infer: Duration,
    /// Delivering rows: for extraction, writing them to the store.
    pub write: Duration,
}

impl StageTimes {
    /// The stages in the order they come, with their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Duration); 5] {
        [
            ("read", self.read),
            ("decode", self.decode),
            ("preprocess", self.preprocess),
            ("infer", self.infer),
            ("write", self.write),
        ]
    }

    /// The stage that most time was spent in.
    #[must_use]
    pub fn longest(&self) -> &'static str {
        self.named().into_iter().max_by_key(|it| it.1).map_or("", |it| it.0)
    }
}

/// The clocks of a run; threads share them.
#[derive(Default)]
pub(crate) struct Clock {
    pub(crate) read: Stage,
    pub(crate) decode: Stage,
    pub(crate) preprocess: Stage,
    pub(crate) infer: Stage,
    pub(crate) write: Stage,
}

/// Nanoseconds spent in one stage.
#[derive(Default)]
pub(crate) struct Stage(AtomicU64);

impl Stage {
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(elapsed, Ordering::Relaxed);
        result
    }

    fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Clock {
    pub(crate) fn times(&self) -> StageTimes {
        StageTimes {
            read: self.read.total(),
            decode: self.decode.total(),
            preprocess: self.preprocess.total(),
            infer: self.infer.total(),
            write: self.write.total(),
        }
    }
}
