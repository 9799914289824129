//! Several labels a sample: against fits one by one, naive counts, and a search over all thresholds.

use ndarray::{Array2, array};

use super::*;

/// Features, and labels that depend on them; the last label is rare.
fn labelled(n: usize) -> (Array2<f64>, Vec<Vec<usize>>) {
    let (x, classes) = relu_features(n, 12, 5, 40);
    let labels = [[0, 1, 2], [1, 3, 3], [2, 2, 4], [4, 4, 4]];
    let of = |label: &[usize; 3]| classes.iter().map(|it| usize::from(label.contains(it))).collect();
    (x, labels.iter().map(of).collect())
}

fn folds_of(n: usize) -> Vec<usize> {
    stratified_folds(&vec![0; n], &(0..n as u64).collect::<Vec<_>>(), 4, 1)
}

#[test]
fn every_label_gets_the_fit_it_would_get_alone() {
    let (x, labels) = labelled(90);
    let view = x.view();
    let samples = OneVsRest::new(&view, &labels, None, true).unwrap();
    let config = LogisticConfig { standardize: true, ..tight(0.5) };
    let fit = samples.fit(&config).unwrap();
    let mut objective = 0.0;
    for (label, y) in labels.iter().enumerate() {
        let alone = fit_logistic(x.view(), y, 2, None, &config).unwrap();
        let coef = &alone.coef.column(1) - &alone.coef.column(0);
        assert_eq!(fit.coef.column(label), coef);
        assert_eq!(fit.intercept[label], alone.intercept[1] - alone.intercept[0]);
        objective += alone.certificate.objective;
    }
    assert_eq!(fit.certificate.objective, objective);
    // From its own solution, one label forgotten, less is left to do.
    let mut start = fit.clone();
    start.coef.column_mut(3).fill(0.0);
    start.intercept[3] = 0.0;
    let warm = samples.fit_from(&start, &config).unwrap();
    assert!(warm.certificate.n_iterations < fit.certificate.n_iterations);
    assert!((&warm.coef - &fit.coef).iter().all(|it| it.abs() < 1e-6));
}

#[test]
fn the_path_of_labels_is_the_mean_of_theirs() {
    let (x, labels) = labelled(80);
    let view = x.view();
    let (folds, alphas) = (folds_of(80), [10.0, 0.1, 1.0]);
    let path = OneVsRest::new(&view, &labels, None, true).unwrap().cross_validate(&folds, &alphas).unwrap();
    assert_eq!(path.alphas, [10.0, 1.0, 0.1]);
    for (index, mean) in path.mean_loss.iter().enumerate() {
        let of_label = |y: &Vec<usize>| {
            let samples = Logistic::new(&view, y, 2, None, true).unwrap();
            samples.cross_validate(&folds, &alphas).unwrap().mean_loss[index]
        };
        let expected = labels.iter().map(of_label).sum::<f64>() / labels.len() as f64;
        assert!((mean - expected).abs() < 1e-12, "{mean} {expected}");
    }
}

#[test]
fn out_of_fold_predictions_are_those_of_fits_without_the_fold() {
    let (x, labels) = labelled(60);
    let view = x.view();
    let folds = folds_of(60);
    let samples = OneVsRest::new(&view, &labels, None, false).unwrap();
    let probabilities = samples.out_of_fold(&folds, 1.0).unwrap();
    let mut n_compared = 0;
    for fold in 0..4 {
        let train: Vec<usize> = (0..60).filter(|it| folds[*it] != fold).collect();
        let y: Vec<usize> = train.iter().map(|it| labels[1][*it]).collect();
        let fit = fit_logistic(x.select(Axis(0), &train).view(), &y, 2, None, &tight(1.0)).unwrap();
        for sample in (0..60).filter(|it| folds[*it] == fold) {
            let logits = x.row(sample).dot(&fit.coef) + &fit.intercept;
            let expected = 1.0 / (1.0 + (logits[0] - logits[1]).exp());
            // The path's fits stop when what is left to gain no longer shows.
            assert!((probabilities[[sample, 1]] - expected).abs() < 2e-2, "{sample}");
            n_compared += 1;
        }
    }
    assert_eq!(n_compared, 60);
}

#[test]
fn labels_that_cannot_be_told_are_refused() {
    let x = array![[0.0], [1.0]];
    let view = x.view();
    let refused =
        |labels: &[Vec<usize>]| OneVsRest::new(&view, labels, None, false).err().unwrap().to_string();
    assert!(refused(&[]).contains("found 0"));
    assert!(refused(&[vec![0, 1], vec![1, 1]]).contains("at least 2 classes, found 1"));
    assert!(refused(&[vec![0, 1], vec![1]]).contains("1 targets"));
    assert!(refused(&[vec![0, 2]]).contains("class 2"));
}

#[test]
fn thresholds_are_the_best_of_all_that_could_be() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let p = Array2::from_shape_fn((50, 6), |_| f64::from(rng.random_range(0..20_u8)) / 20.0);
    let mut truth =
        Array2::from_shape_fn((50, 6), |at| f64::from(u8::from(p[at] > rng.random_range(0.0..1.0))));
    truth.column_mut(5).fill(0.0);
    let names: Vec<String> = (0..6).map(|it| it.to_string()).collect();
    let thresholds = f1_thresholds(p.view(), truth.view(), 1);
    let f1 = |thresholds: &[f64]| -> Vec<f64> {
        let report = MultilabelReport::new(p.view(), truth.view(), &names, thresholds).unwrap();
        report.labels.iter().map(|it| it.f1).collect()
    };
    let found = f1(&thresholds);
    for step in 0..=40 {
        let others = f1(&[f64::from(step) / 40.0 - 1e-9; 6]);
        assert!(found.iter().zip(others).all(|(found, other)| *found >= other));
    }
    assert_eq!(thresholds[5], 0.5);
    assert!(found[..5].iter().all(|it| *it > 0.5), "{found:?}");
}

#[test]
fn label_scores_follow_from_counts() {
    let p = array![[0.9, 0.2], [0.8, 0.6], [0.3, 0.7], [0.1, 0.1]];
    let truth = array![[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]];
    let names = ["a".to_owned(), "b".to_owned()];
    let report = MultilabelReport::new(p.view(), truth.view(), &names, &[0.5, 0.65]).unwrap();
    let a = &report.labels[0];
    assert_eq!((a.support, a.precision, a.recall, a.f1), (2, 0.5, 0.5, 0.5));
    // Hits at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert!((a.average_precision.unwrap() - 5.0 / 6.0).abs() < 1e-12);
    let b = &report.labels[1];
    assert_eq!((b.support, b.precision, b.recall, b.f1, b.average_precision), (0, 0.0, 0.0, 0.0, None));
    // Given: a, a, b; right: one; had: two.
    assert_eq!(report.micro_f1, 2.0 / 5.0);
    assert_eq!((report.macro_f1, report.exact_match), (0.25, 0.5));
    let all = [0.9, 0.8, 0.2, 0.4, 0.3, 0.3, 0.9, 0.9_f64];
    let expected = -all.iter().map(|it| it.ln()).sum::<f64>() / 8.0;
    assert!((report.log_loss - expected).abs() < 1e-12);
}
