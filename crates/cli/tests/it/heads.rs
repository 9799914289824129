//! Heads over the built program: fit, judge, predict, export.

use std::fs;

use serde_json::json;

use crate::program::{Place, counts, extract};

#[test]
fn photos_become_a_head_and_one_file_that_predicts_the_same() {
    let place = Place::new();
    place.photos(8);
    extract(&place, "photos").expect(0);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    let json = fit.json();
    assert_eq!(json["labels"], json!(["blue", "green", "red"]));
    assert!(json["fit"]["certificate"]["gradient"].as_f64().unwrap() < 1e-6);
    assert_eq!(json["validation"]["accuracy"], 1.0, "three colours: {json}");

    let mut eval = place.run(&["eval", "--store", "store", "--head", "a.head", "--json"]).expect(0).json();
    let own = eval.as_object_mut().map(|it| ["split", "n_trained_on", "version"].map(|key| it.remove(key)));
    assert_eq!(own, Some([Some("val".into()), Some(0.into()), Some(1.into())]));
    assert_eq!(eval, json["validation"], "eval judges the samples that fit-head held out");
    for key in ["n_samples", "accuracy", "accuracy_interval", "macro_f1", "confusion"] {
        assert!(!eval[key].is_null(), "{key} is missing: {eval}");
    }

    place
        .run(&["export", "--head", "a.head", "--out", "out/a.onnx", "--samples", "photos/red/0.png"])
        .expect(0);
    let with_head = place.run(&["predict", "--head", "a.head", "--json", "photos"]).expect(0);
    let exported = place.run(&["predict", "--model", "out/a.onnx", "--json", "photos"]).expect(0);
    let mut n_cases = 0;
    for (a, b) in with_head.stdout.lines().zip(exported.stdout.lines()) {
        let [a, b]: [serde_json::Value; 2] = [a, b].map(|it| serde_json::from_str(it).unwrap());
        assert_eq!((&a["path"], &a["label"]), (&b["path"], &b["label"]));
        for label in ["blue", "green", "red"] {
            let [p, q] = [&a, &b].map(|it| it["probabilities"][label].as_f64().unwrap());
            assert!((p - q).abs() < 1e-4, "{a} {b}");
        }
        assert!(a["path"].as_str().unwrap().contains(a["label"].as_str().unwrap()));
        n_cases += 1;
    }
    assert_eq!(n_cases, 24);
}

#[test]
fn predictions_come_as_table_csv_and_json() {
    let place = Place::new();
    place.photos(4);
    extract(&place, "photos").expect(0);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    let predict = |extra: &[&str]| {
        let mut arguments = vec!["predict", "--head", "a.head", "photos/red/0.png", "photos/red/0.png"];
        arguments.extend(extra);
        place.run(&arguments).expect(0).stdout
    };
    let table = predict(&["--top", "2"]);
    assert_eq!(table.lines().count(), 2, "the same file twice is two lines: {table}");
    assert_eq!(table.lines().next().unwrap().split_whitespace().nth(1), Some("red"));
    let csv = predict(&["--csv"]);
    assert_eq!(csv.lines().next(), Some("path,label,blue,green,red,error"));
    assert!(csv.lines().nth(1).unwrap().starts_with("photos/red/0.png,red,0."), "{csv}");
    let json: serde_json::Value = serde_json::from_str(predict(&["--json"]).lines().next().unwrap()).unwrap();
    let sum: f64 = json["probabilities"].as_object().unwrap().values().map(|it| it.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9);
}

#[test]
fn the_same_store_and_flags_give_the_same_bytes() {
    let place = Place::new();
    place.photos(5);
    extract(&place, "photos").expect(0);
    for name in ["a.head", "b.head"] {
        place.run(&["fit-head", "--store", "store", "--out", name]).expect(0);
    }
    assert!(fs::read(place.path("a.head")).unwrap() == fs::read(place.path("b.head")).unwrap());
}

#[test]
fn a_linear_head_predicts_numbers_and_classes() {
    let place = Place::new();
    // How red a picture is, as a number and its negative; a few grey levels apart.
    let rows: Vec<String> = (0..24_u8)
        .map(|index| {
            place.picture(&format!("{index}.png"), [10 * index, 60, 60], u32::from(index));
            let split = if index % 4 == 2 { "val" } else { "train" };
            format!("{index}.png,{index},{},{split}\n", -f64::from(index) / 2.0)
        })
        .collect();
    fs::write(place.path("a.csv"), format!("path,red,minus,split\n{}", rows.concat())).unwrap();
    let run = ["extract", "a.csv", "--store", "store", "--label-columns", "red,minus", "--json"];
    assert_eq!(counts(&place.run(&run).expect(0))[0], 24);
    let fit = place
        .run(&["fit-head", "--store", "store", "--head", "linear", "--out", "a.head", "--json"])
        .expect(0);
    let json = fit.json();
    assert_eq!(json["labels"], json!(["target_0", "target_1"]));
    assert!(json["validation"]["r2"].as_f64().unwrap() > 0.9, "{json}");
    let eval = place.run(&["eval", "--store", "store", "--head", "a.head", "--json"]).expect(0).json();
    for key in ["n_samples", "mae", "rmse", "r2"] {
        assert!(!eval[key].is_null(), "{key} is missing: {eval}");
    }
    place.run(&["export", "--head", "a.head", "--out", "a.onnx"]).expect(0);
    let predicted = place.run(&["predict", "--model", "a.onnx", "--json", "12.png"]).expect(0).json();
    let value = predicted["predictions"]["target_0"].as_f64().unwrap();
    assert!((value - 12.0).abs() < 3.0, "{predicted}");

    place.photos(6);
    place.run(&["extract", "photos", "--store", "classes"]).expect(0);
    let fit = place
        .run(&["fit-head", "--store", "classes", "--head", "linear", "--out", "b.head", "--json"])
        .expect(0);
    assert_eq!(fit.json()["validation"]["accuracy"], 1.0);
}

#[test]
fn a_class_that_only_validation_has_counts_as_wrong() {
    let place = Place::new();
    for (name, grey) in [
        ("train/a/1", 10),
        ("train/a/2", 20),
        ("train/b/1", 200),
        ("train/b/2", 210),
        ("val/a/1", 15),
        ("val/c/1", 90),
    ] {
        place.picture(&format!("photos/{name}.png"), [grey; 3], u32::from(grey));
    }
    extract(&place, "photos").expect(0);
    let json = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0).json();
    assert_eq!(json["validation"]["labels"], json!(["a", "b", "c"]));
    assert_eq!(json["validation"]["accuracy"], 0.5);
}

#[test]
fn a_damaged_head_file_is_an_error() {
    let place = Place::new();
    fs::write(place.path("bad.head"), "not a head").unwrap();
    let ran = place.run(&["predict", "--head", "bad.head", "x.png"]).expect(2);
    assert!(ran.stderr.contains("bad.head: not a readable head file"), "{}", ran.stderr);
}

/// A model file of the user's own, described by the TOML beside it or by flags.
#[test]
fn a_model_of_the_users_own_is_described_by_a_toml_or_by_flags() {
    let place = Place::new();
    place.photos(2);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/headstart-distilled-96.onnx");
    fs::copy(source, place.path("mine.onnx")).unwrap();
    // The model itself says how large its input is, and another size is refused.
    let ran = place.run(&["extract", "photos", "--store", "c", "--model", "./mine.onnx"]).expect(0);
    assert!(ran.stderr.contains("pictures are fed as short side 109, centre crop 96×96"), "{}", ran.stderr);
    let ran = place
        .run(&["extract", "photos", "--store", "a", "--model", "./mine.onnx", "--size", "224"])
        .expect(2);
    assert!(ran.stderr.contains("224×224 pixels (set size"), "{}", ran.stderr);
    assert!(ran.stderr.contains("found shape [N, 3, 96, 96]"), "{}", ran.stderr);
    let ran = place.run(&["extract", "photos", "--store", "a", "--model", "./mine.onnx", "--size", "96"]);
    let ran = ran.expect(0);
    assert!(ran.stderr.contains("pictures are fed as short side 109, centre crop 96×96"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cut at `") && ran.stderr.contains("384 features"), "{}", ran.stderr);
    fs::write(place.path("mine.toml"), "[preprocess]\nsize = [96, 96]\n").unwrap();
    let ran = place.run(&["extract", "photos", "--store", "a", "--model", "./mine.onnx", "--json"]).expect(0);
    assert!(ran.stderr.contains("described by ./mine.toml"), "{}", ran.stderr);
    assert_eq!(counts(&ran)[..3], [0, 6, 0], "flags and TOML describe the same space");
    fs::write(place.path("mine.toml"), "[preprocess]\nsise = 3\n").unwrap();
    let ran = place.run(&["extract", "photos", "--store", "b", "--model", "./mine.onnx"]).expect(2);
    assert!(ran.stderr.contains("mine.toml") && ran.stderr.contains("sise"), "{}", ran.stderr);
}

#[test]
fn an_exported_model_is_used_under_any_name_and_only_as_it_is() {
    let place = Place::new();
    place.photos(4);
    extract(&place, "photos").expect(0);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    place.run(&["export", "--head", "a.head", "--out", "out/a.bin"]).expect(0);
    // Folders named like splits and classes side by side are no obstacle here.
    for (from, to) in [("red", "train"), ("green", "val"), ("blue", "other")] {
        fs::rename(place.path(&format!("photos/{from}")), place.path(&format!("photos/{to}"))).unwrap();
    }
    fs::write(place.path("photos/val/gone.txt"), "no picture").unwrap();
    let ran = place.run(&["predict", "--model", "out/a.bin", "photos"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 12);
    let ran = place.run(&["predict", "photos/val/0.png", "--model", "out/a.bin", "--tap", "foo"]).expect(2);
    assert!(ran.stderr.contains("such flags are for backbones"), "{}", ran.stderr);
    // What cannot be written leaves nothing behind.
    fs::create_dir(place.path("out/folder")).unwrap();
    place.run(&["export", "--head", "a.head", "--out", "out/folder"]).expect(2);
    let left: Vec<_> = fs::read_dir(place.path("out")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "the model, its page and the folder: {left:?}");
}

#[test]
fn a_size_takes_one_argument() {
    let place = Place::new();
    place.photos(1);
    let run = |size: &str| place.run(&["extract", "--size", size, "photos", "--store", "store"]);
    for size in ["96", "96,96"] {
        run(size).expect(0);
    }
    let ran = run("96,96,3").expect(2);
    assert!(ran.stderr.contains("`96,3` is no size"), "{}", ran.stderr);
    let dark = ["extract", "photos", "--store", "b", "--background", "black", "--no-orientation"];
    let ran = place.run(&dark).expect(0);
    assert!(ran.stderr.contains("transparent pixels over black, EXIF orientation ignored"), "{}", ran.stderr);
}
