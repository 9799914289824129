//! A loaded model that takes uint8 images and gives one row of numbers each.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use headstart_onnx::{OnnxModel, is_quantized};
use rayon::prelude::*;

use crate::device::{Device, Precision};
use crate::error::BackboneError;
use crate::model::{CutModel, model_error};
use crate::pipeline;
use crate::preprocess::Preprocess;
use crate::runtime::{Runtime, Session, SessionConfig};

/// Largest difference between a row computed alone and in a batch, relative to the row's largest value,
/// that counts as the same: the order of float sums may change with the batch, nothing else.
const BATCH_TOLERANCE: f32 = 1e-3;

/// Most memory that the weights of all sessions of a model may take together.
const WEIGHTS_LIMIT: u64 = 4 << 30;

/// How long the model is measured alone.
const ROOF_TIME: Duration = Duration::from_millis(100);

/// Most pixels that a batch of that has.
const ROOF_BYTES: usize = 64 << 20;

/// A loaded model: uint8 images in, one row of `width` numbers out.
pub struct ImageModel {
    pub(crate) sessions: Vec<Session>,
    /// Threads of all sessions together.
    pub(crate) n_threads: usize,
    pub(crate) preprocess: Preprocess,
    pub(crate) width: usize,
    pub(crate) one_by_one: Option<String>,
}

impl ImageModel {
    /// Loads a model exported by headstart: its metadata says how images become its input. `name` is what
    /// errors call it, `n_threads` as for [`Backbone::load`](crate::Backbone::load).
    ///
    /// # Errors
    /// [`BackboneError::Shape`] when the file was not exported by headstart; as
    /// [`Backbone::load`](crate::Backbone::load) otherwise.
    pub fn load_exported(
        runtime: &Runtime,
        name: &str,
        graph: &OnnxModel,
        config: &SessionConfig,
        n_threads: usize,
    ) -> Result<Self, BackboneError> {
        let preprocess = graph.metadata(PREPROCESS_KEY).and_then(|it| serde_json::from_str(it).ok());
        let preprocess: Preprocess = preprocess.ok_or_else(|| BackboneError::Shape {
            model: name.to_owned(),
            expected: "a model exported by headstart, with its preprocessing in the metadata".to_owned(),
            actual: format!("no readable `{PREPROCESS_KEY}`"),
        })?;
        preprocess.check()?;
        Self::load(runtime, name, graph, preprocess, None, config, n_threads)
    }

    pub(crate) fn load(
        runtime: &Runtime,
        name: &str,
        graph: &OnnxModel,
        preprocess: Preprocess,
        one_by_one: Option<String>,
        config: &SessionConfig,
        n_threads: usize,
    ) -> Result<Self, BackboneError> {
        check_precision(name, graph, config)?;
        let bytes = graph.to_bytes().map_err(|err| model_error(name, err))?;
        let folder = graph.external_data_folder();
        let threads = threads_of_sessions(config.device, n_threads, n_weight_bytes(name, graph, &bytes)?);
        // OpenVINO takes a third of a second for each, on one thread.
        let load = |intra_threads: &usize| Session::load(runtime, &bytes, folder, config, *intra_threads);
        let sessions = threads.par_iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let n_threads = threads.iter().sum();
        let mut model = Self { sessions, n_threads, preprocess, width: 0, one_by_one };
        model.probe(name)?;
        Ok(model)
    }

    /// Rank of the output as the runtime infers it; 0 when it cannot.
    pub(crate) fn output_rank(&self) -> usize {
        self.sessions[0].output.shape.len()
    }

    /// Columns of the output.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How images become the input.
    #[must_use]
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Why images are run one by one, if they are.
    #[must_use]
    pub fn one_by_one(&self) -> Option<&str> {
        self.one_by_one.as_deref()
    }

    /// Largest batch that may be run at once.
    #[must_use]
    pub fn max_batch(&self, asked: usize) -> usize {
        if self.one_by_one.is_some() { 1 } else { asked.max(1) }
    }

    /// Runs preprocessed images on the first session.
    ///
    /// # Shapes
    /// - `pixels`: `(n, height, width, channels)`, uint8, row-major, as [`Preprocess::apply`] makes them.
    /// - returns `(n, width)`, row-major.
    ///
    /// # Errors
    /// [`BackboneError::Session`] when the runtime fails, [`BackboneError::Output`] when its output has
    /// not one row an image.
    pub fn run(&mut self, pixels: &[u8]) -> Result<Vec<f32>, BackboneError> {
        let batch = self.max_batch(32) * self.preprocess.n_bytes();
        let mut out = Vec::new();
        for chunk in pixels.chunks(batch) {
            run_session(&mut self.sessions[0], &self.preprocess, chunk, &mut out)?;
        }
        Ok(out)
    }

    /// Images per second of the model alone: all sessions at once, on batches that need no decoding, for
    /// a tenth of a second.
    ///
    /// # Errors
    /// [`BackboneError::Session`] when the runtime fails, [`BackboneError::Threads`] when no thread can be
    /// started.
    ///
    /// # Panics
    /// Never: the threads that measure do not.
    pub fn images_per_second(&mut self, batch_size: usize) -> Result<f64, BackboneError> {
        // No more than a run would hold anyway.
        let batch_size = self.max_batch(batch_size).min((ROOF_BYTES / self.preprocess.n_bytes()).max(1));
        let Self { sessions, preprocess, .. } = self;
        let (preprocess, pixels) = (&*preprocess, &vec![127; batch_size * preprocess.n_bytes()]);
        let run = |session: &mut Session| run_session(session, preprocess, pixels, &mut Vec::new());
        // The first run of a size prepares itself.
        sessions.iter_mut().try_for_each(|it| run(it).map(drop))?;
        let start = Instant::now();
        let measure = &|session: &mut Session| {
            let mut n_images = 0;
            while start.elapsed() < ROOF_TIME {
                run(session)?;
                n_images += batch_size;
            }
            Ok(n_images)
        };
        let n = sessions.len();
        let n_images = std::thread::scope(|scope| {
            let threads = sessions.iter_mut().map(|it| pipeline::start(scope, n, move || measure(it)));
            let threads = threads.collect::<Result<Vec<_>, _>>()?;
            let counts = threads.into_iter().map(|it| it.join().expect("it does not panic"));
            counts.sum::<Result<usize, BackboneError>>()
        })?;
        Ok(n_images as f64 / start.elapsed().as_secs_f64())
    }

    /// Finds the width by a run, and whether rows depend on their batch.
    fn probe(&mut self, name: &str) -> Result<(), BackboneError> {
        let n_bytes = self.preprocess.n_bytes();
        // Two different pictures: a ramp and a hash of the position, neither all black nor all white.
        let ramp = (0..n_bytes).map(|it| (it * 255 / n_bytes).to_le_bytes()[0]);
        let noise =
            (0..n_bytes as u64).map(|it| (it.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]);
        let (ramp, noise): (Vec<u8>, Vec<u8>) = (ramp.collect(), noise.collect());
        let preprocess = self.preprocess.clone();
        let session = &mut self.sessions[0];
        let mut alone = Vec::new();
        self.width = run_session(session, &preprocess, &ramp, &mut alone)?;
        if self.width == 0 {
            return Err(BackboneError::Shape {
                model: name.to_owned(),
                expected: "one row of numbers an image".to_owned(),
                actual: "an empty output".to_owned(),
            });
        }
        if self.one_by_one.is_some() {
            return Ok(());
        }
        run_session(session, &preprocess, &noise, &mut alone)?;
        let mut together = Vec::new();
        let both = [ramp, noise].concat();
        if let Err(err) = run_session(session, &preprocess, &both, &mut together) {
            self.one_by_one = Some(format!("it does not take two images at once ({})", cause(&err)));
            return Ok(());
        }
        let largest = alone.iter().fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
        let differs = |(a, b): (&f32, &f32)| (a - b).abs() > BATCH_TOLERANCE * largest;
        if alone.len() != together.len() || alone.iter().zip(&together).any(differs) {
            self.one_by_one = Some("its rows depend on the batch they are computed in".to_owned());
        }
        Ok(())
    }
}

/// Threads of each session: one, since runs are independent and threads in one wait for each other, unless
/// the weights, which every session holds for itself, would take too much memory.
fn threads_of_sessions(device: Device, n_threads: usize, n_weight_bytes: u64) -> Vec<usize> {
    if let Device::Cuda(_) = device {
        return vec![1];
    }
    let n_threads = n_threads.max(1);
    let fit = usize::try_from(WEIGHTS_LIMIT / n_weight_bytes.max(1)).unwrap_or(usize::MAX);
    let n_sessions = fit.clamp(1, n_threads);
    (0..n_sessions).map(|it| (n_threads + it) / n_sessions).collect()
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

/// Key of the preprocessing, as JSON, in the metadata of an exported model.
pub const PREPROCESS_KEY: &str = "headstart.preprocess";

/// What the runtime said, where an error carries it.
pub(crate) fn cause(err: &BackboneError) -> String {
    std::error::Error::source(err).map_or(err.to_string(), ToString::to_string)
}

pub(crate) fn run_session(
    session: &mut Session,
    preprocess: &Preprocess,
    pixels: &[u8],
    out: &mut Vec<f32>,
) -> Result<usize, BackboneError> {
    session.run(images_shape(preprocess, pixels), pixels, out)
}

/// `(n_images, height, width, channels)` of preprocessed images.
pub(crate) fn images_shape(preprocess: &Preprocess, pixels: &[u8]) -> [usize; 4] {
    let [height, width] = preprocess.size.map(|it| it as usize);
    [pixels.len() / preprocess.n_bytes(), height, width, preprocess.n_channels()]
}

/// Loads a cut model; pools the tap when it turns out to have positions.
pub(crate) fn load_cut(
    runtime: &Runtime,
    model: CutModel,
    config: &SessionConfig,
    n_threads: usize,
) -> Result<(CutModel, ImageModel), BackboneError> {
    let model = if config.precision == Precision::F16 { model.to_f16()? } else { model };
    let load = |model: &CutModel| {
        let (preprocess, one_by_one) = (model.preprocess.clone(), model.one_by_one.clone());
        ImageModel::load(runtime, &model.id, &model.graph, preprocess, one_by_one, config, n_threads)
    };
    let loaded = load(&model)?;
    match model.pooled_by_rank(loaded.output_rank())? {
        Some(pooled) => {
            drop(loaded);
            let loaded = load(&pooled)?;
            Ok((pooled, loaded))
        }
        None => Ok((model, loaded)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_thread_unless_so_many_weights_do_not_fit() {
        let (mobilenet, vit_base, vit_giant) = (14 << 20, 343 << 20, 5 << 30);
        let cpu = |n_threads, n_bytes| threads_of_sessions(Device::Cpu, n_threads, n_bytes);
        assert_eq!(cpu(0, mobilenet), [1]);
        assert_eq!(cpu(1, vit_giant), [1]);
        assert_eq!(cpu(64, mobilenet), [1; 64]);
        assert_eq!(cpu(8, vit_base), [1; 8]);
        // Eleven fit, and no thread is idle.
        assert_eq!(cpu(64, vit_base), [5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6]);
        assert_eq!(threads_of_sessions(Device::OpenVino, 2, mobilenet), [1, 1]);
        assert_eq!(threads_of_sessions(Device::OpenVino, 64, vit_giant), [64]);
        assert_eq!(threads_of_sessions(Device::Cuda(1), 64, mobilenet), [1]);
    }
}
