//! What is in a file, as plain data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{OnnxModel, data_type};
use crate::proto::ValueInfoProto;

/// What is in a model: inputs, outputs, operator sets, operators, parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Version of the file format.
    pub ir_version: i64,
    /// Program that wrote the file.
    pub producer: String,
    /// Version of the operators, by domain; `ai.onnx` is the standard one.
    pub opsets: BTreeMap<String, i64>,
    /// Inputs that are no weights.
    pub inputs: Vec<TensorSummary>,
    /// Outputs.
    pub outputs: Vec<TensorSummary>,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, usize>,
    /// Elements of all weights together.
    pub n_parameters: u64,
    /// Metadata of the file.
    pub metadata: BTreeMap<String, String>,
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorSummary {
    /// Name.
    pub name: String,
    /// Element type, `float32` for instance.
    pub dtype: String,
    /// Dimensions: numbers, or names of symbolic ones; empty when the rank is unknown.
    pub shape: Vec<String>,
}

impl Summary {
    /// Lists what is in a model.
    #[must_use]
    pub fn of(model: &OnnxModel) -> Self {
        let proto = model.proto();
        let mut operators = BTreeMap::new();
        for node in &model.graph().node {
            *operators.entry(node.operator()).or_default() += 1;
        }
        let opsets = proto.opset_import.iter().map(|opset| {
            let domain = opset.domain.as_deref().filter(|it| !it.is_empty()).unwrap_or("ai.onnx");
            (domain.to_owned(), opset.version.unwrap_or(1))
        });
        let metadata = proto
            .metadata_props
            .iter()
            .map(|it| (it.key.clone().unwrap_or_default(), it.value.clone().unwrap_or_default()));
        let weights = &model.graph().initializer;
        Self {
            ir_version: proto.ir_version.unwrap_or(0),
            producer: proto.producer_name.clone().unwrap_or_default(),
            opsets: opsets.collect(),
            inputs: model.inputs().into_iter().map(TensorSummary::of).collect(),
            outputs: model.graph().output.iter().map(TensorSummary::of).collect(),
            operators,
            n_parameters: weights
                .iter()
                .filter_map(|it| it.n_elements())
                .fold(0, |sum, n| sum.saturating_add(n as u64)),
            metadata: metadata.collect(),
        }
    }
}

impl TensorSummary {
    fn of(value: &ValueInfoProto) -> Self {
        let shape = value.r#type.as_ref().and_then(|it| it.tensor_type.as_ref()?.shape.as_ref());
        let dims = shape.map(|it| it.dim.as_slice()).unwrap_or_default();
        let dims = dims.iter().map(|dim| match (dim.dim_value, dim.dim_param.as_deref()) {
            (Some(value), _) => value.to_string(),
            (None, Some(name)) if !name.is_empty() => name.to_owned(),
            _ => "?".to_owned(),
        });
        Self {
            name: value.name().to_owned(),
            dtype: dtype_name(value.elem_type()).to_owned(),
            shape: dims.collect(),
        }
    }
}

fn dtype_name(elem_type: Option<i64>) -> &'static str {
    match elem_type {
        Some(data_type::FLOAT) => "float32",
        Some(data_type::UINT8) => "uint8",
        Some(data_type::INT8) => "int8",
        Some(data_type::INT32) => "int32",
        Some(data_type::INT64) => "int64",
        Some(data_type::FLOAT16) => "float16",
        Some(data_type::DOUBLE) => "float64",
        Some(data_type::BFLOAT16) => "bfloat16",
        Some(8) => "string",
        Some(data_type::BOOL) => "bool",
        Some(_) => "other",
        None => "unknown",
    }
}

/// Whether a graph has an operator of one of these names; bodies of control flow are not looked into.
#[must_use]
pub fn has_operator(model: &OnnxModel, operators: &[&str]) -> bool {
    model.graph().node.iter().any(|it| operators.contains(&it.op()))
}
