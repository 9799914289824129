//! Logistic fits against closed forms, other solvers and hard cases.

use super::*;

/// Two mirrored samples: with the log-odds `u·x`, the first-order condition of the binary objective
/// `2·ln(1 + e^-u) + alpha/2·u²` is `alpha·u = 2 / (1 + e^u)`. Bisection of that equation is the oracle.
#[test]
fn fit_finds_the_closed_form_optimum_of_two_mirrored_samples() {
    for alpha in [1e-3, 1.0, 1e3] {
        let (mut low, mut high) = (0.0_f64, 100.0_f64);
        for _ in 0..200 {
            let u = 0.5 * (low + high);
            if alpha * u < 2.0 / (1.0 + u.exp()) { low = u } else { high = u }
        }
        let fit = fit_logistic(array![[-1.0], [1.0]].view(), &[0, 1], 2, None, &tight(alpha)).unwrap();
        let actual = fit.coef[[0, 1]] - fit.coef[[0, 0]];
        assert!((actual - low).abs() < 1e-5 * low.max(1e-3), "alpha {alpha}: expected {low}, got {actual}");
        assert!(fit.intercept.iter().all(|b| b.abs() < 1e-6), "mirror symmetry: {}", fit.intercept);
    }
}

#[test]
fn the_gradient_at_a_multinomial_fit_is_zero_by_a_naive_loop() {
    let (x, y) = relu_features(120, 10, 4, 1);
    for alpha in [1e-3, 0.1, 10.0] {
        let fit = fit_logistic(x.view(), &y, 4, None, &config(alpha)).unwrap();
        let (coef, intercept) = naive_gradient(&x, &y, &fit, alpha);
        let largest = coef.iter().chain(&intercept).fold(0.0_f64, |a, b| a.max(b.abs())) / 120.0;
        // The tolerance is in units of the features' scale, here about 3.
        assert!(largest < 1e-5, "alpha {alpha}: gradient {largest}");
        assert!(fit.certificate.gap <= 1e-6 * fit.certificate.objective);
    }
}

/// A constant added to every feature, or a factor on all of them, moves the optimum in a known way.
#[test]
fn scale_and_offset_of_features_do_not_change_the_predictions() {
    let (x, y) = relu_features(90, 8, 3, 2);
    let reference = fit_logistic(x.view(), &y, 3, None, &config(1.0)).unwrap();
    for (factor, offset) in [(1e4, 0.0), (1e-4, 0.0), (1.0, 1e4), (1e3, -1e6)] {
        let moved = x.mapv(|it| it * factor + offset);
        let fit = fit_logistic(moved.view(), &y, 3, None, &config(factor * factor)).unwrap();
        let coef = &fit.coef * factor;
        let error = (&coef - &reference.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
        assert!(error < 1e-4, "x * {factor} + {offset}: coefficients differ by {error}");
        assert!((fit.certificate.objective / reference.certificate.objective - 1.0).abs() < 1e-6);
    }
}

#[test]
fn hard_cases_converge() {
    let (x, y) = relu_features(60, 6, 3, 3);
    let constant = ndarray::concatenate![Axis(1), x, Array2::from_elem((60, 1), 7.0)];
    let duplicated = ndarray::concatenate![Axis(1), x, x];
    let wide = relu_features(20, 300, 4, 4);
    let separable = (array![[0.0], [1.0], [10.0], [11.0]], vec![0, 0, 1, 1]);
    let lonely: Vec<usize> = (0..60).map(|it| if it == 0 { 2 } else { it % 2 }).collect();
    let all_equal = Array2::from_elem((6, 3), 2.5);
    let cases = [
        ("constant column", constant, y.clone(), 3, 1.0),
        ("duplicated columns", duplicated, y.clone(), 3, 1.0),
        ("fewer samples than features", wide.0, wide.1, 4, 1.0),
        ("separable with a tiny alpha", separable.0, separable.1, 2, 1e-6),
        ("one sample in a class", x.clone(), lonely, 3, 0.1),
        ("huge alpha", x, y, 3, 1e8),
        ("no information at all", all_equal, vec![0, 1, 0, 1, 1, 1], 2, 1.0),
    ];
    let n_cases = cases.len();
    for (name, x, y, k, alpha) in cases {
        let fit =
            fit_logistic(x.view(), &y, k, None, &config(alpha)).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert!(fit.coef.iter().chain(&fit.intercept).all(|it| it.is_finite()), "{name}");
    }
    assert_eq!(n_cases, 7);
}

/// Columns of scales 1e10 apart: a gradient in common units says nothing of the small ones, the gap does.
#[test]
fn a_fit_far_above_its_minimum_is_never_accepted() {
    let mut n_fitted = 0;
    for (n, d, factor) in [(20, 60, 1e10), (20, 60, 1e7), (80, 6, 1e10), (80, 6, 1e4)] {
        let (mut x, y) = relu_features(n, d, 3, 21);
        x.column_mut(1).mapv_inplace(|it| it * factor);
        for standardize in [true, false] {
            let config = LogisticConfig { standardize, ..config(1.0) };
            match fit_logistic(x.view(), &y, 3, None, &config) {
                Ok(fit) => {
                    assert!(fit.certificate.gap <= 1e-6 * fit.certificate.objective);
                    n_fitted += 1;
                }
                Err(HeadError::NotConverged { .. }) => assert!(!standardize, "{n}×{d} ×{factor:e}"),
                Err(err) => panic!("{err}"),
            }
        }
    }
    assert!(n_fitted >= 5, "only {n_fitted} of 8 converged");
}

/// Standardising inside the fit is fitting on standardised features.
#[test]
fn standardising_in_the_fit_is_fitting_standardised_features() {
    let (x, y) = relu_features(90, 8, 3, 22);
    let inside =
        fit_logistic(x.view(), &y, 3, None, &LogisticConfig { standardize: true, ..tight(2.0) }).unwrap();
    let scaler = Scaler::fit(x.view());
    let outside = fit_logistic(scaler.transform(x.view()).view(), &y, 3, None, &tight(2.0)).unwrap();
    let (coef, intercept) = scaler.fold(&outside.coef, &outside.intercept);
    assert!((&inside.coef - &coef).iter().all(|it| it.abs() < 1e-6));
    // Centred intercepts differ from folded ones by a constant, which probabilities do not see.
    let shift = &inside.intercept - &intercept;
    assert!(shift.iter().all(|it| (it - shift[0]).abs() < 1e-6), "{shift}");
    assert!((inside.certificate.objective - outside.certificate.objective).abs() < 1e-8);
}

#[test]
fn a_warm_start_reaches_the_same_optimum_in_fewer_iterations() {
    let (x, y) = relu_features(300, 20, 4, 23);
    let view = x.view();
    let samples = Logistic::new(&view, &y, 4, None, false).unwrap();
    let strong = samples.fit(&tight(2.0)).unwrap();
    let (cold, warm) = (samples.fit(&tight(1.9)).unwrap(), samples.fit_from(&strong, &tight(1.9)).unwrap());
    assert!(warm.certificate.n_iterations < cold.certificate.n_iterations);
    assert!((&cold.coef - &warm.coef).iter().all(|it| it.abs() < 1e-6));
    let other = x.slice(ndarray::s![.., ..19]);
    let err = Logistic::new(&other, &y, 4, None, false).unwrap().fit_from(&strong, &config(1.0)).unwrap_err();
    assert_eq!(err.to_string(), "expected 19 features, got 20");
    let two: Vec<usize> = y.iter().map(|it| it % 2).collect();
    let err =
        Logistic::new(&view, &two, 2, None, false).unwrap().fit_from(&strong, &config(1.0)).unwrap_err();
    assert_eq!(err.to_string(), "expected 2 classes or targets, got 4");
}

/// Rows that cannot be read stop the fit, whenever it happens.
#[test]
fn a_source_that_fails_is_an_error() {
    struct Failing(std::sync::atomic::AtomicUsize, Array2<f64>);
    impl RowSource for Failing {
        type Elem = f64;
        fn dim(&self) -> (usize, usize) {
            self.1.dim()
        }
        fn for_each_batch(&self, visit: &mut Visit<'_, f64>) -> Result<(), HeadError> {
            use std::sync::atomic::Ordering;
            if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
                self.0.store(0, Ordering::Relaxed);
                return Err(HeadError::Source("the disk is gone".into()));
            }
            visit(0, self.1.as_slice().unwrap());
            Ok(())
        }
    }
    let (x, y) = relu_features(60, 4, 3, 29);
    let mut n_cases = 0;
    // While samples are prepared, and in the solver.
    for n_reads in [0, 1, 2, 5, 9] {
        let source = Failing(n_reads.into(), x.clone());
        let result = Logistic::new(&source, &y, 3, None, false).and_then(|it| it.fit(&config(1.0)));
        let err = result.expect_err("rows stopped coming");
        let cause = std::error::Error::source(&err).map(ToString::to_string);
        assert_eq!(
            (err.to_string().as_str(), cause.as_deref()),
            ("rows cannot be read", Some("the disk is gone"))
        );
        n_cases += 1;
    }
    assert_eq!(n_cases, 5);
}

/// Rows that come in batches, from wherever: the same fit as in memory.
#[test]
fn a_source_of_batches_gives_the_fit_of_an_array() {
    struct Batches(Vec<Array2<f32>>);
    impl RowSource for Batches {
        type Elem = f32;
        fn dim(&self) -> (usize, usize) {
            (self.0.iter().map(Array2::nrows).sum(), self.0[0].ncols())
        }
        fn for_each_batch(&self, visit: &mut Visit<'_, f32>) -> Result<(), HeadError> {
            let mut first = 0;
            for batch in &self.0 {
                visit(first, batch.as_slice().unwrap());
                first += batch.nrows();
            }
            Ok(())
        }
    }
    let (x, y) = relu_features(400, 10, 3, 24);
    let x = x.mapv(|it| it as f32);
    let batches =
        Batches([0..130, 130..131, 131..400].map(|it| x.slice(ndarray::s![it, ..]).to_owned()).to_vec());
    let fit = |source: &dyn Fn(&LogisticConfig) -> LogisticFit| {
        source(&LogisticConfig { standardize: true, ..tight(1.0) })
    };
    let view = x.view();
    let whole = fit(&|config| Logistic::new(&view, &y, 3, None, true).unwrap().fit(config).unwrap());
    let err = Logistic::new(&batches, &y, 3, None, true)
        .unwrap()
        .cross_validate(&vec![0; 400], &[1.0])
        .unwrap_err();
    assert!(matches!(err, HeadError::NotInMemory), "{err}");
    let pieces = fit(&|config| Logistic::new(&batches, &y, 3, None, true).unwrap().fit(config).unwrap());
    let error = (&whole.coef - &pieces.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
    assert!(error < 1e-6, "coefficients differ by {error}");
}

/// Every fold and alpha fitted by itself, from nothing, and judged by a naive loop.
#[test]
fn the_path_is_that_of_fits_made_one_by_one() {
    let mut n_cases = 0;
    // Many samples, few samples (the row space), two classes, and many features (few rows stand for all).
    for (n, d, k) in [(120, 8, 3), (40, 100, 3), (90, 6, 2), (400, 260, 3)] {
        let (x, y) = relu_features(n, d, k, 25);
        let view = x.view();
        let own: Vec<u64> = (0..n as u64).collect();
        let folds = stratified_folds(&y, &own, 4, 1);
        let samples = Logistic::new(&view, &y, k, None, false).unwrap();
        let path = samples.cross_validate(&folds, &[0.1, 100.0, 3.0, 1e-4]).unwrap();
        assert_eq!(path.alphas, [100.0, 3.0, 0.1, 1e-4]);
        for (index, alpha) in path.alphas.iter().enumerate() {
            let losses = (0..4).map(|fold| {
                let of =
                    |inside: bool| (0..n).filter(|it| (folds[*it] == fold) == inside).collect::<Vec<_>>();
                let (outside, inside) = (of(false), of(true));
                let (x_out, y_out) =
                    (x.select(Axis(0), &outside), outside.iter().map(|it| y[*it]).collect::<Vec<_>>());
                let fit = fit_logistic(x_out.view(), &y_out, k, None, &config(*alpha)).unwrap();
                let logits = x.select(Axis(0), &inside).dot(&fit.coef) + &fit.intercept;
                let rows = logits.outer_iter().zip(&inside);
                let losses =
                    rows.map(|(row, it)| row.iter().map(|z| z.exp()).sum::<f64>().ln() - row[y[*it]]);
                losses.sum::<f64>() / inside.len() as f64
            });
            let losses: Vec<f64> = losses.collect();
            let mean = losses.iter().sum::<f64>() / 4.0;
            let error = losses.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 3.0 / 4.0;
            // A fit of the path stops where its objective is surely within a ten-thousandth of its minimum: the
            // root of that is how far its coefficients may be off, along directions that hardly count.
            let tolerance = 1e-3 + 0.01 * mean;
            assert!((path.mean_loss[index] - mean).abs() < tolerance, "{} {mean}", path.mean_loss[index]);
            assert!((path.standard_error[index] - error.sqrt()).abs() < tolerance);
            n_cases += 1;
        }
        assert!(path.one_standard_error <= path.best);
    }
    assert_eq!(n_cases, 16);
}

#[test]
fn the_best_alpha_is_the_one_of_the_smallest_loss_and_its_edges_are_known() {
    let (x, y) = relu_features(100, 5, 3, 26);
    let view = x.view();
    let folds: Vec<usize> = (0..100).map(|it| it / 3 % 5).collect();
    let samples = Logistic::new(&view, &y, 3, None, true).unwrap();
    let path = samples.cross_validate(&folds, &default_alphas()).unwrap();
    assert_eq!((path.alphas.len(), path.alphas[0]), (45, 1e5));
    assert!((path.alphas[44] / 1e-6 - 1.0).abs() < 1e-9);
    let smallest = path.mean_loss.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(path.mean_loss[path.best], smallest);
    let is_on_edge = |path: &AlphaPath| path.best == 0 || path.best + 1 == path.alphas.len();
    assert!(!is_on_edge(&path) && path.alphas[path.one_standard_error] >= path.alphas[path.best]);
    let only_strong = samples.cross_validate(&folds, &[1e5, 1e4]).unwrap();
    assert!(is_on_edge(&only_strong));
    assert_eq!(path, samples.cross_validate(&folds, &default_alphas()).unwrap(), "the same bits");
}

/// A class that lies in one fold alone is unknown when that fold is held out.
#[test]
fn a_class_missing_from_a_fold_leaves_the_losses_finite() {
    let (x, _) = relu_features(60, 6, 3, 27);
    let folds: Vec<usize> = (0..60).map(|it| it / 20).collect();
    let y: Vec<usize> = (0..60).map(|it| if it < 10 { 2 } else { it % 2 }).collect();
    let view = x.view();
    let samples = Logistic::new(&view, &y, 3, None, true).unwrap();
    let path = samples.cross_validate(&folds, &[10.0, 1e-3]).unwrap();
    assert!(path.mean_loss.iter().all(|it| it.is_finite() && *it < 50.0), "{:?}", path.mean_loss);
    let err = samples.cross_validate(&[0; 60], &[1.0]).unwrap_err().to_string();
    assert_eq!(err, "cross-validation needs at least 2 folds with samples and 1 alpha, found 1 folds");
    let err = samples.cross_validate(&[0; 6], &[1.0]).unwrap_err().to_string();
    assert_eq!(err, "x has 60 samples but y has 6 targets");
}

#[test]
fn permuting_samples_keeps_the_fit() {
    let (x, y) = relu_features(200, 12, 5, 5);
    let order: Vec<usize> = (0..200).map(|it| (it * 77) % 200).collect();
    let permuted: Vec<usize> = order.iter().map(|it| y[*it]).collect();
    let a = fit_logistic(x.view(), &y, 5, None, &tight(0.5)).unwrap();
    let b = fit_logistic(x.select(Axis(0), &order).view(), &permuted, 5, None, &tight(0.5)).unwrap();
    let error = (&a.coef - &b.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
    assert!(error < 1e-5, "coefficients differ by {error}");
}

#[test]
fn the_same_input_gives_the_same_bits() {
    let (x, y) = relu_features(400, 30, 4, 6);
    let fits = [0, 1].map(|_| fit_logistic(x.view(), &y, 4, None, &config(0.1)).unwrap());
    assert_eq!(fits[0], fits[1]);
}

#[test]
fn a_weight_counts_as_often_as_repeating_the_sample() {
    let (x, y) = relu_features(50, 5, 3, 7);
    let weights: Vec<f64> = (0..50).map(|it| (it % 4) as f64).collect();
    let repeated: Vec<usize> = (0..50).flat_map(|it| std::iter::repeat_n(it, it % 4)).collect();
    let weighted = fit_logistic(x.view(), &y, 3, Some(&weights), &tight(1.0)).unwrap();
    let y_repeated: Vec<usize> = repeated.iter().map(|it| y[*it]).collect();
    let again = fit_logistic(x.select(Axis(0), &repeated).view(), &y_repeated, 3, None, &tight(1.0)).unwrap();
    let error = (&weighted.coef - &again.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
    assert!(error < 1e-5, "coefficients differ by {error}");
}

#[test]
fn single_and_double_precision_features_agree() {
    let (x, y) = relu_features(80, 9, 3, 8);
    let single = fit_logistic(x.mapv(|it| it as f32).view(), &y, 3, None, &config(1.0)).unwrap();
    let double = fit_logistic(x.view(), &y, 3, None, &config(1.0)).unwrap();
    let error = (&single.coef - &double.coef).mapv(f64::abs).fold(0.0, |a: f64, b| a.max(*b));
    assert!(error < 1e-4, "coefficients differ by {error}");
}

#[test]
fn a_fit_refuses_what_it_cannot_use_and_says_why() {
    let x = array![[0.0, 1.0], [1.0, 0.0]];
    let with = |value: f64| array![[0.0, 1.0], [value, 0.0]];
    let fit = |x: &Array2<f64>, y: &[usize], weights: Option<&[f64]>, config: LogisticConfig| {
        fit_logistic(x.view(), y, 2, weights, &config).unwrap_err().to_string()
    };
    let default = LogisticConfig::default;
    let cases = [
        (fit(&x, &[0], None, default()), "x has 2 samples but y has 1 targets"),
        (fit(&Array2::zeros((0, 2)), &[], None, default()), "no samples to fit on"),
        (fit(&with(f64::NAN), &[0, 1], None, default()), "feature 0 of sample 1 is not finite"),
        (fit(&with(f64::INFINITY), &[0, 1], None, default()), "feature 0 of sample 1 is not finite"),
        (fit(&x, &[0, 2], None, default()), "sample 1 has class 2, but there are 2 classes"),
        (fit(&x, &[1, 1], None, default()), "expected at least 2 classes, found 1"),
        (fit(&x, &[0, 1], None, config(0.0)), "alpha must be positive and finite, got 0"),
        (
            fit(&x, &[0, 1], None, LogisticConfig { tolerance: -1.0, ..default() }),
            "tolerance must be positive and finite, got -1",
        ),
        (
            fit(&x, &[0, 1], Some(&[1.0, -2.0]), default()),
            "sample weights must be finite, not negative and not all zero; weight 1 is -2",
        ),
        (fit(&x, &[0, 1], Some(&[1.0]), default()), "x has 2 samples but y has 1 targets"),
    ];
    let n_cases = cases.len();
    for (actual, expected) in cases {
        assert_eq!(actual, expected);
    }
    assert_eq!(n_cases, 10);
}

/// Stopping early must be an error that carries what was reached, never a model.
#[test]
fn an_unfinished_fit_is_an_error() {
    let (x, y) = relu_features(100, 20, 4, 9);
    let config = LogisticConfig { alpha: 1e-3, max_iterations: 2, ..LogisticConfig::default() };
    match fit_logistic(x.view(), &y, 4, None, &config) {
        Err(HeadError::NotConverged { gradient, tolerance, n_iterations, objective, .. }) => {
            assert!(gradient > tolerance && n_iterations == 2 && objective > 0.0);
        }
        other => panic!("expected NotConverged, got {other:?}"),
    }
}

/// Samples that were prepared one way are not fitted as if they were prepared the other.
#[test]
fn a_fit_that_asks_for_other_features_than_were_prepared_is_refused() {
    let (x, y) = relu_features(30, 4, 2, 5);
    let view = x.view();
    for prepared in [true, false] {
        let samples = Logistic::new(&view, &y, 2, None, prepared).unwrap();
        let fit = samples.fit(&LogisticConfig { standardize: prepared, ..config(1.0) }).unwrap();
        let other = LogisticConfig { standardize: !prepared, ..config(1.0) };
        let errors = [
            samples.fit(&other).unwrap_err(),
            samples.fit_from(&fit, &other).unwrap_err(),
            samples.certify(&fit.coef, &fit.intercept, &other).unwrap_err(),
        ];
        for err in errors {
            let expected = format!(
                "samples were prepared with standardize = {prepared}, the fit asks for standardize = {}",
                !prepared
            );
            assert_eq!(err.to_string(), expected);
        }
    }
}
