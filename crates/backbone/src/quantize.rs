//! Static quantisation of a backbone, its ranges taken from the user's own inputs.

use headstart_input::Tensor;
use headstart_onnx::{OnnxModel, Quantizer};

use crate::cut_model::{CutModel, model_error};
use crate::error::BackboneError;
use crate::runner::stack;
use crate::runtime::{Runtime, Session, SessionConfig};

/// Quantises a cut backbone: weights to int8, activations to uint8.
///
/// The result takes what the backbone's own file did, so that the same recipe feeds it; its one output is
/// the embedding.
///
/// # Shapes
/// - `inputs`: the tensors of each, as [`Recipe::apply`](headstart_input::Recipe::apply) makes them. A
///   hundred or two are enough.
///
/// Each is run twice; `progress` hears how many runs are done.
///
/// # Errors
/// [`BackboneError::Model`] for a model that cannot be quantised; [`BackboneError::Session`] when the
/// runtime cannot run it.
///
/// # Determinism
/// The same inputs in the same order give the same file, byte for byte.
pub fn quantize(
    runtime: &Runtime,
    model: &CutModel,
    inputs: &[Vec<Tensor>],
    progress: &mut dyn FnMut(usize),
) -> Result<OnnxModel, BackboneError> {
    let failed = |err| model_error(&model.id, err);
    let mut quantizer = Quantizer::new(&model.bare_graph).map_err(failed)?;
    observe(runtime, model, &mut quantizer, inputs, &mut |n_done| progress(n_done))?;
    quantizer.equalize().map_err(failed)?;
    observe(runtime, model, &mut quantizer, inputs, &mut |n_done| progress(inputs.len() + n_done))?;
    quantizer.quantize().map_err(failed)
}

/// Shows the quantiser what each of its tensors is for each input.
fn observe(
    runtime: &Runtime,
    model: &CutModel,
    quantizer: &mut Quantizer,
    inputs: &[Vec<Tensor>],
    progress: &mut dyn FnMut(usize),
) -> Result<(), BackboneError> {
    let observed = model.front.before(&model.id, &quantizer.observed())?;
    // All threads in one session: every tensor of an input is held at once, so inputs come one by one.
    let mut session = Session::load(runtime, &observed, &SessionConfig::default(), 0)?;
    for (index, input) in inputs.iter().enumerate() {
        session.run_floats(&stack(&model.recipe, &[input])?, &mut |output, shape, values| {
            quantizer.observe(output, shape, values);
        })?;
        progress(index + 1);
    }
    Ok(())
}
