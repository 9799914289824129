//! `headstart models quantize`, and what is done with its result.

use std::fs;

use serde_json::Value;

use crate::program::{Place, counts};

#[test]
fn a_backbone_is_quantised_compared_and_used_like_any_other() {
    let place = Place::new();
    place.photos(12);
    fs::write(place.path("photos/red/broken.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let quantize = ["models", "quantize", "--dataset", "photos", "--out", "small/int8.onnx", "--json"];
    let ran = place.run(&quantize).expect(1);
    assert!(ran.stderr.contains("red/broken.png"), "one that cannot be read costs itself: {}", ran.stderr);
    assert!(ran.stderr.contains("1 pictures have no embedding"), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!((&json["n_calibrated"], &json["n_compared"]), (&Value::from(36), &Value::from(36)), "{json}");
    assert!(json["cosine_min"].as_f64() > Some(0.95) && json["cosine_mean"].as_f64() <= Some(1.0), "{json}");
    assert!(json["accuracy"].as_f64() >= Some(0.9) && json["accuracy_f32"].as_f64() >= Some(0.9), "{json}");
    assert!(json["images_per_second"].as_f64() > Some(0.0));
    let bytes = fs::read(place.path("small/int8.onnx")).unwrap();
    assert!(bytes.len() < 800_000, "a third of the floats: {}", bytes.len());
    place.run(&quantize).expect(1);
    assert!(fs::read(place.path("small/int8.onnx")).unwrap() == bytes, "the same images, the same bytes");

    // Its precision is its own; a head on it is exported and predicts.
    let extract = ["extract", "photos", "--store", "store", "--model", "small/int8.onnx"];
    let ran = place.run(&[&extract[..], &["--json"]].concat()).expect(1);
    assert_eq!((counts(&ran)[0], &ran.json()["precision"]), (36, &Value::from("int8")), "{}", ran.stderr);
    let refused = place.run(&[&extract[..], &["--precision", "f32"]].concat()).expect(2);
    assert!(refused.stderr.contains("is quantised: it computes in int8"), "{}", refused.stderr);
    let refused = place.run(&["extract", "photos", "--store", "other", "--precision", "int8"]).expect(2);
    assert!(refused.stderr.contains("headstart models quantize"), "{}", refused.stderr);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    let model = ["--model", "small/int8.onnx"];
    place.run(&[&["export", "--head", "a.head", "--out", "a.onnx"], &model[..]].concat()).expect(0);
    let predict = |arguments: &[&str]| {
        place.run(&[&["predict", "photos/red/0.png", "--csv"], arguments].concat()).expect(0).stdout
    };
    let exported = predict(&["--model", "a.onnx"]);
    assert!(exported.lines().nth(1).unwrap().contains(",red,"), "{exported}");
    assert!(predict(&["--head", "a.head", "--model", "small/int8.onnx"]).contains(",red,"));
    // A head of the embeddings in floats does not pass for one of these.
    place.run(&["extract", "photos", "--store", "floats"]).expect(1);
    place.run(&["fit-head", "--store", "floats", "--out", "floats.head"]).expect(0);
    let refused =
        place.run(&[&["predict", "photos/red/0.png", "--head", "floats.head"], &model[..]].concat());
    assert!(refused.expect(2).stderr.contains("another space"));
}

#[test]
fn what_cannot_be_quantised_writes_nothing() {
    let place = Place::new();
    place.photos(3);
    fs::create_dir(place.path("empty")).unwrap();
    let quantize = |arguments: &[&str]| place.run(&[&["models", "quantize"], arguments].concat());
    quantize(&["--dataset", "photos", "--out", "a.onnx"]).expect(0);
    fs::write(place.path("odd.onnx"), b"\x08\x08\x3a\x00").unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["--dataset", "photos", "--out", "b.onnx", "--model", "a.onnx"], "it is quantised already"),
        (&["--dataset", "photos", "--out", "b.bin"], "must end in .onnx"),
        (&["--dataset", "empty", "--out", "b.onnx"], "no pictures in empty"),
        (&["--dataset", "nowhere", "--out", "b.onnx"], "no dataset at nowhere"),
        (&["--dataset", "photos", "--out", "b.onnx", "--precision", "bf16"], "this makes one in int8"),
        (&["--dataset", "photos", "--out", "b.onnx", "--calibrate", "0"], "0 is not in 1..=2000"),
        (&["--dataset", "photos", "--out", "b.onnx", "--compare", "0"], "0 is not in 1.."),
        (&["--dataset", "photos", "--out", "b.onnx", "--model", "odd.onnx", "--size", "8"], "odd.onnx"),
    ];
    let mut n_cases = 0;
    for (arguments, expected) in cases {
        let ran = quantize(arguments).expect(2);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert!(!place.path("b.onnx").exists() && !place.path("b.toml").exists());
        n_cases += 1;
    }
    assert_eq!(n_cases, 8);
    // What is there already and is something else stays.
    fs::write(place.path("Cargo.toml"), "[package]\nname = 'mine'\n").unwrap();
    let kept = quantize(&["--dataset", "photos", "--out", "Cargo.onnx"]).expect(2);
    assert!(kept.stderr.contains("would be overwritten"), "{}", kept.stderr);
    fs::copy(place.path("a.onnx"), place.path("mine.onnx")).unwrap();
    let kept = quantize(&["--dataset", "photos", "--out", "mine.onnx", "--model", "./mine.onnx"]).expect(2);
    assert!(kept.stderr.contains("is the model itself"), "{}", kept.stderr);
    assert!(!place.path("Cargo.onnx").exists());
    let left = fs::read_dir(place.path("."))
        .unwrap()
        .filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().starts_with(".quantize"));
    assert_eq!(left.count(), 0, "no temporary folder stays");
    // Without classes there is no accuracy, and the rest is there.
    fs::write(place.path("list.csv"), "path\nphotos/red/0.png\nphotos/blue/1.png\n").unwrap();
    let json = quantize(&["--dataset", "list.csv", "--out", "c.onnx", "--json"]).expect(0).json();
    assert!(json["accuracy"].is_null() && json["n_compared"] == 2, "{json}");
}
