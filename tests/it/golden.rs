//! Pixels and embeddings against Pillow, NumPy and onnxruntime (versions in `target/golden/golden.json`).

use headstart_backbone::{CutModel, DecodeLimits, Preprocess};
use headstart_head::argmax;

use crate::support::{self, cosine, golden, read_f32, shared};

/// The photos of the references, in their order.
fn photos(golden: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(golden.join("golden.json")).expect("golden.json");
    let meta: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let photos = meta["photos"].as_array().expect("a list").iter();
    photos.map(|it| it.as_str().expect("a name").to_owned()).collect()
}

/// Both sides resize the very same pixels: Pillow's decoded photos, stored without loss.
#[test]
fn crops_are_within_one_grey_level_of_pillow_for_the_same_decoded_pixels() {
    let Some(golden) = golden() else { return };
    let expected = std::fs::read(golden.join("crops.u8")).expect("crops");
    let preprocess = Preprocess::imagenet();
    let n_bytes = preprocess.n_bytes();
    let (mut worst, mut n_cases, mut n_different) = (0, 0, 0_usize);
    for (photo, expected) in photos(&golden).iter().zip(expected.chunks_exact(n_bytes)) {
        let stem = photo.trim_end_matches(".JPEG");
        let bytes = std::fs::read(golden.join("decoded").join(format!("{stem}.png"))).expect("decoded photo");
        let actual = preprocess.apply(&bytes, &DecodeLimits::default()).expect("a good photo");
        for (a, b) in actual.iter().zip(expected) {
            worst = worst.max(a.abs_diff(*b));
            n_different += usize::from(a != b);
        }
        n_cases += 1;
    }
    assert_eq!(n_cases, 100);
    assert!(worst <= 1, "a pixel differs by {worst} grey levels");
    assert!(n_different < n_cases * n_bytes / 20, "{n_different} pixels differ by one level, more than 5%");
}

/// Whole pipelines: zune-jpeg and fast_image_resize here, libjpeg-turbo and Pillow there.
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
        let pixels = Preprocess::imagenet().apply(&bytes, &DecodeLimits::default()).expect("a good photo");
        let row = features.runner_mut().run(&pixels).expect("it runs");
        worst = worst.min(cosine(&row, &expected[index * 1280..][..1280]));
        let scores = logits.runner_mut().run(&pixels).expect("it runs");
        let top = |scores: &[f32]| argmax(scores.iter().map(|it| f64::from(*it)));
        n_same += usize::from(top(&scores) == top(&expected_logits[index * 1000..][..1000]));
        n_cases += 1;
    }
    assert_eq!(n_cases, 100);
    assert!(worst >= 0.9999, "the worst cosine is {worst}");
    assert!(n_same >= 99, "top-1 is the same for {n_same} of 100");
}
