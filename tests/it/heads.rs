//! The main job on real photos: the accuracies a linear probe must reach.

use headstart_head::{Logistic, LogisticConfig, default_alphas, stratified_folds};
use headstart_store::{Label, Run, Store};
use ndarray::Array2;

use crate::extraction::{embed, folder_inputs};
use crate::support::{load, shared};

/// Accuracy on the 153 validation photos of ants and bees, alpha chosen as the program does by default.
fn hymenoptera_accuracy(shared: &std::path::Path, model: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut backbone = load(&shared.join("models"), model, 2);
    let store = Store::create(folder.path(), backbone.space()).expect("a store");
    let report =
        embed(&mut backbone, folder_inputs(&shared.join("datasets/hymenoptera")), &store, Run::Whole);
    assert_eq!((report.n_embedded, report.failures.len()), (397, 0));
    let samples = store.samples().expect("samples").samples;
    let bees = Some(Label::Class("bees".to_owned()));
    let part = |split: &str| {
        let samples: Vec<_> = samples.iter().filter(|it| it.split.as_deref() == Some(split)).collect();
        let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
        let rows = store.load(&digests).expect("rows");
        assert!(rows.missing.is_empty());
        let x = Array2::from_shape_vec((digests.len(), store.space().n_features), rows.values)
            .expect("its shape");
        let y: Vec<usize> = samples.iter().map(|it| usize::from(it.label == bees)).collect();
        (x, y)
    };
    let ((x, y), (x_val, y_val)) = (part("train"), part("val"));
    assert_eq!((y.len(), y_val.len()), (244, 153));
    let view = x.view();
    let samples = Logistic::new(&view, &y, 2, None, true).expect("samples");
    let groups: Vec<u64> = (0..y.len() as u64).collect();
    let folds = stratified_folds(&y, &groups, 5, 0);
    let path = samples.cross_validate(&folds, &default_alphas()).expect("a path");
    let config =
        LogisticConfig { alpha: path.alphas[path.best], standardize: true, ..LogisticConfig::default() };
    let fit = samples.fit(&config).expect("it converges");
    let logits = x_val.mapv(f64::from).dot(&fit.coef) + &fit.intercept;
    let n_correct =
        logits.outer_iter().zip(&y_val).filter(|(row, y)| usize::from(row[1] > row[0]) == **y).count();
    n_correct as f64 / y_val.len() as f64
}

#[test]
fn ants_and_bees_are_told_apart_as_well_as_scikit_learn_does() {
    let Some(shared) = shared() else { return };
    for (model, bar) in [("mobilenetv2-1.0-224", 0.95), ("resnet50-v2-stage3", 0.91)] {
        let accuracy = hymenoptera_accuracy(&shared, model);
        assert!(accuracy >= bar, "{model}: accuracy {accuracy}, expected at least {bar}");
    }
}
