//! The registry, devices, runtimes; what is refused.

use std::path::Path;

use headstart_input::{ImageRecipe, Recipe};

use crate::*;

#[test]
fn the_built_in_registry_reads_and_its_embedded_model_is_the_one_it_names() {
    let registry = Registry::builtin();
    assert!(registry.models.len() >= 12);
    for spec in &registry.models {
        match &spec.recipe {
            Recipe::Image(recipe) => recipe.check().unwrap(),
            Recipe::Audio(recipe) => recipe.check().unwrap(),
            // What it lacks lies beside the model.
            Recipe::Text(_) => {
                assert_eq!(spec.tokenizer_sha256.as_ref().map(String::len), Some(64), "{}", spec.id)
            }
        }
        assert_eq!(spec.sha256.as_ref().map(String::len), Some(64), "{}", spec.id);
        assert!(spec.bytes.is_some() && spec.licence.is_some() && spec.n_features.is_some(), "{}", spec.id);
    }
    let mut ids: Vec<&str> = registry.models.iter().map(|it| it.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), registry.models.len(), "an id stands twice");
    // What is compiled in is what the registry says, and small enough for a repository.
    for (id, most, is_quantized) in
        [(EMBEDDED_ID, 4 << 20, false), ("headstart-distilled-96-int8", 1_200_000, true)]
    {
        let (spec, bytes) = (registry.get(id).unwrap(), embedded_model(id).unwrap());
        let model = CutModel::from_bytes(bytes, spec).unwrap();
        assert_eq!(model.is_quantized(), is_quantized);
        assert_eq!(Some(model.sha256), spec.sha256);
        assert_eq!(Some(bytes.len() as u64), spec.bytes);
        assert!(bytes.len() <= most);
    }
    assert!(embedded_model("resnet50").is_none());
}

#[test]
fn a_registry_with_an_unknown_key_is_refused_with_the_file() {
    let err = Registry::from_toml("[[model]]\nid = \"x\"\ntapp = \"y\"\n", Path::new("my.toml")).unwrap_err();
    assert_eq!(err.to_string(), "my.toml");
    assert!(std::error::Error::source(&err).unwrap().to_string().contains("tapp"));
}

#[test]
fn a_model_that_takes_another_input_is_refused_with_both_shapes() {
    let spec = Registry::builtin().get(EMBEDDED_ID).unwrap().clone();
    let wrong = ModelSpec { recipe: Recipe::Image(ImageRecipe::imagenet()), ..spec };
    let err = CutModel::from_bytes(embedded_model(EMBEDDED_ID).unwrap(), &wrong).unwrap_err().to_string();
    assert!(err.contains("224×224 pixels") && err.contains("[N, 3, 96, 96]"), "{err}");
    let err = CutModel::from_bytes(b"no model", &wrong).unwrap_err().to_string();
    assert_eq!(err, format!("model {EMBEDDED_ID}"));
}

#[test]
fn a_missing_runtime_and_a_file_that_is_none_are_errors_that_say_what_is_needed() {
    let err = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err().to_string();
    assert_eq!(
        err,
        "no ONNX Runtime library at /nowhere/libonnxruntime.so; this program needs version 1.24.0 or newer"
    );
    let file = std::env::temp_dir().join(format!("headstart-no-library-{}", std::process::id()));
    std::fs::write(&file, b"not a library").unwrap();
    let err = Runtime::load(&file).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(err, BackboneError::RuntimeLoad { .. }), "{err}");
}

#[test]
fn devices_and_precisions_read_as_they_print() {
    for text in ["cpu", "openvino", "cuda", "cuda:3"] {
        assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
    }
    assert_eq!("cuda:0".parse::<Device>().unwrap(), Device::Cuda(0));
    assert_eq!("gpu".parse::<Device>().unwrap_err(), "expected cpu, openvino, cuda or cuda:N, got `gpu`");
    assert_eq!("bf16".parse::<Precision>().unwrap().to_string(), "bf16");
    assert!("f64".parse::<Precision>().is_err());
}

#[test]
fn errors_can_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<BackboneError>();
    check::<ItemError>();
    check::<Backbone>();
    check::<Runner>();
    check::<Session>();
    check::<CutModel>();
}
