//! What a fit costs as samples, features and classes grow, beside what the machine's memory and its
//! arithmetic would take for the same passes.

use std::time::Instant;

use anyhow::{Context, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use headstart_head::{Logistic, LogisticConfig};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::features::relu;
use super::plot::{Series, line_plot};
use super::{median, number};
use crate::{root, say};

/// Samples, features and classes of the fits, the first of each list but one held.
const BASE: (usize, usize, usize) = (8000, 1280, 10);
const N: [usize; 6] = [2000, 4000, 8000, 16000, 32000, 64000];
const D: [usize; 4] = [256, 512, 1024, 2048];
const K: [usize; 5] = [2, 5, 10, 30, 100];

const N_ROUNDS: usize = 3;

/// What the machine can do, all cores.
struct Machine {
    /// Bytes read from memory in a second.
    bytes: f64,
    /// Floating-point operations of f32 in a second, in a product of large matrices.
    flops: f64,
}

/// Measures every size, prints a table and draws `bench/cost-of-a-fit.svg`.
pub(crate) fn measure() -> Result<Value> {
    let machine = Machine::measure();
    say(&format!(
        "\nthis machine reads {:.1} GB/s and computes {:.0} GFLOP/s in f32",
        machine.bytes / 1e9,
        machine.flops / 1e9
    ));
    say(&format!(
        "{:<22}{:>10}{:>12}{:>10}{:>12}{:>12}",
        "n × d × k", "seconds", "iterations", "memory", "arithmetic", "of limit"
    ));
    let (n, d, k) = BASE;
    let mut panels = Vec::new();
    for (name, sizes) in [
        ("samples", N.map(|n| (n, d, k)).to_vec()),
        ("features", D.map(|d| (n, d, k)).to_vec()),
        ("classes", K.map(|k| (n, d, k)).to_vec()),
    ] {
        let rows = sizes.iter().map(|size| row(&machine, *size)).collect::<Result<Vec<_>>>()?;
        panels.push((name, rows));
    }
    draw(&panels)?;
    let panels: serde_json::Map<String, Value> =
        panels.into_iter().map(|(name, rows)| (name.to_owned(), json!(rows))).collect();
    Ok(json!({"bytes_per_second": machine.bytes, "flops_per_second": machine.flops, "rows": panels}))
}

impl Machine {
    fn measure() -> Self {
        let values = vec![1.0_f32; 1 << 28];
        let read = || {
            let start = Instant::now();
            let sum: f32 = values.par_chunks(1 << 20).map(|it| it.iter().sum::<f32>()).sum();
            assert!(sum > 0.0);
            (4 << 28) as f64 / start.elapsed().as_secs_f64()
        };
        let side = 2048;
        let a = Mat::<f32>::from_fn(side, side, |i, j| ((i * 31 + j * 17) % 7) as f32);
        let mut out = Mat::<f32>::zeros(side, side);
        let mut multiply = || {
            let start = Instant::now();
            matmul(out.as_mut(), Accum::Replace, a.as_ref(), a.as_ref(), 1.0, Par::rayon(0));
            2.0 * (side as f64).powi(3) / start.elapsed().as_secs_f64()
        };
        // The best of some: the limit is what can be, not what is usual.
        let best = |measure: &mut dyn FnMut() -> f64| (0..5).map(|_| measure()).fold(0.0, f64::max);
        Self { bytes: best(&mut { read }), flops: best(&mut multiply) }
    }
}

/// A fit at C = 1 to a gradient of 1e-5 a sample.
fn row(machine: &Machine, (n, d, k): (usize, usize, usize)) -> Result<Value> {
    let samples = relu(n, d, k, 5)?;
    let config = LogisticConfig { tolerance: 1e-5, gap_tolerance: 0.6, ..LogisticConfig::default() };
    let (mut seconds, mut fit) = (Vec::new(), None);
    for _ in 0..N_ROUNDS {
        let start = Instant::now();
        let view = samples.x.view();
        fit = Some(Logistic::new(&view, &samples.y, k, None, false)?.fit(&config)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let seconds = median(&seconds)?;
    let n_iterations = fit.context("at least one round")?.certificate.n_iterations;
    // Every iteration reads the features once and uses each number in two products.
    let passes = n_iterations as f64 + 1.0;
    let outputs = if k == 2 { 1.0 } else { k as f64 };
    let memory = passes * (4 * n * d) as f64 / machine.bytes;
    let arithmetic = passes * 4.0 * (n * d) as f64 * outputs / machine.flops;
    let share = memory.max(arithmetic) / seconds;
    say(&format!(
        "{:<22}{seconds:>10.3}{n_iterations:>12}{memory:>10.3}{arithmetic:>12.3}{:>11.0}%",
        format!("{n} × {d} × {k}"),
        100.0 * share
    ));
    Ok(json!({
        "n": n,
        "d": d,
        "k": k,
        "seconds": seconds,
        "n_iterations": n_iterations,
        "memory_seconds": memory,
        "arithmetic_seconds": arithmetic,
        "share_of_limit": share,
    }))
}

fn draw(panels: &[(&str, Vec<Value>)]) -> Result<()> {
    let of = |(name, rows): &(&str, Vec<Value>)| {
        let key = match *name {
            "samples" => "n",
            "features" => "d",
            _ => "k",
        };
        let series = |label: &'static str, value: &str| Series {
            label,
            points: rows.iter().map(|row| (number(row, key), number(row, value))).collect(),
        };
        let all = vec![
            series("measured", "seconds"),
            series("its passes over memory alone", "memory_seconds"),
            series("its products alone", "arithmetic_seconds"),
        ];
        ((*name).to_owned(), all)
    };
    let path = root().join("bench/cost-of-a-fit.svg");
    line_plot(&path, "seconds", &panels.iter().map(of).collect::<Vec<_>>())?;
    say(&format!("drawn: {}", path.display()));
    Ok(())
}
