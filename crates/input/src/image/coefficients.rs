//! Coefficients of Pillow's resize, in fixed point.

use super::recipe::Filter;

/// Fraction bits of a coefficient: products with 8-bit pixels and their sum stay within 32 bits.
pub(crate) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Which input positions make each output position, and with what weight.
pub(crate) struct Coefficients {
    /// First input position and number of them, for each output position.
    pub(crate) bounds: Vec<(usize, usize)>,
    /// Fixed-point weights, `n_taps` for each output position, the unused ones zero.
    pub(crate) weights: Vec<i32>,
    pub(crate) n_taps: usize,
}

impl Coefficients {
    pub(crate) fn new(in_size: usize, out_size: usize, kept: std::ops::Range<usize>, filter: Filter) -> Self {
        let scale = in_size as f64 / out_size as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and not negative")]
        let n_taps = support.ceil() as usize * 2 + 1;
        let mut bounds = Vec::with_capacity(kept.len());
        let mut weights = Vec::with_capacity(kept.len() * n_taps);
        for position in kept {
            let centre = (position as f64 + 0.5) * scale;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped, then truncated as C does"
            )]
            let (first, end) = (
                (centre - support + 0.5).max(0.0) as usize,
                ((centre + support + 0.5) as usize).min(in_size),
            );
            let taps: Vec<f64> =
                (first..end).map(|it| filter.weight((it as f64 - centre + 0.5) / filter_scale)).collect();
            let sum: f64 = taps.iter().sum();
            bounds.push((first, taps.len()));
            weights.extend(taps.iter().map(|it| fixed_point(if sum == 0.0 { *it } else { it / sum })));
            weights.extend(std::iter::repeat_n(0, n_taps - taps.len()));
        }
        Self { bounds, weights, n_taps }
    }

    /// All input positions that are used.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        let first = self.bounds.first().map_or(0, |it| it.0);
        first..self.bounds.iter().map(|it| it.0 + it.1).max().unwrap_or(first)
    }

    /// The same in pieces, each of which needs at most `max_rows` input positions, or is a single one.
    pub(crate) fn pieces(self, max_rows: usize) -> Vec<Self> {
        if self.span().len() <= max_rows {
            return vec![self];
        }
        let positions = self.bounds.iter().zip(self.weights.chunks_exact(self.n_taps));
        let single = |(bounds, weights): (&(usize, usize), &[i32])| Self {
            bounds: vec![*bounds],
            weights: weights.to_vec(),
            n_taps: self.n_taps,
        };
        positions.map(single).collect()
    }
}

impl Filter {
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

fn fixed_point(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^22; truncation after adding a half rounds"
    )]
    let rounded = if weight < 0.0 { (scaled - 0.5) as i32 } else { (scaled + 0.5) as i32 };
    rounded
}
