//! Pixels and embeddings against Pillow, NumPy and onnxruntime (versions in `target/golden/golden.json`).

use headstart_backbone::CutModel;
use headstart_head::argmax;
use headstart_input::{ImageRecipe, Limits};

use crate::support::{self, cosine, golden, read_f32, shared};

/// The photos of the references, in their order.
fn photos(golden: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(golden.join("golden.json")).expect("golden.json");
    let meta: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let photos = meta["photos"].as_array().expect("a list").iter();
    photos.map(|it| it.as_str().expect("a name").to_owned()).collect()
}

/// From Pillow's decoded pixels, stored without loss, and from the photos themselves: libjpeg-turbo's
/// decoding and Pillow's resize have one right answer, so the tolerance is zero.
#[test]
fn crops_are_pillows_pixel_for_pixel() {
    let (Some(golden), Some(shared)) = (golden(), shared()) else { return };
    let expected = std::fs::read(golden.join("crops.u8")).expect("crops");
    let recipe = ImageRecipe::imagenet();
    let n_bytes = recipe.n_bytes();
    let mut n_cases = 0;
    for (photo, expected) in photos(&golden).iter().zip(expected.chunks_exact(n_bytes)) {
        let stem = photo.trim_end_matches(".JPEG");
        let decoded = golden.join("decoded").join(format!("{stem}.png"));
        for path in [decoded, shared.join("datasets/imagenet_samples100").join(photo)] {
            let bytes = std::fs::read(&path).expect("a photo");
            let actual = recipe.apply(&bytes, &Limits::default()).expect("a good photo");
            let n_different = actual.iter().zip(expected).filter(|(a, b)| a != b).count();
            assert_eq!(n_different, 0, "{}: pixels differ", path.display());
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 200);
}

/// Whole pipelines; what is left of a difference is float order in the folded normalisation.
#[test]
fn embeddings_and_top_1_agree_with_pillow_and_onnxruntime() {
    let (Some(golden), Some(shared)) = (golden(), shared()) else { return };
    let mut features = support::load(&shared.join("models"), "mobilenetv2-1.0-224", 1);
    let (mut spec, path) = support::registry_model(&shared.join("models"), "mobilenetv2-1.0-224");
    spec.tap = Some("logits".to_owned());
    let logits_model = CutModel::load(&path, &spec).expect("cut at the logits");
    let config = headstart_backbone::SessionConfig::default();
    let mut logits =
        headstart_backbone::Backbone::load(&support::runtime(), logits_model, &config, 1).expect("loads");

    let (expected, expected_logits) =
        (read_f32(&golden.join("features.f32")), read_f32(&golden.join("logits.f32")));
    let photos = photos(&golden);
    let (mut n_cases, mut n_same, mut worst) = (0, 0, 1.0_f64);
    for (index, photo) in photos.iter().enumerate() {
        let bytes = std::fs::read(shared.join("datasets/imagenet_samples100").join(photo)).expect("a photo");
        let recipe = features.runner().recipe();
        let tensors = [recipe.apply(&bytes, &Limits::default()).expect("a good photo")];
        let row = features.runner_mut().run(&tensors).expect("it runs");
        worst = worst.min(cosine(&row, &expected[index * 1280..][..1280]));
        let scores = logits.runner_mut().run(&tensors).expect("it runs");
        let top = |scores: &[f32]| argmax(scores.iter().map(|it| f64::from(*it)));
        n_same += usize::from(top(&scores) == top(&expected_logits[index * 1000..][..1000]));
        n_cases += 1;
    }
    assert_eq!(n_cases, 100);
    assert!(worst >= 0.999_999, "the worst cosine is {worst}");
    assert_eq!(n_same, 100, "photos of the same top-1");
}
