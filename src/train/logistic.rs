//! Logistic regression, the simplest model that learns: what a network is measured against.

use std::collections::VecDeque;

use rayon::prelude::*;

/// Rows whose share of the gradient is summed at once; sums are joined in their order, whatever the threads.
const ROWS_AT_ONCE: usize = 256;
/// Steps of the optimiser, at most.
const ITERATIONS: usize = 100;
/// The optimiser stops where no slope is steeper than this, per row.
const TOLERANCE: f64 = 1e-6;
/// Steps that the optimiser remembers.
const MEMORY: usize = 10;

/// Vectors `[N, D]`, row by row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    pub data: Vec<f32>,
    pub dim: usize,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.data.len() / self.dim.max(1)
    }

    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }
}

/// What is true of each row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Truths<'a> {
    /// One label (softmax).
    One(&'a [usize]),
    /// `[N, K]`, any number of labels (sigmoid): a regression for each label.
    Several(&'a [bool]),
}

/// A fitted regression. Inputs are scaled to mean 0 and deviation 1 by the rows that it was fitted to.
#[derive(Debug, Clone)]
pub(super) struct Logistic {
    mean: Vec<f64>,
    /// 1 over the standard deviation; 0 for what never changes.
    scale: Vec<f64>,
    /// `[D + 1, K]`, the intercepts last.
    weights: Vec<f64>,
    num_labels: usize,
}

impl Logistic {
    /// Minimises the summed cross-entropy plus half the squared weights, intercepts apart: scikit-learn's
    /// `LogisticRegression(C=1)`, by L-BFGS (Liu & Nocedal 1989). There must be a row. The same input gives the same bits on
    /// any number of threads.
    pub fn fit(rows: &Rows, truths: Truths, num_labels: usize) -> Self {
        let (mean, scale) = scaling(rows);
        let mut model = Self { mean, scale, weights: vec![0.0; (rows.dim + 1) * num_labels], num_labels };
        let scaled: Vec<f64> = (0..rows.len()).flat_map(|i| model.scaled(rows.row(i))).collect();
        let objective = |weights: &[f64]| model.objective(&scaled, truths, weights);
        model.weights = minimise(model.weights.clone(), &objective, TOLERANCE * rows.len() as f64);
        model
    }

    /// A logit for each label.
    pub fn logits(&self, row: &[f32]) -> Vec<f64> {
        let mut logits = vec![0.0; self.num_labels];
        logits_of(&self.scaled(row), &self.weights, &mut logits);
        logits
    }

    fn scaled(&self, row: &[f32]) -> Vec<f64> {
        let each = row.iter().zip(self.mean.iter().zip(&self.scale));
        each.map(|(&x, (mean, scale))| (f64::from(x) - mean) * scale).collect()
    }

    /// The value and the gradient of what is minimised; `scaled` are the rows `[N, D]`.
    fn objective(&self, scaled: &[f64], truths: Truths, weights: &[f64]) -> (f64, Vec<f64>) {
        let (dim, num_labels) = (self.mean.len(), self.num_labels);
        let parts: Vec<(f64, Vec<f64>)> = scaled
            .par_chunks(ROWS_AT_ONCE * dim)
            .enumerate()
            .map(|(part, rows)| {
                let mut gradient = vec![0.0; weights.len()];
                let mut errors = vec![0.0; num_labels];
                let mut value = 0.0;
                for (i, row) in rows.chunks_exact(dim).enumerate() {
                    logits_of(row, weights, &mut errors);
                    value += loss(&mut errors, truths, part * ROWS_AT_ONCE + i);
                    for (gradient, x) in gradient.chunks_exact_mut(num_labels).zip(row.iter().chain([&1.0])) {
                        gradient.iter_mut().zip(&errors).for_each(|(gradient, error)| *gradient += x * error);
                    }
                }
                (value, gradient)
            })
            .collect();
        let penalised = &weights[..dim * num_labels];
        let mut value = 0.5 * penalised.iter().map(|w| w * w).sum::<f64>();
        let mut gradient = penalised.to_vec();
        gradient.resize(weights.len(), 0.0);
        for (part, more) in parts {
            value += part;
            gradient.iter_mut().zip(more).for_each(|(gradient, more)| *gradient += more);
        }
        (value, gradient)
    }
}

/// Mean, and 1 over the (population) standard deviation, of each column.
fn scaling(rows: &Rows) -> (Vec<f64>, Vec<f64>) {
    let count = rows.len() as f64;
    let mut mean = vec![0.0; rows.dim];
    let mut squares = vec![0.0; rows.dim];
    for i in 0..rows.len() {
        mean.iter_mut().zip(rows.row(i)).for_each(|(mean, &x)| *mean += f64::from(x) / count);
    }
    for i in 0..rows.len() {
        let each = squares.iter_mut().zip(rows.row(i).iter().zip(&mean));
        each.for_each(|(square, (&x, mean))| *square += (f64::from(x) - mean).powi(2) / count);
    }
    let changes = |square: f64, mean: f64| square.sqrt() > 1e-6 * mean.abs().max(1e-6);
    let scale = squares.iter().zip(&mean).map(|(&s, &m)| if changes(s, m) { 1.0 / s.sqrt() } else { 0.0 });
    let scale = scale.collect();
    (mean, scale)
}

fn logits_of(row: &[f64], weights: &[f64], logits: &mut [f64]) {
    let num_labels = logits.len();
    logits.copy_from_slice(&weights[row.len() * num_labels..]);
    for (x, weights) in row.iter().zip(weights.chunks_exact(num_labels)) {
        logits.iter_mut().zip(weights).for_each(|(logit, weight)| *logit += x * weight);
    }
}

/// Cross-entropy of row `i` in nats; its logits become the loss's slopes.
fn loss(logits: &mut [f64], truths: Truths, i: usize) -> f64 {
    match truths {
        Truths::One(labels) => {
            let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logits.iter().map(|logit| (logit - highest).exp()).sum();
            let value = highest + sum.ln() - logits[labels[i]];
            logits.iter_mut().for_each(|logit| *logit = (*logit - highest).exp() / sum);
            logits[labels[i]] -= 1.0;
            value
        }
        Truths::Several(holds) => {
            let holds = &holds[i * logits.len()..(i + 1) * logits.len()];
            let each = logits.iter_mut().zip(holds);
            each.map(|(logit, &holds)| {
                let truth = f64::from(u8::from(holds));
                let value = logit.max(0.0) - *logit * truth + (-logit.abs()).exp().ln_1p();
                *logit = 1.0 / (1.0 + (-*logit).exp()) - truth;
                value
            })
            .sum()
        }
    }
}

/// A function's value and gradient at a point.
type Objective<'a> = dyn Fn(&[f64]) -> (f64, Vec<f64>) + 'a;

/// L-BFGS with a backtracking line search, for a convex function that gives its value and gradient.
fn minimise(mut x: Vec<f64>, objective: &Objective, tolerance: f64) -> Vec<f64> {
    let (mut value, mut gradient) = objective(&x);
    // Steps, differences of gradients, and 1 over their product.
    let mut memory: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..ITERATIONS {
        if gradient.iter().all(|slope| slope.abs() <= tolerance) {
            break;
        }
        let direction = direction(&gradient, &memory);
        let slope = dot(&direction, &gradient);
        // The first step has no memory to tell how far to go.
        let mut length = if memory.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt() } else { 1.0 };
        let (next, (next_value, next_gradient)) = loop {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let there = objective(&next);
            if there.0 <= value + 1e-4 * length * slope {
                break (next, there);
            }
            length *= 0.5;
            if length < 1e-12 {
                return x;
            }
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let product = dot(&step, &change);
        if product > 1e-12 * dot(&change, &change) {
            memory.push_back((step, change, 1.0 / product));
            if memory.len() > MEMORY {
                memory.pop_front();
            }
        }
        (x, value, gradient) = (next, next_value, next_gradient);
    }
    x
}

/// Where to go, by the two loops of L-BFGS.
fn direction(gradient: &[f64], memory: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let add = |to: &mut [f64], factor: f64, what: &[f64]| {
        to.iter_mut().zip(what).for_each(|(to, what)| *to += factor * what);
    };
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut factors = Vec::with_capacity(memory.len());
    for (step, change, inverse) in memory.iter().rev() {
        let factor = inverse * dot(step, &direction);
        add(&mut direction, -factor, change);
        factors.push(factor);
    }
    if let Some((_, change, inverse)) = memory.back() {
        let scale = 1.0 / (inverse * dot(change, change));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change, inverse), factor) in memory.iter().zip(factors.iter().rev()) {
        let correction = factor - inverse * dot(change, &direction);
        add(&mut direction, correction, step);
    }
    direction
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the golden snippet calls `x`, before it is scaled.
    fn rows() -> Rows {
        let row = |n: usize| [n * 7 % 11, n * n % 13, n % 3 * 4 + n * 5 % 7].map(|x| x as f32);
        Rows { data: (0..24).flat_map(row).collect(), dim: 3 }
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-5);
        assert!(close && found.len() == expected.len(), "{found:?} {expected:?}");
    }

    /// ```python
    /// n = np.arange(24)
    /// x = np.stack([n * 7 % 11, n * n % 13, (n % 3) * 4 + n * 5 % 7], axis=1).astype(float)
    /// x = StandardScaler().fit_transform(x)  # scikit-learn 1.9.1
    /// LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(x, n % 3).decision_function(x[:2])
    /// ```
    #[test]
    fn several_labels_are_fitted_as_scikit_learn_does() {
        let labels: Vec<usize> = (0..24).map(|n| n % 3).collect();
        let model = Logistic::fit(&rows(), Truths::One(&labels), 3);
        assert_close(&model.logits(rows().row(0)), &[2.39103, 1.695343, -4.086374]);
        assert_close(&model.logits(rows().row(1)), &[-0.802324, 0.240029, 0.562295]);
    }

    /// ```python
    /// for t in (n * 5 % 7 > 2, n % 4 == 0):
    ///     LogisticRegression(C=1.0, tol=1e-10, max_iter=10000).fit(x, t).decision_function(x[:3])
    /// ```
    #[test]
    fn labels_that_may_hold_together_have_a_regression_each() {
        let holds: Vec<bool> = (0..24).flat_map(|n| [n * 5 % 7 > 2, n % 4 == 0]).collect();
        let model = Logistic::fit(&rows(), Truths::Several(&holds), 2);
        let logits: Vec<Vec<f64>> = (0..3).map(|i| model.logits(rows().row(i))).collect();
        assert_close(&logits.iter().map(|l| l[0]).collect::<Vec<_>>(), &[-0.281803, 0.71255, 1.838297]);
        assert_close(&logits.iter().map(|l| l[1]).collect::<Vec<_>>(), &[-0.557354, -1.128427, -0.832727]);
    }

    #[test]
    fn a_column_that_never_changes_does_no_harm() {
        let data = (0..40).flat_map(|n| [0.1, if n % 2 == 0 { -80.0 } else { -79.0 }]).collect();
        let labels: Vec<usize> = (0..40).map(|n| n % 2).collect();
        let rows = Rows { data, dim: 2 };
        let model = Logistic::fit(&rows, Truths::One(&labels), 2);
        let right = (0..40).filter(|&i| {
            let logits = model.logits(rows.row(i));
            (logits[1] > logits[0]) == (labels[i] == 1)
        });
        assert_eq!(right.count(), 40);
    }

    #[test]
    fn the_bits_do_not_depend_on_the_threads() {
        let row = |n: usize| [n * 7 % 101, n * n % 131, n % 3 * 40 + n * 5 % 7].map(|x| x as f32);
        let rows = Rows { data: (0..2000).flat_map(row).collect(), dim: 3 };
        let labels: Vec<usize> = (0..2000).map(|n| n % 3).collect();
        let fitted = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Logistic::fit(&rows, Truths::One(&labels), 3).weights)
        };
        assert_eq!(fitted(1), fitted(3));
    }
}
