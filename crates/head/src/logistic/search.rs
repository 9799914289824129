//! The best of many alphas without a fit for each: losses fall towards their minimum from both sides.

use std::collections::BTreeMap;

use super::folds::CrossValidated;
use super::path::{AlphaPath, from_strong_to_weak, mean_and_error, path_of, whole_path};
use crate::error::HeadError;

/// Where the search begins: good across backbones and datasets on standardised features.
const FIRST: f64 = 10.0;

/// Places of the grid between the first looks: a decade of the default's four.
const STRIDE: usize = 4;

/// How far above the smallest loss one is for what lies beyond to be worse still.
const WELL_ABOVE: f64 = 1.05;

/// Alphas up to which all are looked at.
const FEW: usize = 8;

/// Finds the best alpha of a grid; see [`Logistic::select_alpha`](super::Logistic::select_alpha).
pub(super) fn search(
    samples: &mut dyn CrossValidated,
    alphas: &[f64],
    whole_side: bool,
) -> Result<AlphaPath, HeadError> {
    if alphas.len() <= FEW {
        return whole_path(samples, alphas);
    }
    let alphas = from_strong_to_weak(alphas);
    let mut known = Known { samples, alphas: &alphas, losses: BTreeMap::new() };
    // A decade apart, until the loss is surely rising on both sides.
    let begin = alphas.iter().position(|it| *it <= FIRST).unwrap_or(alphas.len() - 1);
    let mut best = known.scan(begin)?;
    // Ever nearer to the best.
    let mut stride = STRIDE / 2;
    while stride > 0 {
        best = known.descend(best, stride)?;
        stride /= 2;
    }
    if whole_side {
        let mut place = best;
        while place > 0 && known.is_within_one_error(place, best) {
            place -= 1;
            known.complete(place)?;
        }
    }
    known.path()
}

/// Losses that are known, by the place of their alpha.
struct Known<'a, 'b> {
    samples: &'a mut (dyn CrossValidated + 'b),
    alphas: &'a [f64],
    losses: BTreeMap<usize, Vec<Option<f64>>>,
}

impl Known<'_, '_> {
    /// Has the losses at an alpha.
    fn complete(&mut self, place: usize) -> Result<(), HeadError> {
        if !self.losses.contains_key(&place) {
            let losses = self.samples.losses(self.alphas[place], &mut |_, _| ())?;
            self.losses.insert(place, losses);
        }
        Ok(())
    }

    /// Looks at places a stride apart, from one on in both directions until the loss is well above its smallest, and
    /// says which is the best.
    fn scan(&mut self, begin: usize) -> Result<usize, HeadError> {
        self.complete(begin)?;
        let mut best = begin;
        let stronger = (0..begin).rev().skip(STRIDE - 1).step_by(STRIDE);
        let weaker = (begin..self.alphas.len()).skip(STRIDE).step_by(STRIDE);
        let directions: [Vec<usize>; 2] = [stronger.collect(), weaker.collect()];
        for places in directions {
            for place in places {
                self.complete(place)?;
                if self.mean(place) < self.mean(best) {
                    best = place;
                }
                if self.mean(place) > WELL_ABOVE * self.mean(best) {
                    break;
                }
            }
        }
        Ok(best)
    }

    /// Goes from a place to where the losses of its neighbours, so many places away, are no smaller.
    fn descend(&mut self, begin: usize, stride: usize) -> Result<usize, HeadError> {
        let mut best = begin;
        loop {
            let neighbours =
                [best.checked_sub(stride), Some(best + stride).filter(|it| *it < self.alphas.len())];
            let mut next = best;
            // Stronger ones first: of equals the strongest is the best.
            for place in neighbours.into_iter().flatten() {
                self.complete(place)?;
                if self.mean(place) < self.mean(next) {
                    next = place;
                }
            }
            if next == best {
                return Ok(best);
            }
            best = next;
        }
    }

    fn mean_and_error(&self, place: usize) -> (f64, f64) {
        mean_and_error(self.losses[&place].iter().copied().flatten())
    }

    /// Mean loss; not less than any where nothing counts.
    fn mean(&self, place: usize) -> f64 {
        let (mean, _) = self.mean_and_error(place);
        if mean.is_nan() { f64::INFINITY } else { mean }
    }

    fn is_within_one_error(&self, place: usize, best: usize) -> bool {
        let (mean, error) = self.mean_and_error(best);
        self.mean(place) <= mean + error
    }

    /// The path of all alphas that were looked at.
    fn path(self) -> Result<AlphaPath, HeadError> {
        let (places, losses): (Vec<usize>, Vec<_>) = self.losses.into_iter().unzip();
        path_of(places.into_iter().map(|it| self.alphas[it]).collect(), &losses)
    }
}

#[cfg(test)]
mod tests {
    use super::super::folds::VisitLogits;
    use super::*;

    /// Losses by a formula: what a search sees, and how often it asks.
    struct Formula {
        loss: fn(f64, usize) -> f64,
        n_fits: usize,
    }

    impl CrossValidated for Formula {
        fn losses(&mut self, alpha: f64, _: &mut VisitLogits<'_>) -> Result<Vec<Option<f64>>, HeadError> {
            self.n_fits += 5;
            Ok((0..5).map(|it| Some((self.loss)(alpha, it))).collect())
        }
    }

    #[test]
    fn the_best_of_the_grid_is_found_with_a_few_fits() {
        let losses: [fn(f64, usize) -> f64; 5] = [
            |alpha, fold| 1.0 + (alpha.log10() - 1.3).powi(2) + 0.01 * fold as f64,
            |alpha, _| 1.0 + (alpha.log10() + 3.1).abs(),
            |alpha, fold| 1.0 + (alpha.log10() - 4.9).powi(2) * (1.0 + 0.1 * fold as f64),
            // Falls for ever: the weakest is the best.
            |alpha, _| 9.0 + alpha.log10(),
            // Folds that do not agree.
            |alpha, fold| 1.0 + (alpha.log10() - if fold < 2 { 2.0 } else { 1.5 }).powi(2),
        ];
        let grid = super::super::default_alphas();
        for (case, loss) in losses.into_iter().enumerate() {
            let mut formula = Formula { loss, n_fits: 0 };
            let path = search(&mut formula, &grid, false).expect("a path");
            let mean = |alpha: f64| (0..5).map(|fold| loss(alpha, fold)).sum::<f64>();
            let best = grid.iter().copied().min_by(|a, b| mean(*a).total_cmp(&mean(*b))).expect("an alpha");
            assert!((path.alphas[path.best] / best - 1.0).abs() < 1e-9, "case {case}");
            assert!(formula.n_fits <= 80, "case {case}: {} of 225 fits", formula.n_fits);
            assert!(path.alphas.windows(2).all(|it| it[0] > it[1]), "from strong to weak");
        }
    }

    #[test]
    fn one_standard_error_looks_at_the_whole_side() {
        let grid = super::super::default_alphas();
        let loss = |alpha: f64, fold: usize| 1.0 + 0.01 * (alpha.log10() - 1.0).powi(2) + 0.1 * fold as f64;
        let full = search(&mut Formula { loss, n_fits: 0 }, &grid, true).expect("a path");
        let (mean, error) = (full.mean_loss[full.best], full.standard_error[full.best]);
        let expected =
            grid.iter().position(|it| (0..5).map(|fold| loss(*it, fold)).sum::<f64>() / 5.0 <= mean + error);
        let (found, expected) = (full.alphas[full.one_standard_error], grid[expected.expect("one")]);
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
    }
}
