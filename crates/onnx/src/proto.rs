//! ONNX's messages, as far as surgery needs them. Field numbers: `onnx/onnx.proto`, ONNX 1.23.
//!
//! Fields left out here (doc strings, sparse tensors, typed tensor data, functions, …) survive in
//! `unknown`. Public fields are plain data; `None` means the field was not in the file.

use bytes::Bytes;

use crate::wire::messages;

messages! {
    /// `ModelProto`: a graph, the operator sets it needs and free-form metadata.
    pub struct ModelProto {
        /// Version of the file format.
        ir_version: Option<i64> = 1,
        /// Program that wrote the file.
        producer_name: Option<String> = 2,
        /// Version of that program.
        producer_version: Option<String> = 3,
        /// The main graph.
        graph: Option<GraphProto> = 7,
        /// Operator sets, one per domain; the domain `""` is `ai.onnx`.
        opset_import: Vec<OperatorSetIdProto> = 8,
        /// Key–value pairs.
        metadata_props: Vec<StringStringEntryProto> = 14,
    }

    /// `OperatorSetIdProto`: a domain and the version of its operators.
    pub struct OperatorSetIdProto {
        /// Domain; absent or empty for `ai.onnx`.
        domain: Option<String> = 1,
        /// Version.
        version: Option<i64> = 2,
    }

    /// `StringStringEntryProto`: a key and a value.
    pub struct StringStringEntryProto {
        /// Key.
        key: Option<String> = 1,
        /// Value.
        value: Option<String> = 2,
    }

    /// `GraphProto`: nodes in topological order, weights, inputs and outputs.
    pub struct GraphProto {
        /// Nodes, each after the nodes it reads from.
        node: Vec<NodeProto> = 1,
        /// Name.
        name: Option<String> = 2,
        /// Weights and constants.
        initializer: Vec<TensorProto> = 5,
        /// Inputs; before IR version 4 the initializers are listed here too.
        input: Vec<ValueInfoProto> = 11,
        /// Outputs.
        output: Vec<ValueInfoProto> = 12,
        /// Types of tensors in between.
        value_info: Vec<ValueInfoProto> = 13,
    }

    /// `NodeProto`: one operator.
    pub struct NodeProto {
        /// Names of the tensors it reads; an empty name is an optional input left out.
        input: Vec<String> = 1,
        /// Names of the tensors it writes.
        output: Vec<String> = 2,
        /// Name of the node.
        name: Option<String> = 3,
        /// Operator, `Conv` for instance.
        op_type: Option<String> = 4,
        /// Attributes.
        attribute: Vec<AttributeProto> = 5,
        /// Domain of the operator; absent or empty for `ai.onnx`.
        domain: Option<String> = 7,
    }

    /// `AttributeProto`: a named constant of a node.
    pub struct AttributeProto {
        /// Name.
        name: Option<String> = 1,
        /// A float.
        f: Option<f32> = 2,
        /// An integer.
        i: Option<i64> = 3,
        /// Text.
        s: Option<Bytes> = 4,
        /// A tensor.
        t: Option<TensorProto> = 5,
        /// A graph (the body of `If`, `Loop`, `Scan`).
        g: Option<GraphProto> = 6,
        /// Floats.
        floats: Vec<f32> = 7,
        /// Integers.
        ints: Vec<i64> = 8,
        /// Tensors.
        tensors: Vec<TensorProto> = 10,
        /// Graphs.
        graphs: Vec<GraphProto> = 11,
        /// Which of the above it is (`AttributeProto.AttributeType`).
        r#type: Option<i64> = 20,
    }

    /// `TensorProto`: a weight or constant.
    pub struct TensorProto {
        /// Shape.
        dims: Vec<i64> = 1,
        /// Element type ([`crate::data_type`]).
        data_type: Option<i64> = 2,
        /// Name.
        name: Option<String> = 8,
        /// Elements, little endian, row-major, when they are in the file and not in a typed field.
        raw_data: Option<Bytes> = 9,
        /// Where the elements lie when they are in another file: `location`, `offset`, `length`.
        external_data: Vec<StringStringEntryProto> = 13,
        /// 1 when the elements are in another file.
        data_location: Option<i64> = 14,
    }

    /// `ValueInfoProto`: name and type of a tensor.
    pub struct ValueInfoProto {
        /// Name.
        name: Option<String> = 1,
        /// Type.
        r#type: Option<TypeProto> = 2,
    }

    /// `TypeProto`: only tensors are read; sequences, maps and optionals survive in `unknown`.
    pub struct TypeProto {
        /// Element type and shape of a tensor.
        tensor_type: Option<TensorTypeProto> = 1,
    }

    /// `TypeProto.Tensor`: element type and shape.
    pub struct TensorTypeProto {
        /// Element type ([`crate::data_type`]).
        elem_type: Option<i64> = 1,
        /// Shape; absent when not even the rank is known.
        shape: Option<TensorShapeProto> = 2,
    }

    /// `TensorShapeProto`: dimensions.
    pub struct TensorShapeProto {
        /// Dimensions.
        dim: Vec<DimensionProto> = 1,
    }

    /// `TensorShapeProto.Dimension`: a number, a name, or unknown.
    pub struct DimensionProto {
        /// Fixed size.
        dim_value: Option<i64> = 1,
        /// Symbolic size, `N` for instance.
        dim_param: Option<String> = 2,
    }
}
