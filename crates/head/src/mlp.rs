//! A head with one hidden layer, for what no linear head can fit.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::feature::{Feature, check_features, check_weights};
use crate::head::{Activation, DenseLayer};
use crate::loss::Loss;
use crate::metrics::argmax;
use crate::scaler::Scaler;

/// Settings of [`fit_mlp`]; names are those of Keras and of scikit-learn's `MLPClassifier`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Units of the hidden layer. Default 256.
    pub hidden: usize,
    /// Share of hidden units left out of each step. Default 0.5.
    pub dropout: f64,
    /// Adam's step. Default 1e-3.
    pub learning_rate: f64,
    /// Samples a step. Default 64.
    pub batch_size: usize,
    /// Epochs after which training ends. Default 200.
    pub max_epochs: usize,
    /// Epochs without a lower validation loss after which it ends before. Default 10.
    pub patience: usize,
    /// Seed of the weights, the order of the samples and the units left out. Default 0.
    pub seed: u64,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self {
            hidden: 256,
            dropout: 0.5,
            learning_rate: 1e-3,
            batch_size: 64,
            max_epochs: 200,
            patience: 10,
            seed: 0,
        }
    }
}

/// What an epoch came to, units left out in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean loss of the training samples, while they were trained on.
    pub loss: f64,
    /// Share of classes, or of labels, that were right; none for numbers.
    pub accuracy: Option<f64>,
    /// Mean loss of the validation samples after the epoch, where there are any.
    pub validation_loss: Option<f64>,
    /// Their accuracy.
    pub validation_accuracy: Option<f64>,
}

/// A trained head with one hidden layer.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpFit {
    /// The hidden layer and the last, for features as they came.
    pub layers: [DenseLayer; 2],
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// The epoch whose weights were kept.
    pub best_epoch: usize,
}

/// Samples of an [`fit_mlp`].
#[derive(Debug, Clone, Copy)]
pub struct MlpSamples<'a, A> {
    /// `(n_samples, n_features)`, finite.
    pub x: ArrayView2<'a, A>,
    /// `(n_samples, n_outputs)`: one-hot classes, labels as 0 and 1, or numbers.
    pub targets: ArrayView2<'a, f64>,
    /// `(n_samples,)`, how much each counts; `None` counts all alike.
    pub weights: Option<&'a [f64]>,
    /// `(n_samples,)`, true for samples that early stopping listens to instead of being trained on;
    /// without any, all epochs are trained and the last weights are kept.
    pub validation: &'a [bool],
}

/// Trains `Dense(hidden) + ReLU + dropout + Dense(n_outputs) + activation` by Adam.
///
/// Features are standardised, which is folded into the first layer; so are targets that are numbers, into the
/// last, and the losses of the history are in units of their deviation. The weights of the epoch with the
/// lowest validation loss are kept. There is no certificate: the problem has many minima.
///
/// # Errors
/// [`HeadError::SampleCountMismatch`], [`HeadError::NoSamples`], [`HeadError::NonFinite`],
/// [`HeadError::NonFiniteTarget`], [`HeadError::InvalidWeight`]; [`HeadError::InvalidMlp`] for settings
/// that cannot be meant; [`HeadError::Diverged`] when the loss is not finite any more.
///
/// # Determinism
/// The same input and seed give the same bits, whatever the number of threads.
///
/// # Source
/// Adam: Kingma & Ba 2015 (arXiv:1412.6980). Dropout: Srivastava et al. 2014. First weights: He et al.
/// 2015 (arXiv:1502.01852) for the hidden layer, Glorot & Bengio 2010 for the last.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), headstart_head::HeadError> {
/// use headstart_head::{Activation, LossName, MlpConfig, MlpSamples, fit_mlp, one_hot};
/// use ndarray::Array2;
///
/// // Exclusive or, which no linear head can fit.
/// let x = Array2::from_shape_fn((64, 2), |(row, column)| ((row >> column) & 1) as f32);
/// let y: Vec<usize> = (0..64).map(|row| (row ^ (row >> 1)) & 1).collect();
/// let targets = one_hot(&y, 2);
/// let samples =
///     MlpSamples { x: x.view(), targets: targets.view(), weights: None, validation: &[false; 64] };
/// let loss = LossName::CrossEntropy.of(Activation::Softmax)?;
/// let fit = fit_mlp(&samples, Activation::Softmax, &loss, &MlpConfig::default(), &mut |_| ())?;
/// assert!(fit.history.last().unwrap().accuracy > Some(0.99));
/// # Ok(())
/// # }
/// ```
pub fn fit_mlp<A: Feature>(
    samples: &MlpSamples<'_, A>,
    activation: Activation,
    loss: &dyn Loss,
    config: &MlpConfig,
    on_epoch: &mut dyn FnMut(&Epoch),
) -> Result<MlpFit, HeadError> {
    check(samples, config)?;
    let is_validation = |row: &usize| samples.validation[*row];
    let (validation, mut train): (Vec<usize>, Vec<usize>) =
        (0..samples.x.nrows()).partition(|row| is_validation(row));
    if train.is_empty() {
        return Err(HeadError::NoSamples);
    }
    let scaler = Scaler::fit(samples.x.select(ndarray::Axis(0), &train).view());
    #[expect(clippy::cast_possible_truncation, reason = "training computes in f32")]
    let x = scaler.transform(samples.x).mapv(|it| it as f32);
    // Numbers are learnt in units of their deviation: a step of Adam is as long for prices as for ratios.
    let of_targets = (activation == Activation::Identity)
        .then(|| Scaler::fit(samples.targets.select(ndarray::Axis(0), &train).view()));
    let targets = match &of_targets {
        Some(scaler) => scaler.transform(samples.targets),
        None => samples.targets.to_owned(),
    };
    let data = Data { x, targets, weights: samples.weights, activation, loss };
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut network = Network::new(data.x.ncols(), config.hidden, data.targets.ncols(), &mut rng);
    let mut adam = Adam::new(network.parameters.len(), config.learning_rate);
    let (mut best, mut best_epoch, mut lowest) = (Vec::new(), 0, f64::INFINITY);
    let mut history: Vec<Epoch> = Vec::new();
    for epoch in 1..=config.max_epochs {
        shuffle(&mut train, &mut rng);
        let trained = train
            .chunks(config.batch_size)
            .map(|rows| {
                let mask = dropout_mask(rows.len() * config.hidden, config.dropout, &mut rng);
                let (score, gradient) = network.gradient(&data, rows, &mask);
                adam.step(&mut network.parameters, &gradient);
                score
            })
            .fold(Score::default(), Score::plus);
        let judged = network.judge(&data, &validation);
        let record = Epoch {
            epoch,
            loss: trained.mean_loss(),
            accuracy: trained.accuracy(activation),
            validation_loss: judged.map(|it| it.mean_loss()),
            validation_accuracy: judged.and_then(|it| it.accuracy(activation)),
        };
        let watched = record.validation_loss.unwrap_or(record.loss);
        if !(watched.is_finite() && record.loss.is_finite()) {
            return Err(HeadError::Diverged { epoch });
        }
        on_epoch(&record);
        history.push(record);
        if validation.is_empty() || watched < lowest {
            (lowest, best_epoch) = (watched, epoch);
            best.clone_from(&network.parameters);
        } else if epoch - best_epoch >= config.patience {
            break;
        }
    }
    network.parameters = best;
    let [hidden, last] = network.layers();
    let (weight, bias) = scaler.fold(&hidden.0, &hidden.1);
    let last = match &of_targets {
        Some(scaler) => scaler.unscale(&last.0, &last.1),
        None => last,
    };
    Ok(MlpFit {
        layers: [
            DenseLayer { weight, bias, activation: Activation::Relu },
            DenseLayer { weight: last.0, bias: last.1, activation },
        ],
        history,
        best_epoch,
    })
}

/// What is trained on, in the units it is trained in.
struct Data<'a> {
    x: Array2<f32>,
    targets: Array2<f64>,
    weights: Option<&'a [f64]>,
    activation: Activation,
    loss: &'a dyn Loss,
}

/// Sums over samples.
#[derive(Clone, Copy, Default)]
struct Score {
    loss: f64,
    weight: f64,
    hits: f64,
    judged: f64,
}

impl Score {
    fn plus(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            weight: self.weight + other.weight,
            hits: self.hits + other.hits,
            judged: self.judged + other.judged,
        }
    }

    fn mean_loss(&self) -> f64 {
        if self.weight > 0.0 { self.loss / self.weight } else { self.loss }
    }

    fn accuracy(&self, activation: Activation) -> Option<f64> {
        (activation != Activation::Identity).then(|| self.hits / self.judged)
    }

    fn add_hits(&mut self, outputs: &[f64], target: &[f64], activation: Activation) {
        if activation == Activation::Sigmoid {
            let right = outputs.iter().zip(target).filter(|(z, target)| (**z > 0.0) == (**target > 0.5));
            self.hits += right.count() as f64;
            self.judged += outputs.len() as f64;
        } else {
            let best = |values: &[f64]| argmax(values.iter().copied());
            self.hits += if best(outputs) == best(target) { 1.0 } else { 0.0 };
            self.judged += 1.0;
        }
    }
}

/// Two layers; weights row-major, `(n_inputs, n_outputs)`, each followed by its bias.
struct Network {
    sizes: [usize; 3],
    parameters: Vec<f32>,
}

impl Network {
    #[expect(clippy::cast_possible_truncation, reason = "random numbers")]
    fn new(n_features: usize, hidden: usize, n_outputs: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut parameters = Vec::new();
        // Uniform, of the variance each of the sources asks for.
        let he = (6.0 / n_features as f64).sqrt() as f32;
        let glorot = (6.0 / (hidden + n_outputs) as f64).sqrt() as f32;
        parameters.extend((0..n_features * hidden).map(|_| rng.random_range(-he..he)));
        parameters.extend(std::iter::repeat_n(0.0, hidden));
        parameters.extend((0..hidden * n_outputs).map(|_| rng.random_range(-glorot..glorot)));
        parameters.extend(std::iter::repeat_n(0.0, n_outputs));
        Self { sizes: [n_features, hidden, n_outputs], parameters }
    }

    /// Ranges of the weights and biases of both layers.
    fn ranges(&self) -> [std::ops::Range<usize>; 4] {
        let [n_features, hidden, n_outputs] = self.sizes;
        let mut end = 0;
        [n_features * hidden, hidden, hidden * n_outputs, n_outputs].map(|length| {
            end += length;
            end - length..end
        })
    }

    fn layers(&self) -> [(Array2<f64>, Array1<f64>); 2] {
        let [w1, b1, w2, b2] = self.ranges();
        let layer = |weight, bias: std::ops::Range<usize>, n_inputs: usize| {
            let weight: &[f32] = &self.parameters[weight];
            let shape = (n_inputs, bias.len());
            let weight = Array2::from_shape_fn(shape, |(i, j)| f64::from(weight[i * shape.1 + j]));
            (weight, self.parameters[bias].iter().map(|it| f64::from(*it)).collect())
        };
        [layer(w1, b1, self.sizes[0]), layer(w2, b2, self.sizes[1])]
    }

    /// Hidden units after ReLU and the outputs of some rows.
    fn forward(&self, x: &[f32], n_rows: usize, keep: impl FnMut(&mut f32)) -> (Vec<f32>, Vec<f32>) {
        let [n_features, n_hidden, n_outputs] = self.sizes;
        let [w1, b1, w2, b2] = self.ranges();
        let mut hidden = self.parameters[b1].repeat(n_rows);
        add_product(&mut hidden, [n_rows, n_features, n_hidden], x, &self.parameters[w1]);
        hidden.iter_mut().for_each(|it| *it = it.max(0.0));
        hidden.iter_mut().for_each(keep);
        let mut outputs = self.parameters[b2].repeat(n_rows);
        add_product(&mut outputs, [n_rows, n_hidden, n_outputs], &hidden, &self.parameters[w2]);
        (hidden, outputs)
    }

    /// Sums over some rows, and the gradient of their mean loss; `mask` multiplies the hidden units.
    #[expect(clippy::cast_possible_truncation, reason = "training computes in f32")]
    fn gradient(&self, data: &Data<'_>, rows: &[usize], mask: &[f32]) -> (Score, Vec<f32>) {
        let [n_features, n_hidden, n_outputs] = self.sizes;
        let [w1, b1, w2, b2] = self.ranges();
        let x: Vec<f32> = rows.iter().flat_map(|row| data.x.row(*row).to_vec()).collect();
        let mut factors = mask.iter();
        let (hidden, outputs) =
            self.forward(&x, rows.len(), |it| *it *= factors.next().copied().unwrap_or(1.0));
        let mut slopes = vec![0.0; outputs.len()];
        let score = data.score(rows, &outputs, &mut slopes);
        let slopes: Vec<f32> = slopes.iter().map(|it| (it / rows.len() as f64) as f32).collect();
        let mut of_hidden = vec![0.0; hidden.len()];
        let weight = MatRef::from_row_major_slice(&self.parameters[w2.clone()], n_hidden, n_outputs);
        product(
            &mut of_hidden,
            [rows.len(), n_hidden],
            MatRef::from_row_major_slice(&slopes, rows.len(), n_outputs),
            weight.transpose(),
        );
        for ((slope, unit), factor) in of_hidden.iter_mut().zip(&hidden).zip(mask) {
            *slope *= if *unit > 0.0 { *factor } else { 0.0 };
        }
        let mut gradient = vec![0.0; self.parameters.len()];
        let transposed = |rows_of: &[f32], n_columns: usize, slopes: &[f32], out: &mut [f32]| {
            let rows_of = MatRef::from_row_major_slice(rows_of, rows.len(), n_columns);
            let width = slopes.len() / rows.len();
            let slopes = MatRef::from_row_major_slice(slopes, rows.len(), width);
            product(out, [n_columns, width], rows_of.transpose(), slopes);
        };
        transposed(&x, n_features, &of_hidden, &mut gradient[w1]);
        add_rows(&mut gradient[b1], &of_hidden);
        transposed(&hidden, n_hidden, &slopes, &mut gradient[w2]);
        add_rows(&mut gradient[b2], &slopes);
        (score, gradient)
    }

    /// Scores of some rows, all units in use; `None` without rows.
    fn judge(&self, data: &Data<'_>, rows: &[usize]) -> Option<Score> {
        let scores = rows.chunks(1024).map(|rows| {
            let x: Vec<f32> = rows.iter().flat_map(|row| data.x.row(*row).to_vec()).collect();
            let (_, outputs) = self.forward(&x, rows.len(), |_| ());
            data.score(rows, &outputs, &mut vec![0.0; outputs.len()])
        });
        scores.reduce(Score::plus)
    }
}

impl Data<'_> {
    /// Loss and hits of some rows; the gradients with respect to their outputs go to `slopes`.
    fn score(&self, rows: &[usize], outputs: &[f32], slopes: &mut [f64]) -> Score {
        let n_outputs = self.targets.ncols();
        let mut score = Score::default();
        let by_row = outputs.chunks_exact(n_outputs).zip(slopes.chunks_exact_mut(n_outputs));
        for (row, (outputs, slopes)) in rows.iter().zip(by_row) {
            let outputs: Vec<f64> = outputs.iter().map(|it| f64::from(*it)).collect();
            let target = self.targets.row(*row).to_vec();
            let weight = self.weights.map_or(1.0, |it| it[*row]);
            score.loss += weight * self.loss.value_and_gradient(&outputs, &target, slopes);
            score.weight += weight;
            slopes.iter_mut().for_each(|it| *it *= weight);
            score.add_hits(&outputs, &target, self.activation);
        }
        score
    }
}

/// Adam with the constants of its paper.
struct Adam {
    learning_rate: f64,
    mean: Vec<f32>,
    square: Vec<f32>,
    n_steps: i32,
}

impl Adam {
    fn new(n_parameters: usize, learning_rate: f64) -> Self {
        Self { learning_rate, mean: vec![0.0; n_parameters], square: vec![0.0; n_parameters], n_steps: 0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "training computes in f32")]
    fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) {
        const DECAYS: [f32; 2] = [0.9, 0.999];
        self.n_steps += 1;
        let [first, second] = DECAYS.map(|it| 1.0 - f64::from(it).powi(self.n_steps));
        let rate = (self.learning_rate * second.sqrt() / first) as f32;
        let floor = (1e-8 * second.sqrt()) as f32;
        let state = self.mean.iter_mut().zip(&mut self.square);
        for ((parameter, slope), (mean, square)) in parameters.iter_mut().zip(gradient).zip(state) {
            *mean += (1.0 - DECAYS[0]) * (slope - *mean);
            *square += (1.0 - DECAYS[1]) * (slope * slope - *square);
            *parameter -= rate * *mean / (square.sqrt() + floor);
        }
    }
}

/// `out += a·b` for row-major `(m, k)` and `(k, n)`.
fn add_product(out: &mut [f32], [m, k, n]: [usize; 3], a: &[f32], b: &[f32]) {
    let (a, b) = (MatRef::from_row_major_slice(a, m, k), MatRef::from_row_major_slice(b, k, n));
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Add, a, b, 1.0, Par::rayon(0));
}

/// `out = a·b`, `out` row-major.
fn product(out: &mut [f32], [m, n]: [usize; 2], a: MatRef<'_, f32>, b: MatRef<'_, f32>) {
    matmul(MatMut::from_row_major_slice_mut(out, m, n), Accum::Replace, a, b, 1.0, Par::rayon(0));
}

/// Adds up rows.
fn add_rows(sum: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(a, b)| *a += b);
    }
}

/// Zero for units that are left out. Those that stay are scaled up, so that nothing is to be done when the
/// head is used.
#[expect(clippy::cast_possible_truncation, reason = "a factor")]
fn dropout_mask(n_units: usize, dropout: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let kept = (1.0 / (1.0 - dropout)) as f32;
    if dropout <= 0.0 {
        return vec![1.0; n_units];
    }
    (0..n_units).map(|_| if rng.random_range(0.0..1.0) < dropout { 0.0 } else { kept }).collect()
}

/// Fisher–Yates.
fn shuffle(rows: &mut [usize], rng: &mut ChaCha8Rng) {
    for last in (1..rows.len()).rev() {
        // A u64: the width of a usize must not change the order.
        let other = rng.random_range(0..=last as u64);
        rows.swap(last, usize::try_from(other).unwrap_or(last));
    }
}

/// Weights of a network at most: 4 GiB of them, and as much again for each of Adam's moments.
const MAX_PARAMETERS: usize = 1 << 30;

fn check<A: Feature>(samples: &MlpSamples<'_, A>, config: &MlpConfig) -> Result<(), HeadError> {
    let n_samples = samples.x.nrows();
    check_features(samples.x, n_samples)?;
    check_weights(samples.weights, n_samples)?;
    for length in [samples.targets.nrows(), samples.validation.len()] {
        if length != n_samples {
            return Err(HeadError::SampleCountMismatch { x_rows: n_samples, y_len: length });
        }
    }
    if let Some(((sample, target), _)) = samples.targets.indexed_iter().find(|it| !it.1.is_finite()) {
        return Err(HeadError::NonFiniteTarget { sample, target });
    }
    let inputs_and_outputs = samples.x.ncols() + samples.targets.ncols() + 1;
    let n_parameters = config.hidden.checked_mul(inputs_and_outputs);
    let refused = [
        ("hidden must be at least 1", config.hidden == 0),
        ("hidden is more than any memory holds", n_parameters.is_none_or(|it| it > MAX_PARAMETERS)),
        ("dropout must be at least 0 and below 1", !(0.0..1.0).contains(&config.dropout)),
        ("the learning rate must be positive", config.learning_rate.is_nan() || config.learning_rate <= 0.0),
        ("the batch size must be at least 1", config.batch_size == 0),
        ("at least one epoch must be trained", config.max_epochs == 0),
    ];
    match refused.iter().find(|it| it.1) {
        Some((reason, _)) => Err(HeadError::InvalidMlp { reason }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::LossName;

    #[test]
    #[allow(clippy::cast_possible_truncation, reason = "a small literal")]
    fn the_gradient_is_that_of_finite_differences() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let x = Array2::from_shape_fn((7, 3), |_| rng.random_range(-1.0_f32..1.0));
        let targets = Array2::from_shape_fn((7, 2), |(row, label)| f64::from((row + label) as u8 % 2));
        let loss = LossName::CrossEntropy.of(Activation::Softmax).expect("fits");
        let weights = [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.0];
        let data = Data { x, targets, weights: Some(&weights), activation: Activation::Softmax, loss: &loss };
        let network = Network::new(3, 5, 2, &mut rng);
        let rows = [6, 0, 3, 4, 1];
        let mask = dropout_mask(rows.len() * 5, 0.4, &mut rng);
        assert!(mask.contains(&0.0));
        let (_, gradient) = network.gradient(&data, &rows, &mask);
        for (index, slope) in gradient.iter().enumerate() {
            let at = |step: f32| {
                let mut moved = Network { parameters: network.parameters.clone(), sizes: network.sizes };
                moved.parameters[index] += step;
                moved.gradient(&data, &rows, &mask).0.loss / rows.len() as f64
            };
            let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
            // Sums in f32, and curvature times the square of the step.
            assert!((f64::from(*slope) - expected).abs() < 1e-3, "{index}: {slope} {expected}");
        }
    }
}
