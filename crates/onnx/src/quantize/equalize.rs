//! Channels of a tensor brought to one size, so that one scale serves them all.
#![expect(clippy::cast_possible_truncation, reason = "weights are f32; they are computed in f64")]

use std::collections::HashMap;

use super::Quantizer;
use super::kind::{Kind, activation_after, n_groups};
use super::observed::Observed;
use crate::error::OnnxError;
use crate::fold::readers;
use crate::model::OnnxModel;
use crate::names::Names;
use crate::proto::{NodeProto, TensorProto};

/// Most that a channel is stretched: what hardly ever speaks need not be heard as loud as the rest.
const MAX_FACTOR: f64 = 64.0;

/// Tensors whose channels must be stretched alike, for they are added to each other.
struct Group {
    /// Convolutions that write them.
    writers: Vec<usize>,
    /// Convolutions that read them.
    readers: Vec<usize>,
    /// Batch normalisations that read them.
    norms: Vec<usize>,
    /// A `Clip` in front of the only tensor, and its upper bound.
    clip: Option<(usize, f64)>,
    /// Largest magnitude of each channel.
    sizes: Vec<f64>,
}

/// Stretches the channels of every tensor that only convolutions write and read, by their weights: the same
/// function in floats.
///
/// A channel that is small beside the others has few of the 256 levels that they share. Stretched, it has
/// them all. A reader that has a weight for every pair of channels pays with the precision of its weights,
/// so that there the two share the burden; one with a kernel a channel does not.
///
/// # Source
/// Nagel et al. 2019, arXiv:1906.04721 (cross-layer equalisation), here by the sizes that activations were
/// seen to have, and through `Clip`: its bound is stretched with its channel.
pub(super) fn equalize(quantizer: &mut Quantizer) -> Result<(), OnnxError> {
    let mut bounded = Vec::new();
    for group in groups(quantizer) {
        let Quantizer { model, names, .. } = &mut *quantizer;
        let factors = factors(model, &group)?;
        for writer in &group.writers {
            scale_outputs(model, names, *writer, &factors)?;
        }
        let inverse: Vec<f64> = factors.iter().map(|it| 1.0 / it).collect();
        for reader in &group.readers {
            scale_inputs(model, names, *reader, &inverse)?;
        }
        for norm in &group.norms {
            scale_norm(model, names, *norm, &factors, &inverse)?;
        }
        if let Some((clip, bound)) = group.clip {
            bounded.push((clip, factors.iter().map(|it| it * bound).collect::<Vec<_>>()));
        }
    }
    // From the end, so that the indices of the others stay.
    bounded.sort_by_key(|it| std::cmp::Reverse(it.0));
    for (clip, bounds) in bounded {
        clip_by_channel(quantizer, clip, &bounds);
    }
    quantizer.tensors.iter_mut().for_each(Observed::forget);
    Ok(())
}

/// The groups whose tensors only convolutions and sums within the group write and read.
fn groups(quantizer: &Quantizer) -> Vec<Group> {
    let Quantizer { model, tensors, .. } = quantizer;
    let nodes = &model.graph().node;
    let all_readers = readers(model);
    // Tensors that are added, and their sum, belong together.
    let mut group_of: Vec<usize> = (0..tensors.len()).collect();
    for members in nodes.iter().filter_map(|it| summed(quantizer, it, &all_readers)) {
        let first = group_of[members[0]];
        for member in members {
            let other = group_of[member];
            group_of.iter_mut().filter(|it| **it == other).for_each(|it| *it = first);
        }
    }
    let collect = |group: usize| {
        let members: Vec<usize> = (0..tensors.len()).filter(|it| group_of[*it] == group).collect();
        let parts = members.iter().map(|it| part(quantizer, &tensors[*it].name, &all_readers));
        let parts = parts.collect::<Option<Vec<Part>>>().filter(|it| !it.is_empty())?;
        let mut sizes = tensors[members[0]].channel_sizes.clone();
        for member in &members {
            let other = &tensors[*member].channel_sizes;
            if other.len() != sizes.len() || other.is_empty() {
                return None;
            }
            sizes.iter_mut().zip(other).for_each(|(a, b)| *a = a.max(*b));
        }
        let clip = parts.iter().find_map(|it| it.clip);
        // A bound that each tensor of a sum has of its own cannot be stretched for all.
        if clip.is_some() && parts.len() > 1 {
            return None;
        }
        Some(Group {
            writers: parts.iter().filter_map(|it| it.writer).collect(),
            readers: parts.iter().flat_map(|it| it.readers.clone()).collect(),
            norms: parts.iter().flat_map(|it| it.norms.clone()).collect(),
            clip,
            sizes,
        })
    };
    (0..tensors.len()).filter_map(collect).collect()
}

/// What writes and reads one tensor of a group.
struct Part {
    writer: Option<usize>,
    readers: Vec<usize>,
    norms: Vec<usize>,
    clip: Option<(usize, f64)>,
}

/// The quantised tensors that a sum adds, and what it makes of them.
fn summed(quantizer: &Quantizer, node: &NodeProto, readers: &HashMap<&str, usize>) -> Option<[usize; 3]> {
    let Quantizer { model, tensors, scale_of, .. } = quantizer;
    let tensor = |name: &String| scale_of.get(name).copied().filter(|it| tensors[*it].name == *name);
    let [a, b] = node.input.as_slice() else { return None };
    let is_sum = node.operator() == "Add";
    is_sum.then(|| Some([tensor(a)?, tensor(b)?, tensor(activation_after(node, model, readers))?]))?
}

/// None where anything but convolutions and sums of quantised tensors writes or reads the tensor.
fn part(quantizer: &Quantizer, name: &String, readers: &HashMap<&str, usize>) -> Option<Part> {
    let model = &quantizer.model;
    let nodes = &model.graph().node;
    let is_convolution = |node: &NodeProto| Kind::of(node, model) == Some(Kind::Conv);
    let is_sum = |node: &NodeProto| summed(quantizer, node, readers).is_some();
    let writer_of = |name: &String| nodes.iter().position(|it| it.output.first() == Some(name));
    let mut writer = writer_of(name)?;
    let mut clip = None;
    if matches!(nodes[writer].operator().as_str(), "Relu" | "Clip") {
        if nodes[writer].operator() == "Clip" {
            clip = Some((writer, upper_bound(model, &nodes[writer])?));
        }
        let rectified = &nodes[writer].input[0];
        // Whoever else reads what comes before the rectifier would see it stretched too.
        if readers.get(rectified.as_str()) != Some(&1) {
            return None;
        }
        writer = writer_of(rectified)?;
    }
    let writer = match &nodes[writer] {
        node if is_convolution(node) => Some(writer),
        node if is_sum(node) && clip.is_none() => None,
        _ => return None,
    };
    let mut part = Part { writer, readers: Vec::new(), norms: Vec::new(), clip };
    let mut names = vec![name];
    while let Some(name) = names.pop() {
        let mut n_reads = 0;
        for (index, node) in nodes.iter().enumerate().filter(|it| it.1.input.contains(name)) {
            n_reads += node.input.iter().filter(|it| *it == name).count();
            match node {
                node if is_convolution(node) => part.readers.push(index),
                node if is_sum(node) => {}
                node if is_norm(node, model) => part.norms.push(index),
                // The largest of some stretched values is the largest of them, stretched.
                node if node.operator() == "MaxPool" && node.output.len() == 1 => names.push(&node.output[0]),
                _ => return None,
            }
        }
        // Bodies of control flow, and the outputs of the graph, read it too.
        if readers.get(name.as_str()) != Some(&n_reads) {
            return None;
        }
    }
    Some(part)
}

fn is_norm(node: &NodeProto, model: &OnnxModel) -> bool {
    let is_constant = |it: &String| model.f32_constant(it).is_some();
    node.operator() == "BatchNormalization"
        && node.output.len() == 1
        && node.input[1..].iter().all(is_constant)
}

/// The upper bound of a `Clip` whose lower one is zero, where both are constants.
fn upper_bound(model: &OnnxModel, clip: &NodeProto) -> Option<f64> {
    let bound = |index: usize| {
        let values = model.f32_values(clip.input.get(index).filter(|it| !it.is_empty())?).ok()?;
        values.first().copied().map(f64::from)
    };
    bound(2).filter(|it| bound(1) == Some(0.0) && *it > 0.0)
}

/// How much each channel is stretched.
fn factors(model: &OnnxModel, group: &Group) -> Result<Vec<f64>, OnnxError> {
    let largest = group.sizes.iter().copied().fold(0.0, f64::max);
    let mut weights: Option<Vec<f64>> = None;
    for reader in &group.readers {
        let node = &model.graph().node[*reader];
        let (shape, values) = weights_of(model, node)?;
        if shape[1] == 1 && n_groups(node) == group.sizes.len() {
            continue;
        }
        let of_reader = relative_weights(node, &shape, &values, group.sizes.len());
        let weights = weights.get_or_insert_with(|| vec![0.0; group.sizes.len()]);
        weights.iter_mut().zip(of_reader).for_each(|(a, b)| *a = a.max(b));
    }
    let of_channel = |(channel, size): (usize, &f64)| {
        if *size <= 0.0 || !size.is_finite() {
            return 1.0;
        }
        let full = largest / size;
        let factor = match &weights {
            Some(weights) => (full * weights[channel]).sqrt(),
            None => full,
        };
        // The 8 bits end where the largest channel does, which no bound of a channel may come before.
        let least = if group.clip.is_some() { 1.0 } else { 1.0 / MAX_FACTOR };
        if factor.is_finite() { factor.clamp(least, MAX_FACTOR) } else { 1.0 }
    };
    Ok(group.sizes.iter().enumerate().map(of_channel).collect())
}

/// The largest weight of each input channel, relative to the largest of its output.
fn relative_weights(node: &NodeProto, shape: &[usize], values: &[f32], n_channels: usize) -> Vec<f64> {
    let (n_inputs, kernel) = (shape[1], shape[2..].iter().product::<usize>().max(1));
    let n_groups = n_groups(node);
    let mut relative = vec![0.0_f64; n_channels];
    for (output, of_output) in values.chunks_exact(n_inputs * kernel).enumerate() {
        let first = output * n_groups / shape[0].max(1) * n_inputs;
        let largest = of_output.iter().fold(f32::MIN_POSITIVE, |a, b| a.max(b.abs()));
        for (channel, weights) in of_output.chunks_exact(kernel).enumerate() {
            let here = weights.iter().fold(0.0_f32, |a, b| a.max(b.abs())) / largest;
            if let Some(it) = relative.get_mut(first + channel) {
                *it = it.max(here.into());
            }
        }
    }
    relative
}

fn weights_of(model: &OnnxModel, node: &NodeProto) -> Result<(Vec<usize>, Vec<f32>), OnnxError> {
    let name = &node.input[1];
    let values = model.f32_values(name)?;
    let shape = model.initializer(name).map(TensorProto::shape).unwrap_or_default();
    if shape.len() < 3 {
        let reason = format!("a convolution's weights of shape {shape:?}");
        return Err(OnnxError::Tensor { tensor: name.clone(), reason });
    }
    Ok((shape, values))
}

/// Scales the outputs of a convolution, its bias too.
fn scale_outputs(
    model: &mut OnnxModel,
    names: &Names,
    node: usize,
    factors: &[f64],
) -> Result<(), OnnxError> {
    let (shape, mut weights) = weights_of(model, &model.graph().node[node])?;
    let of_output = weights.len() / shape[0].max(1);
    for (weights, factor) in weights.chunks_exact_mut(of_output.max(1)).zip(factors) {
        weights.iter_mut().for_each(|it| *it = (f64::from(*it) * factor) as f32);
    }
    replace(model, names, node, 1, &shape, &weights);
    if let Some(bias) = model.graph().node[node].input.get(2).filter(|it| !it.is_empty()) {
        let mut bias = model.f32_values(bias)?;
        bias.iter_mut().zip(factors).for_each(|(it, factor)| *it = (f64::from(*it) * factor) as f32);
        replace(model, names, node, 2, &[bias.len()], &bias);
    }
    Ok(())
}

/// Scales the weights of a convolution by the channel they read.
fn scale_inputs(model: &mut OnnxModel, names: &Names, node: usize, factors: &[f64]) -> Result<(), OnnxError> {
    let (shape, mut weights) = weights_of(model, &model.graph().node[node])?;
    let n_groups = n_groups(&model.graph().node[node]);
    let (n_inputs, kernel) = (shape[1], shape[2..].iter().product::<usize>().max(1));
    for (output, of_output) in weights.chunks_exact_mut((n_inputs * kernel).max(1)).enumerate() {
        let first = output * n_groups / shape[0].max(1) * n_inputs;
        for (channel, weights) in of_output.chunks_exact_mut(kernel).enumerate() {
            let factor = factors.get(first + channel).copied().unwrap_or(1.0);
            weights.iter_mut().for_each(|it| *it = (f64::from(*it) * factor) as f32);
        }
    }
    replace(model, names, node, 1, &shape, &weights);
    Ok(())
}

/// Lets a batch normalisation read stretched channels: `γ/f·(f·x − f·μ)/σ`.
fn scale_norm(
    model: &mut OnnxModel,
    names: &Names,
    node: usize,
    factors: &[f64],
    inverse: &[f64],
) -> Result<(), OnnxError> {
    for (input, factors) in [(1, inverse), (3, factors)] {
        let mut values = model.f32_values(&model.graph().node[node].input[input])?;
        values.iter_mut().zip(factors).for_each(|(it, factor)| *it = (f64::from(*it) * factor) as f32);
        replace(model, names, node, input, &[values.len()], &values);
    }
    Ok(())
}

/// Gives a node a constant of its own in the place of one that others may read.
fn replace(model: &mut OnnxModel, names: &Names, node: usize, input: usize, shape: &[usize], values: &[f32]) {
    let graph = model.graph_mut();
    let name = names.of(&format!("equalized_{input}"), &graph.node[node].output[0]);
    graph.initializer.retain(|it| it.name() != name);
    graph.initializer.push(TensorProto::from_f32(&name, shape, values));
    graph.node[node].input[input] = name;
}

/// Makes a rectifier, and a bound for each channel, of a `Clip`.
fn clip_by_channel(quantizer: &mut Quantizer, clip: usize, bounds: &[f64]) {
    let graph = quantizer.model.graph_mut();
    let node = &mut graph.node[clip];
    let (input, output) = (node.input[0].clone(), node.output[0].clone());
    let [rectified, bound] = ["rectified", "bound"].map(|it| quantizer.names.of(it, &output));
    *node = NodeProto::new("Relu", &[&input], &rectified, vec![]);
    graph.node.insert(clip + 1, NodeProto::new("Min", &[&rectified, &bound], &output, vec![]));
    let bounds: Vec<f32> = bounds.iter().map(|it| *it as f32).collect();
    graph.initializer.push(TensorProto::from_f32(&bound, &[1, bounds.len(), 1, 1], &bounds));
    quantizer.bounded.insert(rectified, output);
}
