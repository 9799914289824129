//! A dataset embedded in parts.

use std::process::Stdio;

use headstart_store::Store;

use crate::program::{Place, counts, extract};

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
    place.photos(20);
    // Two files of one content fall into different shards, sooner or later.
    for index in 0..6 {
        std::fs::copy(place.path("photos/red/0.png"), place.path(&format!("photos/red/copy-{index}.png")))
            .unwrap();
    }
    std::fs::write(place.path("photos/red/broken.png"), "no picture").unwrap();
    let shard = |it: &str| {
        place.command(&["extract", "photos", "--store", "parts", "--batch-size", "1", "--shard", it])
    };
    let quiet = |it: &str| shard(it).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut killed = quiet("2/3");
    std::thread::sleep(std::time::Duration::from_millis(60));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut at_once = [quiet("3/3"), quiet("1/3")];
    let codes = at_once.each_mut().map(|it| it.wait().unwrap().code().unwrap());
    let last = shard("2/3").output().unwrap().status.code().unwrap();
    assert!(shard("1/3").output().unwrap().status.code().is_some());
    let mut codes = [codes[0], codes[1], last];
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 1], "the broken file is in one shard");
    let whole =
        place.run(&["extract", "photos", "--store", "store", "--batch-size", "1", "--json"]).expect(1);
    assert_eq!(counts(&whole)[0], 60);
    let expected = content(&place, "store");
    assert_eq!(expected.len(), 66);
    assert_eq!(content(&place, "parts"), expected);
    let lists: Vec<_> = std::fs::read_dir(place.path("parts"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|it| it.starts_with("failures-shard-"))
        .collect();
    assert_eq!(lists.len(), 1, "{lists:?}");
    // A whole run finds everything there.
    let again = place.run(&["extract", "photos", "--store", "parts", "--json"]).expect(1);
    assert_eq!(counts(&again), [0, 66, 1, 66]);
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
