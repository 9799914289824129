//! How long each stage of a run takes.

use std::collections::BTreeMap;
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
    /// Threads that read. One writes.
    pub n_readers: u32,
    /// Threads that decode and preprocess; with none, those that run the model do.
    pub n_decoders: u32,
    /// Threads that run the model.
    pub n_sessions: u32,
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

    /// Seconds in each stage, by its name.
    #[must_use]
    pub fn seconds(&self) -> BTreeMap<&'static str, f64> {
        self.named().map(|(name, time)| (name, time.as_secs_f64())).into()
    }

    /// The stage that the others wait for: the longest one of those whose threads were busiest. Seconds of
    /// one thread and of sixteen do not compare.
    #[must_use]
    pub fn bottleneck(&self) -> &'static str {
        let [read, decode, preprocess, infer, write] = self.named();
        let mut groups = vec![(vec![read], self.n_readers), (vec![write], 1)];
        if self.n_decoders > 0 {
            groups.extend([(vec![decode, preprocess], self.n_decoders), (vec![infer], self.n_sessions)]);
        } else {
            groups.push((vec![decode, preprocess, infer], self.n_sessions));
        }
        let busy = |(stages, n_threads): &(Vec<(&str, Duration)>, u32)| {
            stages.iter().map(|it| it.1).sum::<Duration>() / (*n_threads).max(1)
        };
        let busiest = groups.into_iter().max_by_key(busy);
        busiest.and_then(|it| it.0.into_iter().max_by_key(|it| it.1)).map_or("", |it| it.0)
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
    pub(crate) fn times(&self, n_readers: usize, n_decoders: usize, n_sessions: usize) -> StageTimes {
        let n_threads = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        StageTimes {
            n_readers: n_threads(n_readers),
            n_decoders: n_threads(n_decoders),
            n_sessions: n_threads(n_sessions),
            read: self.read.total(),
            decode: self.decode.total(),
            preprocess: self.preprocess.total(),
            infer: self.infer.total(),
            write: self.write.total(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_where_threads_are_busy_not_where_they_are_many() {
        let seconds = Duration::from_secs;
        // Two cores that decode and run: what takes them longest.
        let times = StageTimes {
            read: seconds(10),
            decode: seconds(90),
            preprocess: seconds(40),
            infer: seconds(100),
            write: seconds(2),
            n_readers: 8,
            n_decoders: 0,
            n_sessions: 2,
        };
        assert_eq!(times.bottleneck(), "infer");
        assert_eq!(StageTimes { decode: seconds(101), ..times }.bottleneck(), "decode");
        // A GPU, and threads that decode for it.
        let times = StageTimes { n_readers: 64, n_decoders: 16, n_sessions: 1, infer: seconds(12), ..times };
        assert_eq!(times.bottleneck(), "infer");
        assert_eq!(StageTimes { n_decoders: 8, ..times }.bottleneck(), "decode");
        assert_eq!(StageTimes { write: seconds(13), ..times }.bottleneck(), "write");
        // A disk that lets sixty-four wait.
        assert_eq!(StageTimes { read: seconds(800), ..times }.bottleneck(), "read");
    }
}
