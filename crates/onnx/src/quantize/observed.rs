//! A tensor to quantise: what was seen of it, and what follows from that.
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "levels are clamped to 8 bits")]

use super::histogram::Histogram;
use super::kind::n_groups;
use crate::proto::NodeProto;

/// A tensor to quantise, and what was seen of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    pub(super) name: String,
    histogram: Histogram,
    /// Sum of each channel over everything seen, where there are channels; and how many values that is.
    channel_sums: Vec<f64>,
    n_per_channel: usize,
    /// Largest magnitude of each channel, where there are channels.
    pub(super) channel_sizes: Vec<f64>,
}

impl Observed {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// As if nothing had been seen.
    pub(super) fn forget(&mut self) {
        *self = Self::new(&self.name);
    }

    /// Whether nothing but zeros came.
    pub(super) fn is_unseen(&self) -> bool {
        self.histogram.is_empty()
    }

    /// Takes note of values of a shape.
    pub(super) fn observe(&mut self, shape: &[usize], values: &[f32]) {
        self.histogram.add(values);
        if let [n_samples, n_channels, height, width] = *shape {
            self.channel_sums.resize(n_channels, 0.0);
            self.channel_sizes.resize(n_channels, 0.0);
            let size = height * width;
            self.n_per_channel += n_samples * size;
            for (plane, values) in values.chunks_exact(size.max(1)).enumerate() {
                let channel = plane % n_channels;
                self.channel_sums[channel] += values.iter().map(|it| f64::from(*it)).sum::<f64>();
                let largest = values.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                self.channel_sizes[channel] = self.channel_sizes[channel].max(largest.into());
            }
        }
    }

    /// Scale and zero point of its 256 levels.
    pub(super) fn scale(&self) -> (f32, u8) {
        let (low, high) = self.histogram.range();
        let scale = (high - low) / 255.0;
        // Nothing but zeros were seen, or numbers too small for a scale.
        if scale < f32::MIN_POSITIVE {
            return (1.0, 0);
        }
        (scale, (-low / scale).round().clamp(0.0, 255.0) as u8)
    }

    /// What each output of a convolution loses on average to the rounding of its weights: they, times the
    /// mean of each channel. Nothing where no channels were seen.
    pub(super) fn mean_shift(
        &self,
        dims: &[usize],
        conv: &NodeProto,
        lost: impl Fn(usize) -> f32,
    ) -> Option<Vec<f32>> {
        let n_groups = n_groups(conv);
        let [n_outputs, n_inputs] = [*dims.first()?, *dims.get(1)?];
        if self.n_per_channel == 0 || Some(self.channel_sums.len()) != n_inputs.checked_mul(n_groups) {
            return None;
        }
        let kernel: usize = dims[2..].iter().product();
        let shift = |output: usize| {
            let group = output * n_groups / n_outputs;
            let of_channel = |channel: usize| {
                let first = (output * n_inputs + channel) * kernel;
                let lost: f64 = (first..first + kernel).map(|it| f64::from(lost(it))).sum();
                lost * self.channel_sums[group * n_inputs + channel] / self.n_per_channel as f64
            };
            (0..n_inputs).map(of_channel).sum::<f64>() as f32
        };
        Some((0..n_outputs).map(shift).collect())
    }
}
