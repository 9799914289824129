//! Sounds: the resampling against its closed form, windows against a plain twin, files made by hand.

use std::f64::consts::PI;

use crate::audio::resample::Resampler;
use crate::audio::windows::Windows;
use crate::{AudioRecipe, Data, Filling, InputError, Limits, Recipe, Remark, Tensor};

/// The closed form, in f64, one output sample at a time.
fn resampled(x: &[f32], from: u32, to: u32) -> Vec<f64> {
    let divisor =
        (1..=from.min(to)).rev().find(|it| from.is_multiple_of(*it) && to.is_multiple_of(*it)).unwrap_or(1);
    let (from, to) = (f64::from(from / divisor), f64::from(to / divisor));
    let base = from.min(to) * 0.99;
    let n = (x.len() as f64 * to / from).ceil() as usize;
    let at = |out: usize| {
        let weigh = |(place, value): (usize, &f32)| {
            let t = (place as f64 / from - out as f64 / to) * base;
            let window = if t.abs() < 6.0 { (t * PI / 12.0).cos().powi(2) } else { 0.0 };
            let sinc = if t == 0.0 { 1.0 } else { (t * PI).sin() / (t * PI) };
            f64::from(*value) * sinc * window * base / from
        };
        x.iter().enumerate().map(weigh).sum()
    };
    (0..n).map(at).collect()
}

fn noise(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn resampling_is_its_closed_form_in_blocks_of_any_size() {
    let rates = [
        (8000, 16000),
        (44100, 16000),
        (48000, 16000),
        (16000, 44100),
        (11025, 16000),
        (12345, 16000),
        (1000, 300),
    ];
    let mut n_cases = 0;
    for (from, to) in rates {
        for n in [1, 2, 37, 700] {
            let x = noise(n);
            let expected = resampled(&x, from, to);
            for block in [1, 3, 64, 1000] {
                let (mut resampler, mut actual) = (Resampler::new(from, to), Vec::new());
                x.chunks(block).for_each(|it| resampler.push(it, &mut actual));
                resampler.finish(&mut actual);
                assert_eq!(actual.len(), expected.len(), "{from} to {to}, {n} samples");
                let apart = actual.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
                // Forty products of f32, each within a unit in the last place.
                assert!(apart.fold(0.0, f64::max) < 2e-6, "{from} to {to}, {n} samples by {block}");
                n_cases += 1;
            }
        }
    }
    assert_eq!(n_cases, 7 * 4 * 4);
}

/// Windows of a sound that is there whole.
fn windows(x: &[f32], length: usize, hop: usize, filling: Option<Filling>) -> Vec<Vec<f32>> {
    if x.len() <= length {
        let n = if filling.is_some() { length } else { x.len() };
        let sample = |it: usize| match filling {
            Some(Filling::Repeat) => x[it % x.len()],
            _ => x.get(it).copied().unwrap_or(0.0),
        };
        return vec![(0..n).map(sample).collect()];
    }
    let mut begins: Vec<usize> = (0..=x.len() - length).step_by(hop).collect();
    if begins.last().is_some_and(|it| it + length < x.len()) {
        begins.push(x.len() - length);
    }
    begins.into_iter().map(|it| x[it..it + length].to_vec()).collect()
}

#[test]
fn windows_are_those_of_the_whole_sound_however_its_samples_come() {
    let mut n_cases = 0;
    for (length, hop) in [(1, 1), (4, 4), (4, 1), (4, 3), (3, 7), (50, 25), (64, 100)] {
        for n in [1, 2, 3, 4, 5, 8, 9, 50, 51, 99, 100, 101, 257] {
            for filling in [None, Some(Filling::Zeros), Some(Filling::Repeat)] {
                let x = noise(n);
                let expected = windows(&x, length, hop, filling);
                for block in [1, 5, 1000] {
                    let (mut cut, mut actual) = (Windows::new(length, hop, filling), Vec::new());
                    for some in x.chunks(block) {
                        cut.held_mut().extend_from_slice(some);
                        while let Some(window) = cut.whole() {
                            actual.push(window);
                        }
                    }
                    actual.extend(cut.last());
                    assert_eq!(actual, expected, "{n} samples by {block}, {length} every {hop}, {filling:?}");
                    n_cases += 1;
                }
            }
        }
    }
    assert_eq!(n_cases, 7 * 13 * 3 * 3);
}

/// A WAV file of 16-bit samples.
pub(crate) fn wav(samples: &[i16], rate: u32, n_channels: u16) -> Vec<u8> {
    let n_bytes = u32::try_from(2 * samples.len()).unwrap();
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + n_bytes).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(n_channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2 * u32::from(n_channels)).to_le_bytes());
    bytes.extend((2 * n_channels).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(n_bytes.to_le_bytes());
    bytes.extend(samples.iter().flat_map(|it| it.to_le_bytes()));
    bytes
}

/// The pieces of a file, and what was said of it.
fn pieces(recipe: &AudioRecipe, bytes: &[u8]) -> (Result<Vec<Vec<f32>>, InputError>, Vec<Remark>) {
    let recipe = Recipe::Audio(recipe.clone());
    let decoded = match recipe.decode(bytes.into(), &Limits::default()) {
        Ok(decoded) => decoded,
        Err(err) => return (Err(err), Vec::new()),
    };
    let mut pieces = recipe.pieces(decoded);
    let samples = |tensors: Vec<Tensor>| match tensors.into_iter().next().map(|it| it.data) {
        Some(Data::F32(samples)) => samples,
        other => panic!("floats: {other:?}"),
    };
    let found = pieces.by_ref().map(|it| it.map(samples)).collect();
    (found, pieces.remarks())
}

#[test]
fn a_sound_becomes_windows_of_the_mean_of_its_channels() {
    let recipe =
        AudioRecipe { sample_rate: 1000, window: Some(0.004), full_scale: 2.0, ..AudioRecipe::default() };
    let (found, remarks) =
        pieces(&recipe, &wav(&[16384, 0, -16384, -32768, 0, 0, 8192, 8192, 0, 16384], 1000, 2));
    assert_eq!(found.unwrap(), [[0.5, -1.5, 0.0, 0.5], [-1.5, 0.0, 0.5, 0.5]]);
    assert_eq!(remarks, []);
    let (found, remarks) = pieces(&recipe, &wav(&[16384], 1000, 1));
    assert_eq!((found.unwrap(), remarks), (vec![vec![1.0, 0.0, 0.0, 0.0]], vec![Remark::Short]));
    let (found, remarks) =
        pieces(&AudioRecipe { short: Filling::Repeat, ..recipe.clone() }, &wav(&[0, 0], 500, 1));
    assert_eq!(found.unwrap(), [[0.0; 4]]);
    assert_eq!(remarks, [Remark::Upsampled(500), Remark::Silent]);
}

#[test]
fn what_is_no_sound_is_said_to_be_none() {
    let recipe = AudioRecipe::default();
    let said = |bytes: &[u8]| pieces(&recipe, bytes).0.unwrap_err().to_string();
    let good = wav(&[100; 3000], 16000, 1);
    assert_eq!(said(b""), "is no sound in a format that is known");
    assert_eq!(said(b"\x89PNG\r\n\x1a\n and more"), "is no sound in a format that is known");
    assert_eq!(said(b"the quick brown fox jumps over the lazy dog"), "is no sound in a format that is known");
    assert_eq!(
        said(b"#!AMR\n and more"),
        "is a sound in AMR, which is not read; convert it to WAV, FLAC or MP3"
    );
    assert_eq!(said(&wav(&[], 16000, 1)), "has no samples");
    // What is there of a sound that was cut off counts, and it is said.
    let (found, remarks) = pieces(&recipe, &good[..1000]);
    assert_eq!((found.unwrap()[0].len(), remarks), ((1000 - 44) / 2, vec![Remark::Damaged]));
    for (what, recipe) in [
        ("sample-rate, in Hz, cannot be 5", AudioRecipe { sample_rate: 5, ..recipe.clone() }),
        ("window, in seconds, cannot be -1", AudioRecipe { window: Some(-1.0), ..recipe.clone() }),
        ("hop, in seconds, cannot be NaN", AudioRecipe { hop: Some(f64::NAN), ..recipe.clone() }),
        ("full-scale, cannot be 0", AudioRecipe { full_scale: 0.0, ..recipe.clone() }),
    ] {
        assert_eq!(recipe.check().unwrap_err().to_string(), what);
    }
}

#[test]
fn samples_that_are_no_numbers_are_refused() {
    let mut bytes =
        b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data\x08\0\0\0"
            .to_vec();
    bytes.extend([0.5_f32, f32::NAN].iter().flat_map(|it| it.to_le_bytes()));
    let err = pieces(&AudioRecipe::default(), &bytes).0.unwrap_err();
    assert_eq!(err.to_string(), "has samples that are no finite numbers");
}
