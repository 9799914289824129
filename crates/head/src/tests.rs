//! Fits against closed forms, other solvers and hard cases; files; metrics against naive loops.

use linfa::dataset::Dataset;
use linfa::traits::{Fit, Predict};
use ndarray::{Array1, Array2, Axis, array};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::*;

mod hard;
mod mlp;
mod multilabel;

fn config(alpha: f64) -> LogisticConfig {
    LogisticConfig { alpha, ..LogisticConfig::default() }
}

/// For oracles that are exact: the solver must not be what limits the comparison.
fn tight(alpha: f64) -> LogisticConfig {
    LogisticConfig { alpha, tolerance: 1e-10, gap_tolerance: 1e-12, ..LogisticConfig::default() }
}

/// Pooled-ReLU-like features: correlated, not negative, of different scales, and classes they depend on.
fn relu_features(n: usize, d: usize, k: usize, seed: u64) -> (Array2<f64>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || (0..12).map(|_| rng.random_range(-0.5..0.5)).sum::<f64>();
    let mix = Array2::from_shape_fn((d, d), |(i, j)| normal() / (1.0 + (i.abs_diff(j)) as f64));
    let centres = Array2::from_shape_fn((k, d), |_| normal());
    let y: Vec<usize> = (0..n).map(|it| it % k).collect();
    let raw = Array2::from_shape_fn((n, d), |(i, j)| normal() + 0.7 * centres[[y[i], j]]);
    let mut x = raw.dot(&mix).mapv(|it| it.max(0.0));
    for (j, mut column) in x.columns_mut().into_iter().enumerate() {
        column *= 1.0 + (j % 7) as f64;
    }
    (x, y)
}

/// Gradient of the multinomial objective by a naive loop: shares no code with the solver.
fn naive_gradient(x: &Array2<f64>, y: &[usize], fit: &LogisticFit, alpha: f64) -> (Array2<f64>, Array1<f64>) {
    let logits = x.dot(&fit.coef) + &fit.intercept;
    let mut coef = &fit.coef * alpha;
    let mut intercept = Array1::zeros(fit.intercept.len());
    for (i, row) in logits.outer_iter().enumerate() {
        let sum: f64 = row.iter().map(|it| it.exp()).sum();
        for (c, logit) in row.iter().enumerate() {
            let residual = logit.exp() / sum - if y[i] == c { 1.0 } else { 0.0 };
            intercept[c] += residual;
            for j in 0..x.ncols() {
                coef[[j, c]] += residual * x[[i, j]];
            }
        }
    }
    (coef, intercept)
}

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
    let samples = Logistic::new(&view, &y, 4, None, true).unwrap();
    let strong = samples.fit(&tight(2.0)).unwrap();
    let (cold, warm) = (samples.fit(&tight(1.9)).unwrap(), samples.fit_from(&strong, &tight(1.9)).unwrap());
    assert!(warm.certificate.n_iterations < cold.certificate.n_iterations);
    assert!((&cold.coef - &warm.coef).iter().all(|it| it.abs() < 1e-6));
    let other = x.slice(ndarray::s![.., ..19]);
    let err = Logistic::new(&other, &y, 4, None, true).unwrap().fit_from(&strong, &config(1.0)).unwrap_err();
    assert_eq!(err.to_string(), "expected 19 features, got 20");
    let two: Vec<usize> = y.iter().map(|it| it % 2).collect();
    let err = Logistic::new(&view, &two, 2, None, true).unwrap().fit_from(&strong, &config(1.0)).unwrap_err();
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
        let result = Logistic::new(&source, &y, 3, None, true).and_then(|it| it.fit(&config(1.0)));
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
    // Many samples, few samples (the row space), and two classes.
    for (n, d, k) in [(120, 8, 3), (40, 100, 3), (90, 6, 2)] {
        let (x, y) = relu_features(n, d, k, 25);
        let view = x.view();
        let own: Vec<u64> = (0..n as u64).collect();
        let folds = stratified_folds(&y, &own, 4, 1);
        let samples = Logistic::new(&view, &y, k, None, false).unwrap();
        let path = samples.cross_validate(&folds, &[0.1, 100.0, 3.0]).unwrap();
        assert_eq!(path.alphas, [100.0, 3.0, 0.1]);
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
            // The path stops when it can gain no more than a thousandth of the loss; where classes
            // separate, a held-out sample's loss still moves by a few thousandths of a nat then.
            let tolerance = 3e-3 + 0.01 * mean;
            assert!((path.mean_loss[index] - mean).abs() < tolerance, "{} {mean}", path.mean_loss[index]);
            assert!((path.standard_error[index] - error.sqrt()).abs() < tolerance);
            n_cases += 1;
        }
        assert!(path.one_standard_error <= path.best);
    }
    assert_eq!(n_cases, 9);
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
    assert!(!path.is_on_edge() && path.alphas[path.one_standard_error] >= path.alphas[path.best]);
    let only_strong = samples.cross_validate(&folds, &[1e5, 1e4]).unwrap();
    assert!(only_strong.is_on_edge());
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

/// Nine of ten samples are of class 0, one feature that says nothing: balanced weights make the classes
/// even, and the correction gives back the shares.
#[test]
fn balanced_weights_count_classes_alike_and_the_prior_comes_back() {
    let y: Vec<usize> = (0..200).map(|it| usize::from(it % 10 == 0)).collect();
    let x = Array2::from_shape_fn((200, 1), |(i, _)| (i / 10 % 2) as f64);
    let by_class = balanced_weights(&y, 2);
    let weights: Vec<f64> = y.iter().map(|it| by_class[*it]).collect();
    assert!((weights.iter().sum::<f64>() - 200.0).abs() < 1e-9);
    let mut fit = fit_logistic(x.view(), &y, 2, Some(&weights), &tight(1.0)).unwrap();
    let odds = |fit: &LogisticFit| (fit.intercept[1] - fit.intercept[0]).exp();
    assert!((odds(&fit) - 1.0).abs() < 1e-6);
    correct_prior(&mut fit.intercept, &by_class);
    assert!((odds(&fit) - 1.0 / 9.0).abs() < 1e-6);
}

#[test]
fn folds_are_stratified_seeded_and_keep_groups_together() {
    let classes: Vec<usize> = (0..200).map(|it| usize::from(it % 10 == 0)).collect();
    let groups: Vec<u64> = (0..200).map(|it| it / 2).collect();
    let folds = stratified_folds(&classes, &groups, 5, 3);
    assert!(folds.chunks(2).all(|it| it[0] == it[1]), "a group was torn apart");
    for fold in 0..5 {
        assert_eq!(folds.iter().filter(|it| **it == fold).count(), 40);
    }
    assert_eq!(folds, stratified_folds(&classes, &groups, 5, 3));
    assert_ne!(folds, stratified_folds(&classes, &groups, 5, 4));
}

/// Baselines against loops that do what their definition says.
#[test]
fn baselines_are_what_naive_loops_make_them() {
    let (x, y) = relu_features(300, 7, 4, 28);
    let x = x.mapv(|it| it as f32);
    let (train, held_out) = (x.slice(ndarray::s![..220, ..]), x.slice(ndarray::s![220.., ..]));
    let (y_train, y_held_out) = (&y[..220], &y[220..]);
    let baselines = Baselines::new(train, y_train, 4, held_out, y_held_out).unwrap();
    let cosine = |a: ndarray::ArrayView1<'_, f32>, b: ndarray::ArrayView1<'_, f32>| {
        let (a, b) = (a.mapv(f64::from), b.mapv(f64::from));
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    };
    let accuracy = |predict: &dyn Fn(usize) -> usize| {
        (0..80).filter(|it| predict(*it) == y_held_out[*it]).count() as f64 / 80.0
    };
    for (index, k) in NEIGHBOURS.into_iter().enumerate() {
        let naive = accuracy(&|row| {
            let mut near: Vec<(f64, usize)> =
                (0..220).map(|it| (cosine(held_out.row(row), train.row(it)), y_train[it])).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut scores = [0.0; 4];
            near[..k].iter().for_each(|(cosine, class)| scores[*class] += (cosine / 0.07).exp());
            argmax(scores)
        });
        assert_eq!(baselines.k_nearest[index].0, k);
        assert!((baselines.k_nearest[index].1 - naive).abs() < 0.014, "k = {k}: {naive}");
    }
    let naive = accuracy(&|row| {
        let mean = |class: usize| {
            let mut mean = Array1::<f32>::zeros(7);
            for it in (0..220).filter(|it| y_train[*it] == class) {
                let norm = train.row(it).mapv(|it| it * it).sum().sqrt();
                mean += &(&train.row(it) / norm);
            }
            mean
        };
        argmax((0..4).map(|class| cosine(held_out.row(row), mean(class).view())))
    });
    assert!((baselines.nearest_class_mean - naive).abs() < 1e-12, "{naive}");
    assert!(baselines.best().1 >= naive);
    assert_eq!(
        Baselines::new(train, y_train, 3, held_out, y_held_out).unwrap_err().to_string(),
        "sample 3 has class 3, but there are 3 classes"
    );
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

fn head() -> HeadModel {
    let (x, y) = relu_features(30, 4, 3, 15);
    let fit = fit_logistic(x.view(), &y, 3, None, &config(1.0)).unwrap();
    HeadModel {
        trained_on: vec![3, u64::MAX],
        layers: vec![DenseLayer { weight: fit.coef, bias: fit.intercept, activation: Activation::Softmax }],
        metadata: HeadMetadata {
            task: Task::Classification,
            labels: ["a", "b", "ü\""].map(str::to_owned).to_vec(),
            thresholds: Vec::new(),
            fingerprint: "f".to_owned(),
            space: serde_json::json!({"n_features": 4}),
            fit: FitRecord {
                head: "logistic".to_owned(),
                solver: "test".to_owned(),
                alpha: Some(1.0),
                path: None,
                balanced: false,
                standardized: false,
                n_samples: 30,
                class_counts: vec![10, 10, 10],
                validation: 0.2,
                seed: 0,
                certificate: Some(fit.certificate),
                training: None,
            },
        },
    }
}

#[test]
fn a_head_file_round_trips_and_is_reproducible() {
    let head = head();
    let bytes = head.to_bytes().unwrap();
    assert_eq!(HeadModel::from_bytes(&bytes).unwrap(), head);
    assert_eq!(head.to_bytes().unwrap(), bytes);
}

#[test]
fn damaged_head_files_are_errors() {
    let bytes = head().to_bytes().unwrap();
    let (mut n_cases, mut n_readable) = (0, 0);
    for position in 0..bytes.len() {
        HeadModel::from_bytes(&bytes[..position]).expect_err("a part of a head is no head");
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            // Another number is still a head; whatever is read can be used and written.
            if let Ok(head) = HeadModel::from_bytes(&damaged) {
                drop(head.predict(Array2::<f32>::zeros((1, 4)).view()));
                head.to_bytes().unwrap();
                n_readable += 1;
            }
            n_cases += 1;
        }
    }
    assert_eq!(n_cases, 4 * bytes.len());
    assert!(n_readable < n_cases / 2, "{n_readable} of {n_cases} damaged heads were read");
    let err = HeadModel::from_bytes(b"ONNX").unwrap_err().to_string();
    assert!(err.starts_with("not a readable head file: "), "{err}");
}

#[test]
fn a_head_refuses_other_features_and_other_spaces() {
    let head = head();
    let err = head.predict(Array2::<f32>::zeros((1, 5)).view()).unwrap_err().to_string();
    assert_eq!(err, "expected 4 features, got 5");
    assert!(head.check_fingerprint("f", Vec::new).is_ok());
    let err = head.check_fingerprint("g", || vec!["tap: head a, now b".to_owned()]).unwrap_err().to_string();
    assert_eq!(err, "the head was fitted on embeddings of another space: tap: head a, now b");
}

#[test]
fn probabilities_sum_to_one_and_ignore_a_constant_in_the_logits() {
    let mut head = head();
    let (x, _) = relu_features(20, 4, 3, 16);
    let before = head.predict(x.view()).unwrap();
    head.layers[0].bias += 700.0;
    let after = head.predict(x.view()).unwrap();
    for (a, b) in before.outer_iter().zip(after.outer_iter()) {
        assert!((a.sum() - 1.0).abs() < 1e-12);
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}

#[test]
fn metrics_agree_with_naive_counts() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let (n, k) = (200, 4);
    let scores = Array2::from_shape_fn((n, k), |_| rng.random_range(0.01..1.0_f64));
    let scores = &scores / &scores.sum_axis(Axis(1)).insert_axis(Axis(1));
    let truth: Vec<usize> = (0..n).map(|_| rng.random_range(0..3)).collect();
    let labels: Vec<String> = (0..k).map(|it| it.to_string()).collect();
    let report = ClassificationReport::new(scores.view(), &truth, &labels, 1);
    let predicted: Vec<usize> = scores.outer_iter().map(|row| argmax(row.iter().copied())).collect();
    let correct = (0..n).filter(|it| truth[*it] == predicted[*it]).count();
    assert_eq!(report.accuracy, correct as f64 / n as f64);
    let f1 = (0..k).map(|class| {
        let count = |t: bool, p: bool| {
            (0..n).filter(|it| (truth[*it] == class) == t && (predicted[*it] == class) == p).count() as f64
        };
        let (hit, miss, alarm) = (count(true, true), count(true, false), count(false, true));
        2.0 * hit / (2.0 * hit + miss + alarm)
    });
    // Class 3 never occurs but is predicted: its F1 is 0 and counts, as in scikit-learn.
    assert!((report.macro_f1 - f1.sum::<f64>() / k as f64).abs() < 1e-12);
    let log_loss: f64 = (0..n).map(|it| -scores[[it, truth[it]]].ln()).sum::<f64>() / n as f64;
    assert!((report.log_loss - log_loss).abs() < 1e-12);
    assert_eq!(report.confusion.iter().flatten().sum::<u64>(), n as u64);
    assert_eq!(report.majority_accuracy, truth.iter().filter(|it| **it == 1).count() as f64 / n as f64);
}

#[test]
fn regression_metrics_follow_their_formulas() {
    let (predicted, truth) = (array![[1.0], [2.0], [4.0]], array![[1.0], [3.0], [5.0]]);
    let report = RegressionReport::new(predicted.view(), truth.view());
    assert_eq!((report.n_samples, report.mae), (3, 2.0 / 3.0));
    assert!((report.rmse - (2.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert!((report.r2 - (1.0 - 2.0 / 8.0)).abs() < 1e-12);
}

#[test]
fn a_split_is_stratified_seeded_and_keeps_groups_together() {
    let classes: Vec<usize> = (0..200).map(|it| usize::from(it % 10 == 0)).collect();
    let own: Vec<u64> = (0..200).collect();
    let held_out = stratified_split(&classes, &own, 0.2, 1);
    let count = |class: usize| (0..200).filter(|it| held_out[*it] && classes[*it] == class).count();
    assert_eq!((count(0), count(1)), (36, 4));
    assert_eq!(held_out, stratified_split(&classes, &own, 0.2, 1));
    assert_ne!(held_out, stratified_split(&classes, &own, 0.2, 2));
    let groups: Vec<u64> = (0..200).map(|it| it / 8).collect();
    let held_out = stratified_split(&classes, &groups, 0.2, 1);
    for group in held_out.chunks(8) {
        assert!(group.iter().all(|it| *it == group[0]), "a group was torn apart");
    }
    assert!((20..=60).contains(&held_out.iter().filter(|it| **it).count()));
    // A class of one sample stays with the training samples.
    assert_eq!(stratified_split(&[0], &[0], 0.5, 3), [false]);
    assert!(stratified_split(&[], &[], 0.5, 3).is_empty());
    assert!(!stratified_split(&classes, &own, 0.0, 1).contains(&true), "nothing was asked to be held out");
}

/// Where a sample stands in the listing says nothing about it; what it is does.
#[test]
fn a_split_does_not_depend_on_the_order_of_samples_and_hardly_on_new_ones() {
    let classes: Vec<usize> = (0..300).map(|it| it % 3).collect();
    let own: Vec<u64> = (0..300).map(|it| it * it + 7).collect();
    let held_out = stratified_split(&classes, &own, 0.2, 1);
    let reversed = |it: &[usize]| it.iter().rev().copied().collect::<Vec<_>>();
    let own_reversed: Vec<u64> = own.iter().rev().copied().collect();
    let mut again = stratified_split(&reversed(&classes), &own_reversed, 0.2, 1);
    again.reverse();
    assert_eq!(held_out, again);
    let fewer = stratified_split(&classes[..290], &own[..290], 0.2, 1);
    let moved = fewer.iter().zip(&held_out).filter(|(a, b)| a != b).count();
    assert!(moved <= 6, "{moved} of 290 samples changed sides because of 10 new ones");
}

#[test]
fn a_scaler_standardises_and_folds_back() {
    let (x, _) = relu_features(40, 5, 2, 18);
    let scaler = Scaler::fit(x.view());
    let z = scaler.transform(x.view());
    assert!(z.mean_axis(Axis(0)).unwrap().iter().all(|it| it.abs() < 1e-12));
    let (coef, intercept) = (Array2::from_elem((5, 2), 0.3), array![1.0, -1.0]);
    let (folded, folded_intercept) = scaler.fold(&coef, &intercept);
    let difference = (z.dot(&coef) + &intercept) - (x.dot(&folded) + &folded_intercept);
    assert!(difference.iter().all(|it| it.abs() < 1e-10));
}

#[test]
fn heads_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<HeadModel>();
    check::<HeadError>();
    check::<LogisticFit>();
    check::<Ridge>();
}
