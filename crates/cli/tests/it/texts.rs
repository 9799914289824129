//! Texts by the same door: one extraction, one store, one head, one export.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use headstart_tests::{python, root};
use serde_json::Value;

use crate::program::{Place, counts, lines};

/// The models of `tests/python/text_models.py`, in the folder of a place.
fn models(place: &Place) -> Option<()> {
    let script = root().join("tests/python/text_models.py");
    let status =
        Command::new(python()?).arg(script).arg(place.folder.path()).status().expect("python starts");
    assert!(status.success());
    Some(())
}

/// Labelled sentences, no two equal.
fn sentences(n: usize) -> Vec<(String, &'static str)> {
    let moods = [("good", ["good", "great", "fine"]), ("bad", ["bad", "awful", "poor"])];
    let about = ["food", "film", "day", "it"];
    let sentence = |it: usize| {
        let (mood, words) = moods[it % 2];
        let word = words[it / 2 % 3];
        (
            format!(
                "{} {} was {} {word}",
                "the ".repeat(1 + it / 24),
                about[it / 6 % 4],
                "very ".repeat(it / 96)
            ),
            mood,
        )
    };
    (0..n).map(sentence).collect()
}

fn json_lines(sentences: &[(String, &str)]) -> String {
    let line =
        |(text, label): &(String, &str)| serde_json::json!({"sentence": text, "label": label}).to_string();
    sentences.iter().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn sentences_become_a_store_a_head_and_a_file_that_answers() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    let all = sentences(120);
    fs::write(place.path("mood.jsonl"), json_lines(&all)).expect("it is written");
    let train = ["train", "mood.jsonl", "--model", "static.onnx", "--out", "mood.onnx", "--json"];
    let ran = place.run(&train).expect(0);
    assert!(ran.stderr.contains("mood.jsonl: 120 texts"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("static.onnx: texts are fed as tokens of 18 kinds, at most 512"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("pooling mean"), "{}", ran.stderr);
    assert_eq!(ran.json()["validation"]["accuracy"], 1.0);
    // Nothing is embedded twice; a text that stands elsewhere is known by its content.
    let mut more = all.clone();
    more.insert(0, ("a fine great day".to_owned(), "good"));
    fs::write(place.path("mood.jsonl"), json_lines(&more)).expect("it is written");
    let extract = ["extract", "mood.jsonl", "--model", "static.onnx", "--store", "mood.store", "--json"];
    assert_eq!(counts(&place.run(&extract).expect(0)), [1, 120, 0, 120]);
    // Lines on stdin, a file with a text, a manifest: one answer each.
    let asked = ["a good film", "", "an awful day, very poor"].join("\n");
    let ran =
        place.run_with_input(&["predict", "--model", "mood.onnx", "-", "--json"], asked.as_bytes()).expect(0);
    let said: Vec<Value> = ran.stdout.lines().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    assert_eq!(said.iter().map(|it| &it["path"]).collect::<Vec<_>>(), ["-:1", "-:3"]);
    assert_eq!(said.iter().map(|it| &it["label"]).collect::<Vec<_>>(), ["good", "bad"]);
    fs::write(place.path("one.txt"), "a good film").expect("it is written");
    fs::write(place.path("some.csv"), "query,n\n\"a good film\",1\n\"a bad, bad film\",2\n")
        .expect("it is written");
    let ran = place.run(&["predict", "--model", "mood.onnx", "one.txt", "some.csv", "--csv"]).expect(0);
    let rows: Vec<String> =
        ran.stdout.lines().skip(1).map(|it| it.split(',').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["one.txt good", "some.csv:2 good", "some.csv:3 bad"]);
    // What is to be read is not written over.
    let own = ["predict", "--model", "mood.onnx", "some.csv", "--csv", "--force", "--out", "some.csv"];
    let ran = place.run(&own).expect(2);
    assert!(ran.stderr.contains("would be overwritten"), "{}", ran.stderr);
    let scores = said[0]["probabilities"].as_object().expect("scores").clone();
    says_the_same_in_python(&place, "a good film", &scores);
}

/// The page beside the export says in Python what the program said.
fn says_the_same_in_python(place: &Place, text: &str, scores: &serde_json::Map<String, Value>) {
    let Some(python) = python() else { return };
    let output = Command::new(python)
        .arg(root().join("tests/python/served.py"))
        .args(["--text", text])
        .arg("mood.md")
        .current_dir(place.folder.path())
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (label, score) in scores {
        let (ours, pythons) = (score.as_f64().expect("a number"), said[label].as_f64().expect("a number"));
        assert!((ours - pythons).abs() < 1e-6, "{label}: {ours} and {pythons}");
    }
}

#[test]
fn texts_lie_in_folders_and_in_a_manifest_for_each_split() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    let all = sentences(60);
    fs::create_dir_all(place.path("sets")).expect("a folder");
    fs::write(place.path("sets/train.jsonl"), json_lines(&all[..48])).expect("it is written");
    fs::write(place.path("sets/test.jsonl"), json_lines(&all[48..])).expect("it is written");
    fs::write(place.path("sets/README.txt"), "where it is from").expect("it is written");
    for (index, (text, label)) in all.iter().enumerate() {
        let folder = place.path("files").join(label);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{index}.txt")), text).expect("it is written");
    }
    crate::program::settle();
    let extract = |dataset| {
        place.run(&["extract", dataset, "--model", "static.onnx", "--store", "store", "--json"]).expect(0)
    };
    let of_sets = extract("sets");
    assert!(of_sets.stderr.contains("splits that are read: test.jsonl, train.jsonl"), "{}", of_sets.stderr);
    assert_eq!(counts(&of_sets), [60, 0, 0, 0]);
    let ran = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    assert_eq!(ran.json()["train"]["n_samples"], 48);
    // The same texts, in files: their bytes are what was embedded.
    let of_files = extract("files");
    assert!(of_files.stderr.contains("files: 60 texts, 2 classes (bad, good)"), "{}", of_files.stderr);
    assert_eq!(counts(&of_files), [0, 60, 0, 0]);
}

#[test]
fn a_text_that_is_none_costs_itself_and_a_long_one_is_cut_aloud() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    let mut file = fs::File::create(place.path("odd.jsonl")).expect("a file");
    let odd = [
        r#"{"text": "a good film", "label": "a"}"#.to_owned(),
        r#"{"text": "", "label": "a"}"#.to_owned(),
        r#"{"text": "  ", "label": "a"}"#.to_owned(),
        r#"{"text": "lone \ud800 surrogate", "label": "a"}"#.to_owned(),
        r#"{"text": "nul \u0000 in it", "label": "b"}"#.to_owned(),
        r#"{"label": "b"}"#.to_owned(),
        r#"{"text": 7, "label": "b"}"#.to_owned(),
        format!(r#"{{"text": "{}", "label": "b"}}"#, "very ".repeat(700)),
        format!(r#"{{"text": "{}", "label": "b"}}"#, "x".repeat(2 << 20)),
        "no JSON".to_owned(),
    ];
    for line in &odd {
        writeln!(file, "{line}").expect("it is written");
    }
    file.write_all(b"{\"text\": \"no \xff UTF-8\", \"label\": \"b\"}\n").expect("it is written");
    drop(file);
    let extract = ["extract", "odd.jsonl", "--model", "static.onnx", "--store", "store", "--json"];
    let ran = place.run(&extract).expect(1);
    assert_eq!(counts(&ran)[..3], [4, 0, 7]);
    assert_eq!((&ran.json()["n_cut"], &ran.json()["longest_cut"]), (&1.into(), &700.into()));
    assert!(
        ran.stderr.contains("1 text has more than 512 tokens and was cut (it has 700)"),
        "{}",
        ran.stderr
    );
    let failures = lines(&place.path("store/failures.jsonl"));
    let reasons: Vec<&str> = failures.iter().filter_map(|it| it["reason"].as_str()).collect();
    assert!(
        reasons.contains(&"has no tokens") && reasons.contains(&"is longer than 1048576 bytes"),
        "{reasons:?}"
    );
    assert!(reasons.iter().all(|it| it.len() < 300), "{reasons:?}");
    // Another number of tokens is another space.
    let other = [&extract[..], &["--max-tokens", "16"]].concat();
    let ran = place.run(&other).expect(2);
    assert!(ran.stderr.contains("max-tokens"), "{}", ran.stderr);
    // What is said of pictures is not for texts.
    let ran = place.run(&[&extract[..], &["--size", "96"]].concat()).expect(2);
    assert!(ran.stdout.contains("takes texts"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn models_of_texts_by_other_hands() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    fs::write(place.path("mood.jsonl"), json_lines(&sentences(24))).expect("it is written");
    for (model, said) in [
        ("bare", "one by one"),
        ("bert", "at most 512"),
        ("past", "at most 512"),
        ("fixed", "at most 8 a text, filled up to 8"),
    ] {
        let file = format!("{model}.onnx");
        let extract = ["extract", "mood.jsonl", "--model", &file, "--store", model, "--json"];
        let ran = place.run(&extract).expect(0);
        assert_eq!(counts(&ran)[0], 24, "{model}");
        assert!(ran.stderr.contains(said), "{model}: {}", ran.stderr);
    }
    // What fills up a row would be pooled as if it were a token.
    let ran = place.run(&["extract", "mood.jsonl", "--model", "stiff.onnx", "--store", "none"]).expect(2);
    assert!(ran.stderr.contains("expected a mask of tokens, to pool by `mean`"), "{}", ran.stderr);
    place
        .run(&["extract", "mood.jsonl", "--model", "stiff.onnx", "--store", "f", "--pool", "first"])
        .expect(0);
    // Without a tokenizer nothing is fed.
    fs::remove_file(place.path("static.tokenizer.json")).expect("it was there");
    let ran = place.run(&["extract", "mood.jsonl", "--model", "static.onnx", "--store", "none"]).expect(2);
    assert!(ran.stderr.contains("there is no tokenizer beside static.onnx"), "{}", ran.stderr);
    fs::write(place.path("static.tokenizer.json"), "{}").expect("it is written");
    let ran = place.run(&["extract", "mood.jsonl", "--model", "static.onnx", "--store", "none"]).expect(2);
    assert!(ran.stderr.contains("the tokenizer does not read"), "{}", ran.stderr);
}

#[test]
fn a_killed_run_over_texts_goes_on_where_it_was() {
    let place = Place::new();
    let Some(()) = models(&place) else { return };
    fs::write(place.path("mood.jsonl"), json_lines(&sentences(9000))).expect("it is written");
    let extract = |store| ["extract", "mood.jsonl", "--model", "static.onnx", "--store", store, "--json"];
    place.run(&extract("whole")).expect(0);
    for wait in [0, 3, 9] {
        let mut command = place.command(&extract("cut"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        if crate::program::has_begun(&mut child, &place.path("cut"), "whole") {
            std::thread::sleep(std::time::Duration::from_millis(wait));
        }
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
    }
    place.run(&extract("cut")).expect(0);
    let table = |store: &str| {
        let out = format!("{store}.csv");
        place.run(&["table", "--store", store, "--out", &out]).expect(0);
        let text = fs::read_to_string(place.path(&out)).expect("a table");
        text.lines()
            .skip(1)
            .map(|it| it.split(',').map(str::to_owned).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let (whole, cut) = (table("whole"), table("cut"));
    assert_eq!((whole.len(), cut.len()), (9000, 9000));
    for (a, b) in whole.iter().zip(&cut) {
        assert_eq!(a[..5], b[..5]);
        let number = |it: &String| it.parse::<f64>().expect("a number");
        // The order of sums changes with the texts that stand in a batch.
        assert!(a[5..].iter().zip(&b[5..]).all(|(a, b)| (number(a) - number(b)).abs() < 1e-5), "{a:?} {b:?}");
    }
}
