//! Exports run in other people's runtimes: `tract` and `rten`, which are Rust without ONNX Runtime.

use std::path::Path;

use headstart::{Engine, EngineConfig, ModelConfig, Predictor, Source};
use headstart_input::{ImageRecipe, Limits};
use headstart_onnx::{OnnxModel, output};
use rten_tensor::{AsView, NdTensor};
use tract_onnx::prelude::{Datum, Framework, InferenceFact, InferenceModelExt, TValue, Tensor, tvec};

use crate::support::{exported, shared};

/// One picture of 224×224, three bytes a pixel.
const SHAPE: [usize; 4] = [1, 224, 224, 3];

fn by_tract(file: &Path, pixels: &[u8]) -> Vec<f32> {
    let model = tract_onnx::onnx().model_for_path(file).expect("it reads");
    let model = model.with_input_fact(0, InferenceFact::dt_shape(u8::datum_type(), SHAPE));
    let model = model.expect("an input").into_optimized().expect("it is typed").into_runnable();
    let input: TValue = Tensor::from_shape(&SHAPE, pixels).expect("a tensor").into();
    let outputs = model.expect("it is runnable").run(tvec!(input)).expect("it runs");
    outputs[0].as_slice::<f32>().expect("probabilities").to_vec()
}

fn by_rten(file: &Path, pixels: &[u8]) -> Vec<f32> {
    let model = rten::Model::load_file(file).expect("it reads");
    let input = NdTensor::<u8, 4>::from_data(SHAPE, pixels.to_vec());
    let output = model.node_id(output::PROBABILITIES).expect("an output");
    let outputs = model.run_n(vec![(model.input_ids()[0], input.into())], [output], None).expect("it runs");
    let [outputs] = outputs;
    let scores: NdTensor<f32, 2> = outputs.try_into().expect("probabilities");
    scores.to_vec()
}

#[test]
fn exports_say_the_same_in_runtimes_that_are_not_onnx_runtime() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = folder.path().join("photo.png");
    image::RgbImage::from_fn(300, 260, |x, y| {
        image::Rgb([x * y / 300, x, y * 2].map(|it| it.to_le_bytes()[0]))
    })
    .save(&photo)
    .expect("it is written");
    let pixels = ImageRecipe::imagenet()
        .apply(&std::fs::read(&photo).expect("it reads"), &Limits::default())
        .expect("pixels");
    // The compiled-in one; and real ones, where they are.
    let mut models: Vec<(String, ModelConfig)> =
        vec![("compiled in".to_owned(), ModelConfig::from(headstart_backbone::EMBEDDED_ID))];
    if let Some(shared) = shared() {
        for name in ["mobilenetv2-1.0-224", "squeezenet1.1", "resnet50-v2-stage3"] {
            let path = shared.join(format!("models/{name}.onnx"));
            models.push((name.to_owned(), ModelConfig::from(path.to_str().expect("UTF-8"))));
        }
    }
    let engine = Engine::new(EngineConfig::default());
    for (name, config) in &models {
        let (file, _) = exported(&folder.path().join(name), config);
        let graph = OnnxModel::load(&file).expect("it reads");
        assert!(graph.proto().graph.as_ref().expect("a graph").value_info.is_empty(), "{name}: stale shapes");
        let mut expected = Vec::new();
        let mut predictor = Predictor::open(&engine, &file, &mut |_| ()).expect("it opens");
        predictor
            .predict(&[Source::from(&photo)], &mut |_, said| {
                expected = said.expect("it is read").scores;
                Ok::<(), headstart::Error>(())
            })
            .expect("it runs");
        for (runtime, found) in [("tract", by_tract(&file, &pixels)), ("rten", by_rten(&file, &pixels))] {
            assert_eq!(found.len(), expected.len(), "{name} {runtime}");
            for (found, expected) in found.iter().zip(&expected) {
                // Sums of thousands of f32 in another order.
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{name} {runtime}: {found} {expected}");
            }
        }
    }
    assert!(models.len() == 4 || shared().is_none());
}
