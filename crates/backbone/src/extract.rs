//! Extraction: the embeddings of a dataset, into a store, each computed once.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use headstart_store::{Digest, Failure, FileStat, Finished, Run, Sample, SampleTable, Store, Writer};
use rayon::prelude::*;

use crate::backbone::Backbone;
use crate::error::BackboneError;
use crate::listing::{Content, Input, Listing};
use crate::pipeline::{Ran, RunConfig, run};
use crate::remarks::Remarks;
use crate::row::{Known, Row, Source};
use crate::stages::StageTimes;

/// Inputs from which on a run measures first what the model alone can do: that takes part of a second.
const ROOF_FROM: usize = 400;

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// Inputs whose embedding was computed now.
    pub n_embedded: usize,
    /// Inputs whose embedding was there, or is shared with an equal file.
    pub n_cached: usize,
    /// Of the cached ones, those that were not even read: same path, size and times as in the last run.
    pub n_unchanged: usize,
    /// Inputs without one.
    pub failures: Vec<Failure>,
    /// Embeddings taken over from runs that were killed.
    pub n_recovered: usize,
    /// Damaged files of the store that were set aside.
    pub set_aside: Vec<PathBuf>,
    /// Shards that the store has of this listing, folder and number of samples of another dataset that it
    /// took the place of, and the list of failures.
    pub finished: Finished,
    /// What was done to inputs that were computed now.
    pub remarks: Remarks,
    /// Time spent in each stage, of all threads together.
    pub stages: StageTimes,
    /// Time from the first file to the last row, without what came before and after.
    pub pipeline_time: Duration,
    /// Inputs per second of the model alone, measured before a run that is long enough for it.
    pub model_inputs_per_second: Option<f64>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Inputs in all.
    pub n_inputs: usize,
    /// Inputs that were known from their path and times alone.
    pub n_unchanged: usize,
    /// Inputs looked at since.
    pub n_done: usize,
    /// Of those, the ones computed now.
    pub n_embedded: usize,
    /// Of those, the ones that failed.
    pub n_failed: usize,
}

/// Embeds what a store does not have yet, and makes the inputs of `listing` its samples.
///
/// A file whose path, size and times are those of an earlier run is not read; one that was renamed or
/// copied is read but not run; only new content is. Inputs that fail are in the report and in the store's
/// list of failures, and not among the samples. Times are trusted only within one root.
///
/// A shard comes from [`Listing::shard`]; all shards together give the store of a single run.
///
/// # Errors
/// [`BackboneError::Store`] when the store cannot be written or belongs to another space;
/// [`BackboneError::Session`] when the runtime fails.
///
/// # Determinism
/// Rows do not depend on the order of files. They depend on the batch they were computed in, and on the
/// threads of a session where it has several, only as far as the runtime's float sums do (see
/// `ARCHITECTURE.md`).
pub fn extract(
    backbone: &mut Backbone,
    listing: Listing,
    store: &Store,
    part: Run,
    config: &RunConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, BackboneError> {
    let Listing { root, inputs, unreadable } = listing;
    let mut writer = store.writer(part)?;
    let mut found = unchanged(&writer, &root, &inputs);
    // What is left to do, and where it is noted that it was found: by one index.
    let n_unchanged = found.iter().flatten().count();
    // As long as they get, no longer: there may be millions.
    let mut places: Vec<Todo<'_>> = Vec::with_capacity(inputs.len() - n_unchanged);
    places.extend(inputs.iter().zip(&mut found).filter(|it| it.1.is_none()).map(Todo::from));
    let files: Vec<Source<'_>> = places.iter().map(|it| Source::from(&it.input.content)).collect();
    let mut state = Progress { n_inputs: inputs.len(), n_unchanged, n_done: 0, n_embedded: 0, n_failed: 0 };
    progress(state);
    let is_long = files.len() >= ROOF_FROM;
    let is_alike = backbone.runner.recipe.is_of_one_length();
    let model_inputs_per_second =
        (is_long && is_alike).then(|| backbone.runner.inputs_per_second(config)).transpose()?;
    // What the store had when the run began; what the run adds, it knows by itself.
    let stored = writer.stored().clone();
    let known = Known::Rows(&|digest| stored.contains(digest));
    let mut failed: Vec<(usize, String)> = Vec::new();
    let start = Instant::now();
    let Ran { mut stages, remarks } =
        run(&mut backbone.runner, &files, known, config, &mut |index, result| {
            state.n_done += 1;
            match result {
                Ok(Row { digest, stat, values }) => {
                    if let Some(values) = values {
                        writer.append(&[digest], values)?;
                        state.n_embedded += 1;
                    }
                    let todo = &mut places[index];
                    // A text has no times to change.
                    *todo.place = stat.or_else(|| todo.input.content.stat()).map(|stat| (digest, stat));
                }
                Err(err) => {
                    failed.push((index, err.to_string()));
                    state.n_failed += 1;
                }
            }
            progress(state);
            Ok::<(), BackboneError>(())
        })?;
    let pipeline_time = start.elapsed();
    failed.sort_unstable();
    let failure =
        |(index, reason): (usize, String)| Failure { path: places[index].input.path.clone(), reason };
    // First what may stand for many: a folder.
    let failures: Vec<Failure> = unreadable.into_iter().chain(failed.into_iter().map(failure)).collect();
    drop(places);
    let recovery = writer.recovery().clone();
    let table = SampleTable { root, samples: samples(inputs, found) };
    let start = Instant::now();
    let finished = writer.finish(&table, &failures)?;
    stages.write += start.elapsed();
    Ok(Report {
        n_embedded: state.n_embedded,
        n_cached: state.n_inputs - state.n_embedded - state.n_failed,
        n_unchanged,
        failures,
        n_recovered: recovery.n_recovered,
        set_aside: recovery.set_aside,
        finished,
        remarks,
        stages,
        pipeline_time,
        model_inputs_per_second,
    })
}

/// An input that is to be looked at.
struct Todo<'a> {
    input: &'a Input,
    /// Where its digest goes.
    place: &'a mut Option<(Digest, FileStat)>,
}

impl<'a> From<(&'a Input, &'a mut Option<(Digest, FileStat)>)> for Todo<'a> {
    fn from((input, place): (&'a Input, &'a mut Option<(Digest, FileStat)>)) -> Self {
        Self { input, place }
    }
}

/// The digests of inputs that look exactly as they did in the last run.
fn unchanged(writer: &Writer, root: &str, inputs: &[Input]) -> Vec<Option<(Digest, FileStat)>> {
    let stats: Vec<Option<FileStat>> = inputs.par_iter().map(|it| it.content.stat()).collect();
    let previous = writer.previous_samples(root);
    let look_up = |(input, stat): (&Input, Option<FileStat>)| {
        let stat = stat?;
        let digest = match &input.content {
            Content::File(_) => {
                previous.get(input.path.as_str()).filter(|sample| sample.stat == stat).map(|it| it.digest)?
            }
            // To know a text by its content costs less than to look for it.
            Content::Text(text) => Digest::of(text.as_bytes()),
        };
        writer.contains(&digest).then_some((digest, stat))
    };
    inputs.iter().zip(stats).map(look_up).collect()
}

fn samples(inputs: Vec<Input>, found: Vec<Option<(Digest, FileStat)>>) -> Vec<Sample> {
    let mut samples = Vec::with_capacity(inputs.len());
    samples.extend(inputs.into_iter().zip(found).filter_map(|(input, place)| {
        let Input { path, label, split, group, .. } = input;
        let (digest, stat) = place?;
        Some(Sample { path, label, split, group, digest, stat })
    }));
    samples
}
