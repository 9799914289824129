//! Static quantisation: a network in 8-bit integers, its ranges taken from real inputs.

mod build;
mod equalize;
mod histogram;
mod kind;
mod observed;

use std::collections::HashMap;

use self::build::Builder;
#[cfg(test)]
pub(crate) use self::histogram::Histogram;
use self::kind::{Kind, SAME_VALUES, activation_after, integer_others};
use self::observed::Observed;
use crate::error::OnnxError;
use crate::fold::{fold_batch_norms, readers};
use crate::model::OnnxModel;
use crate::names::Names;
use crate::opset::raise_opset;
use crate::proto::{NodeProto, TensorProto, ValueInfoProto};

/// Quantises a network: weights to int8 with one scale a channel, activations to uint8 with one scale a
/// tensor, from the values they take on sample inputs.
///
/// The result has the ONNX form that runtimes turn into integer kernels (a `QuantizeLinear` and a
/// `DequantizeLinear` around every operator that has one), float inputs and outputs, and opset 13 at
/// least. Batch normalisations are folded first. What follows the last convolution (a global pooling)
/// stays in floats, so that an embedding has finer steps than 256.
///
/// # Source
/// The scheme of `onnxruntime.quantization` (`QDQ`, `S8U8`, per channel); Jacob et al. 2018,
/// arXiv:1712.05877. The bias takes up what rounding a channel's weights does to its mean output, after
/// Nagel et al. 2019, arXiv:1906.04721.
///
/// # Examples
/// ```no_run
/// # fn run(_: &headstart_onnx::OnnxModel) -> Vec<(Vec<usize>, Vec<f32>)> { Vec::new() }
/// # fn main() -> Result<(), headstart_onnx::OnnxError> {
/// use headstart_onnx::{OnnxModel, Quantizer};
///
/// let backbone = OnnxModel::load("backbone.onnx".as_ref())?;
/// let mut quantizer = Quantizer::new(&backbone)?;
/// // Whatever runs a model: the outputs of this one, in their order, for some inputs.
/// for (tensor, (shape, values)) in run(&quantizer.observed()).iter().enumerate() {
///     quantizer.observe(tensor, shape, values);
/// }
/// quantizer.quantize()?.save("backbone.int8.onnx".as_ref())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Quantizer {
    model: OnnxModel,
    /// Tensors to quantise, in the order they are computed.
    tensors: Vec<Observed>,
    /// The tensor whose scale each quantised tensor has.
    scale_of: HashMap<String, usize>,
    /// Rectified tensors that are bounded channel by channel, and what they are then. In 8 bits the largest
    /// level is the bound.
    bounded: HashMap<String, String>,
    names: Names,
}

/// Whether a model has quantised operators already.
#[must_use]
pub fn is_quantized(model: &OnnxModel) -> bool {
    let is = |it: &NodeProto| it.op().starts_with("Quantize") || it.op().starts_with("QLinear");
    model.graph().node.iter().any(is)
}

/// Whether a model multiplies in 8-bit integers, quantised beforehand or as it runs. One whose weights alone are of 8
/// bits does not.
#[must_use]
pub fn computes_in_integers(model: &OnnxModel) -> bool {
    let is = |it: &NodeProto| {
        ["DynamicQuantize", "MatMulInteger", "ConvInteger"].iter().any(|op| it.op().starts_with(op))
    };
    is_quantized(model) || model.graph().node.iter().any(is)
}

impl Quantizer {
    /// Finds what there is to quantise.
    ///
    /// # Errors
    /// [`OnnxError::NotQuantizable`] for a model that is quantised already, or has no convolution or
    /// product with constant f32 weights; [`OnnxError::OpsetTooOld`] when it cannot be raised to opset 13.
    pub fn new(model: &OnnxModel) -> Result<Self, OnnxError> {
        let refused = |reason: &str| OnnxError::NotQuantizable { reason: reason.to_owned() };
        if is_quantized(model) {
            return Err(refused("it is quantised already"));
        }
        let mut model = model.clone();
        model.allow_free_initializers();
        let names = Names::new(&model, "int8");
        raise_opset(&mut model, &names)?;
        hoist_constants(&mut model);
        fold_batch_norms(&mut model, &names)?;
        let (scale_of, bounded) = (HashMap::new(), HashMap::new());
        let mut quantizer = Self { model, tensors: Vec::new(), scale_of, bounded, names };
        quantizer.find();
        if quantizer.tensors.is_empty() {
            return Err(refused("it has no Conv, Gemm or MatMul with constant f32 weights"));
        }
        Ok(quantizer)
    }

    /// The model with every tensor that is to be quantised among its outputs, before the others.
    #[must_use]
    pub fn observed(&self) -> OnnxModel {
        let mut model = self.model.clone();
        let output =
            |it: &Observed| ValueInfoProto { name: Some(it.name.clone()), ..ValueInfoProto::default() };
        let outputs: Vec<ValueInfoProto> = self.tensors.iter().map(output).collect();
        model.graph_mut().output.splice(0..0, outputs);
        model
    }

    /// Takes note of the values of an output of [`observed`](Self::observed); those of the outputs behind
    /// them are ignored.
    pub fn observe(&mut self, output: usize, shape: &[usize], values: &[f32]) {
        if let Some(tensor) = self.tensors.get_mut(output) {
            tensor.observe(shape, values);
        }
    }

    /// Changes the weights so that channels of a tensor have values of like size, as far as was observed,
    /// and forgets what was: observe the same inputs again.
    ///
    /// The model computes the same in floats. In 8 bits it is closer to that, where a network has many
    /// channels of different sizes: MobileNets, above all.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] for weights that do not read.
    pub fn equalize(&mut self) -> Result<(), OnnxError> {
        equalize::equalize(self)
    }

    /// The quantised model.
    ///
    /// # Errors
    /// [`OnnxError::NotQuantizable`] when nothing was observed; [`OnnxError::Tensor`] for weights that do
    /// not read.
    pub fn quantize(&self) -> Result<OnnxModel, OnnxError> {
        if self.tensors.iter().all(Observed::is_unseen) {
            let reason = "no input was observed, or nothing but zeros".to_owned();
            return Err(OnnxError::NotQuantizable { reason });
        }
        let mut out = Builder { quantizer: self, nodes: Vec::new(), constants: Vec::new() };
        for input in self.model.inputs() {
            out.quantize_activation(input.name());
        }
        for node in &self.model.graph().node {
            out.add(node)?;
        }
        let Builder { nodes, constants, .. } = out;
        let mut model = self.model.clone();
        let graph = model.graph_mut();
        graph.node = nodes;
        graph.initializer.extend(constants);
        crate::cut::remove_dead(graph);
        Ok(model)
    }

    fn find(&mut self) {
        let model = self.model.clone();
        let readers = readers(&model);
        let outputs = model.output_names();
        let integer_others = integer_others(&model, &readers);
        let is_activation = |name: &String| !name.is_empty() && model.initializer(name).is_none();
        for (index, node) in model.graph().node.iter().enumerate() {
            if SAME_VALUES.contains(&node.operator().as_str()) {
                let root = node.input.first().and_then(|it| self.scale_of.get(it).copied());
                // The second output of a MaxPool says where, not what.
                let n_outputs = if node.op() == "MaxPool" { 1 } else { node.output.len() };
                let named = node.output.iter().take(n_outputs).filter(|it| !it.is_empty());
                for output in named.filter(|it| !outputs.contains(it)) {
                    self.scale_of.extend(root.map(|it| (output.clone(), it)));
                }
                continue;
            }
            let Some(kind) = Kind::of(node, &model) else { continue };
            // Sums and concatenations may be of shapes: they count where a quantised tensor goes in.
            let is_of_floats = || node.input.iter().any(|it| self.scale_of.contains_key(it));
            if kind == Kind::Other && !(integer_others.contains(&index) && is_of_floats()) {
                continue;
            }
            for input in node.input[..kind.n_inputs(node)].iter().filter(|it| is_activation(it)) {
                self.include(input);
            }
            if kind.quantizes_output() {
                let output = activation_after(node, &model, &readers);
                if !is_embedding(output, &model, &outputs) {
                    self.include(output);
                }
            }
        }
    }

    fn include(&mut self, name: &str) {
        if !self.scale_of.contains_key(name) {
            self.scale_of.insert(name.to_owned(), self.tensors.len());
            self.tensors.push(Observed::new(name));
        }
    }
}

/// Makes weights of constants that nodes hold, and of weights that are only passed on.
fn hoist_constants(model: &mut OnnxModel) {
    let outputs = model.output_names();
    let graph = model.graph_mut();
    for node in std::mem::take(&mut graph.node) {
        let output = node.output.first().cloned().unwrap_or_default();
        let value = match node.operator().as_str() {
            "Constant" => node.attribute("value").and_then(|it| it.t.clone()),
            "Identity" => graph
                .initializer
                .iter()
                .find(|it| Some(it.name()) == node.input.first().map(String::as_str))
                .cloned(),
            _ => None,
        };
        match value {
            Some(value) if !outputs.contains(&output) && !output.is_empty() => {
                graph.initializer.push(TensorProto { name: Some(output), ..value });
            }
            _ => graph.node.push(node),
        }
    }
}

/// Whether a tensor is an output of the graph, or only reshaped on its way there: 256 levels would be all
/// that an embedding has.
fn is_embedding(tensor: &String, model: &OnnxModel, outputs: &[String]) -> bool {
    let mut names = vec![tensor];
    while let Some(name) = names.pop() {
        if outputs.contains(name) {
            return true;
        }
        let passed_on =
            |it: &&NodeProto| SAME_VALUES.contains(&it.operator().as_str()) && it.input.first() == Some(name);
        names.extend(
            model.graph().node.iter().filter(passed_on).flat_map(|it| &it.output).filter(|it| !it.is_empty()),
        );
    }
    false
}
