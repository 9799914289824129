//! A store's samples with their labels, splits and embeddings, ready for a fit or an evaluation.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, anyhow, bail, ensure};
use headstart_head::{HeadModel, Task, stratified_split};
use headstart_store::{Digest, EmbeddingBatch, Sample, Store};
use ndarray::{Array2, ArrayView2, Axis};

use crate::report;

/// What a split is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Fitted on.
    Train,
    /// Chosen by.
    Validation,
    /// Judged by.
    Test,
    /// None of these: left out.
    Other,
}

/// A held-out part drawn by seed, for datasets that bring no split of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DrawnSplit {
    /// Share of every class that is held out.
    pub(crate) fraction: f64,
    /// Seed of the draw.
    pub(crate) seed: u64,
}

/// The labelled samples of a store, ordered by path.
#[derive(Debug)]
pub(crate) struct Labelled {
    /// The samples; every one has a label.
    pub(crate) samples: Vec<Sample>,
    /// Samples of the store without a label.
    pub(crate) n_unlabelled: usize,
}

impl Labelled {
    /// Reads the labelled samples of a store.
    pub(crate) fn read(store: &Store) -> Result<Self> {
        let mut samples = store.samples()?.samples;
        if let Some(newer) = store.unfinished()? {
            report::say(format!(
                "{} has a newer dataset in the making, which is not used; shards are missing of {newer}",
                store.dir().display()
            ));
        }
        let n_all = samples.len();
        ensure!(
            n_all > 0,
            "{} has no samples: run `headstart extract` first, or see the failures that its last run listed there",
            store.dir().display()
        );
        samples.retain(|it| it.label.is_some());
        ensure!(
            !samples.is_empty(),
            "none of the {n_all} samples of {} has a label; give one folder a class, or a manifest with a `label` column",
            store.dir().display()
        );
        // Whatever order the dataset was listed in: the same samples give the same split and the same fit.
        samples.sort_by(|a, b| a.path.cmp(&b.path));
        let n_unlabelled = n_all - samples.len();
        Ok(Self { samples, n_unlabelled })
    }

    /// Text of a sample's label.
    pub(crate) fn label(&self, index: usize) -> &str {
        self.samples[index].label.as_deref().unwrap_or_default()
    }

    /// Whether every label is a number, or several joined by `|`, as many for every sample.
    pub(crate) fn is_numeric(&self) -> bool {
        self.targets().is_ok()
    }

    /// Numeric labels, `(n_samples, n_targets)`.
    pub(crate) fn targets(&self) -> Result<Array2<f64>> {
        let mut values = Vec::new();
        let mut n_targets = 0;
        for (index, sample) in self.samples.iter().enumerate() {
            let label = self.label(index);
            let numbers =
                label.split('|').map(|it| it.trim().parse::<f64>().ok().filter(|it| it.is_finite()));
            let numbers: Option<Vec<f64>> = numbers.collect();
            let numbers =
                numbers.with_context(|| format!("{}: label `{label}` is no number", sample.path))?;
            if index == 0 {
                n_targets = numbers.len();
            }
            let found = numbers.len();
            ensure!(found == n_targets, "{}: {found} numbers, the first sample has {n_targets}", sample.path);
            values.extend(numbers);
        }
        Ok(Array2::from_shape_vec((self.samples.len(), n_targets), values)?)
    }

    /// The distinct labels, sorted, and the index of each sample's.
    pub(crate) fn classes(&self) -> (Vec<String>, Vec<usize>) {
        let mut labels: Vec<String> = (0..self.samples.len()).map(|it| self.label(it).to_owned()).collect();
        let all = labels.clone();
        labels.sort();
        labels.dedup();
        let index = |label: &String| labels.binary_search(label).unwrap_or_default();
        let classes = all.iter().map(index).collect();
        (labels, classes)
    }

    /// The role of each sample by the dataset's own splits, where it has any.
    pub(crate) fn own_roles(&self) -> Option<Vec<Role>> {
        let of = |it: &Sample| it.split.as_deref().map_or(Role::Train, |it| role(it).unwrap_or(Role::Other));
        let has_splits = self.samples.iter().any(|it| it.split.is_some());
        has_splits.then(|| self.samples.iter().map(of).collect())
    }

    /// The role of each sample; drawn when no sample has a split of its own.
    pub(crate) fn roles(&self, task: Task, drawn: DrawnSplit) -> Vec<Role> {
        if let Some(roles) = self.own_roles() {
            return roles;
        }
        let classes = match task {
            Task::Classification | Task::Multilabel => self.classes().1,
            // One stratum: numbers have no classes to keep in proportion.
            Task::Regression => vec![0; self.samples.len()],
        };
        let held_out = stratified_split(&classes, &self.groups(), drawn.fraction, drawn.seed);
        held_out.into_iter().map(|it| if it { Role::Validation } else { Role::Train }).collect()
    }

    /// A number for each sample, the same for those that a split must keep together: samples of one
    /// group, and equal files.
    pub(crate) fn groups(&self) -> Vec<u64> {
        fn root(parents: &HashMap<u64, u64>, mut key: u64) -> u64 {
            while let Some(parent) = parents.get(&key) {
                key = *parent;
            }
            key
        }
        let mut parents = HashMap::new();
        for sample in &self.samples {
            let roots = identities(sample).map(|it| root(&parents, it)).collect::<BTreeSet<_>>();
            // The smallest is the root: the result does not depend on the order of the samples.
            if let (Some(first), Some(last)) = (roots.first(), roots.last())
                && first != last
            {
                parents.insert(*last, *first);
            }
        }
        let of = |it: &Sample| root(&parents, it.digest.number());
        self.samples.iter().map(of).collect()
    }

    /// The [`groups`](Self::groups) of some samples.
    pub(crate) fn groups_of(&self, rows: &[usize]) -> Vec<u64> {
        let groups = self.groups();
        rows.iter().map(|it| groups[*it]).collect()
    }

    /// What a head that is trained on some samples remembers of them: see [`HeadModel::trained_on`].
    pub(crate) fn identities(&self, rows: &[usize]) -> Vec<u64> {
        let all: BTreeSet<u64> = rows.iter().flat_map(|it| identities(&self.samples[*it])).collect();
        all.into_iter().collect()
    }

    /// Whether a head was trained on a sample, on an equal file or on one of its group.
    pub(crate) fn was_trained_on(&self, head: &HeadModel, row: usize) -> bool {
        identities(&self.samples[row]).any(|it| head.trained_on.binary_search(&it).is_ok())
    }

    /// Whether some sample has several labels, joined by `|`, that are no numbers.
    pub(crate) fn has_several(&self) -> bool {
        (0..self.samples.len()).any(|it| self.label(it).contains('|')) && !self.is_numeric()
    }

    /// The labels of a sample that may have several.
    pub(crate) fn labels_of(&self, index: usize) -> impl Iterator<Item = &str> {
        self.label(index).split('|').map(str::trim).filter(|it| !it.is_empty())
    }

    /// The labels that some rows have, sorted.
    pub(crate) fn all_labels(&self, rows: &[usize]) -> Vec<String> {
        let all: BTreeSet<&str> = rows.iter().flat_map(|it| self.labels_of(*it)).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// Which rows have which of some labels, `(n_rows, n_labels)`: 1 or 0.
    pub(crate) fn indicator(&self, rows: &[usize], labels: &[String]) -> Array2<f64> {
        let has = |row: usize, label: &String| self.labels_of(row).any(|it| it == label);
        Array2::from_shape_fn((rows.len(), labels.len()), |(row, label)| {
            f64::from(u8::from(has(rows[row], &labels[label])))
        })
    }

    /// What a head says of some rows, `(n_rows, n_outputs)`; embeddings are read some at a time.
    pub(crate) fn scores(&self, store: &Store, head: &HeadModel, rows: &[usize]) -> Result<Array2<f64>> {
        let mut scores = Array2::zeros((rows.len(), head.metadata.outputs.labels.len()));
        let mut places: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            places.entry(self.samples[*row].digest).or_default().push(place);
        }
        for batch in store.batches()? {
            let EmbeddingBatch { digests, rows } = batch?;
            let wanted: Vec<usize> =
                (0..digests.len()).filter(|it| places.contains_key(&digests[*it])).collect();
            let x = ArrayView2::from_shape((digests.len(), store.space().n_features), &rows)?;
            let of_batch = head.predict(x.select(Axis(0), &wanted).view())?;
            for (row, from) in of_batch.outer_iter().zip(wanted) {
                for place in places.remove(&digests[from]).unwrap_or_default() {
                    scores.row_mut(place).assign(&row);
                }
            }
        }
        let missing: Vec<usize> = places.into_values().flatten().collect();
        match missing.iter().min() {
            Some(first) => Err(self.missing(store, rows, missing.len(), *first)),
            None => Ok(scores),
        }
    }

    /// Why embeddings of some rows cannot be used.
    pub(crate) fn missing(&self, store: &Store, rows: &[usize], n: usize, first: usize) -> anyhow::Error {
        anyhow!(
            "{n} of {} samples have no embedding in {}, {} first; run `headstart extract` again",
            rows.len(),
            store.dir().display(),
            self.samples[rows[first]].path
        )
    }

    /// Embeddings of some samples, `(n_rows, n_features)`.
    pub(crate) fn embeddings(&self, store: &Store, rows: &[usize]) -> Result<Array2<f32>> {
        let digests: Vec<_> = rows.iter().map(|it| self.samples[*it].digest).collect();
        let loaded = store.load(&digests)?;
        if let Some(first) = loaded.missing.first() {
            return Err(self.missing(store, rows, loaded.missing.len(), *first));
        }
        Ok(Array2::from_shape_vec((rows.len(), store.space().n_features), loaded.values)?)
    }
}

/// The numbers of a sample's content and of its group.
fn identities(sample: &Sample) -> impl Iterator<Item = u64> {
    let group = sample.group.as_ref().map(|it| Digest::of(format!("group {it}").as_bytes()).number());
    [sample.digest.number()].into_iter().chain(group)
}

/// The role a split's name stands for.
pub(crate) fn role(split: &str) -> Result<Role> {
    Ok(match split.to_lowercase().as_str() {
        "train" | "training" => Role::Train,
        "val" | "valid" | "validation" | "dev" => Role::Validation,
        "test" | "testing" => Role::Test,
        _ => bail!("split `{split}` is none of train, val, test"),
    })
}

/// Indices of the samples of one role.
#[must_use]
pub(crate) fn rows_of(roles: &[Role], wanted: Role) -> Vec<usize> {
    (0..roles.len()).filter(|it| roles[*it] == wanted).collect()
}
