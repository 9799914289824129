//! `cargo xtask bench head`: fits and alpha sweeps, beside scikit-learn.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headstart_head::{Logistic, LogisticConfig, default_alphas, stratified_folds};
use ndarray::{Array1, Array2};
use serde_json::{Value, json};

use super::features::{Samples, cifar10, relu};
use super::{Options, cost, median, number, selection, tabular, text};
use crate::{python, root, say};

/// Largest gradient per sample of our fits. The gap is bounded too: a gradient alone is small long
/// before the objective is where classes separate.
const TOLERANCE: f64 = 1e-5;
const GAP: f64 = 0.6;

/// The peer's BLAS threads go on turning for a tenth of a second after their last work, and would take a core from
/// what is measured next.
const REST: Duration = Duration::from_millis(300);

/// Inverse penalties.
const CS: [f64; 4] = [1e-3, 1e-2, 1.0, 1e2];

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let mut peer = Peer::start()?;
    let n_rounds = if options.quick { 3 } else { 5 };
    let mut rows = Vec::new();
    let sets = [relu(8000, 1280, 10, 1)?, relu(8000, 1280, 2, 2)?, relu(8000, 1280, 100, 3)?, cifar10(8000)?];
    for samples in &sets {
        for c in CS {
            say(&format!("{}, C = {c}", samples.name));
            rows.push(single_fit(&mut peer, samples, c, n_rounds)?);
        }
    }
    let (n, d) = if options.quick { (1000, 256) } else { (4000, 1280) };
    say(&format!("45 alphas × 5 folds on {n}×{d}×10"));
    let sweep = sweep(&mut peer, &relu(n, d, 10, 4)?)?;
    print(&rows, &sweep);
    let selection = selection::measure(if options.quick { 1 } else { 3 })?;
    let cost = cost::measure()?;
    let tables = tabular::coefficient_errors()?;
    let smallest = |key: &str| rows.iter().map(|row| number(row, key)).fold(f64::INFINITY, f64::min);
    let largest = |key: &str| rows.iter().map(|row| number(row, key)).fold(f64::NEG_INFINITY, f64::max);
    options.write(&json!({
        "single_fit_speedup_min": smallest("speedup"),
        "two_class_speedup_min": rows.iter().filter(|it| it["n_classes"] == 2).map(|it| number(it, "speedup")).fold(f64::INFINITY, f64::min),
        "selection_cost_max": selection.iter().map(|it| number(it, "cost")).fold(0.0, f64::max),
        "selection_excess_max": selection.iter().map(|it| number(it, "excess_in_standard_errors")).fold(0.0, f64::max),
        "sweep_speedup": sweep["speedup"],
        "objective_excess_max": largest("objective_excess"),
        "coef_error_max": tables.iter().map(|it| number(it, "coef_error")).fold(0.0, f64::max),
        "rows": rows,
        "sweep": sweep,
        "selection": selection,
        "tables": tables,
        "cost": cost,
    }))
}

/// One problem at one C, both sides in turns.
fn single_fit(peer: &mut Peer, samples: &Samples, c: f64, n_rounds: usize) -> Result<Value> {
    let config =
        LogisticConfig { alpha: 1.0 / c, tolerance: TOLERANCE, gap_tolerance: GAP, ..Default::default() };
    let (mut ours, mut theirs, mut fit, mut answer) = (Vec::new(), Vec::new(), None, Value::Null);
    for round in 0..n_rounds {
        let start = Instant::now();
        let view = samples.x.view();
        let made = Logistic::new(&view, &samples.y, samples.n_classes, None, false)?.fit(&config)?;
        ours.push(start.elapsed().as_secs_f64());
        fit = Some(made);
        // Theirs takes long and varies little; an odd number, for the median's sake.
        if round < 3 {
            answer = peer.ask(samples, &json!({"C": c}))?;
            theirs.push(number(&answer, "seconds"));
        }
    }
    let fit = fit.context("at least one round")?;
    let objective = objective(samples, &answer, 1.0 / c)?;
    let (ours, theirs) = (median(&ours)?, median(&theirs)?);
    Ok(json!({
        "samples": samples.name,
        "n_classes": samples.n_classes,
        "C": c,
        "headstart_seconds": ours,
        "sklearn_seconds": theirs,
        "speedup": theirs / ours,
        "headstart_objective": fit.certificate.objective,
        "sklearn_objective": objective,
        "objective_excess": fit.certificate.objective / objective - 1.0,
        "gradient": fit.certificate.gradient,
        "n_iterations": fit.certificate.n_iterations,
        "sklearn_n_iterations": answer["n_iter"],
    }))
}

/// All alphas and folds, once each.
fn sweep(peer: &mut Peer, samples: &Samples) -> Result<Value> {
    let alphas = default_alphas();
    let groups: Vec<u64> = (0..samples.y.len() as u64).collect();
    let folds = stratified_folds(&samples.y, &groups, 5, 0);
    let view = samples.x.view();
    let start = Instant::now();
    let prepared = Logistic::new(&view, &samples.y, samples.n_classes, None, false)?;
    let path = prepared.cross_validate(&folds, &alphas)?;
    // Theirs fits all samples at the best alpha in the end: so do we.
    let best = LogisticConfig { alpha: path.alphas[path.best], ..LogisticConfig::default() };
    drop(prepared.fit(&best)?);
    let ours = start.elapsed().as_secs_f64();
    let cs: Vec<f64> = alphas.iter().map(|it| 1.0 / it).collect();
    let answer = peer.ask(samples, &json!({"Cs": cs, "folds": folds}))?;
    let theirs = number(&answer, "seconds");
    let losses: Vec<f64> =
        answer["losses"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    Ok(json!({
        "samples": samples.name,
        "headstart_seconds": ours,
        "sklearn_seconds": theirs,
        "speedup": theirs / ours,
        "headstart_alpha": path.alphas[path.best],
        "sklearn_alpha": 1.0 / number(&answer, "C"),
        // The loss scikit-learn itself measures at either choice.
        "headstart_loss": losses.get(path.best),
        "sklearn_loss": losses.iter().copied().fold(f64::INFINITY, f64::min),
        "headstart_own_loss": path.mean_loss[path.best],
    }))
}

/// The objective of scikit-learn's solution, in f64.
fn objective(samples: &Samples, answer: &Value, alpha: f64) -> Result<f64> {
    let coef: Vec<Vec<f64>> = serde_json::from_value(answer["coef"].clone())?;
    let intercept = Array1::from(serde_json::from_value::<Vec<f64>>(answer["intercept"].clone())?);
    let (n_outputs, d) = (coef.len(), samples.x.ncols());
    let coef = Array2::from_shape_vec((n_outputs, d), coef.concat())?;
    let logits = samples.x.mapv(f64::from).dot(&coef.t()) + &intercept;
    let loss = logits.rows().into_iter().zip(&samples.y).map(|(row, class)| {
        if n_outputs == 1 {
            let z = if *class == 1 { -row[0] } else { row[0] };
            return z.max(0.0) + (-z.abs()).exp().ln_1p();
        }
        let max = row.fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        row.iter().map(|it| (it - max).exp()).sum::<f64>().ln() + max - row[*class]
    });
    Ok(loss.sum::<f64>() + 0.5 * alpha * coef.iter().map(|it| it * it).sum::<f64>())
}

fn print(rows: &[Value], sweep: &Value) {
    say("\nseconds to gradient/n ≤ 1e-5 (scikit-learn: to its default tolerance), medians");
    say(&format!(
        "{:<28}{:>8}{:>11}{:>13}{:>10}{:>14}{:>14}",
        "samples", "C", "headstart", "scikit-learn", "speed-up", "objective", "theirs"
    ));
    for row in rows {
        say(&format!(
            "{:<28}{:>8}{:>11.3}{:>13.2}{:>9.1}×{:>14.4}{:>14.4}",
            text(row, "samples"),
            number(row, "C"),
            number(row, "headstart_seconds"),
            number(row, "sklearn_seconds"),
            number(row, "speedup"),
            number(row, "headstart_objective"),
            number(row, "sklearn_objective"),
        ));
    }
    say(&format!(
        "sweep of 45 alphas × 5 folds on {}: {:.2} s against {:.1} s ({:.0}×); alpha {:.3e} (loss {:.4}) against {:.3e} (loss {:.4})",
        text(sweep, "samples"),
        number(sweep, "headstart_seconds"),
        number(sweep, "sklearn_seconds"),
        number(sweep, "speedup"),
        number(sweep, "headstart_alpha"),
        number(sweep, "headstart_loss"),
        number(sweep, "sklearn_alpha"),
        number(sweep, "sklearn_loss"),
    ));
}

/// scikit-learn, asked line by line.
struct Peer(Child);

impl Peer {
    fn start() -> Result<Self> {
        let script = root().join("bench/peers/sklearn_logistic.py");
        let mut command = Command::new(python::prepare()?);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn().context("cannot start the peer")?))
    }

    fn ask(&mut self, samples: &Samples, question: &Value) -> Result<Value> {
        let mut question = question.clone();
        question["x"] = json!(samples.x_file);
        question["y"] = json!(samples.y_file);
        (question["n"], question["d"]) = (json!(samples.x.nrows()), json!(samples.x.ncols()));
        let stdin = self.0.stdin.as_mut().context("the peer has no stdin")?;
        writeln!(stdin, "{question}")?;
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().context("the peer has no stdout")?).read_line(&mut line)?;
        thread::sleep(REST);
        serde_json::from_str(&line).with_context(|| format!("the peer said `{line}`"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
