//! Fits a linear probe on made-up embeddings, and says how good its optimum is.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use headstart_head::{HeadError, Logistic, LogisticConfig, default_alphas, stratified_folds};
use ndarray::Array2;

fn main() -> Result<(), HeadError> {
    // Three classes in sixteen features, each leaning towards its own.
    let y: Vec<usize> = (0..300).map(|it| it % 3).collect();
    let wave = |i: usize, j: usize| ((i * 37 + j * 101) % 97) as f32 / 97.0;
    let x = Array2::from_shape_fn((300, 16), |(i, j)| wave(i, j) + if j % 3 == y[i] { 0.3 } else { 0.0 });
    let view = x.view();
    let samples = Logistic::new(&view, &y, 3, None, true)?;
    let groups: Vec<u64> = (0..300).collect();
    let path = samples.cross_validate(&stratified_folds(&y, &groups, 5, 0), &default_alphas())?;
    let alpha = path.alphas[path.best];
    let fit = samples.fit(&LogisticConfig { alpha, standardize: true, ..LogisticConfig::default() })?;
    println!("alpha {alpha:.3}: objective {:.6}", fit.certificate.objective);
    println!("at most {:.1e} above its minimum", fit.certificate.gap);
    Ok(())
}
