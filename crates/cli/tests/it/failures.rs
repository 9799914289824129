//! Bad input costs its own item and nothing else; what cannot run says why.

use std::fs;

use crate::program::{Place, counts, extract, lines};

#[test]
fn bad_files_are_listed_and_the_run_goes_on() {
    let place = Place::new();
    place.photos(2);
    let photo = fs::read(place.path("photos/red/0.png")).unwrap();
    fs::write(place.path("photos/red/text.jpg"), "this is no picture").unwrap();
    fs::write(place.path("photos/red/half.png"), &photo[..photo.len() / 2]).unwrap();
    fs::write(place.path("photos/red/half-copy.png"), &photo[..photo.len() / 2]).unwrap();
    fs::write(place.path("photos/red/empty.png"), "").unwrap();
    let ran = extract(&place, "photos").expect(1);
    assert_eq!(counts(&ran)[..3], [6, 0, 4]);
    let failures = lines(&place.path("store/failures.jsonl"));
    let paths: Vec<&str> = failures.iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["red/empty.png", "red/half-copy.png", "red/half.png", "red/text.jpg"]);
    assert_eq!(failures[1]["reason"], failures[2]["reason"], "a copy fails for its original's reason");
    // Mended files are embedded by the next run, and the list of failures goes.
    for name in ["text.jpg", "half.png", "half-copy.png", "empty.png"] {
        fs::remove_file(place.path("photos/red").join(name)).unwrap();
    }
    extract(&place, "photos").expect(0);
    assert!(!place.path("store/failures.jsonl").exists());
}

#[test]
fn a_store_of_another_space_is_refused_with_the_difference() {
    let place = Place::new();
    place.photos(1);
    extract(&place, "photos").expect(0);
    let ran = place.run(&["extract", "photos", "--store", "store", "--background", "black"]).expect(2);
    let differs = "holds embeddings of another space, which differs in preprocess.background";
    let row = "preprocess.background  white      black";
    assert!(ran.stderr.contains(differs) && ran.stderr.contains(row), "{}", ran.stderr);
}

#[test]
fn a_head_of_another_space_is_refused() {
    let place = Place::new();
    place.photos(3);
    extract(&place, "photos").expect(0);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    let ran = place.run(&["predict", "--head", "a.head", "--no-orientation", "photos/red/0.png"]).expect(2);
    let differs =
        "the head was fitted on embeddings of another space, which differs in preprocess.orientation";
    let row = "preprocess.orientation  true      false";
    assert!(ran.stderr.contains(differs) && ran.stderr.contains(row), "{}", ran.stderr);
    let ran = place.run(&["export", "--head", "a.head", "--no-orientation", "--out", "a.onnx"]).expect(2);
    assert!(ran.stderr.contains("another space") && !place.path("a.onnx").exists(), "{}", ran.stderr);
    place.run(&["extract", "photos", "--store", "other", "--no-orientation"]).expect(0);
    let ran = place.run(&["eval", "--store", "other", "--head", "a.head"]).expect(2);
    assert!(ran.stderr.contains("another space"), "{}", ran.stderr);
}

#[test]
fn pictures_that_cannot_be_predicted_are_named_and_the_others_predicted() {
    let place = Place::new();
    place.photos(3);
    extract(&place, "photos").expect(0);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    fs::write(place.path("bad.jpg"), "no").unwrap();
    let ran =
        place.run(&["predict", "--head", "a.head", "bad.jpg", "photos/red/0.png", "nowhere.png"]).expect(1);
    assert!(ran.stdout.contains("photos/red/0.png  red"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("bad.jpg is no picture") && ran.stderr.contains("nowhere.png cannot be read"),
        "{}",
        ran.stderr
    );
}

#[test]
fn stores_without_what_a_fit_needs_say_what_is_missing() {
    let place = Place::new();
    place.picture("flat/a.png", [1, 2, 3], 1);
    let fit = |store: &str| place.run(&["fit-head", "--store", store, "--out", "a.head"]).expect(2).stderr;
    assert!(fit("nowhere").contains("nowhere is no store"), "{}", fit("nowhere"));
    place.run(&["extract", "flat", "--store", "unlabelled"]).expect(0);
    assert!(fit("unlabelled").contains("none of the 1 samples of unlabelled has a label"));
    place.picture("one/only/a.png", [1, 2, 3], 1);
    place.picture("one/only/b.png", [1, 2, 3], 2);
    place.run(&["extract", "one", "--store", "one-class"]).expect(0);
    assert!(fit("one-class").contains("all training samples have the label `only`"), "{}", fit("one-class"));
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let place = Place::new();
    place.run(&["extract"]).expect(2);
    place.run(&["fly"]).expect(2);
    place.run(&["extract", "x", "--store", "y", "--device", "toaster"]).expect(2);
    let help = place.run(&["--help"]).expect(0);
    for command in ["setup", "doctor", "models", "extract", "fit-head", "eval", "predict", "export"] {
        assert!(help.stdout.contains(&format!("\n  {command}")), "{}", help.stdout);
        place.run(&[command, "--help"]).expect(0);
    }
    assert!(place.run(&["--version"]).expect(0).stdout.starts_with("headstart 0."));
}

#[test]
fn unknown_models_are_refused_with_what_there_is() {
    let place = Place::new();
    place.photos(1);
    let with =
        |model: &str| place.run(&["extract", "photos", "--store", "s", "--model", model]).expect(2).stderr;
    assert!(with("resnet5000").contains("no model `resnet5000` in the registry, which has: "));
    assert!(with("nowhere.onnx").contains("no model file at nowhere.onnx"));
    assert!(with("resnet50-v2-stage3").contains("has no public address"));
    fs::write(place.path("bad.onnx"), "GIF89a").unwrap();
    assert!(with("./bad.onnx").contains("not a readable ONNX file"), "{}", with("./bad.onnx"));
    // A file that is not the one the registry knows by its hash.
    let models = place.path("models");
    fs::create_dir(&models).unwrap();
    fs::write(models.join("mnist-8.onnx"), [0x08, 0x08, 0x3a, 0x00]).unwrap();
    let mut command = place.command(&["extract", "photos", "--store", "s", "--model", "mnist-8"]);
    let output = command.env("HEADSTART_MODELS", &models).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let pull =
        place.command(&["models", "pull", "mnist-8"]).env("HEADSTART_MODELS", &models).output().unwrap();
    let stderr = String::from_utf8_lossy(&pull.stderr);
    assert!(pull.status.code() == Some(2) && stderr.contains("the registry expects "), "{stderr}");
}

/// Whatever a manifest holds, a row that cannot be used costs itself.
#[test]
fn rows_without_a_path_and_samples_of_unknown_splits_are_left_out() {
    let place = Place::new();
    place.photos(3);
    let rows = "photos/red/0.png,red,train\n,red,train\nphotos/red/1.png,red,extra\n\
        photos/green/0.png,green,train\nphotos/green/1.png,green,val\n";
    fs::write(place.path("a.csv"), format!("path,label,split\n{rows}")).unwrap();
    let ran = extract(&place, "a.csv").expect(1);
    assert_eq!(counts(&ran)[..3], [4, 0, 1]);
    assert_eq!(lines(&place.path("store/failures.jsonl"))[0]["path"], "line 3 of a.csv");
    let ran = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    assert!(ran.stderr.contains("1 samples are left out: `extra`"), "{}", ran.stderr);
    assert_eq!(ran.json()["fit"]["n_samples"], 2);
    fs::write(place.path("a.jsonl"), "{\"path\": \"photos/red/0.png\"}\nnonsense\n").unwrap();
    let ran = extract(&place, "a.jsonl").expect(1);
    assert_eq!(counts(&ran)[..3], [0, 1, 1]);
}

#[test]
fn a_store_that_another_dataset_takes_over_says_so() {
    let place = Place::new();
    place.photos(2);
    extract(&place, "photos").expect(0);
    let ran = extract(&place, "photos/red").expect(0);
    assert!(ran.stderr.contains("the store listed 6 samples of "), "{}", ran.stderr);
    let ran = extract(&place, "photos/red").expect(0);
    assert!(!ran.stderr.contains("the store listed"), "{}", ran.stderr);
}

#[test]
fn a_picture_over_the_memory_limit_is_listed() {
    let place = Place::new();
    place.photos(1);
    image::RgbImage::new(600, 600).save(place.path("photos/red/large.png")).unwrap();
    let ran = place.run(&["extract", "photos", "--store", "store", "--json", "--max-image-memory", "1"]);
    assert_eq!(counts(&ran.expect(1))[..3], [3, 0, 1]);
    let reason = &lines(&place.path("store/failures.jsonl"))[0]["reason"];
    assert_eq!(reason, "is 600×600 pixels, which needs more than the limit of 1 MiB to decode");
}
