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

/// Held-out samples that the first looks are judged by: fewer would not tell valleys from noise.
const SCANNED: usize = 200;

/// Standard errors that a better alpha must be expected to gain to be looked for.
const WORTH: f64 = 0.05;

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
    let begin = alphas.iter().position(|it| *it <= FIRST).unwrap_or(alphas.len() - 1);
    let near = known.scan(begin)?;
    let mut best = known.descend(near, STRIDE / 2)?;
    // From half decades to the place itself, where that may gain anything.
    while let Some(place) = known.worth_a_look(best) {
        known.complete(place)?;
        if known.mean(place) < known.mean(best) {
            best = place;
        }
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

/// Losses of all folds that are known, by the place of their alpha.
struct Known<'a, 'b> {
    samples: &'a mut (dyn CrossValidated + 'b),
    alphas: &'a [f64],
    losses: BTreeMap<usize, Vec<Option<f64>>>,
}

impl Known<'_, '_> {
    /// Has the losses of all folds at an alpha.
    fn complete(&mut self, place: usize) -> Result<(), HeadError> {
        if !self.losses.contains_key(&place) {
            let losses = self.samples.losses(self.alphas[place], usize::MAX, &mut |_, _| ())?;
            self.losses.insert(place, losses);
        }
        Ok(())
    }

    /// Mean loss of the first folds, as many as it takes to tell valleys from noise.
    fn first(&mut self, place: usize) -> Result<f64, HeadError> {
        let n_folds = self.samples.folds_with(SCANNED);
        if n_folds == self.samples.folds_with(usize::MAX) {
            self.complete(place)?;
            return Ok(self.mean(place));
        }
        let losses = self.samples.losses(self.alphas[place], n_folds, &mut |_, _| ())?;
        let (mean, _) = mean_and_error(losses.into_iter().flatten());
        Ok(if mean.is_nan() { f64::INFINITY } else { mean })
    }

    /// Looks with the first folds at places a stride apart, from one on in both directions until the loss is well above its
    /// smallest, and says near which place the best is.
    fn scan(&mut self, begin: usize) -> Result<usize, HeadError> {
        let mut best = (self.first(begin)?, begin);
        let stronger = (0..begin).rev().skip(STRIDE - 1).step_by(STRIDE);
        let weaker = (begin..self.alphas.len()).skip(STRIDE).step_by(STRIDE);
        let directions: [Vec<usize>; 2] = [stronger.collect(), weaker.collect()];
        for places in directions {
            for place in places {
                let loss = self.first(place)?;
                if loss < best.0 {
                    best = (loss, place);
                }
                if loss > WELL_ABOVE * best.0 {
                    break;
                }
            }
        }
        Ok(best.1)
    }

    /// Goes from a place to where the losses of its neighbours, so many places away, are no smaller.
    fn descend(&mut self, begin: usize, stride: usize) -> Result<usize, HeadError> {
        self.complete(begin)?;
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

    /// The place where a parabola through the best and its known neighbours on both sides is smallest, unless that is
    /// known, or not worth it; at an end of the grid the place between the best and its neighbour.
    fn worth_a_look(&self, best: usize) -> Option<usize> {
        let (mean, error) = self.mean_and_error(best);
        let before = self.losses.range(..best).next_back().map(|it| *it.0);
        let after = self.losses.range(best + 1..).next().map(|it| *it.0);
        let at = |place: usize| (place as f64 - best as f64, self.mean(place) - mean);
        let (Some(before), Some(after)) = (before, after) else {
            let between = (before.or(after)? + best) / 2;
            return (between != best && !self.losses.contains_key(&between)).then_some(between);
        };
        let ((a, of_a), (b, of_b)) = (at(before), at(after));
        // Through (a, of_a), (0, 0), (b, of_b): curvature·x² + slope·x.
        let curvature = (of_b / b - of_a / a) / (b - a);
        let slope = of_a / a - curvature * a;
        let gain = slope * slope / (4.0 * curvature);
        let minimum = (best as f64 - slope / (2.0 * curvature)).round();
        let is_between = minimum > before as f64 && minimum < after as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two places")]
        let place = if is_between { minimum as usize } else { return None };
        (gain > WORTH * error && !self.losses.contains_key(&place)).then_some(place)
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
        fn folds_with(&self, n_samples: usize) -> usize {
            if n_samples == usize::MAX { 5 } else { 1 }
        }

        fn losses(
            &mut self,
            alpha: f64,
            n_folds: usize,
            _: &mut VisitLogits<'_>,
        ) -> Result<Vec<Option<f64>>, HeadError> {
            let n_folds = n_folds.min(5);
            self.n_fits += n_folds;
            Ok((0..n_folds).map(|it| Some((self.loss)(alpha, it))).collect())
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
            let mean = |alpha: f64| (0..5).map(|fold| loss(alpha, fold)).sum::<f64>() / 5.0;
            let best = grid.iter().copied().map(mean).fold(f64::INFINITY, f64::min);
            let found = path.mean_loss[path.best];
            // The very best, or as good as: what is left is a tenth of a standard error, or of a loss a quarter of a
            // decade away.
            let allowed = (0.1 * path.standard_error[path.best]).max(0.02 * best);
            assert!(found <= best + allowed, "case {case}: {found} {best}");
            assert!(formula.n_fits <= 45, "case {case}: {} of 225 fits", formula.n_fits);
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
