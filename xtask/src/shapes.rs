//! A small picture set drawn by code: shapes on textured backgrounds, seeded.

use std::f32::consts::TAU;
use std::path::Path;

use anyhow::{Context, Result};
use image::{Rgb, RgbImage};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The classes.
pub(crate) const CLASSES: [&str; 4] = ["circle", "cross", "square", "triangle"];

const SIZE: u32 = 128;

/// Draws `n_each` pictures of every class into `folder/<class>/`.
pub(crate) fn draw(folder: &Path, n_each: usize, seed: u64) -> Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for class in CLASSES {
        let class_folder = folder.join(class);
        std::fs::create_dir_all(&class_folder)
            .with_context(|| format!("cannot create {}", class_folder.display()))?;
        for index in 0..n_each {
            let path = class_folder.join(format!("{class}-{index:03}.png"));
            picture(class, &mut rng)
                .save(&path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

/// One shape, somewhere, of some size, turned a little, on a background of waves and noise.
fn picture(class: &str, rng: &mut impl Rng) -> RgbImage {
    let background: [f32; 3] = std::array::from_fn(|_| rng.random_range(30.0..100.0));
    let foreground = background.map(|it| it + rng.random_range(90.0..150.0));
    let (wave_x, wave_y, phase) =
        (rng.random_range(0.02..0.4_f32), rng.random_range(0.02..0.4_f32), rng.random_range(0.0..TAU));
    let waviness = rng.random_range(0.0..10.0_f32);
    let radius = rng.random_range(0.28..0.40_f32) * SIZE as f32;
    let centre: [f32; 2] = std::array::from_fn(|_| rng.random_range(radius..SIZE as f32 - radius));
    let turn = rng.random_range(-0.15..0.15_f32);
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let (dx, dy) = (x as f32 - centre[0], y as f32 - centre[1]);
        let (u, v) = (dx * turn.cos() + dy * turn.sin(), dy * turn.cos() - dx * turn.sin());
        let colour = if contains(class, u / radius, v / radius) { foreground } else { background };
        let texture =
            waviness * (wave_x * x as f32 + wave_y * y as f32 + phase).sin() + rng.random_range(-6.0..6.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0–255 before"
        )]
        Rgb(colour.map(|it| (it + texture).clamp(0.0, 255.0) as u8))
    })
}

/// Whether a point of the unit square belongs to a shape.
fn contains(class: &str, u: f32, v: f32) -> bool {
    match class {
        "circle" => u * u + v * v < 0.9,
        "square" => u.abs() < 0.8 && v.abs() < 0.8,
        "cross" => (u.abs() < 0.28 && v.abs() < 0.95) || (v.abs() < 0.28 && u.abs() < 0.95),
        _ => v < 0.8 && v > -0.9 && u.abs() < (v + 0.9) * 0.58,
    }
}
