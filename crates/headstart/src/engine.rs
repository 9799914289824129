//! Where it runs: a device, a precision, a runtime for them, and the backbones loaded into it.

use std::path::Path;
use std::str::FromStr;

use headstart_backbone::{
    Backbone, BackboneError, CutModel, Device, EMBEDDED_ID, Precision, Report, RunConfig, Runner, Runtime,
    SessionConfig,
};
use headstart_input::{InputKind, Recipe};
use headstart_onnx::{OnnxModel, is_quantized};
use headstart_store::{Run, Store};

use crate::dataset::Dataset;
use crate::environment::Places;
use crate::error::Error;
use crate::event::{Event, Events, Note, note};
use crate::model::{ModelConfig, prepare};
use crate::provision::{Kind, Unusable, best_device, load_runtime};

/// Where it is to run, and how much at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineConfig {
    /// Device; the one asked for is used, or nothing runs. Default: the CPU.
    pub device: DeviceChoice,
    /// Precision. Default: int8 for a quantised model, else f32.
    pub precision: Option<Precision>,
    /// Threads that decode and run the model; for a GPU, threads that decode. Default: one a core.
    pub n_workers: Option<usize>,
    /// Batches, and what one input may cost.
    pub run: RunConfig,
    /// Where runtimes and models are. Default: what the environment says.
    pub places: Option<Places>,
}

/// A device, or the best there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best that is set up for the precision.
    Auto,
    /// This one.
    Is(Device),
}

impl Default for DeviceChoice {
    fn default() -> Self {
        Self::Is(Device::Cpu)
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Is).map_err(|err: String| format!("{err}; or auto")),
        }
    }
}

/// Loads models, and runs them on datasets.
///
/// A process can load one ONNX Runtime, and that of a device stays when its engine is gone: one for CUDA and one
/// for the CPU exclude each other, unless [`Places::runtime`] names a library that does both. A model is
/// loaded once for every thread that runs it; [`limited_to`](Self::limited_to) spares that for a few inputs.
#[derive(Debug, Clone)]
pub struct Engine {
    config: EngineConfig,
    places: Places,
}

/// A runtime, and how its sessions compute.
pub(crate) struct Loaded {
    pub(crate) runtime: Runtime,
    pub(crate) session: SessionConfig,
}

/// A part of a dataset: `index` of `count`, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Index of the part, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

/// `2/8` for instance: the second of eight.
impl FromStr for Shard {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, count)) if (1..=count).contains(&number) => Ok(Self { index: number - 1, count }),
            _ => Err("expected I/N with I from 1 to N, 2/8 for instance"),
        }
    }
}

/// What an extraction left.
#[derive(Debug)]
pub struct Extraction {
    /// The store.
    pub store: Store,
    /// What was done.
    pub report: Report,
}

impl Engine {
    /// Settles on where things are. Device and runtime are settled with the first model, whose precision
    /// may decide them.
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let places = config.places.clone().unwrap_or_else(Places::from_environment);
        Self { config, places }
    }

    /// Where runtimes and models are.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Batches, and what one input may cost.
    #[must_use]
    pub(crate) fn run_config(&self) -> &RunConfig {
        &self.config.run
    }

    /// Threads that run at once.
    #[must_use]
    pub fn n_workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.config.n_workers.unwrap_or_else(cores).max(1)
    }

    /// The same for a few inputs: no more threads than have something to do.
    #[must_use]
    pub fn limited_to(&self, n_inputs: usize) -> Self {
        let n_workers = Some(self.n_workers().min(n_inputs).max(1));
        Self { config: EngineConfig { n_workers, ..self.config.clone() }, places: self.places.clone() }
    }

    /// The same for a dataset: as [`limited_to`](Self::limited_to) its inputs, but where one may be work for many.
    #[must_use]
    pub fn limited_to_dataset(&self, dataset: &Dataset) -> Self {
        match dataset.kind {
            InputKind::Image | InputKind::Text => self.limited_to(dataset.listing.inputs.len()),
            InputKind::Audio => self.clone(),
        }
    }

    /// Finds, prepares and loads a backbone, and the runtime for it.
    ///
    /// # Errors
    /// [`Error::NoModelFile`], [`Error::UnknownModel`], [`Error::ModelHash`], [`Error::Model`],
    /// [`Error::Pull`]; [`Error::Provision`] when there is no runtime that works; [`Error::Device`] when the
    /// device cannot be used as asked; [`Error::Backbone`].
    pub fn backbone(&self, config: &ModelConfig, events: &mut Events<'_>) -> Result<Backbone, Error> {
        self.load_model(self.model(config, events)?, events)
    }

    /// Finds and prepares a model, which tells what kind of input it takes before it is loaded.
    ///
    /// # Errors
    /// As [`backbone`](Self::backbone), but for what needs a runtime.
    pub fn model(&self, config: &ModelConfig, events: &mut Events<'_>) -> Result<CutModel, Error> {
        prepare(config, &self.places, events)
    }

    /// Loads a model that was prepared, and the runtime for it.
    ///
    /// # Errors
    /// As [`backbone`](Self::backbone), of what needs a runtime.
    pub fn load_model(&self, model: CutModel, events: &mut Events<'_>) -> Result<Backbone, Error> {
        if model.id == EMBEDDED_ID {
            note(events, Note::DefaultModel { model: model.id.clone() });
        }
        let Loaded { runtime, session } = self.load_runtime(model.is_quantized(), events)?;
        let backbone = self.load(&runtime, &session, model)?;
        let (cut, n_features) = (backbone.model(), backbone.space().n_features);
        if cut.has_no_classifier {
            let (model, output) = (cut.id.clone(), cut.tap.tensor.clone());
            note(events, Note::NoClassifier { model, output, n_features });
        }
        Ok(backbone)
    }

    /// Loads a cut model.
    pub(crate) fn load(
        &self,
        runtime: &Runtime,
        session: &SessionConfig,
        model: CutModel,
    ) -> Result<Backbone, Error> {
        let loaded = Backbone::load(runtime, model, session, self.n_workers());
        loaded.map_err(|err| self.of_device(err, session.device))
    }

    /// Loads a graph that takes what a recipe makes.
    pub(crate) fn load_graph(
        &self,
        name: &str,
        graph: &OnnxModel,
        recipe: &Recipe,
        events: &mut Events<'_>,
    ) -> Result<Runner, Error> {
        let Loaded { runtime, session } = self.load_runtime(is_quantized(graph), events)?;
        let loaded = Runner::load(&runtime, name, graph, recipe, &session, self.n_workers());
        loaded.map_err(|err| self.of_device(err, session.device))
    }

    /// Settles on a device and a precision, and loads the runtime for them.
    fn load_runtime(&self, is_quantized: bool, events: &mut Events<'_>) -> Result<Loaded, Error> {
        let default = if is_quantized { Precision::Int8 } else { Precision::F32 };
        let precision = self.config.precision.unwrap_or(default);
        let device = match self.config.device {
            DeviceChoice::Is(device) => device,
            DeviceChoice::Auto => {
                let (device, reason) = best_device(precision, &self.places)?;
                note(events, Note::DeviceChosen { device, reason });
                device
            }
        };
        // Before a runtime is looked for that could not do it either.
        device.check(precision)?;
        let runtime = load_runtime(Kind::of(device), &self.places)?;
        Ok(Loaded { runtime, session: SessionConfig { device, precision } })
    }

    /// An error with what its user can do about it.
    fn of_device(&self, cause: BackboneError, device: Device) -> Error {
        let (kind, is_named) = (Kind::of(device), self.places.runtime.is_some());
        match cause {
            BackboneError::Device { .. } if kind != Kind::Cpu => {
                Error::Device(Box::new(Unusable { kind, is_named, cause }))
            }
            cause => cause.into(),
        }
    }

    /// Embeds what a store does not have yet of a dataset, or of one shard of it.
    ///
    /// # Errors
    /// [`DatasetError::NoInputs`](crate::DatasetError::NoInputs) for an empty dataset, which would take the place of what the store lists;
    /// [`Error::Store`] when the store cannot be written or belongs to another space; [`Error::Backbone`]
    /// when the runtime fails. An input that cannot be embedded is in the report.
    pub fn extract(
        &self,
        backbone: &mut Backbone,
        dataset: Dataset,
        store: impl AsRef<Path>,
        shard: Option<Shard>,
        events: &mut Events<'_>,
    ) -> Result<Extraction, Error> {
        dataset.check_not_empty(Path::new(&dataset.listing.root))?;
        let store = Store::create(store.as_ref(), backbone.space())?;
        let (listing, run) = match shard {
            Some(Shard { index, count }) => dataset.listing.shard(index, count),
            None => (dataset.listing, Run::Whole),
        };
        let mut progress = |state| events(Event::Progress(state));
        let config = &self.config.run;
        let report = headstart_backbone::extract(backbone, listing, &store, run, config, &mut progress)?;
        Ok(Extraction { store, report })
    }
}
