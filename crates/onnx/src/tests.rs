//! Surgery on graphs built by hand, damaged bytes, external data.

mod equalize;
mod quantize;

use crate::model::{OnnxModel, data_type};
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use crate::wire::Message;
use crate::{
    EMBEDDING, Layer, Nonlinearity, OnnxError, PixelInput, Pool, Summary, Tap, attach_head, cut, find_tap,
    make_batch_dynamic, take_pixels, tap_at, to_f16,
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
    let node = nodes.iter().map(|(op, inputs, output)| NodeProto::new(op, inputs, output, vec![]));
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

#[test]
fn the_tap_is_the_input_of_the_last_fully_connected_layer() {
    assert_eq!(find_tap(&vgg()).unwrap(), Tap { tensor: "active".to_owned(), pool: Pool::None });
}

#[test]
fn the_tap_is_found_in_every_form_of_classifier() {
    let dense = |op: &str| {
        model(
            &[
                ("Relu", &["x"], "features_in"),
                (op, &["features_in", "w"], "product"),
                ("Add", &["product", "b"], "y"),
            ],
            vec![weight("w", &[3, 2]), weight("b", &[2])],
            &[tensor("y", &[1, 2])],
        )
    };
    let squeezenet = model(
        &[
            ("Dropout", &["x"], "dropped"),
            ("Conv", &["dropped", "w", "b"], "conv"),
            ("Relu", &["conv"], "active"),
            ("GlobalAveragePool", &["active"], "pool"),
            ("Flatten", &["pool"], "y"),
        ],
        vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2])],
        &[tensor("y", &[1, 2])],
    );
    let quantised = model(
        &[
            ("Relu", &["x"], "float"),
            ("QuantizeLinear", &["float", "s", "z"], "quantised"),
            ("QLinearMatMul", &["quantised", "s", "z", "w", "s", "z", "s", "z"], "product"),
            ("DequantizeLinear", &["product", "s", "z"], "y"),
        ],
        vec![weight("w", &[3, 2]), weight("s", &[]), weight("z", &[])],
        &[tensor("y", &[1, 2])],
    );
    let keras = model(
        &[
            ("GlobalAveragePool", &["x"], "pool"),
            ("Conv", &["pool", "w", "b"], "conv"),
            ("Reshape", &["conv", "shape"], "logits"),
            ("Softmax", &["logits"], "y"),
        ],
        vec![weight("w", &[2, 3, 1, 1]), weight("b", &[2]), shape_constant("shape", &[-1, 2])],
        &[tensor("y", &[1, 2])],
    );
    let no_classifier = model(
        &[
            ("Conv", &["x", "w"], "conv"),
            ("Clip", &["conv"], "active"),
            ("GlobalAveragePool", &["active"], "features"),
        ],
        vec![weight("w", &[4, 3, 1, 1])],
        &[tensor("features", &[1, 4, 1, 1])],
    );
    let cases = [
        (dense("MatMul"), "features_in", Pool::None),
        (squeezenet, "dropped", Pool::Mean),
        (quantised, "float", Pool::None),
        (keras, "pool", Pool::Mean),
        (no_classifier, "features", Pool::Mean),
    ];
    let n_cases = cases.len();
    for (model, expected, pool) in cases {
        assert_eq!(find_tap(&model).unwrap(), Tap { tensor: expected.to_owned(), pool });
    }
    assert_eq!(n_cases, 5);
}

#[test]
fn several_outputs_without_a_classifier_ask_for_a_name() {
    let model = model(
        &[("Sin", &["x"], "a"), ("Cos", &["x"], "b")],
        vec![],
        &[tensor("a", &[1, 3, 8, 8]), tensor("b", &[1, 3, 8, 8])],
    );
    let err = find_tap(&model).unwrap_err().to_string();
    assert_eq!(
        err,
        "cannot tell where to cut: none of the outputs a, b ends in a classifier; name a tensor, one of: b, a"
    );
}

#[test]
fn a_tensor_that_is_not_there_is_refused_with_those_that_are() {
    let err = tap_at(&vgg(), "fc7").unwrap_err().to_string();
    assert!(
        err.starts_with(
            "no tensor named `fc7` in the graph; the last ones are: probabilities, logits, active"
        ),
        "{err}"
    );
    let tap = Tap { tensor: "fc7".to_owned(), pool: Pool::None };
    assert!(matches!(cut(&vgg(), &tap), Err(OnnxError::NoSuchTensor { .. })));
}

#[test]
fn a_cut_removes_the_nodes_and_weights_behind_it() {
    let cut = cut(&vgg(), &tap_at(&vgg(), "active").unwrap()).unwrap();
    assert_eq!(operators(&cut), ["GlobalAveragePool", "Flatten", "Gemm", "Relu"]);
    assert_eq!(Summary::of(&cut).n_parameters, 3 * 4 + 4);
    assert_eq!(Summary::of(&cut).outputs[0].name, "active");
    // What is written reads back as the same.
    let again = OnnxModel::from_bytes(cut.to_bytes().unwrap()).unwrap();
    assert_eq!(again.proto(), cut.proto());
}

#[test]
fn a_cut_keeps_what_the_body_of_a_control_flow_node_reads() {
    let mut model = vgg();
    let body = GraphProto {
        node: vec![NodeProto::new("Add", &["flat", "outer"], "inner", vec![])],
        output: vec![tensor("inner", &[1, 3])],
        ..Default::default()
    };
    let then = AttributeProto { name: Some("then_branch".to_owned()), g: Some(body), ..Default::default() };
    let graph = model.graph_mut();
    graph.initializer.push(weight("outer", &[3]));
    graph.node.insert(2, NodeProto::new("If", &["flat"], "chosen", vec![then]));
    let cut = cut(&model, &Tap { tensor: "chosen".to_owned(), pool: Pool::None }).unwrap();
    assert_eq!(operators(&cut), ["GlobalAveragePool", "Flatten", "If"]);
    assert!(cut.initializer("outer").is_some(), "the body's weight is gone");
}

#[test]
fn positions_are_pooled_by_the_cut() {
    let mean = cut(&vgg(), &Tap { tensor: "x".to_owned(), pool: Pool::Mean }).unwrap();
    assert_eq!(operators(&mean), ["GlobalAveragePool", "Flatten"]);
    assert_eq!(Summary::of(&mean).outputs[0].name, EMBEDDING);
    let tokens = model(&[("Relu", &["x"], "tokens")], vec![], &[tensor("tokens", &[-1, 5, 7])]);
    let tap = |pool| Tap { tensor: "tokens".to_owned(), pool };
    assert_eq!(operators(&cut(&tokens, &tap(Pool::Mean)).unwrap()), ["Relu", "ReduceMean"]);
    assert_eq!(operators(&cut(&tokens, &tap(Pool::First)).unwrap()), ["Relu", "Gather"]);
}

#[test]
fn a_fixed_batch_is_freed_in_shapes_and_in_reshapes_of_activations_only() {
    let mut model = model(
        &[
            ("Reshape", &["x", "split"], "groups"),
            ("Reshape", &["kernel", "flat"], "matrix"),
            ("Reshape", &["groups", "row"], "row_of"),
            ("MatMul", &["row_of", "matrix"], "y"),
        ],
        vec![
            weight("kernel", &[1, 192, 2]),
            shape_constant("split", &[1, 3, 2, 4, 8]),
            shape_constant("flat", &[1, 384]),
            shape_constant("row", &[1, -1]),
        ],
        &[tensor("y", &[1, 2])],
    );
    assert!(make_batch_dynamic(&mut model).unwrap());
    let values = |name: &str| {
        crate::wire::packed_i64(&bytes::Bytes::new())
            .map(|_| {
                let raw = model.initializer(name).unwrap().raw_data.clone().unwrap();
                raw.chunks_exact(8).map(|it| i64::from_le_bytes(it.try_into().unwrap())).collect::<Vec<_>>()
            })
            .unwrap()
    };
    assert_eq!(values("split"), [0, 3, 2, 4, 8]);
    assert_eq!(values("row"), [0, -1]);
    assert_eq!(values("flat"), [1, 384], "a reshape of weights must stay");
    let summary = Summary::of(&model);
    assert_eq!((summary.inputs[0].shape[0].as_str(), summary.outputs[0].shape[0].as_str()), ("N", "N"));
    assert!(!make_batch_dynamic(&mut model).unwrap(), "a second time there is nothing to do");
}

#[test]
fn pixels_go_through_a_normalisation_that_ends_in_the_old_inputs_name() {
    let pixels =
        PixelInput { height: 8, width: 8, mean: vec![1.0; 3], std: vec![2.0; 3], channels_first: true };
    let model = take_pixels(&vgg(), &pixels).unwrap();
    assert_eq!(operators(&model)[..4], ["Transpose", "Cast", "Sub", "Mul"]);
    let input = &Summary::of(&model).inputs[0];
    assert_eq!((input.name.as_str(), input.dtype.as_str()), ("image", "uint8"));
    assert_eq!(input.shape, ["N", "8", "8", "3"]);
    assert_eq!(model.graph().node[3].output, ["x"]);
    assert_eq!(model.f32_values("image/scale").unwrap(), [0.5; 3]);
}

/// A model whose own tensors are named as surgery names its additions: they make way.
#[test]
fn names_that_surgery_needs_are_taken_from_other_tensors() {
    let mut model = vgg();
    let graph = model.graph_mut();
    graph.input[0].name = Some("image".to_owned());
    graph.node[0].input[0] = "image".to_owned();
    graph.node[1].output[0] = "predictions".to_owned();
    graph.node[2].input[0] = "predictions".to_owned();
    let pixels =
        PixelInput { height: 8, width: 8, mean: vec![1.0; 3], std: vec![2.0; 3], channels_first: true };
    let backbone = cut(&model, &tap_at(&model, "predictions").unwrap()).unwrap();
    let backbone = take_pixels(&backbone, &pixels).unwrap();
    assert_eq!(backbone.inputs()[0].name(), "image");
    let layer = Layer { weight: vec![0.0; 6], bias: vec![0.0; 2], nonlinearity: Nonlinearity::Softmax };
    let model = attach_head(&backbone, 3, &[layer]).unwrap();
    let mut written = std::collections::HashSet::new();
    for node in &model.graph().node {
        assert!(node.output.iter().all(|it| written.insert(it)), "{:?} is written twice", node.output);
    }
    assert_eq!(model.graph().node[3].output, ["image__1"]);
    assert_eq!(model.graph().node[5].output, ["predictions__1"]);
    assert_eq!(model.graph().node[6].input[0], "predictions__1");
}

/// Weights of 16 bits make a tap of 16 bits, where the file does not say otherwise.
#[test]
fn embeddings_of_another_float_type_are_cast() {
    let mut model = vgg();
    assert_eq!(
        operators(&cut(&model, &tap_at(&model, "flat").unwrap()).unwrap()),
        ["GlobalAveragePool", "Flatten"]
    );
    model.graph_mut().initializer[0].data_type = Some(data_type::FLOAT16);
    let backbone = cut(&model, &tap_at(&model, "flat").unwrap()).unwrap();
    assert_eq!(operators(&backbone), ["GlobalAveragePool", "Flatten", "Cast"]);
    assert_eq!(Summary::of(&backbone).outputs[0].dtype, "float32");
}

#[test]
fn pixels_are_refused_where_arithmetic_does_not_broadcast() {
    let mut proto = vgg().proto().clone();
    proto.opset_import[0].version = Some(6);
    let old = OnnxModel::from_bytes(encode(&proto)).unwrap();
    let pixels = PixelInput { height: 8, width: 8, mean: vec![0.0], std: vec![1.0], channels_first: true };
    let err = take_pixels(&old, &pixels).unwrap_err().to_string();
    assert_eq!(err, "the model uses opset 6, this change needs at least 7");
}

#[test]
fn a_head_is_attached_layer_by_layer() {
    let backbone = cut(&vgg(), &tap_at(&vgg(), "active").unwrap()).unwrap();
    let hidden = Layer { weight: vec![0.0; 12], bias: vec![0.0; 3], nonlinearity: Nonlinearity::Relu };
    let last = Layer { weight: vec![0.0; 6], bias: vec![0.0; 2], nonlinearity: Nonlinearity::Softmax };
    let model = attach_head(&backbone, 4, &[hidden.clone(), last]).unwrap();
    assert_eq!(operators(&model)[4..], ["Gemm", "Relu", "Gemm", "Softmax"]);
    let outputs: Vec<String> = Summary::of(&model).outputs.into_iter().map(|it| it.name).collect();
    assert_eq!(outputs, ["probabilities", "logits"]);
    let err = attach_head(&backbone, 5, &[hidden]).unwrap_err().to_string();
    assert_eq!(err, "layer 0 takes 4 features but 5 come in");
}

#[test]
fn unknown_fields_come_back_where_they_were() {
    // `doc_string` (6) of the model and field 99 of its graph are not named by our types.
    let graph: &[u8] = &[0x12, 0x01, b'g', 0x9a, 0x06, 0x02, b'h', b'i'];
    let mut bytes = vec![0x08, 0x08, 0x32, 0x03, b'd', b'o', b'c', 0x3a, graph.len() as u8];
    bytes.extend_from_slice(graph);
    let model = OnnxModel::from_bytes(bytes.clone()).unwrap();
    assert_eq!(model.to_bytes().unwrap(), bytes);
}

#[test]
fn metadata_is_replaced_and_not_repeated() {
    let mut model = vgg();
    model.set_metadata("key", "old");
    model.set_metadata("key", "new");
    let again = OnnxModel::from_bytes(model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.metadata("key"), Some("new"));
    assert_eq!(Summary::of(&again).metadata.len(), 1);
}

#[test]
fn damaged_bytes_are_refused_with_what_was_found() {
    let cases: [(&[u8], &str); 7] = [
        (b"", "the model has no graph"),
        (b"\x08\x08", "the model has no graph"),
        (b"\x08", "not a readable ONNX file: the file ends inside a number"),
        (&[0x3a, 0x7f, 0x00], "not a readable ONNX file: a field of 127 bytes where only 1 bytes are left"),
        (&[0x3b], "not a readable ONNX file: field 7 has wire type 3, which ONNX never uses"),
        (
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "not a readable ONNX file: a number longer than ten bytes",
        ),
        (&[0x00, 0x00], "not a readable ONNX file: field tag 0 at byte 0 of its message is out of range"),
    ];
    let n_cases = cases.len();
    for (bytes, expected) in cases {
        assert_eq!(OnnxModel::from_bytes(bytes.to_vec()).unwrap_err().to_string(), expected);
    }
    assert_eq!(n_cases, 7);
}

/// A length of 2⁶³ and one that wraps around: nothing is allocated by a length that is not there.
#[test]
fn absurd_lengths_allocate_nothing() {
    for length in [u64::MAX, 1 << 63, u64::from(u32::MAX)] {
        let mut bytes = vec![0x3a];
        crate::wire::write_varint(length, &mut bytes);
        assert!(matches!(OnnxModel::from_bytes(bytes), Err(OnnxError::Malformed { .. })));
    }
}

/// Graphs within attributes within graphs: a stack overflow would take the process with it.
#[test]
fn nesting_is_bounded() {
    let mut graph = GraphProto::default();
    for _ in 0..100 {
        let body = AttributeProto { g: Some(graph), ..Default::default() };
        let node = NodeProto { attribute: vec![body], ..Default::default() };
        graph = GraphProto { node: vec![node], ..Default::default() };
    }
    let proto = ModelProto { graph: Some(graph), ..Default::default() };
    let err = OnnxModel::from_bytes(encode(&proto)).unwrap_err().to_string();
    assert_eq!(err, "not a readable ONNX file: messages nested deeper than 64");
}

/// A few bytes on disk, hundreds in memory: empty nodes, empty names, unknown fields, packed numbers.
#[test]
fn the_memory_of_a_files_structure_is_bounded() {
    let delimited = |number: u8, payload: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        crate::wire::write_varint(payload.len() as u64, &mut bytes);
        bytes.extend(payload);
        bytes
    };
    let n = 12_000_000;
    let nodes = [0x0a, 0x00].repeat(2_100_000);
    let node_of_names = delimited(1, &[0x0a, 0x00].repeat(n));
    let node_of_unknown = delimited(1, &[0x58, 0x00].repeat(n));
    let tensor_of_dims = delimited(5, &delimited(1, &vec![1; 40_000_000]));
    let cases = [nodes, node_of_names, node_of_unknown, tensor_of_dims];
    for graph in &cases {
        let err = OnnxModel::from_bytes(delimited(7, graph)).unwrap_err().to_string();
        assert_eq!(err, "not a readable ONNX file: its structure needs more than 512 MiB of memory");
    }
    assert_eq!(cases.len(), 4);
}

#[test]
fn every_prefix_and_every_flipped_byte_gives_a_model_or_an_error() {
    let bytes = vgg().to_bytes().unwrap();
    let mut n_cases = 0;
    for position in 0..bytes.len() {
        drop(OnnxModel::from_bytes(bytes[..position].to_vec()));
        for flip in 1..=255_u8 {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            if let Ok(mut model) = OnnxModel::from_bytes(damaged) {
                drop(make_batch_dynamic(&mut model));
                drop(find_tap(&model).and_then(|tap| cut(&model, &tap)));
                drop(Summary::of(&model));
            }
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 255 * bytes.len());
}

/// A folder of its own for a test, gone when the test ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("headstart-onnx-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn external(location: &str, offset: &str, length: &str) -> OnnxModel {
    let mut model = vgg();
    let tensor = &mut model.graph_mut().initializer[0];
    tensor.raw_data = None;
    tensor.data_location = Some(1);
    tensor.external_data = [("location", location), ("offset", offset), ("length", length)]
        .map(|(key, value)| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
            ..Default::default()
        })
        .to_vec();
    model
}

/// Nodes without the inputs or outputs their operators have, in every place the search looks at.
#[test]
fn nodes_without_inputs_or_outputs_are_no_reason_to_panic() {
    let operators = [
        "DequantizeLinear",
        "QuantizeLinear",
        "DynamicQuantizeLinear",
        "Reshape",
        "Dropout",
        "Identity",
        "Unsqueeze",
        "Flatten",
        "GlobalAveragePool",
        "ReduceMean",
        "Add",
        "Mul",
        "Softmax",
        "Gemm",
        "MatMul",
        "QGemm",
        "Conv",
        "QLinearConv",
        "Constant",
        "If",
        "Transpose",
        "Cast",
    ];
    let ends: [&[(&str, &[&str], &str)]; 5] = [
        &[("Gemm", &["q", "w"], "y")],
        &[("Conv", &["q", "w"], "y")],
        &[("Conv", &["q", "w"], "c"), ("GlobalAveragePool", &["c"], "y")],
        &[("MatMul", &["q", "w"], "m"), ("Add", &["m", "w"], "y")],
        &[("Flatten", &["q"], "f"), ("Gemm", &["f", "w"], "y")],
    ];
    let mut n_cases = 0;
    for op in operators {
        for end in ends {
            for (has_input, has_output) in [(false, true), (true, false), (false, false)] {
                let mut odd = model(end, vec![weight("w", &[1, 10])], &[tensor("y", &[0, 10])]);
                let inputs: &[&str] = if has_input { &["x"] } else { &[] };
                let mut node = NodeProto::new(op, inputs, "q", vec![]);
                if !has_output {
                    node.output.clear();
                }
                odd.graph_mut().node.insert(0, node);
                let odd = OnnxModel::from_bytes(odd.to_bytes().unwrap()).unwrap();
                drop(Summary::of(&odd));
                drop(make_batch_dynamic(&mut odd.clone()));
                for tap in [find_tap(&odd).ok(), tap_at(&odd, "q").ok()].into_iter().flatten() {
                    drop(cut(&odd, &tap));
                }
                n_cases += 1;
            }
        }
    }
    assert_eq!(n_cases, 22 * 5 * 3);
}

#[test]
fn absurd_shapes_are_counted_without_overflow() {
    let mut absurd = model(&[("Relu", &["x"], "y")], Vec::new(), &[tensor("y", &[0, 3])]);
    for name in ["a", "b", "c"] {
        let mut tensor = weight(name, &[1]);
        tensor.dims = vec![i64::MAX];
        absurd.graph_mut().initializer.push(tensor);
    }
    assert_eq!(Summary::of(&absurd).n_parameters, u64::MAX);
}

#[test]
fn external_data_follows_the_model_to_where_it_is_saved() {
    let folder = Folder::new("external");
    let values: Vec<f32> = (0..12).map(|it| it as f32).collect();
    let mut data = vec![0xee; 100];
    data.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    std::fs::write(folder.0.join("weights.bin"), &data).unwrap();
    std::fs::write(folder.0.join("a.onnx"), external("weights.bin", "100", "48").to_bytes().unwrap())
        .unwrap();
    let model = OnnxModel::load(&folder.0.join("a.onnx")).unwrap();
    assert_eq!(model.f32_values("w1").unwrap(), values);
    assert_eq!(model.external_data_locations(), ["weights.bin"]);

    let there = folder.0.join("there");
    std::fs::create_dir_all(&there).unwrap();
    model.save(&there.join("b.onnx")).unwrap();
    let copy = OnnxModel::load(&there.join("b.onnx")).unwrap();
    assert_eq!(copy.f32_values("w1").unwrap(), values);
    assert_eq!(copy.external_data_locations(), ["b.onnx.data"]);
    assert_eq!(copy.external_data_files().unwrap(), [there.join("b.onnx.data").canonicalize().unwrap()]);
    // A file named without a folder lies in the current one.
    let bare = OnnxModel::from_file_bytes(copy.to_bytes().unwrap(), "b.onnx".as_ref()).unwrap();
    assert_eq!(bare.external_data_folder(), Some(".".as_ref()));
    // A cut that does not need the weight does not carry it.
    cut(&model, &tap_at(&model, "flat").unwrap()).unwrap().save(&there.join("c.onnx")).unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&there).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["b.onnx", "b.onnx.data", "c.onnx"]);
}

#[test]
fn external_data_outside_the_folder_or_past_its_end_is_refused() {
    let folder = Folder::new("escape");
    std::fs::write(folder.0.join("weights.bin"), [0; 48]).unwrap();
    let path = folder.0.join("a.onnx");
    let cases = [
        ("../weights.bin", "0", "48", "`../weights.bin` leaves the model's folder"),
        ("/etc/passwd", "0", "48", "`/etc/passwd` leaves the model's folder"),
        ("weights.bin", "1", "48", "bytes 1..+48 of `weights.bin`, which has 48 bytes"),
        ("weights.bin", "18446744073709551615", "48", "which has 48 bytes"),
        ("weights.bin", "-1", "48", "offset is `-1`"),
    ];
    let n_cases = cases.len();
    for (location, offset, length, expected) in cases {
        std::fs::write(&path, external(location, offset, length).to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().f32_values("w1").unwrap_err().to_string();
        assert!(err.starts_with("external data of `w1`: ") && err.ends_with(expected), "{err}");
    }
    assert_eq!(n_cases, 5);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/etc/hostname", folder.0.join("link.bin")).unwrap();
        std::fs::write(&path, external("link.bin", "0", "1").to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().f32_values("w1").unwrap_err().to_string();
        assert!(err.ends_with("`link.bin` leaves the model's folder"), "{err}");
        std::fs::create_dir(folder.0.join("folder.bin")).unwrap();
        std::fs::write(&path, external("folder.bin", "0", "1").to_bytes().unwrap()).unwrap();
        let err = OnnxModel::load(&path).unwrap().external_data_files().unwrap_err().to_string();
        assert!(err.ends_with("`folder.bin` is no regular file"), "{err}");
    }
}

#[test]
fn data_that_does_not_fit_its_shape_is_refused() {
    let mut model = vgg();
    model.graph_mut().initializer[0].dims = vec![3, 5];
    let err = model.f32_values("w1").unwrap_err().to_string();
    assert_eq!(err, "tensor `w1`: its shape [3, 5] needs 60 bytes, its data has 48");
    model.graph_mut().initializer[0].dims = vec![i64::MAX, i64::MAX];
    assert!(matches!(model.f32_values("w1"), Err(OnnxError::Tensor { .. })));
}

#[test]
fn models_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<OnnxModel>();
    check::<OnnxError>();
}

#[test]
fn half_floats_are_rounded_and_come_out_as_they_were() {
    let mut graph = vgg();
    let weights = [1.0, 1e-9, 70_000.0, -1e9, 0.1, f32::NAN, 2048.5, 2049.5, 6e-5, -0.0, 65_519.0, 1.0];
    graph.graph_mut().initializer[0] = TensorProto::from_f32("w1", &[3, 4], &weights);
    let mut cast = NodeProto::new("Cast", &["active"], "still", vec![AttributeProto::int("to", 1)]);
    cast.input = vec!["active".to_owned()];
    graph.graph_mut().node.push(cast);
    let half = to_f16(&graph).unwrap();
    let bytes = half.initializer("w1").unwrap().raw_data.clone().unwrap();
    // IEEE 754 binary16, by hand: ties go to even, what is too large to the largest, NaN stays.
    let expected: [u16; 12] =
        [0x3c00, 0x0000, 0x7bff, 0xfbff, 0x2e66, 0x7e00, 0x6800, 0x6801, 0x03ef, 0x8000, 0x7bff, 0x3c00];
    let found: Vec<u16> = bytes.as_chunks().0.iter().map(|it| u16::from_le_bytes(*it)).collect();
    assert_eq!(found, expected);
    let types = |infos: &[ValueInfoProto]| infos.iter().map(|it| it.elem_type()).collect::<Vec<_>>();
    assert_eq!(types(&half.graph().input), [Some(data_type::FLOAT16)]);
    assert_eq!(types(&half.graph().output), [Some(data_type::FLOAT)]);
    let nodes = &half.graph().node;
    assert_eq!(nodes[6].attribute[0].i, Some(data_type::FLOAT16), "casts to f32 inside are to f16 now");
    let last = nodes.last().unwrap();
    assert_eq!(
        (last.op(), &last.input[0], &last.output[0]),
        ("Cast", &nodes[5].output[0], &"probabilities".to_owned())
    );
    assert_eq!(nodes[5].output[0], "f16/half/probabilities");

    let resize =
        model(&[("Resize", &["x", "w"], "y")], vec![weight("w", &[4])], &[tensor("y", &[1, 3, 8, 8])]);
    assert_eq!(
        to_f16(&resize).unwrap_err().to_string(),
        "the model cannot be turned into half floats: Resize takes f32"
    );
}
