//! Models that are odd in one way each, and runs that go wrong in the middle.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use headstart_backbone::{
    Backbone, BackboneError, CutModel, Known, ModelSpec, Row, RunConfig, Runner, SessionConfig, Source, run,
};
use headstart_input::{Data, ImageRecipe, Limits, Recipe, Tensor};
use headstart_onnx::{Layer, Nonlinearity, Pool, attach_head};
use headstart_store::Digest;
use image::{Rgb, RgbImage};

use crate::support::{python, root, runtime};

/// The models of `tests/python/odd_models.py`, in a folder.
pub(crate) fn models() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().expect("a folder");
    let script = root().join("tests/python/odd_models.py");
    let status = Command::new(python()?).arg(script).arg(folder.path()).status().expect("python starts");
    assert!(status.success());
    Some(folder)
}

/// Pixels go in as they are: 8×8, levels 0–255.
fn spec(path: &Path, pool: Option<Pool>) -> ModelSpec {
    let (spec, _) = ModelSpec::of_file(path).expect("no description beside it");
    let recipe = Recipe::Image(ImageRecipe {
        size: [8, 8],
        short_side: None,
        unit_range: false,
        mean: vec![0.0; 3],
        std: vec![1.0; 3],
        ..ImageRecipe::imagenet()
    });
    ModelSpec { pool, recipe, ..spec }
}

pub(crate) fn load(folder: &Path, name: &str, pool: Option<Pool>) -> Result<Backbone, BackboneError> {
    let path = folder.join(name);
    let model = CutModel::load(&path, &spec(&path, pool))?;
    Backbone::load(&runtime(), model, &SessionConfig::default(), 2)
}

/// Pictures of one colour each, of the levels given.
fn pictures(folder: &Path, levels: &[u8]) -> Vec<PathBuf> {
    let write = |(index, level): (usize, &u8)| {
        let path = folder.join(format!("{index}.png"));
        RgbImage::from_pixel(8, 8, Rgb([*level, u8::try_from(index).expect("few pictures"), 0]))
            .save(&path)
            .expect("it is written");
        path
    };
    levels.iter().enumerate().map(write).collect()
}

fn config(batch_size: usize) -> RunConfig {
    RunConfig { batch_size: Some(batch_size), ..RunConfig::default() }
}

/// What became of each file, in order: its row, or why it has none.
fn rows(model: &mut Runner, paths: &[PathBuf], batch_size: usize) -> Vec<Result<Vec<f32>, String>> {
    let mut results = vec![Err("nothing came".to_owned()); paths.len()];
    let sources: Vec<Source<'_>> = paths.iter().map(Source::from).collect();
    run(model, &sources, Known::Nothing, &config(batch_size), &mut |index, result| {
        assert_eq!(results[index], Err("nothing came".to_owned()), "delivered twice");
        results[index] = match result {
            Ok(Row { values, .. }) => Ok(values.expect("a row").to_vec()),
            Err(err) => Err(err.to_string()),
        };
        Ok::<(), BackboneError>(())
    })
    .expect("the run goes through");
    results
}

#[test]
fn a_picture_that_fails_in_the_model_costs_only_itself() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "fails_on_bright.onnx", None).expect("it loads");
    let levels = [10, 20, 255, 30, 40, 250, 50];
    let paths = pictures(folder.path(), &levels);
    let results = rows(backbone.runner_mut(), &paths, 4);
    for (index, (level, result)) in levels.iter().zip(&results).enumerate() {
        match result {
            Ok(row) => assert_eq!(row, &[f32::from(*level), index as f32, 0.0]),
            Err(reason) => assert!(*level > 200 && reason.starts_with("made the model fail: "), "{reason}"),
        }
    }
    assert_eq!(results.iter().filter(|it| it.is_err()).count(), 2);
}

#[test]
fn an_output_without_a_batch_dimension_is_a_row_an_image_run_one_by_one() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "squeezed.onnx", Some(Pool::None)).expect("it loads");
    assert_eq!(backbone.space().n_features, 16);
    let results = rows(backbone.runner_mut(), &pictures(folder.path(), &[1, 2, 3]), 2);
    for (index, row) in results.iter().enumerate() {
        let row = row.as_ref().expect("a row");
        // (level, index, 0) times columns j, 16 + j.
        let (level, index) = (index as f32 + 1.0, index as f32);
        let expected: Vec<f32> = (0..16).map(|j| level * j as f32 + index * (16.0 + j as f32)).collect();
        assert_eq!(row, &expected);
    }
    assert_eq!(results.len(), 3);
    let mut backbone = load(folder.path(), "scalar.onnx", Some(Pool::None)).expect("it loads");
    assert_eq!(backbone.space().n_features, 1);
    assert!(backbone.runner().one_by_one().is_some(), "two pictures gave one number");
    let results = rows(backbone.runner_mut(), &pictures(folder.path(), &[3, 6]), 2);
    assert_eq!(results, [Ok(vec![1.0]), Ok(vec![7.0 / 3.0])]);
}

#[test]
fn a_model_of_16_bits_with_names_that_surgery_wants_gives_32_bit_embeddings() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "half.onnx", None).expect("it loads");
    assert_eq!((backbone.model().tap.tensor.as_str(), backbone.space().n_features), ("logits", 3));
    let paths = pictures(folder.path(), &[10, 20]);
    assert_eq!(rows(backbone.runner_mut(), &paths, 2), [Ok(vec![10.0, 0.0, 0.0]), Ok(vec![20.0, 1.0, 0.0])]);
    let layer = Layer { weight: vec![0.5; 6], bias: vec![0.0, 1.0], nonlinearity: Nonlinearity::Softmax };
    let graph = attach_head(&backbone.model().graph, 3, &[layer]).expect("a head fits");
    let (recipe, config) = (backbone.runner().recipe(), SessionConfig::default());
    let mut exported = Runner::load(&runtime(), "exported", &graph, recipe, &config, 1).expect("it loads");
    let pixels = Tensor::new("image", vec![8, 8, 3], Data::U8(vec![7; 8 * 8 * 3]));
    let probabilities = exported.run(&[vec![pixels]]).expect("it runs");
    let expected = 1.0 / (1.0 + 1_f32.exp());
    assert!((probabilities[0] - expected).abs() < 1e-6, "{probabilities:?}");
}

#[test]
fn positions_are_pooled_by_default_and_kept_when_asked() {
    let Some(folder) = models() else { return };
    let load = |pool| load(folder.path(), "positions.onnx", pool).expect("it loads");
    assert_eq!(load(None).space().n_features, 3);
    assert_eq!(load(Some(Pool::Mean)).space().n_features, 3);
    assert_eq!(load(Some(Pool::None)).space().n_features, 3 * 8 * 8);
}

#[test]
fn numbers_that_are_none_never_reach_the_store() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "not_a_number.onnx", None).expect("it loads");
    let results = rows(backbone.runner_mut(), &pictures(folder.path(), &[125, 50, 200]), 4);
    assert_eq!(results[0].as_ref().map(|it| it[0]), Ok(5.0));
    assert_eq!(results[1], Err("has an embedding that is not finite at feature 0".to_owned()));
    assert_eq!(results[2].as_ref().map(|it| it[0]), Ok(10.0));
}

#[test]
fn files_that_are_too_long_and_models_that_cannot_run_are_refused() {
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "squeezed.onnx", Some(Pool::None)).expect("it loads");
    let paths = pictures(folder.path(), &[1]);
    let bytes = std::fs::read(&paths[0]).expect("a file");
    let length = bytes.len() as u64;
    let limits = Limits { max_input_bytes: length - 1, ..Limits::default() };
    let mut reasons = Vec::new();
    let config = RunConfig { limits, ..config(1) };
    let sources = [Source::from(&paths[0]), Source::Bytes(&bytes)];
    run(backbone.runner_mut(), &sources, Known::Nothing, &config, &mut |_, result| {
        reasons.push(result.expect_err("it is too long").to_string());
        Ok::<(), BackboneError>(())
    })
    .expect("the run goes through");
    let reason = format!("has {length} bytes, above the limit of {}", length - 1);
    assert_eq!(reasons, [reason.clone(), reason], "in a file, and in memory");

    let err =
        load(folder.path(), "unknown_operator.onnx", Some(Pool::Mean)).err().expect("nothing can run it");
    assert!(matches!(err, BackboneError::Session { .. }), "{err}");
    assert_eq!(err.to_string(), "ONNX Runtime failed to load the model");
    let path = folder.path().join("nowhere.onnx");
    let err = CutModel::load(&path, &spec(&path, None)).expect_err("it is not there");
    assert!(matches!(err, BackboneError::Read { .. }), "{err}");
    let loaded = runtime();
    let err = headstart_backbone::Runtime::load(&paths[0]).expect_err("one process has one runtime");
    assert!(matches!(err, BackboneError::RuntimeLoadedTwice { .. }), "{err}");
    assert!(err.to_string().contains(&loaded.path().display().to_string()), "{err}");
}

/// Whoever stops listening stops the run: nobody waits for a queue that is never read.
#[test]
fn a_receiver_that_fails_or_panics_ends_the_run() {
    let Some(folder) = models() else { return };
    let levels: Vec<u8> = (0..150).collect();
    let paths = pictures(folder.path(), &levels);
    let mut backbone = load(folder.path(), "fails_on_bright.onnx", None).expect("it loads");
    let full = || BackboneError::Output { n_inputs: 0, shape: vec![] };
    let sources: Vec<Source<'_>> = paths.iter().map(Source::from).collect();
    for n_decoders in [0, 2] {
        let config = RunConfig { n_decoders: Some(n_decoders), ..config(1) };
        let runner = backbone.runner_mut();
        let result = run(runner, &sources, Known::Nothing, &config, &mut |_, _| Err(full()));
        assert!(matches!(result, Err(BackboneError::Output { .. })));
        let mut panics = |is_known: &(dyn Fn(&Digest) -> bool + Sync), of_delivery: bool| {
            let work = || {
                run(runner, &sources, Known::Rows(is_known), &config, &mut |_, _| {
                    assert!(!of_delivery, "on purpose");
                    Ok::<(), BackboneError>(())
                })
                .map(drop)
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err()
        };
        assert!(panics(&|_| false, true));
        assert!(panics(&|_| panic!("on purpose"), false));
        // Of known files, too: the rest of them is not read for nobody.
        let n_looked_up = AtomicUsize::new(0);
        let is_known = |_: &Digest| n_looked_up.fetch_add(1, Ordering::Relaxed) < usize::MAX;
        assert!(panics(&is_known, true));
        assert!(n_looked_up.into_inner() < paths.len() / 2);
    }
    assert_eq!(rows(backbone.runner_mut(), &paths, 8).iter().filter(|it| it.is_ok()).count(), 150);
}

/// An error of the caller's own stops the run and comes back as it was.
#[test]
fn every_input_is_delivered_once_copies_with_the_row_or_the_reason_of_their_original() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Enough,
        Theirs(String),
    }
    impl From<BackboneError> for Mine {
        fn from(err: BackboneError) -> Self {
            Self::Theirs(err.to_string())
        }
    }
    let Some(folder) = models() else { return };
    let mut backbone = load(folder.path(), "fails_on_bright.onnx", None).expect("it loads");
    let paths = pictures(folder.path(), &[10, 250, 30]);
    let bytes = std::fs::read(&paths[0]).expect("a picture");
    let mut sources: Vec<Source<'_>> = paths.iter().cycle().take(30).map(Source::from).collect();
    sources.extend([Source::Bytes(&bytes), Source::Bytes(b"no picture"), Source::Bytes(b"no picture")]);
    for known in [Known::Nothing, Known::Rows(&|_| false)] {
        let mut results: Vec<Option<Result<Option<Vec<f32>>, String>>> = vec![None; sources.len()];
        run(backbone.runner_mut(), &sources, known, &config(4), &mut |index, result| {
            let result = result.map(|it| it.values.map(<[f32]>::to_vec)).map_err(ToString::to_string);
            assert_eq!(results[index].replace(result), None, "delivered twice");
            Ok::<(), Mine>(())
        })
        .expect("the run goes through");
        let results: Vec<_> = results.into_iter().map(|it| it.expect("delivered")).collect();
        let rows: Vec<_> = results.iter().flatten().flatten().collect();
        if let Known::Nothing = known {
            assert!((0..30).step_by(3).all(|it| results[it] == results[0]));
            assert_eq!((rows.len(), &results[30]), (21, &results[0]), "a file, and its bytes in memory");
        } else {
            assert_eq!(rows.len(), 2, "the others are of content that was delivered");
            assert_eq!(results.iter().filter(|it| **it == Ok(None)).count(), 19);
        }
        assert!((1..30).step_by(3).all(|it| results[it] == results[1] && results[1].is_err()));
        assert_eq!(results[31], results[32]);
        assert!(results[31].as_ref().is_err_and(|it| it.starts_with("is no picture")));
    }
    let mut n_delivered = 0;
    let stopped = run(backbone.runner_mut(), &sources, Known::Nothing, &config(1), &mut |_, _| {
        n_delivered += 1;
        if n_delivered == 3 { Err(Mine::Enough) } else { Ok(()) }
    });
    assert_eq!((stopped.err(), n_delivered), (Some(Mine::Enough), 3));
}
