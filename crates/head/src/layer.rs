//! Fully connected layers, what a head is made of.

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// `activation(x · weight + bias)`.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseLayer {
    /// `(n_inputs, n_outputs)`.
    pub weight: Array2<f64>,
    /// `(n_outputs,)`.
    pub bias: Array1<f64>,
    /// What follows the sum.
    pub activation: Activation,
}

/// What follows a layer's sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// Probabilities of classes that exclude each other.
    Softmax,
    /// Probabilities of labels that do not.
    Sigmoid,
}

impl DenseLayer {
    /// Outputs of `(n_samples, n_inputs)`: `(n_samples, n_outputs)`.
    pub(crate) fn apply(&self, x: &Array2<f64>) -> Array2<f64> {
        let mut out = x.dot(&self.weight) + &self.bias;
        match self.activation {
            Activation::Identity => {}
            Activation::Relu => out.mapv_inplace(|it| it.max(0.0)),
            Activation::Sigmoid => out.mapv_inplace(|it| 1.0 / (1.0 + (-it).exp())),
            Activation::Softmax => softmax_rows(&mut out),
        }
        out
    }
}

/// Softmax of each row, its largest logit subtracted first.
pub(crate) fn softmax_rows(x: &mut Array2<f64>) {
    for mut row in x.rows_mut() {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|it| (it - max).exp());
        let sum = row.sum();
        row.mapv_inplace(|it| it / sum);
    }
}
