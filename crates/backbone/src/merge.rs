//! Rows of the pieces of an input, made one.

use std::collections::{BTreeMap, HashMap, HashSet};

use headstart_input::{Recipe, Statistics};

use crate::inputs::Piece;

/// The mean of rows, and what becomes of it; computed in f64, in the order of the rows.
#[derive(Debug, Default)]
struct Moments {
    n: u32,
    mean: Vec<f64>,
    /// Sums of squared distances from the mean (Welford).
    squares: Vec<f64>,
}

impl Moments {
    fn add(&mut self, row: &[f32]) {
        self.n += 1;
        self.mean.resize(row.len(), 0.0);
        self.squares.resize(row.len(), 0.0);
        let n = f64::from(self.n);
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let value = f64::from(*value);
            let from_old = value - *mean;
            *mean += from_old / n;
            *squares += from_old * (value - *mean);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rows are f32")]
    fn row(&self, statistics: Statistics) -> Vec<f32> {
        let mut row: Vec<f32> = self.mean.iter().map(|it| *it as f32).collect();
        if statistics == Statistics::MeanStd {
            let n = f64::from(self.n);
            row.extend(self.squares.iter().map(|it| (it / n).sqrt() as f32));
        }
        row
    }
}

/// What becomes of the rows of the pieces of inputs that are under way, whatever order they come in.
pub(crate) struct Merging {
    statistics: Statistics,
    under_way: HashMap<usize, Rows>,
    /// Inputs that failed: pieces of theirs may still come.
    failed: HashSet<usize>,
}

#[derive(Default)]
struct Rows {
    moments: Moments,
    /// The number of the last piece, where it has come.
    last: Option<u32>,
    /// Rows that came before one that comes before them.
    waiting: BTreeMap<u32, Box<[f32]>>,
}

impl Merging {
    pub(crate) fn new(statistics: Statistics) -> Self {
        Self { statistics, under_way: HashMap::new(), failed: HashSet::new() }
    }

    /// Takes the row of a piece of the input with an index; gives that of the input with its last one.
    pub(crate) fn add(&mut self, index: usize, piece: Piece, row: &[f32]) -> Option<Vec<f32>> {
        if self.failed.contains(&index) {
            return None;
        }
        let rows = self.under_way.entry(index).or_default();
        if piece.is_last {
            rows.last = Some(piece.number);
        }
        if piece.number == rows.moments.n {
            rows.moments.add(row);
        } else {
            rows.waiting.insert(piece.number, row.into());
        }
        while let Some(row) = rows.waiting.remove(&rows.moments.n) {
            rows.moments.add(&row);
        }
        let is_whole = rows.last.is_some_and(|it| rows.moments.n == it + 1);
        is_whole.then(|| self.under_way.remove(&index)).flatten().map(|it| it.moments.row(self.statistics))
    }

    /// Lets go of an input; whether it had not failed before.
    pub(crate) fn fail(&mut self, index: usize) -> bool {
        self.under_way.remove(&index);
        self.failed.insert(index)
    }
}

/// Makes one row of those of the pieces of one input, as a run of it would.
///
/// # Shapes
/// - `rows`: `(n_pieces, width)`, row-major; at least one.
/// - returns `(row_width,)`: twice as long where the deviation stands behind the mean.
#[must_use]
pub fn merge_rows(recipe: &Recipe, rows: &[f32], width: usize) -> Vec<f32> {
    let Some(statistics) = statistics(recipe) else { return rows.to_vec() };
    let mut moments = Moments::default();
    rows.chunks_exact(width.max(1)).for_each(|it| moments.add(it));
    moments.row(statistics)
}

/// What becomes of the rows of pieces; none where an input has but one, and that is its row.
pub(crate) fn statistics(recipe: &Recipe) -> Option<Statistics> {
    match recipe {
        Recipe::Audio(audio) if recipe.has_pieces() => Some(audio.statistics),
        _ => None,
    }
}

/// The length of an input's row, by that of a piece's.
pub(crate) fn row_width(recipe: &Recipe, width: usize) -> usize {
    if statistics(recipe) == Some(Statistics::MeanStd) { 2 * width } else { width }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(number: u32, is_last: bool) -> Piece {
        Piece { number, is_last }
    }

    #[test]
    fn rows_are_merged_in_their_order_whatever_order_they_come_in() {
        let rows: Vec<[f32; 2]> = (0..6).map(|it| [1e-3 + it as f32 * 0.1, (7 * it % 5) as f32]).collect();
        let orders = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 0, 5, 1, 4, 2]];
        let merged = orders.map(|order| {
            let mut merging = Merging::new(Statistics::MeanStd);
            let given: Vec<Option<Vec<f32>>> =
                order.iter().map(|it| merging.add(9, piece(*it, *it == 5), &rows[*it as usize])).collect();
            assert!(given[..5].iter().all(Option::is_none), "not before all have come");
            assert!(merging.under_way.is_empty());
            given[5].clone().expect("all have come")
        });
        assert_eq!(merged[0], merged[1]);
        assert_eq!(merged[0], merged[2]);
        // The closed form: mean and deviation of 0, 7, 14, … modulo 5, which are 0, 2, 4, 1, 3, 0.
        let (mean, std) = (10.0_f32 / 6.0, (30.0_f32 / 6.0 - (10.0_f32 / 6.0).powi(2)).sqrt());
        assert!((merged[0][1] - mean).abs() < 1e-6 && (merged[0][3] - std).abs() < 1e-6, "{merged:?}");
    }

    #[test]
    fn an_input_that_failed_is_told_once_and_takes_no_more_pieces() {
        let mut merging = Merging::new(Statistics::Mean);
        assert_eq!(merging.add(0, piece(0, false), &[1.0]), None);
        assert!(merging.fail(0));
        assert!(!merging.fail(0));
        assert_eq!(merging.add(0, piece(1, true), &[1.0]), None);
        assert_eq!(merging.add(1, piece(0, true), &[2.0]), Some(vec![2.0]));
    }
}
