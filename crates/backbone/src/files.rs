//! Files to pixels: read ahead, told apart by content, decoded, resized. The first stages of the pipeline.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use headstart_store::{Digest, FileStat};

use crate::decode::{DecodeLimits, decode};
use crate::pipeline::Outcome;
use crate::preprocess::Preprocess;
use crate::resize::resize_and_crop;
use crate::stages::Clock;
use crate::stat::{look_at, read_file};

/// Which file of a run something is of.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    /// Of its path.
    pub(crate) index: usize,
    pub(crate) digest: Digest,
    pub(crate) stat: FileStat,
}

/// A file as it was read.
pub(crate) struct Encoded {
    origin: Origin,
    bytes: Vec<u8>,
}

/// The preprocessed pixels of a file.
pub(crate) struct Decoded {
    pub(crate) origin: Origin,
    pub(crate) pixels: Vec<u8>,
}

/// The files of a run; threads share it.
pub(crate) struct Files<'a, P> {
    paths: &'a [P],
    is_known: &'a (dyn Fn(&Digest) -> bool + Sync),
    preprocess: &'a Preprocess,
    limits: &'a DecodeLimits,
    clock: &'a Clock,
    next: AtomicUsize,
    claimed: Mutex<HashSet<Digest>>,
    room: Room,
    is_over: AtomicBool,
}

impl<'a, P: AsRef<Path>> Files<'a, P> {
    /// `n_bytes_ahead` is how much may wait to be decoded.
    pub(crate) fn new(
        paths: &'a [P],
        is_known: &'a (dyn Fn(&Digest) -> bool + Sync),
        preprocess: &'a Preprocess,
        limits: &'a DecodeLimits,
        n_bytes_ahead: u64,
        clock: &'a Clock,
    ) -> Self {
        let room = Room { limit: n_bytes_ahead, taken: Mutex::default(), freed: Condvar::new() };
        let (next, claimed, is_over) = (AtomicUsize::new(0), Mutex::default(), AtomicBool::new(false));
        Self { paths, is_known, preprocess, limits, clock, next, claimed, room, is_over }
    }

    /// Reads files, each once over all threads, until all are read or the run is over, and passes on those
    /// whose content has no row yet. Of others it tells what became of them.
    pub(crate) fn read(&self, tell: impl Fn(usize, Outcome), pass_on: impl Fn(Encoded)) {
        while !self.is_over.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = self.paths.get(index).map(AsRef::as_ref) else { return };
            let looked = self.clock.read.time(|| look_at(path, self.limits));
            // Not timed: who has the room may wait for a decoder.
            let _room = looked.as_ref().map(|it| self.room.take(it.size));
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let read = self.clock.read.time(|| {
                let (bytes, stat) = read_file(path, looked?)?;
                Ok(Encoded { origin: Origin { index, digest: Digest::of(&bytes), stat }, bytes })
            });
            match read {
                Ok(file) if self.is_new(&file.origin.digest) => pass_on(file),
                Ok(file) => tell(index, Outcome::Known(file.origin.digest, file.origin.stat)),
                Err(err) => tell(index, Outcome::Failed(None, err)),
            }
        }
    }

    /// The pixels of a file. Of one that has none it tells why.
    pub(crate) fn decode(&self, file: Encoded, tell: impl Fn(usize, Outcome)) -> Option<Decoded> {
        let Encoded { origin, bytes } = file;
        let image = self.clock.decode.time(|| decode(&bytes, self.preprocess, self.limits));
        let pixels =
            image.and_then(|it| self.clock.preprocess.time(|| resize_and_crop(&it, self.preprocess)));
        let failed = |err| tell(origin.index, Outcome::Failed(Some(origin.digest), err));
        pixels.map_err(failed).ok().map(|pixels| Decoded { origin, pixels })
    }

    /// Ends the run: no further file is read.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether no row of this content exists, or is being made.
    fn is_new(&self, digest: &Digest) -> bool {
        let claim = || self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(*digest);
        !(self.is_known)(digest) && claim()
    }
}

/// Memory that threads share. One who wants more than there is has all of it.
struct Room {
    limit: u64,
    taken: Mutex<u64>,
    freed: Condvar,
}

impl Room {
    fn take(&self, n_bytes: u64) -> Taken<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut u64| *taken > 0 && *taken + n_bytes > self.limit;
        *self.freed.wait_while(taken, is_full).unwrap_or_else(PoisonError::into_inner) += n_bytes;
        Taken { room: self, n_bytes }
    }
}

/// Memory of a [`Room`] in use, given back when dropped: by a thread that panics, too.
struct Taken<'a> {
    room: &'a Room,
    n_bytes: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.room.taken.lock().unwrap_or_else(PoisonError::into_inner) -= self.n_bytes;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_the_room_and_a_file_larger_than_it_goes_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        // A file of each byte: no two are equal.
        let paths: Vec<_> = (1..=40_u8)
            .map(|it| {
                let path = folder.path().join(it.to_string());
                std::fs::write(&path, vec![it; if it % 10 == 0 { 900 } else { 100 }]).expect("it is written");
                path
            })
            .collect();
        let (preprocess, limits, clock) = (Preprocess::imagenet(), DecodeLimits::default(), Clock::default());
        let files = Files::new(&paths, &|_| false, &preprocess, &limits, 250, &clock);
        let held = Mutex::new((0, Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    files.read(
                        |_, _| panic!("every file is new"),
                        |file| {
                            let change = |n: usize, begins: bool| {
                                let mut held = held.lock().expect("nobody panics");
                                held.0 = if begins { held.0 + n } else { held.0 - n };
                                let now = held.0;
                                held.1.push(now);
                            };
                            change(file.bytes.len(), true);
                            std::thread::sleep(std::time::Duration::from_millis(5));
                            change(file.bytes.len(), false);
                        },
                    );
                });
            }
        });
        let (left, held) = held.into_inner().expect("nobody panics");
        assert_eq!((left, held.len()), (0, 2 * paths.len()));
        assert_eq!(held.iter().filter(|it| **it > 200).collect::<Vec<_>>(), [&900; 4]);
        assert!(held.contains(&200), "small ones wait together");
    }
}
