//! Antialiased resize and centre crop, bit for bit what Pillow computes.

use crate::decode::Pixels;
use crate::error::ImageError;
use crate::preprocess::{Filter, Preprocess};

/// Names the resizer in the fingerprint.
pub(crate) const RESIZER: &str = "pillow";

/// Most memory for rows that are resized in one direction and not yet in the other. Photos take a
/// twentieth of it; a picture a million pixels high would take gigabytes.
const SQUEEZED_BYTES: usize = 16 << 20;

/// Fraction bits of a coefficient: products with 8-bit pixels and their sum stay within 32 bits.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Resizes and crops; only what survives the crop is computed.
///
/// Sizes and offsets follow torchvision's `Resize` and `CenterCrop`: the long side is truncated
/// (`int(size · long / short)`), the offset rounds half to even (`int(round((h - th) / 2))`).
///
/// # Source
/// Pillow 13, `libImaging/Resample.c`: rows first, 22-bit coefficients, rounding to 8 bits in between.
pub(crate) fn resize_and_crop(image: &Pixels, preprocess: &Preprocess) -> Result<Vec<u8>, ImageError> {
    let [out_height, out_width] = preprocess.size.map(|it| it as usize);
    let (width, height) = (image.width as usize, image.height as usize);
    let (full_width, full_height) = match preprocess.short_side {
        None => (out_width, out_height),
        Some(side) => resized_size(width, height, side as usize),
    };
    let left = centre_offset(full_width, out_width);
    let top = centre_offset(full_height, out_height);
    let columns = Coefficients::new(width, full_width, left..left + out_width, preprocess.filter);
    let rows = Coefficients::new(height, full_height, top..top + out_height, preprocess.filter);
    // A resize to the same size is a copy in Pillow, and exact coefficients of 1 here.
    let stride = out_width * preprocess.n_channels();
    let mut out = Vec::with_capacity(out_height * stride);
    for rows in rows.pieces(SQUEEZED_BYTES / stride) {
        let needed = rows.span();
        let squeezed = match preprocess.n_channels() {
            1 => horizontal::<1>(&image.data, width, needed.clone(), &columns),
            _ => horizontal::<3>(&image.data, width, needed.clone(), &columns),
        };
        vertical(&squeezed, needed.start, stride, &rows, &mut out);
    }
    Ok(out)
}

/// Width and height after the short side became `side`.
fn resized_size(width: usize, height: usize, side: usize) -> (usize, usize) {
    let (short, long) = (width.min(height), width.max(height));
    let new_long = side * long / short;
    if width <= height { (side, new_long) } else { (new_long, side) }
}

fn centre_offset(full: usize, cropped: usize) -> usize {
    let twice = full - cropped;
    // Half to even, as Python's `round`.
    if twice.is_multiple_of(2) || (twice / 2).is_multiple_of(2) { twice / 2 } else { twice / 2 + 1 }
}

/// Which input positions make each output position, and with what weight.
struct Coefficients {
    /// First input position and number of them, for each output position.
    bounds: Vec<(usize, usize)>,
    /// Fixed-point weights, `n_taps` for each output position, the unused ones zero.
    weights: Vec<i32>,
    n_taps: usize,
}

impl Coefficients {
    fn new(in_size: usize, out_size: usize, kept: std::ops::Range<usize>, filter: Filter) -> Self {
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
    fn span(&self) -> std::ops::Range<usize> {
        let first = self.bounds.first().map_or(0, |it| it.0);
        first..self.bounds.iter().map(|it| it.0 + it.1).max().unwrap_or(first)
    }

    /// The same in pieces, each of which needs at most `max_rows` input positions, or is a single one.
    fn pieces(self, max_rows: usize) -> Vec<Self> {
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

    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.bounds
            .iter()
            .zip(self.weights.chunks_exact(self.n_taps))
            .map(|((first, n_taps), weights)| (*first, &weights[..*n_taps]))
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

fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255).to_le_bytes()[0]
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resizes each needed row of `CHANNELS` interleaved channels.
fn horizontal<const CHANNELS: usize>(
    data: &[u8],
    width: usize,
    rows: std::ops::Range<usize>,
    columns: &Coefficients,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * columns.bounds.len() * CHANNELS);
    for row in data[rows.start * width * CHANNELS..rows.end * width * CHANNELS].chunks_exact(width * CHANNELS)
    {
        for (first, weights) in columns.iter() {
            let mut sums = [HALF; CHANNELS];
            let pixels = row[first * CHANNELS..][..weights.len() * CHANNELS].chunks_exact(CHANNELS);
            for (pixel, weight) in pixels.zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            out.extend_from_slice(&sums.map(to_pixel));
        }
    }
    out
}

/// Resizes columns and appends them: `data` holds rows of `stride` bytes, from input row `first_row` on.
fn vertical(data: &[u8], first_row: usize, stride: usize, rows: &Coefficients, out: &mut Vec<u8>) {
    let mut sums = vec![0_i32; stride];
    for (first, weights) in rows.iter() {
        sums.fill(HALF);
        let inputs = data[(first - first_row) * stride..].chunks_exact(stride);
        for (input, weight) in inputs.zip(weights) {
            for (sum, value) in sums.iter_mut().zip(input) {
                *sum += i32::from(*value) * weight;
            }
        }
        out.extend(sums.iter().map(|it| to_pixel(*it)));
    }
}
