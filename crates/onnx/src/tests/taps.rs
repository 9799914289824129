//! Where the classifier is found, and where none is.

use super::*;

#[test]
fn classifiers_are_found_behind_what_does_not_change_features() {
    let dense = |after: &[(&'static str, &'static [&'static str], &'static str)],
                 outputs: &[ValueInfoProto]| {
        let mut nodes: Vec<(&str, &[&str], &str)> = vec![
            ("GlobalAveragePool", &["x"], "pool"),
            ("Flatten", &["pool"], "flat"),
            ("Gemm", &["flat", "w", "b"], "logits"),
        ];
        nodes.extend(after);
        let weights =
            vec![weight("w", &[3, 2]), weight("b", &[2]), weight("c", &[]), shape_constant("i", &[1])];
        model(&nodes, weights, outputs)
    };
    let y = || [tensor("y", &[1, 2])];
    let integers = || {
        let mut info = tensor("y", &[1]);
        let of_tensor = info.r#type.as_mut().and_then(|it| it.tensor_type.as_mut());
        of_tensor.unwrap().elem_type = Some(data_type::INT64);
        [info]
    };
    let behind = [
        dense(&[("Div", &["logits", "c"], "y")], &y()),
        dense(&[("Sub", &["logits", "c"], "y")], &y()),
        dense(&[("Slice", &["logits", "i", "i", "i"], "y")], &y()),
        dense(&[("Clip", &["logits", "c", "c"], "y")], &y()),
        dense(&[("ArgMax", &["logits"], "y")], &integers()),
        dense(&[("Softmax", &["logits"], "p"), ("TopK", &["p", "i"], "y")], &y()),
        // Two classifiers on the same features, their mean: the first counts.
        dense(
            &[
                ("Gemm", &["flat", "w", "b"], "other"),
                ("Add", &["logits", "other"], "sum"),
                ("Div", &["sum", "c"], "y"),
            ],
            &y(),
        ),
    ];
    for model in &behind {
        assert_eq!(find_tap(model).unwrap(), Tap { tensor: "flat".to_owned(), pool: Pool::None });
    }
    let weights =
        || vec![weight("w", &[4, 3, 1, 1]), weight("v", &[2, 4, 1, 1]), shape_constant("shape", &[-1, 2])];
    let mobilenet_v3 = model(
        &[
            ("GlobalAveragePool", &["x"], "pool"),
            ("Conv", &["pool", "w"], "wide"),
            ("HardSwish", &["wide"], "active"),
            ("Conv", &["active", "v"], "logits"),
            ("Flatten", &["logits"], "y"),
        ],
        weights(),
        &y(),
    );
    let keras = model(
        &[
            ("GlobalAveragePool", &["x"], "pool"),
            ("Conv", &["pool", "w"], "conv"),
            ("Transpose", &["conv"], "moved"),
            ("Reshape", &["moved", "shape"], "logits"),
            ("Softmax", &["logits"], "y"),
        ],
        weights(),
        &y(),
    );
    let dynamic = model(
        &[
            ("Flatten", &["x"], "flat"),
            ("DynamicQuantizeLinear", &["flat"], "quantised scale_of_x zero"),
            ("MatMulInteger", &["quantised", "w"], "product"),
            ("Cast", &["product"], "float"),
            ("Mul", &["scale_of_x", "c"], "scale"),
            ("Mul", &["float", "scale"], "scaled"),
            ("Add", &["scaled", "b"], "y"),
        ],
        vec![weight("w", &[3, 2]), weight("b", &[2]), weight("c", &[])],
        &y(),
    );
    let einsum = model(
        &[("Flatten", &["x"], "flat"), ("Einsum", &["flat", "w"], "y")],
        vec![weight("w", &[192, 2])],
        &y(),
    );
    let others = [
        (mobilenet_v3, "active", Pool::Mean),
        (keras, "pool", Pool::Mean),
        (dynamic, "flat", Pool::None),
        (einsum, "flat", Pool::None),
    ];
    for (model, expected, pool) in &others {
        assert_eq!(find_tap(model).unwrap(), Tap { tensor: (*expected).to_owned(), pool: *pool });
    }
    // A residual connection is no mean of classifiers: what comes out of it is the embedding.
    let residual = model(
        &[
            ("Flatten", &["x"], "flat"),
            ("Gemm", &["flat", "w", "b"], "row"),
            ("Relu", &["row"], "active"),
            ("Gemm", &["active", "v", "b"], "more"),
            ("Add", &["row", "more"], "y"),
        ],
        vec![weight("w", &[192, 2]), weight("v", &[2, 2]), weight("b", &[2])],
        &y(),
    );
    assert_eq!(find_tap(&residual).unwrap().tensor, "y");
    // A projection that is divided by its own norm, or gated, is the embedding: no scale of a quantisation.
    let gated = |op: &str, factor: (&'static str, &'static str)| {
        model(
            &[
                ("Flatten", &["x"], "flat"),
                ("Gemm", &["flat", "w", "b"], "row"),
                (factor.0, &[factor.1], "factor"),
                (op, &["row", "factor"], "y"),
            ],
            vec![weight("w", &[192, 2]), weight("b", &[2])],
            &y(),
        )
    };
    for graph in [
        gated("Div", ("ReduceL2", "row")),
        gated("Mul", ("Reciprocal", "row")),
        gated("Mul", ("Sigmoid", "row")),
    ] {
        assert_eq!(find_tap(&graph).unwrap().tensor, "y");
    }
    // Integers that no classifier leads to are no embedding.
    let nothing = model(&[("NonZero", &["x"], "y")], vec![], &integers());
    assert!(find_tap(&nothing).unwrap_err().to_string().contains("the output y is of integers"));
    assert_eq!((behind.len(), others.len()), (7, 4));
}
