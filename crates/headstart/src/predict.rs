//! What a head says of inputs, one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headstart_backbone::{
    Backbone, BackboneError, Content, Known, Listing, Remarks, Row, RunConfig, Runner, Source, run,
};
use headstart_head::{HeadModel, Outputs, Prediction};
use headstart_input::{InputKind, Recipe};
use headstart_onnx::OnnxModel;
use headstart_store::Failure;
use ndarray::{Array2, ArrayView2};

use crate::dataset::{Dataset, DatasetConfig, Found, key};
use crate::engine::Engine;
use crate::error::Error;
use crate::event::Events;
use crate::exported;
use crate::files::check_space;

/// Predicts labels or numbers, by a backbone and its head or by a file that is both.
pub struct Predictor {
    model: Model,
    outputs: Outputs,
    run: RunConfig,
}

enum Model {
    /// Its rows are embeddings, which the head scores.
    Backbone(Box<Backbone>, Box<HeadModel>),
    /// Its rows are scores.
    Exported(Box<Runner>),
}

/// What is said of one input, or why nothing is.
pub type Predicted = Result<Prediction, String>;

impl Predictor {
    /// Opens a file that [`export`](crate::export()) wrote, under whatever name.
    ///
    /// # Errors
    /// [`Error::NotExported`] for any other file; [`Error::Model`] when it does not read; as
    /// [`Engine::backbone`] otherwise.
    pub fn open(engine: &Engine, path: impl AsRef<Path>, events: &mut Events<'_>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |err| Error::Model { model: name.clone(), source: Box::new(err) };
        let graph = OnnxModel::load(path).map_err(failed)?;
        exported::check(&graph, path)?;
        let (outputs, recipe) = exported::read(&graph, path)?;
        let runner = engine.load_graph(&name, &graph, &recipe, events)?;
        let (n_labels, width) = (outputs.labels.len(), runner.width());
        if n_labels != width {
            let reason = format!("names {n_labels} labels, but its output has {width} columns");
            return Err(Error::NotExported { path: path.to_owned(), reason });
        }
        Ok(Self { model: Model::Exported(Box::new(runner)), outputs, run: *engine.run_config() })
    }

    /// A backbone and the head that was fitted on its embeddings.
    ///
    /// # Errors
    /// [`Error::Head`] for a head of another embedding space.
    pub fn new(engine: &Engine, backbone: Backbone, head: HeadModel) -> Result<Self, Error> {
        check_space(&head, backbone.space())?;
        let outputs = head.metadata.outputs.clone();
        let model = Model::Backbone(Box::new(backbone), Box::new(head));
        Ok(Self { model, outputs, run: *engine.run_config() })
    }

    /// What it takes.
    #[must_use]
    pub fn kind(&self) -> InputKind {
        self.recipe().kind()
    }

    /// How an input becomes what its model takes.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        match &self.model {
            Model::Backbone(backbone, _) => backbone.runner().recipe(),
            Model::Exported(runner) => runner.recipe(),
        }
    }

    /// What its scores mean.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Predicts every input, and tells of each in the order of the sources, as soon as those before it are
    /// done. Copies share a prediction, or the reason that there is none.
    ///
    /// Memory does not grow with the number of inputs: what is remembered for copies is bounded
    /// ([`Known::REMEMBERED_BYTES`]), and what waits is what was done while one input before it took longer.
    ///
    /// Returns what was done to inputs that their user should know.
    ///
    /// # Errors
    /// [`Error::Backbone`] when the runtime fails on every input, and whatever `each` returns.
    pub fn predict<E: From<Error>>(
        &mut self,
        sources: &[Source<'_>],
        each: &mut dyn FnMut(usize, Predicted) -> Result<(), E>,
    ) -> Result<Remarks, E> {
        let Self { model, outputs, run: config } = self;
        let (runner, head) = match model {
            Model::Backbone(backbone, head) => (backbone.runner_mut(), Some(&**head)),
            Model::Exported(runner) => (&mut **runner, None),
        };
        let mut in_order = InOrder { next: 0, waiting: BTreeMap::new(), each };
        let done = run(runner, sources, Known::Nothing, config, &mut |index, result| {
            let predicted = match result {
                Ok(Row { values, .. }) => Ok(decide(outputs, head, values.unwrap_or_default())?),
                Err(err) => Err(err.to_string()),
            };
            in_order.push(index, predicted).map_err(Stop::Caller)
        });
        done.map(|it| it.remarks).map_err(|stop| match stop {
            Stop::Caller(err) => err,
            Stop::Own(err) => err.into(),
        })
    }
}

/// The answer to one row of a model.
fn decide(outputs: &Outputs, head: Option<&HeadModel>, row: &[f32]) -> Result<Prediction, Error> {
    let row = ArrayView2::from_shape((1, row.len()), row).expect("one row");
    let scores: Array2<f64> = match head {
        Some(head) => head.predict(row)?,
        None => row.mapv(f64::from),
    };
    Ok(outputs.decide(scores.view()).swap_remove(0))
}

/// Why a run stopped.
enum Stop<E> {
    /// The caller said so.
    Caller(E),
    Own(Error),
}

impl<E> From<BackboneError> for Stop<E> {
    fn from(err: BackboneError) -> Self {
        Self::Own(err.into())
    }
}

impl<E> From<Error> for Stop<E> {
    fn from(err: Error) -> Self {
        Self::Own(err)
    }
}

/// Results in the order of their indices.
struct InOrder<'a, E> {
    /// Index of the result that comes next.
    next: usize,
    /// Results that wait for one before them.
    waiting: BTreeMap<usize, Predicted>,
    each: &'a mut dyn FnMut(usize, Predicted) -> Result<(), E>,
}

impl<E> InOrder<'_, E> {
    fn push(&mut self, index: usize, predicted: Predicted) -> Result<(), E> {
        self.waiting.insert(index, predicted);
        while let Some(predicted) = self.waiting.remove(&self.next) {
            (self.each)(self.next, predicted)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// What to predict: what a path names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// The inputs, each with what it is called.
    pub inputs: Vec<(String, Content)>,
    /// What cannot be looked at, and pictures of formats that are not read.
    pub unreadable: Vec<Failure>,
    /// Files of a folder that are no inputs.
    pub n_ignored: usize,
}

impl Asked {
    /// Looks at a path: a file, a folder with files, or, of texts, a manifest with a column of them.
    ///
    /// # Errors
    /// As [`Dataset::open`] for a manifest.
    pub fn of(path: &Path, config: &DatasetConfig) -> Result<Self, Error> {
        let of_file = |file: PathBuf| (key(&file), Content::File(file));
        if path.is_dir() {
            let Found { files, others, unreadable, .. } = Found::of_folder(path, config.kind);
            let inputs = files.into_iter().map(of_file).collect();
            return Ok(Self { inputs, unreadable, n_ignored: others.len() });
        }
        let is_text = path.extension().is_none_or(|it| it.eq_ignore_ascii_case("txt"));
        if config.kind != InputKind::Text || is_text {
            return Ok(Self { inputs: vec![of_file(path.to_owned())], ..Self::default() });
        }
        Ok(Dataset::open(path, config)?.into())
    }
}

impl From<Dataset> for Asked {
    fn from(dataset: Dataset) -> Self {
        let Listing { inputs, unreadable, .. } = dataset.listing;
        let inputs = inputs.into_iter().map(|it| (it.path, it.content)).collect();
        Self { inputs, unreadable, n_ignored: dataset.n_ignored }
    }
}
