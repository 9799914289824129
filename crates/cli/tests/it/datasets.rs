//! Every form of dataset, and what changes in it cost.

use std::fs;

use crate::program::{Place, counts, extract, lines, settle};

#[test]
fn an_unchanged_dataset_is_neither_read_nor_embedded_again() {
    let place = Place::new();
    place.photos(4);
    let first = extract(&place, "photos").expect(0);
    assert_eq!(counts(&first), [12, 0, 0, 0]);
    let json = first.json();
    for key in ["inputs_per_second", "peak_memory_bytes", "seconds"] {
        assert!(json[key].as_f64().is_some_and(|it| it > 0.0), "{key}: {json}");
    }
    assert_eq!(json["device"], "cpu");
    assert_eq!(counts(&extract(&place, "photos").expect(0)), [0, 12, 0, 12]);
}

#[test]
fn new_changed_deleted_moved_and_copied_files_cost_only_what_they_must() {
    let place = Place::new();
    place.photos(4);
    extract(&place, "photos").expect(0);
    place.picture("photos/red/new.png", [180, 0, 90], 77);
    place.picture("photos/green/0.png", [10, 90, 20], 78);
    fs::remove_file(place.path("photos/blue/0.png")).unwrap();
    fs::rename(place.path("photos/blue/1.png"), place.path("photos/blue/moved.png")).unwrap();
    fs::rename(place.path("photos/blue/2.png"), place.path("photos/green/relabelled.png")).unwrap();
    fs::copy(place.path("photos/red/1.png"), place.path("photos/red/copy.png")).unwrap();
    settle();
    // Embedded: the new and the changed one. Read: those, the moved, the relabelled, the copy.
    let second = extract(&place, "photos").expect(0);
    assert_eq!(counts(&second), [2, 11, 0, 8]);
    // A copy of new content within one run is embedded once.
    place.picture("photos/red/twin-a.png", [1, 2, 3], 99);
    fs::copy(place.path("photos/red/twin-a.png"), place.path("photos/red/twin-b.png")).unwrap();
    assert_eq!(counts(&extract(&place, "photos").expect(0))[..3], [1, 14, 0]);
}

/// Times and size alone cannot be trusted when a program sets them back; the inode's change time can.
#[cfg(unix)]
#[test]
fn a_change_that_hides_behind_the_same_size_and_time_is_found() {
    let place = Place::new();
    for (name, grey) in [("a", 10), ("b", 200)] {
        let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([grey; 3]));
        fs::create_dir_all(place.path("photos/x")).unwrap();
        picture.save(place.path(&format!("photos/x/{name}.bmp"))).unwrap();
    }
    settle();
    extract(&place, "photos").expect(0);
    let path = place.path("photos/x/a.bmp");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 0x40;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    settle();
    assert_eq!(counts(&extract(&place, "photos").expect(0)), [1, 1, 0, 1]);
}

#[test]
fn splits_and_classes_come_from_the_folders() {
    let place = Place::new();
    for (split, n) in [("train", 3), ("val", 2)] {
        for class in ["ant", "bee"] {
            for index in 0..n {
                let grey = if class == "ant" { 30 } else { 220 };
                place.picture(&format!("photos/{split}/{class}/{index}.png"), [grey; 3], index + 10 * n);
            }
        }
    }
    fs::write(place.path("photos/SOURCE.txt"), "where from").unwrap();
    fs::write(place.path("photos/train/ant/.DS_Store"), "hidden").unwrap();
    let ran = extract(&place, "photos").expect(0);
    assert_eq!(counts(&ran)[..3], [10, 0, 0]);
    assert!(ran.stderr.contains("1 file that is no picture is left out"), "{}", ran.stderr);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0).json();
    assert_eq!(
        (&fit["labels"], &fit["validation"]["n_samples"]),
        (&serde_json::json!(["ant", "bee"]), &4.into())
    );
    let train = place.run(&["eval", "--store", "store", "--head", "a.head", "--split", "train", "--json"]);
    assert_eq!(train.expect(0).json()["n_samples"], 6);
}

#[test]
fn manifests_of_every_form_and_lists_on_stdin_list_the_same_pictures() {
    let place = Place::new();
    place.photos(2);
    let names: Vec<String> = ["red", "green", "blue"]
        .iter()
        .flat_map(|c| (0..2).map(move |i| format!("photos/{c}/{i}.png")))
        .collect();
    let label = |name: &str| name.split('/').nth(1).unwrap().to_owned();
    let csv: String = names.iter().map(|it| format!("{},\"{it}\",train,g1\n", label(it))).collect();
    fs::write(place.path("a.csv"), format!("\u{feff}label,path,split,group\n{csv}")).unwrap();
    let tsv: String = names.iter().map(|it| format!("{it}\t{}\n", label(it))).collect();
    fs::write(place.path("a.tsv"), format!("path\tlabel\n{tsv}")).unwrap();
    let jsonl: String = names
        .iter()
        .map(|it| format!("{}\n\n", serde_json::json!({"path": it, "label": label(it)})))
        .collect();
    fs::write(place.path("a.jsonl"), jsonl).unwrap();

    assert_eq!(counts(&extract(&place, "a.csv").expect(0))[..3], [6, 0, 0]);
    // The samples table is a Parquet file with these columns: it can itself be a manifest.
    fs::copy(place.path("store/samples/whole.parquet"), place.path("a.parquet")).unwrap();
    for manifest in ["a.tsv", "a.jsonl", "a.parquet"] {
        assert_eq!(counts(&extract(&place, manifest).expect(0))[..3], [0, 6, 0], "{manifest}");
        let fit =
            place.run(&["fit-head", "--store", "store", "--out", "a.head", "--validation", "0", "--json"]);
        assert_eq!(fit.expect(0).json()["labels"], serde_json::json!(["blue", "green", "red"]), "{manifest}");
    }
    let list = names.join("\n");
    let ran =
        place.run_with_input(&["extract", "-", "--store", "store", "--json"], list.as_bytes()).expect(0);
    assert_eq!(counts(&ran)[..3], [0, 6, 0]);
    let list = names.join("\0");
    let ran =
        place.run_with_input(&["extract", "-", "--store", "store", "--json"], list.as_bytes()).expect(0);
    assert_eq!(counts(&ran)[..3], [0, 6, 0]);
}

#[test]
fn manifests_that_do_not_read_are_refused_with_row_and_column() {
    let place = Place::new();
    let cases = [
        ("a.csv", "where,label\nx.png,1\n", "has no column `path`; its columns are: where, label"),
        ("b.csv", "path,label\n,1\n,2\n", "no row of b.csv can be used: line 2 of b.csv has no `path`"),
        ("c.jsonl", "{]\n", "no row of c.jsonl can be used: line 1 of c.jsonl is no JSON object"),
        ("d.parquet", "PAR1", "d.parquet is no Parquet file"),
        ("e.xlsx", "", "expected .csv, .tsv, .jsonl, .ndjson or .parquet"),
    ];
    let n_cases = cases.len();
    for (name, text, expected) in cases {
        fs::write(place.path(name), text).unwrap();
        let ran = extract(&place, name).expect(2);
        assert!(ran.stderr.contains(expected), "{name}: {}", ran.stderr);
    }
    assert_eq!(n_cases, 5);
    // A column that the user names must be there, in Parquet too.
    place.photos(1);
    extract(&place, "photos").expect(0);
    fs::copy(place.path("store/samples/whole.parquet"), place.path("f.parquet")).unwrap();
    let ran = place.run(&["extract", "f.parquet", "--store", "g", "--label-columns", "labell"]).expect(2);
    assert!(ran.stderr.contains("has no column `labell`; its columns are: path, label"), "{}", ran.stderr);
    assert!(extract(&place, "nowhere").expect(2).stderr.contains("no dataset at nowhere"));
    fs::create_dir(place.path("empty")).unwrap();
    assert!(extract(&place, "empty").expect(2).stderr.contains("no pictures in empty"));
}

#[test]
fn hidden_folders_are_no_classes_and_a_folder_beside_the_splits_is_refused() {
    let place = Place::new();
    place.photos(1);
    place.picture("photos/.thumbnails/a.png", [9; 3], 9);
    let ran = extract(&place, "photos").expect(0);
    assert_eq!(counts(&ran)[..3], [3, 0, 0]);
    assert!(ran.stderr.contains("3 pictures, 3 classes (blue, green, red)"), "{}", ran.stderr);
    place.picture("split/train/a/1.png", [1; 3], 1);
    place.picture("split/val/a/2.png", [2; 3], 2);
    let ran = extract(&place, "split").expect(0);
    assert!(ran.stderr.contains("2 pictures, splits train, val; 1 class (a)"), "{}", ran.stderr);
    place.picture("split/extra/3.png", [3; 3], 3);
    let ran = extract(&place, "split").expect(2);
    assert!(ran.stderr.contains("the splits train, val and beside them the folder extra"), "{}", ran.stderr);
    // One such name among classes is a class.
    place.picture("vehicles/train/1.png", [1; 3], 1);
    place.picture("vehicles/car/2.png", [2; 3], 2);
    let ran = extract(&place, "vehicles").expect(0);
    assert!(ran.stderr.contains("2 classes (car, train)"), "{}", ran.stderr);
}

/// What a head was fitted on is not what it is judged by, whatever is added to the dataset later; and
/// equal files are one sample to a split.
#[test]
fn a_head_is_not_judged_by_what_it_was_fitted_on() {
    let place = Place::new();
    place.photos(10);
    for index in 0..10 {
        let from = place.path(&format!("photos/red/{index}.png"));
        fs::copy(from, place.path(&format!("photos/red/copy-{index}.png"))).unwrap();
    }
    extract(&place, "photos").expect(0);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--json"]).expect(0).json();
    let held_out = fit["validation"]["n_samples"].as_u64().unwrap();
    let eval = |split: &[&str]| {
        let arguments = [&["eval", "--store", "store", "--head", "a.head", "--json"], split].concat();
        place.run(&arguments).expect(0).json()
    };
    let of = |json: &serde_json::Value| {
        (json["n_samples"].as_u64().unwrap(), json["n_trained_on"].as_u64().unwrap(), json["split"].clone())
    };
    assert_eq!(of(&eval(&[])), (held_out, 0, "val".into()));
    assert_eq!(of(&eval(&["--split", "train"])), (40 - held_out, 40 - held_out, "train".into()));
    // New pictures that come first in the listing: they were not trained on.
    (0..5).for_each(|it| place.picture(&format!("photos/blue/!{it}.png"), [30, 30, 190], 50 + it));
    extract(&place, "photos").expect(0);
    assert_eq!(of(&eval(&[])), (held_out + 5, 0, "val".into()));
    // Nothing held out: nothing to judge by, unless asked.
    place.run(&["fit-head", "--store", "store", "--out", "a.head", "--validation", "0"]).expect(0);
    let ran = place.run(&["eval", "--store", "store", "--head", "a.head"]).expect(2);
    assert!(ran.stderr.contains("was held out"), "{}", ran.stderr);
    assert_eq!(of(&eval(&["--split", "all"])), (45, 45, "all".into()));
}

#[cfg(unix)]
#[test]
fn odd_names_and_odd_entries_cost_only_themselves() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.photos(1);
    let source = place.path("photos/red/0.png");
    let name = std::ffi::OsStr::from_bytes(b"not-utf8-\xff.png");
    fs::copy(&source, place.path("photos/red").join(name)).unwrap();
    fs::copy(&source, place.path("photos/red").join(format!("{}.png", "n".repeat(250)))).unwrap();
    fs::copy(&source, place.path("photos/red/new\nline.png")).unwrap();
    fs::create_dir(place.path("photos/red/folder.jpg")).unwrap();
    for (link, to) in
        [("loop", ".."), ("self.png", "self.png"), ("a.png", "b.png"), ("b.png", "a.png"), ("gone.png", "x")]
    {
        std::os::unix::fs::symlink(to, place.path(&format!("photos/red/{link}"))).unwrap();
    }
    let fifo = std::process::Command::new("mkfifo").arg(place.path("photos/red/pipe.png")).status().unwrap();
    assert!(fifo.success());
    let ran = extract(&place, "photos").expect(1);
    assert_eq!(counts(&ran)[..3], [3, 3, 6]);
    let failures = lines(&place.path("store/failures.jsonl"));
    let reason = |path: &str| failures.iter().find(|it| it["path"] == path).expect(path)["reason"].clone();
    assert_eq!(reason("red/pipe.png"), "is no regular file");
    assert!(reason("red/loop").as_str().unwrap().starts_with("is a link back to "));
    for link in ["self.png", "a.png", "b.png", "gone.png"] {
        let reason = reason(&format!("red/{link}"));
        assert!(reason.as_str().unwrap().starts_with("cannot be read: "), "{link}: {reason}");
    }
}

#[test]
fn manifests_are_read_as_people_write_them() {
    let place = Place::new();
    place.photos(1);
    place.picture("photos/odd /x.png", [1, 2, 3], 9);
    settle();
    let rows = "path, label, split\nphotos/red/0.png, ants ,train\n photos/blue/0.png ,ants,train\nphotos/odd /x.png,bees,\n";
    fs::write(place.path("a.csv"), rows).unwrap();
    assert_eq!(counts(&extract(&place, "a.csv").expect(0))[..3], [3, 0, 0]);
    let fit = place.run(&["fit-head", "--store", "store", "--out", "a.head", "--validation", "0", "--json"]);
    assert_eq!(fit.expect(0).json()["labels"], serde_json::json!(["ants", "bees"]));
    // A byte order mark, and a first row without a label.
    let rows =
        "\u{feff}{\"path\": \"photos/red/0.png\"}\n{\"path\": \"photos/blue/0.png\", \"species\": \"b\"}\n";
    fs::write(place.path("b.jsonl"), rows).unwrap();
    let run = ["extract", "b.jsonl", "--store", "store", "--label-columns", "species", "--json"];
    assert_eq!(counts(&place.run(&run).expect(0))[..3], [0, 2, 0]);
}

#[cfg(unix)]
#[test]
fn different_names_stay_different() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    place.picture("photos/a/0.png", [9; 3], 1);
    for (name, seed) in [(&b"\xff.png"[..], 2), (&b"\\xff.png"[..], 3), (&b"\\x5cxff.png"[..], 4)] {
        place.picture("photos/made.png", [9; 3], seed);
        let to = place.path("photos/a").join(std::ffi::OsStr::from_bytes(name));
        fs::rename(place.path("photos/made.png"), to).unwrap();
    }
    settle();
    extract(&place, "photos").expect(0);
    let store = headstart_store::Store::open(&place.path("store")).unwrap();
    let paths: std::collections::BTreeSet<String> =
        store.samples().unwrap().samples.into_iter().map(|it| it.path).collect();
    assert_eq!(paths.len(), 4, "{paths:?}");
}
