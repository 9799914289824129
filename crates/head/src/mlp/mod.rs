//! A head with one hidden layer, for what no linear head can fit.

mod network;

use std::fmt;

use ndarray::ArrayView2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::feature::{Feature, check_features, check_weights};
use crate::layer::{Activation, DenseLayer};
use crate::loss::Loss;
use crate::scaler::Scaler;
use network::{Adam, Data, Network, Score, dropout_mask};

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

/// In one line.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let score = |loss: f64, accuracy: Option<f64>| match accuracy {
            Some(accuracy) => format!("loss {loss:.4}, accuracy {:.1}%", 100.0 * accuracy),
            None => format!("loss {loss:.4}"),
        };
        write!(f, "epoch {:>3}: {}", self.epoch, score(self.loss, self.accuracy))?;
        match self.validation_loss {
            Some(loss) => write!(f, "; early stopping's share: {}", score(loss, self.validation_accuracy)),
            None => Ok(()),
        }
    }
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
