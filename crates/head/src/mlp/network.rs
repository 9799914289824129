//! The network of a hidden layer: its gradient, and Adam's steps along it.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array1, Array2};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::layer::Activation;
use crate::loss::Loss;
use crate::metrics::argmax;

/// What is trained on, in the units it is trained in.
pub(super) struct Data<'a> {
    pub(super) x: Array2<f32>,
    pub(super) targets: Array2<f64>,
    pub(super) weights: Option<&'a [f64]>,
    pub(super) activation: Activation,
    pub(super) loss: &'a dyn Loss,
}

/// Sums over samples.
#[derive(Clone, Copy, Default)]
pub(super) struct Score {
    loss: f64,
    weight: f64,
    hits: f64,
    judged: f64,
}

impl Score {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            weight: self.weight + other.weight,
            hits: self.hits + other.hits,
            judged: self.judged + other.judged,
        }
    }

    pub(super) fn mean_loss(&self) -> f64 {
        if self.weight > 0.0 { self.loss / self.weight } else { self.loss }
    }

    pub(super) fn accuracy(&self, activation: Activation) -> Option<f64> {
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
pub(super) struct Network {
    sizes: [usize; 3],
    pub(super) parameters: Vec<f32>,
}

impl Network {
    #[expect(clippy::cast_possible_truncation, reason = "random numbers")]
    pub(super) fn new(n_features: usize, hidden: usize, n_outputs: usize, rng: &mut ChaCha8Rng) -> Self {
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

    pub(super) fn layers(&self) -> [(Array2<f64>, Array1<f64>); 2] {
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
    pub(super) fn gradient(&self, data: &Data<'_>, rows: &[usize], mask: &[f32]) -> (Score, Vec<f32>) {
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
    pub(super) fn judge(&self, data: &Data<'_>, rows: &[usize]) -> Option<Score> {
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
pub(super) struct Adam {
    learning_rate: f64,
    mean: Vec<f32>,
    square: Vec<f32>,
    n_steps: i32,
}

impl Adam {
    pub(super) fn new(n_parameters: usize, learning_rate: f64) -> Self {
        Self { learning_rate, mean: vec![0.0; n_parameters], square: vec![0.0; n_parameters], n_steps: 0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "training computes in f32")]
    pub(super) fn step(&mut self, parameters: &mut [f32], gradient: &[f32]) {
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
pub(super) fn dropout_mask(n_units: usize, dropout: f64, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let kept = (1.0 / (1.0 - dropout)) as f32;
    if dropout <= 0.0 {
        return vec![1.0; n_units];
    }
    (0..n_units).map(|_| if rng.random_range(0.0..1.0) < dropout { 0.0 } else { kept }).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

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
