//! Sounds: samples as Python's `soundfile` and torchaudio's resampling make them, embeddings as onnxruntime does.

use std::path::{Path, PathBuf};
use std::process::Command;

use headstart_backbone::{
    Backbone, BackboneError, CutModel, Known, ModelSpec, RunConfig, Runner, SessionConfig, Source,
    merge_rows, run,
};
use headstart_input::{AudioRecipe, Data, Limits, Recipe, Tensor};
use headstart_onnx::{GraphWindows, OnnxModel, ShortSound, cut_windows};

use crate::support::{cosine, load, python, read_f32, run_python, runtime, shared};

/// The sounds of a dataset, unpacked.
pub(crate) fn sounds_of(set: &str) -> Option<(tempfile::TempDir, Vec<PathBuf>)> {
    let archive = shared()?.join(format!("datasets/audio/{set}.tar.gz"));
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(status.expect("tar starts").success());
    let mut files: Vec<PathBuf> = walk(folder.path());
    files.retain(|it| it.extension().is_some_and(|it| it == "wav"));
    files.sort();
    Some((folder, files))
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
    entries.flat_map(|it| if it.is_dir() { walk(&it) } else { vec![it] }).collect()
}

fn samples(tensors: &[Tensor]) -> &[f32] {
    let [Tensor { data: Data::F32(samples), .. }] = tensors else { panic!("one tensor of floats") };
    samples
}

/// Kinds of which the decoders differ: by how much, at most.
const LOSSY: [(&str, f32); 5] = [
    ("layer3.mp3", 2e-3),
    ("layer3_16k.mp3", 2e-3),
    ("vorbis.ogg", 1e-4),
    ("ima_adpcm.wav", 1e-3),
    ("ms_adpcm.wav", 3e-3),
];

/// What is refused by name.
const REFUSED: [(&str, &str); 3] = [("opus.opus", "Opus"), ("sun.au", "Sun audio"), ("big.wav", "RF64")];

#[test]
fn samples_are_those_of_soundfile_and_torchaudio() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["make", folder.path().to_str().expect("UTF-8")];
    let listed = run_python(&python, "sounds.py", &arguments, "");
    let names: Vec<String> = serde_json::from_value(listed[0].clone()).expect("names");
    // A model that takes sounds whole: nothing is cut.
    let recipe = Recipe::Audio(AudioRecipe::default().whole());
    let (mut n_equal, mut n_refused, mut wrong) = (0, 0, Vec::new());
    for name in &names {
        let bytes = std::fs::read(folder.path().join(name)).expect("it reads");
        let decoded = recipe.apply(&bytes, &Limits::default());
        if let Some((_, format)) = REFUSED.iter().find(|it| it.0 == name) {
            assert!(decoded.expect_err("not read").to_string().contains(format), "{name}");
            n_refused += 1;
            continue;
        }
        let decoded = match decoded {
            Ok(decoded) => decoded,
            Err(err) => {
                wrong.push(format!("{name}: {err}"));
                continue;
            }
        };
        let (actual, expected) = (samples(&decoded), read_f32(&folder.path().join(format!("{name}.f32"))));
        let largest = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let allowed = LOSSY.iter().find(|it| it.0 == name).map_or(1e-5, |it| it.1);
        if actual.len() != expected.len() || largest > allowed {
            wrong.push(format!("{name}: {} of {} samples, {largest:e} apart", actual.len(), expected.len()));
        }
        n_equal += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((n_equal, n_refused), (40, 3));
}

/// What each sound became, in order.
pub(crate) fn embed(backbone: &mut Backbone, files: &[PathBuf], config: &RunConfig) -> Vec<Vec<f32>> {
    let sources: Vec<Source<'_>> = files.iter().map(Source::from).collect();
    let mut rows = vec![Vec::new(); files.len()];
    run(backbone.runner_mut(), &sources, Known::Nothing, config, &mut |index, row| {
        rows[index] = row.expect("a sound").values.expect("a row").to_vec();
        Ok::<(), BackboneError>(())
    })
    .expect("it runs");
    rows
}

const MODELS: [(&str, &str, &str, [&str; 3]); 3] = [
    ("yamnet", "yamnet-waveform.onnx", "embeddings", ["15600", "15600", "zeros"]),
    ("speech-embedding-1s", "speech-embedding-1s.onnx", "features", ["16000", "16000", "zeros"]),
    ("voice-encoder-ge2e", "voice-encoder-ge2e.onnx", "features", ["25600", "12800", "repeat"]),
];

#[test]
fn embeddings_are_those_of_onnxruntime() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let Some((_digits, digits)) = sounds_of("fsdd_mini") else { return };
    let Some((_words, words)) = sounds_of("speech_commands_mini") else { return };
    let files: Vec<PathBuf> = digits.into_iter().step_by(10).chain(words.into_iter().step_by(12)).collect();
    let paths: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
    for (id, file, output, windows) in MODELS {
        let mut backbone = load(&shared.join("models"), id, 2);
        let ours = embed(&mut backbone, &files, &RunConfig::default());
        let model = shared.join("models").join(file).display().to_string();
        let [window, hop, short] = windows;
        let arguments = ["embed", &model, "waveform", output, window, hop, short, "mean"];
        let theirs = run_python(&python, "sounds.py", &arguments, &paths.join("\n"));
        let theirs: Vec<Vec<f32>> =
            theirs.into_iter().map(|it| serde_json::from_value(it).expect("a row")).collect();
        assert_eq!((ours.len(), theirs.len()), (files.len(), files.len()));
        let least = ours.iter().zip(&theirs).map(|(a, b)| cosine(a, b)).fold(f64::INFINITY, f64::min);
        assert!(least >= 0.9999, "{id}: {least}");
    }
}

#[test]
fn a_graph_cuts_the_windows_that_the_pipeline_does() {
    let Some(shared) = shared() else { return };
    for (id, statistics) in [("yamnet", "mean-std"), ("voice-encoder-ge2e", "mean")] {
        let mut backbone = load(&shared.join("models"), id, 1);
        let Recipe::Audio(recipe) = backbone.runner().recipe().clone() else { panic!("{id} takes sounds") };
        let windows = GraphWindows {
            length: recipe.n_window(),
            hop: recipe.n_hop(),
            short: if id == "yamnet" { ShortSound::Zeros } else { ShortSound::Repeat },
            has_std: statistics == "mean-std",
        };
        let graph: OnnxModel = cut_windows(&backbone.model().graph, &windows).expect("it is cut");
        let whole = Recipe::Audio(recipe.whole());
        let runtime = backbone.runtime().clone();
        let config = backbone.config().clone();
        let mut runner = Runner::load(&runtime, id, &graph, &whole, &config, 1).expect("it loads");
        let merged =
            Recipe::Audio(AudioRecipe { statistics: statistics.parse().expect("one"), ..recipe.clone() });
        for probe in 0..8 {
            let input = vec![recipe.probe_of_windows(probe)];
            let pieces = merged.pieces_of(&input);
            let rows = backbone.runner_mut().run(&pieces).expect("it runs");
            let expected = merge_rows(&merged, &rows, rows.len() / pieces.len());
            let actual = runner.run(&[input]).expect("it runs");
            assert_eq!(actual.len(), expected.len());
            let apart = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{id}, probe {probe} of {} windows: {apart}", pieces.len());
        }
    }
}

#[test]
fn front_ends_are_those_of_numpy() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let listed = run_python(&python, "front_ends.py", &[folder.path().to_str().expect("UTF-8")], "");
    let listed: Vec<[String; 2]> = serde_json::from_value(listed[0].clone()).expect("names");
    let mut wrong = Vec::new();
    for [name, sound] in &listed {
        let path = folder.path().join(format!("{name}.onnx"));
        let (spec, _) = ModelSpec::of_file(&path).expect("a description");
        let model = CutModel::load(&path, &spec).expect("it is cut");
        let bytes = std::fs::read(folder.path().join(format!("{sound}.wav"))).expect("it reads");
        let input = model.recipe.apply(&bytes, &Limits::default()).expect("a sound");
        let runtime = runtime();
        let config = SessionConfig::default();
        let mut runner =
            Runner::load(&runtime, name, &model.graph, &model.recipe, &config, 1).expect("it loads");
        let actual = runner.run(&[input]).expect("it runs");
        let expected = read_f32(&folder.path().join(format!("{name}.{sound}.f32")));
        let apart = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        let apart = apart.fold(0.0, f32::max);
        if actual.len() != expected.len() || apart > 1e-4 {
            wrong.push(format!(
                "{name}, {sound}: {} of {} numbers, {apart:e} apart",
                actual.len(),
                expected.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(listed.len(), 7 * 4);
}
