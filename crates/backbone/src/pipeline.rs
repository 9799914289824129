//! Files to rows: read, decode and preprocess in parallel, run in batches, deliver in one thread.
//!
//! ```text
//! paths ─next index→ decode workers ─bounded queue→ batcher ─→ sessions ─bounded queue→ deliver (caller's thread)
//! ```
//! Both queues are bounded, so memory depends on workers and batch size, not on the number of files.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use headstart_store::{Digest, FileStat};

use crate::decode::{DecodeLimits, decode};
use crate::device::Device;
use crate::error::{BackboneError, ImageError};
use crate::image_model::{ImageModel, cause, run_session};
use crate::preprocess::Preprocess;
use crate::resize::resize_and_crop;
use crate::runtime::Session;
use crate::stages::{Clock, StageTimes};
use crate::stat::read_file;

/// How much runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineConfig {
    /// Threads that read, decode and preprocess.
    pub n_workers: usize,
    /// Images a session runs at once.
    pub batch_size: usize,
    /// Whether a batch that is not full is filled up with black images: a GPU prepares itself anew for every
    /// size.
    pub pad_batches: bool,
    /// What one image may cost.
    pub limits: DecodeLimits,
}

impl Default for PipelineConfig {
    /// As many workers as cores, batches for a CPU, [`DecodeLimits::default`].
    fn default() -> Self {
        let n_workers = std::thread::available_parallelism().map_or(1, usize::from);
        let batch_size = Device::Cpu.batch_size();
        Self { n_workers, batch_size, pad_batches: false, limits: DecodeLimits::default() }
    }
}

/// What became of one file.
#[derive(Debug)]
pub enum Outcome {
    /// It has a row now.
    Embedded(Digest, FileStat),
    /// Its digest was claimed before: the row exists, or is being made.
    Known(Digest, FileStat),
    /// It has none.
    Failed(Option<Digest>, ImageError),
}

/// What the pipeline delivers, in no particular order.
pub struct Delivery<'a> {
    /// Index into the paths, and what became of it; embedded ones in the order of `rows`.
    pub outcomes: Vec<(usize, Outcome)>,
    /// `(n_embedded, width)`, row-major.
    pub rows: &'a [f32],
}

struct Decoded {
    index: usize,
    digest: Digest,
    stat: FileStat,
    pixels: Vec<u8>,
}

enum Event {
    /// Images and their rows, `(n_images, width)`.
    Batch(Vec<Decoded>, Vec<f32>),
    Outcome(usize, Outcome),
    Fatal(BackboneError),
}

/// Runs files through a model.
///
/// `is_known` says of a digest whether its row exists already; such files are read but not decoded.
/// Files of equal content are run once. `deliver` is called in the caller's thread; an error of it
/// stops the run.
///
/// # Errors
/// [`BackboneError::Session`] when the runtime fails on every image, and whatever `deliver` returns. A
/// file that cannot be embedded is an [`Outcome`], not an error.
///
/// # Panics
/// When `deliver` does.
pub fn run_files<P: AsRef<Path> + Sync>(
    model: &mut ImageModel,
    paths: &[P],
    config: &PipelineConfig,
    is_known: &(dyn Fn(&Digest) -> bool + Sync),
    deliver: &mut dyn FnMut(Delivery<'_>) -> Result<(), BackboneError>,
) -> Result<StageTimes, BackboneError> {
    // More than there are files would only cost memory.
    let batch_size = model.max_batch(config.batch_size).min(paths.len().max(1));
    let n_workers = config.n_workers.clamp(1, paths.len().max(1));
    let width = model.width;
    let ImageModel { sessions, preprocess, .. } = model;
    let n_sessions = sessions.len();
    let preprocess = &*preprocess;
    let clock = &Clock::default();
    let next = &AtomicUsize::new(0);
    let stop = &AtomicBool::new(false);
    let claimed = &Mutex::new(HashSet::new());
    let (decoded_in, decoded_out) = bounded::<Decoded>(batch_size * n_sessions + n_workers);
    let (event_in, event_out) = bounded::<Event>(2 * n_sessions + n_workers);
    // Every receiver lives in what it receives for: one that panics closes its queue, and nobody waits.
    let decoded_out = Arc::new(Mutex::new(decoded_out));

    std::thread::scope(move |scope| {
        let event_out = event_out;
        let n_threads = n_workers + n_sessions;
        // Those that were started end with their queues.
        let give_up = |_: &BackboneError| stop.store(true, Ordering::Relaxed);
        for _ in 0..n_workers {
            let (decoded_in, event_in) = (decoded_in.clone(), event_in.clone());
            let worker =
                Worker { next, stop, claimed, clock, paths, preprocess, limits: &config.limits, is_known };
            start(scope, n_threads, move || worker.run(&decoded_in, &event_in)).inspect_err(give_up)?;
        }
        for session in sessions.iter_mut() {
            let (decoded, events) = (Arc::clone(&decoded_out), event_in.clone());
            let pad = config.pad_batches;
            let runner = BatchRunner { session, preprocess, batch_size, pad, width, clock };
            start(scope, n_threads, move || runner.run(&decoded, &events)).inspect_err(give_up)?;
        }
        // Only the threads hold the other ends now: the queues end when the threads do.
        drop((decoded_in, decoded_out, event_in));

        let mut result = Ok(());
        for event in &event_out {
            if result.is_err() {
                continue; // Drain, so that no thread waits for a place in the queue.
            }
            result = clock.write.time(|| deliver_event(event, width, deliver));
            if result.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        result.map(|()| clock.times(n_workers, n_sessions))
    })
}

/// Starts one of `n` threads of a scope; one that the system refuses is an error and no panic.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    n: usize,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, BackboneError> {
    Builder::new().spawn_scoped(scope, work).map_err(|source| BackboneError::Threads { n, source })
}

fn deliver_event(
    event: Event,
    width: usize,
    deliver: &mut dyn FnMut(Delivery<'_>) -> Result<(), BackboneError>,
) -> Result<(), BackboneError> {
    match event {
        Event::Fatal(err) => Err(err),
        Event::Outcome(index, outcome) => deliver(Delivery { outcomes: vec![(index, outcome)], rows: &[] }),
        Event::Batch(batch, mut rows) => {
            let mut outcomes = Vec::with_capacity(batch.len());
            let mut keep = 0;
            for (row, it) in batch.into_iter().enumerate() {
                let start = row * width;
                // A number is checked before it leaves: NaN in a store would spoil every fit.
                let outcome = match rows[start..start + width].iter().position(|it| !it.is_finite()) {
                    Some(feature) => Outcome::Failed(Some(it.digest), ImageError::NonFinite { feature }),
                    None => {
                        rows.copy_within(start..start + width, keep * width);
                        keep += 1;
                        Outcome::Embedded(it.digest, it.stat)
                    }
                };
                outcomes.push((it.index, outcome));
            }
            deliver(Delivery { outcomes, rows: &rows[..keep * width] })
        }
    }
}

/// One decode thread's view of the run.
struct Worker<'a, P> {
    next: &'a AtomicUsize,
    stop: &'a AtomicBool,
    claimed: &'a Mutex<HashSet<Digest>>,
    clock: &'a Clock,
    paths: &'a [P],
    preprocess: &'a Preprocess,
    limits: &'a DecodeLimits,
    is_known: &'a (dyn Fn(&Digest) -> bool + Sync),
}

impl<P: AsRef<Path>> Worker<'_, P> {
    fn run(&self, decoded: &Sender<Decoded>, events: &Sender<Event>) {
        while !self.stop.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = self.paths.get(index) else {
                return;
            };
            // A send fails only when the other side is gone: the run is over.
            let sent = match self.load(index, path.as_ref()) {
                Ok(Ok(image)) => decoded.send(image).is_ok(),
                Ok(Err(outcome)) => events.send(Event::Outcome(index, outcome)).is_ok(),
                Err((digest, err)) => {
                    events.send(Event::Outcome(index, Outcome::Failed(digest, err))).is_ok()
                }
            };
            if !sent {
                return;
            }
        }
    }

    fn load(
        &self,
        index: usize,
        path: &Path,
    ) -> Result<Result<Decoded, Outcome>, (Option<Digest>, ImageError)> {
        let (bytes, stat) =
            self.clock.read.time(|| read_file(path, self.limits)).map_err(|err| (None, err))?;
        let digest = self.clock.read.time(|| Digest::of(&bytes));
        let is_new = || self.claimed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest);
        if (self.is_known)(&digest) || !is_new() {
            return Ok(Err(Outcome::Known(digest, stat)));
        }
        let failed = |err| (Some(digest), err);
        let image =
            self.clock.decode.time(|| decode(&bytes, self.preprocess, self.limits)).map_err(failed)?;
        let pixels =
            self.clock.preprocess.time(|| resize_and_crop(&image, self.preprocess)).map_err(failed)?;
        Ok(Ok(Decoded { index, digest, stat, pixels }))
    }
}

/// One session's view of the run.
struct BatchRunner<'a> {
    session: &'a mut Session,
    preprocess: &'a Preprocess,
    batch_size: usize,
    pad: bool,
    width: usize,
    clock: &'a Clock,
}

impl BatchRunner<'_> {
    fn run(mut self, decoded: &Mutex<Receiver<Decoded>>, events: &Sender<Event>) {
        loop {
            // One session at a time fills its batch, so that batches are full and not shared out.
            let batch: Vec<Decoded> = {
                let decoded = decoded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                decoded.iter().take(self.batch_size).collect()
            };
            if batch.is_empty() {
                return;
            }
            let mut pixels = batch.iter().map(|it| it.pixels.as_slice()).collect::<Vec<_>>().concat();
            if self.pad {
                pixels.resize(self.batch_size * self.preprocess.n_bytes(), 0);
            }
            let sent = match self.infer(&pixels, batch.len()) {
                Ok(rows) => events.send(Event::Batch(batch, rows)).is_ok(),
                Err(_) => self.one_by_one(batch, events),
            };
            if !sent {
                return;
            }
        }
    }

    /// Runs the images of a batch that failed each by itself; whether anybody still listens.
    fn one_by_one(&mut self, batch: Vec<Decoded>, events: &Sender<Event>) -> bool {
        for image in batch {
            let event = match self.infer(&image.pixels, 1) {
                Ok(rows) => Event::Batch(vec![image], rows),
                // A black image fails too: it is not the image, it is the runtime or the device.
                Err(err) if self.infer(&vec![0; image.pixels.len()], 1).is_err() => Event::Fatal(err),
                Err(err) => {
                    let failed = Outcome::Failed(Some(image.digest), ImageError::Run(cause(&err)));
                    Event::Outcome(image.index, failed)
                }
            };
            let is_fatal = matches!(event, Event::Fatal(_));
            if events.send(event).is_err() || is_fatal {
                return false;
            }
        }
        true
    }

    /// Rows of preprocessed images, `(n_images, width)`.
    fn infer(&mut self, pixels: &[u8], n_images: usize) -> Result<Vec<f32>, BackboneError> {
        let mut rows = Vec::with_capacity(n_images * self.width);
        let run = || run_session(self.session, self.preprocess, pixels, &mut rows);
        let width = self.clock.infer.time(run)?;
        // Those behind them fill the batch.
        rows.truncate(n_images * width);
        if width != self.width {
            let shape = vec![n_images as i64, width as i64];
            return Err(BackboneError::Output { n_images, shape });
        }
        Ok(rows)
    }
}
