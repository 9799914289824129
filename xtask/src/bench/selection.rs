//! What choosing alpha costs, in certified fits of one alpha, and whether it chooses as the whole grid does.

use std::time::Instant;

use anyhow::Result;
use headstart_head::{AlphaPath, Logistic, LogisticConfig, default_alphas, stratified_folds};
use serde_json::{Value, json};

use super::features::{Samples, cifar10, relu};
use super::{median, number, text};
use crate::say;

/// Samples, features, classes of the sets that are made by code.
const SETS: [[usize; 3]; 9] = [
    [500, 256, 2],
    [600, 1280, 5],
    [1000, 256, 10],
    [1815, 1280, 5],
    [2000, 384, 10],
    [2000, 1280, 2],
    [4000, 384, 30],
    [6491, 384, 101],
    [8000, 1280, 10],
];

/// Measures all sets.
pub(crate) fn measure(n_rounds: usize) -> Result<Vec<Value>> {
    let made = SETS.into_iter().zip(20..).map(|([n, d, k], seed)| relu(n, d, k, seed));
    let rows = made.chain([cifar10(4000)]).map(|samples| of_set(&samples?, n_rounds));
    let rows = rows.collect::<Result<Vec<_>>>()?;
    say("\nthe default choice of alpha, as the program makes it (5 folds, features standardised)");
    say(&format!(
        "{:<30}{:>10}{:>10}{:>8}{:>12}{:>8}{:>12}{:>16}",
        "samples", "one fit", "choice", "fits", "whole grid", "fits", "alpha", "loss above best"
    ));
    for row in &rows {
        say(&format!(
            "{:<30}{:>8.3} s{:>8.3} s{:>7.1}×{:>10.2} s{:>7.1}×{:>12.3}{:>13.3} se",
            text(row, "samples"),
            number(row, "fit_seconds"),
            number(row, "selection_seconds"),
            number(row, "cost"),
            number(row, "grid_seconds"),
            number(row, "grid_cost"),
            number(row, "alpha"),
            number(row, "excess_in_standard_errors"),
        ));
    }
    Ok(rows)
}

fn of_set(samples: &Samples, n_rounds: usize) -> Result<Value> {
    say(&format!("choice of alpha, {}", samples.name));
    let groups: Vec<u64> = (0..samples.y.len() as u64).collect();
    let folds = stratified_folds(&samples.y, &groups, 5, 0);
    let view = samples.x.view();
    let prepare = || Logistic::new(&view, &samples.y, samples.n_classes, None, true);
    let at = |alpha: f64| LogisticConfig { alpha, standardize: true, ..LogisticConfig::default() };
    let chosen = |path: &AlphaPath| path.alphas[path.best];
    // As a user has it: from the embeddings to the certified head.
    let (mut choices, mut fits, mut alpha) = (Vec::new(), Vec::new(), f64::NAN);
    for _ in 0..n_rounds {
        let start = Instant::now();
        let prepared = prepare()?;
        alpha = chosen(&prepared.select_alpha(&folds, &default_alphas(), false)?);
        drop(prepared.fit(&at(alpha))?);
        choices.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        drop(prepare()?.fit(&at(alpha))?);
        fits.push(start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    let prepared = prepare()?;
    let whole = prepared.cross_validate(&folds, &default_alphas())?;
    drop(prepared.fit(&at(chosen(&whole)))?);
    let grid = start.elapsed().as_secs_f64();
    let place = whole.alphas.iter().position(|it| it.total_cmp(&alpha).is_eq()).unwrap_or(0);
    let excess = (whole.mean_loss[place] - whole.mean_loss[whole.best]) / whole.standard_error[whole.best];
    let (one, choice) = (median(&fits)?, median(&choices)?);
    Ok(json!({
        "samples": samples.name,
        "fit_seconds": one,
        "selection_seconds": choice,
        "cost": choice / one,
        "grid_seconds": grid,
        "grid_cost": grid / one,
        "alpha": alpha,
        "grid_alpha": chosen(&whole),
        "excess_in_standard_errors": excess,
    }))
}
