#![doc = include_str!("../README.md")]

mod backbone;
mod coefficients;
mod decode;
mod device;
mod error;
mod extract;
mod files;
mod image_model;
mod jpeg;
mod listing;
mod model;
mod palette_tiff;
mod pipeline;
mod preprocess;
mod quantize;
mod registry;
mod resize;
mod runtime;
mod stages;
mod stat;

#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small literals, and results that are exact"
)]
mod tests;

pub use backbone::Backbone;
pub use decode::DecodeLimits;
pub use device::{Device, Precision};
pub use error::{BackboneError, ImageError};
pub use extract::{Progress, Report, extract};
pub use image_model::{ImageModel, PREPROCESS_KEY};
pub use listing::{Input, Listing};
pub use model::CutModel;
pub use pipeline::{Delivery, Outcome, PipelineConfig, run_files};
pub use preprocess::{Background, Channels, Filter, Preprocess};
pub use quantize::quantize;
pub use registry::{EMBEDDED_ID, ModelSpec, Registry, embedded_model};
pub use runtime::{MINIMUM_VERSION, Runtime, SessionConfig, has_cuda_driver};
pub use stages::StageTimes;
pub use stat::file_stat;
