#![doc = include_str!("../README.md")]

mod digest;
mod error;
mod file;
mod journal;
mod part;
mod sample;
mod space;
mod store;
mod writer;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use digest::Digest;
pub use error::StoreError;
pub use part::EmbeddingBatch;
pub use sample::{FileStat, Sample, SampleTable, read_text_columns};
pub use space::EmbeddingSpace;
pub use store::{Rows, Scan, Store};
pub use writer::{Recovery, Run, Writer};
