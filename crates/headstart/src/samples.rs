//! A store's samples with their labels, splits and embeddings, ready for a fit or an evaluation.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::OnceLock;

use headstart_head::{HeadModel, Task, stratified_split};
use headstart_store::{Digest, EmbeddingBatch, Label, Sample, Store, Unfinished};
use ndarray::{Array2, ArrayView2, Axis};

use crate::error::Error;
use crate::event::{Events, Note, note};
use crate::split::{Role, role_of};

/// The labelled samples of a store, ordered by path.
#[derive(Debug, Clone)]
pub struct Samples {
    store: Store,
    /// The samples; every one has a label, all of one kind.
    samples: Vec<Sample>,
    /// What [`groups`](Self::groups) gives: a split, folds and a penalty all ask for it.
    groups: OnceLock<Vec<u64>>,
    /// Samples of the store without a label.
    pub n_unlabelled: usize,
    /// A newer dataset in the making, which is not used.
    pub newer: Option<Unfinished>,
}

impl Samples {
    /// Opens a store, and reads its labelled samples.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn open(store: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(&Store::open(store.as_ref())?)
    }

    /// Reads the labelled samples of a store; embeddings are read when they are needed.
    ///
    /// # Errors
    /// [`Error::NoSamples`], [`Error::NoLabels`], [`Error::Store`].
    pub fn read(store: &Store) -> Result<Self, Error> {
        let _span = tracing::info_span!("samples", store = %store.dir().display()).entered();
        let mut samples = store.samples()?.samples;
        let (n, path) = (samples.len(), store.dir().to_owned());
        if n == 0 {
            return Err(Error::NoSamples { path });
        }
        samples.retain(|it| it.label.is_some());
        if samples.is_empty() {
            return Err(Error::NoLabels { path, n });
        }
        // Whatever order the dataset was listed in: the same samples give the same split and the same fit.
        samples.sort_by(|a, b| a.path.cmp(&b.path));
        Label::make_alike(samples.iter_mut().filter_map(|it| it.label.as_mut()));
        let (n_unlabelled, newer) = (n - samples.len(), store.unfinished()?);
        Ok(Self { store: store.clone(), samples, groups: OnceLock::new(), n_unlabelled, newer })
    }

    /// The store they are of.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none, which [`read`](Self::read) refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The samples, ordered by path.
    #[must_use]
    pub fn as_slice(&self) -> &[Sample] {
        &self.samples
    }

    fn label(&self, index: usize) -> &Label {
        self.samples[index].label.as_ref().expect("samples without a label are left out")
    }

    /// The class of a sample, where every sample has one: a combination of labels or numbers is one too.
    pub(crate) fn class(&self, index: usize) -> String {
        match self.label(index) {
            Label::Class(class) => class.clone(),
            // As it would be typed, but for the bar that tells one of several from a class.
            Label::Classes(classes) if classes.len() == 1 => Label::Class(classes[0].clone()).to_string(),
            label => label.to_string(),
        }
    }

    /// Numeric labels, `(n_samples, n_targets)`.
    pub(crate) fn targets(&self) -> Result<Array2<f64>, Error> {
        let (mut values, mut expected) = (Vec::new(), 0);
        for (index, sample) in self.samples.iter().enumerate() {
            let numbers = self
                .numbers(index)
                .ok_or_else(|| Error::NotANumber { path: sample.path.clone(), label: self.class(index) })?;
            let found = numbers.len();
            if index == 0 {
                expected = found;
            }
            if found != expected {
                return Err(Error::TargetCount { path: sample.path.clone(), found, expected });
            }
            values.extend(numbers);
        }
        Ok(Array2::from_shape_vec((self.samples.len(), expected), values).expect("as many for every sample"))
    }

    /// The label as numbers, where it is some.
    fn numbers(&self, index: usize) -> Option<Vec<f64>> {
        let numbers = match self.label(index) {
            Label::Numbers(numbers) => numbers.clone(),
            Label::Class(text) => vec![text.trim().parse::<f64>().ok()?],
            _ => return None,
        };
        numbers.iter().all(|it| it.is_finite()).then_some(numbers)
    }

    /// How many labels are numbers.
    pub(crate) fn n_numbers(&self) -> usize {
        (0..self.len()).filter(|it| self.numbers(*it).is_some()).count()
    }

    /// The distinct classes, sorted, and the index of each sample's.
    pub(crate) fn classes(&self) -> (Vec<String>, Vec<usize>) {
        let all: Vec<String> = (0..self.samples.len()).map(|it| self.class(it)).collect();
        let mut labels = all.clone();
        labels.sort();
        labels.dedup();
        let index = |label: &String| labels.binary_search(label).expect("all of them are there");
        let classes = all.iter().map(index).collect();
        (labels, classes)
    }

    /// The role of each sample by the dataset's own splits, where it has any.
    pub(crate) fn own_roles(&self) -> Option<Vec<Role>> {
        let of =
            |it: &Sample| it.split.as_deref().map_or(Role::Train, |it| role_of(it).unwrap_or(Role::Other));
        let has_splits = self.samples.iter().any(|it| it.split.is_some());
        has_splits.then(|| self.samples.iter().map(of).collect())
    }

    /// The role of each sample; drawn when no sample has a split of its own.
    ///
    /// `fraction` is the share of every class that is held out then, `seed` that of the draw.
    pub(crate) fn roles(&self, task: Task, fraction: f64, seed: u64) -> Vec<Role> {
        if let Some(roles) = self.own_roles() {
            return roles;
        }
        let classes = match task {
            Task::Classification | Task::Multilabel => self.classes().1,
            // One stratum: numbers have no classes to keep in proportion.
            Task::Regression => vec![0; self.samples.len()],
        };
        let held_out = stratified_split(&classes, self.groups(), fraction, seed);
        held_out.into_iter().map(|it| if it { Role::Validation } else { Role::Train }).collect()
    }

    /// A number for each sample, the same for those that a split must keep together: samples of one
    /// group, and equal files.
    pub(crate) fn groups(&self) -> &[u64] {
        self.groups.get_or_init(|| self.connected_groups())
    }

    fn connected_groups(&self) -> Vec<u64> {
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

    /// Whether samples may have several labels.
    pub(crate) fn has_several(&self) -> bool {
        matches!(self.samples[0].label, Some(Label::Classes(_)))
    }

    /// Whether samples have several numbers each.
    pub(crate) fn has_several_numbers(&self) -> bool {
        matches!(&self.samples[0].label, Some(Label::Numbers(numbers)) if numbers.len() > 1)
    }

    /// The labels of a sample that may have several.
    pub(crate) fn labels_of(&self, index: usize) -> Vec<String> {
        match self.label(index) {
            Label::Class(class) => vec![class.clone()],
            Label::Classes(classes) => classes.clone(),
            Label::Numbers(numbers) => numbers.iter().map(f64::to_string).collect(),
            _ => Vec::new(),
        }
    }

    /// The labels that some rows have, sorted.
    pub(crate) fn all_labels(&self, rows: &[usize]) -> Vec<String> {
        let all: BTreeSet<String> = rows.iter().flat_map(|it| self.labels_of(*it)).collect();
        all.into_iter().collect()
    }

    /// Which rows have which of some labels, `(n_rows, n_labels)`: 1 or 0.
    pub(crate) fn indicator(&self, rows: &[usize], labels: &[String]) -> Array2<f64> {
        let columns: HashMap<&str, usize> = labels.iter().map(String::as_str).zip(0..).collect();
        let mut indicator = Array2::zeros((rows.len(), labels.len()));
        for (row, sample) in rows.iter().enumerate() {
            for column in self.labels_of(*sample).iter().filter_map(|it| columns.get(it.as_str())) {
                indicator[[row, *column]] = 1.0;
            }
        }
        indicator
    }

    /// What a head says of some rows, `(n_rows, n_outputs)`; embeddings are read some at a time.
    pub(crate) fn scores(&self, head: &HeadModel, rows: &[usize]) -> Result<Array2<f64>, Error> {
        let n_features = self.store.space().n_features;
        let mut scores = Array2::zeros((rows.len(), head.metadata.outputs.labels.len()));
        let mut places: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (place, row) in rows.iter().enumerate() {
            places.entry(self.samples[*row].digest).or_default().push(place);
        }
        for batch in self.store.batches()? {
            let EmbeddingBatch { digests, rows } = batch?;
            let wanted: Vec<usize> =
                (0..digests.len()).filter(|it| places.contains_key(&digests[*it])).collect();
            let x = ArrayView2::from_shape((digests.len(), n_features), &rows).expect("a row a digest");
            let of_batch = head.predict(x.select(Axis(0), &wanted).view())?;
            for (row, from) in of_batch.outer_iter().zip(wanted) {
                for place in places.remove(&digests[from]).unwrap_or_default() {
                    scores.row_mut(place).assign(&row);
                }
            }
        }
        let missing: Vec<usize> = places.into_values().flatten().collect();
        match missing.iter().min() {
            Some(first) => Err(self.missing(rows, missing.len(), *first)),
            None => Ok(scores),
        }
    }

    /// Why embeddings of some rows cannot be used: `n` have none, the one at `first` for one.
    pub(crate) fn missing(&self, rows: &[usize], n: usize, first: usize) -> Error {
        let store = self.store.dir().to_owned();
        Error::MissingEmbeddings {
            n,
            n_samples: rows.len(),
            store,
            first: self.samples[rows[first]].path.clone(),
        }
    }

    /// Notes what of the store is left out.
    pub(crate) fn note_left_out(&self, events: &mut Events<'_>) {
        self.note_newer(events);
        if self.n_unlabelled > 0 {
            note(events, Note::Unlabelled { n: self.n_unlabelled });
        }
        self.note_contradictions(events);
    }

    /// Notes equal files with different labels.
    fn note_contradictions(&self, events: &mut Events<'_>) {
        let mut first_of: HashMap<Digest, usize> = HashMap::new();
        let (mut n, mut pair) = (0, None);
        for (index, sample) in self.samples.iter().enumerate() {
            let first = *first_of.entry(sample.digest).or_insert(index);
            if self.label(first) != self.label(index) {
                n += 1;
                pair = pair.or(Some([first, index]));
            }
        }
        if let Some(pair) = pair {
            let example = pair.map(|it| (self.samples[it].path.clone(), self.class(it)));
            note(events, Note::SameBytesOtherLabels { n, example });
        }
    }

    /// Notes a newer dataset in the making.
    pub(crate) fn note_newer(&self, events: &mut Events<'_>) {
        if let Some(newer) = &self.newer {
            let (store, missing) = (self.store.dir().to_owned(), newer.to_string());
            note(events, Note::NewerDataset { store, missing });
        }
    }

    /// Embeddings of some samples, `(n_rows, n_features)`.
    pub(crate) fn embeddings(&self, rows: &[usize]) -> Result<Array2<f32>, Error> {
        let digests: Vec<_> = rows.iter().map(|it| self.samples[*it].digest).collect();
        let loaded = self.store.load(&digests)?;
        if let Some(first) = loaded.missing.first() {
            return Err(self.missing(rows, loaded.missing.len(), *first));
        }
        let shape = (rows.len(), self.store.space().n_features);
        Ok(Array2::from_shape_vec(shape, loaded.values).expect("a row a digest"))
    }

    /// Embeddings of some samples and of others, read in one pass.
    pub(crate) fn embeddings_of_both(
        &self,
        some: &[usize],
        others: &[usize],
    ) -> Result<(Array2<f32>, Array2<f32>), Error> {
        let n_features = self.store.space().n_features;
        let both = self.embeddings(&[some, others].concat())?;
        let mut values = both.into_raw_vec_and_offset().0;
        let of_others = values.split_off(some.len() * n_features);
        values.shrink_to_fit();
        let array =
            |n: usize, values| Array2::from_shape_vec((n, n_features), values).expect("a row a sample");
        Ok((array(some.len(), values), array(others.len(), of_others)))
    }
}

/// The numbers of a sample's content and of its group.
fn identities(sample: &Sample) -> impl Iterator<Item = u64> {
    let group = sample.group.as_ref().map(|it| Digest::of(format!("group {it}").as_bytes()).number());
    [sample.digest.number()].into_iter().chain(group)
}
