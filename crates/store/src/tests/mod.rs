//! The store: what survives, what is refused, what readers see.

mod columns;
mod labels;
mod orders;
mod runs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, json};

use crate::{
    Cell, Digest, EmbeddingSpace, Failure, FileStat, Label, Run, Sample, SampleTable, Store, StoreError,
    column_names, read_columns,
};

/// A folder of its own for a test, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("headstart-store-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn space() -> EmbeddingSpace {
    let description = Map::from_iter([
        ("preprocess".to_owned(), json!({"mean": 0.485_f32, "size": [224, 224]})),
        ("tap".to_owned(), json!("features")),
    ]);
    EmbeddingSpace { model: "m".to_owned(), n_features: 3, description }
}

fn digest(index: usize) -> Digest {
    Digest::of(&index.to_le_bytes())
}

fn row(index: usize) -> [f32; 3] {
    [index as f32, -0.5, f32::MIN_POSITIVE]
}

fn sample(index: usize, label: &str) -> Sample {
    Sample {
        path: format!("{label}/{index}.jpg"),
        label: Some(Label::Class(label.to_owned())),
        split: None,
        group: Some("g\"1".to_owned()),
        digest: digest(index),
        stat: FileStat { size: index as u64, mtime_ns: -1, ctime_ns: i64::MAX },
    }
}

fn table(samples: Vec<Sample>) -> SampleTable {
    SampleTable { root: "/data".to_owned(), samples }
}

/// Writes rows `range` in one run.
fn write(store: &Store, run: Run, range: std::ops::Range<usize>) {
    let mut writer = store.writer(run).unwrap();
    for index in range.clone() {
        writer.append(&[digest(index)], &row(index)).unwrap();
    }
    writer.finish(&table(range.map(|it| sample(it, "ant")).collect()), &[]).unwrap();
}

fn shard(index: u32, count: u32) -> Run {
    Run::Shard { index, count, listing: 0xfeed }
}

fn failure(path: &str) -> Failure {
    Failure { path: path.to_owned(), reason: "broken".to_owned() }
}

fn files(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["", "embeddings", "samples"] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                names.insert(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    names
}

#[test]
fn rows_and_samples_come_back_as_they_were() {
    let folder = Folder::new("round-trip");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..10);
    let store = Store::open(&folder.0).unwrap();
    assert_eq!(store.space(), &space());
    let asked = [digest(7), digest(99), digest(0), digest(7)];
    let rows = store.load(&asked).unwrap();
    assert_eq!(rows.values, [row(7), [0.0; 3], row(0), row(7)].concat());
    assert_eq!(rows.missing, [1]);
    assert_eq!(store.samples().unwrap(), table((0..10).map(|it| sample(it, "ant")).collect()));
    assert_eq!(store.digests().unwrap().len(), 10);
}

#[test]
fn a_second_run_adds_and_skips_what_is_there() {
    let folder = Folder::new("append");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..5);
    let before = files(&folder.0);
    write(&store, Run::Whole, 0..5);
    assert_eq!(files(&folder.0), before, "nothing new, no new part");
    write(&store, Run::Whole, 3..8);
    assert_eq!(store.digests().unwrap().len(), 8);
    let n_rows: usize = store.batches().unwrap().map(|it| it.unwrap().digests.len()).sum();
    assert_eq!(n_rows, 8, "a row was stored twice");
}

#[test]
fn another_space_is_refused_and_the_difference_named() {
    let folder = Folder::new("space");
    Store::create(&folder.0, &space()).unwrap();
    let mut other = space();
    other.n_features = 4;
    other.description.insert("tap".to_owned(), json!("logits"));
    let differences = |other: &EmbeddingSpace| match Store::create(&folder.0, other).unwrap_err() {
        StoreError::FingerprintMismatch { differences, .. } => differences,
        err => panic!("{err}"),
    };
    let expected = [["n_features", "3", "4"], ["tap", "features", "logits"]];
    assert_eq!(differences(&other), expected);
    other.description.insert("preprocess".to_owned(), json!({"mean": 0.5_f32, "size": [224, 224]}));
    other.model = "other".to_owned();
    let [n_features, tap] = expected;
    let expected = [["model", "m", "other"], n_features, ["preprocess.mean", "0.485", "0.5"], tap];
    assert_eq!(differences(&other), expected);
    // A model file that was renamed is the same model.
    let renamed = EmbeddingSpace { model: "renamed".to_owned(), ..space() };
    assert!(Store::create(&folder.0, &renamed).is_ok());
    assert_eq!(renamed.fingerprint(), space().fingerprint());
    assert_ne!(space().fingerprint(), other.fingerprint());
    assert_eq!(space().fingerprint().len(), 64);
}

/// Dropping a writer without `finish` is what a kill looks like to the disk.
#[test]
fn what_a_killed_run_appended_is_there_after_the_next_start() {
    let folder = Folder::new("killed");
    let store = Store::create(&folder.0, &space()).unwrap();
    let mut writer = store.writer(Run::Whole).unwrap();
    writer.append(&[digest(0), digest(1)], &[row(0), row(1)].concat()).unwrap();
    drop(writer);
    assert!(store.digests().unwrap().is_empty(), "the rows are in the journal only");
    let writer = store.writer(Run::Whole).unwrap();
    assert_eq!(writer.recovery().n_recovered, 2);
    assert!(writer.contains(&digest(1)));
    drop(writer);
    assert_eq!(store.load(&[digest(1)]).unwrap().values, row(1));
    assert!(!folder.0.join("embeddings/journal-whole.bin").exists());
}

/// A kill may cut the journal at any byte: every whole record counts, the rest is dropped.
#[test]
fn a_journal_cut_at_any_byte_keeps_its_whole_records() {
    let folder = Folder::new("torn");
    let store = Store::create(&folder.0, &space()).unwrap();
    let mut writer = store.writer(Run::Whole).unwrap();
    (0..3).for_each(|it| writer.append(&[digest(it)], &row(it)).unwrap());
    drop(writer);
    let journal = folder.0.join("embeddings/journal-whole.bin");
    let bytes = fs::read(&journal).unwrap();
    let record = bytes.len() / 3;
    for length in 0..=bytes.len() {
        let place = Folder::new(&format!("torn-{length}"));
        let store = Store::create(&place.0, &space()).unwrap();
        fs::write(place.0.join("embeddings/journal-whole.bin"), &bytes[..length]).unwrap();
        let writer = store.writer(Run::Whole).unwrap();
        assert_eq!(writer.recovery().n_recovered, length / record, "cut at {length} of {}", bytes.len());
    }
    // A flipped bit in the second record ends the journal there.
    let mut damaged = bytes;
    damaged[record + 40] ^= 1;
    fs::write(&journal, damaged).unwrap();
    assert_eq!(store.writer(Run::Whole).unwrap().recovery().n_recovered, 1);
}

/// A kill between the part's rename and the journal's removal leaves both.
#[test]
fn a_journal_that_is_a_part_already_adds_nothing() {
    let folder = Folder::new("twice");
    let store = Store::create(&folder.0, &space()).unwrap();
    let mut writer = store.writer(Run::Whole).unwrap();
    writer.append(&[digest(0)], &row(0)).unwrap();
    drop(writer);
    let journal = folder.0.join("embeddings/journal-whole.bin");
    let bytes = fs::read(&journal).unwrap();
    drop(store.writer(Run::Whole).unwrap());
    let before = files(&folder.0);
    fs::write(&journal, bytes).unwrap();
    let writer = store.writer(Run::Whole).unwrap();
    assert_eq!(writer.recovery().n_recovered, 0);
    assert_eq!(files(&folder.0), before);
}

#[test]
fn a_damaged_part_is_set_aside_and_the_rest_still_reads() {
    let folder = Folder::new("damaged");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..2);
    write(&store, Run::Whole, 2..4);
    let part = store.parts().unwrap().remove(0);
    fs::write(&part, b"PAR1 not really").unwrap();
    assert!(matches!(store.load(&[digest(0)]), Err(StoreError::Damaged { .. })), "readers are told");
    let writer = store.writer(Run::Whole).unwrap();
    assert_eq!(writer.recovery().set_aside, [part.with_extension("parquet.corrupt")]);
    drop(writer);
    assert_eq!(store.digests().unwrap().len(), 2);
}

/// One bit in an embedding: the file still reads as Parquet, and its digests are all there.
#[test]
fn a_flipped_bit_in_a_row_or_a_label_is_found() {
    let folder = Folder::new("flipped");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..4);
    let part = store.parts().unwrap().remove(0);
    let mut bytes = fs::read(&part).unwrap();
    let place = bytes.windows(4).position(|it| it == 3_f32.to_le_bytes()).unwrap();
    bytes[place] ^= 1;
    fs::write(&part, &bytes).unwrap();
    let err = store.load(&[digest(0)]).unwrap_err();
    assert!(matches!(err, StoreError::Damaged { .. }), "{err}");
    let writer = store.writer(Run::Whole).unwrap();
    assert_eq!((writer.recovery().set_aside.len(), writer.stored().len()), (1, 0));
    drop(writer);

    let path = store.sample_files().unwrap().remove(0);
    let (bytes, before) = (fs::read(&path).unwrap(), store.samples().unwrap());
    let mut n_found = 0;
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 4;
        fs::write(&path, &flipped).unwrap();
        match store.samples() {
            Ok(samples) => assert!(samples.samples == before.samples, "byte {place} changed a sample unseen"),
            Err(_) => n_found += 1,
        }
    }
    assert!(n_found > bytes.len() / 4, "only {n_found} of {} flips were found", bytes.len());
}

/// A failing disk must not make the store throw away what it holds.
#[test]
fn a_failing_disk_is_told_from_a_damaged_file() {
    use parquet::errors::ParquetError;
    let as_store_error = |err: ParquetError| crate::error::parquet::<ParquetError>(Path::new("p"))(err);
    let failing = std::io::Error::from_raw_os_error(5);
    let err = as_store_error(ParquetError::External(Box::new(failing)));
    assert!(matches!(&err, StoreError::Io { source, .. } if source.raw_os_error() == Some(5)), "{err}");
    let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    assert!(matches!(as_store_error(ParquetError::External(Box::new(short))), StoreError::Parquet { .. }));
    assert!(matches!(as_store_error(ParquetError::EOF("x".to_owned())), StoreError::Parquet { .. }));
}

#[test]
fn rows_of_another_length_are_refused() {
    let folder = Folder::new("length");
    let store = Store::create(&folder.0, &space()).unwrap();
    let err = store.writer(Run::Whole).unwrap().append(&[digest(0)], &[1.0, 2.0]).unwrap_err();
    assert_eq!(err.to_string(), "expected embeddings of 3 features, got 2");
}

#[test]
fn folders_that_are_no_store_are_refused() {
    let folder = Folder::new("none");
    fs::create_dir_all(&folder.0).unwrap();
    assert!(Store::open(&folder.0).unwrap_err().to_string().ends_with("is no store: it has no store.json"));
    let manifest = folder.0.join("store.json");
    fs::write(&manifest, "{}").unwrap();
    let err = Store::open(&folder.0).unwrap_err().to_string();
    assert!(err.ends_with("has format version 0, this program reads version 1"), "{err}");
    fs::write(&manifest, "{\"format_version\": 1, \"n_features\": \"many\"}").unwrap();
    let err = Store::open(&folder.0).unwrap_err().to_string();
    assert!(err.ends_with("put it back as it was, or remove the whole store and extract again"), "{err}");
}

#[test]
fn rows_of_an_unknown_space_are_not_taken_for_those_of_another() {
    let folder = Folder::new("orphans");
    let store = Store::create(&folder.0, &space()).unwrap();
    // Nothing is there yet: the same folder may begin again with another space.
    fs::remove_file(folder.0.join("store.json")).unwrap();
    let other = EmbeddingSpace { n_features: 4, ..space() };
    Store::create(&folder.0, &other).unwrap();
    fs::remove_file(folder.0.join("store.json")).unwrap();
    Store::create(&folder.0, &space()).unwrap();
    let mut writer = store.writer(Run::Whole).unwrap();
    writer.append(&[digest(0)], &row(0)).unwrap();
    writer.finish(&table(vec![sample(0, "a")]), &[]).unwrap();
    fs::remove_file(folder.0.join("store.json")).unwrap();
    let err = Store::create(&folder.0, &other).unwrap_err();
    assert!(matches!(err, StoreError::ManifestMissing { .. }), "{err}");
    assert!(!folder.0.join("store.json").exists());
}

#[test]
fn a_scan_goes_through_the_same_rows_again_and_checks_them_once() {
    let folder = Folder::new("scan");
    let store = Store::create(&folder.0, &space()).unwrap();
    for part in 0..3 {
        let mut writer = store.writer(Run::Whole).unwrap();
        writer
            .append(&[digest(2 * part), digest(2 * part + 1)], &[row(2 * part), row(2 * part + 1)].concat())
            .unwrap();
        writer.finish(&table(Vec::new()), &[]).unwrap();
    }
    let scan = store.scan().unwrap();
    let digests = || scan.batches().flat_map(|it| it.unwrap().digests).collect::<Vec<_>>();
    assert_eq!(digests().len(), 6);
    assert_eq!(digests(), digests());
    // What is added later is not in it.
    let mut writer = store.writer(Run::Whole).unwrap();
    writer.append(&[digest(9)], &row(9)).unwrap();
    writer.finish(&table(Vec::new()), &[]).unwrap();
    assert_eq!(digests().len(), 6);
    let part = store.parts().unwrap()[0].clone();
    let mut bytes = fs::read(&part).unwrap();
    bytes[40] ^= 1;
    fs::write(&part, bytes).unwrap();
    assert!(matches!(store.scan(), Err(StoreError::Damaged { .. })));
}

#[test]
fn many_rows_are_written_in_several_row_groups_and_read_back() {
    let folder = Folder::new("many");
    let wide = EmbeddingSpace { model: "m".to_owned(), n_features: 1500, description: Map::new() };
    let store = Store::create(&folder.0, &wide).unwrap();
    let mut writer = store.writer(Run::Whole).unwrap();
    let digests: Vec<Digest> = (0..6000).map(digest).collect();
    let rows: Vec<f32> = (0..6000 * 1500).map(|it| (it % 977) as f32).collect();
    writer.append(&digests, &rows).unwrap();
    writer.finish(&SampleTable::default(), &[]).unwrap();
    assert_eq!(store.load(&digests).unwrap().values, rows);
}

#[test]
fn text_columns_are_cast_and_missing_ones_refused() {
    let folder = Folder::new("columns");
    let store = Store::create(&folder.0, &space()).unwrap();
    write(&store, Run::Whole, 0..2);
    let path = folder.0.join("samples/whole.parquet");
    let rows = read_columns(&path, &["size", "path"]).unwrap();
    assert_eq!(rows[1][0], Some(Cell::Text("1".to_owned())));
    assert_eq!((rows.len(), rows[1].len()), (2, 2));
    assert_eq!(column_names(&path).unwrap()[..2], ["path", "label"]);
    let err = read_columns(&path, &["path", "nothing"]).unwrap_err().to_string();
    assert!(err.contains("has no column `nothing`; its columns are: path, label"), "{err}");
}

#[test]
fn stores_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<Store>();
    check::<StoreError>();
}
