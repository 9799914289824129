//! The exported file in Python: onnxruntime and Pillow, nothing of ours.

use std::process::Command;

use crate::support::{python, root, run_python, shared};

/// Runs `cargo run -p headstart` in the repository: this package does not have the program's path.
fn headstart(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "headstart", "--bin", "headstart", "--"])
        .args(arguments)
        .current_dir(root())
        .env("HEADSTART_MODELS", root().join("../shared/models"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn an_exported_model_predicts_in_python_what_the_head_predicts_here() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let dataset = shared.join("datasets/caltech8_mini");
    let (store, head, model) = (path("store"), path("a.head"), path("a.onnx"));
    let id = "mobilenetv2-1.0-224";
    headstart(&["extract", dataset.to_str().expect("UTF-8"), "--model", id, "--store", &store]);
    headstart(&["fit-head", "--store", &store, "--out", &head]);
    headstart(&["export", "--model", id, "--head", &head, "--out", &model]);

    let mut photos = Vec::new();
    for class in std::fs::read_dir(dataset.join("val")).expect("classes") {
        for photo in std::fs::read_dir(class.expect("an entry").path()).expect("photos") {
            photos.push(photo.expect("an entry").path().to_string_lossy().into_owned());
        }
    }
    photos.sort();
    let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
    let arguments: Vec<&str> = [model.as_str()].into_iter().chain(photos.iter().copied()).collect();
    let theirs = run_python(&python, "predict_exported.py", &arguments, "");
    let arguments: Vec<&str> = ["predict", "--model", id, "--head", &head, "--json"]
        .into_iter()
        .chain(photos.iter().copied())
        .collect();
    let ours = headstart(&arguments);
    let mut n_cases = 0;
    for (ours, theirs) in ours.lines().zip(&theirs) {
        let ours: serde_json::Value = serde_json::from_str(ours).expect("JSON");
        assert_eq!((&ours["path"], &ours["label"]), (&theirs["path"], &theirs["label"]));
        for (label, p) in ours["probabilities"].as_object().expect("an object") {
            let difference = (p.as_f64().expect("a number")
                - theirs["probabilities"][label].as_f64().expect("a number"))
            .abs();
            // f32 in the graph, f64 in the head; the pixels are the same.
            assert!(difference < 1e-4, "{label}: {ours} {theirs}");
        }
        n_cases += 1;
    }
    assert!(n_cases >= 50 && n_cases == photos.len(), "only {n_cases} photos");
}
