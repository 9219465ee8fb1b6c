//! One step of learning: gradients of all shards together, clipped, then AdamW under a schedule.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};

use super::TrainingConfig;
use super::schedule::LearningRate;
use crate::{Error, ErrorKind, Result};

/// How much of the running mean of the gradients, and of their squares, a step keeps.
const BETAS: [f64; 2] = [0.9, 0.999];
/// Added to the root of the mean square, so that nothing is divided by 0.
const EPSILON: f64 = 1e-8;

/// AdamW (Loshchilov & Hutter 2019) as `torch.optim.AdamW` computes it, under a schedule, with gradients clipped.
///
/// For a training loop of one's own:
///
/// ```
/// use std::collections::BTreeMap;
/// use candle_core::{Device, Var};
/// use percept::train::{Optimizer, Schedule, TrainingConfig};
///
/// # fn main() -> percept::Result<()> {
/// let weight = Var::new(&[1f32, -2.0], &Device::Cpu)?;
/// let config = TrainingConfig { learning_rate: 0.1, schedule: Schedule::Constant, ..TrainingConfig::default() };
/// let mut optimizer = Optimizer::new(BTreeMap::from([("weight".to_string(), weight.clone())]), &config, 100);
/// for _ in 0..100 {
///     let loss = weight.sqr()?.sum_all()?;
///     optimizer.step(&[loss.backward()?])?;
/// }
/// assert!(weight.to_vec1::<f32>()?.iter().all(|w| w.abs() < 0.2));
/// # Ok(())
/// # }
/// ```
pub struct Optimizer {
    weights: BTreeMap<String, Learned>,
    weight_decay: f64,
    clip_norm: f64,
    learning_rate: LearningRate,
    step: usize,
}

/// A tensor that is learned, with the running means of its gradient and of its square, value by value.
struct Learned {
    var: Var,
    moments: Moments,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// All that the next step depends on, besides the weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OptimizerState {
    /// Steps taken so far.
    pub step: usize,
    /// By the names of the tensors.
    pub moments: BTreeMap<String, Moments>,
}

impl Optimizer {
    /// Learns `vars` and nothing else. Of the configuration it takes learning rate, schedule, warm-up, weight decay and
    /// clipping; the schedule ends after `total_steps`.
    pub fn new(vars: BTreeMap<String, Var>, config: &TrainingConfig, total_steps: usize) -> Self {
        let learning_rate = LearningRate::new(config, total_steps);
        let learned = |var: Var| {
            let zeros = vec![0.0; var.elem_count()];
            Learned { var, moments: Moments { first: zeros.clone(), second: zeros } }
        };
        let weights = vars.into_iter().map(|(name, var)| (name, learned(var))).collect();
        let TrainingConfig { weight_decay, clip_norm, .. } = *config;
        Self { weights, weight_decay, clip_norm, learning_rate, step: 0 }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    pub(super) fn state(&self) -> OptimizerState {
        let moments = self.weights.iter().map(|(name, learned)| (name.clone(), learned.moments.clone()));
        OptimizerState { step: self.step, moments: moments.collect() }
    }

    /// Goes on from `state`.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] names a tensor that is missing, superfluous or of another size.
    pub(super) fn restore(&mut self, mut state: OptimizerState) -> Result<()> {
        let wrong =
            |name: &str| Error::new(ErrorKind::Training, format!("the moments of `{name}` do not fit"));
        for (name, learned) in &mut self.weights {
            let moments = state.moments.remove(name).ok_or_else(|| wrong(name))?;
            let size = learned.var.elem_count();
            if moments.first.len() != size || moments.second.len() != size {
                return Err(wrong(name));
            }
            learned.moments = moments;
        }
        match state.moments.keys().next() {
            Some(name) => return Err(wrong(name)),
            None => self.step = state.step,
        }
        Ok(())
    }

    /// The learning rate of the step before.
    pub fn last_learning_rate(&self) -> f64 {
        self.learning_rate.at(self.step.saturating_sub(1))
    }

    /// Learns from the gradients of a batch's shards, which are summed in their order. False, and nothing learned, where
    /// they are not finite.
    pub fn step(&mut self, shards: &[GradStore]) -> Result<bool> {
        let mut gradients = Vec::with_capacity(self.weights.len());
        for Learned { var, .. } in self.weights.values() {
            let each = shards.iter().filter_map(|shard| shard.get(var)).cloned().map(Ok);
            gradients.push(each.reduce(|a: candle_core::Result<Tensor>, b| a?.add(&b?)).transpose()?);
        }
        if !clip(&mut gradients, self.clip_norm)? {
            return Ok(false);
        }
        let learning_rate = self.learning_rate.at(self.step);
        self.step += 1;
        for (learned, gradient) in self.weights.values_mut().zip(gradients) {
            if let Some(gradient) = gradient {
                learned.step(&gradient, learning_rate, self.weight_decay, self.step)?;
            }
        }
        Ok(true)
    }
}

impl Learned {
    /// The `step`-th step, counted from 1.
    fn step(&mut self, gradient: &Tensor, learning_rate: f64, weight_decay: f64, step: usize) -> Result<()> {
        let [beta1, beta2] = BETAS;
        // The means start at 0: early ones are scaled up.
        let unbias = |beta: f64| (1.0 / (1.0 - beta.powi(step as i32))) as f32;
        let (unbias1, unbias2) = (unbias(beta1), unbias(beta2));
        let (keep1, take1, keep2, take2) =
            (beta1 as f32, (1.0 - beta1) as f32, beta2 as f32, (1.0 - beta2) as f32);
        let decay = (1.0 - learning_rate * weight_decay) as f32;
        let (rate, epsilon) = (learning_rate as f32, EPSILON as f32);

        let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
        let mut weights = self.var.flatten_all()?.to_vec1::<f32>()?;
        let moments = self.moments.first.iter_mut().zip(&mut self.moments.second);
        for ((weight, g), (m, v)) in weights.iter_mut().zip(gradient).zip(moments) {
            *m = *m * keep1 + g * take1;
            *v = *v * keep2 + g * g * take2;
            let change = (*m * unbias1) / ((*v * unbias2).sqrt() + epsilon);
            *weight = *weight * decay - change * rate;
        }
        Ok(self.var.set(&Tensor::from_vec(weights, self.var.shape(), &Device::Cpu)?)?)
    }
}

/// Shortens the gradient of all weights together to `longest` (Pascanu et al. 2013); 0 leaves it as it is. False where it
/// is not finite.
fn clip(gradients: &mut [Option<Tensor>], longest: f64) -> Result<bool> {
    let mut squares = 0f64;
    for gradient in gradients.iter().flatten() {
        squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let norm = squares.sqrt();
    if !norm.is_finite() {
        return Ok(false);
    }
    if longest > 0.0 && norm > longest {
        for gradient in gradients.iter_mut().flatten() {
            *gradient = (&*gradient * (longest / norm))?;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimizer(values: &[f32], config: &TrainingConfig) -> (Optimizer, Var) {
        let var = Var::new(values, &Device::Cpu).unwrap();
        (Optimizer::new([("w".to_string(), var.clone())].into(), config, 10), var)
    }

    /// A store whose gradient for `var` is `values`.
    fn gradient(var: &Var, values: &[f32]) -> GradStore {
        let values = Tensor::new(values, &Device::Cpu).unwrap();
        (var.as_tensor() * values).unwrap().sum_all().unwrap().backward().unwrap()
    }

    fn close(actual: &[f32], expected: &[f32]) {
        assert!(actual.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-7), "{actual:?} {expected:?}");
    }

    #[test]
    fn steps_are_those_of_pytorch() {
        // w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
        // o = torch.optim.AdamW([w], lr=0.1, weight_decay=0.01)
        // for g in gradients: w.grad = torch.tensor(g); o.step()
        // w.data, o.state[w]['exp_avg'], o.state[w]['exp_avg_sq']
        let config = TrainingConfig { weight_decay: 0.01, ..TrainingConfig::default() };
        let (mut optimizer, var) = optimizer(&[1.0, -2.0, 0.5], &config);
        let expected = [
            [0.8989999890327454, -1.8980000019073486, 0.49950000643730164],
            [0.8063228726387024, -1.869468331336975, 0.5734142065048218],
            [0.7797261476516724, -1.9133321046829224, 0.6303499937057495],
        ];
        let gradients = [[0.1, -0.2, 0.0], [0.3, 0.1, -0.5], [-0.2, 0.4, 1e-4]];
        for (step, (gradient, expected)) in gradients.iter().zip(expected).enumerate() {
            let gradient = Tensor::new(gradient.map(|g: f64| g as f32).as_slice(), &Device::Cpu).unwrap();
            let learned = optimizer.weights.get_mut("w").unwrap();
            learned.step(&gradient, 0.1, 0.01, step + 1).unwrap();
            close(&var.to_vec1::<f32>().unwrap(), &expected.map(|w: f64| w as f32));
        }
        let Moments { first, second } = &optimizer.state().moments["w"];
        close(first, &[0.015100003, 0.0328, -0.04499]);
        close(second, &[0.00013989002, 0.00020991005, 0.00024975]);
    }

    #[test]
    fn a_long_gradient_is_shortened_and_one_that_is_not_finite_is_told() {
        let tensor = |values: [f32; 2]| Some(Tensor::new(&values, &Device::Cpu).unwrap());
        let mut gradients = [tensor([5.0, 0.0]), None, tensor([0.0, 5.0])];
        assert!(clip(&mut gradients, 1.0).unwrap());
        let clipped = gradients[2].as_ref().unwrap().to_vec1::<f32>().unwrap();
        assert!((clipped[1] - 0.5f32.sqrt()).abs() < 1e-6, "{clipped:?}");
        assert!(!clip(&mut [tensor([f32::NAN, 0.0])], 0.0).unwrap());
    }

    #[test]
    fn shards_are_summed_and_what_has_no_gradient_stays() {
        let config = TrainingConfig { clip_norm: 0.0, ..TrainingConfig::default() };
        let ((mut whole, a), (mut parts, b)) =
            (optimizer(&[1.0, 2.0], &config), optimizer(&[1.0, 2.0], &config));
        whole.step(&[gradient(&a, &[0.75, -0.5])]).unwrap();
        parts.step(&[gradient(&b, &[0.5, -0.25]), gradient(&b, &[0.25, -0.25])]).unwrap();
        assert_eq!(a.to_vec1::<f32>().unwrap(), b.to_vec1::<f32>().unwrap());
        assert_eq!(whole.state(), parts.state());

        let before = a.to_vec1::<f32>().unwrap();
        whole.step(&[gradient(&b, &[1.0, 1.0])]).unwrap();
        assert_eq!(a.to_vec1::<f32>().unwrap(), before);
    }

    #[test]
    fn an_optimizer_goes_on_from_its_state() {
        let config = TrainingConfig::default();
        let (mut straight, a) = optimizer(&[1.0, 2.0], &config);
        straight.step(&[gradient(&a, &[0.75, -0.5])]).unwrap();
        let (mut resumed, b) = optimizer(&a.to_vec1::<f32>().unwrap(), &config);
        resumed.restore(straight.state()).unwrap();
        straight.step(&[gradient(&a, &[0.1, 0.2])]).unwrap();
        resumed.step(&[gradient(&b, &[0.1, 0.2])]).unwrap();
        assert_eq!(a.to_vec1::<f32>().unwrap(), b.to_vec1::<f32>().unwrap());

        let (mut another, _) = optimizer(&[1.0], &config);
        assert!(another.restore(straight.state()).unwrap_err().message.contains("`w`"));
    }
}
