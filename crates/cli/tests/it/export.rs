//! The exported file in Python: onnxruntime and Pillow, nothing of ours.

use std::process::Command;

use serde_json::Value;

use crate::program::Place;

#[test]
fn an_exported_model_predicts_in_python_what_the_head_predicts_here() {
    let Some(shared) = headstart_tests::shared() else { return };
    let Some(python) = headstart_tests::python() else { return };
    let place = Place::new();
    let headstart = |arguments: &[&str]| {
        let output =
            place.command(arguments).env("HEADSTART_MODELS", shared.join("models")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let dataset = shared.join("datasets/caltech8_mini").canonicalize().unwrap();
    let id = "mobilenetv2-1.0-224";
    headstart(&["extract", dataset.to_str().unwrap(), "--model", id, "--store", "store"]);
    headstart(&["fit-head", "--store", "store", "--out", "a.head"]);
    headstart(&["export", "--model", id, "--head", "a.head", "--out", "a.onnx"]);

    let mut photos = Vec::new();
    for class in std::fs::read_dir(dataset.join("val")).unwrap() {
        for photo in std::fs::read_dir(class.unwrap().path()).unwrap() {
            photos.push(photo.unwrap().path().to_string_lossy().into_owned());
        }
    }
    photos.sort();
    let output = Command::new(python)
        .arg(headstart_tests::root().join("tests/python/predict_exported.py"))
        .arg(place.path("a.onnx"))
        .args(&photos)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = String::from_utf8(output.stdout).unwrap();
    let mut arguments = vec!["predict", "--model", id, "--head", "a.head", "--json"];
    arguments.extend(photos.iter().map(String::as_str));
    let ours = headstart(&arguments);
    let mut n_cases = 0;
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        let [ours, theirs]: [Value; 2] = [ours, theirs].map(|it| serde_json::from_str(it).unwrap());
        assert_eq!((&ours["path"], &ours["label"]), (&theirs["path"], &theirs["label"]));
        for (label, p) in ours["probabilities"].as_object().unwrap() {
            let difference = (p.as_f64().unwrap() - theirs["probabilities"][label].as_f64().unwrap()).abs();
            // f32 in the graph, f64 in the head; the pixels are the same.
            assert!(difference < 1e-4, "{label}: {ours} {theirs}");
        }
        n_cases += 1;
    }
    assert!(n_cases >= 50 && n_cases == photos.len(), "only {n_cases} photos");
}
