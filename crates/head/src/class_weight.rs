//! Counting every class alike, and taking that back from the probabilities.

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

/// Gives the probabilities of a balanced fit, `(n_classes,)`, as they are where classes have these shares: counting
/// all alike divides the odds of a class by its share.
///
/// # Source
/// King & Zeng 2001, Political Analysis 9, 137–163 (prior correction).
///
/// # Examples
/// ```
/// let mut probabilities = [0.5, 0.5];
/// headstart_head::correct_prior(&mut probabilities, &[0.9, 0.1]);
/// assert_eq!(probabilities, [0.9, 0.1]);
/// ```
pub fn correct_prior(probabilities: &mut [f64], shares: &[f64]) {
    probabilities.iter_mut().zip(shares).for_each(|(p, share)| *p *= share);
    let sum: f64 = probabilities.iter().sum();
    if sum > 0.0 {
        probabilities.iter_mut().for_each(|p| *p /= sum);
    }
}
