//! Extraction: the embeddings of a dataset, into a store, each computed once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headstart_store::{Digest, Failure, FileStat, Finished, Run, Sample, SampleTable, Store, Writer};
use rayon::prelude::*;

use crate::backbone::Backbone;
use crate::error::BackboneError;
use crate::listing::{Input, Listing};
use crate::pipeline::{Delivery, Outcome, PipelineConfig, run_files};
use crate::stages::StageTimes;
use crate::stat::file_stat;

/// Images from which on a run measures first what the model alone can do: that takes part of a second.
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
    /// Time spent in each stage, of all threads together.
    pub stages: StageTimes,
    /// Time from the first file to the last row, without what came before and after.
    pub pipeline_time: Duration,
    /// Images per second of the model alone, measured before a run that is long enough for it.
    pub model_images_per_second: Option<f64>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    run: Run,
    config: &PipelineConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, BackboneError> {
    let Listing { root, inputs, unreadable } = listing;
    let mut writer = store.writer(run)?;
    let stats: Vec<Option<FileStat>> = inputs.par_iter().map(|it| stat_of(&it.file)).collect();
    let mut found = unchanged(&writer, &root, &inputs, &stats);
    drop(stats);
    let todo: Vec<usize> = (0..inputs.len()).filter(|it| found[*it].is_none()).collect();
    let paths: Vec<&Path> = todo.iter().map(|it| inputs[*it].file.as_path()).collect();

    let n_unchanged = inputs.len() - todo.len();
    let mut state = Progress { n_inputs: inputs.len(), n_unchanged, n_done: 0, n_embedded: 0, n_failed: 0 };
    let mut failed: Vec<(usize, String)> = Vec::new();
    let mut failed_digests: HashMap<Digest, String> = HashMap::new();
    progress(state);
    // What the store had when the run began; what the run adds, it claims by itself.
    let known = writer.stored().clone();
    let is_long = paths.len() >= ROOF_FROM;
    let model_images_per_second =
        is_long.then(|| backbone.runner.images_per_second(config.batch_size)).transpose()?;
    let start = Instant::now();
    let mut stages = run_files(
        &mut backbone.runner,
        &paths,
        config,
        &|digest| known.contains(digest),
        &mut |delivery: Delivery<'_>| {
            let mut digests = Vec::with_capacity(delivery.outcomes.len());
            for (position, outcome) in delivery.outcomes {
                let input = todo[position];
                state.n_done += 1;
                match outcome {
                    Outcome::Embedded(digest, stat) => {
                        digests.push(digest);
                        found[input] = Some((digest, stat));
                        state.n_embedded += 1;
                    }
                    Outcome::Known(digest, stat) => found[input] = Some((digest, stat)),
                    Outcome::Failed(digest, err) => {
                        if let Some(digest) = digest {
                            failed_digests.insert(digest, err.to_string());
                        }
                        failed.push((input, err.to_string()));
                        state.n_failed += 1;
                    }
                }
            }
            writer.append(&digests, delivery.rows)?;
            progress(state);
            Ok(())
        },
    )?;

    let pipeline_time = start.elapsed();
    // A copy of a file that failed waited for a row that never came.
    for (input, place) in found.iter_mut().enumerate() {
        if let Some(reason) = place.and_then(|(digest, _)| failed_digests.get(&digest)) {
            failed.push((input, reason.clone()));
            *place = None;
        }
    }
    failed.sort_by_key(|it| it.0);
    let n_embedded = state.n_embedded;
    let n_cached = inputs.len() - n_embedded - failed.len();
    let failed =
        failed.into_iter().map(|(input, reason)| Failure { path: inputs[input].path.clone(), reason });
    // First what may stand for many: a folder.
    let failures: Vec<Failure> = unreadable.into_iter().chain(failed).collect();
    let recovery = writer.recovery().clone();
    let table = SampleTable { root, samples: samples(inputs, found) };
    let start = Instant::now();
    let finished = writer.finish(&table, &failures)?;
    stages.write += start.elapsed();
    let (n_recovered, set_aside) = (recovery.n_recovered, recovery.set_aside);
    Ok(Report {
        n_embedded,
        n_cached,
        n_unchanged,
        failures,
        n_recovered,
        set_aside,
        finished,
        stages,
        pipeline_time,
        model_images_per_second,
    })
}

/// The digests of inputs that look exactly as they did in the last run.
fn unchanged(
    writer: &Writer,
    root: &str,
    inputs: &[Input],
    stats: &[Option<FileStat>],
) -> Vec<Option<(Digest, FileStat)>> {
    let previous = writer.previous_samples(root);
    let look_up = |(input, stat): (&Input, &Option<FileStat>)| {
        let stat = (*stat)?;
        let sample = previous.get(input.path.as_str())?;
        (sample.stat == stat && writer.contains(&sample.digest)).then_some((sample.digest, stat))
    };
    inputs.iter().zip(stats).map(look_up).collect()
}

fn stat_of(file: &Path) -> Option<FileStat> {
    std::fs::metadata(file).ok().filter(|it| it.is_file()).map(|it| file_stat(&it))
}

fn samples(inputs: Vec<Input>, found: Vec<Option<(Digest, FileStat)>>) -> Vec<Sample> {
    // As long as it gets, no longer: there may be millions.
    let mut samples = Vec::with_capacity(inputs.len());
    samples.extend(inputs.into_iter().zip(found).filter_map(|(input, place)| {
        let Input { path, label, split, group, .. } = input;
        let (digest, stat) = place?;
        Some(Sample { path, label, split, group, digest, stat })
    }));
    samples
}
