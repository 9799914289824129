//! Antialiased resize and centre crop, bit for bit what Pillow computes.

use pulp::{Arch, Simd, WithSimd};

use super::coefficients::{Coefficients, PRECISION_BITS};
use super::pixels::Pixels;
use super::recipe::ImageRecipe;
use crate::error::InputError;

/// Names the resizer in the fingerprint.
pub(crate) const RESIZER: &str = "pillow";

/// Most memory for rows that are resized in one direction and not yet in the other. Photos take a
/// twentieth of it; a picture a million pixels high would take gigabytes.
const SQUEEZED_BYTES: usize = 16 << 20;

/// Resizes and crops; only what survives the crop is computed.
///
/// Sizes and offsets follow torchvision's `Resize` and `CenterCrop`: the long side is truncated
/// (`int(size · long / short)`), the offset rounds half to even (`int(round((h - th) / 2))`).
///
/// # Source
/// Pillow 13, `libImaging/Resample.c`: rows first, 22-bit coefficients, rounding to 8 bits in between.
pub(crate) fn resize_and_crop(image: &Pixels, recipe: &ImageRecipe) -> Result<Vec<u8>, InputError> {
    let [out_height, out_width] = recipe.size.map(|it| it as usize);
    let (width, height) = (image.width as usize, image.height as usize);
    let (full_width, full_height) = match recipe.short_side {
        None => (out_width, out_height),
        Some(side) => resized_size(width, height, side as usize),
    };
    let left = centre_offset(full_width, out_width);
    let top = centre_offset(full_height, out_height);
    let columns = Coefficients::new(width, full_width, left..left + out_width, recipe.filter);
    let rows = Coefficients::new(height, full_height, top..top + out_height, recipe.filter);
    // A resize to the same size is a copy in Pillow, and exact coefficients of 1 here.
    let stride = out_width * recipe.n_channels();
    let mut out = Vec::with_capacity(out_height * stride);
    for rows in rows.pieces(SQUEEZED_BYTES / stride) {
        let needed = rows.span();
        let squeezed = match recipe.n_channels() {
            1 => horizontal::<1, 1, LANES>(&image.data, width, needed.clone(), &columns),
            _ => horizontal::<3, 4, 4>(&image.data, width, needed.clone(), &columns),
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

#[inline(always)]
fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255).to_le_bytes()[0]
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resizes each needed row of `CHANNELS` interleaved channels.
fn horizontal<const CHANNELS: usize, const PIXEL: usize, const ROWS: usize>(
    data: &[u8],
    width: usize,
    rows: std::ops::Range<usize>,
    columns: &Coefficients,
) -> Vec<u8> {
    let data = &data[rows.start * width * CHANNELS..rows.end * width * CHANNELS];
    let mut out = vec![0; rows.len() * columns.bounds.len() * CHANNELS];
    Arch::new().dispatch(Horizontal::<CHANNELS, PIXEL, ROWS> { data, width, columns, out: &mut out });
    out
}

/// Sums that are made side by side, what a register of 512 bits holds: a pixel each of `ROWS` rows, filled up
/// to `PIXEL` bytes.
const LANES: usize = 16;

/// [`horizontal`], compiled for the widest instructions there are.
struct Horizontal<'a, const CHANNELS: usize, const PIXEL: usize, const ROWS: usize> {
    data: &'a [u8],
    width: usize,
    columns: &'a Coefficients,
    out: &'a mut [u8],
}

impl<const CHANNELS: usize, const PIXEL: usize, const ROWS: usize> WithSimd
    for Horizontal<'_, CHANNELS, PIXEL, ROWS>
{
    type Output = ();

    /// A loop to gather pixels, one to sum and one to scatter: each by itself becomes vector instructions
    /// of whole registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const { assert!(PIXEL * ROWS == LANES && CHANNELS <= PIXEL) };
        let Self { data, width, columns, out } = self;
        let (in_stride, out_stride) = (width * CHANNELS, columns.bounds.len() * CHANNELS);
        let span = columns.span();
        let needed = span.start * CHANNELS..span.end * CHANNELS;
        // Rows with room behind them: pixels are moved as `PIXEL` bytes, the last ones too.
        let with_room = |n: usize| std::array::from_fn::<_, ROWS, _>(|_| vec![0; n + PIXEL]);
        let (mut rows_in, mut rows_out) = (with_room(needed.len()), with_room(out_stride));
        let mut pixels_in = vec![[0; LANES]; span.len()];
        let mut pixels_out = vec![[0; LANES]; columns.bounds.len()];
        for (data, out) in data.chunks(ROWS * in_stride).zip(out.chunks_mut(ROWS * out_stride)) {
            for (row, data) in rows_in.iter_mut().zip(data.chunks_exact(in_stride)) {
                row[..needed.len()].copy_from_slice(&data[needed.clone()]);
            }
            for (x, lanes) in pixels_in.iter_mut().enumerate() {
                let from = x * CHANNELS..x * CHANNELS + PIXEL;
                for (row, lanes) in rows_in.iter().zip(lanes.as_chunks_mut::<PIXEL>().0) {
                    lanes.copy_from_slice(&row[from.clone()]);
                }
            }
            let weights = columns.weights.chunks_exact(columns.n_taps);
            for ((lanes, (first, n_taps)), weights) in pixels_out.iter_mut().zip(&columns.bounds).zip(weights)
            {
                let mut sums = [HALF; LANES];
                for (values, weight) in pixels_in[first - span.start..][..*n_taps].iter().zip(weights) {
                    for lane in 0..LANES {
                        sums[lane] = add_product(sums[lane], values[lane], *weight);
                    }
                }
                *lanes = sums.map(to_pixel);
            }
            for (x, lanes) in pixels_out.iter().enumerate() {
                let to = x * CHANNELS..x * CHANNELS + PIXEL;
                for (row, lanes) in rows_out.iter_mut().zip(lanes.as_chunks::<PIXEL>().0) {
                    row[to.clone()].copy_from_slice(lanes);
                }
            }
            for (out, row) in out.chunks_exact_mut(out_stride).zip(&rows_out) {
                out.copy_from_slice(&row[..out_stride]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Channels, Filter};

    /// One pass of Pillow's, pixel by pixel: `(n_outer, n_inner, channels)`, resized along the inner axis.
    fn plain(data: &[u8], n_inner: usize, n_channels: usize, along: &Coefficients) -> Vec<u8> {
        let outer = data.chunks_exact(n_inner * n_channels);
        let resized = outer.flat_map(|row| {
            (0..along.bounds.len() * n_channels).map(move |index| {
                let (position, channel) = (index / n_channels, index % n_channels);
                let (first, n_taps) = along.bounds[position];
                let pixels = row.chunks_exact(n_channels).skip(first).map(|it| i64::from(it[channel]));
                let weights = along.weights[position * along.n_taps..][..n_taps].iter();
                let sum: i64 = weights.zip(pixels).map(|(weight, pixel)| i64::from(*weight) * pixel).sum();
                ((sum + (1 << 21)) >> 22).clamp(0, 255).to_le_bytes()[0]
            })
        });
        resized.collect()
    }

    fn turned(data: &[u8], width: usize, n_channels: usize) -> Vec<u8> {
        let height = data.len() / width / n_channels;
        let pixel = |x: usize, y: usize| &data[(y * width + x) * n_channels..][..n_channels];
        (0..width).flat_map(|x| (0..height).flat_map(move |y| pixel(x, y))).copied().collect()
    }

    /// Pixels of noise, resized by blocks of rows and as whole pictures by single pixels, then cropped.
    #[test]
    fn blocks_of_rows_are_what_single_pixels_are() {
        const SIZE: [usize; 2] = [19, 30];
        let sizes = [(1, 1), (1, 7), (5, 3), (17, 16), (33, 50), (64, 64), (90, 41), (301, 20)];
        let kinds = [(Channels::Grey, 1), (Channels::Rgb, 3)];
        let mut n_cases = 0;
        for ((width, height), (channels, n_channels)) in
            sizes.iter().flat_map(|size| kinds.map(|kind| (*size, kind)))
        {
            for (filter, short_side) in [
                (Filter::Bilinear, None),
                (Filter::Bicubic, None),
                (Filter::Bilinear, Some(40)),
                (Filter::Bicubic, Some(31)),
            ] {
                // No pattern that a wrong offset would meet again.
                let noise = (0..width * height * n_channels).map(|it: usize| (it * it * 31 + it * 7) % 251);
                let data: Vec<u8> = noise.map(|it| it.to_le_bytes()[0]).collect();
                let (full_width, full_height) = match short_side {
                    None => (SIZE[1], SIZE[0]),
                    Some(side) => resized_size(width, height, side as usize),
                };
                let columns = Coefficients::new(width, full_width, 0..full_width, filter);
                let rows = Coefficients::new(height, full_height, 0..full_height, filter);
                let squeezed = turned(&plain(&data, width, n_channels, &columns), full_width, n_channels);
                let whole = turned(&plain(&squeezed, height, n_channels, &rows), full_height, n_channels);
                let (left, top) = (centre_offset(full_width, SIZE[1]), centre_offset(full_height, SIZE[0]));
                let lines = whole.chunks_exact(full_width * n_channels).skip(top).take(SIZE[0]);
                let expected: Vec<u8> = lines
                    .flat_map(|line| &line[left * n_channels..(left + SIZE[1]) * n_channels])
                    .copied()
                    .collect();
                let [w, h] = [width, height].map(|it| u32::try_from(it).expect("small"));
                let image = Pixels { width: w, height: h, data };
                let size = SIZE.map(|it| u32::try_from(it).expect("small"));
                let recipe = ImageRecipe { size, short_side, channels, filter, ..ImageRecipe::imagenet() };
                let resized = resize_and_crop(&image, &recipe).expect("it is resized");
                assert_eq!(resized, expected, "{width}×{height}, {n_channels} channels, {filter:?}");
                n_cases += 1;
            }
        }
        assert_eq!(n_cases, 64);
    }
}
