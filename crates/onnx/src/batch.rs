//! Making the batch dimension dynamic.

use std::collections::HashSet;

use crate::error::OnnxError;
use crate::model::{OnnxModel, data_type};
use crate::proto::{DimensionProto, TensorProto, ValueInfoProto};
use crate::search::constants;

/// Makes the first dimension of every input and output symbolic, so that one call takes any number of
/// samples. Returns whether anything had to change.
///
/// Models exported for one sample carry the batch size in two places: in the declared shapes, and in
/// the constant targets of `Reshape` (`[1, 2, 58, 28, 28]` in ShuffleNet's channel shuffle, `[1, -1]`
/// before a classifier). In the targets a leading 1 becomes 0, which ONNX defines as "as in the input";
/// reshapes of weights are left alone. Declared shapes of tensors in between are dropped: the runtime
/// infers them anew.
///
/// Whether the batch really is independent of the graph's other arithmetic only a run can show; the
/// backbone crate compares a batch with single samples before it relies on it.
///
/// # Errors
/// [`OnnxError::InputCount`] when the model has no input.
pub fn make_batch_dynamic(model: &mut OnnxModel) -> Result<bool, OnnxError> {
    let inputs = model.inputs();
    if inputs.is_empty() {
        return Err(OnnxError::InputCount { names: Vec::new() });
    }
    let is_fixed = |it: &&ValueInfoProto| it.dims().is_some_and(|it| it.first().is_some_and(Option::is_some));
    let fixed: Vec<String> = inputs.into_iter().filter(is_fixed).map(|it| it.name().to_owned()).collect();
    if fixed.is_empty() {
        return Ok(false);
    }
    let targets = reshape_targets(model);
    let graph = model.graph_mut();
    for tensor in graph.initializer.iter_mut().filter(|it| targets.contains(it.name())) {
        relax_target(tensor);
    }
    for node in graph.node.iter_mut().filter(|it| it.op() == "Constant") {
        if node.output.first().is_some_and(|it| targets.contains(it)) {
            node.attribute.iter_mut().filter_map(|it| it.t.as_mut()).for_each(relax_target);
        }
    }
    graph.value_info.clear();
    let inputs = graph.input.iter_mut().filter(|it| fixed.iter().any(|name| name == it.name()));
    inputs.chain(&mut graph.output).for_each(make_first_dim_symbolic);
    Ok(true)
}

/// Declares the first dimension of every input and output to be 1: of a model that is right for one sample at a time
/// alone. Declared shapes of tensors in between are dropped.
pub fn fix_batch_at_one(model: &mut OnnxModel) {
    let names: HashSet<String> = model.inputs().into_iter().map(|it| it.name().to_owned()).collect();
    let graph = model.graph_mut();
    graph.value_info.clear();
    let one = || DimensionProto { dim_value: Some(1), ..Default::default() };
    let inputs = graph.input.iter_mut().filter(|it| names.contains(it.name()));
    inputs.chain(&mut graph.output).for_each(|it| set_first_dim(it, one()));
}

/// Names of the constant shapes that reshape activations (and not weights).
fn reshape_targets(model: &OnnxModel) -> HashSet<String> {
    let constants = constants(model);
    let reshapes = model.graph().node.iter().filter(|it| it.op() == "Reshape");
    // `allowzero` gives 0 its literal meaning.
    let reshapes = reshapes.filter(|it| it.attribute("allowzero").and_then(|a| a.i) != Some(1));
    let of_activations =
        reshapes.filter(|it| it.input.first().is_some_and(|data| !constants.contains(data.as_str())));
    of_activations.filter_map(|it| it.input.get(1)).cloned().collect()
}

fn relax_target(tensor: &mut TensorProto) {
    if tensor.data_type != Some(data_type::INT64) || tensor.dims.len() != 1 || tensor.dims[0] < 2 {
        return;
    }
    let mut values: Vec<i64> = if let Some(raw) = &tensor.raw_data {
        raw.chunks_exact(8).map(|it| i64::from_le_bytes(it.try_into().expect("chunks of eight"))).collect()
    } else {
        let parts = tensor.unknown.payloads(7);
        parts.filter_map(|it| crate::wire::packed_i64(&it).ok()).flatten().collect()
    };
    if values.first() == Some(&1) {
        values[0] = 0;
        tensor.unknown.remove(7);
        let raw: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        tensor.raw_data = Some(raw.into());
    }
}

fn make_first_dim_symbolic(value: &mut ValueInfoProto) {
    set_first_dim(value, DimensionProto { dim_param: Some("N".to_owned()), ..Default::default() });
}

fn set_first_dim(value: &mut ValueInfoProto, dim: DimensionProto) {
    let shape = value.r#type.as_mut().and_then(|it| it.tensor_type.as_mut()?.shape.as_mut());
    if let Some(first) = shape.and_then(|it| it.dim.first_mut()) {
        *first = dim;
    }
}
