//! The built program, end to end.

mod datasets;
mod export;
mod failures;
mod faults;
mod fits;
mod heads;
mod kill;
mod labels;
mod memory;
mod program;
mod quantized;
mod runtime;
mod shards;
mod snapshots;
mod sounds;
mod texts;
mod whole;
