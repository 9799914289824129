//! What is easily got wrong: bounds that are none, sums that cancel, results that depend on the machine.

use super::*;

fn normals(seed: u64) -> impl FnMut() -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    move || (0..12).map(|_| rng.random_range(-0.5..0.5)).sum()
}

/// Random problems, and how far above a far tighter fit each claims to be at most.
#[test]
fn the_gap_of_a_certificate_bounds_what_a_tighter_fit_gains() {
    let mut rng = ChaCha8Rng::seed_from_u64(77);
    let mut n_compared = 0;
    for case in 0..120 {
        let (n, d, k) = (rng.random_range(8..120_usize), rng.random_range(1..40_usize), 2 + case % 3);
        let alpha = 10_f64.powf(rng.random_range(-3.0..3.0));
        let mut normal = normals(case as u64);
        let y: Vec<usize> = (0..n).map(|it| if it < k { it } else { (it * it) % k }).collect();
        let x = Array2::from_shape_fn((n, d), |(i, _)| normal() + 0.5 * y[i] as f64);
        let view = x.view();
        let samples = Logistic::new(&view, &y, k, None, case % 2 == 0).unwrap();
        let standardize = case % 2 == 0;
        let Ok(fit) = samples.fit(&LogisticConfig { standardize, ..config(alpha) }) else { continue };
        let Ok(best) = samples.fit(&LogisticConfig { standardize, ..tight(alpha) }) else { continue };
        let gain = fit.certificate.objective - best.certificate.objective;
        // Objectives are sums of `n` numbers in f64.
        let rounding = 1e-13 * fit.certificate.objective;
        assert!(gain <= fit.certificate.gap + rounding, "case {case}: {gain:e} {:e}", fit.certificate.gap);
        n_compared += 1;
    }
    assert!(n_compared > 100, "{n_compared}");
}

/// A solution that is optimal but for its intercept: what moving it would do to the rest counts too.
#[test]
fn a_certificate_of_a_wrong_intercept_is_no_better_than_it_may_be() {
    let mut normal = normals(5);
    let x = Array2::from_shape_fn((40, 3), |_| normal());
    let y: Vec<usize> = x.outer_iter().map(|row| usize::from(row[0] + 0.3 * row[1] > 0.2)).collect();
    let view = x.view();
    let samples = Logistic::new(&view, &y, 2, None, false).unwrap();
    let best = samples.fit(&tight(0.01)).unwrap();
    let mut n_judged = 0;
    for step in 0..9 {
        let moved = &best.intercept + &array![-1.0, 1.0].mapv(|it: f64| it * 10_f64.powi(step - 8));
        let Ok(fit) = samples.certify(&best.coef, &moved, &config(0.01)) else { continue };
        let gain = fit.certificate.objective - best.certificate.objective;
        assert!(gain <= fit.certificate.gap + 1e-13, "{step}: {gain:e} {:e}", fit.certificate.gap);
        n_judged += 1;
    }
    assert!(n_judged > 3, "{n_judged}");
}

#[test]
fn one_sample_in_a_class_is_fitted_at_any_alpha() {
    let mut n_fits = 0;
    for seed in 0..20 {
        let mut normal = normals(seed);
        let x = Array2::from_shape_fn((60, 8), |_| normal());
        let y: Vec<usize> = (0..60).map(|it| if it < 2 { it + 1 } else { 0 }).collect();
        for alpha in [1e-6, 1e-4, 1e-2, 1.0] {
            fit_logistic(x.view(), &y, 3, None, &LogisticConfig { standardize: true, ..config(alpha) })
                .unwrap();
            n_fits += 1;
        }
    }
    assert_eq!(n_fits, 80);
}

/// Far apart and scaled up: losses of 1e-10 must not drown in the logits they are differences of.
#[test]
fn losses_do_not_cancel_where_classes_separate() {
    let mut normal = normals(9);
    let y: Vec<usize> = (0..40).map(|it| it % 2).collect();
    let x = Array2::from_shape_fn((40, 3), |(i, _)| 1e4 * (normal() + 8.0 * y[i] as f64));
    for alpha in [1e-4, 1e-2, 1.0] {
        let fit = fit_logistic(x.view(), &y, 2, None, &config(alpha)).unwrap();
        let log_odds =
            x.dot(&(&fit.coef.column(1) - &fit.coef.column(0))) + (fit.intercept[1] - fit.intercept[0]);
        let margins = log_odds.iter().zip(&y).map(|(z, class)| if *class == 1 { *z } else { -z });
        let loss: f64 = margins.map(|it| (-it).exp().ln_1p()).sum();
        let squares = fit.coef.iter().map(|it| it * it).sum::<f64>() * 2.0;
        let expected = loss + 0.5 * alpha * squares;
        let error = (fit.certificate.objective / expected - 1.0).abs();
        assert!(error < 1e-6, "alpha {alpha}: {error:e}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    // Solved in the row space, and with few rows that stand for all.
    for (n, d) in [(100, 700), (700, 300)] {
        let (x, y) = relu_features(n, d, 3, 4);
        one_result_for_any_number_of_threads(&x, &y);
    }
}

/// Margins at which `p(1 - p)` is nothing in f64: no row has a curvature left that a preconditioner could be made of.
#[test]
fn a_start_that_is_sure_of_everything_is_fitted_from_or_refused() {
    for d in [20, 300] {
        let (x, y) = relu_features(400, d, 2, 5);
        let view = x.view();
        let samples = Logistic::new(&view, &y, 2, None, false).unwrap();
        let mut sure = samples.fit(&config(1.0)).unwrap();
        sure.coef.mapv_inplace(|it| 1e6 * it);
        let found = samples.fit_from(&sure, &config(1.0));
        let is_told = matches!(found, Ok(_) | Err(HeadError::NotConverged { .. }));
        assert!(is_told, "{d} features: {found:?}");
    }
}

fn one_result_for_any_number_of_threads(x: &Array2<f64>, y: &[usize]) {
    let folds: Vec<usize> = (0..y.len()).map(|it| it % 4).collect();
    let fit = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let view = x.view();
            let samples = Logistic::new(&view, y, 3, None, true).unwrap();
            let fit = samples.fit(&LogisticConfig { standardize: true, ..config(0.1) }).unwrap();
            let path = samples.cross_validate(&folds, &[10.0, 0.1]).unwrap();
            let ridge = Ridge::new(x.view(), one_hot(y, 3).view()).unwrap();
            (fit, path, ridge.fit(1.0).unwrap(), ridge.leave_one_out(1.0).unwrap())
        })
    };
    let one = fit(1);
    assert!([2, 3, 5].iter().all(|it| fit(*it) == one));
}

/// Leaving out and fitting again, at penalties so weak that `1 - h` is all rounding when computed so.
#[test]
fn leave_group_out_is_refitting_without_the_group() {
    let mut n_compared = 0;
    for (n, d, scale) in [(12, 30, 1.0), (12, 30, 1e4), (40, 6, 1.0)] {
        let mut normal = normals(3);
        let x = Array2::from_shape_fn((n, d), |_| scale * normal());
        let y = Array2::from_shape_fn((n, 2), |_| normal());
        for alpha in [1e-6, 1e-2, 10.0] {
            let ridge = Ridge::new(x.view(), y.view()).unwrap();
            for of_group in [1, 3] {
                let groups: Vec<u64> = (0..n as u64).map(|it| it / of_group).collect();
                let found = ridge.leave_group_out(alpha, &groups).unwrap();
                for group in 0..groups[n - 1] + 1 {
                    let rest: Vec<usize> = (0..n).filter(|it| groups[*it] != group).collect();
                    let left = Ridge::new(x.select(Axis(0), &rest).view(), y.select(Axis(0), &rest).view());
                    // The unscaled problem at a penalty that is too weak to certify says nothing here.
                    let Ok(fit) = left.unwrap().fit(alpha) else { continue };
                    for sample in (0..n).filter(|it| groups[*it] == group) {
                        let expected = &y.row(sample) - &(x.row(sample).dot(&fit.coef) + &fit.intercept);
                        for (a, b) in found.row(sample).iter().zip(&expected) {
                            assert!(
                                (a - b).abs() <= 1e-6 * (1.0 + b.abs()),
                                "{n}×{d} {scale} {alpha}: {a} {b}"
                            );
                            n_compared += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(n_compared > 500, "{n_compared}");
}

#[test]
fn folds_of_which_nothing_counts_choose_nothing() {
    let (x, _) = relu_features(6, 4, 2, 1);
    let y: Vec<usize> = (0..6).collect();
    let view = x.view();
    let samples = Logistic::new(&view, &y, 6, None, false).unwrap();
    // Every class has one sample: held out, nobody knows it.
    let outcome = samples.cross_validate(&[0, 1, 2, 0, 1, 2], &[1.0, 0.1]);
    assert!(matches!(outcome, Err(HeadError::TooFewFolds { found: 0 })));
}

struct Lies<'a>(&'a Array2<f64>);

impl RowSource for Lies<'_> {
    type Elem = f64;

    fn dim(&self) -> (usize, usize) {
        (self.0.nrows() + 1, self.0.ncols())
    }

    fn for_each_batch(&self, visit: &mut Visit<'_, f64>) -> Result<(), HeadError> {
        self.0.view().for_each_batch(visit)
    }

    fn is_in_memory(&self) -> bool {
        false
    }
}

#[test]
fn a_source_of_fewer_rows_than_it_says_is_refused() {
    let (x, mut y) = relu_features(10, 3, 2, 1);
    y.push(0);
    let outcome = Logistic::new(&Lies(&x), &y, 2, None, false).map(drop);
    assert!(matches!(outcome, Err(HeadError::SampleCountMismatch { x_rows: 10, y_len: 11 })));
}

#[test]
fn a_hidden_layer_learns_numbers_of_any_size() {
    let mut normal = normals(6);
    let x = Array2::from_shape_fn((400, 5), |_| normal());
    let of_unit = |row: ndarray::ArrayView1<'_, f64>| row[0] - 0.5 * row[1] + 0.3 * row[2];
    let validation: Vec<bool> = (0..400).map(|it| it % 10 == 0).collect();
    for (mean, deviation) in [(0.0, 1.0), (2000.0, 1.0), (3e5, 1e5), (0.0, 1e-4)] {
        let targets = Array2::from_shape_fn((400, 1), |(i, _)| mean + deviation * of_unit(x.row(i)));
        let samples =
            MlpSamples { x: x.view(), targets: targets.view(), weights: None, validation: &validation };
        let loss = LossName::Squared.of(Activation::Identity).unwrap();
        let fit = fit_mlp(&samples, Activation::Identity, &loss, &MlpConfig::default(), &mut |_| ()).unwrap();
        let hidden = (x.dot(&fit.layers[0].weight) + &fit.layers[0].bias).mapv(|it| it.max(0.0));
        let predicted = hidden.dot(&fit.layers[1].weight) + &fit.layers[1].bias;
        let squares = |a: &Array2<f64>| a.iter().map(|it| it * it).sum::<f64>();
        let r2 = 1.0 - squares(&(&predicted - &targets)) / squares(&targets.mapv(|it| it - mean));
        assert!(r2 > 0.8, "targets around {mean} ± {deviation}: R² {r2}");
    }
}

#[test]
fn a_network_that_no_memory_holds_is_refused() {
    let (x, targets) = (array![[0.0_f32], [1.0]], array![[0.0], [1.0]]);
    let samples = MlpSamples { x: x.view(), targets: targets.view(), weights: None, validation: &[false; 2] };
    let loss = LossName::Squared.of(Activation::Identity).unwrap();
    for hidden in [usize::MAX, 100_000_000_000] {
        let config = MlpConfig { hidden, ..MlpConfig::default() };
        let outcome = fit_mlp(&samples, Activation::Identity, &loss, &config, &mut |_| ());
        assert!(matches!(outcome, Err(HeadError::InvalidMlp { .. })));
    }
}

#[test]
fn labels_that_cannot_be_predicted_are_not_given_to_all() {
    let mut normal = normals(8);
    let p = Array2::from_shape_fn((200, 2), |_| 0.02 + 0.01 * normal().abs());
    // Eleven samples at random; and one.
    let truth = Array2::from_shape_fn((200, 2), |(i, label)| {
        if (label == 0 && i % 19 == 3) || (label == 1 && i == 7) { 1.0 } else { 0.0 }
    });
    let thresholds = f1_thresholds(p.view(), truth.view(), 10);
    let given = |label: usize| p.column(label).iter().filter(|it| **it >= thresholds[label]).count();
    assert!(given(0) < 200 && given(1) == 0, "{} and {}: {thresholds:?}", given(0), given(1));
}
