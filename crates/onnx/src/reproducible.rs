//! What makes a model give another row each time, and what a model does to its input first.

use crate::model::{OnnxModel, data_type};
use crate::proto::{GraphProto, NodeProto};
use crate::search::constants;

/// Operators that draw numbers.
const RANDOM: [&str; 7] = [
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "BitmaskDropout",
];

/// The first node of a graph that is not the same every time, bodies included: one that draws numbers, a Dropout or a
/// batch normalisation that was exported in training mode. (ONNX Runtime 1.24 to 1.31 keeps running statistics of the
/// latter from one run to the next, and normalises by them.)
#[must_use]
pub fn randomness(model: &OnnxModel) -> Option<String> {
    let opset = model.opset();
    find(model.graph(), &mut |graph, node| match node.op() {
        // Up to opset 6 an attribute says that it is no training; from 12 on an input says that it is one.
        "Dropout" if opset < 7 => node.attribute("is_test").and_then(|it| it.i).unwrap_or(0) == 0,
        "Dropout" => node.input.get(2).is_some_and(|it| is_true(graph, it)),
        "BatchNormalization" => node.attribute("training_mode").and_then(|it| it.i).is_some_and(|it| it != 0),
        op => RANDOM.contains(&op),
    })
}

/// What a model does to its one input before anything else, where that is arithmetic with one constant: the operator
/// and the constant. Such a model was made for pixels of another range than its weights see.
#[must_use]
pub fn rescaling(model: &OnnxModel) -> Option<(String, f32)> {
    let input = model.single_input().ok()?.name();
    let constants = constants(model);
    let mut tensor = input;
    for _ in 0..model.graph().node.len() {
        let mut readers = model.graph().node.iter().filter(|it| it.input.iter().any(|name| name == tensor));
        let (Some(node), None) = (readers.next(), readers.next()) else { return None };
        if ["Cast", "Transpose", "Identity"].contains(&node.op()) {
            tensor = node.output.first()?;
            continue;
        }
        if !["Mul", "Div", "Sub", "Add"].contains(&node.op()) {
            return None;
        }
        let constant = node.input.iter().find(|it| constants.contains(it.as_str()))?;
        let value = *model.f32_values(constant).ok()?.first()?;
        return Some((node.op().to_owned(), value));
    }
    None
}

/// The name of the first node that is such, or its operator where it has none.
fn find(graph: &GraphProto, is_such: &mut dyn FnMut(&GraphProto, &NodeProto) -> bool) -> Option<String> {
    for node in &graph.node {
        if is_such(graph, node) {
            let name = node.name.clone().filter(|it| !it.is_empty());
            return Some(name.map_or_else(|| node.operator(), |it| format!("{} `{it}`", node.operator())));
        }
        let bodies = node.attribute.iter().flat_map(|it| it.g.iter().chain(&it.graphs));
        if let Some(found) = bodies.filter_map(|it| find(it, is_such)).next() {
            return Some(found);
        }
    }
    None
}

/// Whether a tensor is the constant true.
fn is_true(graph: &GraphProto, name: &str) -> bool {
    let of_node =
        graph.node.iter().find(|it| it.op() == "Constant" && it.output.iter().any(|out| out == name));
    let of_node = of_node.and_then(|it| it.attribute("value")?.t.as_ref());
    let tensor = graph.initializer.iter().find(|it| it.name() == name).or(of_node);
    let Some(tensor) = tensor else { return false };
    // A bool is one byte of its data, or an integer of the typed field.
    let of_field = || tensor.unknown.payloads(5).any(|it| it.iter().any(|byte| *byte != 0));
    tensor.data_type == Some(data_type::BOOL)
        && tensor.raw_data.as_ref().map_or_else(of_field, |it| it.iter().any(|byte| *byte != 0))
}
