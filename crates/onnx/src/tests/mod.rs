//! Surgery on graphs built by hand, damaged bytes, external data.

mod attach;
mod cutting;
mod equalize;
mod files;
mod quantize;
mod quantize_odd;
mod taps;

use crate::model::{OnnxModel, data_type};
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::wire::Message;
use crate::{
    EMBEDDING, Layer, Nonlinearity, OnnxError, PixelInput, Pool, Summary, Tap, attach_head, channels_last,
    cut, find_tap, make_batch_dynamic, randomness, rescaling, take_pixels, tap_at, to_f16,
};

fn tensor(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|it| DimensionProto {
        dim_value: (*it > 0).then_some(*it),
        dim_param: (*it <= 0).then(|| "N".to_owned()),
        ..Default::default()
    });
    let shape = TensorShapeProto { dim: dim.collect(), ..Default::default() };
    let tensor_type = TensorTypeProto { elem_type: Some(1), shape: Some(shape), ..Default::default() };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type: Some(tensor_type), ..Default::default() }),
        ..Default::default()
    }
}

fn weight(name: &str, dims: &[usize]) -> TensorProto {
    TensorProto::from_f32(name, dims, &vec![0.5; dims.iter().product()])
}

fn shape_constant(name: &str, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|it| it.to_le_bytes()).collect();
    TensorProto::from_raw(name, data_type::INT64, &[values.len()], raw)
}

/// A graph from `x` with nodes given as `op(inputs) -> output`.
fn model(
    nodes: &[(&str, &[&str], &str)],
    weights: Vec<TensorProto>,
    outputs: &[ValueInfoProto],
) -> OnnxModel {
    // Of several outputs the names have spaces between them.
    let node = nodes.iter().map(|(op, inputs, output)| {
        let outputs = output.split(' ').map(str::to_owned).collect();
        NodeProto { output: outputs, ..NodeProto::new(op, inputs, output, vec![]) }
    });
    let graph = GraphProto {
        node: node.collect(),
        initializer: weights,
        input: vec![tensor("x", &[1, 3, 8, 8])],
        output: outputs.to_vec(),
        ..Default::default()
    };
    let proto = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { version: Some(17), ..Default::default() }],
        ..Default::default()
    };
    OnnxModel::from_bytes(encode(&proto)).unwrap()
}

fn encode(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    assert_eq!(out.len(), message.encoded_len(), "the length is computed as it is written");
    out
}

fn operators(model: &OnnxModel) -> Vec<String> {
    model.graph().node.iter().map(NodeProto::operator).collect()
}

/// Pool, flatten, two fully connected layers, softmax: VGG in small.
fn vgg() -> OnnxModel {
    model(
        &[
            ("GlobalAveragePool", &["x"], "pool"),
            ("Flatten", &["pool"], "flat"),
            ("Gemm", &["flat", "w1", "b1"], "hidden"),
            ("Relu", &["hidden"], "active"),
            ("Gemm", &["active", "w2", "b2"], "logits"),
            ("Softmax", &["logits"], "probabilities"),
        ],
        vec![weight("w1", &[3, 4]), weight("b1", &[4]), weight("w2", &[4, 2]), weight("b2", &[2])],
        &[tensor("probabilities", &[1, 2])],
    )
}
