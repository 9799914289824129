//! Following a graph back from its outputs: to its classifier, to what says how a tensor is laid out.

use std::collections::{HashMap, HashSet};

use crate::cut::known_rank;
use crate::model::OnnxModel;
use crate::proto::NodeProto;
use crate::tap::{Pool, Tap};

/// Operators of one input, besides constants, that do not change what is a feature: between a classifier and the
/// output they are followed.
const PASSIVE: [&str; 28] = [
    "ArgMax",
    "AveragePool",
    "Cast",
    "Clip",
    "DequantizeLinear",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "HardSigmoid",
    "Hardmax",
    "Identity",
    "LogSoftmax",
    "QLinearAveragePool",
    "QLinearGlobalAveragePool",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Squeeze",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Neg",
];

/// Operators that compute each number from one: between layers of features, too.
const ACTIVATIONS: [&str; 12] = [
    "BatchNormalization",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "PRelu",
    "Softplus",
    "Tanh",
];

/// Arithmetic of two inputs, of which one may be constant.
const ARITHMETIC: [&str; 8] = ["Add", "Div", "Max", "Min", "Mul", "Pow", "QLinearAdd", "Sub"];

/// Convolutions, in floats and in integers.
const CONVOLUTIONS: [&str; 3] = ["Conv", "FusedConv", "QLinearConv"];

/// Operators that pool all positions.
const POOLING: [&str; 6] = [
    "GlobalAveragePool",
    "GlobalLpPool",
    "GlobalMaxPool",
    "QLinearGlobalAveragePool",
    "ReduceMax",
    "ReduceMean",
];

/// Operators whose tensors are `(n, c, h, w)`.
const CHANNELS_FIRST: [&str; 15] = [
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DepthToSpace",
    "FusedConv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "InstanceNormalization",
    "LRN",
    "MaxPool",
    "QLinearAveragePool",
    "QLinearConv",
    "QLinearGlobalAveragePool",
];

/// A graph, and what writes each of its tensors.
pub(crate) struct Search<'m> {
    model: &'m OnnxModel,
    producers: HashMap<&'m str, &'m NodeProto>,
    constants: HashSet<&'m str>,
}

impl<'m> Search<'m> {
    pub(crate) fn new(model: &'m OnnxModel) -> Self {
        Self { model, producers: model.producers(), constants: constants(model) }
    }

    /// The tensor that enters the classifier which an output comes from.
    pub(crate) fn classifier_input(&self, output: &str) -> Option<Tap> {
        self.follow(output, false)
    }

    /// `is_branch` where the output is a mean, or another sum, of several: such are not followed again.
    fn follow(&self, output: &str, is_branch: bool) -> Option<Tap> {
        let mut tensor = output;
        let mut pooled_after = false;
        // A graph cannot have more steps than nodes; a malformed one could have a cycle.
        for _ in 0..self.producers.len() {
            let node = self.producers.get(tensor)?;
            let data = node.input.first()?;
            let op = node.op();
            if self.is_fully_connected(node) {
                return Some(self.layer_input(data));
            }
            if CONVOLUTIONS.contains(&op) {
                // Pooled afterwards (SqueezeNet), or before: Keras' MobileNet, MobileNetV3.
                let is_classifier =
                    is_pointwise(node) && (pooled_after || self.is_row(data, &mut HashSet::new()));
                return is_classifier.then(|| self.conv_input(data));
            }
            tensor = if ARITHMETIC.contains(&op) {
                match self.operands(node)[..] {
                    [one] => one,
                    [a, b] if !is_branch => return self.follow_both(op, a, b),
                    _ => return None,
                }
            } else if PASSIVE.contains(&op) {
                pooled_after |= op.contains("Pool") || op == "ReduceMean";
                data
            } else {
                return None;
            };
        }
        None
    }

    /// Of a product one factor must be the scale of a quantisation: one by a norm, or by a gate, is of features; of a
    /// sum (the mean of two classifiers) both must be classifiers, none of which is made of the other: else it is a
    /// residual connection.
    fn follow_both(&self, op: &str, a: &str, b: &str) -> Option<Tap> {
        match op {
            "Mul" if self.is_scale(b) => self.follow(a, true),
            "Mul" if self.is_scale(a) => self.follow(b, true),
            "Add" | "Max" => {
                let (first, second) = (self.follow(a, true)?, self.follow(b, true)?);
                let is_residual = self.depends_on(&second.tensor, a) || self.depends_on(&first.tensor, b);
                (!is_residual).then_some(first)
            }
            _ => None,
        }
    }

    /// Whether a tensor is a scale that an input was quantised by, times constants.
    fn is_scale(&self, tensor: &str) -> bool {
        let mut tensor = tensor;
        for _ in 0..self.producers.len() {
            let Some(node) = self.producers.get(tensor) else { return false };
            if node.op() == "DynamicQuantizeLinear" {
                return node.output.get(1).is_some_and(|it| it == tensor);
            }
            tensor = match (node.op(), &self.operands(node)[..]) {
                ("Mul" | "Cast" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity", [one]) => one,
                _ => return false,
            };
        }
        false
    }

    /// Whether a node multiplies rows by a constant matrix.
    fn is_fully_connected(&self, node: &NodeProto) -> bool {
        match node.op() {
            "Gemm" => self.is_constant(node, 1),
            "Einsum" => node.input.len() == 2 && self.is_constant(node, 1) && !self.is_constant(node, 0),
            // Data, scale, zero point, weight.
            "QGemm" | "QLinearMatMul" => self.is_constant(node, 3) && !self.is_constant(node, 0),
            "MatMul"
            | "MatMulInteger"
            | "MatMulIntegerToFloat"
            | "DynamicQuantizeMatMul"
            | "FusedMatMul"
            | "MatMulNBits" => self.is_constant(node, 1) && !self.is_constant(node, 0),
            _ => false,
        }
    }

    /// The input of a fully connected layer: never pooled, a row per sample already.
    fn layer_input(&self, tensor: &str) -> Tap {
        Tap { tensor: self.before_quantisation(tensor).to_owned(), pool: Pool::None }
    }

    /// The input of a convolution: pooled to a row, by the graph's own pooling where it has one.
    fn conv_input(&self, tensor: &str) -> Tap {
        let tensor = self.before_quantisation(tensor);
        let reads = |node: &&NodeProto, tensor: &str| node.input.first().is_some_and(|it| it == tensor);
        let nodes = || self.model.graph().node.iter();
        let pool = nodes().find(|node| node.op() == "GlobalAveragePool" && reads(node, tensor));
        let pooled = pool.and_then(|it| it.output.first());
        let flat = pooled.and_then(|it| nodes().find(|node| node.op() == "Flatten" && reads(node, it)));
        match flat.and_then(|it| it.output.first()) {
            Some(flat) => Tap { tensor: flat.clone(), pool: Pool::None },
            None => Tap { tensor: tensor.to_owned(), pool: Pool::Mean },
        }
    }

    /// Follows a quantised tensor back to the float one it was made from.
    fn before_quantisation<'t>(&'t self, tensor: &'t str) -> &'t str {
        let mut tensor = tensor;
        for _ in 0..self.producers.len() {
            match self.producers.get(tensor) {
                Some(node)
                    if matches!(
                        node.op(),
                        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear"
                    ) =>
                {
                    let Some(input) = node.input.first() else { break };
                    tensor = input;
                }
                _ => break,
            }
        }
        tensor
    }

    /// The tap at a tensor, pooled where it is known to have positions.
    pub(crate) fn tap_at(&self, tensor: &str) -> Tap {
        let rank = known_rank(self.model, tensor);
        let pool = if rank == Some(4) { Pool::Mean } else { Pool::None };
        Tap { tensor: tensor.to_owned(), pool }
    }

    fn is_constant(&self, node: &NodeProto, input: usize) -> bool {
        node.input.get(input).is_some_and(|it| self.constants.contains(it.as_str()))
    }

    /// Inputs that arithmetic is done with and that are no constants.
    fn operands<'n>(&self, node: &'n NodeProto) -> Vec<&'n str> {
        // Of quantised arithmetic scales and zero points stand between.
        let places = if node.op() == "QLinearAdd" { [0, 3] } else { [0, 1] };
        let inputs = places.iter().filter_map(|it| node.input.get(*it)).map(String::as_str);
        inputs.filter(|it| !self.constants.contains(it)).collect()
    }

    /// Whether a tensor has one position a sample, and all of its values were pooled: nothing after the pooling
    /// looks at more than one.
    fn is_row<'t>(&'t self, tensor: &'t str, seen: &mut HashSet<&'t str>) -> bool {
        if !seen.insert(tensor) {
            return true;
        }
        let Some(node) = self.producers.get(tensor) else { return false };
        let op = node.op();
        if POOLING.contains(&op) {
            return true;
        }
        let is_pointwise = CONVOLUTIONS.contains(&op) && is_pointwise(node);
        let keeps = PASSIVE.contains(&op) && op != "AveragePool" && op != "Slice";
        if ARITHMETIC.contains(&op) {
            let operands = self.operands(node);
            return !operands.is_empty() && operands.iter().all(|it| self.is_row(it, seen));
        }
        let data = node.input.first().filter(|_| is_pointwise || keeps || ACTIVATIONS.contains(&op));
        data.is_some_and(|it| self.is_row(it, seen))
    }

    /// Whether a tensor is computed from another.
    fn depends_on(&self, tensor: &str, other: &str) -> bool {
        let (mut open, mut seen) = (vec![tensor], HashSet::new());
        while let Some(tensor) = open.pop() {
            if tensor == other {
                return true;
            }
            if let (true, Some(node)) = (seen.insert(tensor), self.producers.get(tensor)) {
                open.extend(node.input.iter().map(String::as_str));
            }
        }
        false
    }

    /// Whether the channels of a map come last; none where nothing on the way to it says.
    fn channels_last(&self, tensor: &str) -> Option<bool> {
        let reads = |node: &&NodeProto| node.input.first().is_some_and(|it| it == tensor);
        let mut readers = self.model.graph().node.iter().filter(reads);
        if readers.any(|it| CHANNELS_FIRST.contains(&it.op())) {
            return Some(false);
        }
        let mut tensor = tensor;
        for _ in 0..self.producers.len() {
            let Some(node) = self.producers.get(tensor) else {
                // Pixels are `(n, h, w, c)`.
                return (tensor == crate::attach::PIXELS).then_some(true);
            };
            let op = node.op();
            if op == "Transpose" {
                return match node.attribute("perm").map(|it| &it.ints[..]) {
                    Some([0, 2, 3, 1]) => Some(true),
                    Some([0, 3, 1, 2]) => Some(false),
                    _ => None,
                };
            }
            if CHANNELS_FIRST.contains(&op) {
                return Some(false);
            }
            let keeps =
                PASSIVE.contains(&op) && !["Flatten", "Reshape", "Squeeze", "Unsqueeze"].contains(&op);
            let is_followed = keeps
                || ACTIVATIONS.contains(&op)
                || ["Concat", "Pad", "Resize", "DynamicQuantizeLinear"].contains(&op);
            tensor = match (ARITHMETIC.contains(&op), is_followed) {
                (true, _) => self.operands(node).first().copied()?,
                (_, true) => node.input.first()?,
                _ => return None,
            };
        }
        None
    }
}

/// Whether the channels of a map, a tensor of rank 4, come last; none where the graph does not tell.
///
/// Walks back to what says so: an operator whose maps are `(n, c, h, w)`, a transposition between the two, or
/// [`PIXELS`](crate::PIXELS).
#[must_use]
pub fn channels_last(model: &OnnxModel, tensor: &str) -> Option<bool> {
    Search::new(model).channels_last(tensor)
}

fn is_pointwise(node: &NodeProto) -> bool {
    node.attribute("kernel_shape").is_none_or(|it| it.ints.iter().all(|k| *k == 1))
        && node.attribute("group").and_then(|it| it.i).unwrap_or(1) == 1
}

/// Tensors that do not depend on any input: weights, constants and what is computed from them alone.
pub(crate) fn constants(model: &OnnxModel) -> HashSet<&str> {
    let graph = model.graph();
    let mut constants: HashSet<&str> = graph.initializer.iter().map(|it| it.name()).collect();
    for node in &graph.node {
        let known = node.input.iter().all(|it| it.is_empty() || constants.contains(it.as_str()));
        // A random or a stateful operator has no inputs either, but is no constant.
        if known && (!node.input.is_empty() || node.op() == "Constant") {
            constants.extend(node.output.iter().map(String::as_str));
        }
    }
    constants
}
