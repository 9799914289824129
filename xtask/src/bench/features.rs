//! Features to fit heads on: made by code, or real embeddings.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{headstart, root, target};

/// Samples, in memory and as files for a peer.
pub(crate) struct Samples {
    pub(crate) name: String,
    pub(crate) x: Array2<f32>,
    pub(crate) y: Vec<usize>,
    pub(crate) n_classes: usize,
    pub(crate) x_file: PathBuf,
    pub(crate) y_file: PathBuf,
}

/// Directions in which classes differ.
const N_LATENT: usize = 64;

/// How far apart class means are in each, in standard deviations: at 8000 samples, 1280 features and 10
/// classes the optimum at C = 1 is then near 250, as on the features the solver was designed against.
const SEPARATION: f32 = 0.335;

/// Pooled-ReLU-like features: a few latent directions mixed into many features, noise, a threshold.
///
/// `z ~ N(mean of the class, I)` in 64 dimensions, `x = max(0, z·A/8 + b + 0.6·ε)`.
pub(crate) fn relu(n: usize, d: usize, k: usize, seed: u64) -> Result<Samples> {
    let mut normal = normals(seed);
    let mix = Array2::from_shape_fn((N_LATENT, d), |_| normal() / 8.0);
    let means = Array2::from_shape_fn((k, N_LATENT), |_| SEPARATION * normal());
    let offsets: Vec<f32> = (0..d).map(|_| 0.3 * normal()).collect();
    let y: Vec<usize> = (0..n).map(|it| it * 7919 % k).collect();
    let latent = Array2::from_shape_fn((n, N_LATENT), |(i, j)| normal() + means[[y[i], j]]);
    let mut x = latent.dot(&mix);
    for mut row in x.rows_mut() {
        row.iter_mut().zip(&offsets).for_each(|(it, offset)| *it = (*it + offset + 0.6 * normal()).max(0.0));
    }
    Samples::new(format!("ReLU-like {n}×{d}×{k}"), x, y, k)
}

/// MobileNetV2's embeddings of cifar10_mini's training pictures, repeated with noise of a tenth of each
/// feature's deviation.
pub(crate) fn cifar10(n: usize) -> Result<Samples> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the pictures and weights of {}", shared.display());
    let (model, dataset) =
        (shared.join("models/mobilenetv2-1.0-224.onnx"), shared.join("datasets/cifar10_mini"));
    let store = target().join("bench/cifar10");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    headstart(["extract", &text(&dataset), "--model", &text(&model), "--store", &text(&store)])?;
    let store = headstart_store::Store::open(&store)?;
    let mut samples = store.samples()?.samples;
    samples.retain(|it| it.split.as_deref() == Some("train"));
    let mut labels: Vec<String> =
        samples.iter().filter_map(|it| it.label.as_ref()).map(ToString::to_string).collect();
    labels.sort();
    labels.dedup();
    let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
    let d = store.space().n_features;
    let base = Array2::from_shape_vec((samples.len(), d), store.load(&digests)?.values)?;
    let deviation = base.std_axis(ndarray::Axis(0), 0.0);
    let mut normal = normals(11);
    let m = samples.len();
    let x = Array2::from_shape_fn((n, d), |(i, j)| base[[i % m, j]] + 0.1 * deviation[j] * normal());
    let class =
        |it: usize| samples[it % m].label.as_ref().and_then(|it| labels.binary_search(&it.to_string()).ok());
    let y = (0..n).map(class).collect::<Option<Vec<usize>>>().context("every picture has a class")?;
    Samples::new(format!("cifar10_mini {n}×{d}×{}", labels.len()), x, y, labels.len())
}

/// Numbers of about the normal distribution: sums of twelve uniform ones.
fn normals(seed: u64) -> impl FnMut() -> f32 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move || (0..12).map(|_| rng.random_range(-0.5_f32..0.5)).sum()
}

impl Samples {
    fn new(name: String, x: Array2<f32>, y: Vec<usize>, n_classes: usize) -> Result<Self> {
        let folder = target().join("bench/features");
        fs::create_dir_all(&folder)?;
        let file = |suffix: &str| folder.join(format!("{}.{suffix}", name.replace([' ', '×'], "-")));
        let (x_file, y_file) = (file("f32"), file("i64"));
        fs::write(&x_file, x.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>())?;
        fs::write(&y_file, y.iter().flat_map(|it| (*it as i64).to_le_bytes()).collect::<Vec<u8>>())?;
        Ok(Self { name, x, y, n_classes, x_file, y_file })
    }
}
