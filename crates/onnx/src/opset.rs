//! Raising a graph to opset 13, whose quantisation has one scale a channel.

use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::names::Names;
use crate::proto::{AttributeProto, NodeProto, TensorProto};

/// What it is raised to.
const TARGET: i64 = 13;

/// The oldest opset it is raised from: arithmetic broadcasts since.
const OLDEST: i64 = 7;

/// Operators that mean the same, or only allow more, from opset 7 to 13.
const UNCHANGED: [&str; 53] = [
    "Abs",
    "Add",
    "AveragePool",
    "Cast",
    "Ceil",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "HardSigmoid",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "Neg",
    "PRelu",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Sigmoid",
    "SpaceToDepth",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Where",
];

/// Attributes that became inputs: operator, since when, attributes in the order of the inputs.
const MOVED: [(&str, i64, &[&str]); 7] = [
    ("Clip", 11, &["min", "max"]),
    ("Squeeze", 13, &["axes"]),
    ("Unsqueeze", 13, &["axes"]),
    ("ReduceSum", 13, &["axes"]),
    ("Split", 13, &["split"]),
    ("Pad", 11, &["pads", "value"]),
    ("Slice", 10, &["starts", "ends", "axes"]),
];

/// Raises a graph to opset 13 where it is older.
///
/// # Errors
/// [`OnnxError::OpsetTooOld`] below opset 7, or with an operator whose meaning changed.
pub(crate) fn raise_opset(model: &mut OnnxModel, names: &Names) -> Result<(), OnnxError> {
    let found = model.opset();
    if found >= TARGET {
        return Ok(());
    }
    let too_old = |operator| OnnxError::OpsetTooOld { found, needed: TARGET, operator };
    if found < OLDEST {
        return Err(too_old(None));
    }
    let graph = model.graph_mut();
    let mut constants = Vec::new();
    for node in &mut graph.node {
        let operator = node.operator();
        let of_other_domain = operator.contains('.');
        let moved = MOVED.iter().find(|it| it.0 == operator);
        match (operator.as_str(), moved) {
            ("BatchNormalization", _) if node.attribute("spatial").is_none_or(|it| it.i == Some(1)) => {
                node.attribute.retain(|it| it.name.as_deref() != Some("spatial"));
            }
            // Nothing is dropped where nothing is trained.
            ("Dropout", _) if node.output.len() == 1 => {
                node.op_type = Some("Identity".to_owned());
                node.input.truncate(1);
                node.attribute.clear();
            }
            (_, Some((_, since, attributes))) if found < *since => {
                move_attributes(node, attributes, names, &mut constants)
            }
            (_, Some(_)) => {}
            (name, None) if of_other_domain || UNCHANGED.contains(&name) => {}
            _ => return Err(too_old(Some(operator))),
        }
    }
    graph.initializer.extend(constants);
    model.set_opset(TARGET);
    Ok(())
}

/// Makes inputs of attributes; one that is missing stays out where nothing follows it.
fn move_attributes(
    node: &mut NodeProto,
    attributes: &[&str],
    names: &Names,
    constants: &mut Vec<TensorProto>,
) {
    let tensor = node.output.first().cloned().unwrap_or_default();
    for name in attributes {
        let input = match node.attribute(name) {
            Some(AttributeProto { f: Some(value), .. }) => {
                let constant = names.of(name, &tensor);
                constants.push(TensorProto::from_f32(&constant, &[], &[*value]));
                constant
            }
            Some(AttributeProto { ints, .. }) => {
                let constant = names.of(name, &tensor);
                let raw = ints.iter().flat_map(|it| it.to_le_bytes()).collect();
                constants.push(TensorProto::from_raw(&constant, data_type::INT64, &[ints.len()], raw));
                constant
            }
            None => String::new(),
        };
        node.input.push(input);
    }
    while node.input.last().is_some_and(String::is_empty) {
        node.input.pop();
    }
    node.attribute.retain(|it| !attributes.contains(&it.name.as_deref().unwrap_or_default()));
}

/// Refuses an opset that lacks what is needed, for an operator where it is that alone.
pub(crate) fn expect_opset(found: i64, needed: i64, operator: Option<&str>) -> Result<(), OnnxError> {
    if found >= needed {
        return Ok(());
    }
    Err(OnnxError::OpsetTooOld { found, needed, operator: operator.map(str::to_owned) })
}
