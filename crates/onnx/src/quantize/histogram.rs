//! What values a tensor takes, and the range that 8 bits should cover of it.
#![expect(clippy::cast_possible_truncation, reason = "bins are clamped, and ranges are f32 again")]

/// Bins on each side of zero.
const BINS: usize = 2048;

/// Values seen, in bins of one width; twice as wide where larger ones come.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    /// Largest magnitude the bins reach; 0 before any value came.
    reach: f64,
    /// From `-reach` up.
    counts: Vec<u64>,
    min: f32,
    max: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { reach: 0.0, counts: vec![0; 2 * BINS], min: 0.0, max: 0.0 }
    }
}

impl Histogram {
    /// Whether no value came, or none but zeros: they are exact in any range.
    pub(crate) fn is_empty(&self) -> bool {
        self.reach == 0.0
    }

    /// Adds values; those that are zero or not finite do not count.
    pub(crate) fn add(&mut self, values: &[f32]) {
        for value in values.iter().filter(|it| it.is_finite()) {
            self.min = self.min.min(*value);
            self.max = self.max.max(*value);
        }
        let largest = f64::from(self.max.max(-self.min));
        if largest == 0.0 {
            return;
        }
        if self.reach == 0.0 {
            self.reach = 2.0_f64.powi(largest.log2().floor() as i32 + 1);
        }
        while self.reach <= largest {
            self.widen();
        }
        // A power of two: exact in f32 too.
        let per_unit = (BINS as f64 / self.reach) as f32;
        for value in values.iter().filter(|it| **it != 0.0 && it.is_finite()) {
            // Rounded down; `floor` would be a call of the C library for each.
            let (place, toward_zero) = (value * per_unit, (value * per_unit) as i32);
            let bin = BINS as i32 + toward_zero - i32::from(toward_zero as f32 > place);
            self.counts[bin.clamp(0, 2 * BINS as i32 - 1).unsigned_abs() as usize] += 1;
        }
    }

    /// Twice the reach: two bins become one.
    fn widen(&mut self) {
        let mut wider = vec![0; 2 * BINS];
        for (bin, count) in self.counts.iter().enumerate() {
            wider[(bin + BINS) / 2] += count;
        }
        self.counts = wider;
        self.reach *= 2.0;
    }

    /// The range, zero in it, whose 256 levels represent the values with the smallest squared error: all
    /// of it is rounded, and what lies outside is moved to its end.
    ///
    /// # Source
    /// The trade of rounding against clipping: Banner et al. 2019, arXiv:1810.05723.
    pub(crate) fn range(&self) -> (f32, f32) {
        let error = |share: f64| {
            let (low, high) = (share * f64::from(self.min), share * f64::from(self.max));
            let rounding = ((high - low) / 255.0).powi(2) / 12.0;
            let width = self.reach / BINS as f64;
            let of_bin = |(bin, count): (usize, &u64)| {
                let centre = (bin as f64 - BINS as f64 + 0.5) * width;
                let clipping = (low - centre).max(centre - high).max(0.0).powi(2);
                *count as f64 * (rounding + clipping)
            };
            self.counts.iter().enumerate().filter(|it| *it.1 > 0).map(of_bin).sum::<f64>()
        };
        let shares = (20..=100).rev().map(|it| f64::from(it) / 100.0);
        let best = shares.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(1.0) as f32;
        (best * self.min, best * self.max)
    }
}
