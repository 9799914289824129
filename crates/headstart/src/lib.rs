#![doc = include_str!("../README.md")]

mod dataset;
mod engine;
mod environment;
mod error;
mod event;
mod export;
mod exported;
mod files;
mod fit;
mod judge;
mod machine;
mod model;
mod predict;
mod provision;
mod quantize;
mod rate;
mod rows;
mod samples;
mod serving;
mod serving_audio;
mod serving_text;
mod split;
mod survey;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use dataset::{Dataset, DatasetConfig, DatasetError, LabelFrom, Layout, is_manifest, key, kind_of};
pub use engine::{DeviceChoice, Engine, EngineConfig, Extraction, Shard};
pub use environment::Places;
pub use error::Error;
pub use event::{Event, Events, Note};
pub use export::{Exported, export};
pub use exported::Verification;
pub use files::{OutKind, check_out, read_head, write_head};
pub use fit::{FitConfig, Fitted, HeadConfig, LinearHead, LogisticHead, MlpHead, Solver, fit};
pub use judge::{Evaluation, Judged, Wrong, judge};
pub use machine::{bytes_in_words, peak_memory_bytes};
pub use model::{ModelConfig, ModelSource, check_hash, find_local, pull};
pub use predict::{Asked, Predicted, Predictor};
pub use provision::{Kind, ProvisionError, Unusable, load_runtime, setup};
pub use quantize::{N_FOLDS, QuantizeConfig, Quantized, check_quantized_out, quantize};
pub use rate::Rate;
pub use rows::{JSON_VERSION, PredictionRows, Resumed, RowFormat, csv_line};
pub use samples::Samples;
pub use survey::{Cpu, ModelFound, RuntimeFound, Survey};
pub use table::{TableWritten, write_table};
pub use words::remarks_in_words;

pub use headstart_backbone::{Backbone, Content, Device, Precision, Remarks, RunConfig, Source};
pub use headstart_head::{HeadModel, Outputs, Prediction, Task};
pub use headstart_input::InputKind;
pub use headstart_store::{Failure, Label, Store};

/// The crates beneath, for what this one does not wrap.
pub use {
    headstart_backbone as backbone, headstart_head as head, headstart_input as input, headstart_onnx as onnx,
    headstart_store as store,
};
