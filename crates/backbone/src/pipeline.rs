//! Files to rows: read ahead, decode, preprocess and run in batches in parallel, deliver in one thread.
//!
//! ```text
//! paths ─next index→ readers ─→ [decoders ─bounded queue→] sessions ─bounded queue→ deliver (caller's thread)
//! ```
//! Every queue is bounded, so memory depends on threads and batch size, not on the number of files.

use std::path::Path;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crossbeam_channel::{Sender, bounded};
use headstart_store::{Digest, FileStat};

use crate::decode::DecodeLimits;
use crate::device::Device;
use crate::error::{BackboneError, ImageError};
use crate::files::{Decoded, Encoded, Files, Origin};
use crate::image_model::{ImageModel, cause, run_session};
use crate::preprocess::Preprocess;
use crate::runtime::Session;
use crate::stages::{Clock, StageTimes};

/// Readers for every thread that decodes: while it works on one file, the next ones are on their way from
/// the disk or the network. They wait more than they work.
const READERS: usize = 2;

/// Most bytes of files that wait for every thread that decodes, where it is not a single file.
const BYTES_AHEAD: u64 = 32 << 20;

/// How much runs at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineConfig {
    /// Threads that decode and preprocess beside those of the sessions, for a session that leaves the cores
    /// alone. With none, the thread of each session decodes what it runs, as long as it is its only one.
    pub n_decoders: usize,
    /// Images a session runs at once.
    pub batch_size: usize,
    /// Whether a batch that is not full is filled up with black images: a GPU prepares itself anew for every
    /// size.
    pub pad_batches: bool,
    /// What one image may cost.
    pub limits: DecodeLimits,
}

impl Default for PipelineConfig {
    /// For sessions on a CPU: no decoders, batches for its cache, [`DecodeLimits::default`].
    fn default() -> Self {
        let batch_size = Device::Cpu.batch_size();
        Self { n_decoders: 0, batch_size, pad_batches: false, limits: DecodeLimits::default() }
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

enum Event {
    /// Images and their rows, `(n_images, width)`.
    Batch(Vec<Origin>, Vec<f32>),
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
/// When `deliver` or `is_known` does.
pub fn run_files<P: AsRef<Path> + Sync>(
    model: &mut ImageModel,
    paths: &[P],
    config: &PipelineConfig,
    is_known: &(dyn Fn(&Digest) -> bool + Sync),
    deliver: &mut dyn FnMut(Delivery<'_>) -> Result<(), BackboneError>,
) -> Result<StageTimes, BackboneError> {
    let max_batch = model.max_batch(config.batch_size);
    let ImageModel { sessions, n_threads, preprocess, width, .. } = model;
    let (width, n_sessions, preprocess) = (*width, sessions.len(), &*preprocess);
    // While one thread of a session decodes, its others would wait.
    let beside = if *n_threads > n_sessions { *n_threads } else { 0 };
    // More than there are files would only cost memory.
    let n_decoders = config.n_decoders.max(beside).min(paths.len());
    let n_decoding = if n_decoders > 0 { n_decoders } else { n_sessions };
    let n_readers = (READERS * n_decoding).min(paths.len());
    let batch_size = max_batch.min(paths.len().div_ceil(n_sessions)).max(1);
    let n_threads = n_readers + n_decoders + n_sessions;
    let clock = &Clock::default();
    let files =
        &Files::new(paths, is_known, preprocess, &config.limits, BYTES_AHEAD * n_decoding as u64, clock);
    // Every reader waits with one file in its hands.
    let (encoded_in, encoded_out) = bounded::<Encoded>(0);
    let (decoded_in, decoded_out) = bounded::<Decoded>(batch_size * n_sessions + n_decoders);
    let (event_in, event_out) = bounded::<Event>(4 * n_sessions);

    std::thread::scope(move |scope| {
        // Those that were started end with their queues.
        let give_up = |_: &BackboneError| files.stop();
        for _ in 0..n_readers {
            let (encoded, events) = (encoded_in.clone(), event_in.clone());
            // Where nobody receives, the run is over.
            let pass_on = move |it| encoded.send(it).unwrap_or_else(|_| files.stop());
            let work = move || files.read(tell(files, &events), pass_on);
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        for _ in 0..n_decoders {
            let (encoded, decoded, events) = (encoded_out.clone(), decoded_in.clone(), event_in.clone());
            let work = move || {
                for image in encoded.iter().filter_map(|it| files.decode(it, tell(files, &events))) {
                    if decoded.send(image).is_err() {
                        return;
                    }
                }
            };
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        for session in sessions.iter_mut() {
            let pad = config.pad_batches;
            let runner = BatchRunner { session, preprocess, batch_size, pad, width, clock };
            let (encoded, decoded, events) = (encoded_out.clone(), decoded_out.clone(), event_in.clone());
            let work = move || {
                if n_decoders > 0 {
                    runner.run(decoded.iter(), &events)
                } else {
                    runner
                        .run(encoded.iter().filter_map(|it| files.decode(it, tell(files, &events))), &events)
                }
            };
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        // Only the threads hold the other ends now: the queues end when the threads do.
        drop((encoded_in, encoded_out, decoded_in, decoded_out, event_in));

        let mut result = Ok(());
        for event in &event_out {
            if result.is_err() {
                continue; // Drain, so that no thread waits for a place in the queue.
            }
            result = clock.write.time(|| deliver_event(event, width, deliver));
            if result.is_err() {
                files.stop();
            }
        }
        result.map(|()| clock.times(n_readers, n_decoders, n_sessions))
    })
}

/// Makes what became of a file an event. Where nobody receives it, the run is over.
fn tell<P: AsRef<Path>>(files: &Files<'_, P>, events: &Sender<Event>) -> impl Fn(usize, Outcome) {
    |index, outcome| events.send(Event::Outcome(index, outcome)).unwrap_or_else(|_| files.stop())
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
    fn run(mut self, mut images: impl Iterator<Item = Decoded>, events: &Sender<Event>) {
        loop {
            let batch: Vec<Decoded> = images.by_ref().take(self.batch_size).collect();
            if batch.is_empty() {
                return;
            }
            let mut pixels = batch.iter().map(|it| it.pixels.as_slice()).collect::<Vec<_>>().concat();
            if self.pad {
                pixels.resize(self.batch_size * self.preprocess.n_bytes(), 0);
            }
            let sent = match self.infer(&pixels, batch.len()) {
                Ok(rows) => {
                    events.send(Event::Batch(batch.iter().map(|it| it.origin).collect(), rows)).is_ok()
                }
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
                Ok(rows) => Event::Batch(vec![image.origin], rows),
                // A black image fails too: it is not the image, it is the runtime or the device.
                Err(err) if self.infer(&vec![0; image.pixels.len()], 1).is_err() => Event::Fatal(err),
                Err(err) => {
                    let failed = Outcome::Failed(Some(image.origin.digest), ImageError::Run(cause(&err)));
                    Event::Outcome(image.origin.index, failed)
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
