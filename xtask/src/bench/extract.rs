//! `cargo xtask bench extract`: images per second, end to end, beside Python, and beside what decoding and
//! the model make alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use headstart::{Kind, Places, load_runtime};
use headstart_input::{ImageRecipe, Limits};
use headstart_onnx::{OnnxModel, cut, find_tap, make_batch_dynamic};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::photos::{enlarged, repeated};
use super::{Options, Sides, json_of, median, number, text};
use crate::{cargo, headstart, headstart_setup, root, run, say, target};

const MODELS: [&str; 2] = ["mobilenetv2-1.0-224", "resnet50-v2-stage3"];

/// Most that a faster mode may lose in accuracy.
const SAME_ACCURACY: f64 = 0.005;

/// What is measured in turns: headstart's modes, and Python's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    HeadstartF32,
    HeadstartBf16,
    HeadstartInt8,
    PillowOnnxruntime,
    Fastembed,
    OpenvinoF32,
    OpenvinoBf16,
}

impl Side {
    const ALL: [Self; 7] = [
        Self::HeadstartF32,
        Self::PillowOnnxruntime,
        Self::Fastembed,
        Self::OpenvinoF32,
        Self::HeadstartBf16,
        Self::OpenvinoBf16,
        Self::HeadstartInt8,
    ];

    /// Headstart's own.
    const OURS: [Self; 3] = [Self::HeadstartF32, Self::HeadstartBf16, Self::HeadstartInt8];

    fn name(self) -> &'static str {
        match self {
            Self::HeadstartF32 => "headstart, cpu f32",
            Self::HeadstartBf16 => "headstart, openvino bf16",
            Self::HeadstartInt8 => "headstart, openvino int8",
            Self::PillowOnnxruntime => "Pillow + onnxruntime, pool",
            Self::Fastembed => "fastembed (Rust), a model a core",
            Self::OpenvinoF32 => "Pillow pool + OpenVINO async, f32",
            Self::OpenvinoBf16 => "Pillow pool + OpenVINO async, bf16",
        }
    }
}

/// Where everything is.
struct Bench {
    program: PathBuf,
    python: PathBuf,
    /// Where it builds.
    fastembed: Option<PathBuf>,
    shared: PathBuf,
    cores: String,
}

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the photos and weights of {}", shared.display());
    headstart_setup()?;
    headstart(["setup", "--quiet", "--device", "openvino"])?;
    let Sides { program, python, cores } = Sides::prepare("requirements.txt")?;
    let fastembed = build_fastembed();
    let bench = Bench { program, python, fastembed, shared, cores };
    let mut models = Vec::new();
    for (model, n_quick) in MODELS.into_iter().zip([1000, 400]) {
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
        let quantized = self.quantize(model)?;
        self.cut(model)?;
        let sides = Side::ALL.into_iter().filter(|it| *it != Side::Fastembed || self.fastembed.is_some());
        let mut rows: Vec<(Side, Vec<Value>)> = sides.map(|side| (side, Vec::new())).collect();
        for round in 0..n_rounds {
            say(&format!("{model}: round {} of {n_rounds}", round + 1));
            for (side, results) in &mut rows {
                results.push(self.side(*side, model, photos)?);
            }
        }
        let decode_roof = decode_roof(photos)?;
        let median_of = |side: Side, value: &dyn Fn(&Value) -> f64| {
            let results = rows.iter().find(|it| it.0 == side).map(|it| &it.1[..]).unwrap_or(&[]);
            median(&results.iter().map(value).collect::<Vec<_>>())
        };
        let rate = |side: Side| median_of(side, &|it| number(it, "n_images") / number(it, "seconds"));
        // Decoding and the model share the cores: their times add up.
        let roof = |side: Side| -> Result<f64> {
            let model = median_of(side, &|it| number(it, "model_inputs_per_second"))?;
            Ok(1.0 / (1.0 / decode_roof + 1.0 / model))
        };
        say(&format!(
            "\n{model}: images/s from the first picture to the last row; decoding alone {decode_roof:.0}"
        ));
        say(&format!(
            "{:<38}{:>10}{:>14}{:>10}{:>10}",
            "", "images/s", "with start-up", "accuracy", "of roof"
        ));
        let mut sides = Map::new();
        let mut f32_peer = 0.0_f64;
        let (mut fastest, mut reference) = (0.0_f64, None);
        for (side, _) in &rows {
            let side = *side;
            let rate = rate(side)?;
            if matches!(side, Side::PillowOnnxruntime | Side::Fastembed | Side::OpenvinoF32) {
                f32_peer = f32_peer.max(rate);
            }
            let whole = median_of(side, &|it| number(it, "n_images") / number(it, "process_seconds"))?;
            let mut line = format!("{:<38}{rate:>10.1}{whole:>14.1}", side.name());
            let mut value = json!({"images_per_second": rate, "with_start_up": whole});
            if Side::OURS.contains(&side) {
                let accuracy = self.accuracy(side, model)?;
                // One of 153 held-out pictures is more than half a point: integers, which change embeddings
                // most, are judged by all 397 in cross-validation.
                let (judged, of_floats) = match side {
                    Side::HeadstartInt8 => {
                        (number(&quantized, "accuracy"), number(&quantized, "accuracy_f32"))
                    }
                    _ => (accuracy, *reference.get_or_insert(accuracy)),
                };
                if judged >= of_floats - SAME_ACCURACY {
                    fastest = fastest.max(rate);
                }
                let fraction = rate / roof(side)?;
                line += &format!("{:>9.1}%{fraction:>10.2}", 100.0 * accuracy);
                value["accuracy"] = json!(accuracy);
                value["roof_fraction"] = json!(fraction);
            }
            say(&line);
            sides.insert(side.name().to_owned(), value);
        }
        say(&format!(
            "int8: cosine {:.4} on average, {:.4} at least; cross-validated accuracy {:.1}% for {:.1}%\n",
            number(&quantized, "cosine_mean"),
            number(&quantized, "cosine_min"),
            100.0 * number(&quantized, "accuracy"),
            100.0 * number(&quantized, "accuracy_f32"),
        ));
        Ok(json!({
            "model": model,
            "sides": sides,
            "f32_vs_best_f32_peer": rate(Side::HeadstartF32)? / f32_peer,
            "bf16_vs_best_bf16_peer": rate(Side::HeadstartBf16)? / rate(Side::OpenvinoBf16)?,
            "fastest_vs_best_f32_peer": fastest / f32_peer,
            "decode_roof": decode_roof,
            "roof_fraction": rate(Side::HeadstartF32)? / roof(Side::HeadstartF32)?,
            "quantized": quantized,
        }))
    }

    /// Writes a model cut at its embedding, with the input it had: what fastembed takes.
    fn cut(&self, model: &str) -> Result<()> {
        let mut whole = OnnxModel::load(&self.shared.join("models").join(format!("{model}.onnx")))?;
        make_batch_dynamic(&mut whole)?;
        Ok(cut(&whole, &find_tap(&whole)?)?.save(&Self::cut_file(model))?)
    }

    fn cut_file(model: &str) -> PathBuf {
        target().join("bench").join(format!("{model}-cut.onnx"))
    }

    /// Where the quantised form of a model is.
    fn quantized(model: &str) -> PathBuf {
        target().join("bench").join(format!("{model}-int8.onnx"))
    }

    /// Quantises a model by hymenoptera's pictures; what that did to its embeddings.
    fn quantize(&self, model: &str) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command
            .args(["models", "quantize", "--json", "--device", "openvino", "--model", model, "--out"])
            .arg(Self::quantized(model))
            .arg("--dataset")
            .arg(self.shared.join("datasets/hymenoptera"));
        json_of(command.env("HEADSTART_MODELS", self.shared.join("models")))
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
            Side::HeadstartInt8 => {
                let file = Self::quantized(model);
                let file = file.to_str().context("a path that is no UTF-8")?;
                return self.extract(photos, file, &["--device", "openvino"]);
            }
            Side::Fastembed => {
                command = Command::new(self.fastembed.as_deref().context("fastembed does not build here")?);
                let runtime = load_runtime(Kind::Cpu, &Places::from_environment())?;
                command.env("ORT_DYLIB_PATH", runtime.path()).arg(Self::cut_file(model)).arg(&self.cores)
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
        let start = Instant::now();
        let mut result = json_of(command.arg(photos))?;
        result["process_seconds"] = json!(start.elapsed().as_secs_f64());
        Ok(result)
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
        result["seconds"] = result["pipeline_seconds"].clone();
        result["process_seconds"] = json!(start.elapsed().as_secs_f64());
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
                Ok(number(&result, "process_seconds"))
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

/// Builds the peer that is written in Rust, in a workspace of its own; none where it does not build.
fn build_fastembed() -> Option<PathBuf> {
    let folder = target().join("fastembed");
    let mut build = cargo();
    build.args(["build", "--release", "--quiet", "--manifest-path", "bench/peers/fastembed/Cargo.toml"]);
    match run(build.arg("--target-dir").arg(&folder)) {
        Ok(()) => Some(folder.join("release/fastembed-peer")),
        Err(err) => {
            say(&format!("fastembed is left out: {err:#}"));
            None
        }
    }
}

/// Images a second that all cores decode, resize and crop, and do nothing else.
fn decode_roof(photos: &Path) -> Result<f64> {
    let mut files = fs::read_dir(photos)?.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    files.truncate(1000);
    let recipe = ImageRecipe::imagenet();
    let start = Instant::now();
    files.par_iter().try_for_each(|file| -> Result<()> {
        recipe.apply(&fs::read(file)?, &Limits::default())?;
        Ok(())
    })?;
    Ok(files.len() as f64 / start.elapsed().as_secs_f64())
}
