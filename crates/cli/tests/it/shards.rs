//! A dataset embedded in parts.

use std::process::Stdio;

use headstart_store::Store;

use crate::program::{Place, counts, extract, has_begun, settle};

/// Pictures of each class: a shard of them takes long enough to be killed.
const N_EACH: u32 = 60;

/// Samples and rows of a store, as text.
fn content(place: &Place, store: &str) -> Vec<String> {
    let store = Store::open(&place.path(store)).expect("the store reads");
    let samples = store.samples().expect("the store reads").samples;
    let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
    let rows = store.load(&digests).expect("the store reads").values;
    let rows = rows.chunks_exact(store.space().n_features);
    samples.iter().zip(rows).map(|(it, row)| format!("{} {:?} {row:?}", it.path, it.label)).collect()
}

#[test]
fn shards_in_any_order_at_once_repeated_or_killed_give_the_store_of_a_single_run() {
    let place = Place::new();
    for (index, class) in (0..N_EACH).flat_map(|it| ["red", "green", "blue"].map(|class| (it, class))) {
        let colour = [class.as_bytes()[0], index.to_le_bytes()[0] * 4, 90];
        place.picture(&format!("photos/{class}/{index}.png"), colour, index);
    }
    // Two files of one content fall into different shards, sooner or later.
    for index in 0..6 {
        std::fs::copy(place.path("photos/red/0.png"), place.path(&format!("photos/red/copy-{index}.png")))
            .unwrap();
    }
    std::fs::write(place.path("photos/red/broken.png"), "no picture").unwrap();
    let shard = |it: &str| {
        place.command(&[
            "extract",
            "photos",
            "--store",
            "parts",
            "--batch-size",
            "1",
            "--workers",
            "1",
            "--shard",
            it,
        ])
    };
    let quiet = |it: &str| shard(it).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut killed = quiet("2/3");
    assert!(
        has_begun(&mut killed, &place.path("parts"), "shard-00002"),
        "it ended before it could be killed"
    );
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success(), "it ended before it could be killed");
    let mut at_once = [quiet("3/3"), quiet("1/3")];
    let codes = at_once.each_mut().map(|it| it.wait().unwrap().code().unwrap());
    // What is there is not the dataset, and nothing is made of it; one is still missing.
    let ran = place.run(&["fit-head", "--store", "parts", "--out", "head"]).expect(2);
    assert!(ran.stderr.contains(": 2/3\n"), "{}", ran.stderr);
    let last = shard("2/3").output().unwrap();
    let said = String::from_utf8(last.stderr).unwrap();
    assert!(!said.contains("missing"), "{said}");
    let last = last.status.code().unwrap();
    let repeated = place.run(&["extract", "photos", "--store", "parts", "--shard", "1/3", "--json"]);
    assert_eq!(repeated.json()["n_missing_shards"], 0);
    place.run(&["fit-head", "--store", "parts", "--out", "head"]).expect(0);
    let mut codes = [codes[0], codes[1], last];
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 1], "the broken file is in one shard");
    let whole =
        place.run(&["extract", "photos", "--store", "store", "--batch-size", "1", "--json"]).expect(1);
    assert_eq!(counts(&whole)[0], 3 * u64::from(N_EACH));
    let expected = content(&place, "store");
    assert_eq!(expected.len(), 3 * N_EACH as usize + 6);
    assert_eq!(content(&place, "parts"), expected);
    let lists: Vec<_> = std::fs::read_dir(place.path("parts"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|it| it.starts_with("failures-shard-"))
        .collect();
    assert_eq!(lists.len(), 1, "{lists:?}");
    // A whole run finds everything there.
    let again = place.run(&["extract", "photos", "--store", "parts", "--json"]).expect(1);
    let n_samples = expected.len() as u64;
    assert_eq!(counts(&again), [0, n_samples, 1, n_samples]);
}

/// Shards come together by what they are shards of: folder, files, labels. The store lists one dataset or
/// the other, whole.
#[test]
fn shards_of_different_datasets_never_mix() {
    let place = Place::new();
    place.photos(4);
    // Equal names, equal labels, other pictures, in another folder.
    for index in 0..4 {
        for class in ["red", "green", "blue"] {
            place.picture(&format!("others/photos/{class}/{index}.png"), [90, 90, 90], 50 + index);
        }
    }
    settle();
    let listed = || content(&place, "store");
    let shard = |dataset: &str, it: &str| {
        place.run(&["extract", dataset, "--store", "store", "--shard", it, "--json"]).expect(0)
    };
    let photos = {
        shard("photos", "1/2");
        shard("photos", "2/2");
        listed()
    };
    let ran = shard("others/photos", "2/2");
    assert!(ran.stderr.contains("shards still missing: 1/2; until they are there"), "{}", ran.stderr);
    assert_eq!(ran.json()["n_missing_shards"], 1);
    assert_eq!(listed(), photos);
    let ran = place.run(&["fit-head", "--store", "store", "--out", "head"]).expect(0);
    assert!(
        ran.stderr.contains("a newer dataset in the making, which is not used; shards are missing of "),
        "{}",
        ran.stderr
    );
    let ran = shard("others/photos", "1/2");
    assert!(ran.stderr.contains("the store listed 12 samples of "), "{}", ran.stderr);
    assert_ne!(listed(), photos);
    // A picture came in between: what each machine saw is not one dataset.
    shard("photos", "1/2");
    place.picture("photos/red/new.png", [200, 40, 40], 99);
    settle();
    let others = listed();
    let ran = shard("photos", "2/2");
    assert!(ran.stderr.contains("shards still missing: 1/2"), "{}", ran.stderr);
    assert!(ran.stderr.contains("shards of other listings are here too (1)"), "{}", ran.stderr);
    assert_eq!(listed(), others);
    let ran = shard("photos", "1/2");
    assert_eq!(counts(&ran)[2..], [0, ran.json()["n_cached"].as_u64().unwrap()], "nothing is read again");
    assert_eq!(content(&place, "store").len(), 13);
    // A whole run's listing stays until another one is complete.
    place.run(&["extract", "others/photos", "--store", "store"]).expect(0);
    shard("photos", "1/3");
    assert_eq!(listed(), others);
}

#[test]
fn a_shard_that_is_none_is_refused() {
    let place = Place::new();
    place.photos(1);
    for shard in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", "1/99999999999"] {
        let shard = format!("--shard={shard}");
        let ran = place.run(&["extract", "photos", "--store", "store", &shard]).expect(2);
        assert!(ran.stderr.contains("expected I/N"), "{shard}: {}", ran.stderr);
    }
    extract(&place, "photos").expect(0);
}
