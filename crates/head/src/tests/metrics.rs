//! Metrics, baselines, splits and weights against naive loops.

use super::*;

/// Nine of ten samples are of class 0, one feature that says nothing: balanced weights make the classes
/// even, and the correction gives back the shares.
#[test]
fn balanced_weights_count_classes_alike_and_the_prior_comes_back() {
    let y: Vec<usize> = (0..200).map(|it| usize::from(it % 10 == 0)).collect();
    let x = Array2::from_shape_fn((200, 1), |(i, _)| (i / 10 % 2) as f64);
    let by_class = balanced_weights(&y, 2);
    let weights: Vec<f64> = y.iter().map(|it| by_class[*it]).collect();
    assert!((weights.iter().sum::<f64>() - 200.0).abs() < 1e-9);
    let fit = fit_logistic(x.view(), &y, 2, Some(&weights), &tight(1.0)).unwrap();
    let odds = (fit.intercept[1] - fit.intercept[0]).exp();
    assert!((odds - 1.0).abs() < 1e-6);
    let mut probabilities = [1.0 / (1.0 + odds), odds / (1.0 + odds)];
    correct_prior(&mut probabilities, &[0.9, 0.1]);
    assert!((probabilities[1] - 0.1).abs() < 1e-6, "{probabilities:?}");
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
fn metrics_agree_with_naive_counts() {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let (n, k) = (200, 4);
    let scores = Array2::from_shape_fn((n, k), |_| rng.random_range(0.01..1.0_f64));
    let scores = &scores / &scores.sum_axis(Axis(1)).insert_axis(Axis(1));
    let truth: Vec<usize> = (0..n).map(|_| rng.random_range(0..3)).collect();
    let labels: Vec<String> = (0..k).map(|it| it.to_string()).collect();
    let report = ClassificationReport::new(scores.view(), &truth, &labels, 1).unwrap();
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
    let report = RegressionReport::new(predicted.view(), truth.view()).unwrap();
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
fn reports_refuse_scores_and_truths_that_do_not_fit() {
    let scores = array![[0.4, 0.6], [0.7, 0.3]];
    let labels = ["a", "b"].map(str::to_owned);
    let classes = |truth: &[usize], labels: &[String]| {
        ClassificationReport::new(scores.view(), truth, labels, 0).unwrap_err().to_string()
    };
    assert_eq!(classes(&[0], &labels), "x has 2 samples but y has 1 targets");
    assert_eq!(classes(&[0, 2], &labels), "sample 1 has class 2, but there are 2 classes");
    assert_eq!(classes(&[0, 0], &labels[..1]), "expected 1 classes or targets, got 2");
    let numbers =
        |truth: Array2<f64>| RegressionReport::new(scores.view(), truth.view()).unwrap_err().to_string();
    assert_eq!(numbers(array![[1.0, 2.0]]), "x has 2 samples but y has 1 targets");
    assert_eq!(numbers(array![[1.0], [2.0]]), "expected 1 classes or targets, got 2");
    let several = |labels: &[String], thresholds: &[f64]| {
        MultilabelReport::new(scores.view(), scores.view(), labels, thresholds).unwrap_err().to_string()
    };
    assert_eq!(several(&labels[..1], &[0.5; 2]), "expected 2 classes or targets, got 1");
    assert_eq!(several(&labels, &[0.5]), "expected 2 classes or targets, got 1");
}

/// What a report counts as right is what is decided for a user.
#[test]
fn reports_judge_by_the_rule_that_decides() {
    let mut rng = ChaCha8Rng::seed_from_u64(41);
    // Few levels, so that there are ties, and probabilities that are a threshold exactly.
    let scores = Array2::from_shape_fn((300, 3), |_| f64::from(rng.random_range(0..5_u8)) / 4.0);
    let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
    let truth: Vec<usize> = (0..300).map(|it| it % 3).collect();
    let classes = Outputs { task: Task::Classification, labels: labels.clone(), ..Outputs::default() };
    let decided = classes.decide(scores.view());
    let report = ClassificationReport::new(scores.view(), &truth, &labels, 0).unwrap();
    let hits = decided.iter().zip(&truth).filter(|(it, class)| it.given == [**class]).count();
    assert_eq!(report.accuracy, hits as f64 / 300.0);
    let thresholds = vec![0.25, 0.5, 0.75];
    let has = Array2::from_shape_fn((300, 3), |(row, label)| f64::from(u8::from((row + label) % 2 == 0)));
    let report = MultilabelReport::new(scores.view(), has.view(), &labels, &thresholds).unwrap();
    let several = Outputs { task: Task::Multilabel, labels, thresholds, ..Outputs::default() };
    let exact = several
        .decide(scores.view())
        .into_iter()
        .zip(has.outer_iter())
        .filter(|(it, has)| (0..3).all(|label| it.given.contains(&label) == (has[label] > 0.5)));
    assert_eq!(report.exact_match, exact.count() as f64 / 300.0);
}
