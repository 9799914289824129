//! An approximate inverse Hessian, from some of the rows.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatRef, Par, Side};
use rayon::prelude::*;

use super::few_rows::FewRows;
use super::kernels::Real;
use super::lbfgs::Precondition;
use super::loss::curvature;
use super::problem::{Problem, largest};

/// Features from which on few rows stand for the rest; below, a matrix of the features is cheap enough to be
/// made from many.
const WIDE: usize = 256;

/// How many those few rows are: a quarter of the features, and at most so many. Half as many take a third more
/// iterations, twice as many save a tenth of them and cost four times as much.
const FEW_ROWS: usize = 256;

/// Rows of a Gram matrix per feature: enough that the preconditioner sees every direction. With one, the
/// first steps at weak penalties lead nowhere. Few features can afford more, so that rare classes are
/// seen too.
const ROWS_PER_FEATURE: usize = 2;

/// Products below which a triangular solve is not worth other threads.
const MIN_PARALLEL: usize = 1 << 22;

/// Smallest penalty, relative to the diagonal of the Gram matrix: below, f32 sums are noise.
const RIDGE: f64 = 1e-6;

/// `M⁻¹` for `M = XᵀAX + penalty·I`, where `A` holds the curvature of each sample's loss, averaged over
/// the classes.
///
/// With it the Hessian of every class is near the identity, whatever the scales and correlations of the
/// features; without it pooled ReLU features need hundreds of iterations. For two classes and few samples
/// it is the exact inverse Hessian. A matrix for each class was tried: half the iterations, each twice as
/// dear, and every renewal ten times.
pub(crate) struct Preconditioner {
    inverse: Inverse,
    /// Square root of the diagonal of the Gram matrix, inverted: the inverse is of the matrix whose
    /// diagonal is scaled to 1.
    scale: Vec<f64>,
    /// `1 / ΣA`, for the intercept.
    intercept: f64,
    n_outputs: usize,
}

/// What the matrix is inverted by.
enum Inverse {
    /// Its Cholesky factor.
    Factor(Mat<f32>),
    /// The rows it consists of, where they are far fewer than the features.
    Rows(FewRows),
}

/// A row of the matrix.
struct Chosen {
    row: usize,
    /// Square root of what it weighs.
    root: f32,
    /// Whether it stands for rows like it that are not there.
    stands_for_others: bool,
}

impl Preconditioner {
    /// Curvatures at `parameters`, from the rows that weigh most.
    pub(crate) fn new<T: Real>(problem: &Problem<'_, T>, parameters: &[f64]) -> Self {
        let n_features = problem.n_features;
        let is_start = parameters[..n_features * problem.n_outputs()].iter().all(|it| *it == 0.0);
        let mut curvatures = vec![0.0; problem.targets.y.len()];
        if is_start {
            // All probabilities are alike.
            let uniform = curvature(&mut vec![0.0; problem.n_outputs()]);
            for row in problem.rows.iter().flat_map(Clone::clone) {
                curvatures[row] = problem.targets.weight(row) * uniform;
            }
        } else {
            problem.for_each_logits(parameters, &mut |row, logits| {
                curvatures[row] = problem.targets.weight(row) * curvature(&mut logits.to_vec());
            });
        }
        let rows = choose(&curvatures, n_rows_for(n_features));
        let is_wide = n_features >= WIDE;
        let mut sample = weighted_rows(problem, &rows);
        let mut diagonal = vec![0.0; n_features];
        for row in sample.chunks_exact(n_features) {
            diagonal.iter_mut().zip(row).for_each(|(a, b)| *a += f64::from(*b) * f64::from(*b));
        }
        // A constant feature has no scale, and no gradient either.
        diagonal.iter_mut().filter(|it| !(**it > 0.0 && it.is_finite())).for_each(|it| *it = 1.0);
        let scale: Vec<f64> = diagonal.iter().map(|it| 1.0 / it.sqrt()).collect();
        #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
        let narrow: Vec<f32> = scale.iter().map(|it| *it as f32).collect();
        let scaled = |row: &mut [f32]| row.iter_mut().zip(&narrow).for_each(|(a, b)| *a *= b);
        sample.par_chunks_mut(n_features).for_each(scaled);
        let ridge = |j: usize| problem.penalty * scale[j] * scale[j];
        let inverse = if is_wide {
            let stand_for_others: Vec<bool> = rows.iter().map(|it| it.stands_for_others).collect();
            Inverse::Rows(FewRows::new(&sample, n_features, &stand_for_others, |j| ridge(j).max(RIDGE)))
        } else {
            Inverse::Factor(factor(&gram(&sample, n_features), ridge))
        };
        let total: f64 = curvatures.iter().sum();
        Self { inverse, scale, intercept: 1.0 / total.max(f64::MIN_POSITIVE), n_outputs: problem.n_outputs() }
    }

    /// Evaluations of the objective after which a new one is worth its cost: what it costs itself, products of
    /// matrices against products that also wait for memory, and what the solver has then learnt with the old one.
    pub(crate) fn renew_after<T>(problem: &Problem<'_, T>) -> usize {
        /// Floating-point operations for which a number could be fetched from memory.
        const FETCH: usize = 40;
        let (n_features, n_outputs) = (problem.n_features, problem.targets.n_outputs());
        let n_rows: usize = problem.rows.iter().map(ExactSizeIterator::len).sum();
        let n_chosen = n_rows_for(n_features).min(n_rows);
        let (products, at_least) = if n_features >= WIDE {
            (n_chosen * n_chosen * n_features, 12)
        } else {
            (n_features * n_features * (n_chosen + n_features / 3), 4)
        };
        (products / (n_rows * n_features * (4 * n_outputs + FETCH)).max(1)).clamp(at_least, 64)
    }
}

impl Precondition for Preconditioner {
    fn apply(&self, vector: &mut [f64]) {
        let (n_features, n_outputs) = (self.scale.len(), self.n_outputs);
        let (coef, intercept) = vector.split_at_mut(n_features * n_outputs);
        intercept.iter_mut().for_each(|it| *it *= self.intercept);
        // Gradients shrink to nothing in the end: keep them away from the smallest f32.
        let largest = largest(coef);
        let unit = if largest > 0.0 && largest.is_finite() { largest } else { 1.0 };
        let at = |i: usize, j: usize| coef[i * n_outputs + j] / unit * self.scale[i];
        let columns = match &self.inverse {
            Inverse::Factor(factor) => solve(factor, n_outputs, at),
            Inverse::Rows(rows) => rows.solve(Mat::from_fn(n_features, n_outputs, at)),
        };
        for (index, out) in coef.iter_mut().enumerate() {
            let (i, j) = (index / n_outputs, index % n_outputs);
            *out = columns[(i, j)] * self.scale[i] * unit;
        }
    }
}

/// The columns of a right-hand side, divided by a matrix of that Cholesky factor.
fn solve(factor: &Mat<f32>, n_outputs: usize, at: impl Fn(usize, usize) -> f64) -> Mat<f64> {
    let n_features = factor.nrows();
    #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
    let mut columns = Mat::from_fn(n_features, n_outputs, |i, j| at(i, j) as f32);
    let par = if n_features * n_features * n_outputs < MIN_PARALLEL { Par::Seq } else { Par::rayon(0) };
    solve_lower_triangular_in_place(factor.as_ref(), columns.as_mut(), par);
    solve_upper_triangular_in_place(factor.transpose(), columns.as_mut(), par);
    Mat::from_fn(n_features, n_outputs, |i, j| f64::from(columns[(i, j)]))
}

/// Rows of a Gram matrix.
fn n_rows_for(n_features: usize) -> usize {
    if n_features >= WIDE {
        return FEW_ROWS.min(n_features / 4);
    }
    ROWS_PER_FEATURE * n_features.max((1 << 19) / n_features.max(1))
}

/// About `count` rows, those of large weight surely and the others in proportion to it.
#[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
fn choose(weights: &[f64], count: usize) -> Vec<Chosen> {
    let total: f64 = weights.iter().sum();
    let unit = total / count as f64;
    let mut chosen = Vec::with_capacity(count);
    let mut left = 0.5 * unit;
    for (row, weight) in weights.iter().enumerate().filter(|(_, it)| **it > 0.0) {
        if weights.len() <= count || *weight >= unit {
            chosen.push(Chosen { row, root: weight.sqrt() as f32, stands_for_others: false });
            continue;
        }
        left += weight;
        if left >= unit {
            left -= unit;
            chosen.push(Chosen { row, root: unit.sqrt() as f32, stands_for_others: true });
        }
    }
    chosen
}

/// Some rows, times a factor each.
fn weighted_rows<T: Real>(problem: &Problem<'_, T>, rows: &[Chosen]) -> Vec<f32> {
    let n_features = problem.n_features;
    let mut sample = vec![0.0_f32; rows.len() * n_features];
    let mut done = 0;
    // Rows that cannot be read leave zeros; the evaluation that comes next reports it.
    drop(problem.design.for_each_batch(&mut |first, batch| {
        let n_here = rows[done..].partition_point(|it| it.row < first + batch.len() / n_features);
        let here = rows[done..done + n_here].par_iter();
        let out = sample[done * n_features..][..n_here * n_features].par_chunks_mut(n_features);
        out.zip(here).for_each(|(out, Chosen { row, root, .. })| {
            let row = &batch[(row - first) * n_features..][..n_features];
            #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
            out.iter_mut().zip(row).for_each(|(a, b)| *a = b.to_f64() as f32 * root);
        });
        done += n_here;
    }));
    sample
}

/// The lower half of `SᵀS`.
fn gram(sample: &[f32], n_features: usize) -> Mat<f32> {
    let sample = MatRef::from_row_major_slice(sample, sample.len() / n_features, n_features);
    let mut gram = Mat::zeros(n_features, n_features);
    triangular::matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        sample.transpose(),
        BlockStructure::Rectangular,
        sample,
        BlockStructure::Rectangular,
        1.0,
        Par::rayon(0),
    );
    gram
}

/// The Cholesky factor of a Gram matrix of unit diagonal plus a ridge.
fn factor(gram: &Mat<f32>, ridge: impl Fn(usize) -> f64) -> Mat<f32> {
    let n_features = gram.nrows();
    let mut floor = RIDGE;
    while floor < 1.0 {
        let mut matrix = gram.clone();
        #[expect(clippy::cast_possible_truncation, reason = "a preconditioner needs no more than f32")]
        (0..n_features).for_each(|j| matrix[(j, j)] += ridge(j).max(floor).min(1e30) as f32);
        if let Ok(llt) = matrix.llt(Side::Lower) {
            return llt.L().to_owned();
        }
        floor *= 10.0;
    }
    // Not even a dominating diagonal could be factored: values that are not finite. The solver goes
    // without, and its certificate tells.
    Mat::identity(n_features, n_features)
}
