//! Models of sounds: what their graphs take.

use headstart_input::AudioRecipe;
use headstart_onnx::{OnnxModel, fill_mask, waveform_length};

use crate::cut_model::model_error;
use crate::error::BackboneError;

/// A recipe with the window of its model, where that takes no other, and the model without a mask of samples.
///
/// # Errors
/// [`BackboneError::Shape`] for a window that the model does not take.
pub(crate) fn fitted(
    recipe: AudioRecipe,
    id: &str,
    model: &mut OnnxModel,
) -> Result<AudioRecipe, BackboneError> {
    fill_mask(model).map_err(|err| model_error(id, err))?;
    // What a model of features takes is their number.
    if recipe.front_end.as_ref().is_some_and(|it| it.mel().is_some()) {
        return Ok(recipe);
    }
    let Some(length) = waveform_length(model) else { return Ok(recipe) };
    if recipe.window.is_none() && recipe.check().is_ok() {
        return Ok(recipe.of_samples(length));
    }
    if recipe.n_window() == length {
        return Ok(recipe);
    }
    Err(BackboneError::Shape {
        model: id.to_owned(),
        expected: format!("windows of {length} samples (do not say how long they are, or as it takes them)"),
        actual: format!("{} samples at {} Hz", recipe.n_window(), recipe.sample_rate),
    })
}
