//! `cargo xtask bench text`: texts per second and held-out accuracy, beside Python on the same files and cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use super::{Options, Sides, json_of, number, side_by_side};
use crate::{headstart_setup, root, run, say, target};

const MODEL: &str = "minilm-l6-v2-f16";
const FILE: &str = "minilm-l6-v2-f16.onnx";
const TOKENIZER: &str = "minilm-tokenizer.json";
const MAX_TOKENS: &str = "256";

/// Sets, and what their held-out part is called.
const SETS: [(&str, &str); 3] = [("trec", "test"), ("sst2", "val"), ("banking77", "val")];

const PEERS: [&str; 3] = ["onnxruntime", "pool", "fastembed"];

struct Bench {
    program: PathBuf,
    python: PathBuf,
    models: PathBuf,
    /// The sets, unpacked.
    sets: PathBuf,
    cores: String,
}

pub(crate) fn run_benchmark(options: &Options) -> Result<()> {
    let shared = root().join("../shared");
    ensure!(shared.is_dir(), "the benchmark needs the texts and weights of {}", shared.display());
    headstart_setup()?;
    let Sides { program, python, cores } = Sides::prepare("requirements-text.txt")?;
    let place = target().join("bench/texts");
    fs::create_dir_all(&place)?;
    let archive = shared.join("datasets/text/trec_sst2_banking77.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&place))?;
    let (models, sets) = (shared.join("models"), place.join("text"));
    let bench = Bench { program, python, models, sets, cores };
    let (n_texts, n_mixed, n_rounds) = if options.quick { (600, 200, 2) } else { (4000, 4000, 5) };
    let mix = bench.mix(n_mixed)?;
    let mut speeds = Map::new();
    let mut worst = f64::INFINITY;
    let banking = bench.first("banking77/train.jsonl", n_texts)?;
    for (name, file) in [("banking77", &banking), ("mix of lengths", &mix)] {
        let (row, ratio) = bench.speed(name, file, n_rounds)?;
        worst = worst.min(ratio);
        speeds.insert(name.to_owned(), row);
    }
    let mut heads = Map::new();
    let mut min_cosine = f64::INFINITY;
    // A quick run judges one set.
    for (set, held_out) in SETS.into_iter().take(if options.quick { 1 } else { SETS.len() }) {
        let row = bench.head(set, held_out)?;
        min_cosine = min_cosine.min(number(&row, "min_cosine"));
        heads.insert(set.to_owned(), row);
    }
    options.write(&json!({
        "text_vs_best_peer": worst,
        "min_cosine_text": min_cosine,
        "speeds": speeds,
        "heads": heads,
    }))
}

impl Bench {
    /// The first texts of a file.
    fn first(&self, file: &str, n: usize) -> Result<PathBuf> {
        let text = fs::read_to_string(self.sets.join(file))?;
        let lines: Vec<&str> = text.lines().take(n).collect();
        let path = self.sets.join("first.jsonl");
        fs::write(&path, lines.join("\n") + "\n")?;
        Ok(path)
    }

    /// Texts of very different lengths: one sentence, a few, dozens.
    fn mix(&self, n: usize) -> Result<PathBuf> {
        let mut sentences = Vec::new();
        for (set, _) in SETS {
            let text = fs::read_to_string(self.sets.join(set).join("train.jsonl"))?;
            for line in text.lines() {
                let value: Value = serde_json::from_str(line)?;
                sentences.push(value["text"].as_str().context("a text")?.to_owned());
            }
        }
        let mut lines = String::new();
        for index in 0..n {
            let n_sentences = match index % 20 {
                0 => 12,
                1..=3 => 4,
                _ => 1,
            };
            let drawn = (0..n_sentences)
                .map(|it| sentences[(index * 7919 + it * 104_729) % sentences.len()].as_str());
            lines += &format!("{}\n", json!({"text": drawn.collect::<Vec<_>>().join(" ")}));
        }
        let path = self.sets.join("mix.jsonl");
        fs::write(&path, lines)?;
        Ok(path)
    }

    /// Texts a second on all sides, in turns, and how much faster than the best peer ours is.
    fn speed(&self, name: &str, file: &Path, n_rounds: usize) -> Result<(Value, f64)> {
        side_by_side(name, "text", &PEERS, n_rounds, &mut |peer| match peer {
            None => self.extract(file, &target().join("bench/store-texts")),
            Some(peer) => self.peer(peer, file, None),
        })
    }

    /// Texts a second of a fresh extraction.
    fn extract(&self, dataset: &Path, store: &Path) -> Result<f64> {
        if store.exists() {
            fs::remove_dir_all(store)?;
        }
        let mut command = Command::new(&self.program);
        command.arg("extract").arg(dataset).args(["--model", MODEL, "--json", "--store"]).arg(store);
        let result = json_of(command.env("HEADSTART_MODELS", &self.models))?;
        Ok(number(&result, "n_embedded") / number(&result, "pipeline_seconds"))
    }

    fn peer(&self, peer: &str, file: &Path, out: Option<&Path>) -> Result<f64> {
        let mut command = Command::new(&self.python);
        command
            .arg(root().join("bench/peers/text_peers.py"))
            .arg(peer)
            .arg(self.models.join(FILE))
            .arg(self.models.join(TOKENIZER))
            .args([MAX_TOKENS, &self.cores])
            .arg(file)
            .args(out);
        let result = json_of(&mut command)?;
        Ok(number(&result, "n_texts") / number(&result, "seconds"))
    }

    /// A head on a set, beside scikit-learn's on Python's features.
    fn head(&self, set: &str, held_out: &str) -> Result<Value> {
        let folder = self.sets.join(set);
        let store = target().join("bench/store-texts");
        self.extract(&folder, &store)?;
        let (head, table) = (target().join("bench/texts.head"), target().join("bench/texts.parquet"));
        let mut command = Command::new(&self.program);
        command.args(["fit-head", "--json", "--store"]).arg(&store).arg("--out").arg(&head);
        let fitted = json_of(&mut command)?;
        let mut command = Command::new(&self.program);
        command.args(["eval", "--json", "--split", held_out, "--store"]).arg(&store).arg("--head").arg(&head);
        let judged = json_of(&mut command)?;
        let mut command = Command::new(&self.program);
        run(command.args(["table", "--store"]).arg(&store).arg("--out").arg(&table))?;
        let [train, val] = ["train", held_out].map(|part| {
            (target().join(format!("bench/{set}-{part}.npy")), folder.join(format!("{part}.jsonl")))
        });
        for (out, file) in [&train, &val] {
            self.peer("pool", file, Some(out))?;
        }
        let mut command = Command::new(&self.python);
        command
            .arg(root().join("bench/peers/text_heads.py"))
            .args([&train.0, &train.1, &val.0, &val.1])
            .arg(&table);
        let peer = json_of(&mut command)?;
        let (ours, theirs) = (number(&judged, "accuracy"), number(&peer, "accuracy"));
        say(&format!(
            "{set}: {:.1}% held out, scikit-learn on Python's features {:.1}%; smallest cosine {:.7}",
            100.0 * ours,
            100.0 * theirs,
            number(&peer, "min_cosine")
        ));
        Ok(json!({
            "accuracy": ours,
            "interval": judged["accuracy_interval"],
            "alpha": fitted["alpha"],
            "sklearn_accuracy": theirs,
            "min_cosine": peer["min_cosine"],
            "n_compared": peer["n_compared"],
        }))
    }
}
