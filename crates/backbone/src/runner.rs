//! A loaded model that takes what a recipe makes and gives one row of numbers an input.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use headstart_input::{Recipe, Tensor};
use headstart_onnx::{OnnxModel, has_operator, is_quantized};
use rayon::prelude::*;

use crate::cut_model::model_error;
use crate::device::{Device, Precision};
use crate::error::BackboneError;
use crate::merge::row_width;
use crate::pipeline::{RunConfig, Shape, WINDOW};
use crate::runtime::{Runtime, Session, SessionConfig};
use crate::threads;

/// Largest difference between a row computed alone and in a batch, relative to the row's largest value,
/// that counts as the same: the order of float sums may change with the batch, nothing else.
const BATCH_TOLERANCE: f32 = 1e-3;

/// Inputs of different lengths that a session runs at once, where they are short enough.
const TEXTS_A_BATCH: usize = 64;

/// Inputs that a session of a recurrent network runs at once: its steps wait for one another, and the cores with them
/// (measured on GE2E's LSTM: 207 windows/s one by one, 330 by fours, 314 by sixteens).
const STEPS_TOGETHER: usize = 4;

/// How long the model is measured alone.
const ROOF_TIME: Duration = Duration::from_millis(100);

/// Most bytes that a batch of that has.
const ROOF_BYTES: usize = 64 << 20;

/// A loaded model: inputs as a [`Recipe`] makes them, one row of `width` numbers out.
pub struct Runner {
    pub(crate) sessions: Vec<Session>,
    pub(crate) recipe: Recipe,
    /// Columns of the output, which has a row for every piece of an input.
    pub(crate) piece_width: usize,
    one_by_one: Option<String>,
    is_recurrent: bool,
    device: Device,
    /// Threads that were asked for.
    n_workers: usize,
    /// Threads of all sessions together.
    n_threads: usize,
}

impl Runner {
    /// Loads a model that takes what `recipe` makes. `name` is what errors call it, `n_workers` as for
    /// [`Backbone::load`](crate::Backbone::load).
    ///
    /// # Errors
    /// [`BackboneError::Recipe`]; as [`Backbone::load`](crate::Backbone::load) otherwise.
    pub fn load(
        runtime: &Runtime,
        name: &str,
        graph: &OnnxModel,
        recipe: &Recipe,
        config: &SessionConfig,
        n_workers: usize,
    ) -> Result<Self, BackboneError> {
        recipe.check()?;
        Self::load_with(runtime, name, graph, recipe, None, config, n_workers)
    }

    /// As [`load`](Self::load); `one_by_one` says why inputs must be run one by one, if they must.
    pub(crate) fn load_with(
        runtime: &Runtime,
        name: &str,
        graph: &OnnxModel,
        recipe: &Recipe,
        one_by_one: Option<String>,
        config: &SessionConfig,
        n_workers: usize,
    ) -> Result<Self, BackboneError> {
        check_precision(name, graph, config)?;
        let bytes = graph.to_bytes().map_err(|err| model_error(name, err))?;
        let n_weight_bytes = n_weight_bytes(name, graph, &bytes)?;
        let threads = config.device.threads_of_sessions(n_workers, n_weight_bytes);
        // OpenVINO takes a third of a second for each, on one thread.
        let load = |n_threads: &usize| Session::from_bytes(runtime, graph, &bytes, config, *n_threads);
        let sessions = threads.par_iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let is_recurrent = has_operator(graph, &["LSTM", "GRU", "RNN"]);
        let (n_threads, recipe, device) = (threads.iter().sum(), recipe.clone(), config.device);
        let mut runner =
            Self { sessions, recipe, piece_width: 0, one_by_one, is_recurrent, device, n_workers, n_threads };
        if runner.probe(name)? {
            // What failed once may fail in silence from then on.
            runner.sessions[0] = load(&threads[0])?;
        }
        Ok(runner)
    }

    /// Rank of the output as the runtime infers it; 0 when it cannot.
    pub(crate) fn output_rank(&self) -> usize {
        self.sessions[0].outputs().first().map_or(0, |it| it.shape.len())
    }

    /// Length of the row of an input.
    #[must_use]
    pub fn width(&self) -> usize {
        row_width(&self.recipe, self.piece_width)
    }

    /// How an input becomes what the model takes.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Why inputs are run one by one, if they are.
    #[must_use]
    pub fn one_by_one(&self) -> Option<&str> {
        self.one_by_one.as_deref()
    }

    /// Inputs that a session runs at once.
    #[must_use]
    pub fn batch_size(&self, config: &RunConfig) -> usize {
        let default = || {
            let of_device = self.device.policy().batch_size;
            match self.recipe.is_of_one_length() {
                true if self.is_recurrent => of_device.max(STEPS_TOGETHER),
                true => of_device,
                false => of_device.max(TEXTS_A_BATCH),
            }
        };
        let asked = config.batch_size.unwrap_or_else(default);
        if self.one_by_one.is_some() { 1 } else { asked.max(1) }
    }

    /// The threads and batches of a run of `n_inputs`.
    pub(crate) fn shape(&self, n_inputs: usize, config: &RunConfig) -> Shape {
        let policy = self.device.policy();
        let n_sessions = self.sessions.len();
        let of_device = if policy.decodes_beside { self.n_workers.max(1) } else { 0 };
        // While one thread of a session decodes, its others would wait.
        let beside = if self.n_threads > n_sessions { self.n_threads } else { 0 };
        // Of pieces there may be any number; where there are more threads than inputs, one decodes for several.
        let has_pieces = self.recipe.has_pieces();
        let beside = if has_pieces && n_inputs < n_sessions { n_inputs } else { beside };
        let most = if has_pieces { usize::MAX } else { n_inputs.div_ceil(n_sessions) };
        let batch_size = self.batch_size(config).min(most).max(1);
        // No session takes so many that another has none.
        let window = WINDOW.min(n_inputs / (4 * n_sessions)).max(batch_size);
        Shape {
            // More than there are inputs would only cost memory.
            n_decoders: config.n_decoders.unwrap_or(of_device).max(beside).min(n_inputs),
            batch_size,
            window: if self.recipe.is_of_one_length() { batch_size } else { window },
            // Where lengths differ, so do the shapes of batches anyway.
            pad_batches: config.pad_batches.unwrap_or(policy.pads_batches) && self.recipe.is_of_one_length(),
        }
    }

    /// Runs prepared inputs, or pieces of such, on the first session.
    ///
    /// # Shapes
    /// - `inputs`: the tensors of each, as [`Recipe::pieces`] gives them.
    /// - returns a row for each, row-major: of pieces, [`merge_rows`](crate::merge_rows) makes that of an input.
    ///
    /// # Errors
    /// [`BackboneError::Session`] when the runtime fails, [`BackboneError::Output`] when its output has
    /// not one row an input, [`BackboneError::Batch`] for inputs that are not alike.
    pub fn run(&mut self, inputs: &[Vec<Tensor>]) -> Result<Vec<f32>, BackboneError> {
        let n = if self.one_by_one.is_some() { 1 } else { 32 };
        let mut out = Vec::new();
        for inputs in inputs.chunks(n) {
            run_session(&mut self.sessions[0], &self.recipe, inputs, &mut out)?;
        }
        Ok(out)
    }

    /// Inputs per second of the model alone: all sessions at once, on batches that need no decoding, for
    /// a tenth of a second.
    ///
    /// # Errors
    /// [`BackboneError::Session`] when the runtime fails, [`BackboneError::Threads`] when no thread can be
    /// started.
    ///
    /// # Panics
    /// Never: the threads that measure do not.
    pub fn inputs_per_second(&mut self, config: &RunConfig) -> Result<f64, BackboneError> {
        let neutral = self.recipe.neutral();
        let n_bytes: usize = neutral.iter().map(Tensor::n_bytes).sum();
        // No more than a run would hold anyway.
        let n = self.batch_size(config).min((ROOF_BYTES / n_bytes.max(1)).max(1));
        let batch = &stack(&self.recipe, &vec![neutral.as_slice(); n])?;
        let run = |session: &mut Session| session.run_rows(n, batch, &mut Vec::new());
        // The first run of a size prepares itself.
        self.sessions.iter_mut().try_for_each(|it| run(it).map(drop))?;
        let start = Instant::now();
        let measure = &|session: &mut Session| {
            let mut n_inputs = 0;
            while start.elapsed() < ROOF_TIME {
                run(session)?;
                n_inputs += n;
            }
            Ok(n_inputs)
        };
        let n_sessions = self.sessions.len();
        let n_inputs = std::thread::scope(|scope| {
            let sessions = self.sessions.iter_mut();
            let threads = sessions.map(|it| threads::start(scope, n_sessions, move || measure(it)));
            let threads = threads.collect::<Result<Vec<_>, _>>()?;
            let counts = threads.into_iter().map(|it| it.join().expect("it does not panic"));
            counts.sum::<Result<usize, BackboneError>>()
        })?;
        Ok(n_inputs as f64 / start.elapsed().as_secs_f64())
    }

    /// Finds the width by a run, and whether rows depend on their batch. Returns whether the session failed on
    /// the way.
    fn probe(&mut self, name: &str) -> Result<bool, BackboneError> {
        let probes = self.recipe.probes(2);
        let takes_one = self.sessions[0].inputs().iter().any(|it| it.shape.first() == Some(&Some(1)));
        let (session, recipe) = (&mut self.sessions[0], &self.recipe);
        let (mut alone, mut again) = (Vec::new(), Vec::new());
        self.piece_width = run_session(session, recipe, &probes[..1], &mut alone)?;
        if self.piece_width == 0 {
            return Err(BackboneError::Shape {
                model: name.to_owned(),
                expected: "one row of numbers an input".to_owned(),
                actual: "an empty output".to_owned(),
            });
        }
        run_session(session, recipe, &probes[..1], &mut again)?;
        if differ(&alone, &again) {
            return Err(BackboneError::Irreproducible { model: name.to_owned() });
        }
        if self.one_by_one.is_some() {
            return Ok(false);
        }
        if takes_one {
            self.one_by_one = Some("it takes one input at a time".to_owned());
            return Ok(false);
        }
        run_session(session, recipe, &probes[1..], &mut alone)?;
        let mut together = Vec::new();
        if let Err(err) = run_session(session, recipe, &probes, &mut together) {
            self.one_by_one = Some(format!("it does not take two inputs at once ({})", cause(&err)));
            return Ok(true);
        }
        if differ(&alone, &together) {
            self.one_by_one = Some("its rows depend on the batch they are computed in".to_owned());
        }
        Ok(false)
    }
}

/// Whether rows differ by more than float sums in another order do. What is no number is equal to itself.
fn differ(rows: &[f32], others: &[f32]) -> bool {
    let largest = rows.iter().filter(|it| it.is_finite()).fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
    let differs =
        |(a, b): (&f32, &f32)| (a - b).abs() > BATCH_TOLERANCE * largest || a.is_nan() != b.is_nan();
    rows.len() != others.len() || rows.iter().zip(others).any(differs)
}

/// The tensors of several inputs as those of a batch.
pub(crate) fn stack(recipe: &Recipe, inputs: &[&[Tensor]]) -> Result<Vec<Tensor>, BackboneError> {
    recipe.stack(inputs).ok_or(BackboneError::Batch { n_inputs: inputs.len() })
}

/// Runs prepared inputs as one batch, appends their rows to `out` and returns their width.
fn run_session(
    session: &mut Session,
    recipe: &Recipe,
    inputs: &[Vec<Tensor>],
    out: &mut Vec<f32>,
) -> Result<usize, BackboneError> {
    let inputs: Vec<&[Tensor]> = inputs.iter().map(Vec::as_slice).collect();
    session.run_rows(inputs.len(), &stack(recipe, &inputs)?, out)
}

/// Size of a model and of what it keeps in other files.
fn n_weight_bytes(name: &str, graph: &OnnxModel, bytes: &[u8]) -> Result<u64, BackboneError> {
    let files = graph.external_data_files().map_err(|err| model_error(name, err))?;
    let size = |file: &PathBuf| std::fs::metadata(file).map_or(0, |it| it.len());
    Ok(bytes.len() as u64 + files.iter().map(size).sum::<u64>())
}

/// Integers are a matter of the file, and so of nobody's choice: what was asked for must be what it has.
fn check_precision(name: &str, graph: &OnnxModel, config: &SessionConfig) -> Result<(), BackboneError> {
    match (is_quantized(graph), config.precision) {
        (false, Precision::Int8) => Err(BackboneError::NotQuantized { model: name.to_owned() }),
        (true, precision) if precision != Precision::Int8 => {
            Err(BackboneError::Quantized { model: name.to_owned(), precision: precision.to_string() })
        }
        _ => Ok(()),
    }
}

/// What the runtime said, where an error carries it.
pub(crate) fn cause(err: &BackboneError) -> String {
    std::error::Error::source(err).map_or(err.to_string(), ToString::to_string)
}
