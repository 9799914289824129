//! Counting every class alike, and taking that back from the probabilities.

use ndarray::Array1;

/// Weights that make every class count alike: `n_samples / (n_classes · count)` for each sample's class,
/// over the classes that occur (scikit-learn's `class_weight="balanced"`).
///
/// # Panics
/// When a class of `y` is not below `n_classes`.
///
/// # Examples
/// ```
/// assert_eq!(headstart_head::balanced_weights(&[0, 0, 0, 1], 2), [4.0 / 6.0, 2.0]);
/// ```
#[must_use]
pub fn balanced_weights(y: &[usize], n_classes: usize) -> Vec<f64> {
    let mut counts = vec![0_usize; n_classes];
    y.iter().for_each(|it| counts[*it] += 1);
    let n_present = counts.iter().filter(|it| **it > 0).count();
    let weight = |count: usize| y.len() as f64 / (n_present * count) as f64;
    counts.iter().map(|it| if *it > 0 { weight(*it) } else { 0.0 }).collect()
}

/// Gives a fit with class weights the probabilities of the classes as they are: weights multiply the odds
/// of a class, so their logarithms go from the intercept, `(n_classes,)`.
///
/// # Source
/// King & Zeng 2001, Political Analysis 9, 137–163 (prior correction).
pub fn correct_prior(intercept: &mut Array1<f64>, class_weights: &[f64]) {
    let logs: Vec<f64> = class_weights.iter().map(|it| if *it > 0.0 { it.ln() } else { 0.0 }).collect();
    let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
    intercept.iter_mut().zip(&logs).for_each(|(b, log)| *b -= log - mean);
}
