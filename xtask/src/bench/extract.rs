//! `cargo xtask bench extract`: images per second, end to end, beside Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Options, median, number, text};
use crate::{cargo, headstart_setup, python, root, run, say, target};

const MODELS: [(&str, &str, &str); 2] = [
    ("mobilenetv2-1.0-224", "mobilenetv2-1.0-224.onnx", "features"),
    ("resnet50-v2-stage3", "resnet50-v2-stage3.onnx", "features"),
];

fn measure(options: &Options) -> Result<Vec<Value>> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the photos and weights of {}", shared.display());
    headstart_setup()?;
    let python = python::prepare()?;
    run(cargo().args(["build", "--release", "--quiet", "--package", "headstart"]))?;
    let program = target().join("release/headstart");
    let (n_photos, n_rounds) = if options.quick { (400, 3) } else { (1600, 5) };
    let photos = make_photos(&shared, n_photos)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();

    let mut rows = Vec::new();
    for (id, file, output) in MODELS {
        let model = shared.join("models").join(file);
        let (mut ours, mut peers) = (Vec::new(), Vec::new());
        for round in 0..n_rounds {
            say(&format!("{id}: round {} of {n_rounds}", round + 1));
            ours.push(headstart(&program, &photos, id, &shared)?);
            let peer = root().join("bench/peers/pillow_pool.py");
            let mut command = Command::new(&python);
            command.arg(peer).arg(&model).args([output, cores.as_str()]).arg(&photos);
            let result = json_of(&mut command)?;
            peers.push(rate(&result)?);
        }
        let (ours, peer) = (median(&ours)?, median(&peers)?);
        rows.push(
            json!({"model": id, "headstart": ours, "pillow_onnxruntime_pool": peer, "ratio": ours / peer}),
        );
    }
    Ok(rows)
}

/// Prints the table and writes the JSON.
pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let rows = measure(options)?;
    say("\nimages/s, end to end, median of the rounds (start-up included for headstart, not for Python)");
    say(&format!("{:<24}{:>12}{:>28}{:>9}", "model", "headstart", "Pillow + onnxruntime pool", "ratio"));
    for row in &rows {
        say(&format!(
            "{:<24}{:>12.1}{:>28.1}{:>8.2}×",
            text(row, "model"),
            number(row, "headstart"),
            number(row, "pillow_onnxruntime_pool"),
            number(row, "ratio")
        ));
    }
    let smallest = rows.iter().map(|row| number(row, "ratio")).fold(f64::INFINITY, f64::min);
    options.write(&json!({"f32_vs_best_f32_peer": smallest, "rows": rows}))
}

/// Different photos: the real ones again and again, a few bytes behind the picture telling copies apart.
fn make_photos(shared: &Path, n_photos: usize) -> Result<PathBuf> {
    let folder = target().join(format!("bench/photos-{n_photos}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    let mut originals = Vec::new();
    for place in ["train/ants", "train/bees", "val/ants", "val/bees"].map(|it| format!("hymenoptera/{it}")) {
        for entry in fs::read_dir(shared.join("datasets").join(place))? {
            originals.push(entry?.path());
        }
    }
    for entry in fs::read_dir(shared.join("datasets/imagenet_samples100"))? {
        originals.push(entry?.path());
    }
    originals.retain(|it| {
        it.extension().is_some_and(|it| it.eq_ignore_ascii_case("jpg") || it.eq_ignore_ascii_case("jpeg"))
    });
    originals.sort();
    let staging = folder.with_extension("tmp");
    fs::create_dir_all(&staging)?;
    for index in 0..n_photos {
        let mut bytes = fs::read(&originals[index % originals.len()])?;
        bytes.extend((index as u64).to_le_bytes());
        fs::write(staging.join(format!("{index:06}.jpg")), bytes)?;
    }
    fs::rename(&staging, &folder)?;
    Ok(folder)
}

/// Images per second of one fresh extraction, process start to exit.
fn headstart(program: &Path, photos: &Path, model: &str, shared: &Path) -> Result<f64> {
    let store = target().join("bench/store");
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    let mut command = Command::new(program);
    command.arg("extract").arg(photos).args(["--model", model, "--json", "--store"]).arg(&store);
    command.env("HEADSTART_MODELS", shared.join("models"));
    let start = Instant::now();
    let result = json_of(&mut command)?;
    let n = result["n_embedded"].as_f64().context("no n_embedded")?;
    Ok(n / start.elapsed().as_secs_f64())
}

fn rate(result: &Value) -> Result<f64> {
    let number = |key: &str| result[key].as_f64().with_context(|| format!("the peer printed no {key}"));
    Ok(number("n_images")? / number("seconds")?)
}

fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.trim().lines().last().unwrap_or_default())?)
}
