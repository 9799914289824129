//! Extraction through the crates: real photos, hostile files, and what a result must not depend on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use headstart_backbone::{
    Backbone, BackboneError, Content, Input, Known, Listing, Report, Row, RunConfig, Source, extract, run,
};
use headstart_store::{Digest, Label, Run, Store};

use crate::support::{load, load_embedded, shared};

/// The pictures of `<split>/<class>/*`.
pub(crate) fn folder_inputs(dataset: &Path) -> Vec<Input> {
    let list = |folder: &Path| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let mut inputs = Vec::new();
    for split in list(dataset).into_iter().filter(|it| it.is_dir()) {
        for class in list(&split) {
            for file in list(&class) {
                let path = format!("{}/{}/{}", name(&split), name(&class), name(&file));
                let (label, split) = (Some(Label::Class(name(&class))), Some(name(&split)));
                let content = Content::File(file);
                inputs.push(Input { path, content, label, split, group: None });
            }
        }
    }
    inputs
}

pub(crate) fn embed(backbone: &mut Backbone, inputs: Vec<Input>, store: &Store, run: Run) -> Report {
    embed_with(backbone, inputs, store, run, &RunConfig::default())
}

fn embed_with(
    backbone: &mut Backbone,
    inputs: Vec<Input>,
    store: &Store,
    run: Run,
    config: &RunConfig,
) -> Report {
    let listing = Listing { root: "/dataset".to_owned(), inputs, unreadable: Vec::new() };
    extract(backbone, listing, store, run, config, &mut |_| {}).expect("the run goes through")
}

/// Every row of a store by digest.
fn rows(store: &Store) -> BTreeMap<Digest, Vec<f32>> {
    let mut rows = BTreeMap::new();
    for batch in store.batches().expect("parts") {
        let batch = batch.expect("a batch");
        let values = batch.rows.chunks_exact(store.space().n_features);
        rows.extend(batch.digests.into_iter().zip(values.map(<[f32]>::to_vec)));
    }
    rows
}

/// CPU kernels of ONNX Runtime treat the images of a batch one after the other: bit-equal here. Where a
/// kernel sums in another order the difference is float noise; hence a tolerance and not equality.
#[test]
fn rows_do_not_depend_on_workers_batch_size_or_order() {
    let Some(shared) = shared() else { return };
    let inputs: Vec<Input> =
        folder_inputs(&shared.join("datasets/caltech8_mini")).into_iter().take(40).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut reference: Option<BTreeMap<Digest, Vec<f32>>> = None;
    for (index, (n_threads, n_decoders, batch_size, reversed)) in
        [(1, 0, 1, false), (2, 4, 8, false), (3, 0, 3, true), (1, 8, 32, true)].into_iter().enumerate()
    {
        let mut backbone = load(&shared.join("models"), "mobilenetv2-1.0-224", n_threads);
        let store = Store::create(&folder.path().join(index.to_string()), backbone.space()).expect("a store");
        let mut inputs = inputs.clone();
        if reversed {
            inputs.reverse();
        }
        let pad_batches = index % 2 == 1;
        let config = RunConfig {
            n_decoders: Some(n_decoders),
            batch_size: Some(batch_size),
            pad_batches: Some(pad_batches),
            ..RunConfig::default()
        };
        let report = embed_with(&mut backbone, inputs, &store, Run::Whole, &config);
        assert_eq!((report.n_embedded, report.failures.len()), (40, 0));
        let rows = rows(&store);
        let expected = reference.get_or_insert_with(|| rows.clone());
        assert_eq!(rows.len(), expected.len());
        for (digest, row) in &rows {
            let largest = row.iter().zip(&expected[digest]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                largest <= 1e-5,
                "{n_threads} threads, {n_decoders} decoders, batches of {batch_size}: off by {largest}"
            );
        }
    }
}

/// A disk that makes every reader wait is waited for by two at once for each session.
#[test]
fn files_are_read_ahead_of_the_sessions() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |it: u8| {
        let path = folder.path().join(it.to_string());
        std::fs::write(&path, [it]).expect("it is written");
        path
    };
    let paths: Vec<PathBuf> = (0..8).map(write).collect();
    let mut backbone = load_embedded(1);
    let (readers, one_more) = (Mutex::new(0), Condvar::new());
    // Every reader waits for another; a minute is for a test that fails.
    let is_known = |_: &Digest| {
        let mut readers = readers.lock().expect("nobody panics");
        *readers += 1;
        one_more.notify_all();
        let few = |it: &mut usize| *it < 2;
        let waited = one_more.wait_timeout_while(readers, Duration::from_secs(60), few);
        !waited.expect("nobody panics").1.timed_out()
    };
    let mut n_known = 0;
    let config = RunConfig::default();
    let sources: Vec<Source<'_>> = paths.iter().map(Source::from).collect();
    run(backbone.runner_mut(), &sources, Known::Rows(&is_known), &config, &mut |_, result| {
        n_known += usize::from(matches!(result, Ok(Row { values: None, .. })));
        Ok::<(), BackboneError>(())
    })
    .expect("the run goes through");
    assert_eq!(n_known, 8);
}

#[test]
fn a_cached_row_is_the_computed_row_bit_for_bit() {
    let Some(shared) = shared() else { return };
    let inputs: Vec<Input> =
        folder_inputs(&shared.join("datasets/cifar10_mini")).into_iter().take(50).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let mut backbone = load_embedded(2);
    let store = Store::create(folder.path(), backbone.space()).expect("a store");
    let first = embed(&mut backbone, inputs.clone(), &store, Run::Whole);
    let before = rows(&store);
    let second = embed(&mut backbone, inputs, &store, Run::Whole);
    assert_eq!((first.n_embedded, second.n_embedded, second.n_cached), (50, 0, 50));
    assert_eq!(second.n_unchanged, 50, "files that did not change were read again");
    assert!(before == rows(&store));
}

/// Every file of the hostile set, whatever its name says.
#[test]
fn every_hostile_file_embeds_or_is_listed_with_a_reason() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let status = std::process::Command::new("tar")
        .args(["xzf"])
        .arg(shared.join("datasets/hostile.tar.gz"))
        .arg("-C")
        .arg(folder.path())
        .status()
        .expect("tar runs");
    assert!(status.success());
    let mut files = Vec::new();
    let mut folders = vec![folder.path().join("hostile")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.retain(|it| it.parent() != Some(&folder.path().join("hostile")));
    assert!(files.len() >= 480, "only {} hostile files", files.len());
    files.sort();
    let inputs: Vec<Input> = files
        .iter()
        .map(|it| Input {
            path: it.to_string_lossy().into_owned(),
            content: Content::File(it.clone()),
            label: None,
            split: None,
            group: None,
        })
        .collect();
    let n_inputs = inputs.len();
    let mut backbone = load_embedded(2);
    let store = Store::create(&folder.path().join("store"), backbone.space()).expect("a store");
    let report = embed(&mut backbone, inputs, &store, Run::Whole);
    assert_eq!(report.n_embedded + report.n_cached + report.failures.len(), n_inputs);
    assert!(report.n_embedded > 150, "only {} of {n_inputs} embedded", report.n_embedded);
    assert!(report.failures.len() > 50, "only {} failures", report.failures.len());
    assert!(report.failures.iter().all(|it| !it.reason.is_empty()));
    let panics: Vec<&str> =
        report.failures.iter().filter(|it| it.reason.contains("panic")).map(|it| it.path.as_str()).collect();
    assert!(panics.is_empty(), "decoders panicked on {panics:?}");
    assert_eq!(store.samples().expect("samples").samples.len(), report.n_embedded + report.n_cached);
}
