//! A run that is killed at any instant, and what it costs.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use headstart_store::{Digest, Store};

use crate::program::{Place, counts, has_begun, leftovers, lines, settle};

const N_PICTURES: u32 = 1000;
const N_BROKEN: usize = 50;
const N_KILLS: u32 = 100;
const N_SHARDS: u64 = 3;

/// Every row by digest, and every sample: what two equal stores have in common.
fn content(place: &Place, store: &str) -> (BTreeMap<Digest, Vec<u32>>, Vec<String>) {
    let store = Store::open(&place.path(store)).expect("the store reads");
    let mut rows = BTreeMap::new();
    for batch in store.batches().expect("the store reads") {
        let batch = batch.expect("the store reads");
        for (digest, row) in batch.digests.iter().zip(batch.rows.chunks_exact(store.space().n_features)) {
            let bits = row.iter().map(|it| it.to_bits()).collect();
            assert!(rows.insert(*digest, bits).is_none(), "a row is there twice");
        }
    }
    let samples = store.samples().expect("the store reads").samples.into_iter();
    (rows, samples.map(|it| format!("{} {:?} {}", it.path, it.label, it.digest)).collect())
}

/// SplitMix64: the instants are random but the same in every test run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Pictures, more than the program embeds in a moment, and some that are none.
fn pictures(place: &Place) {
    for index in 0..N_PICTURES {
        let colour = [(index % 200).to_le_bytes()[0], (index / 200 * 40).to_le_bytes()[0], 90];
        place.picture(&format!("photos/{}/{index}.png", ["a", "b"][index as usize % 2]), colour, index);
    }
    // What a run writes at its end is more than samples.
    for index in 0..N_BROKEN {
        std::fs::write(place.path(&format!("photos/a/broken-{index}.png")), "no picture")
            .expect("it is written");
    }
    settle();
}

/// Rows depend on their batch by float noise at most; one by one they are equal bit for bit.
fn arguments(store: &'static str) -> [&'static str; 7] {
    ["extract", "photos", "--store", store, "--batch-size", "1", "--json"]
}

/// Starts the program, kills it within `duration` ms, and says whether it ended before that.
fn kill(place: &Place, arguments: &[&str], duration: u64, seed: &mut u64) -> bool {
    let mut command = place.command(arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    std::thread::sleep(Duration::from_millis(next(seed) % duration));
    child.kill().expect("killed, or gone already");
    child.wait().expect("it ended").code().is_some()
}

/// Milliseconds of an undisturbed run: kills are spread over all of it, however slow the machine is.
fn undisturbed(place: &Place) -> u64 {
    let start = Instant::now();
    place.run(&arguments("calm")).expect(1);
    u64::try_from(start.elapsed().as_millis()).expect("it is short").max(1)
}

#[test]
fn a_run_killed_a_hundred_times_ends_with_the_store_of_an_undisturbed_one() {
    let place = Place::new();
    pictures(&place);
    let duration = undisturbed(&place);
    let expected = content(&place, "calm");
    assert_eq!((expected.0.len(), expected.1.len()), (N_PICTURES as usize, N_PICTURES as usize));
    let mut seed = 1;
    let (mut n_kills, mut n_finished, mut n_recovered_runs) = (0, 0, 0);
    while n_kills < N_KILLS {
        if kill(&place, &arguments("killed"), duration, &mut seed) {
            n_finished += 1;
            assert_eq!(content(&place, "killed"), expected);
            std::fs::remove_dir_all(place.path("killed")).unwrap();
        } else {
            n_kills += 1;
            n_recovered_runs += u32::from(place.path("killed/embeddings/journal-whole.bin").exists());
        }
    }
    let last = place.run(&arguments("killed")).expect(1);
    assert_eq!(counts(&last)[2], N_BROKEN as u64);
    assert_eq!(lines(&place.path("killed/failures.jsonl")), lines(&place.path("calm/failures.jsonl")));
    assert!(content(&place, "killed") == expected, "the store differs from that of an undisturbed run");
    assert_eq!(leftovers(&place, "killed"), [""; 0]);
    assert!(n_recovered_runs > 10, "only {n_recovered_runs} kills hit a run at work ({n_finished} finished)");
}

/// Three shards at once, each killed again and again, its journal taken over by whoever begins next.
#[test]
fn shards_killed_beside_each_other_end_with_the_store_of_an_undisturbed_run() {
    let place = &Place::new();
    pictures(place);
    place.run(&arguments("calm")).expect(1);
    let expected = content(place, "calm");
    std::thread::scope(|scope| {
        for index in 1..=N_SHARDS {
            scope.spawn(move || {
                let shard = format!("{index}/{N_SHARDS}");
                let arguments = [&arguments("killed")[..], &["--shard", &shard, "--workers", "1"]].concat();
                let (mut seed, mut n_kills) = (index, 0);
                for _ in 0..8 {
                    let mut command = place.command(&arguments);
                    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
                    let mut child = child.expect("the program starts");
                    // At work, or at its end; the next one has less to do.
                    has_begun(&mut child, &place.path("killed"), &format!("shard-{index:05}"));
                    std::thread::sleep(Duration::from_millis(next(&mut seed) % 40));
                    child.kill().expect("killed, or gone already");
                    n_kills += u32::from(child.wait().expect("it ended").code().is_none());
                }
                assert!(n_kills > 0, "shard {shard} was never killed at work");
                let last = place.run(&arguments);
                assert!(last.code < 2, "{}", last.stderr);
            });
        }
    });
    assert!(content(place, "killed") == expected, "the store differs from that of an undisturbed run");
    assert_eq!(leftovers(place, "killed"), [""; 0]);
}
