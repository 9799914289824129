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
/// # Errors
/// [`BackboneError::Model`] for a model that cannot be quantised; [`BackboneError::Session`] when the
/// runtime cannot run it.
///
/// # Determinism
/// The same images in the same order give the same file, byte for byte.
pub fn quantize(
    runtime: &Runtime,
    model: &CutModel,
    images: impl IntoIterator<Item = Vec<u8>>,
) -> Result<OnnxModel, BackboneError> {
    let failed = |err| model_error(&model.id, err);
    let mut quantizer = Quantizer::new(&model.float_graph).map_err(failed)?;
    let observed = take_pixels(&quantizer.observed(), &model.pixel_input).map_err(failed)?;
    let bytes = observed.to_bytes().map_err(failed)?;
    // All threads in one session: every tensor of an image is held at once, so images come one by one.
    let config = SessionConfig { intra_threads: 0, ..SessionConfig::default() };
    let mut session = Session::load(runtime, &bytes, observed.external_data_folder(), &config)?;
    for image in images {
        session.run_all(images_shape(&model.preprocess, &image), &image, &mut |output, shape, values| {
            quantizer.observe(output, shape, values);
        })?;
    }
    quantizer.quantize().map_err(failed)
}
