//! A frozen network: inputs in, embeddings out.

use serde_json::json;

use headstart_store::EmbeddingSpace;

use crate::cut_model::CutModel;
use crate::device::Precision;
use crate::error::BackboneError;
use crate::runner::Runner;
use crate::runtime::{Runtime, SessionConfig};

/// A loaded backbone and the space its embeddings live in.
pub struct Backbone {
    model: CutModel,
    pub(crate) runner: Runner,
    space: EmbeddingSpace,
    config: SessionConfig,
    runtime: Runtime,
}

impl Backbone {
    /// Loads a cut model, for as many parallel runs as `n_workers` threads of the CPU can have; once for a
    /// GPU, which as many threads decode for.
    ///
    /// Runs it on two made-up inputs: to learn the number of features, and whether a row depends on the
    /// batch it is computed in (inputs are run one by one then).
    ///
    /// # Errors
    /// [`BackboneError::Device`], [`BackboneError::Precision`] when the device cannot be used as asked;
    /// [`BackboneError::Session`] when the runtime refuses the model; [`BackboneError::Shape`] when the
    /// tap has one row a token and no pooling was chosen.
    pub fn load(
        runtime: &Runtime,
        model: CutModel,
        config: &SessionConfig,
        n_workers: usize,
    ) -> Result<Self, BackboneError> {
        let (model, runner) = load_cut(runtime, model, config, n_workers)?;
        let mut description = model.description();
        description.insert("runtime".to_owned(), json!(format!("onnxruntime {}", runtime.version())));
        description.insert("execution_provider".to_owned(), json!(config.device.execution_provider()));
        description.insert("precision".to_owned(), json!(config.precision));
        let space = EmbeddingSpace { model: model.id.clone(), n_features: runner.width(), description };
        Ok(Self { model, runner, space, config: config.clone(), runtime: runtime.clone() })
    }

    /// The cut model.
    #[must_use]
    pub fn model(&self) -> &CutModel {
        &self.model
    }

    /// What the embeddings depend on.
    #[must_use]
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// Device and precision.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The runtime it is loaded into.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The runner: recipe, batch limits, single runs.
    #[must_use]
    pub fn runner(&self) -> &Runner {
        &self.runner
    }

    /// The runner, to run inputs by hand.
    pub fn runner_mut(&mut self) -> &mut Runner {
        &mut self.runner
    }
}

/// Loads a cut model; pools the tap when it turns out to have positions.
fn load_cut(
    runtime: &Runtime,
    model: CutModel,
    config: &SessionConfig,
    n_workers: usize,
) -> Result<(CutModel, Runner), BackboneError> {
    let model = if config.precision == Precision::F16 { model.to_f16()? } else { model };
    let load = |it: &CutModel| {
        Runner::load_with(runtime, &it.id, &it.graph, &it.recipe, it.one_by_one.clone(), config, n_workers)
    };
    let mut loaded = load(&model)?;
    let mut model = model;
    if let Some(pooled) = model.pooled_by_rank(loaded.output_rank())? {
        drop(loaded);
        loaded = load(&pooled)?;
        model = pooled;
    }
    // A session that was asked for more than it can do may give anything from then on.
    if let Some(reason) = loaded.one_by_one().map(str::to_owned) {
        drop(loaded);
        model = model.one_at_a_time(&reason)?;
        loaded = load(&model)?;
    }
    Ok((model, loaded))
}
