//! What people read, as it stands in `snapshots/`: help, the tour, errors. A change of a word shows there.

use std::fs;

use crate::program::{Place, extract};

/// Compares a text with the one of that name. Where it was told by a run in `place`, numbers, times and versions
/// may differ from run to run: `#` stands for them where `masked`.
fn assert_reads(name: &str, text: &str, place: Option<&Place>, masked: bool) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    if let Some(place) = place {
        let folder = place.folder.path();
        for folder in [folder.to_owned(), folder.canonicalize().expect("it is there")] {
            settings.add_filter(&escaped(&folder.to_string_lossy()), "PLACE");
        }
    }
    if masked {
        settings.add_filter(r"(?m)^.*time of all threads.*\n", "");
        settings.add_filter(r"\b(B|KiB|MiB|GiB)\b", "MiB");
        settings.add_filter(r"\b\d+(\.\d+)?(e[+-]?\d+)?\b", "#");
        settings.add_filter(r" +#", " #");
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A text as a pattern that matches it and nothing else.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|it| if it.is_alphanumeric() { vec![it] } else { vec!['\\', it] }).collect()
}

#[test]
fn the_help_of_every_command() {
    let place = Place::new();
    let commands: [&[&str]; 16] = [
        &[],
        &["setup"],
        &["doctor"],
        &["models"],
        &["models", "list"],
        &["models", "pull"],
        &["models", "quantize"],
        &["models", "inspect"],
        &["train"],
        &["extract"],
        &["fit-head"],
        &["eval"],
        &["predict"],
        &["table"],
        &["completions"],
        &["export"],
    ];
    for command in commands {
        let ran = place.run(&[command, &["--help"]].concat()).expect(0);
        let name = ["help"].iter().chain(command).copied().collect::<Vec<_>>().join("-");
        assert_reads(&name, &ran.stdout, None, false);
        // `-h` is the same in short, and every command in the list has a help of its own.
        place.run(&[command, &["-h"]].concat()).expect(0);
    }
    let all = place.run(&["--help"]).expect(0).stdout;
    let listed = all.lines().skip_while(|it| *it != "Commands:").skip(1).take_while(|it| !it.is_empty());
    let listed: Vec<&str> = listed
        .filter_map(|it| it.strip_prefix("  ").filter(|it| !it.starts_with(' ')))
        .filter_map(|it| it.split_whitespace().next())
        .collect();
    assert_eq!(
        listed,
        [
            "setup",
            "doctor",
            "models",
            "train",
            "extract",
            "fit-head",
            "eval",
            "predict",
            "export",
            "table",
            "completions",
            "help"
        ]
    );
}

/// The commands of the README's tour, on pictures drawn by code.
#[test]
fn the_tour() {
    let place = Place::new();
    for (split, n, first) in [("train", 10, 0), ("val", 4, 10)] {
        for (class, colour) in [("ants", [150, 40, 30]), ("bees", [40, 130, 60])] {
            (first..first + n)
                .for_each(|it| place.picture(&format!("photos/{split}/{class}/{it}.png"), colour, it));
        }
    }
    fs::write(place.path("photos/SOURCE.txt"), "where from").expect("written");
    let commands: [&[&str]; 8] = [
        &["extract", "photos", "--store", "h"],
        &["extract", "photos", "--store", "h"],
        &["fit-head", "--store", "h", "--out", "h.head"],
        &["fit-head", "--store", "h", "--out", "mlp.head", "--head", "mlp", "--epochs", "3"],
        &["eval", "--store", "h", "--head", "h.head"],
        &["export", "--head", "h.head", "--out", "h.onnx"],
        &["predict", "--model", "h.onnx", "photos/val/ants/10.png", "photos/val/bees/10.png"],
        &["models", "quantize", "--dataset", "photos", "--out", "m8.onnx"],
    ];
    let mut told = String::new();
    for command in commands {
        let ran = place.run(command).expect(0);
        told += &format!("$ headstart {}\n{}{}\n", command.join(" "), ran.stdout, ran.stderr);
    }
    assert_reads("tour", &told, Some(&place), true);
}

/// A command each for what users get wrong.
#[test]
fn errors() {
    let place = Place::new();
    place.photos(3);
    extract(&place, "photos").expect(0);
    place.run(&["fit-head", "--store", "store", "--out", "a.head"]).expect(0);
    place.picture("one/only/1.png", [9; 3], 1);
    place.run(&["extract", "one", "--store", "one-class"]).expect(0);
    place.picture("flat/1.png", [9; 3], 2);
    place.run(&["extract", "flat", "--store", "unlabelled"]).expect(0);
    place.run(&["extract", "photos", "--store", "other", "--filter", "bicubic"]).expect(0);
    place.picture("splits/train/a/1.png", [1; 3], 1);
    place.picture("splits/val/a/2.png", [2; 3], 2);
    place.picture("splits/extra/3.png", [3; 3], 3);
    for (name, text) in [
        ("no.onnx", "no model"),
        ("no.head", "no head"),
        ("a.csv", "where,label\n"),
        ("b.csv", "path,label\n,\n"),
        ("a.txt", ""),
    ] {
        fs::write(place.path(name), text).expect("written");
    }
    fs::create_dir(place.path("empty")).expect("it is made");
    let fit: &[&str] = &["fit-head", "--store", "store", "--out", "b.head"];
    let commands: Vec<Vec<&str>> = vec![
        vec!["extract", "nowhere", "--store", "s"],
        vec!["extract", "empty", "--store", "s"],
        vec!["extract", "a.txt", "--store", "s"],
        vec!["extract", "a.csv", "--store", "s"],
        vec!["extract", "b.csv", "--store", "s"],
        vec!["extract", "splits", "--store", "s"],
        vec!["extract", "photos", "--store", "store", "--filter", "bicubic"],
        vec!["extract", "photos", "--store", "s", "--model", "resnet5000"],
        vec!["extract", "photos", "--store", "s", "--model", "nowhere.onnx"],
        vec!["extract", "photos", "--store", "s", "--model", "./no.onnx"],
        vec!["extract", "photos", "--store", "s", "--model", "resnet50-v2-stage3"],
        vec!["extract", "photos", "--store", "s", "--short-side", "3"],
        vec!["extract", "photos", "--store", "s", "--mean", "1", "--std", "1"],
        vec!["extract", "photos", "--store", "s", "--tap", "nothing"],
        vec!["extract", "photos", "--store", "s", "--precision", "bf16"],
        vec!["extract", "photos", "--store", "s", "--precision", "int8"],
        vec!["extract", "photos", "--store", "s", "--device", "gpu"],
        vec!["extract", "photos", "--store", "s", "--shard", "3/2"],
        vec!["fit-head", "--store", "nowhere", "--out", "b.head"],
        vec!["fit-head", "--store", "one-class", "--out", "b.head"],
        vec!["fit-head", "--store", "unlabelled", "--out", "b.head"],
        vec!["fit-head", "--store", "store", "--out", "photos"],
        [fit, &["--head", "linear", "--task", "regression"]].concat(),
        [fit, &["--head", "linear", "--task", "multilabel"]].concat(),
        [fit, &["--head", "linear", "--max-memory", "0"]].concat(),
        [fit, &["--task", "regression"]].concat(),
        [fit, &["--validation", "1"]].concat(),
        [fit, &["--alpha=-1"]].concat(),
        [fit, &["--head", "mlp", "--learning-rate", "1e30"]].concat(),
        [fit, &["--head", "mlp", "--loss", "mse"]].concat(),
        [fit, &["--warm-start", "no.head"]].concat(),
        vec!["eval", "--store", "other", "--head", "a.head"],
        vec!["eval", "--store", "store", "--head", "a.head", "--split", "extra"],
        vec!["eval", "--store", "store", "--head", "a.head", "--split", "test"],
        vec!["predict", "--head", "a.head", "empty"],
        vec!["predict", "--head", "a.head", "--filter", "bicubic", "photos/red/0.png"],
        vec!["predict", "photos/red/0.png"],
        vec!["predict", "--model", "no.onnx", "photos/red/0.png"],
        vec!["export", "--head", "a.head", "--out", "a.onnx", "--samples", "a.txt"],
        vec!["export", "--head", "a.head", "--out", "a.onnx", "--filter", "bicubic"],
        vec!["models", "pull", "nothing"],
        vec!["models", "inspect", "no.onnx"],
        vec!["models", "quantize", "--dataset", "photos", "--out", "b.bin"],
    ];
    let mut told = String::new();
    for command in &commands {
        let ran = place.run(command).expect(2);
        told += &format!("$ headstart {}\n{}\n", command.join(" "), ran.stderr);
        assert!(ran.stderr.contains("error: "), "{command:?}: {}", ran.stderr);
    }
    assert!(commands.len() > 40);
    assert_reads("errors", &told, Some(&place), false);
}
