//! A model file made ready: cut at the tap, taking uint8 pixels, with the identity of its embeddings.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use headstart_onnx::{
    OnnxModel, PixelInput, Pool, Tap, cut, data_type, find_tap, is_quantized, make_batch_dynamic,
    take_pixels, tap_at, to_f16,
};

use crate::decode::DECODER;
use crate::error::BackboneError;
use crate::preprocess::Preprocess;
use crate::registry::ModelSpec;
use crate::resize::RESIZER;

/// A backbone ready to be loaded: uint8 images in, embeddings out.
#[derive(Debug, Clone)]
pub struct CutModel {
    /// Id of the model.
    pub id: String,
    /// The cut graph with its pixel input.
    pub graph: OnnxModel,
    /// The cut graph with the input it had.
    pub(crate) float_graph: OnnxModel,
    /// What makes its input of pixels.
    pub(crate) pixel_input: PixelInput,
    /// Where it was cut.
    pub tap: Tap,
    /// How images become its input.
    pub preprocess: Preprocess,
    /// SHA-256 of the file it came from, hexadecimal.
    pub sha256: String,
    /// Why samples must be run one by one, if they must.
    pub one_by_one: Option<String>,
    /// Whether the pooling was asked for; else it is chosen by the rank of the tap.
    pool_is_chosen: bool,
}

impl CutModel {
    /// Reads a model file, makes its batch dynamic, cuts it and gives it a pixel input.
    ///
    /// # Errors
    /// [`BackboneError::Model`] when the file does not read or cannot be cut;
    /// [`BackboneError::Shape`] when it does not take one image;
    /// [`BackboneError::Preprocess`] when the preprocessing does not fit it.
    pub fn load(path: &Path, spec: &ModelSpec) -> Result<Self, BackboneError> {
        let bytes =
            std::fs::read(path).map_err(|source| BackboneError::Read { path: path.to_owned(), source })?;
        let mut hasher = Sha256::new_with_prefix(&bytes);
        let model = OnnxModel::from_file_bytes(bytes, path).map_err(|err| model_error(&spec.id, err))?;
        // Weights in other files are as much the model as the file that names them.
        for path in model.external_data_files().map_err(|err| model_error(&spec.id, err))? {
            let read_error = |source| BackboneError::Read { path: path.clone(), source };
            let mut file = std::fs::File::open(&path).map_err(read_error)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                match file.read(&mut buffer).map_err(read_error)? {
                    0 => break,
                    n => hasher.update(&buffer[..n]),
                }
            }
        }
        Self::from_model(model, hex(&hasher.finalize()), spec)
    }

    /// As [`load`](Self::load), from memory.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], spec: &ModelSpec) -> Result<Self, BackboneError> {
        let sha256 = hex(&Sha256::digest(bytes));
        let model = OnnxModel::from_bytes(bytes.to_vec()).map_err(|err| model_error(&spec.id, err))?;
        Self::from_model(model, sha256, spec)
    }

    fn from_model(mut model: OnnxModel, sha256: String, spec: &ModelSpec) -> Result<Self, BackboneError> {
        let failed = |err| model_error(&spec.id, err);
        spec.preprocess.check()?;
        let channels_first = image_layout(&model, spec)?;
        make_batch_dynamic(&mut model).map_err(failed)?;
        let mut tap = match &spec.tap {
            Some(tensor) => tap_at(&model, tensor),
            None => find_tap(&model),
        }
        .map_err(failed)?;
        let pool_is_chosen = spec.pool.is_some();
        tap.pool = spec.pool.unwrap_or(tap.pool);
        let one_by_one = dynamic_quantisation(&model);
        let float_graph = cut(&model, &tap).map_err(failed)?;
        let (mean, std) = spec.preprocess.mean_std_levels();
        let pixel_input = PixelInput {
            height: spec.preprocess.size[0] as usize,
            width: spec.preprocess.size[1] as usize,
            mean,
            std,
            channels_first,
        };
        let graph = take_pixels(&float_graph, &pixel_input).map_err(failed)?;
        Ok(Self {
            id: spec.id.clone(),
            graph,
            float_graph,
            pixel_input,
            tap,
            preprocess: spec.preprocess.clone(),
            sha256,
            one_by_one,
            pool_is_chosen,
        })
    }

    /// Pools the output of a tap that turned out to have positions, where no pooling was asked for.
    ///
    /// The rank of a tap is known only once the model is loaded.
    pub(crate) fn pooled_by_rank(&self, rank: usize) -> Result<Option<Self>, BackboneError> {
        if self.pool_is_chosen || self.tap.pool != Pool::None || rank <= 2 {
            return Ok(None);
        }
        if rank != 4 {
            return Err(BackboneError::Shape {
                model: self.id.clone(),
                expected: "a tap of one row an image, or a choice of pooling: `mean`, `first` or `none`"
                    .to_owned(),
                actual: format!("tap `{}` of rank {rank}", self.tap.tensor),
            });
        }
        // The tensor itself may have been renamed or cast on the way out.
        let output = Tap { tensor: self.graph.output_names()[0].clone(), pool: Pool::Mean };
        let [graph, float_graph] = [&self.graph, &self.float_graph].map(|it| cut(it, &output));
        let graph = graph.map_err(|err| model_error(&self.id, err))?;
        let float_graph = float_graph.map_err(|err| model_error(&self.id, err))?;
        let tap = Tap { tensor: self.tap.tensor.clone(), pool: Pool::Mean };
        Ok(Some(Self { graph, float_graph, tap, ..self.clone() }))
    }

    /// The same in half floats: pixels are normalised in f32, embeddings come out as f32.
    ///
    /// # Errors
    /// [`BackboneError::Model`] when the graph has operators that take f32 only.
    pub fn to_f16(&self) -> Result<Self, BackboneError> {
        let failed = |err| model_error(&self.id, err);
        let float_graph = to_f16(&self.float_graph).map_err(failed)?;
        let graph = take_pixels(&float_graph, &self.pixel_input).map_err(failed)?;
        Ok(Self { graph, float_graph, ..self.clone() })
    }

    /// Whether it computes in 8-bit integers.
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        is_quantized(&self.graph)
    }

    /// What the embeddings depend on besides the image and the runtime.
    pub(crate) fn description(&self) -> Map<String, Value> {
        let mut description = Map::new();
        description.insert("model_sha256".to_owned(), json!(self.sha256));
        description.insert("tap".to_owned(), json!(self.tap));
        description.insert("preprocess".to_owned(), json!(self.preprocess));
        description.insert("decoder".to_owned(), json!(DECODER));
        description.insert("resizer".to_owned(), json!(RESIZER));
        description
    }
}

pub(crate) fn model_error(id: &str, err: headstart_onnx::OnnxError) -> BackboneError {
    BackboneError::Model { model: id.to_owned(), source: Box::new(err) }
}

/// Whether the model takes `(n, c, h, w)`; checks that its input is one image of the size the
/// preprocessing makes.
fn image_layout(model: &OnnxModel, spec: &ModelSpec) -> Result<bool, BackboneError> {
    let input = model.single_input().map_err(|err| model_error(&spec.id, err))?;
    let preprocess = &spec.preprocess;
    let channels = preprocess.n_channels() as i64;
    let shape_error = |actual: String| BackboneError::Shape {
        model: spec.id.clone(),
        expected: format!(
            "one float input of {channels} channels and {}×{} pixels (set size, short-side and channels to what the model takes)",
            preprocess.size[0], preprocess.size[1]
        ),
        actual,
    };
    if input.elem_type() == Some(data_type::UINT8) {
        return Err(shape_error(format!(
            "uint8 pixels as `{}`, as a model takes that was exported with its head; a backbone takes floats",
            input.name()
        )));
    }
    let float = [data_type::FLOAT, data_type::FLOAT16];
    if !input.elem_type().is_some_and(|it| float.contains(&it)) {
        let element = input.elem_type().map_or("none".to_owned(), |it| it.to_string());
        return Err(shape_error(format!("ONNX element type {element} of `{}`", input.name())));
    }
    let dims = input.dims().filter(|it| it.len() == 4).ok_or_else(|| {
        shape_error(format!(
            "shape {} of `{}`",
            input.dims().map_or("unknown".to_owned(), |it| shape(&it)),
            input.name()
        ))
    })?;
    let size = preprocess.size.map(i64::from);
    let fits =
        |it: &[Option<i64>], want: [i64; 3]| it.iter().zip(want).all(|(a, b)| a.is_none_or(|a| a == b));
    let (first, last) =
        (fits(&dims[1..], [channels, size[0], size[1]]), fits(&dims[1..], [size[0], size[1], channels]));
    // Fully symbolic shapes fit both; channels first is what PyTorch writes.
    if first || last {
        Ok(first)
    } else {
        Err(shape_error(format!("shape {} of `{}`", shape(&dims), input.name())))
    }
}

/// `[N, 3, 224, 224]`
fn shape(dims: &[Option<i64>]) -> String {
    let dims = dims.iter().map(|it| it.map_or("N".to_owned(), |it| it.to_string()));
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

/// Dynamic quantisation takes its scales from the batch, so that embeddings depend on their neighbours.
fn dynamic_quantisation(model: &OnnxModel) -> Option<String> {
    let nodes = model.proto().graph.as_ref().map(|it| it.node.as_slice()).unwrap_or_default();
    let found = nodes.iter().filter_map(|it| it.op_type.as_deref()).find(|it| it.starts_with("Dynamic"));
    found.map(|it| format!("dynamically quantised ({it}): embeddings would depend on the batch"))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string never fails");
        text
    })
}
