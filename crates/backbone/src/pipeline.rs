//! Sources to rows: read ahead, decode, prepare and run in batches in parallel, deliver in one thread.
//!
//! ```text
//! sources ─next index→ readers ─→ [decoders ─bounded queue→] sessions ─bounded queue→ each (caller's thread)
//! ```
//! Every queue is bounded, so memory depends on threads and batch size, not on the number of inputs. Texts are of
//! different lengths: a session picks batches of similar length from those it has ready, so that many short ones do
//! not pay for one long one. A sound goes through in pieces, each as soon as it is decoded; their rows become one where
//! they are delivered.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use headstart_input::{Limits, Recipe, Tensor};

use crate::claims::{Fate, Origin};
use crate::error::BackboneError;
use crate::inputs::{Encoded, Inputs, Piece, Prepared, Told};
use crate::merge::{Merging, statistics};
use crate::remarks::Remarks;
use crate::row::{ItemError, Known, Row, Source};
use crate::runner::{Runner, cause, stack};
use crate::runtime::Session;
use crate::stages::{Clock, StageTimes};
use crate::threads::start;

/// Readers for every thread that decodes: while it works on one file, the next ones are on their way from
/// the disk or the network. They wait more than they work.
const READERS: usize = 2;

/// Most bytes of files that wait for every thread that decodes, where it is not a single file.
const BYTES_AHEAD: u64 = 32 << 20;

/// How much runs at once; what is not said is settled by the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunConfig {
    /// Inputs a session runs at once.
    pub batch_size: Option<usize>,
    /// Threads that decode and prepare beside those of the sessions, for a session that leaves the cores
    /// alone. With none, the thread of each session decodes what it runs, as long as it is its only one.
    pub n_decoders: Option<usize>,
    /// Whether a batch that is not full is filled up with neutral inputs: a GPU prepares itself anew for
    /// every size.
    pub pad_batches: Option<bool>,
    /// What one input may cost.
    pub limits: Limits,
}

/// Inputs of different lengths that a session looks through for those of similar length.
pub(crate) const WINDOW: usize = 1024;

/// Steps of the inputs in a window, beyond which it is full.
const STEPS_A_WINDOW: usize = 1 << 18;

/// Steps of all inputs of a batch together, what fills it up among them: more of them make a session no faster.
const STEPS_A_BATCH: usize = 2048;

/// What a run was like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    /// Time spent in each stage.
    pub stages: StageTimes,
    /// What was done to its inputs.
    pub remarks: Remarks,
}

/// Takes the row of an input, or why it has none, by the input's index.
pub type Each<'a, E> = dyn FnMut(usize, Result<Row<'_>, &ItemError>) -> Result<(), E> + 'a;

enum Event {
    /// Pieces of inputs and their rows, `(n_pieces, width)`.
    Batch(Vec<(Origin, Piece)>, Vec<f32>),
    Told(Told),
    Fatal(BackboneError),
}

/// Runs inputs through a model, and delivers every one of them once, in no particular order.
///
/// Inputs of equal content are run once and share their row, or the reason that there is none. `each` is
/// called in the caller's thread; an error of it stops the run.
///
/// # Errors
/// [`BackboneError::Session`] when the runtime fails on every input, and whatever `each` returns. An input
/// that cannot be embedded is an [`ItemError`] for `each`, not an error of the run.
///
/// # Panics
/// When `each` or the function of [`Known::Rows`] does.
///
/// # Determinism
/// Rows do not depend on the order of inputs, on threads or on copies; on the batch only as far as the
/// runtime's float sums do.
pub fn run<E: From<BackboneError>>(
    runner: &mut Runner,
    sources: &[Source<'_>],
    known: Known<'_>,
    config: &RunConfig,
    each: &mut Each<'_, E>,
) -> Result<Ran, E> {
    let shape = runner.shape(sources.len(), config);
    let row_width = runner.width();
    let (sessions, recipe, width) = (&mut runner.sessions, &runner.recipe, runner.piece_width);
    let n_sessions = sessions.len();
    let n_decoding = if shape.n_decoders > 0 { shape.n_decoders } else { n_sessions };
    let n_readers = (READERS * n_decoding).min(sources.len());
    let n_threads = n_readers + shape.n_decoders + n_sessions;
    let clock = &Clock::default();
    let n_bytes_ahead = BYTES_AHEAD * n_decoding as u64;
    let inputs = &Inputs::new(sources, known, recipe, &config.limits, row_width, n_bytes_ahead, clock);
    // Every reader waits with one file in its hands.
    let (encoded_in, encoded_out) = bounded::<Encoded<'_>>(0);
    let (prepared_in, prepared_out) = bounded::<Prepared>(shape.batch_size * n_sessions + shape.n_decoders);
    let (event_in, event_out) = bounded::<Event>(4 * n_sessions);

    std::thread::scope(move |scope| {
        // Those that were started end with their queues.
        let give_up = |_: &BackboneError| inputs.stop();
        for _ in 0..n_readers {
            let (encoded, events) = (encoded_in.clone(), event_in.clone());
            // Where nobody receives, the run is over.
            let pass_on = move |it| encoded.send(it).unwrap_or_else(|_| inputs.stop());
            let work = move || inputs.read(tell(inputs, &events), pass_on);
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        for _ in 0..shape.n_decoders {
            let (encoded, prepared, events) = (encoded_out.clone(), prepared_in.clone(), event_in.clone());
            let work = move || {
                for input in encoded.iter().flat_map(|it| inputs.prepare(it, tell(inputs, &events))) {
                    if prepared.send(input).is_err() {
                        return;
                    }
                }
            };
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        for session in sessions.iter_mut() {
            let Shape { batch_size, window, pad_batches: pad, n_decoders } = shape;
            let batches = Batches { session, recipe, batch_size, window, pad, width, clock };
            let (encoded, prepared, events) = (encoded_out.clone(), prepared_out.clone(), event_in.clone());
            let work = move || {
                if n_decoders > 0 {
                    batches.run(prepared.iter(), &events)
                } else {
                    let own = encoded.iter().flat_map(|it| inputs.prepare(it, tell(inputs, &events)));
                    batches.run(own, &events)
                }
            };
            start(scope, n_threads, work).inspect_err(give_up)?;
        }
        // Only the threads hold the other ends now: the queues end when the threads do.
        drop((encoded_in, encoded_out, prepared_in, prepared_out, event_in));
        let merging = statistics(recipe).map(Merging::new);
        let mut delivery = Delivery { inputs, width, merging, each };
        deliver_all(&mut delivery, &event_out, clock)?;
        let stages = clock.times(n_readers, shape.n_decoders, n_sessions);
        Ok(Ran { stages, remarks: inputs.remarks.all() })
    })
}

/// The threads of a run, settled for its inputs.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Most inputs of a batch.
    pub(crate) batch_size: usize,
    /// Inputs that batches of similar length are picked from.
    pub(crate) window: usize,
    pub(crate) n_decoders: usize,
    pub(crate) pad_batches: bool,
}

/// Makes what became of an input an event. Where nobody receives it, the run is over.
fn tell(inputs: &Inputs<'_>, events: &Sender<Event>) -> impl Fn(Told) {
    |told| events.send(Event::Told(told)).unwrap_or_else(|_| inputs.stop())
}

fn deliver_all<E: From<BackboneError>>(
    delivery: &mut Delivery<'_, '_, E>,
    events: &Receiver<Event>,
    clock: &Clock,
) -> Result<(), E> {
    let mut result = Ok(());
    for event in events {
        if result.is_err() {
            continue; // Drain, so that no thread waits for a place in the queue.
        }
        result = clock.write.time(|| delivery.deliver(event));
        if result.is_err() {
            delivery.inputs.stop();
        }
    }
    result
}

/// The end of a run where the caller is.
struct Delivery<'a, 'e, E> {
    inputs: &'a Inputs<'a>,
    width: usize,
    /// Where an input may have several pieces.
    merging: Option<Merging>,
    each: &'a mut Each<'e, E>,
}

impl<E: From<BackboneError>> Delivery<'_, '_, E> {
    fn deliver(&mut self, event: Event) -> Result<(), E> {
        match event {
            Event::Fatal(err) => Err(err.into()),
            Event::Told(Told::Unread(index, err)) => (self.each)(index, Err(&err)),
            Event::Told(Told::Settled(origin, fate)) => self.one(origin, &fate),
            Event::Told(Told::Failed(origin, err)) => self.failed(origin, err),
            Event::Batch(pieces, rows) => {
                for ((origin, piece), row) in pieces.into_iter().zip(rows.chunks_exact(self.width)) {
                    // A number is checked before it leaves: NaN in a store would spoil every fit.
                    if let Some(feature) = row.iter().position(|it| !it.is_finite()) {
                        self.failed(origin, ItemError::NonFinite { feature })?;
                        continue;
                    }
                    let row: Option<Arc<[f32]>> = match &mut self.merging {
                        None => Some(row.into()),
                        Some(merging) => merging.add(origin.index, piece, row).map(Into::into),
                    };
                    row.map_or(Ok(()), |it| self.settle(origin, Fate::Row(Some(it))))?;
                }
                Ok(())
            }
        }
    }

    /// Delivers an input that failed, once.
    fn failed(&mut self, origin: Origin, err: ItemError) -> Result<(), E> {
        if self.merging.as_mut().is_none_or(|it| it.fail(origin.index)) {
            self.settle(origin, Fate::Failed(Arc::new(err)))
        } else {
            Ok(())
        }
    }

    /// Delivers an input that was run, and those that waited for it.
    fn settle(&mut self, origin: Origin, fate: Fate) -> Result<(), E> {
        let (waiting, of_copies) = self.inputs.claims.settle(origin.digest, &fate);
        self.one(origin, &fate)?;
        waiting.into_iter().try_for_each(|it| self.one(it, &of_copies))
    }

    fn one(&mut self, origin: Origin, fate: &Fate) -> Result<(), E> {
        let Origin { index, digest, stat } = origin;
        match fate {
            Fate::Row(values) => (self.each)(index, Ok(Row { digest, stat, values: values.as_deref() })),
            Fate::Failed(err) => (self.each)(index, Err(err)),
        }
    }
}

/// One session's part of the run.
struct Batches<'a> {
    session: &'a mut Session,
    recipe: &'a Recipe,
    batch_size: usize,
    window: usize,
    pad: bool,
    width: usize,
    clock: &'a Clock,
}

impl Batches<'_> {
    fn run(mut self, mut inputs: impl Iterator<Item = Prepared>, events: &Sender<Event>) {
        loop {
            let (mut window, mut n_steps) = (Vec::<Prepared>::new(), 0);
            while window.len() < self.window && n_steps < STEPS_A_WINDOW {
                let Some(next) = inputs.next() else { break };
                n_steps += self.recipe.length(&next.tensors);
                window.push(next);
            }
            if window.is_empty() {
                return;
            }
            window.sort_by_key(|it| self.recipe.length(&it.tensors));
            let mut window = window.into_iter().peekable();
            while window.peek().is_some() {
                let (mut pieces, mut tensors) = (Vec::new(), Vec::<Vec<Tensor>>::new());
                while let Some(next) = window.next_if(|it| self.fits(&tensors, &it.tensors)) {
                    pieces.push((next.origin, next.piece));
                    tensors.push(next.tensors);
                }
                let sent = match self.infer(&tensors) {
                    Ok(rows) => events.send(Event::Batch(pieces, rows)).is_ok(),
                    Err(_) => self.one_by_one(pieces, tensors, events),
                };
                if !sent {
                    return;
                }
            }
        }
    }

    /// Whether an input may be one more of a batch.
    fn fits(&self, batch: &[Vec<Tensor>], next: &[Tensor]) -> bool {
        let Some(last) = batch.last() else { return true };
        let (length, n) = (self.recipe.length(next), batch.len());
        let is_alike =
            self.recipe.pads() || last.iter().map(|it| &it.shape).eq(next.iter().map(|it| &it.shape));
        n < self.batch_size && (n + 1) * length <= STEPS_A_BATCH.max(length) && is_alike
    }

    /// Runs the pieces of a batch that failed each by itself; whether anybody still listens.
    fn one_by_one(
        &mut self,
        pieces: Vec<(Origin, Piece)>,
        tensors: Vec<Vec<Tensor>>,
        events: &Sender<Event>,
    ) -> bool {
        for ((origin, piece), tensors) in pieces.into_iter().zip(tensors) {
            let event = match self.infer(&[tensors]) {
                Ok(rows) => Event::Batch(vec![(origin, piece)], rows),
                // An input that says nothing fails too: it is not the input, it is the runtime or the device.
                Err(err) if self.infer(&[self.recipe.neutral()]).is_err() => Event::Fatal(err),
                Err(err) => Event::Told(Told::Failed(origin, ItemError::Run(cause(&err)))),
            };
            let is_fatal = matches!(event, Event::Fatal(_));
            if events.send(event).is_err() || is_fatal {
                return false;
            }
        }
        true
    }

    /// Rows of prepared inputs, `(n_inputs, width)`.
    fn infer(&mut self, inputs: &[Vec<Tensor>]) -> Result<Vec<f32>, BackboneError> {
        let n_inputs = inputs.len();
        let n = if self.pad { self.batch_size.max(n_inputs) } else { n_inputs };
        let neutral = if n > n_inputs { self.recipe.neutral() } else { Vec::new() };
        let filled: Vec<&[Tensor]> = (0..n).map(|it| inputs.get(it).unwrap_or(&neutral).as_slice()).collect();
        let batch = stack(self.recipe, &filled)?;
        let mut rows = Vec::with_capacity(n * self.width);
        let width = self.clock.infer.time(|| self.session.run_rows(n, &batch, &mut rows))?;
        // Those behind them fill the batch.
        rows.truncate(n_inputs * width);
        if width != self.width {
            return Err(BackboneError::Output { n_inputs, shape: vec![n_inputs as i64, width as i64] });
        }
        Ok(rows)
    }
}
