//! Where a graph is cut, what is left, and a batch that is free.

use super::*;

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
fn channels_come_last_where_the_graph_says_so() {
    let moved = |perm: &[i64]| {
        let mut graph = model(
            &[
                ("Conv", &["x", "w"], "conv"),
                ("Relu", &["conv"], "active"),
                ("Transpose", &["active"], "t"),
                ("Mul", &["t", "c"], "y"),
            ],
            vec![weight("w", &[4, 3, 1, 1]), weight("c", &[])],
            &[tensor("y", &[0, 8, 8, 4])],
        );
        graph.graph_mut().node[2].attribute = vec![AttributeProto::ints("perm", perm)];
        graph
    };
    assert_eq!(channels_last(&moved(&[0, 2, 3, 1]), "y"), Some(true));
    assert_eq!(channels_last(&moved(&[0, 3, 1, 2]), "y"), Some(false));
    assert_eq!(channels_last(&moved(&[0, 2, 1, 3]), "y"), None);
    assert_eq!(channels_last(&moved(&[0, 2, 3, 1]), "active"), Some(false));
    // What reads it tells as well.
    assert_eq!(channels_last(&moved(&[0, 2, 3, 1]), "x"), Some(false));
    let cut = cut(&moved(&[0, 2, 3, 1]), &Tap { tensor: "y".to_owned(), pool: Pool::MeanNhwc }).unwrap();
    assert_eq!(operators(&cut), ["Conv", "Relu", "Transpose", "Mul", "ReduceMean"]);
    let mean = &cut.graph().node[4];
    assert_eq!(mean.attribute("axes").unwrap().ints, [1, 2]);
}

#[test]
fn a_tap_of_8_bit_integers_is_dequantised() {
    let model = model(
        &[
            ("QuantizeLinear", &["x", "sx", "zx"], "qx"),
            ("QLinearConv", &["qx", "sx", "zx", "w", "s", "z", "sy", "zy"], "conv"),
            ("QLinearGlobalAveragePool", &["conv", "sy", "zy", "sp", "zp"], "pool"),
            ("Flatten", &["pool"], "flat"),
            ("QGemm", &["flat", "sp", "zp", "v", "s", "z", "", "so", "zo"], "product"),
            ("DequantizeLinear", &["product", "so", "zo"], "y"),
        ],
        ["sx", "zx", "w", "s", "z", "sy", "zy", "sp", "zp", "v", "so", "zo"]
            .map(|it| weight(it, &[]))
            .to_vec(),
        &[tensor("y", &[1, 2])],
    );
    let tap = find_tap(&model).unwrap();
    assert_eq!((tap.tensor.as_str(), tap.pool), ("flat", Pool::None));
    let cut = cut(&model, &tap).unwrap();
    let last = cut.graph().node.last().unwrap();
    assert_eq!(
        (last.op(), &last.input[..]),
        ("DequantizeLinear", &["flat", "sp", "zp"].map(str::to_owned)[..])
    );
}

#[test]
fn what_is_random_or_in_training_mode_is_named() {
    let with = |name: &str, attribute: Option<AttributeProto>, inputs: &[&str]| {
        let mut weights = vec![weight("ratio", &[])];
        weights.push(TensorProto::from_raw("yes", data_type::BOOL, &[], vec![1]));
        weights.push(TensorProto::from_raw("no", data_type::BOOL, &[], vec![0]));
        let mut model = model(&[(name, inputs, "y")], weights, &[tensor("y", &[1, 3, 8, 8])]);
        model.graph_mut().node[0].attribute.extend(attribute);
        model
    };
    let random = [
        with("Dropout", None, &["x", "ratio", "yes"]),
        with("RandomNormalLike", None, &["x"]),
        with("Bernoulli", None, &["x"]),
        with("BatchNormalization", Some(AttributeProto::int("training_mode", 1)), &["x"]),
    ];
    assert_eq!(
        random.iter().map(randomness).collect::<Vec<_>>(),
        ["Dropout", "RandomNormalLike", "Bernoulli", "BatchNormalization"]
            .map(|it| Some(format!("{it} `headstart/y`")))
    );
    let normalised = with("BatchNormalization", None, &["x"]);
    let reproducible =
        [with("Dropout", None, &["x", "ratio", "no"]), with("Dropout", None, &["x"]), normalised, vgg()];
    assert!(reproducible.iter().all(|it| randomness(it).is_none()));
    assert_eq!(rescaling(&with("Mul", None, &["x", "ratio"])), Some(("Mul".to_owned(), 0.5)));
    assert_eq!(rescaling(&vgg()), None);
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
fn the_batch_of_every_input_is_freed() {
    let nodes: &[(&str, &[&str], &str)] = &[("Mul", &["x", "weights"], "y")];
    let mut model = model(nodes, vec![], &[tensor("y", &[1, 3, 8, 8])]);
    model.graph_mut().input.push(tensor("weights", &[1, 3, 1, 1]));
    model.graph_mut().input.push(tensor("free", &[0, 5]));
    assert!(make_batch_dynamic(&mut model).unwrap());
    let summary = Summary::of(&model);
    let shapes: Vec<String> = summary.inputs.iter().map(|it| it.shape.join("×")).collect();
    assert_eq!(shapes, ["N×3×8×8", "N×3×1×1", "N×5"]);
    assert_eq!(summary.outputs[0].shape.join("×"), "N×3×8×8");
    model.graph_mut().input.clear();
    assert!(
        matches!(make_batch_dynamic(&mut model), Err(OnnxError::InputCount { names }) if names.is_empty())
    );
}
