//! Cutting a graph at a tap: everything behind it goes, nodes and weights.

use std::collections::HashSet;

use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::pool::append_pool;
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, NodeProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};
use crate::tap::{Pool, Tap};

/// Name of the embedding where the cut has to append a pooling of its own.
pub const EMBEDDING: &str = "headstart_embedding";

/// Cuts a model at a tap: its only output is the embedding, and everything that output does not need
/// is gone. The embedding is `(n, n_features)` when the tap is pooled, else what the tap is.
///
/// # Errors
/// [`OnnxError::NoSuchTensor`] when the graph does not have the tensor; [`OnnxError::OpsetTooOld`] where the
/// pooling needs operators that its opset does not have.
///
/// # Examples
/// ```no_run
/// # fn main() -> Result<(), headstart_onnx::OnnxError> {
/// use headstart_onnx::{OnnxModel, cut, find_tap, make_batch_dynamic};
///
/// let mut model = OnnxModel::load("resnet18.onnx".as_ref())?;
/// make_batch_dynamic(&mut model)?;
/// let tap = find_tap(&model)?;
/// let backbone = cut(&model, &tap)?;
/// backbone.save("resnet18.backbone.onnx".as_ref())?;
/// # Ok(())
/// # }
/// ```
pub fn cut(model: &OnnxModel, tap: &Tap) -> Result<OnnxModel, OnnxError> {
    model.check_tensor(&tap.tensor)?;
    let opset = model.opset();
    let mut cut = model.clone();
    cut.allow_free_initializers();
    let rank = known_rank(model, &tap.tensor);
    let graph = cut.graph_mut();
    // Embeddings are f32 whatever the backbone computes in.
    let tensor = if let Some([scale, zero]) = quantised_by(model, &tap.tensor) {
        let output = format!("{EMBEDDING}_f32");
        graph.node.push(NodeProto::new("DequantizeLinear", &[&tap.tensor, &scale, &zero], &output, vec![]));
        output
    } else if is_f32(model, &tap.tensor) {
        tap.tensor.clone()
    } else {
        append_cast(graph, &tap.tensor)
    };
    let output = append_pool(graph, &tensor, tap.pool, rank, opset)?;
    let mut info = tensor_info(&output, data_type::FLOAT, &[Dim::Batch, Dim::Unknown]);
    if tap.pool == Pool::None && rank != Some(2) {
        // A declared rank that is wrong would make the runtime refuse the graph.
        info.r#type.iter_mut().filter_map(|it| it.tensor_type.as_mut()).for_each(|it| it.shape = None);
    }
    graph.output = vec![info];
    remove_dead(graph);
    Ok(cut)
}

/// Declares the rank of a model's output, which the file did not and the runtime does.
pub fn declare_rank(model: &mut OnnxModel, rank: usize) {
    let dims: Vec<Dim> = (0..rank).map(|it| if it == 0 { Dim::Batch } else { Dim::Unknown }).collect();
    for output in &mut model.graph_mut().output {
        let element = output.elem_type().unwrap_or(data_type::FLOAT);
        *output = tensor_info(output.name(), element, &dims);
    }
}

/// The rank of a tensor, where the file says it or what follows implies it.
#[must_use]
pub fn known_rank(model: &OnnxModel, tensor: &str) -> Option<usize> {
    const RANK_PRESERVING: [&str; 14] = [
        "Add",
        "Cast",
        "Clip",
        "DequantizeLinear",
        "Dropout",
        "Identity",
        "MatMul",
        "QLinearAdd",
        "QLinearMatMul",
        "QuantizeLinear",
        "Relu",
        "Sigmoid",
        "Softmax",
        "LogSoftmax",
    ];
    let graph = model.graph();
    let mut tensor = tensor;
    for _ in 0..=graph.node.len() {
        let infos = graph.value_info.iter().chain(&graph.output).chain(&graph.input);
        if let Some(dims) = infos.filter(|it| it.name() == tensor).find_map(|it| it.dims()) {
            return Some(dims.len());
        }
        let reader = graph.node.iter().find(|it| it.input.first().is_some_and(|it| it == tensor))?;
        match reader.op() {
            "Gemm" | "QGemm" => return Some(2),
            op if RANK_PRESERVING.contains(&op) => tensor = reader.output.first()?,
            _ => return None,
        }
    }
    None
}

/// Scale and zero point of a tensor of 8-bit integers, where an operator of the `QLinear` kind says it: the one
/// that writes it, before operators that only move numbers, else one that reads it.
fn quantised_by(model: &OnnxModel, tensor: &str) -> Option<[String; 2]> {
    let producers = model.producers();
    let pair = |node: &NodeProto, at: usize| {
        let input = |it: usize| node.input.get(it).filter(|it| !it.is_empty()).cloned();
        Some([input(at)?, input(at + 1)?])
    };
    let mut written = tensor;
    for _ in 0..producers.len() {
        let Some(node) = producers.get(written) else { break };
        match node.op() {
            "QuantizeLinear" => return pair(node, 1),
            "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => return pair(node, 6),
            "QGemm" => return pair(node, 7),
            "QLinearAveragePool" | "QLinearGlobalAveragePool" | "QLinearLeakyRelu" | "QLinearSigmoid" => {
                return pair(node, 3);
            }
            "QLinearConcat" => return pair(node, 0),
            "Flatten" | "Identity" | "MaxPool" | "Reshape" | "Squeeze" | "Transpose" | "Unsqueeze" => {
                written = node.input.first()?;
            }
            _ => break,
        }
    }
    let reader = model.graph().node.iter().find(|it| it.input.first().is_some_and(|it| it == tensor))?;
    ["QLinearConv", "QLinearMatMul", "QGemm", "QLinearGlobalAveragePool"]
        .contains(&reader.op())
        .then(|| pair(reader, 1))
        .flatten()
}

/// Whether a tensor holds 32-bit floats: by its declared type, else because nothing in the graph is of
/// another float type.
fn is_f32(model: &OnnxModel, tensor: &str) -> bool {
    let graph = model.graph();
    let infos = || graph.value_info.iter().chain(&graph.output).chain(&graph.input);
    if let Some(known) = infos().filter(|it| it.name() == tensor).find_map(|it| it.elem_type()) {
        return known == data_type::FLOAT;
    }
    let weights = graph.initializer.iter().filter_map(|it| it.data_type);
    let mut types = weights.chain(infos().filter_map(|it| it.elem_type()));
    let other = [data_type::FLOAT16, data_type::BFLOAT16, data_type::DOUBLE];
    !types.any(|it| other.contains(&it))
}

fn append_cast(graph: &mut GraphProto, tensor: &str) -> String {
    let output = format!("{EMBEDDING}_f32");
    let to = AttributeProto::int("to", data_type::FLOAT);
    graph.node.push(NodeProto::new("Cast", &[tensor], &output, vec![to]));
    output
}

/// A dimension of a tensor that surgery declares.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dim {
    Batch,
    Unknown,
    Fixed(usize),
}

pub(crate) fn tensor_info(name: &str, elem_type: i64, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| match dim {
        Dim::Batch => DimensionProto { dim_param: Some("N".to_owned()), ..Default::default() },
        Dim::Fixed(n) => DimensionProto { dim_value: Some(*n as i64), ..Default::default() },
        Dim::Unknown => DimensionProto::default(),
    });
    let shape = TensorShapeProto { dim: dim.collect(), ..Default::default() };
    let tensor_type =
        TensorTypeProto { elem_type: Some(elem_type), shape: Some(shape), ..Default::default() };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type), ..Default::default() }),
        ..Default::default()
    }
}

/// Removes nodes, weights, inputs and type notes that no output needs.
pub(crate) fn remove_dead(graph: &mut GraphProto) {
    let mut needed: HashSet<String> = graph.output.iter().map(|it| it.name().to_owned()).collect();
    let mut keep = vec![false; graph.node.len()];
    // Nodes are in topological order, so one pass from the end reaches everything.
    for (node, keep) in graph.node.iter().zip(&mut keep).rev() {
        if node.output.iter().any(|it| needed.contains(it)) {
            *keep = true;
            read_names(node, &mut needed);
        }
    }
    let mut keep = keep.into_iter();
    graph.node.retain(|_| keep.next().expect("one flag per node"));
    let produced: HashSet<&str> = graph.node.iter().flat_map(|it| &it.output).map(String::as_str).collect();
    graph.value_info.retain(|it| produced.contains(it.name()));
    graph.initializer.retain(|it| needed.contains(it.name()));
    graph.input.retain(|it| needed.contains(it.name()));
}

/// Adds every name a node reads: its inputs, and what the bodies of control flow take from outside.
fn read_names(node: &NodeProto, names: &mut HashSet<String>) {
    names.extend(node.input.iter().filter(|it| !it.is_empty()).cloned());
    for body in node.attribute.iter().flat_map(|it| it.g.iter().chain(&it.graphs)) {
        // Names a body defines itself are added too: harmless, they only might keep a namesake alive.
        names.extend(body.output.iter().map(|it| it.name().to_owned()));
        body.node.iter().for_each(|node| read_names(node, names));
    }
}
