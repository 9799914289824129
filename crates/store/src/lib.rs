#![doc = include_str!("../README.md")]

mod columns;
mod digest;
mod error;
mod failure;
mod file;
mod journal;
mod label;
mod listing;
mod lock;
mod part;
mod run;
mod sample;
mod space;
mod store;
mod table;
mod writer;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use columns::{Cell, MAX_CELL_BYTES, column_names, read_columns, read_columns_within};
pub use digest::Digest;
pub use error::StoreError;
pub use failure::Failure;
pub use label::Label;
pub use part::EmbeddingBatch;
pub use run::{Run, Shards, Unfinished};
pub use sample::{FileStat, Sample, SampleTable};
pub use space::EmbeddingSpace;
pub use store::{Rows, Scan, Store};
pub use table::TableFormat;
pub use writer::{Finished, Recovery, Writer};
