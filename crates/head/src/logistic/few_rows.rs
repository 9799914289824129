//! An approximate inverse Hessian from far fewer rows than features.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Accum, Mat, MatRef, Par, Side};

/// `(SᵀS + D)⁻¹` for few rows `S` and a diagonal `D`: the ridge, and a floor for what the rows do not span.
///
/// Where rows stand for others like them, the directions that they do not span are no flatter than those
/// they do: noise, seen by a few rows only. What a row adds beyond the span of those before it is the
/// energy of that noise. As a floor it keeps the inverse within a factor of about three there, seen or not;
/// directions that many rows share rise far above it, and are told exactly. (Without a floor a sample of
/// twice as many rows as features is no better: its eigenvalues are off by a factor of 30, by Marchenko and
/// Pastur's law.)
///
/// The inverse is Sherman, Morrison and Woodbury's, in f64: it subtracts nearly all of a large direction
/// from itself.
pub(crate) struct FewRows {
    /// `S·D^(-1/2)`: `(n_rows, n_features)`.
    rows: Mat<f64>,
    /// `D^(-1/2)`.
    roots: Vec<f64>,
    /// Of `I + S·D⁻¹·Sᵀ`; none where a value is not finite: the certificate tells.
    factor: Option<Llt<f64>>,
}

/// Below, products are not worth other threads.
const MIN_PARALLEL: usize = 1 << 20;

impl FewRows {
    /// Shapes: `rows` `(n_rows, n_features)`, row-major; `stand_for_others` `(n_rows,)`. Without rows the diagonal is
    /// left.
    pub(crate) fn new(
        rows: &[f32],
        n_features: usize,
        stand_for_others: &[bool],
        ridge: impl Fn(usize) -> f64,
    ) -> Self {
        let n_rows = stand_for_others.len();
        let rows = MatRef::from_row_major_slice(rows, n_rows, n_features);
        // Those that stand for themselves alone come first.
        let mut order: Vec<usize> = (0..n_rows).collect();
        order.sort_by_key(|it| stand_for_others[*it]);
        let n_others = stand_for_others.iter().filter(|it| **it).count();
        let mut rows = Mat::from_fn(n_rows, n_features, |i, j| f64::from(rows[(order[i], j)]));
        let floor = noise(&gram(&rows), n_others);
        let roots: Vec<f64> = (0..n_features).map(|j| 1.0 / (floor + ridge(j)).sqrt()).collect();
        for (column, root) in rows.col_iter_mut().zip(&roots) {
            column.iter_mut().for_each(|it| *it *= root);
        }
        let mut inner = gram(&rows);
        (0..n_rows).for_each(|i| inner[(i, i)] += 1.0);
        Self { rows, roots, factor: inner.llt(Side::Lower).ok() }
    }

    /// The inverse times columns of `(n_features, n_outputs)`.
    pub(crate) fn solve(&self, mut columns: Mat<f64>) -> Mat<f64> {
        let scale = |columns: &mut Mat<f64>| {
            for column in columns.col_iter_mut() {
                column.iter_mut().zip(&self.roots).for_each(|(it, root)| *it *= root);
            }
        };
        let Some(factor) = &self.factor else { return columns };
        scale(&mut columns);
        let (n_rows, n_outputs) = (self.rows.nrows(), columns.ncols());
        let par =
            if self.rows.ncols() * n_rows * n_outputs < MIN_PARALLEL { Par::Seq } else { Par::rayon(0) };
        let mut inner = Mat::zeros(n_rows, n_outputs);
        matmul(inner.as_mut(), Accum::Replace, self.rows.as_ref(), columns.as_ref(), 1.0, par);
        factor.solve_in_place(inner.as_mut());
        matmul(columns.as_mut(), Accum::Add, self.rows.transpose(), inner.as_ref(), -1.0, par);
        scale(&mut columns);
        columns
    }
}

fn gram(rows: &Mat<f64>) -> Mat<f64> {
    let mut gram = Mat::zeros(rows.nrows(), rows.nrows());
    matmul(gram.as_mut(), Accum::Replace, rows.as_ref(), rows.transpose(), 1.0, Par::rayon(0));
    gram
}

/// Mean energy that the later half of the last `n_others` rows add to the span of the rows before them: squared
/// pivots of their Gram matrix.
fn noise(gram: &Mat<f64>, n_others: usize) -> f64 {
    let n_rows = gram.nrows();
    let last = n_rows - n_others.div_ceil(2)..n_rows;
    if last.is_empty() {
        return 0.0;
    }
    let mean = |of_row: &dyn Fn(usize) -> f64| last.clone().map(of_row).sum::<f64>() / last.len() as f64;
    let energy = mean(&|i| gram[(i, i)]);
    // Rows may repeat each other.
    let mut matrix = gram.clone();
    (0..n_rows).for_each(|i| matrix[(i, i)] += 1e-9 * energy);
    matrix.llt(Side::Lower).map_or(energy, |llt| mean(&|i| llt.L()[(i, i)].powi(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_times_the_matrix_is_the_identity() {
        let mut n_cases = 0;
        for (n_rows, n_features, n_alone) in [(0, 3, 0), (1, 5, 0), (4, 9, 4), (6, 20, 2), (7, 7, 0)] {
            let value = |it: usize| ((it * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
            let rows: Vec<f32> = (0..n_rows * n_features).map(|it| value(it + 3)).collect();
            let stand_for_others: Vec<bool> = (0..n_rows).map(|it| it % n_rows >= n_alone).collect();
            let few = FewRows::new(&rows, n_features, &stand_for_others, |j| 0.01 * (1 + j) as f64);
            let rows = MatRef::from_row_major_slice(&rows, n_rows, n_features);
            let rows = Mat::from_fn(n_rows, n_features, |i, j| f64::from(rows[(i, j)]));
            let mut matrix = rows.transpose() * &rows;
            (0..n_features).for_each(|j| matrix[(j, j)] += few.roots[j].powi(-2));
            let unit = few.solve(matrix);
            for (i, j) in (0..n_features).flat_map(|i| (0..n_features).map(move |j| (i, j))) {
                let expected = if i == j { 1.0 } else { 0.0 };
                // Woodbury's subtraction loses what the ridge is smaller than the rows: four digits.
                assert!((unit[(i, j)] - expected).abs() < 1e-11, "{n_rows} {i} {j}: {}", unit[(i, j)]);
            }
            n_cases += 1;
        }
        assert_eq!(n_cases, 5);
    }

    #[test]
    fn only_rows_that_stand_for_others_raise_the_floor() {
        // Three rows that span three of five directions, of energy 4 each.
        let rows: Vec<f32> = (0..15).map(|it| if it % 6 == 0 { 2.0 } else { 0.0 }).collect();
        let root = |stand: bool| FewRows::new(&rows, 5, &[stand; 3], |_| 0.25).roots[0];
        assert!((root(false) - 2.0).abs() < 1e-12, "{}", root(false));
        assert!((root(true).powi(-2) - 4.25).abs() < 1e-6, "{}", root(true));
    }
}
