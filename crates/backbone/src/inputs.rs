//! Sources to tensors: read ahead, told apart by content, decoded, prepared. The first stages of the pipeline.

use std::borrow::Cow;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use headstart_input::{Limits, Pieces, Recipe, Tensor};
use headstart_store::{Digest, FileStat};

use crate::claims::{Claim, Claims, Fate, Origin};
use crate::remarks::Remarking;
use crate::row::{ItemError, Known, Source};
use crate::stages::Clock;
use crate::stat::{digest_file, expect_unchanged, look_at, read_file};

/// Longest sound that is read whole before it is decoded, in bytes: a longer one is decoded as it is read.
const READ_WHOLE: u64 = 32 << 20;

/// An input as it was read.
pub(crate) struct Encoded<'a> {
    origin: Origin,
    held: Held<'a>,
}

/// The bytes of an input, or where they are.
enum Held<'a> {
    Bytes(Cow<'a, [u8]>),
    /// A file, and what it looked like when its digest was taken.
    File(File, FileStat),
}

/// The tensors of a piece of an input.
pub(crate) struct Prepared {
    pub(crate) origin: Origin,
    pub(crate) piece: Piece,
    pub(crate) tensors: Vec<Tensor>,
}

/// Which piece of an input something is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its number, from 0.
    pub(crate) number: u32,
    pub(crate) is_last: bool,
}

/// What became of an input that is not run.
pub(crate) enum Told {
    /// Its bytes could not be read.
    Unread(usize, ItemError),
    /// It could not be prepared.
    Failed(Origin, ItemError),
    /// What became of its content is known.
    Settled(Origin, Fate),
}

/// The inputs of a run; threads share it.
pub(crate) struct Inputs<'a> {
    sources: &'a [Source<'a>],
    recipe: &'a Recipe,
    limits: &'a Limits,
    clock: &'a Clock,
    pub(crate) claims: Claims<'a>,
    pub(crate) remarks: Remarking,
    next: AtomicUsize,
    room: Room,
    is_over: AtomicBool,
}

impl<'a> Inputs<'a> {
    /// `width` is that of a row, `n_bytes_ahead` how much may wait to be decoded.
    pub(crate) fn new(
        sources: &'a [Source<'a>],
        known: Known<'a>,
        recipe: &'a Recipe,
        limits: &'a Limits,
        width: usize,
        n_bytes_ahead: u64,
        clock: &'a Clock,
    ) -> Self {
        let room = Room { limit: n_bytes_ahead, taken: Mutex::default(), freed: Condvar::new() };
        let claims = Claims::new(known, width);
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let remarks = Remarking::default();
        Self { sources, recipe, limits, clock, claims, remarks, next, room, is_over }
    }

    /// Reads inputs, each once over all threads, until all are read or the run is over, and passes on those
    /// whose content is to be run. Of others it tells what became of them, now or with their original.
    pub(crate) fn read(&self, tell: impl Fn(Told), pass_on: impl Fn(Encoded<'a>)) {
        while !self.is_over.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = self.sources.get(index) else { return };
            let (read, _room) = match *source {
                Source::Bytes(bytes) => (self.take(index, bytes), None),
                Source::File(path) => {
                    let may_stream = self.recipe.reads_files();
                    let limit = if may_stream { u64::MAX } else { self.limits.max_input_bytes };
                    let looked = self.clock.read.time(|| look_at(path, limit));
                    // Not timed: who has the room may wait for a decoder.
                    let n_held = |it: &FileStat| if may_stream { it.size.min(READ_WHOLE) } else { it.size };
                    let room = looked.as_ref().ok().map(|it| self.room.take(n_held(it)));
                    if self.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let read = || {
                        let before = looked?;
                        if may_stream && before.size > READ_WHOLE {
                            let (file, digest, stat) = digest_file(path, before)?;
                            let origin = Origin { index, digest, stat: Some(stat) };
                            return Ok(Encoded { origin, held: Held::File(file, before) });
                        }
                        let (bytes, stat) = read_file(path, before)?;
                        let origin = Origin { index, digest: Digest::of(&bytes), stat: Some(stat) };
                        Ok(Encoded { origin, held: Held::Bytes(Cow::Owned(bytes)) })
                    };
                    (self.clock.read.time(read), room)
                }
            };
            match read {
                Err(err) => tell(Told::Unread(index, err)),
                Ok(input) => match self.claims.claim(input.origin) {
                    Claim::First => pass_on(input),
                    Claim::Waits => {}
                    Claim::Settled(fate) => tell(Told::Settled(input.origin, fate)),
                },
            }
        }
    }

    /// An input that is in memory already.
    fn take(&self, index: usize, bytes: &'a [u8]) -> Result<Encoded<'a>, ItemError> {
        let (n_bytes, limit) = (bytes.len() as u64, self.limits.max_input_bytes);
        if n_bytes > limit {
            return Err(ItemError::TooLong { bytes: n_bytes, limit });
        }
        let digest = self.clock.read.time(|| Digest::of(bytes));
        Ok(Encoded { origin: Origin { index, digest, stat: None }, held: Held::Bytes(Cow::Borrowed(bytes)) })
    }

    /// The pieces of an input. Of one that cannot be prepared it tells why, and gives no last one.
    pub(crate) fn prepare<'s, T: Fn(Told)>(&'s self, input: Encoded<'s>, tell: T) -> Preparing<'s, T> {
        let Encoded { origin, held } = input;
        let (file, decoded) = self.clock.decode.time(|| match held {
            Held::Bytes(bytes) => (None, self.recipe.decode(bytes, self.limits).map_err(ItemError::from)),
            Held::File(file, before) => match file.try_clone() {
                Ok(again) => (Some((again, before)), self.recipe.decode_file(file).map_err(ItemError::from)),
                Err(err) => (None, Err(ItemError::Read(err))),
            },
        });
        let mut preparing =
            Preparing { inputs: self, origin, file, pieces: None, next: None, number: 0, tell };
        match decoded {
            Ok(decoded) => {
                preparing.pieces = Some(self.clock.preprocess.time(|| self.recipe.pieces(decoded)));
                preparing.next = preparing.prepare_next().unwrap_or(None);
            }
            Err(err) => (preparing.tell)(Told::Failed(origin, err)),
        }
        preparing
    }

    /// Ends the run: nothing more is read.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// An input failed, which was told.
struct Failed;

/// An input that is being prepared, a piece ahead: whether a piece is the last one is known when there is no other.
pub(crate) struct Preparing<'s, T> {
    inputs: &'s Inputs<'s>,
    origin: Origin,
    /// The file that it is read from, and what that looked like.
    file: Option<(File, FileStat)>,
    pieces: Option<Pieces<'s>>,
    next: Option<Vec<Tensor>>,
    number: u32,
    tell: T,
}

impl<T: Fn(Told)> Preparing<'_, T> {
    /// The next piece, none behind the last one; of an input that fails it tells why.
    fn prepare_next(&mut self) -> Result<Option<Vec<Tensor>>, Failed> {
        let Some(pieces) = &mut self.pieces else { return Ok(None) };
        let next = self.inputs.clock.decode.time(|| pieces.next());
        let ended = match (next, &self.file) {
            (Some(Ok(tensors)), _) => return Ok(Some(tensors)),
            (Some(Err(err)), _) => Err(ItemError::from(err)),
            (None, Some((file, before))) => expect_unchanged(file, *before),
            (None, None) => Ok(()),
        };
        // What failed is said to have: no more of it is.
        if ended.is_ok() {
            self.inputs.remarks.add(&pieces.remarks());
        }
        self.pieces = None;
        ended.map(|()| None).map_err(|err| {
            (self.tell)(Told::Failed(self.origin, err));
            Failed
        })
    }
}

impl<T: Fn(Told)> Iterator for Preparing<'_, T> {
    type Item = Prepared;

    fn next(&mut self) -> Option<Prepared> {
        let tensors = self.next.take()?;
        // What comes before a failure is not the last piece of anything, and need not be run.
        self.next = self.prepare_next().ok()?;
        let piece = Piece { number: self.number, is_last: self.next.is_none() };
        self.number += 1;
        Some(Prepared { origin: self.origin, piece, tensors })
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
            .map(|byte| {
                let path = folder.path().join(byte.to_string());
                std::fs::write(&path, vec![byte; if byte % 10 == 0 { 900 } else { 100 }])
                    .expect("it is written");
                path
            })
            .collect();
        let sources: Vec<Source<'_>> = paths.iter().map(Source::from).collect();
        let (recipe, limits, clock) = (Recipe::default(), Limits::default(), Clock::default());
        let inputs = Inputs::new(&sources, Known::Nothing, &recipe, &limits, 1, 250, &clock);
        let n_bytes = |it: &Encoded<'_>| match &it.held {
            Held::Bytes(bytes) => bytes.len(),
            Held::File(..) => panic!("a picture is read whole"),
        };
        let held = Mutex::new((0, Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    inputs.read(
                        |_| panic!("every file is new"),
                        |file| {
                            let change = |n: usize, begins: bool| {
                                let mut held = held.lock().expect("nobody panics");
                                held.0 = if begins { held.0 + n } else { held.0 - n };
                                let now = held.0;
                                held.1.push(now);
                            };
                            change(n_bytes(&file), true);
                            std::thread::sleep(std::time::Duration::from_millis(5));
                            change(n_bytes(&file), false);
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
