//! Fits against closed forms, other solvers and hard cases; files; metrics against naive loops.

use ndarray::{Array1, Array2, Axis, array};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::*;

mod beside_linfa;
mod files;
mod hard;
mod logistic;
mod metrics;
mod mlp;
mod multilabel;
mod ridge;

fn config(alpha: f64) -> LogisticConfig {
    LogisticConfig { alpha, ..LogisticConfig::default() }
}

/// For oracles that are exact: the solver must not be what limits the comparison.
fn tight(alpha: f64) -> LogisticConfig {
    LogisticConfig { alpha, tolerance: 1e-10, gap_tolerance: 1e-12, ..LogisticConfig::default() }
}

/// Pooled-ReLU-like features: correlated, not negative, of different scales, and classes they depend on.
fn relu_features(n: usize, d: usize, k: usize, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
    let mix = Array2::from_shape_fn((d, d), |(i, j)| normal() / (1.0 + (i.abs_diff(j)) as f64));
    let centres = Array2::from_shape_fn((k, d), |_| normal());
    let y: Vec<usize> = (0..n).map(|it| it % k).collect();
    let raw = Array2::from_shape_fn((n, d), |(i, j)| normal() + 0.7 * centres[[y[i], j]]);
    let mut x = raw.dot(&mix).mapv(|it| it.max(0.0));
    for (j, mut column) in x.columns_mut().into_iter().enumerate() {
        column *= 1.0 + (j % 7) as f64;
    }
    (x, y)
}

/// Gradient of the multinomial objective by a naive loop: shares no code with the solver.
fn naive_gradient(x: &Array2<f64>, y: &[usize], fit: &LogisticFit, alpha: f64) -> (Array2<f64>, Array1<f64>) {
    let logits = x.dot(&fit.coef) + &fit.intercept;
    let mut coef = &fit.coef * alpha;
    let mut intercept = Array1::zeros(fit.intercept.len());
    for (i, row) in logits.outer_iter().enumerate() {
        let sum: f64 = row.iter().map(|it| it.exp()).sum();
        for (c, logit) in row.iter().enumerate() {
            let residual = logit.exp() / sum - if y[i] == c { 1.0 } else { 0.0 };
            intercept[c] += residual;
            for j in 0..x.ncols() {
                coef[[j, c]] += residual * x[[i, j]];
            }
        }
    }
    (coef, intercept)
}

/// A logistic head of three classes.
fn head() -> HeadModel {
    let (x, y) = relu_features(30, 4, 3, 15);
    let fit = fit_logistic(x.view(), &y, 3, None, &config(1.0)).unwrap();
    HeadModel {
        trained_on: vec![3, u64::MAX],
        layers: vec![DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Softmax }],
        metadata: HeadMetadata {
            outputs: Outputs {
                task: Task::Classification,
                labels: ["a", "b", "ü\""].map(str::to_owned).to_vec(),
                ..Outputs::default()
            },
            fingerprint: "f".to_owned(),
            space: serde_json::json!({"n_features": 4}),
            fit: FitRecord {
                head: "logistic".to_owned(),
                solver: "test".to_owned(),
                alpha: Some(1.0),
                path: None,
                balanced: false,
                standardized: false,
                n_samples: 30,
                class_counts: vec![10, 10, 10],
                validation: 0.2,
                seed: 0,
                certificate: Some(fit.certificate),
                training: None,
            },
        },
    }
}
