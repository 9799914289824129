//! One loaded model: named tensors in, named tensors out.

use headstart_input::{Data, Tensor};
use headstart_onnx::{OnnxModel, computes_in_integers};
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};

use super::builder::{session_builder, with_external_data};
use super::{Runtime, SessionConfig};
use crate::device::Device;
use crate::error::BackboneError;

/// A model's input or output as the runtime infers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// Name.
    pub name: String,
    /// Element type, `float32` for instance.
    pub dtype: String,
    /// Length of each dimension; `None` is any.
    pub shape: Vec<Option<usize>>,
}

/// One loaded model. A run needs it exclusively: the runtime's internals are not to be shared.
pub struct Session {
    session: ort::session::Session,
    inputs: Vec<Outlet>,
    outputs: Vec<Outlet>,
}

impl Session {
    /// Loads a model; a run of it takes `n_threads`, 0 leaving that to the runtime.
    ///
    /// # Errors
    /// [`BackboneError::Device`], [`BackboneError::Precision`] when the device cannot be used as asked;
    /// [`BackboneError::Session`] when the runtime refuses the model; [`BackboneError::Model`] for one of
    /// more than 2 GiB without external data.
    pub fn load(
        runtime: &Runtime,
        model: &OnnxModel,
        config: &SessionConfig,
        n_threads: usize,
    ) -> Result<Self, BackboneError> {
        let failed = |err| BackboneError::Model { model: "in memory".to_owned(), source: Box::new(err) };
        let bytes = model.to_bytes().map_err(failed)?;
        Self::from_bytes(runtime, model, &bytes, config, n_threads)
    }

    /// As [`load`](Self::load), the model's bytes made already.
    pub(crate) fn from_bytes(
        runtime: &Runtime,
        model: &OnnxModel,
        bytes: &[u8],
        config: &SessionConfig,
        n_threads: usize,
    ) -> Result<Self, BackboneError> {
        let failed = |source: ort::Error| BackboneError::Session {
            action: "load the model",
            source: Box::new(source),
        };
        let mut builder = session_builder(runtime, config, computes_in_integers(model), n_threads)?;
        if let Some(folder) = model.external_data_folder() {
            builder = with_external_data(builder, folder).map_err(failed)?;
        }
        let session = builder.commit_from_memory(bytes).map_err(|err| match config.device {
            Device::Cpu => failed(err),
            // The provider registered, then could not take the model: still the device's failure.
            device => BackboneError::Device {
                device: device.to_string(),
                reason: "the model does not run on it".to_owned(),
                source: Some(Box::new(err)),
            },
        })?;
        let inputs = session.inputs().iter().map(outlet).collect();
        let outputs = session.outputs().iter().map(outlet).collect();
        Ok(Self { session, inputs, outputs })
    }

    /// Inputs, in the graph's order.
    #[must_use]
    pub fn inputs(&self) -> &[Outlet] {
        &self.inputs
    }

    /// Outputs, in the graph's order.
    #[must_use]
    pub fn outputs(&self) -> &[Outlet] {
        &self.outputs
    }

    /// Runs the model on its inputs, given by name in any order, and returns its outputs in the graph's.
    ///
    /// # Errors
    /// [`BackboneError::Inputs`] when the names are not those of the graph;
    /// [`BackboneError::Session`] when the runtime refuses a shape or type, or fails;
    /// [`BackboneError::OutputType`] for an output of a type that [`Data`] does not have.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, BackboneError> {
        let mut tensors = Vec::with_capacity(self.outputs.len());
        self.run_and_visit(inputs, &mut |outlet, value| {
            tensors.push(tensor(outlet, value)?);
            Ok(())
        })?;
        Ok(tensors)
    }

    /// Runs a batch of `n` inputs, appends the rows of the first output to `out` and returns their width.
    pub(crate) fn run_rows(
        &mut self,
        n: usize,
        inputs: &[Tensor],
        out: &mut Vec<f32>,
    ) -> Result<usize, BackboneError> {
        let mut width = None;
        self.run_and_visit(inputs, &mut |_, value| {
            if width.is_none() {
                let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed_run)?;
                // What the shape says first is not trusted: a squeezed output has no batch dimension at all.
                if n == 0 || !values.len().is_multiple_of(n) {
                    return Err(BackboneError::Output { n_inputs: n, shape: shape.to_vec() });
                }
                out.extend_from_slice(values);
                width = Some(values.len() / n);
            }
            Ok(())
        })?;
        width.ok_or(BackboneError::Output { n_inputs: n, shape: Vec::new() })
    }

    /// Runs the model and shows every output, all of them floats: its index, shape and values.
    pub(crate) fn run_floats(
        &mut self,
        inputs: &[Tensor],
        visit: &mut impl FnMut(usize, &[usize], &[f32]),
    ) -> Result<(), BackboneError> {
        let mut index = 0;
        self.run_and_visit(inputs, &mut |_, value| {
            let (shape, values) = value.try_extract_tensor::<f32>().map_err(failed_run)?;
            visit(index, &lengths(shape), values);
            index += 1;
            Ok(())
        })
    }

    fn run_and_visit(
        &mut self,
        inputs: &[Tensor],
        visit: &mut dyn FnMut(&Outlet, &DynValue) -> Result<(), BackboneError>,
    ) -> Result<(), BackboneError> {
        let Self { session, inputs: expected, outputs } = self;
        // In the graph's own order.
        let mut values = Vec::with_capacity(expected.len());
        for outlet in expected.iter() {
            let given = inputs.iter().find(|it| it.name == outlet.name);
            values.push((&*outlet.name, value(given.ok_or_else(|| mismatch(expected, inputs))?)?));
        }
        if inputs.len() != expected.len() {
            return Err(mismatch(expected, inputs));
        }
        let results = session.run(values).map_err(failed_run)?;
        outputs.iter().try_for_each(|it| visit(it, &results[it.name.as_str()]))
    }
}

fn failed_run(source: ort::Error) -> BackboneError {
    BackboneError::Session { action: "run the model", source: Box::new(source) }
}

fn mismatch(expected: &[Outlet], inputs: &[Tensor]) -> BackboneError {
    BackboneError::Inputs {
        expected: expected.iter().map(|it| it.name.clone()).collect(),
        actual: inputs.iter().map(|it| it.name.clone()).collect(),
    }
}

/// A view of a tensor as the runtime wants it.
fn value(tensor: &Tensor) -> Result<SessionInputValue<'_>, BackboneError> {
    let shape = tensor.shape.as_slice();
    Ok(match &tensor.data {
        Data::U8(it) => TensorRef::from_array_view((shape, it.as_slice())).map_err(failed_run)?.into(),
        Data::I32(it) => TensorRef::from_array_view((shape, it.as_slice())).map_err(failed_run)?.into(),
        Data::I64(it) => TensorRef::from_array_view((shape, it.as_slice())).map_err(failed_run)?.into(),
        Data::F32(it) => TensorRef::from_array_view((shape, it.as_slice())).map_err(failed_run)?.into(),
    })
}

/// A copy of an output.
fn tensor(outlet: &Outlet, value: &DynValue) -> Result<Tensor, BackboneError> {
    let other = || BackboneError::OutputType { output: outlet.name.clone(), dtype: outlet.dtype.clone() };
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Err(other()) };
    macro_rules! copied {
        ($variant:ident, $element:ty) => {{
            let (shape, values) = value.try_extract_tensor::<$element>().map_err(failed_run)?;
            (lengths(shape), Data::$variant(values.to_vec()))
        }};
    }
    let (shape, data) = match ty {
        TensorElementType::Uint8 => copied!(U8, u8),
        TensorElementType::Int32 => copied!(I32, i32),
        TensorElementType::Int64 => copied!(I64, i64),
        TensorElementType::Float32 => copied!(F32, f32),
        _ => return Err(other()),
    };
    Ok(Tensor::new(outlet.name.clone(), shape, data))
}

fn lengths(shape: &[i64]) -> Vec<usize> {
    shape.iter().map(|it| usize::try_from(*it).unwrap_or(0)).collect()
}

fn outlet(it: &ort::value::Outlet) -> Outlet {
    let (dtype, shape) = match it.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            // ONNX's and NumPy's names are Rust's in other words: `Float32`, `Int64`.
            let dtype = format!("{ty:?}").to_lowercase();
            (dtype, shape.iter().map(|dim| usize::try_from(*dim).ok()).collect())
        }
        _ => ("other".to_owned(), Vec::new()),
    };
    Outlet { name: it.name().to_owned(), dtype, shape }
}
