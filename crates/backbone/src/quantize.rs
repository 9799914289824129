//! Static quantisation of a backbone, its ranges taken from the user's own images.

use headstart_onnx::{OnnxModel, Quantizer, take_pixels};

use crate::error::BackboneError;
use crate::image_model::images_shape;
use crate::model::{CutModel, model_error};
use crate::runtime::{Runtime, Session, SessionConfig};

/// Quantises a cut backbone: weights to int8, activations to uint8.
///
/// The result takes floats as the backbone's own file did, so that the same preprocessing feeds it; its
/// one output is the embedding.
///
/// # Shapes
/// - `images`: preprocessed images, each `(height, width, channels)`, uint8, as
///   [`Preprocess::apply`](crate::Preprocess::apply) makes them. A hundred or two are enough.
///
/// Each is run twice; `progress` hears how many runs are done.
///
/// # Errors
/// [`BackboneError::Model`] for a model that cannot be quantised; [`BackboneError::Session`] when the
/// runtime cannot run it.
///
/// # Determinism
/// The same images in the same order give the same file, byte for byte.
pub fn quantize(
    runtime: &Runtime,
    model: &CutModel,
    images: &[Vec<u8>],
    progress: &mut dyn FnMut(usize),
) -> Result<OnnxModel, BackboneError> {
    let failed = |err| model_error(&model.id, err);
    let mut quantizer = Quantizer::new(&model.float_graph).map_err(failed)?;
    observe(runtime, model, &mut quantizer, images, &mut |n_done| progress(n_done))?;
    quantizer.equalize().map_err(failed)?;
    observe(runtime, model, &mut quantizer, images, &mut |n_done| progress(images.len() + n_done))?;
    quantizer.quantize().map_err(failed)
}

/// Shows the quantiser what each of its tensors is for each image.
fn observe(
    runtime: &Runtime,
    model: &CutModel,
    quantizer: &mut Quantizer,
    images: &[Vec<u8>],
    progress: &mut dyn FnMut(usize),
) -> Result<(), BackboneError> {
    let failed = |err| model_error(&model.id, err);
    let observed = take_pixels(&quantizer.observed(), &model.pixel_input).map_err(failed)?;
    let bytes = observed.to_bytes().map_err(failed)?;
    // All threads in one session: every tensor of an image is held at once, so images come one by one.
    let mut session =
        Session::load(runtime, &bytes, observed.external_data_folder(), &SessionConfig::default(), 0)?;
    for (index, image) in images.iter().enumerate() {
        session.run_all(images_shape(&model.preprocess, image), image, &mut |output, shape, values| {
            quantizer.observe(output, shape, values);
        })?;
        progress(index + 1);
    }
    Ok(())
}
