//! Labels as they are written in folders, CSV, Parquet, and as they are given back.

use std::fs;

use serde_json::json;

use crate::program::{Place, counts, extract, settle};

/// Eight reddish pictures in one folder of `photos`, eight bluish ones in another.
#[cfg(unix)]
fn two_folders(place: &Place, classes: [&str; 2]) {
    for (class, colour) in classes.into_iter().zip([[200, 40, 40], [40, 40, 200]]) {
        (0..8).for_each(|it| place.picture(&format!("photos/{class}/{it}.png"), colour, it));
    }
    settle();
}

/// A class is what its folder is called, whatever stands between several labels in a CSV.
#[cfg(unix)]
#[test]
fn a_class_may_contain_what_separates_labels() {
    let place = Place::new();
    two_folders(&place, ["cats|dogs", "back\\slash"]);
    extract(&place, "photos").expect(0);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    assert_eq!(fit.json()["labels"], json!(["back\\slash", "cats|dogs"]));
    place.run(&["export", "--head", "a.head", "--out", "a.onnx"]).expect(0);
    for arguments in [["--head", "a.head"], ["--model", "a.onnx"]] {
        let picture = "photos/cats|dogs/0.png";
        let predict = |more| place.run(&[&["predict", picture], &arguments[..], &[more]].concat()).expect(0);
        assert_eq!(predict("--json").json()["label"], "cats|dogs");
        // As a manifest would have it: what is read back is one class.
        let csv = predict("--csv").stdout;
        assert_eq!(csv.lines().next(), Some("path,label,back\\slash,cats|dogs,error"));
        assert!(csv.lines().nth(1).unwrap().starts_with("photos/cats|dogs/0.png,cats\\|dogs,"), "{csv}");
    }
}

/// Several labels of which one contains what separates them: escaped in a CSV, as they are in JSON and in
/// the store, whose table is a manifest like any other.
#[test]
fn several_labels_are_the_same_from_csv_json_and_the_store_itself() {
    let place = Place::new();
    let (mut csv, mut lines) = ("path,label\n".to_owned(), String::new());
    for index in 0..24_u32 {
        let (colour, labels) = match index % 3 {
            0 => ([200, 40, 40], vec!["red", "a|b"]),
            1 => ([40, 40, 200], vec!["blue"]),
            _ => ([200, 200, 40], vec!["red", "x\\"]),
        };
        let name = format!("{index}.png");
        place.picture(&name, colour, index);
        let written: Vec<String> =
            labels.iter().map(|it| it.replace('\\', "\\\\").replace('|', "\\|")).collect();
        csv += &format!("{name},{}\n", written.join("|"));
        lines += &(json!({"path": name, "label": labels}).to_string() + "\n");
    }
    fs::write(place.path("a.csv"), csv).unwrap();
    fs::write(place.path("b.jsonl"), lines).unwrap();
    settle();
    let fit = |dataset: &str| {
        let [n_embedded, _, n_failed, _] = counts(&extract(&place, dataset).expect(0));
        let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
        (n_embedded, n_failed, fs::read(place.path("a.head")).unwrap(), fit.json())
    };
    let (n_embedded, n_failed, of_csv, told) = fit("a.csv");
    assert_eq!((n_embedded, n_failed), (24, 0));
    assert_eq!(told["labels"], json!(["a|b", "blue", "red", "x\\"]));
    assert_eq!(told["validation"]["exact_match"], 1.0, "{told}");
    assert!(told["notes"][0]["text"].as_str().unwrap().contains("a sample may have several"), "{told}");
    let (n_embedded, _, of_json, _) = fit("b.jsonl");
    assert!(n_embedded == 0 && of_json == of_csv, "the same labels give the same head");
    // The store's own table: a manifest beside the pictures.
    let samples = fs::read_dir(place.path("store/samples")).unwrap().next().unwrap().unwrap().path();
    fs::copy(samples, place.path("c.parquet")).unwrap();
    let (n_embedded, _, of_store, _) = fit("c.parquet");
    assert!(n_embedded == 0 && of_store == of_csv, "the same labels give the same head");
}

/// Numbers, one and several, from the columns of a CSV and from the store's `targets`.
#[test]
fn numbers_are_the_same_from_csv_and_the_store_itself() {
    let place = Place::new();
    let mut csv = "path,x,y\n".to_owned();
    for index in 0..24_u8 {
        place.picture(&format!("{index}.png"), [10 * index, 40, 200 - 5 * index], u32::from(index));
        csv += &format!("{index}.png,{}.5,-{}\n", index, 2 * index);
    }
    fs::write(place.path("a.csv"), csv).unwrap();
    settle();
    let columns = ["--store", "store", "--label-columns", "x,y"];
    place.run(&[&["extract", "a.csv"], &columns[..]].concat()).expect(0);
    let fit = || {
        let fit = ["fit-head", "--store", "store", "--out", "a.head", "--head", "linear", "--json"];
        let told = place.run(&fit).expect(0).json();
        (fs::read(place.path("a.head")).unwrap(), told)
    };
    let (of_csv, told) = fit();
    assert!(told["validation"]["r2"].as_f64().is_some(), "{told}");
    let samples = fs::read_dir(place.path("store/samples")).unwrap().next().unwrap().unwrap().path();
    fs::copy(samples, place.path("c.parquet")).unwrap();
    extract(&place, "c.parquet").expect(0);
    assert!(fit().0 == of_csv, "the same numbers give the same head");
}

/// What is told apart by how it is written: bars are a CSV's, digits may be names, lists may be of any length.
#[test]
fn labels_are_what_their_file_says_they_are() {
    let place = Place::new();
    for index in 0..24 {
        let colour = [[200, 40, 40], [40, 40, 200], [40, 200, 40]][index as usize % 3];
        place.picture(&format!("{index}.png"), colour, index);
    }
    settle();
    let fit = |manifest: &str, labels: [&str; 3]| {
        let is_csv = manifest.ends_with("csv");
        let line = |it: usize| match is_csv {
            true => format!("{it}.png,{}\n", labels[it % 3]),
            false => format!("{{\"path\":\"{it}.png\",\"label\":{}}}\n", labels[it % 3]),
        };
        let header = if is_csv { "path,label\n" } else { "" };
        fs::write(place.path(manifest), header.to_owned() + &(0..24).map(line).collect::<String>()).unwrap();
        extract(&place, manifest).expect(0);
        let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0).json();
        let task = if fit["validation"]["exact_match"].is_null() { "classes" } else { "labels" };
        (task, fit["labels"].clone())
    };
    let cases = [
        // Lists of numbers, not as many for each: labels that are digits.
        ("a.jsonl", ["[3, 7]", "[5]", "[3]"], "labels", json!(["3", "5", "7"])),
        // Lists of one name each: a class.
        ("b.jsonl", ["[\"x\"]", "[\"y\"]", "[\"z\"]"], "classes", json!(["x", "y", "z"])),
        // A text is a class, bars and all, where there are lists for several.
        ("c.jsonl", ["\"x|y\"", "\"y\"", "\"z\\\\\""], "classes", json!(["x|y", "y", "z\\"])),
        // Names made of digits keep their zeros.
        ("d.csv", ["007|012", "007|007", "012|3"], "labels", json!(["007", "012", "3"])),
        // A bar with nothing behind it says that there could be more.
        ("e.csv", ["x|", "y|", "z|"], "labels", json!(["x", "y", "z"])),
    ];
    let n_cases = cases.len();
    for (manifest, labels, task, expected) in cases {
        assert_eq!(fit(manifest, labels), (task, expected), "{manifest}");
    }
    assert_eq!(n_cases, 5);
    // A target that is missing makes its row unreadable, and moves no other into its place.
    let rows = "{\"path\":\"0.png\",\"label\":[1,null,3]}\n{\"path\":\"1.png\",\"label\":[1,2,3]}\n";
    fs::write(place.path("f.jsonl"), rows).unwrap();
    let ran = extract(&place, "f.jsonl").expect(1);
    assert!(
        counts(&ran)[2] == 1 && ran.stderr.contains("has a target that is no finite number"),
        "{}",
        ran.stderr
    );
}

/// A store's own table of classes, which may contain bars, is a manifest too.
#[cfg(unix)]
#[test]
fn classes_are_the_same_from_folders_and_the_store_itself() {
    let place = Place::new();
    two_folders(&place, ["cats|dogs", "birds"]);
    let of_folder = extract(&place, "photos").expect(0);
    assert!(of_folder.stderr.contains("2 classes (birds, cats|dogs)"), "{}", of_folder.stderr);
    let samples = fs::read_dir(place.path("store/samples")).unwrap().next().unwrap().unwrap().path();
    fs::copy(samples, place.path("photos/a.parquet")).unwrap();
    assert_eq!(counts(&extract(&place, "photos/a.parquet").expect(0))[..2], [0, 16]);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0);
    assert_eq!(fit.json()["labels"], json!(["birds", "cats|dogs"]));
}
