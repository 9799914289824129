//! Features in the solver's coordinates: centred, and scaled.

use rayon::prelude::*;

use super::kernels::Real;
use super::problem::Design;
use super::row_space::RowSpace;
use super::rows::{Remembering, RowSource};
use crate::error::HeadError;

/// Rows that are converted or summed by one thread at a time.
const CHUNK_ROWS: usize = 64;

/// Features in the solver's coordinates.
pub(crate) struct Features<'a, S> {
    pub(crate) source: Remembering<'a, S>,
    pub(crate) mean: Vec<f64>,
    pub(crate) scale: Vec<f64>,
    pub(crate) standardize: bool,
    /// Centred, scaled rows, where they are in memory.
    pub(crate) rows: Option<Vec<f32>>,
    pub(crate) row_space: Option<RowSpace>,
}

/// Rows centred and scaled as they come.
pub(crate) struct Centred<'a, S> {
    source: &'a S,
    mean: &'a [f64],
    scale: &'a [f64],
}

impl<'a, S: RowSource> Features<'a, S> {
    /// Prepares features; refuses values that are not finite.
    pub(crate) fn new(source: &'a S, standardize: bool) -> Result<Self, HeadError> {
        let (n_samples, n_features) = source.dim();
        let (mean, scale) = mean_and_scale(source, standardize)?;
        let centred = Centred { source, mean: &mean, scale: &scale };
        let rows = source.is_in_memory().then(|| centred.gather()).transpose()?;
        // Few samples span few directions: solved there, certified on the features as they came.
        let row_space = if source.is_in_memory() && 2 * n_samples <= n_features {
            RowSpace::of(&centred.gather()?, n_samples, n_features)
        } else {
            None
        };
        Ok(Self { source: Remembering::new(source), mean, scale, standardize, rows, row_space })
    }

    pub(crate) fn centred(&self) -> Centred<'_, Remembering<'a, S>> {
        Centred { source: &self.source, mean: &self.mean, scale: &self.scale }
    }
}

impl<S: RowSource> Centred<'_, S> {
    /// All rows, row-major.
    fn gather<T: Real>(&self) -> Result<Vec<T>, HeadError> {
        let mut all = Vec::new();
        self.source.for_each_batch(&mut |_, batch| {
            let rows = self.convert(batch);
            if all.is_empty() { all = rows } else { all.extend(rows) }
        })?;
        Ok(all)
    }

    fn convert<T: Real>(&self, batch: &[S::Elem]) -> Vec<T> {
        let n_features = self.mean.len();
        let inverse: Vec<f64> = self.scale.iter().map(|it| 1.0 / it).collect();
        let mut out = vec![T::ZERO; batch.len()];
        let chunks =
            out.par_chunks_mut(CHUNK_ROWS * n_features).zip(batch.par_chunks(CHUNK_ROWS * n_features));
        chunks.for_each(|(out, rows)| {
            for (out, row) in out.chunks_exact_mut(n_features).zip(rows.chunks_exact(n_features)) {
                for (((out, value), mean), inverse) in out.iter_mut().zip(row).zip(self.mean).zip(&inverse) {
                    *out = T::from_f64((Into::<f64>::into(*value) - mean) * inverse);
                }
            }
        });
        out
    }
}

impl<S: RowSource> Design<f32> for Centred<'_, S> {
    fn for_each_batch(&self, visit: &mut dyn FnMut(usize, &[f32])) -> Result<(), HeadError> {
        self.source.for_each_batch(&mut |first, batch| visit(first, &self.convert(batch)))
    }
}

/// Column means and scales: standard deviations, or one for all columns, the root mean square of the
/// centred values. What does not vary has scale 1. Refuses values that are not finite.
fn mean_and_scale<S: RowSource>(source: &S, standardize: bool) -> Result<(Vec<f64>, Vec<f64>), HeadError> {
    let n = source.dim().0 as f64;
    let mut moments = Moments::of(source, None)?;
    // A sum is finite exactly if what it adds up is (or overflows, which is as bad).
    if let Some(feature) = moments.mean.iter().position(|it| !it.is_finite()) {
        let sample = first_non_finite(source, feature)?;
        return Err(HeadError::NonFinite { sample, feature });
    }
    // Squares of huge features overflow, those of tiny ones vanish: then once more, in units of a typical size.
    let largest = moments.mean.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    if largest > 0.0 && !(1e-100..1e100).contains(&(largest / moments.unit)) {
        moments = Moments::of(source, Some((moments.mean, largest)))?;
    }
    let Moments { mean, squares, unit } = moments;
    let deviation = |squares: f64, count: f64| (squares / count).sqrt() * unit;
    // What is left of a constant column after rounding is no deviation.
    let or_one = |deviation: f64, mean: f64| if deviation > 1e-12 * mean.abs() { deviation } else { 1.0 };
    let scale = if standardize {
        squares.iter().zip(&mean).map(|(squares, mean)| or_one(deviation(*squares, n), *mean)).collect()
    } else {
        let common = deviation(squares.iter().sum(), n * mean.len() as f64);
        vec![or_one(common, largest); mean.len()]
    };
    Ok((mean, scale))
}

/// Means of columns, and sums of their centred squares in a unit.
struct Moments {
    mean: Vec<f64>,
    squares: Vec<f64>,
    unit: f64,
}

impl Moments {
    /// Goes through the rows once. What is added up is taken less a row of about the mean, in a unit: the first row, in
    /// its own size, unless `about` says better. (The first row is at most `√n` deviations from the mean, so that
    /// squares lose no more than `n` roundings.)
    fn of<S: RowSource>(source: &S, mut about: Option<(Vec<f64>, f64)>) -> Result<Self, HeadError> {
        let (n_rows, n_features) = source.dim();
        let (mut sums, mut n_found) = (vec![[0.0; 2]; n_features], 0);
        source.for_each_batch(&mut |_, batch| {
            n_found += batch.len() / n_features;
            let first_row = || -> (Vec<f64>, f64) {
                let row: Vec<f64> = batch.iter().take(n_features).map(|it| (*it).into()).collect();
                let largest = row.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
                (row, if largest > 0.0 && largest.is_finite() { largest } else { 1.0 })
            };
            let (about, unit) = &*about.get_or_insert_with(first_row);
            let inverse = 1.0 / unit;
            let of_chunk = |rows: &[S::Elem]| {
                let mut sums = vec![[0.0; 2]; n_features];
                for row in rows.chunks_exact(n_features) {
                    for ((sums, value), about) in sums.iter_mut().zip(row).zip(about) {
                        let value = (Into::<f64>::into(*value) - about) * inverse;
                        *sums = [sums[0] + value, sums[1] + value * value];
                    }
                }
                sums
            };
            // In fixed pieces, so that the result does not depend on the threads.
            for of_chunk in batch.par_chunks(CHUNK_ROWS * n_features).map(of_chunk).collect::<Vec<_>>() {
                sums.iter_mut().zip(of_chunk).for_each(|(a, b)| *a = [a[0] + b[0], a[1] + b[1]]);
            }
        })?;
        if n_found != n_rows {
            return Err(HeadError::SampleCountMismatch { x_rows: n_found, y_len: n_rows });
        }
        let (about, unit) = about.unwrap_or_default();
        let n = n_rows as f64;
        let mean = sums.iter().zip(&about).map(|([sum, _], about)| about + sum / n * unit).collect();
        let squares = sums.iter().map(|[sum, squares]| (squares - sum * sum / n).max(0.0)).collect();
        Ok(Self { mean, squares, unit })
    }
}

/// The first row whose value in a column is not finite; 0 where only their sum is not.
fn first_non_finite<S: RowSource>(source: &S, column: usize) -> Result<usize, HeadError> {
    let mut found = None;
    source.for_each_batch(&mut |first, batch| {
        let of_column = batch.iter().skip(column).step_by(source.dim().1);
        let here = of_column.enumerate().find(|(_, it)| !Into::<f64>::into(**it).is_finite()).map(|it| it.0);
        found = found.or(here.map(|it| first + it));
    })?;
    Ok(found.unwrap_or(0))
}
