//! A frozen network: images in, embeddings out.

use serde_json::json;

use headstart_store::EmbeddingSpace;

use crate::error::BackboneError;
use crate::image_model::{ImageModel, load_cut};
use crate::model::CutModel;
use crate::runtime::{Runtime, SessionConfig};

/// A loaded backbone and the space its embeddings live in.
pub struct Backbone {
    model: CutModel,
    pub(crate) runner: ImageModel,
    space: EmbeddingSpace,
    config: SessionConfig,
}

impl Backbone {
    /// Loads a cut model, for as many parallel runs as `n_threads` of the CPU can have; once for a GPU.
    ///
    /// Runs it on two probe images: to learn the number of features, and whether a row depends on the
    /// batch it is computed in (images are run one by one then).
    ///
    /// # Errors
    /// [`BackboneError::Device`], [`BackboneError::Precision`] when the device cannot be used as asked;
    /// [`BackboneError::Session`] when the runtime refuses the model; [`BackboneError::Shape`] when the
    /// tap has one row a token and no pooling was chosen.
    pub fn load(
        runtime: &Runtime,
        model: CutModel,
        config: &SessionConfig,
        n_threads: usize,
    ) -> Result<Self, BackboneError> {
        let (model, runner) = load_cut(runtime, model, config, n_threads)?;
        let mut description = model.description();
        description.insert("runtime".to_owned(), json!(format!("onnxruntime {}", runtime.version())));
        description.insert("execution_provider".to_owned(), json!(config.device.execution_provider()));
        description.insert("precision".to_owned(), json!(config.precision));
        let space = EmbeddingSpace { model: model.id.clone(), n_features: runner.width(), description };
        Ok(Self { model, runner, space, config: config.clone() })
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

    /// Device, precision and threads.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// The runner: preprocessing, batch limits, single runs.
    #[must_use]
    pub fn runner(&self) -> &ImageModel {
        &self.runner
    }

    /// The runner, to run images by hand.
    pub fn runner_mut(&mut self) -> &mut ImageModel {
        &mut self.runner
    }
}
