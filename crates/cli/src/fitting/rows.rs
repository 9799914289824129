//! What is fitted on: in memory, or read from the store again for every pass.

use std::collections::HashMap;

use anyhow::{Result, bail};
use headstart_head::{HeadError, RowSource, Visit, stratified_folds, stratified_split};
use headstart_store::{Digest, EmbeddingBatch, Scan, Store, StoreError};
use ndarray::{Array2, ArrayView2};

use super::options::{FitOptions, HeadKind, Solver};
use crate::data::Labelled;
use crate::{machine, report};

/// Bytes a fit needs for a feature: the embedding, its centred copy, and that in the order of folds; ridge
/// and hidden layers compute in f64, with left singular vectors or in linfa's own copies.
const fn bytes_per_feature(options: &FitOptions) -> u64 {
    match (options.head, options.solver) {
        (HeadKind::Logistic, Solver::Headstart) => 12,
        _ => 28,
    }
}

/// The samples a head is fitted on, and their embeddings.
pub(crate) struct Training<'a> {
    pub(crate) store: &'a Store,
    pub(crate) labelled: &'a Labelled,
    /// Which of the labelled samples, in the order of the rows.
    pub(crate) samples: Vec<usize>,
    pub(crate) rows: Rows,
    /// As many of them as fit in memory, where not all do.
    pub(crate) part: Option<Box<Training<'a>>>,
}

/// Embeddings of samples.
pub(crate) enum Rows {
    InMemory(Array2<f32>),
    InStore(Stream),
}

/// Embeddings that are read again for every pass.
pub(crate) struct Stream {
    scan: Scan,
    n_features: usize,
    /// The digests that are wanted, as they come in the store, and how many samples have each.
    wanted: Vec<(Digest, usize)>,
    n_rows: usize,
}

impl<'a> Training<'a> {
    /// Reads the embeddings of some samples, as many as may be in memory.
    pub(crate) fn read(
        options: &FitOptions,
        store: &'a Store,
        labelled: &'a Labelled,
        samples: Vec<usize>,
    ) -> Result<Self> {
        let per_sample = bytes_per_feature(options) * store.space().n_features as u64;
        let needed = per_sample * samples.len() as u64;
        // Of what the machine has, not of what is free: the same flags give the same head.
        let default = machine::memory_bytes().map_or(u64::MAX, |it| it / 2);
        let limit = options.max_memory.map_or(default, |it| it.saturating_mul(1 << 20));
        if needed <= limit {
            let rows = Rows::InMemory(labelled.embeddings(store, &samples)?);
            return Ok(Self { store, labelled, samples, rows, part: None });
        }
        // Drawn like a held-out split: by content and class, whatever the order; at least one of a class.
        let share = (limit as f64 / needed as f64).clamp(1e-9, 0.999);
        let (groups, all) = (labelled.groups_of(&samples), labelled.classes().1);
        let classes: Vec<usize> = samples.iter().map(|it| all[*it]).collect();
        let is_drawn = stratified_split(&classes, &groups, share, options.seed);
        let drawn: Vec<usize> =
            samples.iter().zip(is_drawn).filter_map(|(it, is_drawn)| is_drawn.then_some(*it)).collect();
        report::say(format!(
            "{} would take {}, more than the {} they may (--max-memory): the store is read again for every \
             pass; {} samples are in memory, to choose alpha on",
            if samples.len() == 1 { "1 sample".to_owned() } else { format!("{} samples", samples.len()) },
            report::bytes(needed),
            report::bytes(limit),
            drawn.len(),
        ));
        let rows = Rows::InMemory(labelled.embeddings(store, &drawn)?);
        let part = Self { store, labelled, samples: drawn, rows, part: None };
        let (stream, samples) = Stream::new(store, labelled, &samples)?;
        Ok(Self { store, labelled, samples, rows: Rows::InStore(stream), part: Some(Box::new(part)) })
    }

    /// The part that is in memory.
    pub(crate) fn in_memory(&self) -> &Self {
        self.part.as_deref().unwrap_or(self)
    }

    /// The embeddings, for heads that need all of them in memory.
    pub(crate) fn x(&self) -> Result<ArrayView2<'_, f32>> {
        match &self.rows {
            Rows::InMemory(x) => Ok(x.view()),
            Rows::InStore(_) => {
                bail!("this head needs its samples in memory; raise --max-memory, or fit a logistic one")
            }
        }
    }

    /// Stratified folds for samples of these classes.
    pub(crate) fn folds(&self, options: &FitOptions, classes: &[usize]) -> Vec<usize> {
        let groups = self.labelled.groups_of(&self.samples);
        let n_folds = options.folds.unwrap_or(5).clamp(1, classes.len().max(1));
        stratified_folds(classes, &groups, n_folds, options.seed)
    }
}

impl Stream {
    /// The embeddings of some samples, and these samples in the order they come.
    fn new(store: &Store, labelled: &Labelled, samples: &[usize]) -> Result<(Self, Vec<usize>)> {
        let mut samples_of: HashMap<Digest, Vec<usize>> = HashMap::new();
        for sample in samples {
            samples_of.entry(labelled.samples[*sample].digest).or_default().push(*sample);
        }
        let scan = store.scan()?;
        let (mut wanted, mut order) = (Vec::new(), Vec::with_capacity(samples.len()));
        for batch in scan.batches() {
            for digest in batch?.digests {
                if let Some(of_digest) = samples_of.remove(&digest) {
                    wanted.push((digest, of_digest.len()));
                    order.extend(of_digest);
                }
            }
        }
        let missing: Vec<usize> = samples_of.into_values().flatten().collect();
        if let Some(first) = missing.iter().min() {
            return Err(labelled.missing(store, samples, missing.len(), *first));
        }
        let n_features = store.space().n_features;
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

impl RowSource for Rows {
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
