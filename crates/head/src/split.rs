//! Seeded splits that keep classes in proportion and groups together.

use std::collections::{BTreeMap, HashMap};

/// Marks the samples to hold out for validation: about `fraction` of every class, whole groups only.
///
/// Every class with at least two groups keeps one on either side, unless `fraction` is zero. Groups are
/// drawn by a hash of their number and the seed: the draw depends neither on the order of the samples
/// nor, but for the last few groups of a class, on what other samples there are.
///
/// # Shapes
/// - `classes`: `(n_samples,)`.
/// - `groups`: `(n_samples,)`; samples of equal numbers stay together.
/// - returns `(n_samples,)`, true where held out.
///
/// # Panics
/// When `classes` and `groups` differ in length.
///
/// # Examples
/// ```
/// let groups: Vec<u64> = (0..8).collect();
/// let held_out = headstart_head::stratified_split(&[0, 0, 0, 0, 1, 1, 1, 1], &groups, 0.25, 7);
/// assert_eq!(held_out.iter().filter(|it| **it).count(), 2);
/// ```
#[must_use]
pub fn stratified_split(classes: &[usize], groups: &[u64], fraction: f64, seed: u64) -> Vec<bool> {
    assert_eq!(classes.len(), groups.len(), "a class and a group for every sample");
    let mut held_out = vec![false; classes.len()];
    if fraction <= 0.0 {
        return held_out;
    }
    for class_units in units_by_class(classes, groups, seed).values() {
        let n_samples: usize = class_units.iter().map(Vec::len).sum();
        let wanted = fraction * n_samples as f64;
        let mut taken = 0;
        for (position, unit) in class_units.iter().enumerate() {
            let is_last = position + 1 == class_units.len();
            let overshoots = taken as f64 + 0.5 * unit.len() as f64 > wanted;
            if is_last || (overshoots && taken > 0) {
                break;
            }
            unit.iter().for_each(|it| held_out[*it] = true);
            taken += unit.len();
        }
    }
    held_out
}

/// Deals samples into `n_folds` folds: classes in proportion, whole groups only.
///
/// # Shapes
/// - `classes`, `groups`: `(n_samples,)`, as for [`stratified_split`].
/// - returns `(n_samples,)`, the fold of each sample.
///
/// # Panics
/// When `classes` and `groups` differ in length, or `n_folds` is zero.
///
/// # Examples
/// ```
/// let folds = headstart_head::stratified_folds(&[0, 0, 0, 1, 1, 1], &[0, 1, 2, 3, 4, 5], 3, 7);
/// assert_eq!(folds.iter().filter(|it| **it == 0).count(), 2);
/// ```
#[must_use]
pub fn stratified_folds(classes: &[usize], groups: &[u64], n_folds: usize, seed: u64) -> Vec<usize> {
    assert_eq!(classes.len(), groups.len(), "a class and a group for every sample");
    let mut folds = vec![0; classes.len()];
    let mut in_all = vec![0_usize; n_folds];
    for class_units in units_by_class(classes, groups, seed).values() {
        let mut in_class = vec![0_usize; n_folds];
        for unit in class_units {
            // Where this class has fewest samples; of these where there are fewest in all.
            let fold = (0..n_folds).min_by_key(|it| (in_class[*it], in_all[*it])).expect("at least one fold");
            unit.iter().for_each(|it| folds[*it] = fold);
            in_class[fold] += unit.len();
            in_all[fold] += unit.len();
        }
    }
    folds
}

/// The samples of each group, in an order drawn by the seed, filed by the class of the group: the
/// smallest of those its samples have.
fn units_by_class(classes: &[usize], groups: &[u64], seed: u64) -> BTreeMap<usize, Vec<Vec<usize>>> {
    let mut units: HashMap<u64, Vec<usize>> = HashMap::new();
    for (sample, group) in groups.iter().enumerate() {
        units.entry(*group).or_default().push(sample);
    }
    let mut units: Vec<(u64, Vec<usize>)> = units.into_iter().collect();
    units.sort_by_key(|(group, _)| (mix(group ^ mix(seed)), *group));
    let mut by_class: BTreeMap<usize, Vec<Vec<usize>>> = BTreeMap::new();
    for (_, unit) in units {
        let class = unit.iter().map(|it| classes[*it]).min().unwrap_or(0);
        by_class.entry(class).or_default().push(unit);
    }
    by_class
}

/// The output function of SplitMix64 (Steele, Lea & Flood 2014): every bit of the input moves every bit
/// of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
