//! Graphs that are odd, and what the quantiser leaves alone.

use super::quantize::observed;
use super::{operators, tensor, weight};
use crate::Quantizer;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

#[test]
fn names_that_are_taken_are_left_alone() {
    let taken = ["int8/scale/x", "int8/weight/sums"].map(|it| TensorProto::from_f32(it, &[], &[7.0]));
    let nodes: &[(&str, &[&str], &str)] = &[
        ("Conv", &["x", "w"], "sums"),
        ("Mul", &["sums", "int8/scale/x"], "scaled"),
        ("Mul", &["scaled", "int8/weight/sums"], "y"),
    ];
    let weights = vec![weight("w", &[2, 3, 1, 1])].into_iter().chain(taken).collect();
    let quantized =
        observed(&super::model(nodes, weights, &[tensor("y", &[0, 2, 8, 8])])).quantize().unwrap();
    let names: Vec<&str> = quantized.graph().initializer.iter().map(TensorProto::name).collect();
    assert_eq!(quantized.f32_values("int8/scale/x").unwrap(), [7.0]);
    assert!(names.contains(&"int8_2/scale/x") && names.contains(&"int8_2/weight/sums"), "{names:?}");
}

#[test]
fn constants_of_nodes_are_weights_too() {
    let mut model = super::model(
        &[("Conv", &["x", "passed"], "sums"), ("GlobalAveragePool", &["sums"], "y")],
        vec![weight("w", &[2, 3, 1, 1])],
        &[tensor("y", &[0, 2, 1, 1])],
    );
    let value = AttributeProto {
        name: Some("value".to_owned()),
        t: Some(TensorProto { name: None, ..weight("", &[2, 3, 1, 1]) }),
        ..Default::default()
    };
    let constant = NodeProto::new("Constant", &[], "held", vec![value]);
    let identity = |of: &str| NodeProto::new("Identity", &[of], "passed", vec![]);
    let mut n_cases = 0;
    for nodes in [vec![identity("w")], vec![constant, identity("held")]] {
        let mut model = model.clone();
        model.graph_mut().node.splice(0..0, nodes);
        let quantized = observed(&model).quantize().unwrap();
        assert!(quantized.initializer("int8/weight/sums").is_some());
        assert!(!operators(&quantized).iter().any(|it| it == "Constant" || it == "Identity"));
        n_cases += 1;
    }
    assert_eq!(n_cases, 2);
    // A product of constants alone is no activation.
    model.graph_mut().node[0] = NodeProto::new("Conv", &["w", "w"], "sums", vec![]);
    assert!(Quantizer::new(&model).is_err());
}

/// What a careless or hostile file may hold: an answer or an error, never a panic.
#[test]
fn odd_nodes_are_no_reason_to_panic() {
    let norm = ["gamma", "beta", "mean", "variance"];
    let odd: [(&str, &[&str]); 6] = [
        ("Conv", &[]),
        ("Conv", &["x"]),
        ("Conv", &["x", "scalar"]),
        ("BatchNormalization", &["sums", norm[0], norm[1], norm[2], norm[3]]),
        ("Clip", &["sums", "", "scalar"]),
        ("Add", &["sums"]),
    ];
    let mut n_cases = 0;
    for (op, inputs) in odd {
        for has_output in [true, false] {
            let mut model = super::model(
                &[
                    ("Constant", &[], "sums"),
                    (op, inputs, "odd"),
                    ("Conv", &["x", "w"], "z"),
                    ("Relu", &["odd"], "y"),
                ],
                vec![weight("w", &[2, 3, 1, 1]), TensorProto::from_f32("scalar", &[], &[f32::INFINITY])]
                    .into_iter()
                    .chain(norm.map(|it| weight(it, &[2])))
                    .collect(),
                &[tensor("y", &[0, 2, 8, 8]), tensor("z", &[0, 2, 8, 8])],
            );
            if !has_output {
                model.graph_mut().node[1].output.clear();
            }
            if let Ok(mut quantizer) = Quantizer::new(&model) {
                quantizer.observe(0, &[1, 2, 1, 1], &[1.0, f32::INFINITY]);
                drop(quantizer.equalize());
                drop(quantizer.quantize());
            }
            drop(crate::to_f16(&model));
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 12);
}

#[test]
fn where_a_maxpool_found_its_values_is_not_quantised() {
    let mut model = super::model(
        &[
            ("Conv", &["x", "w"], "sums"),
            ("MaxPool", &["sums"], "pooled"),
            ("Conv", &["pooled", "v"], "next"),
            ("GlobalAveragePool", &["next"], "y"),
        ],
        vec![weight("w", &[2, 3, 1, 1]), weight("v", &[1, 2, 1, 1])],
        &[tensor("y", &[0, 1, 1, 1])],
    );
    for second in ["where", ""] {
        model.graph_mut().node[1].output = vec!["pooled".to_owned(), second.to_owned()];
        let quantized = observed(&model).quantize().unwrap();
        let read: Vec<&String> = quantized.graph().node.iter().flat_map(|it| &it.input).collect();
        assert!(!read.iter().any(|it| it.as_str() == second || it.ends_with("/where")), "{read:?}");
    }
}
