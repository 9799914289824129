//! Kinds of heads and ways to fit them, over the built program.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Place, counts, extract, settle};

/// Pictures of a colour and a label each in the manifest `a.jsonl`, every sixth of them held out.
fn pictures(place: &Place, n: u32, of: impl Fn(u32) -> ([u8; 3], Value)) {
    let mut lines = String::new();
    for index in 0..n {
        let (colour, label) = of(index);
        let name = format!("pictures/{index}.png");
        place.picture(&name, colour, index);
        let split = if index % 6 == 5 { "val" } else { "train" };
        lines += &(json!({"path": name, "label": label, "split": split}).to_string() + "\n");
    }
    fs::write(place.path("a.jsonl"), lines).expect("written");
    settle();
}

/// Pictures that may be red, bright, both or neither, with JSON arrays of labels.
fn labelled_pictures(place: &Place) {
    pictures(place, 48, |index| {
        let (red, bright) = (index % 2 == 0, (index / 2) % 2 == 0);
        let level = if bright { 150 } else { 20 };
        let colour = if red { [level + 80, level, level] } else { [level, level, level + 80] };
        let labels: Vec<&str> =
            [red.then_some("red"), bright.then_some("bright")].into_iter().flatten().collect();
        (colour, json!(labels))
    });
}

#[test]
fn a_sample_may_have_several_labels_or_none() {
    let place = Place::new();
    labelled_pictures(&place);
    assert_eq!(counts(&extract(&place, "a.jsonl").expect(0))[0], 48);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    assert!(fit.stderr.contains("a sample may have several"), "{}", fit.stderr);
    let json = fit.json();
    assert_eq!(json["labels"], json!(["bright", "red"]));
    assert_eq!(json["validation"]["exact_match"], 1.0, "{json}");
    assert_eq!(json["fit"]["class_counts"], json!([20, 24]));
    let eval = place.run(&["eval", "--store", "store", "--head", "a.head"]).expect(0).stdout;
    assert!(eval.contains("mean average precision 100.0%") && eval.contains("bright"), "{eval}");

    place.run(&["export", "--head", "a.head", "--out", "a.onnx"]).expect(0);
    let mut n_cases = 0;
    for arguments in [["--head", "a.head"], ["--model", "a.onnx"]] {
        let run = |more: &[&str]| {
            let pictures = ["pictures/0.png", "pictures/1.png", "pictures/3.png"];
            place.run(&[&["predict"], &arguments[..], &pictures, more].concat()).expect(0).stdout
        };
        let lines: Vec<Value> =
            run(&["--json"]).lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let labels = |index: usize| {
            let mut labels: Vec<&str> =
                lines[index]["labels"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            labels.sort();
            labels.join("|")
        };
        assert_eq!([labels(0), labels(1), labels(2)], ["bright|red", "bright", ""]);
        assert!(lines[2]["probabilities"]["red"].as_f64().unwrap() < 0.5);
        let csv = run(&["--csv"]);
        assert_eq!(csv.lines().next(), Some("path,label,bright,red,error"));
        assert!(csv.lines().nth(3).unwrap().starts_with("pictures/3.png,,"), "{csv}");
        let table = run(&[]);
        assert_eq!(table.lines().nth(2), Some("pictures/3.png"), "no label is given: {table}");
        assert!(run(&["--top", "2"]).lines().all(|it| it.contains("red") && it.contains("bright")));
        n_cases += 1;
    }
    assert_eq!(n_cases, 2);

    // Each combination as a class of its own, where that is asked for.
    let arguments = ["fit-head", "--store", "store", "--out", "b.head", "--task", "classification", "--json"];
    assert_eq!(place.run(&arguments).expect(0).json()["labels"], json!(["bright", "red", "red|bright", "|"]));
}

#[test]
fn a_hidden_layer_is_trained_recorded_and_exported() {
    let place = Place::new();
    place.photos(10);
    labelled_pictures(&place);
    extract(&place, "photos").expect(0);
    let fit = |name: &str, more: &[&str]| {
        let arguments = ["fit-head", "--store", "store", "--head", "mlp", "--out", name, "--json"];
        place.run(&[&arguments[..], more].concat())
    };
    let ran = fit("a.head", &["--hidden", "16", "--epochs", "60"]).expect(0);
    assert!(ran.stderr.contains("epoch   1: loss ") && ran.stderr.contains("was best"), "{}", ran.stderr);
    let json = ran.json();
    assert_eq!(json["validation"]["accuracy"], 1.0, "{json}");
    let training = &json["fit"]["training"];
    assert_eq!((&training["loss"], &training["config"]["hidden"]), (&json!("cross-entropy"), &json!(16)));
    let history = training["history"].as_array().unwrap();
    assert!(history.len() > 5 && history[0]["loss"].as_f64() > history[4]["loss"].as_f64());
    assert!(json["fit"]["certificate"].is_null() && json["fit"]["alpha"].is_null());
    fit("b.head", &["--hidden", "16", "--epochs", "60"]).expect(0);
    assert!(fs::read(place.path("a.head")).unwrap() == fs::read(place.path("b.head")).unwrap());
    place.run(&["export", "--head", "a.head", "--out", "a.onnx", "--samples", "photos/red/0.png"]).expect(0);
    let said = place.run(&["predict", "--model", "a.onnx", "photos/red/0.png"]).expect(0).stdout;
    assert!(said.contains("red"), "{said}");

    let refused = fit("c.head", &["--loss", "mse"]).expect(2);
    assert!(refused.stderr.contains("cross-entropy, focal, squared, huber"), "{}", refused.stderr);
    fit("c.head", &["--loss", "focal", "--balanced", "--epochs", "30"]).expect(0);
    place.run(&["extract", "a.jsonl", "--store", "store"]).expect(0);
    let labels = fit("c.head", &["--epochs", "80"]).expect(0).json();
    assert!(labels["validation"]["mean_average_precision"].as_f64() > Some(0.95), "{labels}");
}

#[test]
fn a_class_is_added_to_a_head_from_where_it_was() {
    let place = Place::new();
    place.photos(8);
    extract(&place, "photos").expect(0);
    let fit = |out: &str, more: &[&str]| {
        let arguments = ["fit-head", "--store", "store", "--out", out, "--json"];
        place.run(&[&arguments[..], more].concat())
    };
    fit("old.head", &[]).expect(0);
    (0..8).for_each(|it| place.picture(&format!("photos/grey/{it}.png"), [120; 3], it));
    settle();
    assert_eq!(counts(&extract(&place, "photos").expect(0))[0], 8);
    let warm = fit("warm.head", &["--warm-start", "old.head"]).expect(0);
    assert!(warm.stderr.contains("new labels: grey"), "{}", warm.stderr);
    let warm = warm.json();
    let alpha = warm["fit"]["alpha"].as_f64().unwrap().to_string();
    let cold = fit("cold.head", &["--alpha", &alpha]).expect(0).json();
    // Both are within a millionth of the one minimum there is.
    let [a, b] = [&warm, &cold].map(|it| it["fit"]["certificate"]["objective"].as_f64().unwrap());
    assert!((a / b - 1.0).abs() < 2e-6, "{a} {b}");
    assert_eq!(warm["validation"]["accuracy"], 1.0);
    assert!(warm["fit"]["path"].is_null(), "its alpha is kept");

    fit("linear.head", &["--head", "linear"]).expect(0);
    let ran = fit("x.head", &["--warm-start", "linear.head"]).expect(2);
    assert!(ran.stderr.contains("the head to start from is another"), "{}", ran.stderr);
}

#[test]
fn more_embeddings_than_may_be_in_memory_give_the_same_head() {
    let place = Place::new();
    // More training samples than half the features: fewer are solved in their row space.
    place.photos(90);
    // A copy of a picture, and one of two labels: rows that come more than once.
    fs::create_dir_all(place.path("photos/red")).unwrap();
    fs::copy(place.path("photos/red/0.png"), place.path("photos/red/copy.png")).unwrap();
    extract(&place, "photos").expect(0);
    let fit = |out: &str, more: &[&str]| {
        let arguments = ["fit-head", "--store", "store", "--out", out, "--alpha", "1", "--json"];
        place.run(&[&arguments[..], more].concat())
    };
    let whole = fit("a.head", &[]).expect(0).json();
    let streamed = fit("b.head", &["--max-memory", "0"]).expect(0);
    assert!(streamed.stderr.contains("the store is read again for every pass"), "{}", streamed.stderr);
    let streamed = streamed.json();
    let [a, b] = [&whole, &streamed].map(|it| it["fit"]["certificate"]["objective"].as_f64().unwrap());
    assert!((a / b - 1.0).abs() < 1e-5, "{a} {b}");
    assert_eq!(whole["validation"]["accuracy"], streamed["validation"]["accuracy"]);
    let heads = ["a.head", "b.head"].map(|it| fs::read(place.path(it)).unwrap());
    let [a, b] = heads.map(|it| headstart_head::HeadModel::from_bytes(&it).unwrap());
    assert_eq!(a.trained_on, b.trained_on);
    let largest = a.layers[0].weight.iter().fold(0.0_f64, |max, it| max.max(it.abs()));
    let difference =
        (&a.layers[0].weight - &b.layers[0].weight).iter().fold(0.0_f64, |max, it| max.max(it.abs()));
    // Strong convexity: a gap of 1e-6 of the objective bounds how far apart the solutions are.
    assert!(difference < 1e-2 * largest, "{difference} of {largest}");

    // Held-out samples that do not fit beside the others are read to be scored, which changes nothing.
    let n = |it: &Value| it["n_samples"].as_u64().unwrap();
    let n_features = a.n_features() as u64;
    let (train, held_out) = (12 * n_features * n(&whole["fit"]), 4 * n_features * n(&whole["validation"]));
    assert!(train <= 1 << 20 && train + held_out > 1 << 20, "{train} and {held_out} bytes");
    let scored = fit("c.head", &["--max-memory", "1"]).expect(0);
    assert!(!scored.stderr.contains("read again"), "{}", scored.stderr);
    assert_eq!(scored.json()["validation"], whole["validation"]);
    assert!(fs::read(place.path("a.head")).unwrap() == fs::read(place.path("c.head")).unwrap());

    let linear = fit("d.head", &["--max-memory", "0", "--head", "linear"]).expect(2);
    assert!(linear.stderr.contains("raise --max-memory"), "{}", linear.stderr);
}

#[test]
fn linfa_fits_the_same_head() {
    let place = Place::new();
    place.photos(12);
    extract(&place, "photos").expect(0);
    let fit = |solver: &str| {
        let out = format!("{solver}.head");
        let arguments = ["fit-head", "--store", "store", "--out", &out, "--alpha", "10", "--json"];
        place.run(&[&arguments[..], &["--solver", solver]].concat()).expect(0).json()
    };
    let [ours, theirs] = ["headstart", "linfa"].map(fit);
    assert_eq!(theirs["fit"]["solver"], "linfa-logistic");
    let [a, b] = [ours, theirs].map(|it| it["fit"]["certificate"]["objective"].as_f64().unwrap());
    assert!((a / b - 1.0).abs() < 2e-6, "{a} {b}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let place = Place::new();
    place.photos(4);
    extract(&place, "photos").expect(0);
    let cases: [(&[&str], &str); 13] = [
        (&["--head", "linear", "--balanced"], "--balanced is for"),
        (&["--head", "linear", "--one-standard-error"], "chosen by leave-one-out"),
        (&["--head", "linear", "--folds", "3"], "chosen by leave-one-out"),
        (&["--loss", "focal"], "--loss is for --head mlp"),
        (&["--epochs", "3"], "are for --head mlp"),
        (&["--folds", "1"], "--folds must be at least 2"),
        (&["--head", "mlp", "--alpha", "3"], "a hidden layer has no penalty"),
        (&["--head", "mlp", "--no-standardize"], "always standardised"),
        (&["--head", "mlp", "--hidden", "18446744073709551615"], "more than any memory holds"),
        (&["--solver", "linfa", "--balanced"], "--solver linfa is for"),
        (&["--head", "linear", "--task", "multilabel"], "predicts classes or numbers"),
        (&["--task", "regression"], "a logistic head predicts classes"),
        (&["--head", "mlp", "--task", "regression"], "is no number"),
    ];
    for (flags, expected) in cases {
        let arguments = ["fit-head", "--store", "store", "--out", "a.head"];
        let ran = place.run(&[&arguments[..], flags].concat()).expect(2);
        assert!(ran.stderr.contains(expected), "{flags:?}: {}", ran.stderr);
        assert!(!place.path("a.head").exists());
    }
    let many = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--folds", "1000"]).expect(0);
    assert!(!many.stderr.contains("1000-fold"), "{}", many.stderr);
}

/// A group that is a class, and a part in memory that has none of it: nothing can be chosen, and all is fitted.
#[test]
fn groups_that_are_classes_leave_nothing_to_choose_by() {
    let place = Place::new();
    place.photos(8);
    let mut rows = "path,label,group\n".to_owned();
    for class in ["red", "green", "blue"] {
        (0..8).for_each(|it| rows += &format!("photos/{class}/{it}.png,{class},{class}\n"));
    }
    fs::write(place.path("a.csv"), rows).unwrap();
    extract(&place, "a.csv").expect(0);
    for more in [&[][..], &["--max-memory", "0"]] {
        let arguments = ["fit-head", "--store", "store", "--out", "a.head", "--validation", "0", "--json"];
        let ran = place.run(&[&arguments[..], more].concat()).expect(0);
        assert!(ran.stderr.contains("alpha is 10 then"), "{more:?}: {}", ran.stderr);
        assert_eq!(ran.json()["fit"]["alpha"], 10.0);
    }
}

/// Sold-by-the-dozen photos: near-copies of one subject must not vouch for each other.
#[test]
fn held_out_samples_of_known_groups_are_told() {
    let place = Place::new();
    place.photos(4);
    let mut rows = "path,label,split,group\n".to_owned();
    for class in ["red", "green"] {
        for it in 0..4 {
            let split = if it == 3 { "val" } else { "train" };
            rows += &format!("photos/{class}/{it}.png,{class},{split},{}\n", it % 3);
        }
    }
    fs::write(place.path("a.csv"), rows).unwrap();
    extract(&place, "a.csv").expect(0);
    let ran = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--alpha", "1"]).expect(0);
    assert!(ran.stderr.contains("2 of 2 held-out samples are files or groups"), "{}", ran.stderr);
}

/// Labels that are wrong for every fifth picture, so that neither the weakest penalty is the best nor the
/// strongest.
fn doubtful_pictures(place: &Place) {
    pictures(place, 90, |index| {
        let is_red = index % 2 == 0;
        let colour = if is_red { [150, 110, 110] } else { [110, 110, 150] };
        (colour, json!(if is_red == (index % 5 != 0) { "red" } else { "blue" }))
    });
}

#[test]
fn how_alpha_was_chosen_is_told_and_can_be_changed() {
    let place = Place::new();
    doubtful_pictures(&place);
    extract(&place, "a.jsonl").expect(0);
    let fit = |flags: &[&str]| {
        let arguments = ["fit-head", "--store", "store", "--out", "a.head", "--json"];
        place.run(&[&arguments[..], flags].concat()).expect(0)
    };
    let edge = "the best alpha is at an end of the grid";
    let best = fit(&[]);
    assert!(!best.stderr.contains(edge), "{}", best.stderr);
    let best = best.json();
    let path = &best["fit"]["path"];
    let alpha_at = |which: &str| path.pointer(&format!("/alphas/{}", path[which])).and_then(Value::as_f64);
    assert_eq!(best["fit"]["alpha"].as_f64(), alpha_at("best"));
    // As many as it takes, to one that is as good as the best of all, but for a tenth of a standard error.
    let n_alphas = |fit: &Value| fit["fit"]["path"]["alphas"].as_array().map(Vec::len);
    assert!(n_alphas(&best).is_some_and(|n| (3..20).contains(&n)), "{path}");
    let all = fit(&["--alphas", "all"]).json();
    assert_eq!(n_alphas(&all), Some(45));
    let of_all = |what: &str, alpha: &Value| {
        let path = &all["fit"]["path"];
        let place = path["alphas"].as_array().and_then(|it| it.iter().position(|it| it == alpha));
        path[what][place.expect("of the grid")].as_f64().expect("a number")
    };
    let (found, least) = (&best["fit"]["alpha"], &all["fit"]["alpha"]);
    let excess = of_all("mean_loss", found) - of_all("mean_loss", least);
    assert!(excess <= 0.1 * of_all("standard_error", least), "{found} instead of {least}: {excess}");
    let simpler = fit(&["--one-standard-error"]).json();
    let simplest = fit(&["--one-standard-error", "--alphas", "all"]).json();
    let [simple, simplest] = [&simpler, &simplest].map(|it| it["fit"]["alpha"].as_f64().expect("a number"));
    // The bests differ a little, and so do their errors.
    assert!((simple / simplest).log10().abs() < 0.26, "the whole side was looked at: {simple} {simplest}");
    let alphas = [&simpler, &best].map(|it| it["fit"]["alpha"].as_f64().expect("a number"));
    assert!(alphas[0] > alphas[1], "{alphas:?}");

    let mut n_cases = 0;
    for head in ["logistic", "linear"] {
        let narrow = fit(&["--head", head, "--alphas", "1e-6,1e-5"]);
        assert!(narrow.stderr.contains(edge), "{head}: {}", narrow.stderr);
        assert_eq!(narrow.json()["fit"]["alpha"], 1e-5, "{head}: too weak, both of them");
        assert!(!fit(&["--head", head, "--alpha", "1e-5"]).stderr.contains(edge), "one alpha has no ends");
        n_cases += 1;
    }
    assert_eq!(n_cases, 2);
}

#[test]
fn a_head_that_loses_to_what_needs_no_fit_is_told() {
    let place = Place::new();
    // One class is in the majority, which is all that a huge penalty leaves.
    (0..16).for_each(|it| place.picture(&format!("photos/train/red/{it}.png"), [150, 20, 20], it));
    (0..8).for_each(|it| place.picture(&format!("photos/train/blue/{it}.png"), [20, 20, 150], it));
    (20..26).for_each(|it| place.picture(&format!("photos/val/red/{it}.png"), [150, 20, 20], it));
    (20..26).for_each(|it| place.picture(&format!("photos/val/blue/{it}.png"), [20, 20, 150], it));
    settle();
    extract(&place, "photos").expect(0);
    let fit = |flags: &[&str]| {
        let arguments = ["fit-head", "--store", "store", "--out", "a.head", "--json"];
        place.run(&[&arguments[..], flags].concat()).expect(0)
    };
    let warning = "more than the head's";
    let good = fit(&[]);
    assert!(!good.stderr.contains(warning), "{}", good.stderr);
    let bad = fit(&["--alpha", "1e12"]);
    assert!(bad.stderr.contains(warning) && bad.stderr.contains("50.0%"), "{}", bad.stderr);
    let json = bad.json();
    assert_eq!((&json["validation"]["accuracy"], &json["baselines"]["majority"]), (&json!(0.5), &json!(0.5)));
    assert_eq!(json["baselines"]["nearest_class_mean"], 1.0);
}
