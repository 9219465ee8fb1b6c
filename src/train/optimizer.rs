//! One step of learning: gradients of all shards together, clipped, then AdamW under a one-cycle schedule.

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

use super::TrainingConfig;
use crate::{Error, ErrorKind, Result};

pub(super) struct Optimizer {
    adam: AdamW,
    vars: Vec<Var>,
    clip_norm: f64,
    schedule: OneCycle,
    step: usize,
}

impl Optimizer {
    pub fn new(vars: Vec<Var>, config: &TrainingConfig, total_steps: usize) -> Result<Self> {
        let schedule =
            OneCycle { highest: config.learning_rate, warmup: config.warmup_fraction, total_steps };
        let params = ParamsAdamW {
            lr: schedule.learning_rate(0),
            weight_decay: config.weight_decay,
            ..ParamsAdamW::default()
        };
        let adam = AdamW::new(vars.clone(), params)?;
        Ok(Self { adam, vars, clip_norm: config.clip_norm, schedule, step: 0 })
    }

    /// Steps taken so far.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Learns from the gradients of a batch's shards, which are summed in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] where a gradient is not finite.
    pub fn step(&mut self, shards: Vec<GradStore>) -> Result<()> {
        let mut shards = shards.into_iter();
        let Some(mut sum) = shards.next() else { return Ok(()) };
        let rest: Vec<GradStore> = shards.collect();
        for var in &self.vars {
            let all = std::iter::once(&sum).chain(&rest).filter_map(|store| store.get(var));
            let total =
                all.cloned().map(Ok).reduce(|a: candle_core::Result<Tensor>, b| a?.add(&b?)).transpose()?;
            if let Some(total) = total {
                sum.insert(var, total);
            }
        }
        self.clip(&mut sum)?;
        self.adam.set_learning_rate(self.schedule.learning_rate(self.step));
        self.adam.step(&sum)?;
        self.step += 1;
        Ok(())
    }

    /// Shortens the gradient of all weights together to `clip_norm` (Pascanu et al. 2013).
    fn clip(&self, gradients: &mut GradStore) -> Result<()> {
        let mut squares = 0f64;
        for gradient in self.vars.iter().filter_map(|var| gradients.get(var)) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let norm = squares.sqrt();
        if !norm.is_finite() {
            return Err(Error::new(
                ErrorKind::Training,
                "the gradient is no longer a finite number; lower the learning rate",
            ));
        }
        if self.clip_norm > 0.0 && norm > self.clip_norm {
            for var in &self.vars {
                if let Some(gradient) = gradients.get(var) {
                    let clipped = (gradient * (self.clip_norm / norm))?;
                    gradients.insert(var, clipped);
                }
            }
        }
        Ok(())
    }
}

/// The learning rate over a training run: up from a 25th of the highest, then down to a 250,000th of it, each
/// along half a cosine. The same as `torch.optim.lr_scheduler.OneCycleLR` (Smith & Topin 2018).
#[derive(Debug, Clone)]
struct OneCycle {
    highest: f64,
    /// Share of the steps that goes up.
    warmup: f64,
    total_steps: usize,
}

impl OneCycle {
    fn learning_rate(&self, step: usize) -> f64 {
        let first = self.highest / 25.0;
        let last = first / 1e4;
        let top = (self.warmup * self.total_steps as f64 - 1.0).max(0.0);
        let end = (self.total_steps as f64 - 1.0).max(1.0);
        let step = (step as f64).min(end);
        let along = |from: f64, to: f64, share: f64| {
            to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * share).cos())
        };
        if step < top {
            along(first, self.highest, step / top)
        } else {
            along(self.highest, last, (step - top) / (end - top).max(1.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_that_of_pytorch() {
        // s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1e-3, total_steps=10, pct_start=0.3)
        // [s.get_last_lr()[0]] after 0, 1, 2, 5, 9 calls of s.step()
        let expected = [4e-5, 5.2e-4, 1e-3, 6.112620219362892e-4, 4e-9];
        let schedule = OneCycle { highest: 1e-3, warmup: 0.3, total_steps: 10 };
        for (step, expected) in [0, 1, 2, 5, 9].into_iter().zip(expected) {
            let actual = schedule.learning_rate(step);
            assert!((actual - expected).abs() < 1e-12, "step {step}: {actual} {expected}");
        }
    }

    #[test]
    fn a_long_gradient_is_shortened_and_shards_are_summed() {
        use candle_core::Device;
        let var = Var::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let config = TrainingConfig { clip_norm: 1.0, ..TrainingConfig::default() };
        let optimizer = Optimizer::new(vec![var.clone()], &config, 10).unwrap();
        let loss = (var.as_tensor() * 5.0).unwrap().sum_all().unwrap();
        let mut gradients = loss.backward().unwrap();
        optimizer.clip(&mut gradients).unwrap();
        let clipped = gradients.get(&var).unwrap().to_vec1::<f32>().unwrap();
        assert!((clipped[0] - 0.5f32.sqrt()).abs() < 1e-6, "{clipped:?}");
    }
}
