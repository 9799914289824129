//! A store as one table, read by other people's libraries: after shards, copies, kills and newer listings.

use std::path::Path;

use headstart::{Event, Note, write_table};
use headstart_store::{
    Digest, EmbeddingSpace, FileStat, Label, Run, Sample, SampleTable, Store, TableFormat,
};
use serde_json::Value;

use crate::support::{python, run_python};

const N_FEATURES: usize = 5;

/// The content of sample `index`: every third one is a copy of the one before it.
fn content(index: usize) -> usize {
    if index % 3 == 2 { index - 1 } else { index }
}

fn row(content: usize) -> Vec<f32> {
    (0..N_FEATURES).map(|it| ((content * 31 + it * 7) as f32).sin() / 3.0).collect()
}

fn sample(index: usize) -> Sample {
    let label =
        (index % 4 != 3).then(|| Label::Class(["cat", "a|b", "\"quoted\", dog"][index % 4 % 3].to_owned()));
    Sample {
        path: format!("{index:03}, photo.png"),
        label,
        split: index.is_multiple_of(2).then(|| "train".to_owned()),
        group: None,
        digest: Digest::of(&content(index).to_le_bytes()),
        stat: FileStat { size: 1, mtime_ns: 0, ctime_ns: 0 },
    }
}

/// Embeds and lists some samples; a run that is killed never finishes.
fn run(store: &Store, run: Run, samples: &[usize], is_killed: bool) {
    let mut writer = store.writer(run).expect("a writer");
    for index in samples {
        let content = content(*index);
        writer.append(&[Digest::of(&content.to_le_bytes())], &row(content)).expect("it is written");
    }
    if !is_killed {
        let table = SampleTable {
            root: "/photos".to_owned(),
            samples: samples.iter().map(|it| sample(*it)).collect(),
        };
        writer.finish(&table, &[]).expect("it is written");
    }
}

/// Two shards of 40 samples, which share contents, then half of them as a whole, a killed run of others, and one
/// shard of a newer dataset.
fn store(folder: &Path) -> (Store, Vec<usize>) {
    let space = EmbeddingSpace {
        model: "a model".to_owned(),
        n_features: N_FEATURES,
        description: serde_json::Map::new(),
    };
    let store = Store::create(folder, &space).expect("a store");
    let shard = |index, count, listing| Run::Shard { index, count, listing };
    run(&store, shard(0, 2, 7), &(0..40).step_by(2).collect::<Vec<_>>(), false);
    run(&store, shard(1, 2, 7), &(1..40).step_by(2).collect::<Vec<_>>(), false);
    let listed: Vec<usize> = (0..30).collect();
    run(&store, Run::Whole, &listed, false);
    run(&store, Run::Whole, &(50..60).collect::<Vec<_>>(), true);
    run(&store, shard(0, 2, 9), &[60, 62], false);
    (store, listed)
}

#[test]
fn every_reader_of_a_table_finds_every_sample_once_with_its_embedding() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (store, listed) = store(&folder.path().join("store"));
    let mut notes = Vec::new();
    for name in ["t.parquet", "t.arrow", "t.csv", "t.npy"] {
        let mut hear = |event| {
            if let Event::Note(note) = event {
                notes.push(note);
            }
        };
        // Memory for seven rows: the store is read five times.
        let max_memory = (7 * 4 * N_FEATURES) as u64;
        let written = write_table(&store, folder.path().join(name), Some(max_memory), &mut hear);
        assert_eq!(written.expect("a table").n_samples, listed.len());
    }
    assert!(notes.len() == 4 && notes.iter().all(|it| matches!(it, Note::NewerDataset { .. })), "{notes:?}");
    let found = run_python(&python, "tables.py", &[folder.path().to_str().expect("UTF-8")], "");
    let mut n_metadata = 0;
    for found in &found {
        let reader = found["reader"].as_str().expect("a name");
        let rows = found["rows"].as_array().expect("rows");
        assert_eq!(rows.len(), listed.len(), "{reader}");
        // Text has no lists beside it: a bar of a class is escaped there.
        let is_text = reader.contains("CSV") || reader == "numpy";
        for (row, index) in rows.iter().zip(&listed) {
            let sample = sample(*index);
            let label = sample.label.as_ref().map(|it| match it {
                Label::Class(class) if !is_text => class.clone(),
                it => it.to_string(),
            });
            let expected = self::row(content(*index));
            let bits: Vec<Value> = expected.iter().map(|it| it.to_bits().into()).collect();
            assert_eq!(row["path"], sample.path, "{reader}");
            assert_eq!(row["label"], label.map_or(Value::Null, Value::from), "{reader}");
            assert_eq!(row["digest"], sample.digest.to_string(), "{reader}");
            assert_eq!(row["embedding"], Value::from(bits), "{reader}");
        }
        if !found["metadata"].is_null() {
            assert_eq!(found["metadata"]["headstart.model"], "a model", "{reader}");
            assert_eq!(found["metadata"]["headstart.fingerprint"], store.space().fingerprint(), "{reader}");
            n_metadata += 1;
        }
    }
    assert_eq!((found.len(), n_metadata), (10, 3));
}

#[test]
fn a_table_without_all_embeddings_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, listed) = store(&folder.path().join("store"));
    let writer = store.writer(Run::Whole).expect("a writer");
    let samples = listed.iter().chain(&[99]).map(|it| sample(*it)).collect();
    writer.finish(&SampleTable { root: String::new(), samples }, &[]).expect("it is written");
    let out = folder.path().join("t.csv");
    let error = write_table(&store, &out, None, &mut |_| ()).expect_err("one is missing").to_string();
    assert!(error.contains("099, photo.png"), "{error}");
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .expect("it reads")
        .map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, ["store"]);
    let error = write_table(&store, folder.path().join("t.xlsx"), None, &mut |_| ()).expect_err("a format");
    assert!(error.to_string().contains("expected a name that ends in .parquet"), "{error}");
    assert_eq!(TableFormat::of_path(Path::new("a.FEATHER")), Some(TableFormat::Arrow));
}
