//! Batch normalisation folded into the convolution before it.
#![expect(clippy::cast_possible_truncation, reason = "weights are f32; they are computed in f64")]

use std::collections::HashMap;

use crate::error::OnnxError;
use crate::model::OnnxModel;
use crate::names::Names;
use crate::proto::{NodeProto, TensorProto};

/// Epsilon of a `BatchNormalization` that does not say.
const DEFAULT_EPSILON: f32 = 1e-5;

/// Folds every batch normalisation with constant parameters that alone reads a convolution's output: the
/// same function, one node less.
pub(crate) fn fold_batch_norms(model: &mut OnnxModel, names: &Names) -> Result<(), OnnxError> {
    let mut index = 0;
    while index < model.graph().node.len() {
        if let Some(conv) = convolution_before(model, index) {
            fold(model, conv, index, names)?;
            model.graph_mut().node.remove(index);
        } else {
            index += 1;
        }
    }
    Ok(())
}

/// Index of the convolution whose output only the batch normalisation at `index` reads.
fn convolution_before(model: &OnnxModel, index: usize) -> Option<usize> {
    let nodes = &model.graph().node;
    let norm = &nodes[index];
    // In f32: half floats are left as they are.
    let is_constant = |name: &String| model.f32_constant(name).is_some();
    if norm.operator() != "BatchNormalization" || norm.output.len() > 1 || norm.input.len() != 5 {
        return None;
    }
    let tensor = &norm.input[0];
    let conv = nodes.iter().position(|it| it.output.first() == Some(tensor))?;
    let has_constant_weights = |it: &NodeProto| {
        it.input.len() > 1 && it.input[1..].iter().all(|it| it.is_empty() || is_constant(it))
    };
    let is_folded = nodes[conv].operator() == "Conv"
        && has_constant_weights(&nodes[conv])
        && norm.input[1..].iter().all(is_constant)
        && readers(model).get(tensor.as_str()) == Some(&1);
    is_folded.then_some(conv)
}

/// How often each tensor is read; being an output of the graph counts.
pub(crate) fn readers(model: &OnnxModel) -> HashMap<&str, usize> {
    fn count<'a>(nodes: &'a [NodeProto], readers: &mut HashMap<&'a str, usize>) {
        for node in nodes {
            node.input.iter().for_each(|it| *readers.entry(it).or_default() += 1);
            for body in node.attribute.iter().flat_map(|it| it.g.iter().chain(&it.graphs)) {
                body.output.iter().for_each(|it| *readers.entry(it.name()).or_default() += 1);
                count(&body.node, readers);
            }
        }
    }
    let mut readers = HashMap::new();
    count(&model.graph().node, &mut readers);
    model.graph().output.iter().for_each(|it| *readers.entry(it.name()).or_default() += 1);
    readers
}

/// `γ·(w·x + b − μ)/√(σ² + ε) + β` as one convolution.
fn fold(model: &mut OnnxModel, conv: usize, norm: usize, names: &Names) -> Result<(), OnnxError> {
    let (conv_node, norm_node) = (&model.graph().node[conv], &model.graph().node[norm]);
    let epsilon = norm_node.attribute("epsilon").and_then(|it| it.f).unwrap_or(DEFAULT_EPSILON);
    let weight_name = &conv_node.input[1];
    let mut weight = model.f32_values(weight_name)?;
    let dims = model.initializer(weight_name).map(TensorProto::shape).unwrap_or_default();
    let mut parameters = Vec::new();
    for name in &norm_node.input[1..] {
        parameters.push(model.f32_values(name)?);
    }
    let n_channels = parameters[0].len();
    let mut bias = match conv_node.input.get(2).filter(|it| !it.is_empty()) {
        Some(name) => model.f32_values(name)?,
        None => vec![0.0; n_channels],
    };
    let of_channel = weight.len() / n_channels.max(1);
    if parameters.iter().any(|it| it.len() != n_channels)
        || bias.len() != n_channels
        || weight.len() != of_channel * n_channels
        || dims.first() != Some(&n_channels)
    {
        let reason = format!("its shape {dims:?} does not fit {n_channels} channels of the normalisation");
        return Err(OnnxError::Tensor { tensor: weight_name.clone(), reason });
    }
    for (channel, bias) in bias.iter_mut().enumerate() {
        let of = |it: usize| f64::from(parameters[it][channel]);
        let [gamma, beta, mean, variance] = [of(0), of(1), of(2), of(3)];
        let factor = gamma / (variance + f64::from(epsilon)).sqrt();
        *bias = (factor * (f64::from(*bias) - mean) + beta) as f32;
        for it in &mut weight[channel * of_channel..][..of_channel] {
            *it = (f64::from(*it) * factor) as f32;
        }
    }
    let output = norm_node.output[0].clone();
    let [weight_name, bias_name] = ["folded_weight", "folded_bias"].map(|it| names.of(it, &output));
    let graph = model.graph_mut();
    graph.initializer.push(TensorProto::from_f32(&weight_name, &dims, &weight));
    graph.initializer.push(TensorProto::from_f32(&bias_name, &[n_channels], &bias));
    let conv_node = &mut graph.node[conv];
    conv_node.input.truncate(1);
    conv_node.input.extend([weight_name, bias_name]);
    conv_node.output[0] = output;
    Ok(())
}
