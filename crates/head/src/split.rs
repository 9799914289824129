//! Seeded splits that keep classes in proportion and groups together.

use std::collections::{BTreeMap, HashMap};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Marks the samples to hold out for validation: about `fraction` of every class, whole groups only.
///
/// Every class with at least two groups keeps one on either side. Samples without a group are groups of
/// their own. The same seed, classes and groups give the same split.
///
/// # Shapes
/// - `classes`, `groups`: `(n_samples,)`; `groups` may be empty: no sample has a group then.
/// - returns `(n_samples,)`, true where held out.
///
/// # Examples
/// ```
/// let held_out = headstart_head::stratified_split(&[0, 0, 0, 0, 1, 1, 1, 1], &[], 0.25, 7);
/// assert_eq!(held_out.iter().filter(|it| **it).count(), 2);
/// ```
#[must_use]
pub fn stratified_split(classes: &[usize], groups: &[Option<String>], fraction: f64, seed: u64) -> Vec<bool> {
    let mut units: Vec<Vec<usize>> = Vec::new();
    let mut unit_of: HashMap<&str, usize> = HashMap::new();
    for sample in 0..classes.len() {
        match groups.get(sample).and_then(Option::as_deref) {
            Some(group) => {
                let unit = *unit_of.entry(group).or_insert_with(|| {
                    units.push(Vec::new());
                    units.len() - 1
                });
                units[unit].push(sample);
            }
            None => units.push(vec![sample]),
        }
    }
    // A group with several classes is placed by its first sample's.
    let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (unit, samples) in units.iter().enumerate() {
        by_class.entry(classes[samples[0]]).or_default().push(unit);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut held_out = vec![false; classes.len()];
    for class_units in by_class.values_mut() {
        class_units.shuffle(&mut rng);
        let n_samples: usize = class_units.iter().map(|it| units[*it].len()).sum();
        let wanted = fraction * n_samples as f64;
        let mut taken = 0;
        for (position, unit) in class_units.iter().enumerate() {
            let length = units[*unit].len();
            let is_last = position + 1 == class_units.len();
            let overshoots = taken as f64 + 0.5 * length as f64 > wanted;
            if is_last || (overshoots && taken > 0) {
                break;
            }
            units[*unit].iter().for_each(|it| held_out[*it] = true);
            taken += length;
        }
    }
    held_out
}
