//! Equalised networks, beside an interpreter of a few lines.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::tensor;
use crate::model::OnnxModel;
use crate::proto::{AttributeProto, TensorProto};
use crate::{Quantizer, is_quantized};

/// Every tensor of a network of 1×1 convolutions, for one position.
fn run(model: &OnnxModel, x: &[f32]) -> HashMap<String, Vec<f32>> {
    let mut values = HashMap::from([("x".to_owned(), x.to_vec())]);
    for constant in &model.graph().initializer {
        if let Ok(floats) = model.f32_values(constant.name()) {
            values.insert(constant.name().to_owned(), floats);
        }
    }
    for node in &model.graph().node {
        let input = |index: usize| &values[&node.input[index]];
        let pairs = |f: fn(f32, f32) -> f32| input(0).iter().zip(input(1)).map(|(a, b)| f(*a, *b)).collect();
        let output = match node.operator().as_str() {
            "Relu" => input(0).iter().map(|it| it.max(0.0)).collect(),
            "Clip" => input(0).iter().map(|it| it.clamp(input(1)[0], input(2)[0])).collect(),
            "MaxPool" => input(0).clone(),
            "BatchNormalization" => (0..input(0).len())
                .map(|element| {
                    let of = |index: usize| input(index)[element];
                    of(1) * (of(0) - of(3)) / (of(4) + 1e-5).sqrt() + of(2)
                })
                .collect(),
            "Min" => pairs(f32::min),
            "Add" => pairs(|a, b| a + b),
            "Conv" => {
                let n_groups = node.attribute("group").map_or(1, |it| it.i.unwrap() as usize);
                let n_outputs = model.initializer(&node.input[1]).unwrap().shape()[0];
                let n_inputs = input(1).len() / n_outputs;
                let sum = |output: usize| {
                    let first = output * n_groups / n_outputs * n_inputs;
                    let of_inputs =
                        (0..n_inputs).map(|it| input(1)[output * n_inputs + it] * input(0)[first + it]);
                    of_inputs.sum::<f32>() + node.input.get(2).map_or(0.0, |it| values[it][output])
                };
                (0..n_outputs).map(sum).collect()
            }
            other => panic!("no {other} here"),
        };
        values.insert(node.output[0].clone(), output);
    }
    values
}

/// A stem, an inverted residual with ReLU6 and a kernel a channel, the sum with its input, and a last
/// convolution; channels of very different sizes.
fn network(rng: &mut ChaCha8Rng, bound: f32) -> OnnxModel {
    let mut constant = |name: &str, shape: [usize; 2]| {
        let sizes: Vec<f32> = (0..shape[0]).map(|_| 10_f32.powf(rng.random_range(-2.0..1.0))).collect();
        let weights: Vec<f32> =
            (0..shape[0] * shape[1]).map(|it| sizes[it / shape[1]] * rng.random_range(-1.0..1.0)).collect();
        TensorProto::from_f32(name, &[shape[0], shape[1], 1, 1], &weights)
    };
    let mut constants = vec![
        constant("stem", [4, 3]),
        constant("expand", [6, 4]),
        constant("each", [6, 1]),
        constant("project", [4, 6]),
        constant("last", [5, 4]),
    ];
    for (name, n) in [("bias", 6), ("gamma", 5), ("beta", 5), ("mean", 5), ("variance", 5)] {
        let mut vector = constant(name, [n, 1]);
        vector.dims = vec![n as i64];
        constants.push(vector);
    }
    let variance = constants.pop().expect("the last");
    let positive = variance
        .raw_data
        .unwrap()
        .as_chunks()
        .0
        .iter()
        .map(|it| f32::from_le_bytes(*it).abs() + 0.1)
        .collect::<Vec<_>>();
    constants.push(TensorProto::from_f32("variance", &[5], &positive));
    constants
        .extend([TensorProto::from_f32("zero", &[], &[0.0]), TensorProto::from_f32("six", &[], &[bound])]);
    let mut model = super::model(
        &[
            ("Conv", &["x", "stem"], "stemmed"),
            ("Conv", &["stemmed", "expand", "bias"], "wide"),
            ("Clip", &["wide", "zero", "six"], "clipped"),
            ("Conv", &["clipped", "each"], "filtered"),
            ("Relu", &["filtered"], "active"),
            ("Conv", &["active", "project"], "narrow"),
            ("Add", &["stemmed", "narrow"], "joined"),
            ("Conv", &["joined", "last"], "second"),
            ("Relu", &["second"], "third"),
            ("MaxPool", &["third"], "pooled"),
            ("BatchNormalization", &["pooled", "gamma", "beta", "mean", "variance"], "embedding"),
        ],
        constants,
        &[tensor("embedding", &[0, 5, 1, 1])],
    );
    model.graph_mut().node[3].attribute.push(AttributeProto::int("group", 6));
    model
}

#[test]
fn the_function_stays_and_channels_become_alike() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let (mut n_cases, mut n_clipped) = (0, 0);
    for case in 0..60 {
        // ReLU6, and ReLU as some exporters write it.
        let bound = if case < 50 { 6.0 } else { f32::INFINITY };
        let model = network(&mut rng, bound);
        let inputs: Vec<Vec<f32>> =
            (0..40).map(|_| (0..3).map(|_| rng.random_range(-4.0..4.0)).collect()).collect();
        let mut quantizer = Quantizer::new(&model).unwrap();
        let observe = |quantizer: &mut Quantizer| {
            let observed = quantizer.observed();
            for x in &inputs {
                let values = run(&observed, x);
                for (index, name) in observed.output_names().iter().enumerate() {
                    quantizer.observe(index, &[1, values[name].len(), 1, 1], &values[name]);
                }
            }
        };
        observe(&mut quantizer);
        quantizer.equalize().unwrap();
        let equalized = quantizer.observed();
        let sizes = |model: &OnnxModel| -> Vec<f32> {
            let rows: Vec<Vec<f32>> = inputs.iter().map(|x| run(model, x)["clipped"].clone()).collect();
            (0..6).map(|channel| rows.iter().fold(0.0, |max, row| row[channel].max(max))).collect()
        };
        // The reader has a kernel a channel, and takes all of it: each becomes as large as the largest, up to
        // the 64 that a channel is stretched at most.
        let largest = sizes(&model).into_iter().fold(0.0, f32::max);
        for (before, after) in sizes(&model).into_iter().zip(sizes(&equalized)) {
            assert!((after - (64.0 * before).min(largest)).abs() < 1e-4, "{before} became {after}");
        }
        for x in inputs.iter().chain([&vec![50.0, -80.0, 100.0]]) {
            let (before, after) = (run(&model, x), run(&equalized, x));
            let scale = before["embedding"].iter().fold(1e-3_f32, |max, it| max.max(it.abs()));
            for (a, b) in before["embedding"].iter().zip(&after["embedding"]) {
                // Weights were rounded to f32 once or twice more.
                assert!((a - b).abs() <= 1e-5 * scale, "{before:?} {after:?}");
            }
            n_clipped += before["clipped"].iter().filter(|it| **it == 6.0).count();
        }
        observe(&mut quantizer);
        let quantized = quantizer.quantize().unwrap();
        assert!(is_quantized(&quantized));
        assert_ne!(
            equalized.graph().node.last().unwrap().input[1],
            "gamma",
            "the normalisation took its share"
        );
        // In 8 bits the largest level is the bound.
        let operators = super::operators(&quantized);
        assert!(!operators.iter().any(|it| it == "Min" || it == "Clip"), "{operators:?}");
        let top = quantized.f32_values("int8/scale/clipped").unwrap()[0] * 255.0;
        assert!(top <= bound * 1.0001, "{top}");
        n_cases += 1;
    }
    assert!(n_cases == 60 && n_clipped > 100, "{n_clipped} values were clipped");
}

#[test]
fn what_other_operators_read_is_left_alone() {
    let mut n_cases = 0;
    // The tensor itself, what comes before its rectifier, and a sum that is in floats.
    let cases: [&[(&str, &[&str], &str)]; 3] = [
        &[("Conv", &["x", "w"], "sums"), ("Conv", &["sums", "v"], "next"), ("Sigmoid", &["sums"], "y")],
        &[
            ("Conv", &["x", "w"], "sums"),
            ("Relu", &["sums"], "active"),
            ("Conv", &["active", "v"], "next"),
            ("Sigmoid", &["sums"], "y"),
        ],
        &[
            ("Conv", &["x", "w"], "sums"),
            ("Conv", &["x", "u"], "others"),
            ("Add", &["sums", "others"], "joined"),
            ("Conv", &["sums", "v"], "next"),
            ("Sigmoid", &["joined"], "y"),
        ],
    ];
    for nodes in cases {
        let model = super::model(
            nodes,
            vec![
                TensorProto::from_f32("w", &[2, 3, 1, 1], &[1.0, 2.0, 3.0, 0.1, 0.2, 0.3]),
                TensorProto::from_f32("u", &[2, 3, 1, 1], &[1.0; 6]),
                TensorProto::from_f32("v", &[1, 2, 1, 1], &[1.0, 1.0]),
            ],
            &[tensor("next", &[0, 1, 8, 8]), tensor("y", &[0, 2, 8, 8])],
        );
        let mut quantizer = Quantizer::new(&model).unwrap();
        for index in 0..quantizer.observed().output_names().len() {
            quantizer.observe(index, &[1, 2, 1, 1], &[100.0, 1.0]);
        }
        quantizer.equalize().unwrap();
        assert_eq!(quantizer.observed().graph().node[0].input[1], "w", "{nodes:?}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 3);
}
