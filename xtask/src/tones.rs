//! A small set of sounds made by code: tones, chirps, clicks and noise in noise, seeded.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The classes.
pub(crate) const CLASSES: [&str; 5] = ["clicks", "falling", "hiss", "rising", "tone"];

/// Samples a second.
pub(crate) const RATE: u32 = 16_000;

/// Writes `n_each` sounds of every class into `folder/<class>/`, as WAV files of 16 bits.
pub(crate) fn make(folder: &Path, n_each: usize, seed: u64) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for class in CLASSES {
        let of_class = folder.join(class);
        fs::create_dir_all(&of_class).with_context(|| format!("cannot create {}", of_class.display()))?;
        for index in 0..n_each {
            let path = of_class.join(format!("{class}-{index:03}.wav"));
            fs::write(&path, wav(&in_16_bits(&sound(class, &mut rng)), 1)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// One sound of some length and loudness, somewhere in a background of noise.
fn sound(class: &str, rng: &mut impl Rng) -> Vec<f64> {
    let rate = f64::from(RATE);
    let n = rng.random_range(RATE / 2..2 * RATE);
    let length = f64::from(n) / rate;
    let (loud, background) = (rng.random_range(0.1..0.5), rng.random_range(0.002..0.03));
    let (low, high): (f64, f64) = (rng.random_range(150.0..900.0), rng.random_range(1.5..4.0));
    let (a_second, begin) = (rng.random_range(4.0..12.0), rng.random_range(0.0..TAU));
    let mut phase = begin;
    let mut at = |it: u32| {
        let t = f64::from(it) / rate;
        let share = t / length;
        let pitch = match class {
            "rising" => low * high.powf(share),
            "falling" => low * high.powf(1.0 - share),
            _ => low * high.sqrt(),
        };
        phase += TAU * pitch / rate;
        let voice = phase.sin() + 0.3 * (2.0 * phase).sin();
        // What fades in and out does not click.
        let fade = (20.0 * t).min(20.0 * (length - t)).clamp(0.0, 1.0);
        let heard = match class {
            "clicks" => {
                let since = (t * a_second + begin).fract() / a_second;
                (-since * 400.0).exp() * rng.random_range(-1.0..1.0_f64)
            }
            "hiss" => fade * rng.random_range(-0.5..0.5),
            _ => fade * voice,
        };
        loud * heard + background * rng.random_range(-1.0..1.0)
    };
    (0..n).map(&mut at).collect()
}

fn in_16_bits(samples: &[f64]) -> Vec<u8> {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to 16 bits before")]
    let sample = |it: &f64| ((it * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).to_le_bytes();
    samples.iter().flat_map(sample).collect()
}

/// A WAV file of 16-bit samples, little-endian, those of all channels after one another.
pub(crate) fn wav(data: &[u8], n_channels: u16) -> Result<Vec<u8>> {
    let n_bytes = u32::try_from(data.len())?;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + n_bytes).to_le_bytes());
    // PCM: channels, rate, bytes a second, bytes of a sample of all channels, bits.
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(n_channels.to_le_bytes());
    bytes.extend(RATE.to_le_bytes());
    bytes.extend((2 * u32::from(n_channels) * RATE).to_le_bytes());
    bytes.extend((2 * n_channels).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(n_bytes.to_le_bytes());
    bytes.extend(data);
    Ok(bytes)
}
