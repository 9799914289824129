//! Another rate for samples: a windowed sinc, as `torchaudio` has it.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side, and the share of the lower Nyquist rate that passes: the defaults of
/// `torchaudio.functional.resample`.
const CROSSINGS: f64 = 6.0;
const ROLLOFF: f64 = 0.99;

/// Names the method in the fingerprint.
pub(crate) const RESAMPLER: &str = "sinc_interp_hann, 6 crossings, rolloff 0.99";

/// Changes the rate of samples that come block by block.
///
/// Source: `torchaudio.functional.resample` 2.x, `sinc_interp_hann`: an output sample is the sum of the input round it,
/// weighed by `sinc(π·t)·cos²(π·t/12)`, where `t` is the distance in periods of 0.99 times the lower rate. The weights
/// are computed in f64 and applied in f32, as there.
pub(crate) struct Resampler {
    /// The rates without their common divisor.
    from: u64,
    to: u64,
    /// For each output sample of a period: the first input sample that counts, from the period's begin, and weights.
    phases: Vec<(i64, Vec<f32>)>,
    /// Input that is still needed, and the place of its first sample in all of it.
    held: Vec<f32>,
    held_from: i64,
    /// Samples that came, and that were given.
    n_in: u64,
    n_out: u64,
}

impl Resampler {
    /// From one rate to another, in samples a second.
    pub(crate) fn new(from: u32, to: u32) -> Self {
        let divisor = gcd(from, to);
        let (from, to) = (u64::from(from / divisor), u64::from(to / divisor));
        let base = from.min(to) as f64 * ROLLOFF;
        let (n_in, n_out) = (from as f64, to as f64);
        let phase = |phase: u64| {
            // How far an input sample is from this output sample, in periods.
            let distance = |place: i64| (place as f64 / n_in - phase as f64 / n_out) * base;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "weights are applied in f32, as in the source"
            )]
            let weight = |place: i64| {
                let t = distance(place);
                let window = (t * PI / CROSSINGS / 2.0).cos().powi(2);
                let sinc = if t == 0.0 { 1.0 } else { (t * PI).sin() / (t * PI) };
                (sinc * window * base / n_in) as f32
            };
            #[expect(clippy::cast_possible_truncation, reason = "a few times the rate")]
            let near = (phase as f64 * n_in / n_out - CROSSINGS * n_in / base).floor() as i64;
            let mut places = (near - 1..).skip_while(|it| distance(*it) <= -CROSSINGS);
            let first = places.next().unwrap_or(near);
            let inside = (first..).take_while(|it| distance(*it) < CROSSINGS);
            (first, inside.map(weight).collect())
        };
        let phases = (0..to).map(phase).collect();
        Self { from, to, phases, held: Vec::new(), held_from: 0, n_in: 0, n_out: 0 }
    }

    /// Takes samples, and appends those that they settle.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.held.extend_from_slice(samples);
        self.n_in += samples.len() as u64;
        self.give(u64::MAX, false, out);
    }

    /// Appends the rest: `⌈n·to/from⌉` samples come of `n`.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        let n = (u128::from(self.n_in) * u128::from(self.to)).div_ceil(u128::from(self.from));
        self.give(u64::try_from(n).unwrap_or(u64::MAX), true, out);
    }

    /// Gives samples up to a number of them all; before the end of the input only where all that counts has come.
    fn give(&mut self, n: u64, is_end: bool, out: &mut Vec<f32>) {
        let signed = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
        let held_to = self.held_from + signed(self.held.len() as u64);
        let mut needed_from = self.held_from;
        while self.n_out < n {
            let (period, phase) = (self.n_out / self.to, self.n_out % self.to);
            let (first, weights) = &self.phases[usize::try_from(phase).unwrap_or(0)];
            let begin = signed(period * self.from) + first;
            let end = begin + signed(weights.len() as u64);
            needed_from = begin.max(self.held_from);
            if end > held_to && !is_end {
                break;
            }
            // Before the first sample and behind the last one there is silence.
            let place = |it: i64| usize::try_from(it - self.held_from).unwrap_or(0).min(self.held.len());
            let n_silent = usize::try_from(self.held_from - begin).unwrap_or(0).min(weights.len());
            out.push(dot(&self.held[place(begin)..place(end)], &weights[n_silent..]));
            self.n_out += 1;
        }
        let n_past = usize::try_from(needed_from - self.held_from).unwrap_or(0).min(self.held.len());
        // Moving what is held costs more than holding it for a while.
        if 2 * n_past >= self.held.len() {
            self.held.drain(..n_past);
            self.held_from += signed(n_past as u64);
        }
    }
}

/// The sum of products, as far as both go, in eight sums at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [0.0_f32; 8];
    let (of_a, of_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = of_a.remainder().iter().zip(of_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in of_a.zip(of_b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
