//! The two products that an evaluation consists of, in registers: the only module that names `pulp`.
//!
//! Heads are narrow: ten outputs, or one. A general matrix product packs its operands for reuse that a
//! narrow one has none of; here every number of a row is loaded and used in both products while it is in
//! the cache.

use std::convert::identity;
use std::ops::{Add, Mul};

use pulp::{Arch, Simd, WithSimd};

/// A float that the solver computes in.
pub(crate) trait Real: Copy + Send + Sync + Add<Output = Self> + Mul<Output = Self> + 'static {
    /// As many floats as a register holds.
    type Lanes<S: Simd>: Copy;
    /// How far a sum over samples may be off, relative to itself.
    const NOISE: f64;
    const ZERO: Self;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// Full registers, and what is left over.
    fn lanes<S: Simd>(values: &[Self]) -> (&[Self::Lanes<S>], &[Self]);
    fn lanes_mut<S: Simd>(values: &mut [Self]) -> (&mut [Self::Lanes<S>], &mut [Self]);
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Lanes<S>;
    fn mul_add<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S>;
    fn sum<S: Simd>(simd: S, lanes: Self::Lanes<S>) -> Self;
}

macro_rules! real {
    ($float:ty, $noise:literal, $round:path, $lanes:ident, $load:ident, $load_mut:ident, $splat:ident, $mul_add:ident, $sum:ident) => {
        impl Real for $float {
            type Lanes<S: Simd> = S::$lanes;
            const NOISE: f64 = $noise;
            const ZERO: Self = 0.0;
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                $round(value)
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn lanes<S: Simd>(values: &[Self]) -> (&[Self::Lanes<S>], &[Self]) {
                S::$load(values)
            }
            #[inline(always)]
            fn lanes_mut<S: Simd>(values: &mut [Self]) -> (&mut [Self::Lanes<S>], &mut [Self]) {
                S::$load_mut(values)
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> Self::Lanes<S> {
                simd.$splat(value)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: Self::Lanes<S>,
                b: Self::Lanes<S>,
                c: Self::Lanes<S>,
            ) -> Self::Lanes<S> {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, lanes: Self::Lanes<S>) -> Self {
                simd.$sum(lanes)
            }
        }
    };
}

real!(f32, 1e-7, round, f32s, as_simd_f32s, as_mut_simd_f32s, splat_f32s, mul_add_e_f32s, reduce_sum_f32s);
real!(
    f64,
    1e-14,
    identity,
    f64s,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s
);

#[expect(clippy::cast_possible_truncation, reason = "rounding is what is asked for")]
#[inline(always)]
fn round(value: f64) -> f32 {
    value as f32
}

/// `out = rows · coefᵀ`.
///
/// Shapes, all row-major: `rows` `(n, n_features)`, `coef` `(k, n_features)`, `out` `(n, k)`.
pub(crate) fn products<T: Real>(rows: &[T], coef: &[T], n_features: usize, out: &mut [T]) {
    Arch::new().dispatch(Products { rows, coef, n_features, out });
}

/// `gradient += residualsᵀ · rows`.
///
/// Shapes, all row-major: `rows` `(n, n_features)`, `residuals` `(n, k)`, `gradient` `(k, n_features)`.
pub(crate) fn add_gradient<T: Real>(rows: &[T], residuals: &[T], n_features: usize, gradient: &mut [T]) {
    Arch::new().dispatch(AddGradient { rows, residuals, n_features, gradient });
}

struct Products<'a, T> {
    rows: &'a [T],
    coef: &'a [T],
    n_features: usize,
    out: &'a mut [T],
}

impl<T: Real> WithSimd for Products<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Sums of so many rows by three outputs fill the registers, with what they are made of.
        if S::REGISTER_COUNT >= 32 { self.strips::<S, 8>(simd) } else { self.strips::<S, 4>(simd) }
    }
}

impl<T: Real> Products<'_, T> {
    #[inline(always)]
    fn strips<S: Simd, const R: usize>(self, simd: S) {
        let Self { rows, coef, n_features, out } = self;
        let n_outputs = coef.len() / n_features;
        let strips = rows.chunks_exact(R * n_features);
        let left = strips.remainder();
        let mut outs = out.chunks_exact_mut(R * n_outputs);
        for (rows, out) in strips.zip(&mut outs) {
            strip::<T, S, R>(simd, rows, coef, n_features, out);
        }
        let outs = outs.into_remainder().chunks_exact_mut(n_outputs);
        for (row, out) in left.chunks_exact(n_features).zip(outs) {
            strip::<T, S, 1>(simd, row, coef, n_features, out);
        }
    }
}

#[inline(always)]
fn strip<T: Real, S: Simd, const R: usize>(
    simd: S,
    rows: &[T],
    coef: &[T],
    n_features: usize,
    out: &mut [T],
) {
    let n_outputs = coef.len() / n_features;
    let mut of_strip = [rows; R];
    for r in 0..R {
        of_strip[r] = &rows[r * n_features..][..n_features];
    }
    let rows = of_strip;
    let mut first = 0;
    while first < n_outputs {
        let coef = &coef[first * n_features..];
        first += match n_outputs - first {
            1 => tile::<T, S, R, 1>(simd, rows, coef, n_features, out, first),
            2 => tile::<T, S, R, 2>(simd, rows, coef, n_features, out, first),
            _ => tile::<T, S, R, 3>(simd, rows, coef, n_features, out, first),
        };
    }
}

/// Products of `R` rows with `K` outputs from `first` on; returns `K`.
#[inline(always)]
fn tile<T: Real, S: Simd, const R: usize, const K: usize>(
    simd: S,
    rows: [&[T]; R],
    coef: &[T],
    n_features: usize,
    out: &mut [T],
    first: usize,
) -> usize {
    let n_outputs = out.len() / R;
    let (mut row_lanes, mut row_left) = ([T::lanes::<S>(rows[0]).0; R], [T::lanes::<S>(rows[0]).1; R]);
    let (mut coef_lanes, mut coef_left) = ([row_lanes[0]; K], [row_left[0]; K]);
    let (n_lanes, n_left) = (row_lanes[0].len(), row_left[0].len());
    for r in 0..R {
        let (lanes, left) = T::lanes::<S>(rows[r]);
        (row_lanes[r], row_left[r]) = (&lanes[..n_lanes], &left[..n_left]);
    }
    for k in 0..K {
        let (lanes, left) = T::lanes::<S>(&coef[k * n_features..][..n_features]);
        (coef_lanes[k], coef_left[k]) = (&lanes[..n_lanes], &left[..n_left]);
    }
    let mut sums = [[T::splat(simd, T::ZERO); K]; R];
    for i in 0..n_lanes {
        let mut coef = [T::splat(simd, T::ZERO); K];
        for k in 0..K {
            coef[k] = coef_lanes[k][i];
        }
        for r in 0..R {
            let x = row_lanes[r][i];
            for k in 0..K {
                sums[r][k] = T::mul_add(simd, x, coef[k], sums[r][k]);
            }
        }
    }
    for r in 0..R {
        for k in 0..K {
            let mut sum = T::sum(simd, sums[r][k]);
            for i in 0..n_left {
                sum = sum + row_left[r][i] * coef_left[k][i];
            }
            out[r * n_outputs + first + k] = sum;
        }
    }
    K
}

struct AddGradient<'a, T> {
    rows: &'a [T],
    residuals: &'a [T],
    n_features: usize,
    gradient: &'a mut [T],
}

impl<T: Real> WithSimd for AddGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, residuals, n_features, gradient } = self;
        let n_lanes = T::lanes::<S>(&rows[..n_features]).0.len();
        // A strip of columns stays in the first cache while all outputs use it.
        for column in (0..n_lanes - n_lanes % 4).step_by(4) {
            columns::<T, S, 4>(simd, rows, residuals, n_features, gradient, column);
        }
        for column in n_lanes - n_lanes % 4..n_lanes {
            columns::<T, S, 1>(simd, rows, residuals, n_features, gradient, column);
        }
        // What fills no register.
        let (n_rows, n_outputs) = (rows.len() / n_features, gradient.len() / n_features);
        for column in n_features - T::lanes::<S>(&rows[..n_features]).1.len()..n_features {
            for output in 0..n_outputs {
                let mut sum = gradient[output * n_features + column];
                for row in 0..n_rows {
                    sum = sum + residuals[row * n_outputs + output] * rows[row * n_features + column];
                }
                gradient[output * n_features + column] = sum;
            }
        }
    }
}

/// `V` registers of columns, for all outputs.
#[inline(always)]
fn columns<T: Real, S: Simd, const V: usize>(
    simd: S,
    rows: &[T],
    residuals: &[T],
    n_features: usize,
    gradient: &mut [T],
    column: usize,
) {
    let n_outputs = gradient.len() / n_features;
    let mut first = 0;
    while first < n_outputs {
        let gradient = &mut gradient[first * n_features..];
        first += match n_outputs - first {
            1 => column_tile::<T, S, V, 1>(simd, rows, residuals, n_features, gradient, column, first),
            2 => column_tile::<T, S, V, 2>(simd, rows, residuals, n_features, gradient, column, first),
            _ => column_tile::<T, S, V, 3>(simd, rows, residuals, n_features, gradient, column, first),
        };
    }
}

/// `V` registers of columns, for `K` outputs from `first` on; returns `K`.
#[inline(always)]
fn column_tile<T: Real, S: Simd, const V: usize, const K: usize>(
    simd: S,
    rows: &[T],
    residuals: &[T],
    n_features: usize,
    gradient: &mut [T],
    column: usize,
    first: usize,
) -> usize {
    let n_rows = rows.len() / n_features;
    let n_outputs = residuals.len() / n_rows;
    let mut sums = [[T::splat(simd, T::ZERO); V]; K];
    for row in 0..n_rows {
        let residuals = &residuals[row * n_outputs + first..][..K];
        let row = &rows[row * n_features..][..n_features];
        let lanes = &T::lanes::<S>(row).0[column..column + V];
        let mut x = [T::splat(simd, T::ZERO); V];
        #[expect(clippy::manual_memcpy, reason = "a copy of the slice would go through memory")]
        for v in 0..V {
            x[v] = lanes[v];
        }
        for k in 0..K {
            let residual = T::splat(simd, residuals[k]);
            for v in 0..V {
                sums[k][v] = T::mul_add(simd, x[v], residual, sums[k][v]);
            }
        }
    }
    let one = T::splat(simd, T::from_f64(1.0));
    for k in 0..K {
        let lanes = T::lanes_mut::<S>(&mut gradient[k * n_features..][..n_features]).0;
        for v in 0..V {
            lanes[column + v] = T::mul_add(simd, lanes[column + v], one, sums[k][v]);
        }
    }
    K
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both products by their definition, at sizes on either side of every register and tile.
    fn compare<T: Real>(tolerance: f64) {
        let mut n_cases = 0;
        for n in [1, 3, 4, 8, 13] {
            for d in [1, 7, 16, 64, 67, 131] {
                for k in [1, 2, 3, 4, 10] {
                    let value = |it: usize| T::from_f64(((it * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0);
                    let fill =
                        |len: usize, seed: usize| (0..len).map(|it| value(it + seed)).collect::<Vec<_>>();
                    let (rows, coef, residuals) = (fill(n * d, 1), fill(k * d, 5), fill(n * k, 9));
                    let at = |values: &[T], index: usize| values[index].to_f64();
                    let mut out = vec![T::ZERO; n * k];
                    products(&rows, &coef, d, &mut out);
                    for (index, found) in out.iter().enumerate() {
                        let (r, j) = (index / k, index % k);
                        let expected: f64 = (0..d).map(|i| at(&rows, r * d + i) * at(&coef, j * d + i)).sum();
                        assert!((found.to_f64() - expected).abs() <= tolerance * d as f64, "{n} {d} {k}");
                    }
                    let mut gradient = fill(k * d, 13);
                    let before = gradient.clone();
                    add_gradient(&rows, &residuals, d, &mut gradient);
                    for (index, found) in gradient.iter().enumerate() {
                        let (j, i) = (index / d, index % d);
                        let sum: f64 = (0..n).map(|r| at(&residuals, r * k + j) * at(&rows, r * d + i)).sum();
                        let expected = at(&before, index) + sum;
                        assert!((found.to_f64() - expected).abs() <= tolerance * n as f64, "{n} {d} {k}");
                    }
                    n_cases += 1;
                }
            }
        }
        assert_eq!(n_cases, 150);
    }

    #[test]
    fn products_in_registers_are_those_of_the_definition() {
        // Sums of numbers up to 1: rounding grows with how many there are.
        compare::<f32>(1e-6);
        compare::<f64>(1e-14);
    }
}
