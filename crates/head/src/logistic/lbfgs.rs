//! L-BFGS with a preconditioner as its initial inverse Hessian.
//!
//! Source: Nocedal & Wright 2006, algorithms 7.4 (two-loop recursion) and 7.5; the line search is the
//! weak Wolfe bisection of Lewis & Overton 2013, algorithm 2.6.

use std::collections::VecDeque;

use rayon::prelude::*;

/// Settings of [`minimise`].
pub(crate) struct Settings {
    pub(crate) max_iterations: usize,
    /// How far the function's values may be off, relative to themselves.
    pub(crate) noise: f64,
    /// After so many iterations in which neither the value falls by more than its noise nor the gradient
    /// gets flatter than ever, there is nothing more to reach.
    pub(crate) patience: usize,
    /// Evaluations that making the inverse Hessian costs: it is made anew when so many have gone by and the
    /// value has halved, or when many more have.
    pub(crate) renew_after: usize,
}

pub(crate) struct Solution {
    pub(crate) parameters: Vec<f64>,
    pub(crate) n_iterations: usize,
}

/// What a step has taught.
struct Pair {
    step: Vec<f64>,
    /// What the step changed of the gradient.
    change: Vec<f64>,
    /// The approximate inverse Hessian times it.
    preconditioned_change: Vec<f64>,
    inverse: f64,
}

/// Objective and gradient.
pub(crate) type Evaluate<'a> = dyn FnMut(&[f64], &mut [f64]) -> f64 + 'a;

/// An approximate inverse Hessian.
pub(crate) trait Precondition {
    /// Replaces a vector by the approximate inverse Hessian times it.
    fn apply(&self, vector: &mut [f64]);
}

impl<P: Precondition> Precondition for std::sync::Arc<P> {
    fn apply(&self, vector: &mut [f64]) {
        self.as_ref().apply(vector);
    }
}

/// Makes the approximate inverse Hessian at a point.
type Curvature<'a, P> = dyn FnMut(&[f64]) -> P + 'a;

/// Numbers remembered of steps and of each kind of change: small problems remember all of theirs.
const MEMORY: usize = 1 << 18;

/// An inverse Hessian is made anew after this many times its cost, though the value has not halved; then
/// after as many times more.
const RENEWAL_FACTOR: usize = 6;

/// Minimises a smooth convex function; stops when `is_converged` says so of its value and gradient, when
/// no step lowers the function any more, or at the iteration limit. The caller checks the result.
pub(crate) fn minimise<P: Precondition>(
    start: Vec<f64>,
    settings: &Settings,
    evaluate: &mut Evaluate<'_>,
    curvature: &mut Curvature<'_, P>,
    is_converged: &dyn Fn(f64, &[f64]) -> bool,
) -> Solution {
    let mut x = start;
    let mut gradient = vec![0.0; x.len()];
    let mut value = evaluate(&x, &mut gradient);
    let mut precondition = curvature(&x);
    let mut preconditioned = applied(&precondition, &gradient);
    let memory = (MEMORY / x.len()).clamp(16, 64);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(memory);
    let (mut n_iterations, mut n_stalled) = (0, 0);
    let mut flattest = norm(&gradient);
    let (mut n_evaluations, mut value_renewed) = (0, value);
    let (mut at_latest, mut is_fresh) = (settings.renew_after.saturating_mul(RENEWAL_FACTOR), true);
    while n_iterations < settings.max_iterations
        && n_stalled < settings.patience
        && !is_converged(value, &gradient)
    {
        n_iterations += 1;
        let is_late = n_evaluations >= at_latest;
        if is_late || (n_evaluations >= settings.renew_after && value < 0.5 * value_renewed) {
            // What was learnt with the old one is worth less than the new one.
            pairs.clear();
            precondition = curvature(&x);
            preconditioned = applied(&precondition, &gradient);
            (n_evaluations, value_renewed, is_fresh) = (0, value, true);
            if is_late {
                at_latest = at_latest.max(settings.renew_after).saturating_mul(RENEWAL_FACTOR);
            }
        }
        let mut direction = descent_direction(&gradient, &preconditioned, &pairs);
        if dot(&direction, &gradient) >= 0.0 {
            // Rounding has spoilt the memory: begin again from the preconditioner.
            pairs.clear();
            direction = descent_direction(&gradient, &preconditioned, &pairs);
        }
        let mut counted = |x: &[f64], gradient: &mut [f64]| {
            n_evaluations += 1;
            evaluate(x, gradient)
        };
        let Some(point) = line_search(&x, value, &gradient, &direction, settings.noise, &mut counted) else {
            if pairs.is_empty() {
                if is_fresh {
                    break;
                }
                // It may be the inverse Hessian that misleads: one more try with a new one.
                at_latest = 0;
            }
            pairs.clear();
            continue;
        };
        is_fresh = false;
        let step = difference(&point.x, &x);
        let change = difference(&point.gradient, &gradient);
        let product = dot(&step, &change);
        let new_preconditioned = applied(&precondition, &point.gradient);
        if product > 1e-14 * norm(&step) * norm(&change) {
            if pairs.len() == memory {
                pairs.pop_front();
            }
            let preconditioned_change = difference(&new_preconditioned, &preconditioned);
            pairs.push_back(Pair { step, change, preconditioned_change, inverse: 1.0 / product });
        }
        let is_flatter = norm(&point.gradient) < 0.9 * flattest;
        if is_flatter || value - point.value > settings.noise * value.abs() {
            n_stalled = 0;
            flattest = flattest.min(norm(&point.gradient));
        } else {
            n_stalled += 1;
        }
        preconditioned = new_preconditioned;
        (x, value, gradient) = (point.x, point.value, point.gradient);
    }
    Solution { parameters: x, n_iterations }
}

/// `-H·gradient` by the two-loop recursion; the preconditioner is scaled by what the last step taught
/// (Nocedal & Wright's equation 7.20 in its metric).
///
/// The preconditioner is linear: from what it makes of the gradient and of the pairs follows what it
/// makes of the vector between the loops.
fn descent_direction(gradient: &[f64], preconditioned: &[f64], pairs: &VecDeque<Pair>) -> Vec<f64> {
    let negative = |it: &[f64]| it.iter().map(|it| -it).collect::<Vec<f64>>();
    let (mut q, mut r) = (negative(gradient), negative(preconditioned));
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &q);
        add_scaled(&mut q, -share, &pair.change);
        add_scaled(&mut r, -share, &pair.preconditioned_change);
        shares.push(share);
    }
    if let Some(pair) = pairs.back() {
        let scale = 1.0 / (pair.inverse * dot(&pair.change, &pair.preconditioned_change));
        if scale.is_finite() {
            r.iter_mut().for_each(|it| *it *= scale);
        }
    }
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let correction = share - pair.inverse * dot(&pair.change, &r);
        add_scaled(&mut r, correction, &pair.step);
    }
    r
}

fn applied(precondition: &impl Precondition, vector: &[f64]) -> Vec<f64> {
    let mut result = vector.to_vec();
    precondition.apply(&mut result);
    result
}

struct Point {
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step that lowers the function enough and flattens its slope enough; `None` when none is found.
fn line_search(
    x: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    noise: f64,
    evaluate: &mut Evaluate<'_>,
) -> Option<Point> {
    const SUFFICIENT_DECREASE: f64 = 1e-4;
    const CURVATURE: f64 = 0.9;
    const MAX_TRIALS: usize = 30;
    let slope = dot(gradient, direction);
    // Near the minimum, differences drown in the rounding of the function's own value.
    let noise = noise * value.abs();
    // Ends of the bracket with their slopes; the high one is unknown at first.
    let (mut low, mut low_slope, mut high, mut t) = (0.0, slope, f64::INFINITY, 1.0);
    let mut best = None;
    for _ in 0..MAX_TRIALS {
        let mut point = Point { x: x.to_vec(), value: 0.0, gradient: vec![0.0; x.len()] };
        add_scaled(&mut point.x, t, direction);
        point.value = evaluate(&point.x, &mut point.gradient);
        let new_slope = dot(&point.gradient, direction);
        let decreased = point.value <= value + SUFFICIENT_DECREASE * t * slope + noise;
        if decreased && new_slope >= CURVATURE * slope {
            return Some(point);
        }
        // Where the line through both slopes crosses zero, kept inside the bracket.
        let zero = low + (t - low) * low_slope / (low_slope - new_slope);
        // `!decreased` also when the value is NaN: the step was far too long.
        if decreased {
            (low, low_slope) = (t, new_slope);
            best = Some(point);
            t = if high.is_finite() { 0.5 * (low + high) } else { zero.clamp(1.5 * low, 8.0 * low) };
        } else {
            high = t;
            t = zero.clamp(low + 0.1 * (high - low), low + 0.7 * (high - low));
        }
        if t.is_nan() {
            t = 0.5 * (low + high);
        }
    }
    best
}

/// Numbers that one thread adds up at a time; fixed, so that the result does not depend on the threads.
const CHUNK: usize = 1 << 14;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let of_chunk = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if a.len() <= CHUNK {
        return of_chunk((a, b));
    }
    a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK)).map(of_chunk).collect::<Vec<_>>().iter().sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn add_scaled(a: &mut [f64], factor: f64, b: &[f64]) {
    let add = |(a, b): (&mut [f64], &[f64])| a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
    if a.len() <= CHUNK {
        return add((a, b));
    }
    a.par_chunks_mut(CHUNK).zip(b.par_chunks(CHUNK)).for_each(add);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
