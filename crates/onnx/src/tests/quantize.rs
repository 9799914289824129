//! Quantisation: graphs, numbers and ranges, by hand and by brute force.

use super::{operators, shape_constant, tensor, weight};
use crate::model::OnnxModel;
use crate::names::Names;
use crate::proto::{AttributeProto, NodeProto, TensorProto};
use crate::quantize::Histogram;
use crate::{OnnxError, Quantizer, is_quantized};

/// A 1×1 convolution of three channels, a rectifier, a sum with a second branch, and a global pooling.
fn network() -> OnnxModel {
    super::model(
        &[
            ("Conv", &["x", "w", "b"], "sums"),
            ("Relu", &["sums"], "active"),
            ("Conv", &["active", "v"], "branch"),
            ("Add", &["active", "branch"], "joined"),
            ("GlobalAveragePool", &["joined"], "pooled"),
            ("Flatten", &["pooled"], "embedding"),
        ],
        vec![
            TensorProto::from_f32("w", &[2, 3, 1, 1], &[1.0, -0.5, 0.25, 100.0, 50.0, -127.0]),
            TensorProto::from_f32("b", &[2], &[0.5, -3.0]),
            TensorProto::from_f32("v", &[2, 2, 1, 1], &[0.1, 0.2, 0.3, 0.4]),
        ],
        &[tensor("embedding", &[0, 2])],
    )
}

/// A quantiser that saw each of its tensors take values evenly between -1 and 3.
pub(super) fn observed(model: &OnnxModel) -> Quantizer {
    let mut quantizer = Quantizer::new(model).unwrap();
    let values: Vec<f32> = (0..=4000).map(|it| it as f32 / 1000.0 - 1.0).collect();
    for output in 0..quantizer.observed().output_names().len() {
        quantizer.observe(output, &[values.len()], &values);
    }
    quantizer
}

fn constant(model: &OnnxModel, name: &str) -> Vec<u8> {
    let tensor = model.initializer(name).unwrap_or_else(|| panic!("no constant {name}"));
    tensor.raw_data.clone().unwrap().to_vec()
}

#[test]
fn what_has_an_integer_kernel_is_observed_behind_its_rectifier() {
    let outputs = Quantizer::new(&network()).unwrap().observed().output_names();
    assert_eq!(outputs, ["x", "active", "branch", "embedding"], "not `sums`: its kernel clips");
    // The sum is followed by floats: it is one of them. Followed by a convolution it is not.
    let mut model = network();
    model.graph_mut().node[4] = NodeProto::new("Conv", &["joined", "v"], "pooled", vec![]);
    let outputs = Quantizer::new(&model).unwrap().observed().output_names();
    assert_eq!(outputs, ["x", "active", "branch", "joined", "embedding"]);
}

#[test]
fn weights_have_a_scale_a_channel_and_activations_one_each() {
    let quantized = observed(&network()).quantize().unwrap();
    assert!(is_quantized(&quantized));
    assert_eq!(quantized.output_names(), ["embedding"]);
    let ops = operators(&quantized).join(" ");
    let pair = "QuantizeLinear DequantizeLinear";
    let expected = format!(
        "{pair} DequantizeLinear DequantizeLinear Conv Relu {pair} DequantizeLinear Conv {pair} Add \
         GlobalAveragePool Flatten"
    );
    assert_eq!(ops, expected);
    // The largest weight of each output is 127 steps: 1/127, and one.
    let steps = quantized.f32_values("int8/weight_scale/sums").unwrap();
    assert_eq!(steps, [1.0 / 127.0, 1.0]);
    let weights: Vec<i8> =
        constant(&quantized, "int8/weight/sums").into_iter().map(u8::cast_signed).collect();
    assert_eq!(weights, [127, -64, 32, 100, 50, -127]);
    // Four grey levels of 255 steps, zero on one of them.
    let step = quantized.f32_values("int8/scale/x").unwrap()[0];
    assert!((step - 4.0 / 255.0).abs() < 1e-3 * step, "{step}");
    assert_eq!(constant(&quantized, "int8/zero_point/x"), [64]);
    let bias = constant(&quantized, "int8/bias/sums");
    let bias: Vec<i32> = bias.as_chunks().0.iter().map(|it| i32::from_le_bytes(*it)).collect();
    let back: Vec<f32> = bias.iter().zip(&steps).map(|(it, scale)| *it as f32 * scale * step).collect();
    assert!((back[0] - 0.5).abs() < step * steps[0] && (back[1] + 3.0).abs() < step * steps[1], "{back:?}");
    // The weights in floats are gone, and what is read is there.
    assert!(quantized.initializer("w").is_none() && quantized.initializer("b").is_none());
    OnnxModel::from_bytes(quantized.to_bytes().unwrap()).unwrap();
}

#[test]
fn the_bias_takes_up_what_rounding_weights_does_on_average() {
    let model = super::model(
        &[("Conv", &["x", "w"], "sums"), ("GlobalAveragePool", &["sums"], "pooled")],
        // The second weight is rounded from 31.75 to 32 steps of 0.01.
        vec![TensorProto::from_f32("w", &[1, 3, 1, 1], &[1.27, 0.3175, 0.0])],
        &[tensor("pooled", &[0, 1, 1, 1])],
    );
    let mut quantizer = Quantizer::new(&model).unwrap();
    // Channels of mean 1, 2 and 3.
    quantizer.observe(0, &[1, 3, 1, 2], &[0.0, 2.0, 1.0, 3.0, 2.0, 4.0]);
    let quantized = quantizer.quantize().unwrap();
    let scale = quantized.f32_values("int8/bias_scale/sums").unwrap()[0];
    let bias = constant(&quantized, "int8/bias/sums");
    let bias = i32::from_le_bytes(bias.try_into().unwrap()) as f32 * scale;
    assert!((bias + 0.0025 * 2.0).abs() <= scale, "{bias}");
}

#[test]
fn a_bias_beside_vanishing_weights_still_fits_32_bits() {
    let model = super::model(
        &[("Conv", &["x", "w", "b"], "sums"), ("GlobalAveragePool", &["sums"], "pooled")],
        vec![
            TensorProto::from_f32("w", &[1, 3, 1, 1], &[1e-12, 0.0, -1e-12]),
            TensorProto::from_f32("b", &[1], &[-5.0]),
        ],
        &[tensor("pooled", &[0, 1, 1, 1])],
    );
    let quantized = observed(&model).quantize().unwrap();
    let scale = quantized.f32_values("int8/bias_scale/sums").unwrap()[0];
    let bias = constant(&quantized, "int8/bias/sums");
    let bias = i32::from_le_bytes(bias.try_into().unwrap()) as f32 * scale;
    assert!((bias + 5.0).abs() < 1e-5, "{bias}");
}

#[test]
fn a_batch_normalisation_becomes_part_of_its_convolution() {
    let mut model = super::model(
        &[
            ("Conv", &["x", "w"], "sums"),
            ("BatchNormalization", &["sums", "gamma", "beta", "mean", "variance"], "normal"),
            ("Relu", &["normal"], "active"),
            ("BatchNormalization", &["active", "gamma", "beta", "mean", "variance"], "embedding"),
        ],
        vec![
            TensorProto::from_f32("w", &[2, 3, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            TensorProto::from_f32("gamma", &[2], &[2.0, 3.0]),
            TensorProto::from_f32("beta", &[2], &[0.5, -0.5]),
            TensorProto::from_f32("mean", &[2], &[10.0, 20.0]),
            TensorProto::from_f32("variance", &[2], &[3.75, 8.75]),
        ],
        &[tensor("embedding", &[0, 2, 8, 8])],
    );
    let epsilon = AttributeProto { name: Some("epsilon".to_owned()), f: Some(0.25), ..Default::default() };
    model.graph_mut().node[1].attribute.push(epsilon);
    let names = Names::new(&model, "int8");
    crate::fold::fold_batch_norms(&mut model, &names).unwrap();
    assert_eq!(operators(&model), ["Conv", "Relu", "BatchNormalization"], "the last follows no convolution");
    // Factors 2/√4 = 1 and 3/√9 = 1; then 1·(0 − 10) + 0.5 and 1·(0 − 20) − 0.5.
    let conv = &model.graph().node[0];
    assert_eq!(conv.output, ["normal"]);
    assert_eq!(model.f32_values(&conv.input[1]).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(model.f32_values(&conv.input[2]).unwrap(), [-9.5, -20.5]);
}

#[test]
fn older_operators_are_raised_or_refused() {
    let raised = |node: NodeProto, version: i64| {
        let nodes: &[(&str, &[&str], &str)] = &[("Conv", &["x", "w"], "sums"), ("Relu", &["sums"], "y")];
        let mut model = super::model(nodes, vec![weight("w", &[2, 3, 1, 1])], &[tensor("y", &[0, 2, 8, 8])]);
        model.graph_mut().node[1] = node;
        model.set_opset(version);
        let names = Names::new(&model, "int8");
        crate::opset::raise_opset(&mut model, &names).map(|()| model)
    };
    let node = |op: &str, attributes: Vec<AttributeProto>| NodeProto::new(op, &["sums"], "y", attributes);
    let float = |name: &str, value: f32| AttributeProto {
        name: Some(name.to_owned()),
        f: Some(value),
        ..Default::default()
    };
    let clip = raised(node("Clip", vec![float("max", 6.0), float("min", 0.0)]), 7).unwrap();
    assert_eq!(
        (clip.opset(), &clip.graph().node[1].input[..]),
        (13, &["sums", "int8/min/y", "int8/max/y"].map(String::from)[..])
    );
    assert_eq!(clip.f32_values("int8/max/y").unwrap(), [6.0]);
    assert!(clip.graph().node[1].attribute.is_empty());
    let only_max = raised(node("Clip", vec![float("max", 6.0)]), 9).unwrap();
    assert_eq!(only_max.graph().node[1].input, ["sums", "", "int8/max/y"]);
    let squeeze = raised(node("Squeeze", vec![AttributeProto::ints("axes", &[2, 3])]), 11).unwrap();
    assert_eq!(squeeze.graph().node[1].input, ["sums", "int8/axes/y"]);
    let dropout = raised(node("Dropout", vec![float("ratio", 0.5)]), 7).unwrap();
    assert_eq!(operators(&dropout), ["Conv", "Identity"]);
    // Nothing to do, whatever the operator; a meaning that changed; arithmetic that does not broadcast.
    assert_eq!(raised(node("Softmax", vec![]), 14).unwrap().opset(), 14);
    let mut n_refused = 0;
    for (op, version) in [("Softmax", 11), ("Upsample", 9), ("Relu", 6)] {
        let err = raised(node(op, vec![]), version).unwrap_err();
        assert!(matches!(err, OnnxError::OpsetTooOld { needed: 13, .. }), "{op}: {err}");
        n_refused += 1;
    }
    assert_eq!(n_refused, 3);
}

#[test]
fn sums_and_concatenations_of_shapes_stay_as_they_are() {
    let model = super::model(
        &[
            ("Shape", &["x"], "shape"),
            ("Add", &["shape", "shape"], "twice"),
            ("Concat", &["twice", "shape"], "both"),
            ("Conv", &["x", "w"], "sums"),
            ("Reshape", &["sums", "both"], "y"),
        ],
        vec![weight("w", &[2, 3, 1, 1]), shape_constant("unused", &[1])],
        &[tensor("y", &[0, 2])],
    );
    assert_eq!(Quantizer::new(&model).unwrap().observed().output_names(), ["x", "y"]);
}

#[test]
fn what_cannot_be_quantised_is_refused_with_the_reason() {
    let quantized = observed(&network()).quantize().unwrap();
    let no_weights = super::model(&[("Relu", &["x"], "y")], vec![], &[tensor("y", &[0, 3, 8, 8])]);
    let unseen = Quantizer::new(&network()).unwrap().quantize();
    let cases = [
        (Quantizer::new(&quantized).map(drop), "it is quantised already"),
        (Quantizer::new(&no_weights).map(drop), "no Conv, Gemm or MatMul"),
        (unseen.map(drop), "no input was observed"),
    ];
    let mut n_cases = 0;
    for (result, expected) in cases {
        let err = result.unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 3);
}

/// The error of 256 levels over a range, value by value.
fn error(values: &[f32], (low, high): (f32, f32)) -> f64 {
    let step = f64::from(high - low) / 255.0;
    let level = |it: &f32| {
        let it = f64::from(*it);
        let nearest =
            ((it.clamp(low.into(), high.into()) - f64::from(low)) / step).round() * step + f64::from(low);
        (it - nearest).powi(2)
    };
    values.iter().map(level).sum()
}

#[test]
fn a_range_is_as_good_as_the_best_of_many() {
    let ramp = |n: usize, from: f32, to: f32| (0..n).map(move |it| from + (to - from) * it as f32 / n as f32);
    let bell = |n: usize| {
        // Sums of twelve numbers that repeat after co-prime periods: near enough to a normal distribution.
        let part = |it: usize, period: usize| (it * 7919 % period) as f32 / period as f32;
        let periods = [97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151];
        (0..n).map(move |it| periods.iter().map(|period| part(it, *period)).sum::<f32>() - 6.0)
    };
    let cases: [(&str, Vec<f32>); 5] = [
        ("even", ramp(20_000, -1.0, 3.0).collect()),
        ("rectified", ramp(20_000, 0.0, 6.0).collect()),
        ("a bell", bell(20_000).collect()),
        ("a bell and a few far away", bell(20_000).chain([40.0, -35.0, 60.0]).collect()),
        ("tiny, then a thousand times larger", ramp(20_000, 0.0, 1e-6).chain(ramp(10, 0.0, 1e-3)).collect()),
    ];
    let mut n_cases = 0;
    for (name, values) in cases {
        let mut histogram = Histogram::default();
        values.chunks(777).for_each(|it| histogram.add(it));
        let chosen = error(&values, histogram.range());
        let ends = values.iter().fold((0.0_f32, 0.0_f32), |it, v| (it.0.min(*v), it.1.max(*v)));
        let shares = (1..=200).map(|it| it as f32 / 200.0);
        let best = shares.map(|it| error(&values, (ends.0 * it, ends.1 * it))).fold(f64::INFINITY, f64::min);
        // Bins stand for the values in them, and shares come in steps of a hundredth.
        assert!(chosen <= 1.1 * best, "{name}: {chosen} where {best} can be had");
        n_cases += 1;
    }
    assert_eq!(n_cases, 5);
    let mut odd = Histogram::default();
    odd.add(&[0.0, f32::NAN, f32::INFINITY]);
    assert!(odd.is_empty());
    odd.add(&[-2.0]);
    assert_eq!(odd.range(), (-2.0, 0.0));
}

/// Two channels, their means 1 and 3, swapped on the way to a second convolution: the bias of that one is for
/// the means that it sees, or for none.
#[test]
fn the_mean_of_another_order_of_channels_is_not_used() {
    let model = super::model(
        &[
            ("Conv", &["x", "w"], "sums"),
            ("Transpose", &["sums"], "turned"),
            ("Conv", &["turned", "v"], "next"),
            ("GlobalAveragePool", &["next"], "y"),
        ],
        vec![
            TensorProto::from_f32("w", &[2, 3, 1, 1], &[1.0; 6]),
            TensorProto::from_f32("v", &[1, 2, 1, 1], &[1.27, 0.3175]),
        ],
        &[tensor("y", &[0, 1, 1, 1])],
    );
    let mut quantizer = Quantizer::new(&model).unwrap();
    for index in 0..quantizer.observed().output_names().len() {
        quantizer.observe(index, &[1, 2, 1, 1], &[1.0, 3.0]);
    }
    let quantized = quantizer.quantize().unwrap();
    assert!(quantized.initializer("int8/bias/next").is_none(), "nothing is known of `turned`");
    assert!(quantized.initializer("int8/weight/next").is_some());
}
