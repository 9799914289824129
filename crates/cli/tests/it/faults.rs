//! A file system that refuses, and files that change under a run.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use headstart_store::{Run, Store};

use crate::program::{Place, counts, extract, lines, settle};

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
    drop(running);
    extract(&place, "photos").expect(0);
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
    // Both before it has read them and after, as it happens.
    for index in (0..60).rev() {
        if index % 2 == 0 {
            fs::remove_file(file(index)).unwrap();
        } else {
            let mut growing = fs::OpenOptions::new().append(true).open(file(index)).unwrap();
            growing.write_all(&[0; 1000]).unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut stdout = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut stdout).unwrap();
    let code = child.wait().unwrap().code().unwrap();
    let result: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
    let [n_embedded, n_cached, n_failed] =
        ["n_embedded", "n_cached", "n_failed"].map(|it| result[it].as_u64().unwrap());
    assert_eq!(code, i32::from(n_failed > 0));
    // Those that were gone before the folder was listed are none of these; equal pictures are cached.
    let n_told = n_embedded + n_cached + n_failed;
    assert!((150..=180).contains(&n_told), "{n_embedded} + {n_cached} + {n_failed}");
    if n_failed > 0 {
        let failures = lines(&place.path("store/failures.jsonl"));
        assert!(failures.iter().all(|it| it["path"].as_str().unwrap().starts_with("red/")), "{failures:?}");
    }
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
