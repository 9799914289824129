//! Antialiased resize and centre crop, bit for bit what Pillow computes.

use pulp::{Arch, Simd, WithSimd};

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

#[inline(always)]
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
    let data = &data[rows.start * width * CHANNELS..rows.end * width * CHANNELS];
    let mut out = vec![0; rows.len() * columns.bounds.len() * CHANNELS];
    Arch::new().dispatch(Horizontal::<CHANNELS> { data, width, columns, out: &mut out });
    out
}

/// Rows resized side by side: their sums fill a register, or two.
const ROWS: usize = 16;

/// [`horizontal`], compiled for the widest instructions there are.
struct Horizontal<'a, const CHANNELS: usize> {
    data: &'a [u8],
    width: usize,
    columns: &'a Coefficients,
    out: &'a mut [u8],
}

impl<const CHANNELS: usize> WithSimd for Horizontal<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { data, width, columns, out } = self;
        let (in_stride, out_stride) = (width * CHANNELS, columns.bounds.len() * CHANNELS);
        // Values of equal place in `ROWS` rows lie together.
        let span = columns.span();
        let mut turned = vec![0; span.len() * CHANNELS * ROWS];
        for (rows, out) in data.chunks(ROWS * in_stride).zip(out.chunks_mut(ROWS * out_stride)) {
            for (r, row) in rows.chunks_exact(in_stride).enumerate() {
                let needed = &row[span.start * CHANNELS..span.end * CHANNELS];
                turned[r..].iter_mut().step_by(ROWS).zip(needed).for_each(|(a, b)| *a = *b);
            }
            for position in 0..columns.bounds.len() {
                let (first, n_taps) = columns.bounds[position];
                let mut sums = [[HALF; ROWS]; CHANNELS];
                for tap in 0..n_taps {
                    let weight = columns.weights[position * columns.n_taps + tap];
                    let values = &turned[(first - span.start + tap) * CHANNELS * ROWS..][..CHANNELS * ROWS];
                    for channel in 0..CHANNELS {
                        for r in 0..ROWS {
                            let value = values[channel * ROWS + r];
                            sums[channel][r] = add_product(sums[channel][r], value, weight);
                        }
                    }
                }
                let mut pixels = [[0; CHANNELS]; ROWS];
                for r in 0..ROWS {
                    for channel in 0..CHANNELS {
                        pixels[r][channel] = to_pixel(sums[channel][r]);
                    }
                }
                for (row, pixel) in out.chunks_exact_mut(out_stride).zip(pixels) {
                    row[position * CHANNELS..][..CHANNELS].copy_from_slice(&pixel);
                }
            }
        }
    }
}

/// Resizes columns and appends them: `data` holds rows of `stride` bytes, from input row `first_row` on.
fn vertical(data: &[u8], first_row: usize, stride: usize, rows: &Coefficients, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + rows.bounds.len() * stride, 0);
    Arch::new().dispatch(Vertical { data, first_row, stride, rows, out: &mut out[start..] });
}

/// [`vertical`], compiled for the widest instructions there are.
struct Vertical<'a> {
    data: &'a [u8],
    first_row: usize,
    stride: usize,
    rows: &'a Coefficients,
    out: &'a mut [u8],
}

impl WithSimd for Vertical<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { data, first_row, stride, rows, out } = self;
        let mut sums = vec![0_i32; stride];
        for position in 0..rows.bounds.len() {
            let (first, n_taps) = rows.bounds[position];
            sums.fill(HALF);
            for tap in 0..n_taps {
                let weight = rows.weights[position * rows.n_taps + tap];
                let input = &data[(first - first_row + tap) * stride..][..stride];
                let sums = &mut sums[..stride];
                for index in 0..stride {
                    sums[index] = add_product(sums[index], input[index], weight);
                }
            }
            let out = &mut out[position * stride..][..stride];
            for index in 0..stride {
                out[index] = to_pixel(sums[index]);
            }
        }
    }
}

/// Sums stay within 32 bits, whatever the pixels: the weights of a position add up to 2^22, without their
/// signs to less than 1.3 times that. Checks for overflow would cost the vector units.
#[inline(always)]
fn add_product(sum: i32, pixel: u8, weight: i32) -> i32 {
    sum.wrapping_add(i32::from(pixel).wrapping_mul(weight))
}
