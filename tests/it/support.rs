//! What tests stand on: shared data, Python, ONNX Runtime, loaded backbones.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use headstart::{
    Dataset, DatasetConfig, Engine, EngineConfig, Event, FitConfig, Kind, ModelConfig, Note, Places, Samples,
    load_runtime,
};
use headstart_backbone::{Backbone, CutModel, ModelSpec, Registry, Runtime, SessionConfig, embedded_model};
use image::{Rgb, RgbImage};

pub(crate) use headstart_tests::{node, or_skip, python, root, shared};

/// The arrays `cargo xtask golden` writes.
pub(crate) fn golden() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = target.join("golden");
    or_skip(
        folder.join("script.blake3").exists().then_some(folder),
        "no reference arrays; run `cargo xtask golden`",
    )
}

/// Runs a script of `tests/python` and reads the JSON lines it prints.
pub(crate) fn run_python(
    python: &Path,
    script: &str,
    arguments: &[&str],
    stdin: &str,
) -> Vec<serde_json::Value> {
    use std::io::Write;
    let mut child = Command::new(python)
        .arg(root().join("tests/python").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("piped").write_all(stdin.as_bytes()).expect("the script reads its input");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "{script} failed");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|it| serde_json::from_str(it).expect("a JSON object a line")).collect()
}

pub(crate) fn runtime() -> Runtime {
    let places = Places::from_environment();
    load_runtime(Kind::Cpu, &places).expect("ONNX Runtime; run `cargo xtask setup`")
}

/// A model of the registry whose file lies in `folder`.
pub(crate) fn registry_model(folder: &Path, id: &str) -> (ModelSpec, PathBuf) {
    let registry = Registry::builtin();
    let spec = registry.get(id).expect("in the registry").clone();
    let path = folder.join(&spec.file);
    (spec, path)
}

pub(crate) fn load(folder: &Path, id: &str, n_threads: usize) -> Backbone {
    let (spec, path) = registry_model(folder, id);
    let model = CutModel::load(&path, &spec).expect("the model is cut");
    assert_eq!(Some(&model.sha256), spec.sha256.as_ref(), "the registry's hash of {id}");
    Backbone::load(&runtime(), model, &SessionConfig::default(), n_threads).expect("the model loads")
}

pub(crate) fn load_embedded(n_threads: usize) -> Backbone {
    let registry = Registry::builtin();
    let spec = registry.get(headstart_backbone::EMBEDDED_ID).expect("in the registry");
    let bytes = embedded_model(&spec.id).expect("compiled in");
    let model = CutModel::from_bytes(bytes, spec).expect("the model is cut");
    Backbone::load(&runtime(), model, &SessionConfig::default(), n_threads).expect("the model loads")
}

pub(crate) fn read_f32(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("a golden array");
    bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().expect("four bytes"))).collect()
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A store of bright and dark pictures by a model, a head on it, and the export of both; and what was said.
pub(crate) fn exported(place: &Path, config: &ModelConfig) -> (PathBuf, Vec<Note>) {
    let engine = Engine::new(EngineConfig::default());
    let mut notes = Vec::new();
    let mut hear = |event: Event| {
        if let Event::Note(note) = event {
            notes.push(note)
        }
    };
    for (class, level) in [("dark", 20), ("bright", 220)] {
        let of_class = place.join("photos").join(class);
        std::fs::create_dir_all(&of_class).expect("a folder");
        for index in 0..6 {
            let picture = RgbImage::from_fn(8, 8, |x, y| {
                Rgb([level, (x * 9 + index).to_le_bytes()[0], (y * 7).to_le_bytes()[0]])
            });
            picture.save(of_class.join(format!("{index}.png"))).expect("it is written");
        }
    }
    let mut backbone = engine.backbone(config, &mut hear).expect("it loads");
    let dataset = Dataset::open(place.join("photos"), &DatasetConfig::default()).expect("a dataset");
    let extraction =
        engine.extract(&mut backbone, dataset, place.join("store"), None, &mut hear).expect("a store");
    let fit_config = FitConfig { validation: 0.0, ..FitConfig::default() };
    let samples = Samples::read(&extraction.store).expect("samples");
    let fitted = headstart::fit(&samples, &fit_config, &mut hear).expect("a head");
    let out = place.join("out.onnx");
    headstart::export(&mut backbone, &fitted.head, &out, &[]).expect("it agrees");
    (out, notes)
}
