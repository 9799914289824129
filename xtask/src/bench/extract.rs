//! `cargo xtask bench extract`: images per second, end to end, beside Python, and beside what decoding and
//! the model make alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use headstart_backbone::{DecodeLimits, Preprocess};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::photos::{enlarged, repeated};
use super::{Options, median, number, text};
use crate::{cargo, headstart, headstart_setup, python, root, run, say, target};

const MODELS: [&str; 2] = ["mobilenetv2-1.0-224", "resnet50-v2-stage3"];

/// Most that a faster mode may lose in accuracy.
const SAME_ACCURACY: f64 = 0.005;

/// What is measured in turns: headstart's modes, and Python's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    HeadstartF32,
    HeadstartBf16,
    PillowOnnxruntime,
    OpenvinoF32,
    OpenvinoBf16,
}

impl Side {
    const ALL: [Self; 5] = [
        Self::HeadstartF32,
        Self::PillowOnnxruntime,
        Self::OpenvinoF32,
        Self::HeadstartBf16,
        Self::OpenvinoBf16,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::HeadstartF32 => "headstart, cpu f32",
            Self::HeadstartBf16 => "headstart, openvino bf16",
            Self::PillowOnnxruntime => "Pillow + onnxruntime, pool",
            Self::OpenvinoF32 => "Pillow pool + OpenVINO async, f32",
            Self::OpenvinoBf16 => "Pillow pool + OpenVINO async, bf16",
        }
    }
}

/// Where everything is.
struct Bench {
    program: PathBuf,
    python: PathBuf,
    shared: PathBuf,
    cores: String,
}

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the photos and weights of {}", shared.display());
    headstart_setup()?;
    headstart(["setup", "--quiet", "--device", "openvino"])?;
    let python = python::prepare()?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(root().join("bench/peers/requirements.txt")))?;
    run(cargo().args(["build", "--release", "--quiet", "--package", "headstart"]))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let bench = Bench { program: target().join("release/headstart"), python, shared, cores };
    let mut models = Vec::new();
    for (model, n_quick) in MODELS.into_iter().zip([1000, 200]) {
        let (n_photos, n_rounds) = if options.quick { (n_quick, 2) } else { (2000, 5) };
        models.push(bench.model(model, &repeated(&bench.shared, n_photos)?, n_rounds)?);
    }
    let large = bench.large(if options.quick { 40 } else { 120 })?;
    let unchanged = bench.unchanged(20_000)?;
    let per_model = |key: &str| -> Map<String, Value> {
        models.iter().map(|it| (text(it, "model").to_owned(), it[key].clone())).collect()
    };
    options.write(&json!({
        "f32_vs_best_f32_peer": per_model("f32_vs_best_f32_peer"),
        "bf16_vs_best_bf16_peer": per_model("bf16_vs_best_bf16_peer"),
        "fastest_vs_best_f32_peer": per_model("fastest_vs_best_f32_peer"),
        "roof_fraction": per_model("roof_fraction"),
        "rows": models,
        "photos_of_12_megapixels": large,
        "unchanged": unchanged,
    }))
}

impl Bench {
    /// One model on all sides, in turns.
    fn model(&self, model: &str, photos: &Path, n_rounds: usize) -> Result<Value> {
        let mut rates = Side::ALL.map(|side| (side, Vec::new()));
        let mut roofs = Vec::new();
        for round in 0..n_rounds {
            say(&format!("{model}: round {} of {n_rounds}", round + 1));
            for (side, rates) in &mut rates {
                let result = self.side(*side, model, photos)?;
                if *side == Side::HeadstartF32 {
                    roofs.extend(result["model_images_per_second"].as_f64());
                }
                rates.push(number(&result, "n_images") / number(&result, "seconds"));
            }
        }
        let decode_roof = decode_roof(photos)?;
        let rate =
            |side: Side| median(rates.iter().find(|it| it.0 == side).map(|it| &it.1[..]).unwrap_or(&[]));
        let (f32, bf16) = (rate(Side::HeadstartF32)?, rate(Side::HeadstartBf16)?);
        let f32_peer = rate(Side::PillowOnnxruntime)?.max(rate(Side::OpenvinoF32)?);
        let accuracies =
            [self.accuracy(Side::HeadstartF32, model)?, self.accuracy(Side::HeadstartBf16, model)?];
        let fastest = if accuracies[1] >= accuracies[0] - SAME_ACCURACY { f32.max(bf16) } else { f32 };
        say(&format!(
            "\n{model}: images/s, end to end, medians (start-up included for headstart, not for Python)"
        ));
        for side in Side::ALL {
            say(&format!("{:<38}{:>10.1}", side.name(), rate(side)?));
        }
        let model_roof = if roofs.is_empty() { None } else { Some(median(&roofs)?) };
        let roof_fraction = model_roof.map(|model_roof| {
            let roof = 1.0 / (1.0 / decode_roof + 1.0 / model_roof);
            say(&format!(
                "decoding alone {decode_roof:.0}, the model alone {model_roof:.0}: both share the cores, {roof:.0} at most; reached {:.2}",
                f32 / roof
            ));
            f32 / roof
        });
        let [of_f32, of_bf16] = accuracies;
        say(&format!("held-out accuracy on hymenoptera: f32 {of_f32:.3}, bf16 {of_bf16:.3}\n"));
        Ok(json!({
            "model": model,
            "images_per_second": Side::ALL.iter().map(|it| Ok((it.name().to_owned(), json!(rate(*it)?)))).collect::<Result<Map<_, _>>>()?,
            "f32_vs_best_f32_peer": f32 / f32_peer,
            "bf16_vs_best_bf16_peer": bf16 / rate(Side::OpenvinoBf16)?,
            "fastest_vs_best_f32_peer": fastest / f32_peer,
            "decode_roof": decode_roof,
            "model_roof": model_roof,
            "roof_fraction": roof_fraction,
            "accuracy": {"f32": of_f32, "bf16": of_bf16},
        }))
    }

    fn side(&self, side: Side, model: &str, photos: &Path) -> Result<Value> {
        let file = self.shared.join("models").join(format!("{model}.onnx"));
        let mut command = Command::new(&self.python);
        let peers = root().join("bench/peers");
        match side {
            Side::HeadstartF32 => return self.extract(photos, model, &[]),
            Side::HeadstartBf16 => {
                return self.extract(photos, model, &["--device", "openvino", "--precision", "bf16"]);
            }
            Side::PillowOnnxruntime => {
                command.arg(peers.join("pillow_pool.py")).arg(file).args(["features", &self.cores])
            }
            Side::OpenvinoF32 | Side::OpenvinoBf16 => {
                let precision = if side == Side::OpenvinoF32 { "f32" } else { "bf16" };
                command.arg(peers.join("openvino_async.py")).arg(file).args([
                    "features",
                    precision,
                    &self.cores,
                ])
            }
        };
        json_of(command.arg(photos))
    }

    /// A fresh extraction, process start to exit.
    fn extract(&self, photos: &Path, model: &str, flags: &[&str]) -> Result<Value> {
        let store = target().join("bench/store");
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        self.extract_into(&store, photos, model, flags)
    }

    fn extract_into(&self, store: &Path, photos: &Path, model: &str, flags: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command
            .arg("extract")
            .arg(photos)
            .args(["--model", model, "--json", "--store"])
            .arg(store)
            .args(flags);
        let start = Instant::now();
        let mut result = json_of(command.env("HEADSTART_MODELS", self.shared.join("models")))?;
        result["seconds"] = json!(start.elapsed().as_secs_f64());
        result["n_images"] = result["n_embedded"].clone();
        Ok(result)
    }

    /// Held-out accuracy of a head on hymenoptera's embeddings.
    fn accuracy(&self, side: Side, model: &str) -> Result<f64> {
        let (photos, store) = (self.shared.join("datasets/hymenoptera"), target().join("bench/store"));
        drop(self.side(side, model, &photos)?);
        let head = target().join("bench/bench.head");
        let mut command = Command::new(&self.program);
        command.args(["fit-head", "--store"]).arg(&store).arg("--out").arg(&head);
        ensure!(command.output()?.status.success(), "{command:?} failed");
        let mut command = Command::new(&self.program);
        command.args(["eval", "--json", "--split", "val", "--store"]).arg(&store).arg("--head").arg(&head);
        let output = command.output()?;
        let result: Value = serde_json::from_slice(&output.stdout)?;
        result["accuracy"].as_f64().context("no accuracy")
    }

    /// Photos of twelve megapixels: decoded whole, at a fraction, and by Pillow.
    fn large(&self, n_photos: usize) -> Result<Value> {
        let photos = enlarged(&self.shared, n_photos)?;
        let rate = |result: &Value| number(result, "n_images") / number(result, "seconds");
        let whole = rate(&self.extract(&photos, MODELS[0], &[])?);
        let scaled = rate(&self.extract(&photos, MODELS[0], &["--scaled-jpeg"])?);
        let peer = rate(&self.side(Side::PillowOnnxruntime, MODELS[0], &photos)?);
        say(&format!(
            "12 megapixels: {whole:.1} images/s whole, {scaled:.1} at a fraction; Pillow + onnxruntime {peer:.1} ({:.1}×)",
            scaled / peer
        ));
        Ok(json!({"whole": whole, "scaled": scaled, "pillow_onnxruntime": peer, "ratio": scaled / peer}))
    }

    /// A second run over files that did not change, beside asking the system for their times alone.
    fn unchanged(&self, n_files: usize) -> Result<Value> {
        let photos = repeated(&self.shared, n_files)?;
        let store = target().join("bench/store-unchanged");
        let embedded = "headstart-distilled-96";
        drop(self.extract_into(&store, &photos, embedded, &[])?);
        let seconds = (0..3)
            .map(|_| {
                let result = self.extract_into(&store, &photos, embedded, &[])?;
                ensure!(result["n_unchanged"] == n_files, "files were read again");
                Ok(number(&result, "seconds"))
            })
            .collect::<Result<Vec<_>>>()?;
        let seconds = median(&seconds)?;
        let start = Instant::now();
        for entry in fs::read_dir(&photos)? {
            entry?.metadata()?;
        }
        let stat = start.elapsed().as_secs_f64();
        say(&format!(
            "{n_files} unchanged files: {seconds:.2} s, {:.1} µs a file; listing and stat alone {:.1} µs",
            1e6 * seconds / n_files as f64,
            1e6 * stat / n_files as f64
        ));
        Ok(json!({"n_files": n_files, "seconds": seconds, "stat_seconds": stat}))
    }
}

/// Images a second that all cores decode, resize and crop, and do nothing else.
fn decode_roof(photos: &Path) -> Result<f64> {
    let mut files = fs::read_dir(photos)?.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    files.truncate(1000);
    let preprocess = Preprocess::imagenet();
    let start = Instant::now();
    files.par_iter().try_for_each(|file| -> Result<()> {
        preprocess.apply(&fs::read(file)?, &DecodeLimits::default())?;
        Ok(())
    })?;
    Ok(files.len() as f64 / start.elapsed().as_secs_f64())
}

fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.trim().lines().last().unwrap_or_default())?)
}
