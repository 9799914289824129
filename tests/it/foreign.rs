//! Models by other hands: layouts, batches, randomness, pixels of another range.

use std::path::Path;

use headstart::{Engine, EngineConfig, Event, ModelConfig, Note};
use headstart_backbone::{BackboneError, Device};
use headstart_input::ImageOptions;
use headstart_onnx::{OnnxModel, Pool, output};

use crate::odd_models::{load, models};
use crate::support;

#[test]
fn a_map_whose_channels_come_last_is_pooled_over_its_positions() {
    let Some(folder) = models() else { return };
    for name in ["nhwc_map.onnx", "nhwc_pooled.onnx"] {
        let mut backbone = load(folder.path(), name, None).expect("it loads");
        assert_eq!((backbone.space().n_features, backbone.model().tap.pool), (32, Pool::MeanNhwc), "{name}");
        // The pooled one pools what the other's map is: both give the same row.
        let probes = backbone.runner().recipe().probes(2);
        let rows = backbone.runner_mut().run(&probes).expect("it runs");
        let mut pooled = load(folder.path(), "nhwc_pooled.onnx", Some(Pool::None)).expect("it loads");
        let expected = pooled.runner_mut().run(&probes).expect("it runs");
        // Sums in another order.
        assert!(rows.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-4 * b.abs().max(1.0)), "{name}");
        assert_eq!((rows.len(), expected.len()), (64, 64));
    }
}

#[test]
fn what_gives_something_else_each_time_is_refused() {
    let Some(folder) = models() else { return };
    for (name, node) in [("dropout.onnx", "Dropout"), ("batch_statistics.onnx", "BatchNormalization")] {
        let Err(err) = load(folder.path(), name, None) else { panic!("{name} is random") };
        assert!(matches!(err, BackboneError::Random { .. }) && err.to_string().contains(node), "{err}");
    }
}

/// A session that was asked for a batch of two failed, and gave noise from then on.
#[test]
fn a_model_for_one_at_a_time_gives_the_same_on_every_device_and_exports_so() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "tower.onnx", None).expect("it loads");
    assert!(backbone.runner().one_by_one().is_some());
    let first = backbone.model().graph.inputs()[0].dims().expect("a shape")[0];
    assert_eq!(first, Some(1), "batch 1 stays 1");
    let probes = backbone.runner().recipe().probes(5);
    let here = backbone.runner_mut().run(&probes).expect("it runs");
    assert_eq!(here.len(), 5 * 12);
    let engine = Engine::new(EngineConfig {
        device: headstart::DeviceChoice::Is(Device::OpenVino),
        ..EngineConfig::default()
    });
    let config = config(&folder.path().join("tower.onnx"));
    match engine.backbone(&config, &mut |_| ()) {
        Ok(mut there) => {
            let rows = there.runner_mut().run(&probes).expect("it runs");
            // Two implementations of the same sums.
            assert!(
                rows.iter().zip(&here).all(|(a, b)| (a - b).abs() < 1e-3 * b.abs().max(1.0)),
                "{rows:?} {here:?}"
            );
        }
        // Where OpenVINO is not set up, or a runtime without it is loaded already.
        Err(err) => assert!(!matches!(err, headstart::Error::Model { .. }), "{err}"),
    }
}

/// Pixels go in as they are: 8×8, levels 0–255.
fn config(model: &Path) -> ModelConfig {
    let image = ImageOptions { short_side: Some(0), unit_range: Some(false), ..ImageOptions::default() };
    ModelConfig { image, ..ModelConfig::from(model.to_str().expect("UTF-8")) }
}

/// The export of one of the models, with a head on it.
fn exported(folder: &Path, model: &str) -> (std::path::PathBuf, Vec<Note>) {
    // Of the model with weights elsewhere, its classifier's: cut before it, none would be left.
    let tap = (model == "external").then(|| "wide".to_owned());
    let config = ModelConfig { tap, ..config(&folder.join(format!("{model}.onnx"))) };
    support::exported(&folder.join(model), &config)
}

#[test]
fn an_export_declares_the_batch_that_it_is_right_for() {
    let Some(folder) = models() else { return };
    for (model, batch) in [("tower", Some(1)), ("nhwc_map", None)] {
        let (file, _) = exported(folder.path(), model);
        let graph = OnnxModel::load(&file).expect("it reads");
        let info = |it: &headstart_onnx::proto::ValueInfoProto| it.dims().expect("a shape")[0];
        assert_eq!(info(graph.inputs()[0]), batch, "{model}");
        let outputs = &graph.proto().graph.as_ref().expect("a graph").output;
        assert!(outputs.iter().all(|it| info(it) == batch) && outputs.len() == 2, "{model}");
        assert_eq!(graph.output_names(), [output::PROBABILITIES, output::LOGITS]);
        assert_eq!(graph.proto().producer_name.as_deref(), Some("headstart"));
        assert!(graph.proto().graph.as_ref().expect("a graph").value_info.is_empty(), "stale shapes");
    }
}

#[test]
fn weights_in_another_file_come_into_the_export_and_damage_is_found() {
    let Some(folder) = models() else { return };
    let (file, _) = exported(folder.path(), "external");
    let beside: Vec<String> = std::fs::read_dir(file.parent().expect("a folder"))
        .expect("it reads")
        .map(|it| it.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|it| it.starts_with("out"))
        .collect();
    assert_eq!(beside, ["out.md", "out.onnx"]);
    let engine = Engine::new(EngineConfig::default());
    let open = || headstart::Predictor::open(&engine, &file, &mut |_| ()).map(drop);
    open().expect("it is whole");
    let bytes = std::fs::read(&file).expect("it reads");
    let (mut n_refused, mut n) = (0, 0);
    for place in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        std::fs::write(&file, damaged).expect("it is written");
        n_refused += usize::from(open().is_err());
        n += 1;
    }
    assert!(n >= 40 && n_refused == n, "{n_refused} of {n}");
}

#[test]
fn a_model_that_rescales_or_has_no_classifier_is_noticed() {
    let Some(folder) = models() else { return };
    let engine = Engine::new(EngineConfig::default());
    let notes = |name: &str, image: ImageOptions| {
        let path = folder.path().join(name);
        let mut notes = Vec::new();
        let config = ModelConfig { image, ..ModelConfig::from(path.to_str().expect("UTF-8")) };
        engine
            .backbone(&config, &mut |event| {
                if let Event::Note(note) = event {
                    notes.push(note)
                }
            })
            .expect("it loads");
        notes
    };
    let rescales = notes("rescales.onnx", ImageOptions::default());
    assert!(rescales.iter().any(|it| matches!(it, Note::RescalesItself { .. })), "{rescales:?}");
    assert!(rescales.iter().any(|it| matches!(it, Note::NoClassifier { n_features: 3, .. })), "{rescales:?}");
    // 8×8 is what the model itself says.
    let sized = rescales
        .iter()
        .any(|it| matches!(it, Note::FedAs { recipe, .. } if recipe.to_string().contains("8×8")));
    assert!(sized, "{rescales:?}");
    let levels = notes("rescales.onnx", ImageOptions { unit_range: Some(false), ..ImageOptions::default() });
    assert!(!levels.iter().any(|it| matches!(it, Note::RescalesItself { .. })), "{levels:?}");
}

#[test]
fn an_export_of_before_is_read_without_a_checksum_and_one_of_today_is_not() {
    let Some(folder) = models() else { return };
    let (file, _) = exported(folder.path(), "nhwc_map");
    let engine = Engine::new(EngineConfig::default());
    let open = |bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("it is written");
        headstart::Predictor::open(&engine, &file, &mut |_| ()).map(drop)
    };
    let mut graph = OnnxModel::load(&file).expect("it reads");
    graph.remove_metadata("headstart.sha256");
    let today = graph.to_bytes().expect("bytes");
    let error = open(&today).expect_err("it lost its checksum").to_string();
    assert!(error.contains("its checksum is not that"), "{error}");
    // Exports of before have the producer's name where the backbone was compiled in, and never a version: the field
    // is the third of the message.
    let version = [b"\x1a\x05", env!("CARGO_PKG_VERSION").as_bytes()].concat();
    let at = today.windows(version.len()).position(|it| it == version).expect("a version");
    let before = [&today[..at], &today[at + version.len()..]].concat();
    let graph = OnnxModel::from_bytes(before.clone()).expect("it reads");
    assert_eq!(
        (graph.proto().producer_name.as_deref(), &graph.proto().producer_version),
        (Some("headstart"), &None)
    );
    open(&before).expect("it is taken as it is");
}
