//! Which operators have integer kernels, and what of them is quantised.

use std::collections::{HashMap, HashSet};

use crate::model::OnnxModel;
use crate::proto::NodeProto;

/// Operators whose output has the values of their input: it has its scale too.
pub(super) const SAME_VALUES: [&str; 5] = ["MaxPool", "Reshape", "Transpose", "Flatten", "Split"];

/// An operator that has an integer kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A convolution: weights `(n_outputs, …)`.
    Conv,
    /// A product with constant weights, and the axis of its outputs in them.
    Product(usize),
    /// Sums, means and concatenations of activations.
    Other,
}

impl Kind {
    pub(super) fn of(node: &NodeProto, model: &OnnxModel) -> Option<Self> {
        let weight = node.input.get(1).and_then(|it| model.f32_constant(it));
        let is_constant = |it: &String| model.initializer(it).is_some();
        let int =
            |name: &str, default: i64| node.attribute(name).map_or(default, |it| it.i.unwrap_or(default));
        let is_one = |name: &str| node.attribute(name).is_none_or(|it| it.f == Some(1.0));
        let has_constant_bias = || node.input.get(2).is_none_or(|it| it.is_empty() || is_constant(it));
        // What is computed of constants alone is a constant in all but name.
        if node.output.first().is_none_or(String::is_empty) || node.input.first().is_none_or(is_constant) {
            return None;
        }
        match node.operator().as_str() {
            "Conv" if has_constant_bias() => weight.filter(|it| it.dims.len() > 2).map(|_| Self::Conv),
            "MatMul" => weight.filter(|it| it.dims.len() == 2).map(|_| Self::Product(1)),
            "Gemm" => {
                let is_plain =
                    int("transA", 0) == 0 && is_one("alpha") && is_one("beta") && has_constant_bias();
                let axis = if int("transB", 0) == 1 { 0 } else { 1 };
                weight.filter(|it| is_plain && it.dims.len() == 2).map(|_| Self::Product(axis))
            }
            // A constant that is added is a bias in all but name.
            "Add" | "Concat" if !node.input.iter().any(is_constant) => Some(Self::Other),
            "AveragePool" => Some(Self::Other),
            _ => None,
        }
    }

    /// Inputs that are activations.
    pub(super) fn n_inputs(self, node: &NodeProto) -> usize {
        if self == Self::Other { node.input.len() } else { 1 }
    }

    /// Whether its kernel ends in 8 bits; products end in floats, which costs nothing and is finer.
    pub(super) fn quantizes_output(self) -> bool {
        !matches!(self, Self::Product(_))
    }
}

/// The sums and concatenations that are worth an integer kernel: those that only integer kernels read. Before
/// an operator in floats 8 bits would gain nothing, and cost precision.
pub(super) fn integer_others(model: &OnnxModel, readers: &HashMap<&str, usize>) -> HashSet<usize> {
    let nodes = &model.graph().node;
    let kinds: Vec<Option<Kind>> = nodes.iter().map(|it| Kind::of(it, model)).collect();
    let mut integer: HashSet<usize> = (0..nodes.len()).filter(|it| kinds[*it] == Some(Kind::Other)).collect();
    // From the end: a sum that turns out to be in floats makes floats of those that it reads.
    for index in (0..nodes.len()).rev().filter(|it| kinds[*it] == Some(Kind::Other)) {
        let output = activation_after(&nodes[index], model, readers);
        let is_integer = |reader: &usize| match kinds[*reader] {
            Some(Kind::Other) => integer.contains(reader),
            Some(_) => true,
            None => SAME_VALUES.contains(&nodes[*reader].operator().as_str()),
        };
        // Nodes come before those that read them.
        let by = (index + 1..nodes.len()).filter(|it| nodes[*it].input.contains(output)).filter(is_integer);
        // Readers that are no nodes, outputs for one, are in floats.
        let n_integer: usize = by.map(|it| nodes[it].input.iter().filter(|it| *it == output).count()).sum();
        if n_integer != readers.get(output.as_str()).copied().unwrap_or(0) {
            integer.remove(&index);
        }
    }
    integer
}

/// The tensor behind an operator and the rectifier that alone follows it: its kernel clips in passing.
pub(super) fn activation_after<'a>(
    node: &'a NodeProto,
    model: &'a OnnxModel,
    readers: &HashMap<&str, usize>,
) -> &'a String {
    let output = &node.output[0];
    let rectifies = |it: &&NodeProto| {
        matches!(it.operator().as_str(), "Relu" | "Clip") && it.input.first() == Some(output)
    };
    let only = readers.get(output.as_str()) == Some(&1);
    let rectifier = model.graph().node.iter().find(rectifies).filter(|_| only);
    rectifier.map_or(output, |it| &it.output[0])
}

/// Groups of channels of a convolution.
pub(super) fn n_groups(node: &NodeProto) -> usize {
    node.attribute("group").and_then(|it| usize::try_from(it.i?).ok()).unwrap_or(1).max(1)
}
