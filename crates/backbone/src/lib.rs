#![doc = include_str!("../README.md")]

mod audio;
mod backbone;
mod claims;
mod cut_model;
mod device;
mod error;
mod extract;
mod front;
mod inputs;
mod listing;
mod merge;
mod pipeline;
mod quantize;
mod registry;
mod remarks;
mod row;
mod runner;
mod runtime;
mod stages;
mod stat;
mod threads;
mod tokens;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use backbone::Backbone;
pub use cut_model::CutModel;
pub use device::{Device, Precision};
pub use error::BackboneError;
pub use extract::{Progress, Report, extract};
pub use listing::{Content, Input, Listing};
pub use merge::merge_rows;
pub use pipeline::{Each, Ran, RunConfig, run};
pub use quantize::quantize;
pub use registry::{EMBEDDED_ID, ModelSpec, Registry, default_model, embedded_model};
pub use remarks::Remarks;
pub use row::{ItemError, Known, Row, Source};
pub use runner::Runner;
pub use runtime::{MINIMUM_VERSION, Outlet, Runtime, Session, SessionConfig, has_cuda_driver};
pub use stages::StageTimes;
pub use stat::read_input;
