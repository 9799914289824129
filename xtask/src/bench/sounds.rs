//! `cargo xtask bench audio`: sounds per second and held-out accuracy, beside Python on the same files and cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use headstart_input::{AudioRecipe, Limits, Recipe};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::{Options, Sides, json_of, median, number, side_by_side};
use crate::tones::{RATE, wav};
use crate::{headstart_setup, root, run, say, target};

/// A model, its file, its output, and how it is fed: window and hop in samples, what shorter sounds are filled with.
struct Model {
    id: &'static str,
    file: &'static str,
    output: &'static str,
    fed: [&'static str; 3],
}

const MODELS: [Model; 3] = [
    Model {
        id: "yamnet",
        file: "yamnet-waveform.onnx",
        output: "embeddings",
        fed: ["15600", "15600", "zeros"],
    },
    Model {
        id: "speech-embedding-1s",
        file: "speech-embedding-1s.onnx",
        output: "features",
        fed: ["16000", "16000", "zeros"],
    },
    Model {
        id: "voice-encoder-ge2e",
        file: "voice-encoder-ge2e.onnx",
        output: "features",
        fed: ["25600", "12800", "repeat"],
    },
];

const SETS: [&str; 2] = ["fsdd_mini", "speech_commands_mini"];

const PEERS: [&str; 2] = ["onnxruntime", "pool"];

/// Length of the long sound.
const MINUTES: usize = 10;

struct Bench {
    program: PathBuf,
    python: PathBuf,
    models: PathBuf,
    place: PathBuf,
    cores: String,
}

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the sounds and weights of {}", shared.display());
    headstart_setup()?;
    let Sides { program, python, cores } = Sides::prepare("requirements-sounds.txt")?;
    let place = target().join("bench/sounds");
    fs::create_dir_all(&place)?;
    for set in SETS {
        let archive = shared.join(format!("datasets/audio/{set}.tar.gz"));
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&place))?;
    }
    let bench = Bench { program, python, models: shared.join("models"), place, cores };
    let (n_copies, n_rounds) = if options.quick { (3, 3) } else { (10, 5) };
    let (mut speeds, mut heads) = (Map::new(), Map::new());
    let (mut worst, mut min_cosine) = (f64::INFINITY, f64::INFINITY);
    for set in SETS {
        let many = bench.varied(set, n_copies)?;
        for model in &MODELS {
            let (row, ratio) = bench.speed(&format!("{set}, {}", model.id), model, &many, n_rounds)?;
            worst = worst.min(ratio);
            speeds.insert(format!("{set}, {}", model.id), row);
            let row = bench.head(set, model)?;
            min_cosine = min_cosine.min(number(&row, "min_cosine"));
            heads.insert(format!("{set}, {}", model.id), row);
        }
        heads.insert(format!("{set}, headstart-log-mel"), bench.own_head(set)?);
    }
    let roof = bench.long(&MODELS[0], n_rounds)?;
    options.write(&json!({
        "audio_vs_best_peer": worst,
        "min_cosine_audio": min_cosine,
        "roof_fraction": roof["fraction"],
        "speeds": speeds,
        "heads": heads,
        "long": roof,
    }))
}

impl Bench {
    /// The sounds of a set several times over, no two equal: the last sample is another in each.
    fn varied(&self, set: &str, n_copies: usize) -> Result<PathBuf> {
        let place = self.place.join(format!("{set}-varied"));
        for (index, file) in wavs(&self.place.join(set))?.iter().enumerate() {
            let mut bytes = fs::read(file)?;
            let class = file.parent().and_then(Path::file_name).context("a class")?;
            let folder = place.join(class);
            fs::create_dir_all(&folder)?;
            for copy in 0..n_copies {
                let last = bytes.len() - 2;
                bytes[last] = u8::try_from(copy)?;
                fs::write(folder.join(format!("{index}-{copy}.wav")), &bytes)?;
            }
        }
        Ok(place)
    }

    /// Sounds a second on all sides, in turns, and how much faster than the best peer ours is.
    fn speed(&self, name: &str, model: &Model, folder: &Path, n_rounds: usize) -> Result<(Value, f64)> {
        side_by_side(name, "sound", &PEERS, n_rounds, &mut |peer| {
            let (result, n) = match peer {
                None => (self.extract(folder, model.id)?, ["n_embedded", "pipeline_seconds"]),
                Some(peer) => (self.peer(peer, model, folder, None)?, ["n_sounds", "seconds"]),
            };
            Ok(number(&result, n[0]) / number(&result, n[1]))
        })
    }

    /// What the program says of a fresh extraction.
    fn extract(&self, dataset: &Path, model: &str) -> Result<Value> {
        let store = self.store();
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        let mut command = Command::new(&self.program);
        command.arg("extract").arg(dataset).args(["--model", model, "--json", "--store"]).arg(&store);
        json_of(command.env("HEADSTART_MODELS", &self.models))
    }

    fn store(&self) -> PathBuf {
        target().join("bench/store-sounds")
    }

    fn peer(&self, peer: &str, model: &Model, folder: &Path, out: Option<&Path>) -> Result<Value> {
        let mut command = Command::new(&self.python);
        command.arg(root().join("bench/peers/sound_peers.py")).arg(peer).arg(self.models.join(model.file));
        command.arg(model.output).args(model.fed).arg(&self.cores).arg(folder).args(out);
        json_of(&mut command)
    }

    /// Accuracy of a head on what was extracted last.
    fn judge(&self) -> Result<Value> {
        let head = target().join("bench/sounds.head");
        let mut command = Command::new(&self.program);
        json_of(command.args(["fit-head", "--json", "--store"]).arg(self.store()).arg("--out").arg(&head))?;
        let mut command = Command::new(&self.program);
        command.args(["eval", "--json", "--split", "val", "--store"]).arg(self.store());
        json_of(command.arg("--head").arg(&head))
    }

    /// A head on a set, beside scikit-learn's on Python's features.
    fn head(&self, set: &str, model: &Model) -> Result<Value> {
        let folder = self.place.join(set);
        self.extract(&folder, model.id)?;
        let judged = self.judge()?;
        let (table, rows) = (target().join("bench/sounds.parquet"), target().join("bench/sounds.npz"));
        let mut command = Command::new(&self.program);
        run(command.args(["table", "--force", "--store"]).arg(self.store()).arg("--out").arg(&table))?;
        self.peer("pool", model, &folder, Some(&rows))?;
        let mut command = Command::new(&self.python);
        command.arg(root().join("bench/peers/sound_heads.py")).args([&rows, &table]).arg("val");
        let peer = json_of(&mut command)?;
        say(&format!(
            "{set}, {}: {:.1}% held out, scikit-learn on Python's features {:.1}%; smallest cosine {:.7}",
            model.id,
            100.0 * number(&judged, "accuracy"),
            100.0 * number(&peer, "accuracy"),
            number(&peer, "min_cosine")
        ));
        Ok(json!({
            "accuracy": judged["accuracy"],
            "interval": judged["accuracy_interval"],
            "sklearn_accuracy": peer["accuracy"],
            "min_cosine": peer["min_cosine"],
            "n_compared": peer["n_compared"],
        }))
    }

    /// A head on the compiled-in model's embeddings.
    fn own_head(&self, set: &str) -> Result<Value> {
        self.extract(&self.place.join(set), "headstart-log-mel")?;
        let judged = self.judge()?;
        say(&format!("{set}, headstart-log-mel: {:.1}% held out", 100.0 * number(&judged, "accuracy")));
        Ok(json!({"accuracy": judged["accuracy"], "interval": judged["accuracy_interval"]}))
    }

    /// Ten minutes in one file, beside what decoding and the model alone would take.
    fn long(&self, model: &Model, n_rounds: usize) -> Result<Value> {
        let folder = self.place.join("long");
        fs::create_dir_all(folder.join("speech"))?;
        let file = folder.join("speech/ten-minutes.wav");
        let mut samples = Vec::new();
        let files = wavs(&self.place.join("speech_commands_mini"))?;
        let n_bytes = 60 * MINUTES * 2 * RATE as usize;
        for file in files.iter().cycle() {
            // Behind the header of these.
            samples.extend_from_slice(fs::read(file)?.get(44..).unwrap_or_default());
            if samples.len() >= n_bytes {
                break;
            }
        }
        samples.truncate(n_bytes);
        fs::write(&file, wav(&samples, 1)?)?;
        let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n_windows = (60 * MINUTES * RATE as usize).div_ceil(model.fed[0].parse::<usize>()?);
        let (mut seconds, mut decode, mut infer) = (Vec::new(), Vec::new(), Vec::new());
        let many = self.place.join("speech_commands_mini-varied");
        for _ in 0..n_rounds {
            decode.push(decode_seconds(&file, n_cores)?);
            // The model alone is measured where there are many windows.
            let alone = number(&self.extract(&many, model.id)?, "model_inputs_per_second");
            infer.push(n_windows as f64 / alone);
            seconds.push(number(&self.extract(&folder, model.id)?, "pipeline_seconds"));
        }
        let (seconds, decode, infer) = (median(&seconds)?, median(&decode)?, median(&infer)?);
        let fraction = (decode + infer) / seconds;
        say(&format!(
            "\n{MINUTES} minutes in one file, {}: {seconds:.2} s; decoding {decode:.2} s and the model {infer:.2} s alone, on all cores: {:.2} of that roof",
            model.id, fraction
        ));
        Ok(
            json!({"seconds": seconds, "decode_seconds": decode, "model_seconds": infer, "fraction": fraction}),
        )
    }
}

/// Seconds that a file takes to be decoded and cut into windows, where every core does so at once: of one's share.
fn decode_seconds(file: &Path, n_cores: usize) -> Result<f64> {
    let bytes = fs::read(file)?;
    let recipe = Recipe::Audio(AudioRecipe { window: Some(0.975), ..AudioRecipe::default() });
    let start = Instant::now();
    (0..n_cores).into_par_iter().try_for_each(|_| -> Result<()> {
        let decoded = recipe.decode(bytes.as_slice().into(), &Limits::default())?;
        recipe.pieces(decoded).try_for_each(|piece| piece.map(drop))?;
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64() / n_cores as f64)
}

/// The WAV files below a folder, sorted.
fn wavs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(wavs(&path)?);
        } else if path.extension().is_some_and(|it| it == "wav") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
