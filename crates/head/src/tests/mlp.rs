//! Losses against finite differences, the hidden layer against what it must be able to do.

use ndarray::{Array2, array};

use super::*;

#[test]
fn gradients_of_named_losses_are_those_of_finite_differences() {
    let activations = [Activation::Softmax, Activation::Sigmoid, Activation::Identity];
    let points = [([0.3, -1.2, 2.0], [0.0, 1.0, 0.0]), ([-4.0, 3.0, 0.1], [1.0, 0.0, 0.0])];
    let mut n_checked = 0;
    for name in ["cross-entropy", "focal", "squared", "huber"] {
        let name: LossName = name.parse().unwrap();
        for activation in activations {
            let Ok(loss) = name.of(activation) else {
                assert_eq!(activation, Activation::Identity, "{name}");
                continue;
            };
            for (outputs, target) in points {
                let mut gradient = [0.0; 3];
                loss.value_and_gradient(&outputs, &target, &mut gradient);
                for (index, slope) in gradient.iter().enumerate() {
                    let at = |step: f64| {
                        let mut moved = outputs;
                        moved[index] += step;
                        loss.value_and_gradient(&moved, &target, &mut [0.0; 3])
                    };
                    let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
                    // Central differences of step h are off by h² and by rounding over h.
                    assert!((slope - expected).abs() < 1e-8, "{name} {activation:?}: {slope} {expected}");
                    n_checked += 1;
                }
            }
        }
    }
    assert_eq!(n_checked, 10 * 6);
}

#[test]
fn named_losses_have_their_textbook_values() {
    let value = |name: LossName, activation, outputs: &[f64], target: &[f64]| {
        name.of(activation).unwrap().value_and_gradient(outputs, target, &mut vec![0.0; outputs.len()])
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    // ln 4 and ln 1: probabilities 0.8 and 0.2.
    let outputs = [4.0_f64.ln(), 0.0];
    close(value(LossName::CrossEntropy, Activation::Softmax, &outputs, &[0.0, 1.0]), -0.2_f64.ln());
    close(value(LossName::Focal, Activation::Softmax, &outputs, &[0.0, 1.0]), -0.64 * 0.2_f64.ln());
    close(value(LossName::Squared, Activation::Softmax, &outputs, &[0.0, 1.0]), 0.64);
    let both = -0.8_f64.ln() - 0.5_f64.ln();
    close(value(LossName::CrossEntropy, Activation::Sigmoid, &outputs, &[1.0, 0.0]), both);
    close(value(LossName::Huber, Activation::Identity, &[0.5, -3.0], &[0.0, 0.0]), 0.125 + 2.5);
    // Far out, nothing overflows.
    close(value(LossName::CrossEntropy, Activation::Sigmoid, &[800.0], &[0.0]), 800.0);
    assert!("mse".parse::<LossName>().unwrap_err().contains("cross-entropy, focal, squared, huber"));
    assert!(LossName::Focal.of(Activation::Identity).is_err());
}

/// Samples in a ring around others: no line tells them apart.
fn ring(n: usize) -> (Array2<f32>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let y: Vec<usize> = (0..n).map(|it| it % 2).collect();
    let mut x = Array2::zeros((n, 2));
    for (row, class) in y.iter().enumerate() {
        let (angle, radius) =
            (rng.random_range(0.0..std::f32::consts::TAU), *class as f32 + rng.random_range(0.0..0.6));
        x[[row, 0]] = 100.0 + 30.0 * radius * angle.cos();
        x[[row, 1]] = -0.02 + 0.001 * radius * angle.sin();
    }
    (x, y)
}

fn trained(x: &Array2<f32>, y: &[usize], config: &MlpConfig) -> MlpFit {
    let validation: Vec<bool> = (0..y.len()).map(|it| it % 5 == 0).collect();
    let targets = one_hot(y, 2);
    let samples = MlpSamples { x: x.view(), targets: targets.view(), weights: None, validation: &validation };
    let loss = LossName::CrossEntropy.of(Activation::Softmax).unwrap();
    fit_mlp(&samples, Activation::Softmax, &loss, config, &mut |_| ()).unwrap()
}

fn accuracy(fit: &MlpFit, x: &Array2<f32>, y: &[usize]) -> f64 {
    let head = HeadModel { layers: fit.layers.to_vec(), ..head() };
    let scores = head.predict(x.view()).unwrap();
    let hits = scores.outer_iter().zip(y).filter(|(row, class)| argmax(row.iter().copied()) == **class);
    hits.count() as f64 / y.len() as f64
}

#[test]
fn a_hidden_layer_fits_what_no_linear_head_can() {
    let (x, y) = ring(400);
    let fit = trained(&x, &y, &MlpConfig::default());
    let linear = fit_logistic(x.view(), &y, 2, None, &config(0.01)).unwrap();
    let logits = x.mapv(f64::from).dot(&linear.coef) + &linear.intercept;
    let hits = logits.outer_iter().zip(&y).filter(|(row, class)| argmax(row.iter().copied()) == **class);
    assert!((hits.count() as f64) < 0.65 * 400.0);
    assert!(accuracy(&fit, &x, &y) > 0.97, "{}", accuracy(&fit, &x, &y));
    // What early stopping kept is the best epoch of those it saw.
    let losses: Vec<f64> = fit.history.iter().filter_map(|it| it.validation_loss).collect();
    assert_eq!(losses.len(), fit.history.len());
    let lowest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[fit.best_epoch - 1], lowest);
}

#[test]
fn training_is_the_same_whatever_the_threads_and_another_with_another_seed() {
    let (x, y) = ring(200);
    let config = MlpConfig { max_epochs: 3, ..MlpConfig::default() };
    let with_threads = |n: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| trained(&x, &y, &config))
    };
    let fit = with_threads(1);
    assert_eq!(fit, with_threads(3));
    assert_ne!(fit, trained(&x, &y, &MlpConfig { seed: 1, ..config }));
}

#[test]
fn numbers_and_labels_can_be_trained_too() {
    let x = Array2::from_shape_fn((256, 2), |(row, column)| ((row * (3 + 4 * column)) % 17) as f32 / 17.0);
    let square = x.column(0).mapv(|it| f64::from(it).powi(2)).insert_axis(Axis(1));
    let samples =
        MlpSamples { x: x.view(), targets: square.view(), weights: None, validation: &[false; 256] };
    let huber = LossName::Huber.of(Activation::Identity).unwrap();
    let config = MlpConfig { dropout: 0.0, ..MlpConfig::default() };
    let mut n_reported = 0;
    let fit = fit_mlp(&samples, Activation::Identity, &huber, &config, &mut |_| n_reported += 1).unwrap();
    assert_eq!(n_reported, config.max_epochs);
    assert_eq!(fit.history.last().unwrap().accuracy, None);
    // The variance of the targets is 0.09.
    assert!(fit.history.last().unwrap().loss < 1e-4, "{:?}", fit.history.last());

    let labels = Array2::from_shape_fn((256, 2), |(row, label)| f64::from(u8::from(x[[row, label]] > 0.5)));
    let samples = MlpSamples { targets: labels.view(), ..samples };
    let loss = LossName::Focal.of(Activation::Sigmoid).unwrap();
    let fit = fit_mlp(&samples, Activation::Sigmoid, &loss, &config, &mut |_| ()).unwrap();
    assert!(fit.history.last().unwrap().accuracy > Some(0.99));
}

#[test]
fn training_refuses_what_it_cannot_use() {
    let (x, targets) = (array![[0.0_f32], [1.0]], array![[1.0, 0.0], [0.0, 1.0]]);
    let samples = MlpSamples { x: x.view(), targets: targets.view(), weights: None, validation: &[false; 2] };
    let loss = LossName::CrossEntropy.of(Activation::Softmax).unwrap();
    let fit = |samples: &MlpSamples<'_, f32>, config: &MlpConfig| {
        fit_mlp(samples, Activation::Softmax, &loss, config, &mut |_| ()).unwrap_err().to_string()
    };
    let short = MlpConfig { max_epochs: 1, ..MlpConfig::default() };
    assert!(fit(&MlpSamples { validation: &[true; 2], ..samples }, &short).contains("no samples"));
    assert!(fit(&MlpSamples { validation: &[true; 3], ..samples }, &short).contains("3 targets"));
    assert!(fit(&samples, &MlpConfig { dropout: 1.0, ..short }).contains("dropout"));
    assert!(fit(&samples, &MlpConfig { learning_rate: f64::NAN, ..short }).contains("learning rate"));
    let wild = MlpConfig { learning_rate: 1e38, max_epochs: 20, ..short };
    assert!(fit(&samples, &wild).contains("diverged"));
    let x = array![[0.0_f32], [f32::NAN]];
    assert!(fit(&MlpSamples { x: x.view(), ..samples }, &short).contains("sample 1 is not finite"));
}
