//! Fits on real tables, against scikit-learn run to 1e-10.

use std::path::Path;

use headstart_head::{LogisticConfig, Ridge, Scaler, argmax, fit_logistic};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

use crate::support::{python, run_python, shared};

/// Rows of a CSV: features, and the last column.
fn table(path: &Path) -> (Array2<f64>, Array1<f64>) {
    let text = std::fs::read_to_string(path).expect("a table");
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|it| it.trim().parse().expect("a number")).collect())
        .collect();
    let (n, d) = (rows.len(), rows[0].len() - 1);
    let all = Array2::from_shape_vec((n, d + 1), rows.concat()).expect("rows of equal length");
    (all.slice(ndarray::s![.., ..d]).to_owned(), all.column(d).to_owned())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|it| it.as_f64().expect("a number")).collect()
}

#[test]
fn coefficients_and_predictions_are_scikit_learns_on_real_tables() {
    let (Some(shared), Some(python)) = (shared(), python()) else { return };
    let folder = shared.join("datasets/tabular");
    let answers = run_python(&python, "tabular.py", &[folder.to_str().expect("UTF-8")], "");
    let mut n_cases = 0;
    for answer in &answers {
        let name = answer["set"].as_str().expect("a name");
        let ((x, y), (x_test, _)) =
            (table(&folder.join(name).join("train.csv")), table(&folder.join(name).join("test.csv")));
        let scaler = Scaler::fit(x.view());
        let (x, x_test) = (scaler.transform(x.view()), scaler.transform(x_test.view()));
        if name == "diabetes" {
            n_cases += ridge(answer, &x, &y, &x_test);
            continue;
        }
        let y: Vec<usize> = y.iter().map(|it| format!("{it:.0}").parse().expect("a class")).collect();
        let n_classes = y.iter().max().expect("samples") + 1;
        let config = LogisticConfig { tolerance: 1e-9, gap_tolerance: 1e-12, ..LogisticConfig::default() };
        let fit = fit_logistic(x.view(), &y, n_classes, None, &config).expect("it converges");
        let theirs: Vec<Vec<f64>> = answer["coef"].as_array().expect("rows").iter().map(numbers).collect();
        // scikit-learn gives two classes one row, the difference of our two columns.
        let ours = match theirs.len() {
            1 => (&fit.coef.column(1) - &fit.coef.column(0)).insert_axis(Axis(1)),
            _ => fit.coef.clone(),
        };
        let largest = theirs.iter().flatten().fold(0.0_f64, |a, b| a.max(b.abs()));
        for ((feature, class), it) in ours.indexed_iter() {
            let difference = (it - theirs[class][feature]).abs();
            assert!(
                difference <= 1e-3 * largest,
                "{name}: coefficient {feature} of class {class} off by {difference}"
            );
        }
        let logits = x_test.dot(&fit.coef) + &fit.intercept;
        let predicted: Vec<f64> =
            logits.rows().into_iter().map(|it| argmax(it.iter().copied()) as f64).collect();
        assert_eq!(predicted, numbers(&answer["predictions"]), "{name}");
        n_cases += 1;
    }
    assert_eq!(n_cases, 6);
}

/// Coefficients, predictions and leave-one-out residuals at two alphas, within 1e-6 of the largest.
fn ridge(answer: &Value, x: &Array2<f64>, y: &Array1<f64>, x_test: &Array2<f64>) -> usize {
    let ridge = Ridge::new(x.view(), y.view().insert_axis(Axis(1))).expect("it decomposes");
    for (alpha, key) in [(0.1, "0.1"), (10.0, "10.0")] {
        let fit = ridge.fit(alpha).expect("it is exact");
        let predictions = x_test.dot(&fit.coef) + &fit.intercept;
        let left_out = ridge.leave_one_out(alpha).expect("residuals");
        for (what, ours) in [
            ("coef", fit.coef.into_iter().collect::<Vec<_>>()),
            ("predictions", predictions.into_iter().collect()),
            ("leave_one_out", left_out.into_iter().collect()),
        ] {
            let theirs = numbers(&answer[key][what]);
            let largest = theirs.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            assert_eq!(ours.len(), theirs.len());
            for (a, b) in ours.iter().zip(&theirs) {
                assert!((a - b).abs() <= 1e-6 * largest, "{what} at alpha {alpha}: {a}, scikit-learn {b}");
            }
        }
    }
    2
}
