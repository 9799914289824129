//! What is fitted on and judged by: in memory, or read from the store again for every pass.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use headstart_head::{
    Baselines, HeadError, HeadModel, RowSource, Task, Visit, stratified_folds, stratified_split,
};
use headstart_store::{Digest, EmbeddingBatch, Scan, StoreError};
use ndarray::{Array2, ArrayView2, Axis, s};

use super::config::{FitConfig, LogisticHead};
use crate::error::Error;
use crate::event::{Events, Note, note};
use crate::machine;
use crate::samples::Samples;

/// Samples scored at once.
const SCORED_AT_ONCE: usize = 4096;

/// The samples a head is fitted on, and their embeddings.
pub(super) struct Training<'a> {
    pub(super) samples: &'a Samples,
    /// Which samples, in the order of the rows of `x`.
    pub(super) rows: Vec<usize>,
    pub(super) x: Features,
    /// As many of them as fit in memory, where not all do.
    pub(super) part: Option<Box<Training<'a>>>,
    /// Which samples judge the head.
    pub(super) held_out: Vec<usize>,
    /// Their embeddings, where those of the training samples are in memory too.
    x_held_out: Option<Array2<f32>>,
}

/// Embeddings of samples.
pub(super) enum Features {
    InMemory(Array2<f32>),
    InStore(Stream),
}

/// Embeddings that are read again for every pass.
pub(super) struct Stream {
    scan: Scan,
    n_features: usize,
    /// The digests that are wanted, as they come in the store, and how many samples have each.
    wanted: Vec<(Digest, usize)>,
    n_rows: usize,
}

impl<'a> Training<'a> {
    /// Reads the embeddings of the training samples and of the held-out ones, in one pass; as many as may be
    /// in memory.
    pub(super) fn read(
        config: &FitConfig,
        samples: &'a Samples,
        train: Vec<usize>,
        held_out: Vec<usize>,
        events: &mut Events<'_>,
    ) -> Result<Self, Error> {
        let n_features = samples.store().space().n_features;
        let needed = config.bytes_per_feature() * (n_features * train.len()) as u64;
        let needed_held_out = (size_of::<f32>() * n_features * held_out.len()) as u64;
        // Of what the machine has, not of what is free: the same settings give the same head.
        let default = machine::memory_bytes().map_or(u64::MAX, |it| it / 2);
        let limit = config.max_memory.unwrap_or(default);
        if needed <= limit && needed_held_out > limit - needed {
            // Those are only scored, and can be read for that.
            let x = Features::InMemory(samples.embeddings(&train)?);
            return Ok(Self { samples, rows: train, x, part: None, held_out, x_held_out: None });
        }
        if needed <= limit {
            let (x, x_held_out) = samples.embeddings_of_both(&train, &held_out)?;
            let (x, x_held_out) = (Features::InMemory(x), Some(x_held_out));
            return Ok(Self { samples, rows: train, x, part: None, held_out, x_held_out });
        }
        // Drawn like a held-out split: by content and class, whatever the order; at least one of a class.
        let share = (limit as f64 / needed as f64).clamp(1e-9, 0.999);
        let (groups, all) = (samples.groups_of(&train), samples.classes().1);
        let classes: Vec<usize> = train.iter().map(|it| all[*it]).collect();
        let is_drawn = stratified_split(&classes, &groups, share, config.seed);
        let drawn: Vec<usize> =
            train.iter().zip(is_drawn).filter_map(|(it, is_drawn)| is_drawn.then_some(*it)).collect();
        note(
            events,
            Note::ReadFromStore {
                n_samples: train.len(),
                needed_bytes: needed,
                limit_bytes: limit,
                n_in_memory: drawn.len(),
            },
        );
        let x = Features::InMemory(samples.embeddings(&drawn)?);
        let part = Self { samples, rows: drawn, x, part: None, held_out: Vec::new(), x_held_out: None };
        let (stream, rows) = Stream::new(samples, &train)?;
        let (x, part) = (Features::InStore(stream), Some(Box::new(part)));
        Ok(Self { samples, rows, x, part, held_out, x_held_out: None })
    }

    /// The embeddings, for heads that need all of them in memory.
    pub(super) fn in_memory(&self) -> Result<ArrayView2<'_, f32>, Error> {
        match &self.x {
            Features::InMemory(x) => Ok(x.view()),
            Features::InStore(_) => Err(Error::NotInMemory),
        }
    }

    /// The class of each row, an index into sorted `labels`; their number where it is none of them.
    pub(super) fn classes(&self, rows: &[usize], labels: &[String]) -> Vec<usize> {
        let class = |it: &usize| labels.binary_search(&self.samples.class(*it)).unwrap_or(labels.len());
        rows.iter().map(class).collect()
    }

    /// Folds for samples of these classes.
    pub(super) fn folds(&self, head: &LogisticHead, classes: &[usize], seed: u64) -> Vec<usize> {
        let groups = self.samples.groups_of(&self.rows);
        stratified_folds(classes, &groups, head.n_folds.clamp(1, classes.len().max(1)), seed)
    }

    /// What a head says of the training samples and of the held-out ones, a row a sample.
    pub(super) fn scores(&self, head: &HeadModel) -> Result<(Array2<f64>, Array2<f64>), Error> {
        if let (Features::InMemory(x), Some(held_out)) = (&self.x, &self.x_held_out) {
            return Ok((scores(head, x)?, scores(head, held_out)?));
        }
        let both = self.samples.scores(head, &[self.rows.as_slice(), &self.held_out].concat())?;
        // Not `split_at`: a copy of its part of no rows fails an assertion of ndarray 0.16.
        let part = |rows: Range<usize>| both.select(Axis(0), &rows.collect::<Vec<_>>());
        Ok((part(0..self.rows.len()), part(self.rows.len()..both.nrows())))
    }

    /// On which of the held-out samples a head is right, by its scores; for classes.
    pub(super) fn hits(&self, head: &HeadModel, scores: &Array2<f64>) -> Vec<bool> {
        let truth = self.classes(&self.held_out, &head.metadata.outputs.labels);
        let given = head.decide(scores.view()).into_iter().map(|it| it.given.first().copied());
        given.zip(truth).map(|(given, truth)| given == Some(truth)).collect()
    }

    /// What needs no fit, on the held-out samples: for classes, by the training samples in memory.
    pub(super) fn baselines(&self, head: &HeadModel) -> Result<Option<Baselines>, Error> {
        let known = self.part.as_deref().unwrap_or(self);
        if head.metadata.outputs.task != Task::Classification || known.rows.is_empty() {
            return Ok(None);
        }
        let labels = &head.metadata.outputs.labels;
        let (y, y_held_out) = (known.classes(&known.rows, labels), self.classes(&self.held_out, labels));
        let read;
        let x = match &self.x_held_out {
            Some(x) => x,
            None => {
                read = self.samples.embeddings(&self.held_out)?;
                &read
            }
        };
        Ok(Some(Baselines::new(known.in_memory()?, &y, labels.len(), x.view(), &y_held_out)?))
    }
}

/// What a head says of embeddings, some at a time: it computes in copies of them in f64.
fn scores(head: &HeadModel, x: &Array2<f32>) -> Result<Array2<f64>, Error> {
    let mut all = Array2::zeros((x.nrows(), head.metadata.outputs.labels.len()));
    for start in (0..x.nrows()).step_by(SCORED_AT_ONCE) {
        let end = (start + SCORED_AT_ONCE).min(x.nrows());
        all.slice_mut(s![start..end, ..]).assign(&head.predict(x.slice(s![start..end, ..]))?);
    }
    Ok(all)
}

impl Stream {
    /// The embeddings of some samples, and these samples in the order they come.
    fn new(samples: &Samples, rows: &[usize]) -> Result<(Self, Vec<usize>), Error> {
        let mut samples_of: HashMap<Digest, Vec<usize>> = HashMap::new();
        for row in rows {
            samples_of.entry(samples.as_slice()[*row].digest).or_default().push(*row);
        }
        let scan = samples.store().scan()?;
        let (mut wanted, mut order) = (Vec::new(), Vec::with_capacity(rows.len()));
        for batch in scan.batches() {
            for digest in batch?.digests {
                if let Some(of_digest) = samples_of.remove(&digest) {
                    wanted.push((digest, of_digest.len()));
                    order.extend(of_digest);
                }
            }
        }
        let missing: HashSet<usize> = samples_of.into_values().flatten().collect();
        if let Some(first) = rows.iter().position(|it| missing.contains(it)) {
            return Err(samples.missing(rows, missing.len(), first));
        }
        let n_features = samples.store().space().n_features;
        Ok((Self { scan, n_features, wanted, n_rows: order.len() }, order))
    }

    fn pass(&self, visit: &mut Visit<'_, f32>) -> Result<(), StoreError> {
        let (mut wanted, mut first) = (self.wanted.iter().peekable(), 0);
        for batch in self.scan.batches() {
            let EmbeddingBatch { digests, rows } = batch?;
            let mut values = Vec::with_capacity(rows.len());
            for (digest, row) in digests.iter().zip(rows.chunks_exact(self.n_features)) {
                if let Some((_, n_samples)) = wanted.next_if(|it| it.0 == *digest) {
                    (0..*n_samples).for_each(|_| values.extend_from_slice(row));
                }
            }
            if !values.is_empty() {
                visit(first, &values);
                first += values.len() / self.n_features;
            }
        }
        Ok(())
    }
}

impl RowSource for Features {
    type Elem = f32;

    fn dim(&self) -> (usize, usize) {
        match self {
            Self::InMemory(x) => x.dim(),
            Self::InStore(stream) => (stream.n_rows, stream.n_features),
        }
    }

    fn for_each_batch(&self, visit: &mut Visit<'_, f32>) -> Result<(), HeadError> {
        match self {
            Self::InMemory(x) => x.view().for_each_batch(visit),
            Self::InStore(stream) => stream.pass(visit).map_err(|err| HeadError::Source(Box::new(err))),
        }
    }

    fn is_in_memory(&self) -> bool {
        matches!(self, Self::InMemory(_))
    }
}
