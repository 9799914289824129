//! What a head must beat: predictions that need no fit.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::feature::check_features;

/// Neighbours that are tried.
pub const NEIGHBOURS: [usize; 4] = [10, 20, 100, 200];

/// Temperature of the neighbours' votes.
const TEMPERATURE: f32 = 0.07;

/// Held-out samples compared with all training samples at a time.
const BLOCK_ROWS: usize = 256;

/// Accuracy of predictions that need no fit, on held-out samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// Always the class that is most frequent in training.
    pub majority: f64,
    /// The class whose mean has the largest cosine.
    pub nearest_class_mean: f64,
    /// Votes of the nearest neighbours by cosine, each weighing `exp(cosine / 0.07)`, for each of
    /// [`NEIGHBOURS`] there are samples for.
    pub k_nearest: Vec<(usize, f64)>,
    /// Which samples each of them is right on, in this order.
    #[serde(skip)]
    hits: Vec<Vec<bool>>,
}

impl Baselines {
    /// Judges the baselines.
    ///
    /// # Shapes
    /// - `train`: `(n_train, n_features)`, `y_train`: `(n_train,)`, class indices below `n_classes`.
    /// - `held_out`: `(n, n_features)`, `y_held_out`: `(n,)`; an index of `n_classes` or above is of a
    ///   class that training does not have.
    ///
    /// # Errors
    /// [`HeadError::SampleCountMismatch`], [`HeadError::NoSamples`], [`HeadError::NonFinite`],
    /// [`HeadError::FeatureCountMismatch`], [`HeadError::UnknownClass`].
    ///
    /// # Source
    /// k-NN: Wu et al. 2018 (arXiv:1805.01978), with the temperature that DINO's evaluation uses.
    pub fn new(
        train: ArrayView2<'_, f32>,
        y_train: &[usize],
        n_classes: usize,
        held_out: ArrayView2<'_, f32>,
        y_held_out: &[usize],
    ) -> Result<Self, HeadError> {
        check_features(train.reborrow(), y_train.len())?;
        check_features(held_out.reborrow(), y_held_out.len())?;
        if train.ncols() != held_out.ncols() {
            return Err(HeadError::FeatureCountMismatch {
                expected: train.ncols(),
                actual: held_out.ncols(),
            });
        }
        if let Some(sample) = y_train.iter().position(|it| *it >= n_classes) {
            return Err(HeadError::UnknownClass { sample, class: y_train[sample], n_classes });
        }
        let n_features = train.ncols();
        let (train, held_out) = (unit_rows(train), unit_rows(held_out));
        let mut counts = vec![0_usize; n_classes];
        let mut means = Array2::<f32>::zeros((n_classes, n_features));
        for (row, class) in train.chunks_exact(n_features).zip(y_train) {
            counts[*class] += 1;
            means.row_mut(*class).iter_mut().zip(row).for_each(|(a, b)| *a += b);
        }
        let means = unit_rows(means.view());
        let majority = argmax(counts.iter().map(|it| *it as f32));
        let ks: Vec<usize> = NEIGHBOURS.into_iter().filter(|k| *k <= y_train.len()).collect();
        let mut hits: Vec<Vec<bool>> = vec![Vec::with_capacity(y_held_out.len()); 2 + ks.len()];
        for (rows, y) in held_out.chunks(BLOCK_ROWS * n_features).zip(y_held_out.chunks(BLOCK_ROWS)) {
            let to_means = cosines(rows, &means, n_features);
            let to_train = if ks.is_empty() { Mat::new() } else { cosines(rows, &train, n_features) };
            let of_row = |(row, class): (usize, &usize)| {
                let nearest_mean = argmax((0..n_classes).map(|it| to_means[(row, it)]));
                let mut hit = vec![majority == *class, nearest_mean == *class];
                hit.extend(votes(&to_train, row, y_train, n_classes, &ks).map(|it| it == *class));
                hit
            };
            let of_block: Vec<Vec<bool>> = y.par_iter().enumerate().map(of_row).collect();
            for hit in of_block {
                hits.iter_mut().zip(hit).for_each(|(all, it)| all.push(it));
            }
        }
        let n = y_held_out.len() as f64;
        let share = |hits: &Vec<bool>| hits.iter().filter(|it| **it).count() as f64 / n;
        Ok(Self {
            majority: share(&hits[0]),
            nearest_class_mean: share(&hits[1]),
            k_nearest: ks.iter().zip(&hits[2..]).map(|(k, hits)| (*k, share(hits))).collect(),
            hits,
        })
    }

    /// The best of them, the first of equals: what it is, its accuracy, and which samples it is right on (none where
    /// these were read from a file).
    #[must_use]
    pub fn best(&self) -> (String, f64, &[bool]) {
        let neighbours = self.k_nearest.iter().map(|(k, it)| (format!("the {k} nearest neighbours"), *it));
        let means = ("the nearest class mean".to_owned(), self.nearest_class_mean);
        let all = [("the majority class".to_owned(), self.majority), means].into_iter().chain(neighbours);
        let mut all: Vec<(String, f64)> = all.collect();
        let at = crate::argmax(all.iter().map(|it| it.1));
        let (name, accuracy) = all.swap_remove(at);
        (name, accuracy, self.hits.get(at).map_or(&[], Vec::as_slice))
    }
}

/// What the nearest `k` rows vote for, for each `k`.
fn votes<'a>(
    cosines: &Mat<f32>,
    row: usize,
    y: &'a [usize],
    n_classes: usize,
    ks: &'a [usize],
) -> impl Iterator<Item = usize> + use<'a> {
    let mut nearest: Vec<(f32, usize)> = (0..cosines.ncols()).map(|it| (cosines[(row, it)], it)).collect();
    // The earlier of equally near ones: the result does not depend on the sort.
    let nearer = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let k_max = ks.last().copied().unwrap_or(0);
    if k_max > 0 && k_max < nearest.len() {
        nearest.select_nth_unstable_by(k_max - 1, nearer);
        nearest.truncate(k_max);
    }
    nearest.sort_by(nearer);
    let mut scores = vec![0.0; n_classes];
    let mut done = 0;
    ks.iter().map(move |k| {
        for (cosine, sample) in &nearest[done..*k] {
            // Less 1, the largest cosine: a common factor, and no overflow.
            scores[y[*sample]] += ((cosine - 1.0) / TEMPERATURE).exp();
        }
        done = *k;
        argmax(scores.iter().copied())
    })
}

/// Rows of length 1, row-major; zero rows stay zero.
fn unit_rows(x: ArrayView2<'_, f32>) -> Vec<f32> {
    let mut rows = Vec::with_capacity(x.len());
    for row in x.rows() {
        let norm = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
        let inverse = if norm > 0.0 { 1.0 / norm } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
        rows.extend(row.iter().map(|it| (f64::from(*it) * inverse) as f32));
    }
    rows
}

fn cosines(a: &[f32], b: &[f32], n_features: usize) -> Mat<f32> {
    let a = MatRef::from_row_major_slice(a, a.len() / n_features, n_features);
    let b = MatRef::from_row_major_slice(b, b.len() / n_features, n_features);
    let mut out = Mat::zeros(a.nrows(), b.nrows());
    matmul(out.as_mut(), Accum::Replace, a, b.transpose(), 1.0, Par::rayon(0));
    out
}

fn argmax(values: impl IntoIterator<Item = f32>) -> usize {
    crate::argmax(values.into_iter().map(f64::from))
}
