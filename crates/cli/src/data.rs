//! A store's samples with their labels, splits and embeddings, ready for a fit or an evaluation.

use anyhow::{Context, Result, bail, ensure};
use headstart_head::{Task, stratified_split};
use headstart_store::{Sample, Store};
use ndarray::Array2;

/// What a split is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Fitted on.
    Train,
    /// Chosen by.
    Validation,
    /// Judged by.
    Test,
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
        let n_all = samples.len();
        ensure!(n_all > 0, "{} has no samples yet; run `headstart extract` first", store.dir().display());
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

    /// The role of each sample; drawn when no sample has a split of its own.
    pub(crate) fn roles(&self, task: Task, drawn: DrawnSplit) -> Result<Vec<Role>> {
        if self.samples.iter().any(|it| it.split.is_some()) {
            return self.samples.iter().map(|it| it.split.as_deref().map_or(Ok(Role::Train), role)).collect();
        }
        let classes = match task {
            Task::Classification => self.classes().1,
            // One stratum: numbers have no classes to keep in proportion.
            Task::Regression => vec![0; self.samples.len()],
        };
        let groups: Vec<Option<String>> = self.samples.iter().map(|it| it.group.clone()).collect();
        let held_out = stratified_split(&classes, &groups, drawn.fraction, drawn.seed);
        Ok(held_out.into_iter().map(|it| if it { Role::Validation } else { Role::Train }).collect())
    }

    /// Embeddings of some samples, `(n_rows, n_features)`.
    pub(crate) fn embeddings(&self, store: &Store, rows: &[usize]) -> Result<Array2<f32>> {
        let digests: Vec<_> = rows.iter().map(|it| self.samples[*it].digest).collect();
        let loaded = store.load(&digests)?;
        if let Some(first) = loaded.missing.first() {
            bail!(
                "{} of {} samples have no embedding in {}, {} first; run `headstart extract` again",
                loaded.missing.len(),
                rows.len(),
                store.dir().display(),
                self.samples[rows[*first]].path
            );
        }
        Ok(Array2::from_shape_vec((rows.len(), store.space().n_features), loaded.values)?)
    }
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
