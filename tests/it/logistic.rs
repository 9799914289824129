//! The logistic head against scikit-learn on real embeddings.

use headstart_head::{LogisticConfig, Scaler, fit_logistic};
use headstart_store::{Run, Store};
use ndarray::Array2;
use serde_json::json;

use crate::extraction::{embed, folder_inputs};
use crate::support::{self, python, run_python, shared};

/// Real pooled-ReLU features at three scales: the same optimum as scikit-learn's, run to 1e-8.
#[test]
fn objective_is_no_higher_than_scikit_learns_on_raw_scaled_and_standardised_features() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let dataset = shared.join("datasets/caltech8_mini");
    let mut backbone = support::load(&shared.join("models"), "mobilenetv2-1.0-224", 2);
    let store = Store::create(&folder.path().join("store"), backbone.space()).expect("a store");
    embed(&mut backbone, folder_inputs(&dataset), &store, Run::Whole);
    let samples = store.samples().expect("samples").samples;
    let mut labels: Vec<_> =
        samples.iter().map(|it| it.label.as_ref().expect("a label").to_string()).collect();
    let text = labels.clone();
    labels.sort();
    labels.dedup();
    let y: Vec<usize> = text.iter().map(|it| labels.binary_search(it).expect("known")).collect();
    let digests: Vec<_> = samples.iter().map(|it| it.digest).collect();
    let rows = store.load(&digests).expect("rows").values;
    let raw = Array2::from_shape_vec((digests.len(), 1280), rows).expect("its shape").mapv(f64::from);
    let two_classes: Vec<usize> = y.iter().map(|it| it % 2).collect();

    let variants = [
        ("raw", raw.clone()),
        ("times 1000", &raw * 1000.0),
        ("standardised", Scaler::fit(raw.view()).transform(raw.view())),
    ];
    let mut n_cases = 0;
    for (name, x) in variants {
        for (alpha, y) in [(1.0, &y), (0.01, &y), (1.0, &two_classes)] {
            let path = folder.path().join("x.f64");
            let bytes: Vec<u8> = x.iter().flat_map(|it| it.to_le_bytes()).collect();
            std::fs::write(&path, bytes).expect("features are written");
            let ask = json!({"n": x.nrows(), "d": x.ncols(), "y": y, "alpha": alpha, "tol": 1e-8});
            let theirs =
                &run_python(&python, "logistic.py", &[path.to_str().expect("UTF-8")], &ask.to_string())[0];
            let config = LogisticConfig { alpha, ..LogisticConfig::default() };
            let n_classes = y.iter().max().expect("samples") + 1;
            let ours = fit_logistic(x.view(), y, n_classes, None, &config).expect("it converges");
            let (ours, theirs) =
                (ours.certificate.objective, theirs["objective"].as_f64().expect("a number"));
            assert!(
                ours <= theirs * (1.0 + 1e-6),
                "{name}, alpha {alpha}, {n_classes} classes: ours {ours}, scikit-learn's {theirs}"
            );
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 9);
}
