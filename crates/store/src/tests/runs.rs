//! Runs beside and after each other: which may be, and what each leaves behind.

use std::fs;

use super::{Folder, digest, failure, files, row, sample, shard, space, table, write};
use crate::{Digest, EmbeddingSpace, Failure, Run, Store, StoreError};

#[test]
fn temporary_files_of_killed_runs_go_and_those_of_running_ones_stay() {
    let folder = Folder::new("temporary");
    let store = Store::create(&folder.0, &space()).unwrap();
    let running = store.writer(shard(1, 4)).unwrap();
    let of_running = folder.0.join(format!("embeddings/.{}.tmp", shard(1, 4)));
    let of_killed = format!("samples/.{}.tmp", shard(3, 4));
    let orphans = ["embeddings/.whole.tmp", ".whole.tmp", &of_killed, ".manifest-1.tmp"];
    let orphans = orphans.map(|it| folder.0.join(it));
    let lock = folder.0.join(format!("locks/{}.lock", shard(3, 4)));
    fs::write(&of_running, b"half").unwrap();
    orphans.iter().chain([&lock]).for_each(|it| fs::write(it, b"half").unwrap());
    drop(store.writer(shard(2, 4)).unwrap());
    assert!(of_running.exists());
    assert!(orphans.iter().all(|it| !it.exists()), "{:?}", files(&folder.0));
    assert!(!lock.exists());
    assert!(matches!(store.writer(shard(1, 4)).unwrap_err(), StoreError::Locked { .. }));
    drop(running);
    store.writer(shard(1, 4)).unwrap();
}

#[test]
fn two_runs_of_one_name_exclude_each_other() {
    let folder = Folder::new("locked");
    let store = Store::create(&folder.0, &space()).unwrap();
    let first = store.writer(Run::Whole).unwrap();
    let err = store.writer(Run::Whole).unwrap_err();
    assert!(matches!(err, StoreError::Locked { .. }));
    assert!(err.to_string().starts_with("another run is writing to "), "{err}");
    // A shard would write what the whole run writes.
    assert!(matches!(store.writer(shard(0, 2)).unwrap_err(), StoreError::Locked { .. }));
    drop(first);
    let shards = [0, 1].map(|it| store.writer(shard(it, 2)).unwrap());
    assert!(matches!(store.writer(Run::Whole).unwrap_err(), StoreError::Locked { .. }));
    drop(shards);
    store.writer(Run::Whole).unwrap();
}

#[test]
fn shards_in_any_order_repeated_or_not_give_the_store_of_a_single_run() {
    let (single, sharded) = (Folder::new("single"), Folder::new("sharded"));
    let one = Store::create(&single.0, &space()).unwrap();
    write(&one, Run::Whole, 0..9);
    let many = Store::create(&sharded.0, &space()).unwrap();
    let ranges = [0..3, 3..6, 6..9];
    for index in [2, 0, 2, 1, 0_u32] {
        write(&many, shard(index, 3), ranges[index as usize].clone());
    }
    assert_eq!(many.samples().unwrap(), one.samples().unwrap());
    let digests: Vec<Digest> = (0..9).map(digest).collect();
    assert_eq!(many.load(&digests).unwrap(), one.load(&digests).unwrap());
    // A whole run afterwards takes the place of the shards' samples.
    write(&many, Run::Whole, 0..2);
    assert_eq!(many.samples().unwrap().samples.len(), 2);
}

/// What a store lists is always one whole dataset: that of the last whole run, or of all shards of one
/// listing. A listing in the making changes nothing.
#[test]
fn a_listing_takes_the_place_of_the_last_one_when_all_of_it_is_there() {
    let folder = Folder::new("listings");
    let store = Store::create(&folder.0, &space()).unwrap();
    let n_samples = || store.samples().map(|it| it.samples.len()).map_err(|it| it.to_string());
    assert_eq!(n_samples(), Ok(0));
    write(&store, shard(0, 3), 0..3);
    write(&store, shard(2, 3), 6..9);
    let missing = "run those that are missing of /data: 2/3";
    assert!(n_samples().unwrap_err().ends_with(missing), "{:?}", n_samples());
    // A shard of another listing, or of another division, is none of these.
    let other = |index| Run::Shard { index, count: 3, listing: 1 };
    write(&store, shard(1, 8), 3..5);
    tick();
    write(&store, other(1), 3..5);
    let said = n_samples().unwrap_err();
    let latest = "missing of /data: 1/3, 3/3; there are shards of 3 listings, which do not mix";
    assert!(said.contains(latest), "{said}");
    write(&store, shard(1, 3), 3..6);
    assert_eq!(n_samples(), Ok(9));
    assert_eq!(store.sample_files().unwrap().len(), 5, "the others were begun later, and stay");
    // One shard of another listing, one more, and the last: only then it is the store's.
    for (index, expected) in [(2, 9), (1, 9), (1, 9), (0, 6)] {
        let range = index as usize * 2..index as usize * 2 + 2;
        write(&store, other(index), range);
        assert_eq!(n_samples(), Ok(expected), "after shard {index}");
    }
    // One that is in the making outlives repeats of the one that is complete, changed or not.
    tick();
    write(&store, shard(0, 3), 0..3);
    write(&store, shard(1, 3), 3..6);
    assert_eq!(store.unfinished().unwrap().unwrap().to_string(), "/data: 3/3");
    write(&store, other(1), 2..4);
    assert_eq!(n_samples(), Ok(6));
    tick();
    write(&store, other(0), 0..1);
    assert_eq!(n_samples(), Ok(5));
    assert_eq!(store.sample_files().unwrap().len(), 5);
    let finished = store.writer(shard(2, 3)).unwrap().finish(&table(vec![sample(6, "ant")]), &[]).unwrap();
    assert_eq!((finished.shards.n_missing(), finished.n_unfinished), (0, 0));
    assert_eq!((n_samples(), store.unfinished().unwrap()), (Ok(7), None));
    // A whole run after shards, a shard after a whole run.
    write(&store, Run::Whole, 0..8);
    assert_eq!(n_samples(), Ok(8));
    write(&store, shard(0, 2), 0..1);
    assert_eq!(n_samples(), Ok(8));
    // Killed before the others were removed: the later one counts.
    let late = store.samples_dir().join(format!("{}.parquet", shard(1, 2)));
    fs::copy(store.samples_dir().join(format!("{}.parquet", shard(0, 2))), &late).unwrap();
    fs::File::options().append(true).open(&late).unwrap().set_modified(a_minute_from_now()).unwrap();
    assert_eq!(n_samples(), Ok(2));
}

/// As long as the slowest clock of a file system needs to tell two files apart.
fn tick() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

fn a_minute_from_now() -> std::time::SystemTime {
    std::time::SystemTime::now() + std::time::Duration::from_mins(1)
}

#[test]
fn a_shard_that_is_none_is_refused() {
    let folder = Folder::new("no-shard");
    let store = Store::create(&folder.0, &space()).unwrap();
    for (index, count) in [(0, 0), (2, 2), (u32::MAX, 1)] {
        let err = store.writer(shard(index, count)).unwrap_err();
        assert!(matches!(err, StoreError::NoSuchShard { .. }), "{err}");
    }
    // Nor does asking what it would hold divide by nothing.
    assert!(shard(0, 0).contains("a"));
}

/// Any number a file's name may have, and no memory taken for it.
#[test]
fn names_of_samples_files_are_data() {
    let folder = Folder::new("names");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..2);
    let whole = store.samples_dir().join("whole.parquet");
    let huge = Run::Shard { index: 7, count: u32::MAX, listing: u64::MAX };
    let named = |name: &str| store.samples_dir().join(format!("{name}.parquet"));
    fs::rename(&whole, named(&huge.to_string())).unwrap();
    let said = store.samples().unwrap_err().to_string();
    assert!(
        said.ends_with(
            "1/4294967295, 2/4294967295, 3/4294967295, 4/4294967295, 5/4294967295 and 4294967289 more"
        ),
        "{said}"
    );
    // Names that are no run's belong to users and other programs: neither read nor removed.
    let theirs = ["shard-0-of-1-1", "shard-00003-of-00002-000000000000feed", "whole backup"].map(named);
    fs::rename(named(&huge.to_string()), &theirs[0]).unwrap();
    assert!(theirs[1..].iter().all(|it| fs::copy(&theirs[0], it).is_ok()));
    assert_eq!(store.samples().unwrap().samples.len(), 0);
    write(&store, Run::Whole, 0..3);
    assert_eq!(store.samples().unwrap().samples.len(), 3);
    assert!(theirs.iter().all(|it| it.exists()));
}

#[test]
fn failures_are_listed_by_run_and_go_with_their_listing() {
    let folder = Folder::new("failures");
    let store = Store::create(&folder.0, &space()).unwrap();
    let run = |run: Run, failures: &[Failure]| {
        store.writer(run).unwrap().finish(&table(Vec::new()), failures).unwrap().failures
    };
    let kept = ["failures-old.jsonl", "failures2.jsonl"].map(|it| folder.0.join(it));
    kept.iter().for_each(|it| fs::write(it, "{}").unwrap());
    let is_kept = |it: &String| kept.iter().any(|path| path.ends_with(it));
    let lists = || {
        files(&folder.0)
            .into_iter()
            .filter(|it| it.starts_with("failures") && !is_kept(it))
            .collect::<Vec<_>>()
    };
    let list = run(Run::Whole, &[failure("a\"b"), failure("c")]).unwrap();
    let text = fs::read_to_string(list).unwrap();
    assert_eq!(text, "{\"path\":\"a\\\"b\",\"reason\":\"broken\"}\n{\"path\":\"c\",\"reason\":\"broken\"}\n");
    let of_shard = |index| format!("failures-{}.jsonl", shard(index, 2));
    run(shard(1, 2), &[failure("d")]);
    assert_eq!(lists(), [of_shard(1), "failures.jsonl".to_owned()]);
    run(shard(0, 2), &[failure("e")]);
    assert_eq!(lists(), [of_shard(0), of_shard(1)]);
    assert_eq!(run(shard(1, 2), &[]), None);
    assert_eq!(lists(), [of_shard(0)]);
    run(Run::Whole, &[]);
    assert_eq!(lists(), [""; 0]);
    assert!(kept.iter().all(|it| it.exists()), "what users keep is theirs");
}

/// Runs begin, are killed and end while others do, one listing takes the place of another, and readers
/// read: nobody is refused or finds a gap.
#[test]
fn shards_begin_and_end_at_once_and_readers_never_mind() {
    const N: u32 = 4;
    const N_ROUNDS: usize = 24;
    let folder = Folder::new("at-once");
    let store = Store::create(&folder.0, &space()).unwrap();
    let of = |index: u32, round: usize| Run::Shard { index, count: N, listing: round as u64 / 4 % 2 };
    for index in 0..N {
        write(&store, of(index, 0), index as usize..index as usize + 1);
    }
    let run = |index: u32, round: usize| {
        let mut killed = store.writer(of(index, round)).unwrap();
        let new = 1000 * (index as usize + 1) + round;
        killed.append(&[digest(new)], &row(new)).unwrap();
        drop(killed);
        write(&store, of(index, round), index as usize..index as usize + 1 + round % 2);
    };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_read = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) || n_read == 0 {
                let n_samples = store.samples().unwrap().samples.len();
                assert!((N as usize..=2 * N as usize).contains(&n_samples), "{n_samples}");
                n_read += 1;
            }
        });
        for round in 0..N_ROUNDS {
            let run = &run;
            let all = std::thread::scope(|scope| {
                let shards: Vec<_> = (0..N).map(|index| scope.spawn(move || run(index, round))).collect();
                shards.into_iter().map(|it| it.join().is_ok()).collect::<Vec<_>>()
            });
            is_over
                .store(round + 1 == N_ROUNDS || all.contains(&false), std::sync::atomic::Ordering::Relaxed);
            assert!(!all.contains(&false), "round {round}: {all:?}");
        }
        reader.join().unwrap();
    });
    assert_eq!(store.sample_files().unwrap().len(), N as usize);
    assert_eq!(store.digests().unwrap().len(), (N + 1) as usize + N_ROUNDS * N as usize);
}

/// Two that make one store at once: one of them is first, and the other is told.
#[test]
fn a_store_is_made_once() {
    let folder = Folder::new("made-once");
    let spaces = [3, 4].map(|n_features| EmbeddingSpace { n_features, ..space() });
    for round in 0..20 {
        let dir = &folder.0.join(round.to_string());
        let made: Vec<bool> = std::thread::scope(|scope| {
            let start = |space| scope.spawn(move || Store::create(dir, space).is_ok());
            let threads: Vec<_> = spaces.iter().map(start).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|it| **it).count(), 1, "{made:?}");
    }
}
