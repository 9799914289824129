//! Real backbones in 8-bit integers, beside themselves in floats and beside onnxruntime's own quantiser.

use std::path::{Path, PathBuf};

use headstart_backbone::{
    Backbone, BackboneError, Content, CutModel, ModelSpec, Precision, Registry, SessionConfig,
    embedded_model, quantize,
};
use headstart_input::{Limits, Recipe, Tensor};
use headstart_onnx::Pool;

use crate::extraction::folder_inputs;
use crate::support::{cosine, load, load_embedded, python, run_python, runtime, shared};

/// Images to take ranges from, and images to compare on.
fn photos(shared: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let files =
        folder_inputs(&shared.join("datasets/hymenoptera")).into_iter().filter_map(|it| match it.content {
            Content::File(file) => Some(file),
            Content::Text(_) => None,
        });
    let mut every: Vec<PathBuf> = files.step_by(5).take(64).collect();
    assert_eq!(every.len(), 64);
    let compared = every.split_off(32);
    (every, compared)
}

/// Loads a quantised file that is fed as `like` is.
fn load_quantized(like: &Backbone, path: &Path, tap: &str) -> Backbone {
    let (spec, _) = ModelSpec::of_file(path).expect("no description beside it");
    let recipe = like.model().recipe.clone();
    let spec = ModelSpec { tap: Some(tap.to_owned()), pool: Some(Pool::None), recipe, ..spec };
    let model = CutModel::load(path, &spec).expect("it is cut");
    assert!(model.is_quantized());
    let config = SessionConfig { precision: Precision::Int8, ..SessionConfig::default() };
    Backbone::load(&runtime(), model, &config, 1).expect("it loads")
}

/// What a recipe makes of photos.
fn tensors(recipe: &Recipe, files: &[PathBuf]) -> Vec<Vec<Tensor>> {
    let of = |it: &PathBuf| recipe.apply(&std::fs::read(it).expect("it reads"), &Limits::default());
    files.iter().map(|it| of(it).expect("it decodes")).collect()
}

fn rows(backbone: &mut Backbone, inputs: &[Vec<Tensor>]) -> Vec<Vec<f32>> {
    let width = backbone.runner().width();
    let rows = backbone.runner_mut().run(inputs).expect("it runs");
    rows.chunks_exact(width).map(<[f32]>::to_vec).collect()
}

fn mean_cosine(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    a.iter().zip(b).map(|(a, b)| cosine(a, b)).sum::<f64>() / a.len() as f64
}

/// Measured: 0.9942 and 0.99930, where onnxruntime's quantiser with its defaults has 0.9817 and 0.99836.
#[test]
fn integers_are_as_close_to_floats_as_those_of_onnxruntime() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (calibrated_on, compared) = photos(&shared);
    let mut n_cases = 0;
    for (id, file, least) in [
        ("mobilenetv2-1.0-224", "mobilenetv2-1.0-224.onnx", 0.99),
        ("squeezenet1.1-dev", "squeezenet1.1.onnx", 0.998),
    ] {
        let original = shared.join("models").join(file);
        let mut floats = load(&shared.join("models"), id, 1);
        let recipe = floats.model().recipe.clone();
        let inputs = tensors(&recipe, &calibrated_on);
        let ours = quantize(&runtime(), floats.model(), &inputs, &mut |_| {}).expect("it is quantised");
        let path = folder.path().join(format!("{id}.onnx"));
        ours.save(&path).expect("it is written");
        let again = quantize(&runtime(), floats.model(), &inputs, &mut |_| {}).expect("it is quantised");
        assert!(again.to_bytes().unwrap() == ours.to_bytes().unwrap(), "{id}: other bytes the second time");
        let size = |path: &Path| path.metadata().expect("a file").len();
        assert!(3 * size(&path) < size(&original), "{id}: a quarter, and the scales");

        let theirs = folder.path().join(format!("{id}-peer.onnx"));
        let arguments = [&original, &theirs].map(|it| it.to_str().expect("UTF-8"));
        let list: String = calibrated_on.iter().map(|it| format!("{}\n", it.display())).collect();
        run_python(&python, "quantize.py", &arguments, &list);

        let pixels = tensors(&recipe, &compared);
        let expected = rows(&mut floats, &pixels);
        let mut integers = load_quantized(&floats, &path, &ours.output_names()[0]);
        assert_eq!(integers.runner().one_by_one(), None, "its rows do not depend on their batch");
        let ours = mean_cosine(&expected, &rows(&mut integers, &pixels));
        let theirs =
            mean_cosine(&expected, &rows(&mut load_quantized(&floats, &theirs, "features"), &pixels));
        assert!(ours >= least && ours >= theirs, "{id}: {ours}, onnxruntime's quantiser {theirs}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 2);
}

/// The precision is a matter of the file: asked for another, loading refuses.
#[test]
fn a_precision_that_the_file_does_not_have_is_refused() {
    let Some(shared) = shared() else { return };
    let load = |file: &str, precision| {
        let path = shared.join("models").join(file);
        let (spec, _) = ModelSpec::of_file(&path).expect("no description");
        let config = SessionConfig { precision, ..SessionConfig::default() };
        Backbone::load(&runtime(), CutModel::load(&path, &spec).expect("it is cut"), &config, 1).map(drop)
    };
    let err = load("squeezenet1.1.onnx", Precision::Int8).expect_err("it is in floats");
    assert!(matches!(err, BackboneError::NotQuantized { .. }), "{err}");
    let err = load("shufflenet-v2-12-int8.onnx", Precision::F32).expect_err("it is in integers");
    assert!(matches!(err, BackboneError::Quantized { .. }), "{err}");
    load("shufflenet-v2-12-int8.onnx", Precision::Int8).expect("as it is");
}

/// What a GPU would run, on the CPU, which widens what it has no half-float kernels for.
#[test]
fn half_floats_are_close_to_floats() {
    let Some(shared) = shared() else { return };
    let (photos, _) = photos(&shared);
    let mut n_cases = 0;
    for id in ["mobilenetv2-1.0-224", "squeezenet1.1-dev", "resnet50-v2-stage3"] {
        let mut floats = load(&shared.join("models"), id, 1);
        let pixels = tensors(&floats.model().recipe, &photos[..8]);
        let half = floats.model().to_f16().expect("it is converted");
        let bytes = |it: &CutModel| it.graph.to_bytes().expect("it is written").len();
        assert!(bytes(&half) * 100 < bytes(floats.model()) * 55, "{id}: half the bytes");
        let mut half = Backbone::load(&runtime(), half, &SessionConfig::default(), 1).expect("it loads");
        let (expected, found) = (rows(&mut floats, &pixels), rows(&mut half, &pixels));
        // Eleven bits a number: three digits; measured 0.999997 and more.
        let least = expected.iter().zip(&found).map(|(a, b)| cosine(a, b)).fold(1.0, f64::min);
        assert!(least > 0.9999 && expected != found, "{id}: {least}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 3);
}

/// Measured on its own calibration pictures: 0.9995 on average.
#[test]
fn the_compiled_in_twin_in_integers_is_close_to_the_one_in_floats() {
    let Some(shared) = shared() else { return };
    let (_, photos) = photos(&shared);
    let mut floats = load_embedded(1);
    let registry = Registry::builtin();
    let spec = registry.get("headstart-distilled-96-int8").expect("in the registry");
    let model =
        CutModel::from_bytes(embedded_model(&spec.id).expect("compiled in"), spec).expect("it is cut");
    let config = SessionConfig { precision: Precision::Int8, ..SessionConfig::default() };
    let mut integers = Backbone::load(&runtime(), model, &config, 1).expect("it loads");
    assert_eq!(floats.model().recipe, integers.model().recipe);
    let pixels = tensors(&floats.model().recipe, &photos);
    let mean = mean_cosine(&rows(&mut floats, &pixels), &rows(&mut integers, &pixels));
    assert!(mean > 0.998, "{mean}");
}

/// Nothing is computed for a file that could not be used, or would take another's place.
#[test]
fn a_quantised_backbone_is_not_written_over_what_it_is_made_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = folder.path().join("a.onnx");
    std::fs::write(&model, embedded_model(headstart_backbone::EMBEDDED_ID).expect("compiled in"))
        .expect("written");
    std::fs::write(folder.path().join("pyproject.toml"), "[project]").expect("written");
    let engine = headstart::Engine::new(headstart::EngineConfig::default());
    let quiet = &mut |_| ();
    let mut floats = engine.backbone(&headstart::ModelConfig::default(), quiet).expect("it loads");
    let refused = |out: &str, floats: &mut Backbone| {
        let (dataset, config) = (headstart::Dataset::default(), headstart::QuantizeConfig::default());
        let out = folder.path().join(out);
        headstart::quantize(&engine, floats, dataset, &out, &config, &mut |_| ()).expect_err("it is refused")
    };
    use headstart::Error;
    assert!(matches!(refused("a.bin", &mut floats), Error::NotOnnx { .. }));
    assert!(matches!(refused("a.onnx", &mut floats), Error::IsModel { .. }));
    assert!(matches!(refused("pyproject.onnx", &mut floats), Error::NotADescription { .. }));
    let dataset = headstart::Dataset::default();
    let store = folder.path().join("store");
    let empty = engine.extract(&mut floats, dataset, &store, None, quiet).expect_err("it is refused");
    assert!(matches!(empty, Error::Dataset(headstart::DatasetError::NoInputs { .. })) && !store.exists());
}
