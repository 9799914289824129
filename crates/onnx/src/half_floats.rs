//! A graph in half floats.

use std::collections::HashSet;

use half::f16;

use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::names::Names;
use crate::proto::{AttributeProto, NodeProto, TensorProto, ValueInfoProto};

/// Operators of which some inputs or attributes are f32 whatever the others are.
const SINGLE_FLOATS: [&str; 6] =
    ["Resize", "Upsample", "QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomUniform"];

/// Field of `GraphProto`.
const SPARSE_INITIALIZER: u32 = 15;

/// Turns a graph of 32-bit floats into one of 16: weights, constants and what is computed from them. Its
/// float inputs become half floats; its outputs stay what they were.
///
/// Weights beyond the largest half float, 65504, become that. For devices that compute faster in half
/// floats; a CPU does not.
///
/// # Errors
/// [`OnnxError::NotConvertible`] for a graph with control flow, or with operators that take f32 only;
/// [`OnnxError::Tensor`] and [`OnnxError::ExternalData`] for weights that do not read.
pub fn to_f16(model: &OnnxModel) -> Result<OnnxModel, OnnxError> {
    let refused = |reason: String| Err(OnnxError::NotConvertible { reason });
    for node in &model.graph().node {
        if SINGLE_FLOATS.contains(&node.op()) {
            return refused(format!("{} takes f32", node.operator()));
        }
        let is_single = |name: Option<&str>| matches!(name, Some("value_float" | "value_floats"));
        if node.op() == "Constant" && node.attribute.iter().any(|it| is_single(it.name.as_deref()))
            || node.op() == "ConstantOfShape" && node.attribute("value").is_none()
        {
            return refused(format!("{} makes f32", node.operator()));
        }
        if node.attribute.iter().any(|it| it.g.is_some() || !it.graphs.is_empty()) {
            return refused(format!("{} has a graph of its own", node.operator()));
        }
    }
    if model.graph().unknown.payloads(SPARSE_INITIALIZER).next().is_some() {
        return refused("it has sparse weights".to_owned());
    }
    let names = Names::new(model, "f16");
    let mut half = model.clone();
    half.allow_free_initializers();
    let graph = half.graph_mut();
    for tensor in &mut graph.initializer {
        to_half(model, tensor)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|it| &mut it.attribute) {
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            to_half(model, tensor)?;
        }
    }
    for node in graph.node.iter_mut().filter(|it| it.op() == "Cast") {
        let to = node.attribute.iter_mut().find(|it| it.name.as_deref() == Some("to"));
        if let Some(to) = to.filter(|it| it.i == Some(data_type::FLOAT)) {
            to.i = Some(data_type::FLOAT16);
        }
    }
    graph.input.iter_mut().chain(&mut graph.value_info).for_each(narrow);
    // What was f32 on the way out is cast back, under its own name.
    let outputs: HashSet<String> = graph
        .output
        .iter()
        .filter(|it| it.elem_type().is_none_or(|it| it == data_type::FLOAT))
        .map(|it| it.name().to_owned())
        .collect();
    for name in graph.node.iter_mut().flat_map(|it| it.input.iter_mut().chain(&mut it.output)) {
        if outputs.contains(name) {
            *name = names.of("half", name);
        }
    }
    let cast = |name: &String| {
        let to = AttributeProto::int("to", data_type::FLOAT);
        NodeProto::new("Cast", &[&names.of("half", name)], name, vec![to])
    };
    let mut casts: Vec<NodeProto> = outputs.iter().map(cast).collect();
    casts.sort_by(|a, b| a.output.cmp(&b.output));
    graph.node.extend(casts);
    Ok(half)
}

fn narrow(info: &mut ValueInfoProto) {
    let tensor = info.r#type.as_mut().and_then(|it| it.tensor_type.as_mut());
    if let Some(tensor) = tensor.filter(|it| it.elem_type == Some(data_type::FLOAT)) {
        tensor.elem_type = Some(data_type::FLOAT16);
    }
}

/// Rounds the elements of a tensor of f32, to nearest, ties to even.
fn to_half(model: &OnnxModel, tensor: &mut TensorProto) -> Result<(), OnnxError> {
    if tensor.data_type != Some(data_type::FLOAT) {
        return Ok(());
    }
    let bytes = model.tensor_bytes(tensor)?;
    let halves = bytes.as_chunks().0.iter().map(|bytes| {
        let value = f32::from_le_bytes(*bytes);
        // NaN stays what it is.
        f16::from_f32(if value.is_nan() { value } else { value.clamp(f16::MIN.into(), f16::MAX.into()) })
    });
    let raw = halves.flat_map(f16::to_le_bytes).collect();
    let shape = tensor.shape();
    *tensor = TensorProto::from_raw(tensor.name().to_owned(), data_type::FLOAT16, &shape, raw);
    Ok(())
}
