//! Extending a graph: pixels in at one end, a head at the other.

use crate::cut::{Dim, tensor_info};
use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::names::{free_names, tell_nodes_from_tensors};
use crate::opset::expect_opset;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// A fully connected layer of a head: `activation(x · weight + bias)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// `(n_inputs, n_outputs)`, row-major.
    pub weight: Vec<f32>,
    /// `(n_outputs,)`.
    pub bias: Vec<f32>,
    /// What follows the sum.
    pub nonlinearity: Nonlinearity,
}

/// What follows a layer's sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Nothing: a regression output, or logits.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// Probabilities of classes that exclude each other.
    Softmax,
    /// Probabilities of labels that do not.
    Sigmoid,
}

/// Names of the outputs of a model with a head.
pub mod output {
    /// The head's sums before softmax or sigmoid.
    pub const LOGITS: &str = "logits";
    /// Probabilities, one column a label.
    pub const PROBABILITIES: &str = "probabilities";
    /// Predicted numbers of a regression head, one column a target.
    pub const PREDICTIONS: &str = "predictions";
}

/// Attaches a head to a cut backbone.
///
/// The outputs become `probabilities` and `logits` for a last layer with softmax or sigmoid,
/// `predictions` for one without.
///
/// # Errors
/// [`OnnxError::LayerShape`] when a layer does not take what comes before it.
///
/// # Panics
/// Never on a model from [`cut`](crate::cut()), which has exactly one output.
pub fn attach_head(
    backbone: &OnnxModel,
    n_features: usize,
    layers: &[Layer],
) -> Result<OnnxModel, OnnxError> {
    let mut model = backbone.clone();
    let graph = model.graph_mut();
    free_names(graph, &[output::LOGITS, output::PROBABILITIES, output::PREDICTIONS]);
    let mut tensor = graph.output[0].name().to_owned();
    let mut width = n_features;
    let mut outputs = Vec::new();
    for (layer_idx, layer) in layers.iter().enumerate() {
        let n_outputs = layer.bias.len();
        if layer.weight.len() != width * n_outputs {
            let expected = layer.weight.len() / n_outputs.max(1);
            return Err(OnnxError::LayerShape { layer: layer_idx, expected, actual: width });
        }
        let is_last = layer_idx + 1 == layers.len();
        let weight = format!("head/{layer_idx}/weight");
        let bias = format!("head/{layer_idx}/bias");
        graph.initializer.push(TensorProto::from_f32(&weight, &[width, n_outputs], &layer.weight));
        graph.initializer.push(TensorProto::from_f32(&bias, &[n_outputs], &layer.bias));
        let sum = match (is_last, layer.nonlinearity) {
            (true, Nonlinearity::Identity) => output::PREDICTIONS.to_owned(),
            (true, Nonlinearity::Softmax | Nonlinearity::Sigmoid) => output::LOGITS.to_owned(),
            _ => format!("head/{layer_idx}/sum"),
        };
        graph.node.push(NodeProto::new("Gemm", &[&tensor, &weight, &bias], &sum, vec![]));
        width = n_outputs;
        let (op, attributes) = match layer.nonlinearity {
            Nonlinearity::Identity => {
                tensor = sum;
                outputs = vec![tensor.clone()];
                continue;
            }
            Nonlinearity::Relu => ("Relu", vec![]),
            Nonlinearity::Softmax => ("Softmax", vec![AttributeProto::int("axis", 1)]),
            Nonlinearity::Sigmoid => ("Sigmoid", vec![]),
        };
        tensor = match (is_last, layer.nonlinearity) {
            (true, Nonlinearity::Softmax | Nonlinearity::Sigmoid) => output::PROBABILITIES.to_owned(),
            _ => format!("head/{layer_idx}/activation"),
        };
        graph.node.push(NodeProto::new(op, &[&sum], &tensor, attributes));
        outputs = vec![tensor.clone(), sum];
    }
    let columns = [Dim::Batch, Dim::Fixed(width)];
    // Shapes of the tensors in between were those of the batch that the backbone was exported with.
    graph.value_info.clear();
    tell_nodes_from_tensors(graph);
    graph.output = outputs.iter().map(|it| tensor_info(it, data_type::FLOAT, &columns)).collect();
    model.set_producer("headstart", env!("CARGO_PKG_VERSION"));
    Ok(model)
}

/// How the pixels of an image become the numbers a backbone was trained on.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelInput {
    /// Height of the image the backbone takes.
    pub height: usize,
    /// Width of the image the backbone takes.
    pub width: usize,
    /// Subtracted from each channel, in grey levels (0–255).
    pub mean: Vec<f32>,
    /// Divides each channel after that, in grey levels.
    pub std: Vec<f32>,
    /// Whether the backbone takes `(n, c, h, w)`; otherwise `(n, h, w, c)`.
    pub channels_first: bool,
}

/// Name of the pixel input.
pub const PIXELS: &str = "image";

/// The pixel input and what is computed from it on the way to the old input.
const PIXEL_TENSORS: [&str; 7] = [
    PIXELS,
    "image/channels_first",
    "image/float",
    "image/centred",
    "image/scaled",
    "image/mean",
    "image/scale",
];

/// Replaces the input of a model by pixels: `image`, uint8 `(n, height, width, channels)`.
///
/// The graph then computes `(pixel - mean) / std` itself, and moves the channels where the backbone
/// wants them: callers cannot feed it wrongly normalised numbers, and hand over a quarter of the bytes.
///
/// # Errors
/// [`OnnxError::InputCount`] unless the model has exactly one input;
/// [`OnnxError::OpsetTooOld`] below opset 7, whose arithmetic does not broadcast.
pub fn take_pixels(model: &OnnxModel, pixels: &PixelInput) -> Result<OnnxModel, OnnxError> {
    let opset = model.opset();
    expect_opset(opset, 7, None)?;
    let mut model = model.clone();
    free_names(model.graph_mut(), &PIXEL_TENSORS);
    let input = model.single_input()?;
    let (input_name, elem_type) = (input.name().to_owned(), input.elem_type());
    let graph = model.graph_mut();
    let channels = pixels.mean.len();
    let mut nodes = Vec::new();
    let mut tensor = PIXELS.to_owned();
    if pixels.channels_first {
        let perm = AttributeProto::ints("perm", &[0, 3, 1, 2]);
        nodes.push(NodeProto::new("Transpose", &[&tensor], "image/channels_first", vec![perm]));
        "image/channels_first".clone_into(&mut tensor);
    }
    let to = AttributeProto::int("to", data_type::FLOAT);
    nodes.push(NodeProto::new("Cast", &[&tensor], "image/float", vec![to]));
    let per_channel: &[usize] = if pixels.channels_first { &[channels, 1, 1] } else { &[channels] };
    let scale: Vec<f32> = pixels.std.iter().map(|it| 1.0 / it).collect();
    graph.initializer.push(TensorProto::from_f32("image/mean", per_channel, &pixels.mean));
    graph.initializer.push(TensorProto::from_f32("image/scale", per_channel, &scale));
    nodes.push(NodeProto::new("Sub", &["image/float", "image/mean"], "image/centred", vec![]));
    // The last node takes over the name of the old input, so that nothing behind it changes.
    let half = elem_type == Some(data_type::FLOAT16);
    let scaled = if half { "image/scaled" } else { input_name.as_str() };
    nodes.push(NodeProto::new("Mul", &["image/centred", "image/scale"], scaled, vec![]));
    if half {
        let to = AttributeProto::int("to", data_type::FLOAT16);
        nodes.push(NodeProto::new("Cast", &[scaled], &input_name, vec![to]));
    }
    graph.node.splice(0..0, nodes);
    graph.input.retain(|it| it.name() != input_name);
    let shape = [Dim::Batch, Dim::Fixed(pixels.height), Dim::Fixed(pixels.width), Dim::Fixed(channels)];
    graph.input.insert(0, tensor_info(PIXELS, data_type::UINT8, &shape));
    Ok(model)
}
