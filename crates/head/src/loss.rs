//! Losses by name, and what a loss of one's own has to provide.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::layer::Activation;

/// The loss of one sample, for heads that are trained by gradient descent.
///
/// # Examples
/// A loss of one's own, its gradient checked by finite differences:
/// ```
/// use headstart_head::Loss;
///
/// /// Too low costs `rate` of the distance, too high the rest: the outputs become quantiles.
/// struct Pinball {
///     rate: f64,
/// }
///
/// impl Loss for Pinball {
///     fn value_and_gradient(&self, outputs: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
///         let mut value = 0.0;
///         for ((output, target), slope) in outputs.iter().zip(target).zip(gradient) {
///             *slope = if output < target { -self.rate } else { 1.0 - self.rate };
///             value += *slope * (output - target);
///         }
///         value
///     }
/// }
///
/// let (loss, outputs, target) = (Pinball { rate: 0.9 }, [0.3, -2.0], [1.0, -3.0]);
/// let mut gradient = [0.0; 2];
/// loss.value_and_gradient(&outputs, &target, &mut gradient);
/// for (index, slope) in gradient.iter().enumerate() {
///     let at = |step: f64| {
///         let mut moved = outputs;
///         moved[index] += step;
///         loss.value_and_gradient(&moved, &target, &mut [0.0; 2])
///     };
///     assert!((slope - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8);
/// }
/// ```
pub trait Loss: Sync {
    /// The loss of one sample; its gradient with respect to `outputs` goes to `gradient`.
    ///
    /// # Shapes
    /// - `outputs`: `(n_outputs,)`, the last layer's sums, before its activation.
    /// - `target`, `gradient`: as `outputs`.
    fn value_and_gradient(&self, outputs: &[f64], target: &[f64], gradient: &mut [f64]) -> f64;
}

/// Losses that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// Negative log-likelihood: `-Σ tⱼ·ln pⱼ`, over both sides of every label with a sigmoid.
    CrossEntropy,
    /// Cross-entropy in which what is predicted well counts less: `-Σ tⱼ·(1 - pⱼ)²·ln pⱼ`
    /// (Lin et al. 2017, arXiv:1708.02002, γ = 2).
    Focal,
    /// `½·Σ (pⱼ - tⱼ)²`.
    Squared,
    /// `½·e²` where `|e| ≤ 1`, else `|e| - ½` (Huber 1964): outliers pull less.
    Huber,
}

/// A named loss of a layer's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedLoss {
    name: LossName,
    activation: Activation,
}

impl LossName {
    const ALL: [(&'static str, Self); 4] = [
        ("cross-entropy", Self::CrossEntropy),
        ("focal", Self::Focal),
        ("squared", Self::Squared),
        ("huber", Self::Huber),
    ];

    /// The loss for outputs behind an activation.
    ///
    /// # Errors
    /// [`HeadError::LossActivation`]: cross-entropy and focal loss are of probabilities, and `relu` ends
    /// no head.
    pub fn of(self, activation: Activation) -> Result<NamedLoss, HeadError> {
        let of_probabilities = matches!(self, Self::CrossEntropy | Self::Focal);
        if activation == Activation::Relu || (of_probabilities && activation == Activation::Identity) {
            return Err(HeadError::LossActivation { loss: self, activation });
        }
        Ok(NamedLoss { name: self, activation })
    }
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|it| it.1 == *self).map_or("", |it| it.0);
        f.write_str(name)
    }
}

impl FromStr for LossName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|it| it.0).join(", ");
        let found = Self::ALL.iter().find(|it| it.0 == text);
        found.map(|it| it.1).ok_or_else(|| format!("no loss `{text}`; there are: {}", names()))
    }
}

impl Loss for NamedLoss {
    fn value_and_gradient(&self, outputs: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
        match (self.name, self.activation) {
            (LossName::CrossEntropy | LossName::Focal, Activation::Sigmoid) => {
                let labels = outputs.iter().zip(target).zip(gradient);
                labels.map(|((z, target), slope)| self.of_label(*z, *target, slope)).sum()
            }
            (LossName::CrossEntropy | LossName::Focal, _) => self.of_classes(outputs, target, gradient),
            _ => self.of_distances(outputs, target, gradient),
        }
    }
}

impl NamedLoss {
    fn is_focal(&self) -> bool {
        self.name == LossName::Focal
    }

    /// One label with a sigmoid: both sides of it.
    fn of_label(&self, z: f64, target: f64, slope: &mut f64) -> f64 {
        let side = |z: f64| {
            let ln_p = -ln_1p_exp(-z);
            let (p, q) = (ln_p.exp(), (-ln_1p_exp(z)).exp());
            if self.is_focal() { (-q * q * ln_p, q * q * (2.0 * p * ln_p - q)) } else { (-ln_p, -q) }
        };
        let ((if_on, slope_on), (if_off, slope_off)) = (side(z), side(-z));
        *slope = target * slope_on - (1.0 - target) * slope_off;
        target * if_on + (1.0 - target) * if_off
    }

    /// Classes that exclude each other, behind a softmax.
    fn of_classes(&self, outputs: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
        let ln_sum = ln_sum_exp(outputs);
        let (mut value, mut sum) = (0.0, 0.0);
        for ((z, target), slope) in outputs.iter().zip(target).zip(gradient.iter_mut()) {
            let ln_p = z - ln_sum;
            let (p, q) = (ln_p.exp(), -ln_p.exp_m1());
            // pⱼ·∂/∂pⱼ of the loss.
            let (of_class, inner) =
                if self.is_focal() { (-q * q * ln_p, q * (2.0 * p * ln_p - q)) } else { (-ln_p, -1.0) };
            value += target * of_class;
            *slope = target * inner;
            sum += *slope;
        }
        for (z, slope) in outputs.iter().zip(gradient) {
            *slope -= (z - ln_sum).exp() * sum;
        }
        value
    }

    /// Distances of the activated outputs.
    fn of_distances(&self, outputs: &[f64], target: &[f64], gradient: &mut [f64]) -> f64 {
        let ln_sum = if self.activation == Activation::Softmax { ln_sum_exp(outputs) } else { 0.0 };
        let activated = |z: f64| match self.activation {
            Activation::Softmax => (z - ln_sum).exp(),
            Activation::Sigmoid => (-ln_1p_exp(-z)).exp(),
            Activation::Identity | Activation::Relu => z,
        };
        let (mut value, mut sum) = (0.0, 0.0);
        for ((z, target), slope) in outputs.iter().zip(target).zip(gradient.iter_mut()) {
            let p = activated(*z);
            let distance = p - target;
            *slope = if self.name == LossName::Huber { distance.clamp(-1.0, 1.0) } else { distance };
            value += *slope * (distance - 0.5 * *slope);
            sum += p * *slope;
        }
        for (z, slope) in outputs.iter().zip(gradient) {
            let p = activated(*z);
            match self.activation {
                Activation::Softmax => *slope = p * (*slope - sum),
                Activation::Sigmoid => *slope *= p * (1.0 - p),
                Activation::Identity | Activation::Relu => {}
            }
        }
        value
    }
}

/// `ln(1 + e^z)` without overflow.
fn ln_1p_exp(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn ln_sum_exp(z: &[f64]) -> f64 {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    z.iter().map(|it| (it - max).exp()).sum::<f64>().ln() + max
}
