//! `cargo xtask bench embedded`: what the compiled-in backbone has learnt, beside its teacher, random
//! weights of the same network, and plain pixels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use headstart::{Kind, Places};
use headstart_backbone::{Backbone, CutModel, EMBEDDED_ID, Registry, SessionConfig, embedded_model};
use headstart_head::{Logistic, LogisticConfig, argmax, default_alphas, stratified_folds, wilson_interval};
use headstart_input::{ImageRecipe, Limits};
use ndarray::Array2;
use serde_json::{Value, json};

use super::{Options, median, number, text};
use crate::{headstart, headstart_setup, python, root, run, say, target};

const SETS: [&str; 3] = ["hymenoptera", "caltech8_mini", "cifar10_mini"];
const TEACHER: &str = "mobilenetv2-1.0-224";

/// Photos of hymenoptera that the backbone was taught on: Tiny ImageNet's bees hold them too, in 64×64
/// (16×16 grey correlation above 0.98; no other picture of the three sets is above 0.955). They judge nothing
/// here, and nothing is fitted on them.
const TAUGHT: [&str; 12] = [
    "1295655112_7813f37d21.jpg",
    "196658222_3fffd79c67.jpg",
    "2384149906_2cd8b0b699.jpg",
    "2452236943_255bfd9e58.jpg",
    "39672681_1302d204d1.jpg",
    "444532809_9e931e2279.jpg",
    "473618094_8ffdcab215.jpg",
    "873076652_eb098dab2d.jpg",
    "177677657_a38c97e572.jpg",
    "1799729694_0c40101071.jpg",
    "290082189_f66cb80bfc.jpg",
    "936182217_c4caa5222d.jpg",
];

/// Networks of random weights, whose mean accuracy is that of no learning.
const N_TWINS: usize = 3;

/// Side of the pictures whose pixels are features.
const PIXELS: u32 = 32;

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the photos and weights of {}", shared.display());
    headstart_setup()?;
    let folder = target().join("bench/embedded");
    fs::create_dir_all(&folder)?;
    let embedded = folder.join("embedded.onnx");
    fs::write(&embedded, embedded_model(EMBEDDED_ID).context("the embedded model is compiled in")?)?;
    let (script, python) = (root().join("bench/peers/random_twin.py"), python::prepare()?);
    let mut random = Vec::new();
    for seed in 0..N_TWINS {
        let twin = folder.join(format!("random-{seed}.onnx"));
        let photos = shared.join("datasets/imagenet_samples100");
        run(Command::new(&python).arg(&script).args([&embedded, &twin, &photos]).arg(seed.to_string()))?;
        random.push(twin);
    }
    let registry = Registry::builtin();
    let spec = registry.get(EMBEDDED_ID).context("the embedded model is in the registry")?.clone();
    let teacher = registry.get(TEACHER).context("the teacher is in the registry")?.clone();

    let runtime = headstart::load_runtime(Kind::Cpu, &Places::from_environment())?;
    let load = |file: &Path, spec: &headstart_backbone::ModelSpec| -> Result<Backbone> {
        Ok(Backbone::load(&runtime, CutModel::load(file, spec)?, &SessionConfig::default(), 1)?)
    };
    let mut student = load(&embedded, &spec)?;
    let mut twins = random.iter().map(|it| load(it, &spec)).collect::<Result<Vec<_>>>()?;
    let mut master = load(&shared.join("models").join(&teacher.file), &teacher)?;
    let mut rows = Vec::new();
    for set in SETS {
        say(&format!("{set}: embedding {} times", 3 + N_TWINS));
        let pictures = Pictures::of(&shared.join("datasets").join(set))?;
        let accuracy = |backbone: Option<&mut Backbone>| -> Result<[f64; 3]> { pictures.probe(backbone) };
        let (learnt, taught, pixels) =
            (accuracy(Some(&mut student))?, accuracy(Some(&mut master))?, accuracy(None)?);
        let untrained = twins.iter_mut().map(|it| accuracy(Some(it))).collect::<Result<Vec<_>>>()?;
        let mean = |at: usize| untrained.iter().map(|it| it[at]).sum::<f64>() / untrained.len() as f64;
        let untrained = [0, 1, 2].map(mean);
        // What needs no learning at all may be better than random weights.
        let floor = untrained[0].max(pixels[0]);
        rows.push(json!({
            "set": set,
            "embedded": learnt,
            "random_weights": untrained,
            "teacher": taught,
            "pixels": pixels,
            "gap_closed": (learnt[0] - untrained[0]) / (taught[0] - untrained[0]),
            "gap_closed_from_the_better_of_random_weights_and_pixels":
                (learnt[0] - floor) / (taught[0] - floor),
            "n_held_out": pictures.splits[1].1.len(),
        }));
    }
    let speeds = speeds(&mut student, &mut master)?;
    let whole = end_to_end(&shared)?;
    print(&rows, &speeds, &whole);
    let closed: Value = rows.iter().map(|row| (text(row, "set"), row["gap_closed"].clone())).collect();
    options
        .write(&json!({"gap_closed": closed, "rows": rows, "images_per_second": speeds, "end_to_end": whole}))
}

/// A dataset of `<split>/<class>/*`.
struct Pictures {
    /// Files and classes to fit on, then those to judge by.
    splits: [(Vec<PathBuf>, Vec<usize>); 2],
    n_classes: usize,
}

impl Pictures {
    fn of(dataset: &Path) -> Result<Self> {
        let list = |folder: &Path| -> Result<Vec<PathBuf>> {
            let entries =
                fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
            let mut paths = entries.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
            paths.sort();
            Ok(paths)
        };
        let mut n_classes = 0;
        let mut split = |name: &str| -> Result<(Vec<PathBuf>, Vec<usize>)> {
            let (mut files, mut y) = (Vec::new(), Vec::new());
            for (class, folder) in list(&dataset.join(name))?.into_iter().filter(|it| it.is_dir()).enumerate()
            {
                let mut pictures = list(&folder)?;
                let is_taught = |it: &PathBuf| {
                    it.file_name().and_then(|it| it.to_str()).is_some_and(|it| TAUGHT.contains(&it))
                };
                pictures.retain(|it| !is_taught(it));
                y.extend(std::iter::repeat_n(class, pictures.len()));
                files.extend(pictures);
                n_classes = n_classes.max(class + 1);
            }
            Ok((files, y))
        };
        let splits = [split("train")?, split("val")?];
        Ok(Self { splits, n_classes })
    }

    /// Accuracy of a linear probe on the features of a backbone, or on pixels, and its 95% interval.
    fn probe(&self, mut backbone: Option<&mut Backbone>) -> Result<[f64; 3]> {
        let mut features = |files: &[PathBuf]| -> Result<Array2<f32>> {
            let mut rows = Vec::new();
            for file in files {
                let bytes = fs::read(file)?;
                match &mut backbone {
                    Some(backbone) => {
                        let tensors = backbone.runner().recipe().apply(&bytes, &Limits::default())?;
                        rows.extend(backbone.runner_mut().run(&[tensors])?);
                    }
                    None => {
                        let squeezed = ImageRecipe {
                            size: [PIXELS; 2],
                            short_side: Some(PIXELS),
                            ..ImageRecipe::imagenet()
                        };
                        let pixels = squeezed.apply(&bytes, &Limits::default())?;
                        rows.extend(pixels.iter().map(|it| f32::from(*it) / 255.0));
                    }
                }
            }
            Ok(Array2::from_shape_vec((files.len(), rows.len() / files.len()), rows)?)
        };
        let [(train, y), (held_out, y_held_out)] = &self.splits;
        let (x, x_held_out) = (features(train)?, features(held_out)?);
        let view = x.view();
        let samples = Logistic::new(&view, y, self.n_classes, None, true)?;
        let groups: Vec<u64> = (0..y.len() as u64).collect();
        let path = samples.cross_validate(&stratified_folds(y, &groups, 5, 0), &default_alphas())?;
        let alpha = path.alphas[path.best];
        let fit = samples.fit(&LogisticConfig { alpha, standardize: true, ..LogisticConfig::default() })?;
        let logits = x_held_out.mapv(f64::from).dot(&fit.coef) + &fit.intercept;
        let rows = logits.rows().into_iter().zip(y_held_out);
        let hits = rows.filter(|(row, class)| argmax(row.iter().copied()) == **class).count();
        let [low, high] = wilson_interval(hits as u64, y_held_out.len() as u64);
        Ok([hits as f64 / y_held_out.len() as f64, low, high])
    }
}

/// Images a second of the model alone: one session, one thread, batches of 8, medians.
fn speeds(student: &mut Backbone, teacher: &mut Backbone) -> Result<Value> {
    let rate = |backbone: &mut Backbone, n: usize| -> Result<f64> {
        let batch = vec![backbone.runner().recipe().neutral(); 8];
        let start = Instant::now();
        for _ in 0..n / batch.len() {
            backbone.runner_mut().run(&batch)?;
        }
        Ok(n as f64 / start.elapsed().as_secs_f64())
    };
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        fast.push(rate(student, 800)?);
        slow.push(rate(teacher, 80)?);
    }
    let (fast, slow) = (median(&fast)?, median(&slow)?);
    Ok(json!({"embedded": fast, "teacher": slow, "ratio": fast / slow}))
}

/// Images a second of an extraction, start-up and decoding of whole photos included, medians.
fn end_to_end(shared: &Path) -> Result<Value> {
    let (photos, store) = (shared.join("datasets/hymenoptera"), target().join("bench/embedded/store"));
    let rate = |model: &Path| -> Result<f64> {
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let start = Instant::now();
        headstart(["extract", &text(&photos), "--model", &text(model), "--store", &text(&store)])?;
        let n_photos = headstart_store::Store::open(&store)?.samples()?.samples.len();
        Ok(n_photos as f64 / start.elapsed().as_secs_f64())
    };
    let teacher = shared.join("models").join(format!("{TEACHER}.onnx"));
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        fast.push(rate(Path::new(EMBEDDED_ID))?);
        slow.push(rate(&teacher)?);
    }
    let (fast, slow) = (median(&fast)?, median(&slow)?);
    Ok(json!({"embedded": fast, "teacher": slow, "ratio": fast / slow}))
}

fn print(rows: &[Value], speeds: &Value, whole: &Value) {
    say("\naccuracy of a linear probe, 95% interval");
    say(&format!(
        "{:<22}{:>22}{:>22}{:>22}{:>22}{:>12}{:>14}",
        "set", "embedded", "random weights", "pixels", "teacher", "gap closed", "from best"
    ));
    for row in rows {
        let share = |key: &str| {
            let at = |index: usize| 100.0 * row[key][index].as_f64().unwrap_or(f64::NAN);
            format!("{:.1}% ({:.1}–{:.1})", at(0), at(1), at(2))
        };
        say(&format!(
            "{:<22}{:>22}{:>22}{:>22}{:>22}{:>11.0}%{:>13.0}%",
            format!("{} ({:.0})", text(row, "set"), number(row, "n_held_out")),
            share("embedded"),
            share("random_weights"),
            share("pixels"),
            share("teacher"),
            100.0 * number(row, "gap_closed"),
            100.0 * number(row, "gap_closed_from_the_better_of_random_weights_and_pixels"),
        ));
    }
    for (what, rates) in [("model only, one thread", speeds), ("end to end, all cores", whole)] {
        say(&format!(
            "{what}: {:.0} images/s, the teacher {:.0}: {:.1}×",
            number(rates, "embedded"),
            number(rates, "teacher"),
            number(rates, "ratio")
        ));
    }
}
