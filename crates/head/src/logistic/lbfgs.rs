//! L-BFGS with a preconditioner as its initial inverse Hessian.
//!
//! Source: Nocedal & Wright 2006, algorithms 7.4 (two-loop recursion) and 7.5; the line search is the
//! weak Wolfe bisection of Lewis & Overton 2013, algorithm 2.6.

use std::collections::VecDeque;

/// Settings of [`minimise`].
pub(crate) struct Settings {
    pub(crate) max_iterations: usize,
    /// Pairs of steps and gradient changes remembered.
    pub(crate) memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_iterations: 1000, memory: 20 }
    }
}

pub(crate) struct Solution {
    pub(crate) parameters: Vec<f64>,
    pub(crate) n_iterations: usize,
}

struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    inverse: f64,
}

/// Objective and gradient.
type Evaluate<'a> = dyn FnMut(&[f64], &mut [f64]) -> f64 + 'a;

/// An approximate inverse Hessian that may be renewed as the iterate moves.
pub(crate) trait Precondition {
    /// Replaces a vector by the approximate inverse Hessian times it.
    fn apply(&self, vector: &mut [f64]);
    /// Called before each iteration, counted from 1, with the current parameters.
    fn renew(&mut self, iteration: usize, parameters: &[f64]);
}

/// Minimises a smooth convex function; stops when `is_converged` says so of its value and gradient, when no step
/// lowers the function any more, or at the iteration limit. The caller checks the result.
pub(crate) fn minimise(
    start: Vec<f64>,
    settings: &Settings,
    evaluate: &mut Evaluate<'_>,
    precondition: &mut dyn Precondition,
    is_converged: &dyn Fn(f64, &[f64]) -> bool,
) -> Solution {
    let mut x = start;
    let mut gradient = vec![0.0; x.len()];
    let mut value = evaluate(&x, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(settings.memory);
    let mut n_iterations = 0;
    while n_iterations < settings.max_iterations && !is_converged(value, &gradient) {
        n_iterations += 1;
        precondition.renew(n_iterations, &x);
        let mut direction = descent_direction(&gradient, &pairs, precondition);
        if dot(&direction, &gradient) >= 0.0 {
            // Rounding has spoilt the memory: begin again from the preconditioner.
            pairs.clear();
            direction = descent_direction(&gradient, &pairs, precondition);
        }
        let Some(point) = line_search(&x, value, &gradient, &direction, evaluate) else {
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        let step = difference(&point.x, &x);
        let change = difference(&point.gradient, &gradient);
        let curvature = dot(&step, &change);
        if curvature > 1e-14 * dot(&step, &step).sqrt() * dot(&change, &change).sqrt() {
            if pairs.len() == settings.memory {
                pairs.pop_front();
            }
            pairs.push_back(Pair { step, change, inverse: 1.0 / curvature });
        }
        (x, value, gradient) = (point.x, point.value, point.gradient);
    }
    Solution { parameters: x, n_iterations }
}

/// `-H·gradient` by the two-loop recursion.
fn descent_direction(gradient: &[f64], pairs: &VecDeque<Pair>, precondition: &dyn Precondition) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|it| -it).collect();
    let mut shares = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let share = pair.inverse * dot(&pair.step, &q);
        add_scaled(&mut q, -share, &pair.change);
        shares.push(share);
    }
    precondition.apply(&mut q);
    for (pair, share) in pairs.iter().zip(shares.into_iter().rev()) {
        let correction = share - pair.inverse * dot(&pair.change, &q);
        add_scaled(&mut q, correction, &pair.step);
    }
    q
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
    evaluate: &mut Evaluate<'_>,
) -> Option<Point> {
    const SUFFICIENT_DECREASE: f64 = 1e-4;
    const CURVATURE: f64 = 0.9;
    const MAX_TRIALS: usize = 40;
    let slope = dot(gradient, direction);
    // Near the minimum, differences drown in the rounding of the function's own value.
    let noise = 1e-14 * value.abs();
    let (mut low, mut high, mut t) = (0.0, f64::INFINITY, 1.0);
    let mut best = None;
    for _ in 0..MAX_TRIALS {
        let mut point = Point { x: x.to_vec(), value: 0.0, gradient: vec![0.0; x.len()] };
        add_scaled(&mut point.x, t, direction);
        point.value = evaluate(&point.x, &mut point.gradient);
        let decreased = point.value <= value + SUFFICIENT_DECREASE * t * slope + noise;
        // `!decreased` also when the value is NaN: the step was far too long.
        if !decreased {
            high = t;
        } else if dot(&point.gradient, direction) < CURVATURE * slope {
            low = t;
            best = Some(point);
        } else {
            return Some(point);
        }
        t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    best
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(a: &mut [f64], factor: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += factor * b);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}
