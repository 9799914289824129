//! A file system that refuses, and files that change under a run.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use headstart_store::{Run, Store};

use crate::program::{Place, counts, extract, has_begun, leftovers, lines, settle};

/// Writes fail from a certain size on, as on a full disk: the run stops and says so, what it had is kept,
/// and the next one goes on from there.
#[test]
fn a_full_disk_stops_the_run_and_loses_nothing_that_was_written() {
    let place = Place::new();
    place.photos(20);
    let program = env!("CARGO_BIN_EXE_headstart");
    // Without the trap the system would kill the program instead of refusing the write.
    let script = format!(
        "trap '' XFSZ; ulimit -f 60; exec '{program}' extract photos --store store --batch-size 1 --workers 1"
    );
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &script]).current_dir(place.folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot write") && said.contains("journal"), "{said}");
    let [n_embedded, n_cached, n_failed, _] = counts(&extract(&place, "photos").expect(0));
    assert_eq!((n_embedded + n_cached, n_failed), (60, 0));
    assert!(n_cached > 0 && n_embedded > 0, "{n_cached} were kept, {n_embedded} were left");
}

/// The same at each file that a run writes at its end: part, list of failures, samples.
#[test]
fn a_full_disk_at_the_end_of_a_run_leaves_the_store_as_it_was() {
    let place = Place::new();
    place.photos(20);
    let limited = |blocks: u32| {
        let program = env!("CARGO_BIN_EXE_headstart");
        let run = "extract photos --store store --batch-size 1 --workers 1";
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{program}' {run}");
        let output = Command::new("sh").args(["-c", &script]).current_dir(place.folder.path()).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    let samples = || Store::open(&place.path("store")).unwrap().samples().unwrap().samples.len();
    // The rows of a run that was cut off, and no room to make a part of them.
    assert!(limited(60).contains("journal"));
    let said = limited(8);
    assert!(said.contains("embeddings/.whole.tmp"), "{said}");
    assert_eq!(samples(), 0);
    let [n_embedded, n_cached, ..] = counts(&extract(&place, "photos").expect(0));
    assert!(n_cached > 0 && n_embedded + n_cached == 60, "{n_embedded}, {n_cached}");
    assert_eq!(samples(), 60);
    // A list of failures of 20 kB, samples of less.
    for index in 0..100 {
        fs::write(place.path(&format!("photos/red/{}-{index}.png", "broken".repeat(30))), "none").unwrap();
    }
    let said = limited(30);
    assert!(said.contains("store/.whole.tmp") && !place.path("store/failures.jsonl").exists(), "{said}");
    fs::rename(place.path("photos/red"), place.path("photos/crimson")).unwrap();
    let said = limited(1);
    assert!(said.contains("store/.whole.tmp"), "{said}");
    for index in 0..100 {
        fs::remove_file(place.path(&format!("photos/crimson/{}-{index}.png", "broken".repeat(30)))).unwrap();
    }
    let said = limited(1);
    assert!(said.contains("samples/.whole.tmp") || said.contains("samples/whole.parquet"), "{said}");
    assert_eq!(samples(), 60);
    settle();
    assert_eq!(counts(&extract(&place, "photos").expect(0))[..3], [0, 60, 0]);
    let store = Store::open(&place.path("store")).unwrap();
    assert!(store.samples().unwrap().samples.iter().all(|it| !it.path.starts_with("red")));
    assert_eq!(leftovers(&place, "store"), [""; 0]);
}

/// Nothing can be written any more: what is there can be used.
#[test]
fn a_store_that_became_read_only_can_be_read() {
    let place = Place::new();
    place.photos(2);
    extract(&place, "photos").expect(0);
    let folders = ["store", "store/embeddings", "store/samples", "store/locks", "photos", "photos/red"];
    let chmod = |mode: &str| {
        for folder in folders {
            for entry in fs::read_dir(place.path(folder)).unwrap().map(|it| it.unwrap().path()) {
                assert!(Command::new("chmod").arg(mode).arg(entry).status().unwrap().success());
            }
            assert!(Command::new("chmod").arg(mode).arg(place.path(folder)).status().unwrap().success());
        }
    };
    // Root may write anywhere: without that right it is anybody.
    let run = |arguments: &[&str]| {
        let is_root =
            fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        }
        command.arg(env!("CARGO_BIN_EXE_headstart")).args(arguments).current_dir(place.folder.path());
        let output = command.output().expect("it starts; root needs setpriv of util-linux");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    // Nothing of a dataset can be looked at: that is no empty dataset.
    assert!(Command::new("chmod").arg("000").arg(place.path("photos")).status().unwrap().success());
    for more in [&[][..], &["--shard", "1/1"]] {
        let (code, said) = run(&[&["extract", "photos", "--store", "store"], more].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("cannot read photos"), "{said}");
    }
    assert!(Command::new("chmod").arg("755").arg(place.path("photos")).status().unwrap().success());
    assert_eq!(Store::open(&place.path("store")).unwrap().samples().unwrap().samples.len(), 6);
    chmod("a-w");
    let refused = run(&["extract", "photos", "--store", "store"]);
    let read = run(&["fit-head", "--store", "store", "--out", "head"]);
    let no_place = run(&["fit-head", "--store", "store", "--out", "store/head"]);
    let elsewhere = run(&["extract", "photos", "--store", "new"]);
    chmod("u+w");
    assert_eq!(refused.0, Some(2), "{}", refused.1);
    assert!(refused.1.contains("cannot write store/locks/") && refused.1.contains("denied"), "{}", refused.1);
    assert_eq!(read.0, Some(0), "{}", read.1);
    assert_eq!(no_place.0, Some(2), "{}", no_place.1);
    assert!(
        no_place.1.contains("cannot write store/head") && !no_place.1.contains("certificate"),
        "{}",
        no_place.1
    );
    assert_eq!(elsewhere.0, Some(0), "{}", elsewhere.1);
}

#[test]
fn a_store_where_nothing_can_be_written_is_an_error() {
    let place = Place::new();
    place.photos(1);
    // A file in the way, and a file system in which nobody can make folders, not even root.
    for store in ["photos/red/0.png/store", "/proc/self/store"] {
        let ran = place.run(&["extract", "photos", "--store", store]).expect(2);
        assert!(ran.stderr.contains(store), "{}", ran.stderr);
    }
}

/// While a run of a store goes on, another one is refused at once; it may come after.
#[test]
fn two_runs_on_one_store_do_not_mix() {
    let place = Place::new();
    place.photos(2);
    extract(&place, "photos").expect(0);
    let running = Store::open(&place.path("store")).unwrap().writer(Run::Whole).unwrap();
    let ran = extract(&place, "photos").expect(2);
    assert!(ran.stderr.contains("another run is writing to"), "{}", ran.stderr);
    // Readers do not mind.
    place.run(&["fit-head", "--store", "store", "--out", "head"]).expect(0);
    // Nor a shard beside it; and two programs are as two runs.
    let shard = ["extract", "photos", "--store", "store", "--shard", "1/2"];
    assert!(place.run(&shard).expect(2).stderr.contains("another run is writing to"));
    drop(running);
    place.photos(60);
    let arguments = ["extract", "photos", "--store", "store", "--workers", "1", "--batch-size", "1"];
    let mut first = place.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
    assert!(has_begun(&mut first, &place.path("store"), "whole"), "it ended before the other began");
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &first.id().to_string()]).status();
        assert!(status.unwrap().success());
    };
    signal("-STOP");
    let second = extract(&place, "photos");
    signal("-CONT");
    let second = second.expect(2);
    assert!(second.stderr.contains("another run is writing to"), "{}", second.stderr);
    assert!(first.wait().unwrap().success());
    assert_eq!(counts(&extract(&place, "photos").expect(0)), [0, 180, 0, 180]);
}

/// Every picture is embedded or listed with a reason, whatever happened to it meanwhile; what is left is
/// complete after the next run.
#[test]
fn files_that_vanish_or_grow_during_a_run_cost_only_themselves() {
    let place = Place::new();
    place.photos(60);
    let file = |index: u32| place.path(&format!("photos/red/{index}.png"));
    let arguments =
        ["extract", "photos", "--store", "store", "--workers", "1", "--batch-size", "1", "--json"];
    let mut child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    assert!(
        has_begun(&mut child, &place.path("store"), "whole"),
        "it ended before anything could happen to it"
    );
    // The last ones before it has read them, the others as it happens.
    for index in (0..60).rev() {
        if index % 2 == 0 {
            fs::remove_file(file(index)).unwrap();
        } else {
            let mut growing = fs::OpenOptions::new().append(true).open(file(index)).unwrap();
            growing.write_all(&[0; 1000]).unwrap();
        }
        if index < 30 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let mut stdout = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut stdout).unwrap();
    let code = child.wait().unwrap().code().unwrap();
    let result: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    let [n_embedded, n_cached, n_failed] =
        ["n_embedded", "n_cached", "n_failed"].map(|it| result[it].as_u64().unwrap());
    assert_eq!(code, 1);
    assert_eq!(n_embedded + n_cached + n_failed, 180);
    assert!((1..=30).contains(&n_failed), "{n_failed}");
    let failures = lines(&place.path("store/failures.jsonl"));
    assert_eq!(failures.len() as u64, n_failed);
    assert!(failures.iter().all(|it| it["path"].as_str().unwrap().starts_with("red/")), "{failures:?}");
    settle();
    let again = extract(&place, "photos").expect(0);
    assert_eq!(counts(&again)[2], 0);
    assert_eq!(Store::open(&place.path("store")).unwrap().samples().unwrap().samples.len(), 150);
}

#[test]
fn names_as_long_as_the_system_allows_are_names() {
    let place = Place::new();
    let folder = (0..8).fold("photos".to_owned(), |path, index| path + "/" + &format!("{index}").repeat(250));
    for index in 0..3 {
        place.picture(&format!("{folder}/{}{index}.png", "ü".repeat(120)), [40, 90, 90], index);
    }
    settle();
    let ran = extract(&place, "photos").expect(0);
    assert_eq!(counts(&ran)[0], 3);
    assert_eq!(counts(&extract(&place, "photos").expect(0))[3], 3);
}

/// What is written takes the place of what is there: a device or a pipe would be gone.
#[test]
fn nothing_but_a_file_is_written_over() {
    let place = Place::new();
    place.photos(2);
    extract(&place, "photos").expect(0);
    assert!(Command::new("mkfifo").arg(place.path("pipe.onnx")).status().unwrap().success());
    place.run(&["fit-head", "--store", "store", "--out", "head"]).expect(0);
    let writers: [&[&str]; 3] = [
        &["fit-head", "--store", "store"],
        &["export", "--head", "head"],
        &["models", "quantize", "--dataset", "photos"],
    ];
    for writer in writers {
        let ran = place.run(&[writer, &["--out", "pipe.onnx"]].concat()).expect(2);
        assert!(ran.stderr.contains("pipe.onnx is no regular file"), "{}", ran.stderr);
        let ran = place.run(&[writer, &["--out", "photos"]].concat()).expect(2);
        assert!(ran.stderr.contains("photos is a folder"), "{}", ran.stderr);
    }
    let kind = fs::symlink_metadata(place.path("pipe.onnx")).unwrap().file_type();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&kind));
    // Nor is one waited for where a picture is expected.
    fs::rename(place.path("pipe.onnx"), place.path("pipe.jpg")).unwrap();
    let ran =
        place.run_with_input(&["models", "quantize", "--dataset", "-", "--out", "m.onnx"], b"pipe.jpg\n");
    let said = ran.expect(2).stderr;
    assert!(said.contains("none of the 1 pictures can be read"), "{said}");
}

#[test]
fn names_do_not_write_to_the_terminal() {
    let place = Place::new();
    place.photos(1);
    fs::write(place.path("photos/red/\u{1b}[31m\nred.jpg"), "none").unwrap();
    let ran = extract(&place, "photos").expect(1);
    assert!(ran.stderr.contains("red/\\u{1b}[31m\\nred.jpg "), "{}", ran.stderr);
}
