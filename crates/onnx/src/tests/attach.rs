//! What surgery adds to a graph: pixels, heads, other floats.

use super::*;

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
