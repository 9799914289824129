//! The loss of one sample.

use std::ops::Range;

/// What is to be learnt: classes, and how much each sample counts.
#[derive(Clone, Copy)]
pub(crate) struct Targets<'a> {
    pub(crate) y: &'a [usize],
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) n_classes: usize,
}

impl Targets<'_> {
    /// Two classes have one output, the log-odds of class 1.
    pub(crate) fn n_outputs(&self) -> usize {
        if self.n_classes == 2 { 1 } else { self.n_classes }
    }

    pub(crate) fn weight(&self, sample: usize) -> f64 {
        self.weights.map_or(1.0, |it| it[sample])
    }

    pub(crate) fn total_weight(&self, samples: Range<usize>) -> f64 {
        self.weights.map_or(samples.len() as f64, |it| it[samples].iter().sum())
    }
}

/// The loss of one sample; its logits become the residual `s·(p - y)`.
pub(crate) fn residual(targets: &Targets<'_>, sample: usize, logits: &mut [f64]) -> f64 {
    let (class, weight) = (targets.y[sample], targets.weight(sample));
    if let [logit] = logits {
        // ln(1 + e^-margin): no overflow on either side, and nothing cancels where the sample is right.
        let margin = if class == 1 { *logit } else { -*logit };
        let wrong = sigmoid(-margin);
        *logit = if class == 1 { -weight * wrong } else { weight * wrong };
        return weight * ((-margin).max(0.0) + (-margin.abs()).exp().ln_1p());
    }
    let target = logits[class];
    let (max, rest) = softmax(logits);
    logits.iter_mut().for_each(|it| *it *= weight);
    logits[class] -= weight;
    // The logarithm of 1 + rest, and zero behind it where the class has the largest logit.
    weight * (rest.ln_1p() + (max - target))
}

/// Logits become probabilities, and the curvature of the loss is returned: `p(1 - p)`, averaged over the
/// directions that matter.
pub(crate) fn curvature(logits: &mut [f64]) -> f64 {
    if let [logit] = logits {
        *logit = sigmoid(*logit);
        return *logit * (1.0 - *logit);
    }
    softmax(logits);
    logits.iter().map(|p| p * (1.0 - p)).sum::<f64>() / (logits.len() as f64 - 1.0)
}

/// Logits become probabilities; returns the largest logit, and the sum of the exponentials of the others
/// less it.
fn softmax(logits: &mut [f64]) -> (f64, f64) {
    let (mut largest, mut max) = (0, f64::NEG_INFINITY);
    for (index, logit) in logits.iter().enumerate() {
        if *logit > max {
            (largest, max) = (index, *logit);
        }
    }
    let mut rest = 0.0;
    for (index, logit) in logits.iter_mut().enumerate() {
        *logit = (*logit - max).exp();
        rest += if index == largest { 0.0 } else { *logit };
    }
    logits.iter_mut().for_each(|it| *it /= 1.0 + rest);
    (max, rest)
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}
