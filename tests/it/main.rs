//! Tests over the crates together: golden parity, surgery on real weights, real photos, references.

mod certified;
mod errors;
mod examples;
mod extraction;
mod foreign;
mod formats;
mod golden;
mod heads;
mod house;
mod logistic;
mod manifest;
mod named_inputs;
mod odd_models;
mod quantization;
mod regressions;
mod runtimes;
mod served;
mod sounds;
mod support;
mod surgery;
mod tables;
mod tabular;
mod texts;
