//! Ridge regression against closed forms and refits.

use linfa::dataset::Dataset;
use linfa::traits::Fit;

use super::*;

/// `(XᵀX + alpha·I)⁻¹Xᵀy` for two orthogonal centred columns, by hand: `w_j = x_j·y / (|x_j|² + alpha)`.
#[test]
fn ridge_matches_the_closed_form_for_orthogonal_features() {
    let x = array![[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]];
    let y = array![[5.0], [3.0], [1.0], [-1.0]];
    let fit = Ridge::new(x.view(), y.view()).unwrap().fit(2.0).unwrap();
    assert!((fit.coef[[0, 0]] - 8.0 / 6.0).abs() < 1e-12 && (fit.coef[[1, 0]] - 4.0 / 6.0).abs() < 1e-12);
    assert!((fit.intercept[0] - 2.0).abs() < 1e-12);
}

/// linfa-linear's Tweedie regression with power 0 minimises `½‖y - ŷ‖² + alpha/2·‖w‖²`.
#[test]
fn ridge_agrees_with_linfa_linear() {
    let (x, _) = relu_features(80, 5, 2, 12);
    let x = Scaler::fit(x.view()).transform(x.view());
    let y: Array1<f64> = x.outer_iter().map(|row| 3.0 + row[0] - 2.0 * row[3] + 0.1 * row[1].sin()).collect();
    let theirs = linfa_linear::TweedieRegressor::params()
        .power(0.0)
        .link(linfa_linear::Link::Identity)
        .alpha(1.0)
        .tol(1e-10)
        .max_iter(500)
        .fit(&Dataset::new(x.clone(), y.clone()))
        .unwrap();
    let targets = y.insert_axis(Axis(1));
    let ours = Ridge::new(x.view(), targets.view()).unwrap().fit(1.0).unwrap();
    let error = ours.coef.column(0).iter().zip(&theirs.coef).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error < 1e-5, "coefficients differ by {error}");
}

/// Every leave-one-out residual against the fit that really leaves the sample out, both shapes.
#[test]
fn leave_one_out_residuals_are_those_of_refitting_without_the_sample() {
    for (n, d) in [(25, 4), (12, 30)] {
        let (x, y) = relu_features(n, d, 3, 13);
        let targets = one_hot(&y, 3);
        let alpha = 0.7;
        let residuals = Ridge::new(x.view(), targets.view()).unwrap().leave_one_out(alpha).unwrap();
        for left_out in 0..n {
            let kept: Vec<usize> = (0..n).filter(|it| *it != left_out).collect();
            let (kx, ky) = (x.select(Axis(0), &kept), targets.select(Axis(0), &kept));
            let fit = Ridge::new(kx.view(), ky.view()).unwrap().fit(alpha).unwrap();
            let predicted = x.row(left_out).dot(&fit.coef) + &fit.intercept;
            for (target, value) in predicted.iter().enumerate() {
                let expected = targets[[left_out, target]] - value;
                assert!(
                    (residuals[[left_out, target]] - expected).abs() < 1e-9,
                    "{n}×{d}, sample {left_out}"
                );
            }
        }
    }
}

#[test]
fn generalised_cross_validation_follows_its_formula() {
    let (x, y) = relu_features(30, 5, 2, 14);
    let targets = one_hot(&y, 2);
    let ridge = Ridge::new(x.view(), targets.view()).unwrap();
    let fit = ridge.fit(3.0).unwrap();
    let residual = &targets - (x.dot(&fit.coef) + &fit.intercept);
    // tr H from its definition: the change of each prediction with its own target.
    let trace: f64 = (0..30)
        .map(|i| {
            let mut moved = targets.clone();
            moved[[i, 0]] += 1.0;
            let moved = Ridge::new(x.view(), moved.view()).unwrap().fit(3.0).unwrap();
            let at = |fit: &RidgeFit| x.row(i).dot(&fit.coef.column(0)) + fit.intercept[0];
            at(&moved) - at(&fit)
        })
        .sum();
    let expected = 30.0 * residual.mapv(|it| it * it).sum() / (30.0 - trace).powi(2);
    let actual = ridge.generalised_cross_validation(3.0).unwrap();
    assert!((actual / expected - 1.0).abs() < 1e-8, "expected {expected}, got {actual}");
}

#[test]
fn ridge_refuses_what_it_cannot_use() {
    let (x, y) = (array![[1.0], [2.0]], array![[1.0], [f64::NAN]]);
    let new = |x: &Array2<f64>, y: &Array2<f64>| Ridge::new(x.view(), y.view()).err().unwrap().to_string();
    assert_eq!(new(&x, &y), "target 0 of sample 1 is not finite");
    assert_eq!(new(&x, &array![[1.0]]), "x has 2 samples but y has 1 targets");
    let ridge = Ridge::new(x.view(), array![[1.0], [2.0]].view()).unwrap();
    assert_eq!(ridge.fit(-1.0).unwrap_err().to_string(), "alpha must be positive and finite, got -1");
}

/// Finite features whose products are not: what failed is the decomposition, no file.
#[test]
fn features_that_cannot_be_decomposed_are_told_as_such() {
    let x = array![[1e200], [-1e200], [3e200]];
    let err = Ridge::new(x.view(), array![[1.0], [2.0], [3.0]].view()).err().unwrap();
    assert!(matches!(err, HeadError::Decomposition), "{err}");
    assert!(err.to_string().starts_with("the features cannot be decomposed"), "{err}");
}
