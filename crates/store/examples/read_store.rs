//! Reads the samples of a store with their embeddings.
#![allow(clippy::print_stdout, reason = "an example says what it found")]

use std::path::Path;

use headstart_store::{Store, StoreError};

fn main() -> Result<(), StoreError> {
    let store = Store::open(Path::new(&std::env::args().nth(1).expect("STORE")))?;
    let samples = store.samples()?.samples;
    let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
    let rows = store.load(&digests)?;
    println!("{} samples of {}", samples.len(), store.space().model);
    for (sample, row) in samples.iter().zip(rows.values.chunks_exact(store.space().n_features)).take(5) {
        let label = sample.label.as_ref().map(ToString::to_string).unwrap_or_default();
        println!("{} {label} {:.3?}", sample.path, &row[..3]);
    }
    Ok(())
}
