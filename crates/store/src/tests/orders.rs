//! What the order of things must not change.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows come in the order they are asked for, however they were appended, and however often.
    #[test]
    fn rows_come_in_the_order_asked(
        appended in Just((0..20).collect::<Vec<usize>>()).prop_shuffle(),
        n_at_once in 1..8_usize,
        asked in proptest::collection::vec(0..25_usize, 0..40),
    ) {
        let folder = Folder::new(&format!("order-{n_at_once}"));
        let store = Store::create(&folder.0, &space()).unwrap();
        let mut writer = store.writer(Run::Whole).unwrap();
        for some in appended.chunks(n_at_once) {
            let digests: Vec<Digest> = some.iter().map(|it| digest(*it)).collect();
            let rows: Vec<f32> = some.iter().flat_map(|it| row(*it)).collect();
            writer.append(&digests, &rows).unwrap();
        }
        writer.finish(&SampleTable::default(), &[]).unwrap();
        let digests: Vec<Digest> = asked.iter().map(|it| digest(*it)).collect();
        let loaded = store.load(&digests).unwrap();
        let known = |it: &usize| *it < 20;
        let expected: Vec<f32> =
            asked.iter().flat_map(|it| if known(it) { row(*it) } else { [0.0; 3] }).collect();
        let missing: Vec<usize> = (0..asked.len()).filter(|it| !known(&asked[*it])).collect();
        prop_assert_eq!((loaded.values, loaded.missing), (expected, missing));
    }

    /// Shards of one listing, in any order and some of them twice, list what a single run lists.
    #[test]
    fn shards_in_any_order_are_one_dataset(
        order in Just([0_u32, 1, 2, 3].repeat(2)).prop_shuffle(),
        n_samples in 0..12_usize,
    ) {
        let folder = Folder::new(&format!("shards-{n_samples}"));
        let store = Store::create(&folder.0, &space()).unwrap();
        let mut samples: Vec<Sample> = (0..n_samples).map(|it| sample(it, "x")).collect();
        let root = "/data".to_owned();
        for index in order {
            let run = Run::Shard { index, count: 4, listing: 9 };
            let own = samples.iter().filter(|it| run.contains(&it.path)).cloned().collect();
            let table = SampleTable { root: root.clone(), samples: own };
            store.writer(run).unwrap().finish(&table, &[]).unwrap();
        }
        samples.sort_by(|a, b| a.path.cmp(&b.path));
        prop_assert_eq!(store.samples().unwrap(), SampleTable { root, samples });
    }
}
