//! Where to cut: the tensor that enters the last classifier layer.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cut::known_rank;
use crate::error::OnnxError;
use crate::model::OnnxModel;
use crate::proto::NodeProto;

/// Where a backbone is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tap {
    /// The tensor that becomes the embedding.
    pub tensor: String,
    /// How its positions become one row.
    pub pool: Pool,
}

/// How a tensor with several positions per sample becomes one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The tensor is `(n, n_features)` already.
    None,
    /// Mean over the positions: `(n, c, h, w)` or `(n, tokens, c)` → `(n, c)`.
    Mean,
    /// The first token: `(n, tokens, c)` → `(n, c)`.
    First,
}

impl Pool {
    const WORDS: [(&str, Self); 3] = [("none", Self::None), ("mean", Self::Mean), ("first", Self::First)];
}

/// `none`, `mean` or `first`.
impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS.iter().find(|it| it.1 == *self).map_or("", |it| it.0))
    }
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::WORDS.iter().find(|it| it.0 == text).map(|it| it.1);
        found.ok_or_else(|| format!("expected one of: {}", Self::WORDS.map(|it| it.0).join(", ")))
    }
}

/// Operators between a classifier layer and the output that do not change what is a feature.
const PASSIVE: [&str; 20] = [
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "Sigmoid",
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Dropout",
    "Identity",
    "Cast",
    "Relu",
    "GlobalAveragePool",
    "AveragePool",
    "ReduceMean",
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearGlobalAveragePool",
    "QLinearAveragePool",
    "QLinearSoftmax",
];

/// Words that mark an output as an embedding, not as scores.
const EMBEDDING_WORDS: [&str; 5] = ["feature", "embed", "pool", "hidden", "represent"];

/// Finds the tap: the tensor that enters the last classifier layer.
///
/// Walks back from each output through activations, pooling and reshapes to a fully connected layer
/// (`Gemm`, `MatMul` with a constant, their quantised forms) or to a 1×1 convolution that is pooled
/// afterwards, as in SqueezeNet. A quantised input of that layer is traced back to the float tensor it
/// was quantised from. Outputs whose name says that they are embeddings are not searched; where they
/// are all there is, and in a model without a classifier, the output itself is the tap.
///
/// # Errors
/// [`OnnxError::NoTap`] when there are several outputs and none leads to a classifier.
pub fn find_tap(model: &OnnxModel) -> Result<Tap, OnnxError> {
    let search = Search::new(model);
    let outputs: Vec<&str> = model.graph().output.iter().map(|it| it.name()).collect();
    let (embeddings, scores): (Vec<&str>, Vec<&str>) = outputs.iter().partition(|name| {
        let name = name.to_lowercase();
        EMBEDDING_WORDS.iter().any(|word| name.contains(word))
    });
    if let Some(tap) = scores.iter().find_map(|output| search.classifier_input(output)) {
        return Ok(tap);
    }
    match (&embeddings[..], &outputs[..]) {
        ([output], _) | ([], [output]) => Ok(search.tap_at(output)),
        _ => Err(OnnxError::NoTap {
            reason: format!("none of the outputs {} ends in a classifier", outputs.join(", ")),
            last: model.last_tensors(),
        }),
    }
}

/// The tap at a tensor the user names.
///
/// # Errors
/// [`OnnxError::NoSuchTensor`].
pub fn tap_at(model: &OnnxModel, tensor: &str) -> Result<Tap, OnnxError> {
    model.check_tensor(tensor)?;
    Ok(Search::new(model).tap_at(tensor))
}

struct Search<'m> {
    model: &'m OnnxModel,
    producers: std::collections::HashMap<&'m str, &'m NodeProto>,
    constants: HashSet<&'m str>,
}

impl<'m> Search<'m> {
    fn new(model: &'m OnnxModel) -> Self {
        Self { model, producers: model.producers(), constants: constants(model) }
    }

    fn classifier_input(&self, output: &str) -> Option<Tap> {
        let mut tensor = output;
        let mut pooled_after = false;
        // A graph cannot have more steps than nodes; a malformed one could have a cycle.
        for _ in 0..self.producers.len() {
            let node = self.producers.get(tensor)?;
            let data = node.input.first()?;
            match node.op() {
                "Gemm" if self.is_constant(node, 1) => return Some(self.layer_input(data)),
                "MatMul"
                | "QGemm"
                | "QLinearMatMul"
                | "MatMulInteger"
                | "MatMulIntegerToFloat"
                | "DynamicQuantizeMatMul"
                | "FusedMatMul"
                | "MatMulNBits"
                    if self.has_constant_weight(node) =>
                {
                    return Some(self.layer_input(data));
                }
                "Conv" | "QLinearConv" | "FusedConv" if pooled_after && is_pointwise(node) => {
                    return Some(self.conv_input(data));
                }
                // Logits that are convolved from an already pooled 1×1 map (Keras' MobileNet).
                "Conv" | "FusedConv" if is_pointwise(node) && self.is_pooled(data) => {
                    return Some(self.conv_input(data));
                }
                // The bias of a MatMul, or the rescaling of a quantised one.
                "Add" | "QLinearAdd" | "Mul" => tensor = self.non_constant_input(node)?,
                op if PASSIVE.contains(&op) => {
                    pooled_after |= op.contains("Pool") || op == "ReduceMean";
                    tensor = data;
                }
                _ => return None,
            }
        }
        None
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

    fn tap_at(&self, tensor: &str) -> Tap {
        let rank = known_rank(self.model, tensor);
        let pool = if rank == Some(4) { Pool::Mean } else { Pool::None };
        Tap { tensor: tensor.to_owned(), pool }
    }

    fn is_constant(&self, node: &NodeProto, input: usize) -> bool {
        node.input.get(input).is_some_and(|it| self.constants.contains(it.as_str()))
    }

    /// Whether the weight is constant: input 1, or 3 in the quantised forms (data, scale, zero point, weight).
    fn has_constant_weight(&self, node: &NodeProto) -> bool {
        let weight = if matches!(node.op(), "QGemm" | "QLinearMatMul") { 3 } else { 1 };
        self.is_constant(node, weight) && !self.is_constant(node, 0)
    }

    fn non_constant_input<'n>(&self, node: &'n NodeProto) -> Option<&'n str> {
        let quantised = node.op() == "QLinearAdd";
        let operands = if quantised { [0, 3] } else { [0, 1] };
        let data: Vec<&str> = operands
            .iter()
            .filter_map(|it| node.input.get(*it))
            .map(String::as_str)
            .filter(|it| !self.constants.contains(it))
            .collect();
        if let [it] = data[..] { Some(it) } else { None }
    }

    fn is_pooled(&self, tensor: &str) -> bool {
        let mut tensor = tensor;
        for _ in 0..self.producers.len() {
            let Some(node) = self.producers.get(tensor) else {
                return false;
            };
            match node.op() {
                "GlobalAveragePool" | "ReduceMean" => return true,
                "Reshape" | "Dropout" | "Identity" | "Unsqueeze" => match node.input.first() {
                    Some(input) => tensor = input,
                    None => return false,
                },
                _ => return false,
            }
        }
        false
    }
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
