//! Beside linfa: its solver, and its traits.

use linfa::dataset::Dataset;
use linfa::traits::{Fit, Predict};

use super::*;

/// linfa-logistic is right on small standardised features; there both must agree.
#[test]
fn linfa_logistic_finds_the_same_optimum_where_it_is_right() {
    for (n_classes, alpha) in [(2, 1.0), (3, 1.0), (3, 0.1)] {
        let (x, y) = relu_features(150, 6, n_classes, 10);
        let config = LogisticConfig { standardize: true, max_iterations: 3000, ..config(alpha) };
        let theirs = fit_with_linfa(x.view(), &y, n_classes, &config).unwrap();
        let ours = fit_logistic(x.view(), &y, n_classes, None, &config).unwrap();
        let error = (&theirs.coef - &ours.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
        assert!(error < 1e-4, "coefficients differ by {error}");
        assert!((theirs.certificate.objective / ours.certificate.objective - 1.0).abs() < 1e-6);
    }
}

/// On raw features its log-sum-exp subtracts the maximum of the whole matrix: what it then calls a
/// solution gets no certificate.
#[test]
fn a_wrong_solution_of_linfa_logistic_is_refused() {
    let (x, y) = relu_features(200, 40, 4, 12);
    let err = fit_with_linfa((x * 1000.0).view(), &y, 4, &config(1.0)).unwrap_err();
    assert!(matches!(err, HeadError::NotConverged { .. } | HeadError::Linfa(_)), "{err}");
}

#[test]
fn the_linfa_traits_fit_the_same_model_and_keep_the_labels() {
    let (x, y) = relu_features(60, 4, 3, 11);
    let names = ["ant", "bee", "10"];
    let labels: Array1<&str> = y.iter().map(|it| names[*it]).collect();
    let dataset = Dataset::new(x.clone(), labels);
    let model = LogisticParams::new().alpha(0.3).fit(&dataset).unwrap();
    assert_eq!(model.classes(), ["10", "ant", "bee"], "labels sort as text");
    // What is written for linfa-logistic compiles for ours, and says the same.
    let theirs = linfa_logistic::MultiLogisticRegression::new().alpha(0.3).gradient_tolerance(1e-6);
    let theirs = theirs.max_iterations(10_000).fit(&dataset).unwrap();
    assert_eq!(model.classes(), theirs.classes());
    assert_eq!(model.predict(&x), theirs.predict(&x));
    let difference = model.predict_probabilities(&x) - theirs.predict_probabilities(&x);
    assert!(difference.iter().all(|it| it.abs() < 1e-5), "both are at the minimum: {difference}");
    let difference = model.params() - theirs.params();
    assert!(difference.iter().all(|it| it.abs() < 1e-4), "{difference}");
    assert_eq!(model.intercept().len(), 3);
    let err = LogisticParams::new().alpha(-1.0).fit(&Dataset::new(x, Array1::from(y))).unwrap_err();
    assert_eq!(err.to_string(), "alpha must be positive and finite, got -1");
}
