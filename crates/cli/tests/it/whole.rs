//! The whole job in one command, a store as a table, and what programs hear of all commands.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use headstart_tests::{python, root};
use serde_json::Value;

use crate::program::Place;

#[test]
fn train_is_extract_fit_and_export_in_one() {
    let place = Place::new();
    place.photos(8);
    let ran = place.run(&["train", "photos", "--out", "out/colours.onnx", "--json"]).expect(0);
    // The verdict stands before what the head is; with few held-out samples a cross-validation is beside it.
    let line = |begin: &str| ran.stderr.lines().position(|it| it.starts_with(begin)).expect(begin);
    assert!(line("right on ") < line("logistic head: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("training samples, each by a fit without its fold"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("certificate"), "that is for --verbose");
    let value = ran.json();
    assert_eq!(value["cross_validated"]["n_samples"], value["train"]["n_samples"]);
    assert!(place.path("out/colours.md").is_file() && place.path("out/colours.store/store.json").is_file());
    let said = place.run(&["predict", "--model", "out/colours.onnx", "photos/red/0.png"]).expect(0);
    assert!(said.stdout.contains("red"), "{}", said.stdout);
    // Again, with a picture more: only that one is embedded.
    place.picture("photos/red/new.png", [210, 50, 50], 77);
    let ran = place.run(&["train", "photos", "--out", "out/colours.onnx", "-v"]).expect(0);
    assert!(
        ran.stderr.contains("\n1 embedded, 24 cached") && ran.stderr.contains("certificate"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_cannot_be_trained_on_is_refused_before_it_is_embedded() {
    let place = Place::new();
    place.photos(2);
    fs::write(place.path("list.csv"), "file,species\nphotos/red/0.png,red\n").expect("it is written");
    let ran = place.run(&["train", "list.csv", "--out", "a.onnx"]).expect(2);
    assert!(ran.stderr.contains("none of the 1 samples of list.csv has a label"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--label-columns"), "{}", ran.stderr);
    assert!(!place.path("a.store").exists(), "nothing is embedded for it");
}

#[test]
fn what_is_left_out_and_what_is_not_written_is_said() {
    let place = Place::new();
    place.photos(4);
    fs::write(place.path("photos/red/notes"), "no picture").expect("it is written");
    fs::write(place.path("a.md"), "my own").expect("it is written");
    fs::create_dir_all(place.path("photos/none")).expect("a folder");
    fs::create_dir(place.path("empty")).expect("a folder");
    place.picture("photos/single/0.png", [9, 9, 9], 1);
    let ran = place.run(&["train", "photos", "--out", "a.onnx"]).expect(0);
    assert!(ran.stderr.contains("which become no class: none"), "{}", ran.stderr);
    assert!(ran.stderr.contains("only one training sample each is of single"), "{}", ran.stderr);
    assert!(ran.stderr.contains("a.md is not one of ours, and stays"), "{}", ran.stderr);
    let ran = place.run(&["predict", "--model", "a.onnx", "photos", "empty"]).expect(0);
    assert!(ran.stderr.contains("1 file that is no picture is left out"), "{}", ran.stderr);
    assert!(ran.stderr.contains("empty holds no pictures"), "{}", ran.stderr);
    assert_eq!(ran.stdout.lines().count(), 13);
}

#[test]
fn a_usage_error_is_told_whole_to_a_program() {
    let place = Place::new();
    let error = |arguments: &[&str]| place.run(arguments).expect(2).json()["error"].clone();
    let missing = error(&["train", "photos", "--json"]);
    assert!(missing["message"].as_str().is_some_and(|it| it.ends_with("--out <FILE>")), "{missing}");
    let mistyped = error(&["extract", "photos", "--stroe", "s", "--json"]);
    assert!(mistyped["hint"].as_str().is_some_and(|it| it.contains("--store")), "{mistyped}");
}

#[test]
fn predictions_go_to_a_file_and_are_gone_on_with() {
    let place = Place::new();
    place.photos(6);
    place.run(&["train", "photos", "--out", "a.onnx"]).expect(0);
    fs::write(place.path("photos/red/broken.png"), "no picture").unwrap();
    for format in ["--json", "--csv"] {
        let predict = |more: &[&str]| {
            let mut arguments = vec!["predict", "--model", "a.onnx", format, "--out", "rows", "photos"];
            arguments.extend(more);
            place.run(&arguments)
        };
        let ran = predict(&[]).expect(1);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("19 pictures, 1 failed"), "{}", ran.stderr);
        let whole = fs::read_to_string(place.path("rows")).unwrap();
        // Cut off in a row, as a kill leaves it: what was whole is kept, and looked at once.
        for n_bytes in [0, whole.len() / 3, whole.len() - 1, whole.len()] {
            fs::write(place.path("rows"), &whole[..n_bytes]).unwrap();
            predict(&["--resume"]);
            assert_eq!(fs::read_to_string(place.path("rows")).unwrap(), whole, "{format} {n_bytes}");
        }
        // Other pictures, another model: neither is mixed in.
        place.picture("photos/blue/a.png", [1, 2, 3], 5);
        let ran = predict(&["--resume"]).expect(2);
        assert!(ran.stderr.contains("--resume needs the same ones"), "{}", ran.stderr);
        fs::remove_file(place.path("photos/blue/a.png")).unwrap();
        place.run(&["train", "photos", "--out", "b.onnx", "--store", "a.store", "--alpha", "1000"]).expect(1);
        let other = ["predict", "--model", "b.onnx", format, "--out", "rows", "photos", "--resume"];
        let ran = place.run(&other).expect(2);
        assert!(ran.stderr.contains("another model made it"), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(place.path("rows")).unwrap(), whole, "{format}");
    }
    place.run(&["predict", "--model", "a.onnx", "photos", "--out", "rows", "--resume"]).expect(2);
    // A head for other labels, of the same pictures, as sure as the first.
    let row = |class: &str, name: &str| {
        (0..6).map(|it| format!("photos/{class}/{it}.png,{name}\n")).collect::<String>()
    };
    fs::write(
        place.path("b.csv"),
        format!("path,label\n{}{}{}", row("red", "r"), row("blue", "b"), row("green", "g")),
    )
    .unwrap();
    place.run(&["train", "b.csv", "--out", "c.onnx"]).expect(0);
    let predict = |model: &str, more: &[&str]| {
        place.run(&[&["predict", "--model", model, "--out", "r.jsonl", "photos/red"], more].concat())
    };
    predict("a.onnx", &[]);
    let ran = predict("c.onnx", &["--resume"]).expect(2);
    assert!(ran.stderr.contains("another model made it"), "{}", ran.stderr);
}

#[test]
fn what_is_there_is_not_replaced_by_a_file_of_another_kind() {
    let place = Place::new();
    place.photos(3);
    place.run(&["train", "photos", "--out", "a.onnx"]).expect(0);
    let photo = fs::read(place.path("photos/red/0.png")).unwrap();
    let store = ["--store", "a.store", "--out", "photos/red/0.png"];
    for command in [&["fit-head"][..], &["table"], &["train", "photos"]] {
        if command == ["table"] {
            continue;
        }
        let ran = place.run(&[command, &store].concat()).expect(2);
        assert!(
            ran.stderr.contains("is there already, and is no") && ran.stderr.contains("--force"),
            "{}",
            ran.stderr
        );
        assert_eq!(fs::read(place.path("photos/red/0.png")).unwrap(), photo);
    }
    fs::write(place.path("t.csv"), &photo).unwrap();
    place.run(&["table", "--store", "a.store", "--out", "t.csv"]).expect(2);
    place.run(&["table", "--store", "a.store", "--out", "t.csv", "--force"]).expect(0);
    // One of the same kind is.
    place.run(&["table", "--store", "a.store", "--out", "t.csv"]).expect(0);
    place.run(&["fit-head", "--store", "a.store", "--out", "a.head"]).expect(0);
    place.run(&["fit-head", "--store", "a.store", "--out", "a.head"]).expect(0);
    place.run(&["fit-head", "--store", "a.store", "--out", "a.onnx"]).expect(2);
}

#[test]
fn defaults_stand_in_a_file_and_are_said() {
    let place = Place::new();
    place.photos(3);
    let toml = "store = \"here\"\nbatch-size = 2\n\n[fit-head]\nalpha = 3.0\nno-standardize = true\n";
    fs::write(place.path("headstart.toml"), toml).unwrap();
    let ran = place.run(&["extract", "photos"]).expect(0);
    assert!(ran.stderr.starts_with("headstart.toml: --batch-size=2 --store=here\n"), "{}", ran.stderr);
    let ran = place.run(&["fit-head", "--out", "a.head", "--alpha=7", "--json"]).expect(0);
    assert!(ran.stderr.starts_with("headstart.toml: --no-standardize --store=here\n"), "{}", ran.stderr);
    let fit = &ran.json()["fit"];
    assert_eq!((&fit["alpha"], &fit["standardized"]), (&Value::from(7.0), &Value::from(false)));
    place.run(&["--help"]).expect(0);
    // What is said goes before what it goes against; lists are what the flag makes of them; commands of commands.
    let toml = "alpha = 3.0\nstore = \"here\"\nverbose = true\nmissing = [\"red\", \"blue\"]\njson = true\n\n[models.quantize]\ncalibrate = 9\n";
    fs::write(place.path("headstart.toml"), toml).unwrap();
    let ran = place.run(&["fit-head", "--out", "b.head", "--alphas", "1,10"]).expect(0);
    assert!(ran.stderr.starts_with("headstart.toml: --json --store=here --verbose\n"), "{}", ran.stderr);
    fs::write(
        place.path("a.csv"),
        "path,label\nphotos/red/0.png,red\nphotos/blue/0.png,blue\nphotos/green/0.png,x\n",
    )
    .unwrap();
    let ran = place.run(&["extract", "a.csv", "--store", "missing"]).expect(0);
    assert!(ran.stderr.contains("--missing=red --missing=blue"), "{}", ran.stderr);
    let ran = place.run(&["fit-head", "--store", "missing", "--out", "c.head"]).expect(2);
    assert_eq!(ran.json()["error"]["code"], "one-class", "two of three are missing: {}", ran.stderr);
    let ran = place.run(&["models", "quantize", "--dataset", "photos", "--out", "q.onnx"]).expect(0);
    assert!(ran.stderr.contains("--calibrate=9"), "{}", ran.stderr);
    for (bad, expected) in [
        ("stroe = \"x\"", "no command has a flag --stroe"),
        ("[fit]\nalpha = 1", "there is no command `fit`"),
        ("[eval]\nalpha = 1", "`eval` has no flag --alpha"),
        ("store = ", "cannot read headstart.toml"),
    ] {
        fs::write(place.path("headstart.toml"), bad).unwrap();
        let ran = place.run(&["extract", "photos", "--store", "s"]).expect(2);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = place.run(&["completions", shell]).expect(0).stdout;
        assert!(["train", "fit-head", "one-standard-error"].iter().all(|it| script.contains(it)), "{shell}");
    }
    let listed = place.run(&["models", "list"]).expect(0).stdout;
    let all = place.run(&["models", "list", "--all"]).expect(0).stdout;
    assert!(!listed.contains("resnet20-cifar10") && all.contains("resnet20-cifar10"));
}

/// What commands print under `--json`, and the name of its schema.
fn outputs(place: &Place) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let mut run = |schema: &'static str, code: i32, arguments: &[&str]| {
        all.push((schema, place.run(&[arguments, &["--json"]].concat()).expect(code).stdout));
    };
    place.photos(8);
    run("extract", 0, &["extract", "photos", "--store", "s"]);
    run("fit-head", 0, &["fit-head", "--store", "s", "--out", "a.head"]);
    run("fit-head", 0, &["fit-head", "--store", "s", "--out", "m.head", "--head", "mlp", "--epochs", "2"]);
    run("fit-head", 0, &["fit-head", "--store", "s", "--out", "b.head", "--balanced", "--validation", "0"]);
    run("eval", 0, &["eval", "--store", "s", "--head", "a.head", "--errors"]);
    run("train", 0, &["train", "photos", "--store", "s", "--out", "t.onnx"]);
    run("table", 0, &["table", "--store", "s", "--out", "t.npy"]);
    run("models-list", 0, &["models", "list", "--all"]);
    run("models-inspect", 0, &["models", "inspect", "t.onnx"]);
    run("models-quantize", 0, &["models", "quantize", "--dataset", "photos", "--out", "q.onnx"]);
    run("doctor", 0, &["doctor"]);
    fs::write(place.path("photos/red/broken.png"), "no picture").expect("it is written");
    run("predict", 1, &["predict", "--model", "t.onnx", "photos/red"]);
    run("predict", 0, &["predict", "--head", "b.head", "photos/blue/0.png"]);
    let rows = ["photos/red/0.png", "photos/red/1.png", "photos/blue/0.png", "photos/green/0.png"];
    let labels = [
        ("several", ["warm|", "warm|bright", "cold|bright", "cold|"]),
        ("numbers", ["1.5", "2.5", "3.5", "0.5"]),
    ];
    for (name, labels) in labels {
        let table: String = rows.iter().zip(labels).map(|(row, label)| format!("{row},{label}\n")).collect();
        fs::write(place.path(&format!("{name}.csv")), format!("path,label\n{table}")).expect("it is written");
        let (manifest, head) = (format!("{name}.csv"), format!("{name}.head"));
        let kind = if name == "numbers" { "linear" } else { "logistic" };
        run("extract", 0, &["extract", &manifest, "--store", name]);
        run(
            "fit-head",
            0,
            &["fit-head", "--store", name, "--out", &head, "--head", kind, "--validation", "0"],
        );
        run("eval", 0, &["eval", "--store", name, "--head", &head, "--split", "all", "--errors"]);
        run("predict", 0, &["predict", "--head", &head, "photos/red/0.png"]);
    }
    run("error", 2, &["extract", "nowhere", "--store", "s"]);
    run("error", 2, &["fit-head", "--store", "nowhere", "--out", "x.head"]);
    run("error", 2, &["eval", "--store", "s"]);
    all
}

#[test]
fn what_programs_are_told_is_as_documented() {
    let Some(python) = python() else { return };
    let place = Place::new();
    let outputs = outputs(&place);
    let mut lines = String::new();
    let mut n_values = 0;
    for (schema, text) in &outputs {
        // One object, or one a line.
        let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for value in values {
            lines += &format!("{schema}\t{}\n", value.expect("JSON"));
            n_values += 1;
        }
    }
    let codes: Vec<Value> = outputs
        .iter()
        .filter(|it| it.0 == "error")
        .map(|it| serde_json::from_str::<Value>(&it.1).expect("JSON")["error"]["code"].clone())
        .collect();
    assert_eq!(codes, ["no-dataset", "not-a-store", "usage"]);
    let mut child = Command::new(python)
        .arg(root().join("tests/python/schemas.py"))
        .arg(root().join("docs/json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success());
    let said: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|it| serde_json::from_str(it).expect("JSON"))
        .collect();
    let (last, checked) = said.split_last().expect("lines");
    assert_eq!(last["unused"], Value::Array(Vec::new()), "schemas of nothing");
    let wrong: Vec<&Value> = checked.iter().filter(|it| !it["error"].is_null()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked.len() == n_values && n_values >= 30, "{n_values}");
}

#[test]
fn what_is_read_has_a_bound() {
    let place = Place::new();
    place.photos(3);
    place.run(&["train", "photos", "--out", "a.onnx"]).expect(0);
    let ran = place.run(&["predict", "--head", "/dev/zero", "photos"]).expect(2);
    assert!(ran.stderr.contains("/dev/zero is no regular file"), "{}", ran.stderr);
    // As long as that says, and nothing in it.
    fs::File::create(place.path("long.head")).unwrap().set_len(5 << 30).unwrap();
    let ran = place.run(&["eval", "--store", "a.store", "--head", "long.head"]).expect(2);
    assert!(ran.stderr.contains("above the limit of 4294967296"), "{}", ran.stderr);
    fs::write(place.path("a.toml"), "#".repeat(2 << 20)).unwrap();
    let ran = place.run(&["extract", "photos", "--model", "a.onnx", "--store", "s"]).expect(2);
    assert!(ran.stderr.contains("a.toml") && ran.stderr.len() < 1000, "{}", ran.stderr);
    fs::write(place.path("headstart.toml"), "#".repeat(2 << 20)).unwrap();
    place.run(&["doctor"]).expect(2);
}

#[test]
fn a_label_as_long_as_a_cell_may_be_is_a_label_as_any_other() {
    let place = Place::new();
    place.photos(6);
    let (long, short) = ("x".repeat(32_000), "short");
    let rows = (0..6).map(|it| format!("photos/red/{it}.png,{long}\nphotos/blue/{it}.png,{short}\n"));
    fs::write(place.path("a.csv"), format!("path,label\n{}", rows.collect::<String>())).unwrap();
    let ran = place.run(&["train", "a.csv", "--out", "a.onnx", "-v"]).expect(0);
    assert!(ran.stderr.contains("right on "), "{}", &ran.stderr[..500]);
    place.run(&["fit-head", "--store", "a.store", "--out", "a.head"]).expect(0);
    place.run(&["eval", "--store", "a.store", "--head", "a.head", "--errors"]).expect(0);
    let ran = place.run(&["predict", "--head", "a.head", "photos/red/0.png"]).expect(0);
    assert!(ran.stdout.contains(&long), "it is said in full: {}", ran.stdout.len());
}
