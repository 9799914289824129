//! Surgery on real weights, checked by Python's onnxruntime on the uncut files.

use std::collections::BTreeMap;

use headstart_onnx::{OnnxModel, Pool, Summary, cut, find_tap, make_batch_dynamic};

use crate::support::{python, run_python, shared};

/// File, tensor the cut must equal (`:mean` for a mean over positions), features.
const MODELS: [(&str, &str, usize); 6] = [
    ("mobilenetv2-1.0-224.onnx", "features", 1280),
    ("resnet50-v2-stage3.onnx", "features", 1024),
    ("squeezenet1.1.onnx", "features", 512),
    ("shufflenet-v2-12-int8.onnx", "611", 1024),
    ("resnet20-cifar10.onnx", "features", 64),
    ("mnist-8.onnx", "Pooling160_Output_0_reshape0", 256),
];

#[test]
fn real_models_are_cut_without_a_hint_and_equal_the_uncut_tensor() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut n_cases = 0;
    for (file, tensor, n_features) in MODELS {
        let original = shared.join("models").join(file);
        let mut model = OnnxModel::load(&original).expect("it reads");
        let n_before = Summary::of(&model).n_parameters;
        make_batch_dynamic(&mut model).expect("the batch is freed");
        let tap = find_tap(&model).expect("a tap is found");
        assert_eq!((tap.tensor.as_str(), tap.pool), (tensor, Pool::None), "{file}");
        let cut = cut(&model, &tap).expect("it is cut");
        let summary = Summary::of(&cut);
        if tensor != "features" || file.starts_with("mobilenet") || file.starts_with("resnet20") {
            assert!(summary.n_parameters < n_before, "{file}: the classifier's weights are still there");
        }
        let path = folder.path().join(file);
        cut.save(&path).expect("it is written");
        let arguments = [original.to_str().expect("UTF-8"), tensor, path.to_str().expect("UTF-8")];
        let result = &run_python(&python, "compare_cut.py", &arguments, "")[0];
        assert_eq!(result["difference"], 0.0, "{file}: the cut differs from the uncut tensor: {result}");
        // The order of float sums may depend on the batch.
        let scale = result["scale"].as_f64().expect("a number");
        assert!(result["batch_difference"].as_f64().expect("a number") <= 1e-5 * scale, "{file}: {result}");
        assert_eq!(result["shape"], serde_json::json!([3, n_features]), "{file}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 6);
}

#[test]
fn real_models_come_back_byte_for_byte() {
    let Some(shared) = shared() else { return };
    let mut n_cases = 0;
    for entry in std::fs::read_dir(shared.join("models")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|it| it == "onnx") {
            let bytes = std::fs::read(&path).expect("it reads");
            let model = OnnxModel::from_bytes(bytes.clone()).expect("it parses");
            assert!(model.to_bytes().expect("it is written") == bytes, "{} changed", path.display());
            n_cases += 1;
        }
    }
    assert!(n_cases >= 6, "only {n_cases} models seen");
}

/// Damaging a real file anywhere must give an error or a model, never a panic or an endless read.
#[test]
fn damaged_real_models_never_panic() {
    let Some(shared) = shared() else { return };
    let bytes = std::fs::read(shared.join("models/mnist-8.onnx")).expect("it reads");
    let mut outcomes = BTreeMap::new();
    for position in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            let outcome = OnnxModel::from_bytes(damaged).map(|mut model| {
                drop(Summary::of(&model));
                drop(make_batch_dynamic(&mut model));
                find_tap(&model).and_then(|tap| cut(&model, &tap)).is_ok()
            });
            *outcomes.entry(format!("{:?}", outcome.ok())).or_insert(0) += 1;
        }
        drop(OnnxModel::from_bytes(bytes[..position].to_vec()));
    }
    assert_eq!(outcomes.values().sum::<usize>(), 3 * bytes.len());
    assert!(outcomes["None"] > 100, "flips in lengths and tags must be noticed: {outcomes:?}");
}
