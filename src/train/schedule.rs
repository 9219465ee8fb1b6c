//! The learning rate over a training run.

use std::f64::consts::PI;

use super::{Schedule, TrainingConfig};

/// Gives each step its learning rate.
#[derive(Debug, Clone)]
pub(super) struct LearningRate {
    schedule: Schedule,
    highest: f64,
    /// Share of the steps that goes up.
    warmup: f64,
    total_steps: usize,
}

impl LearningRate {
    pub fn new(config: &TrainingConfig, total_steps: usize) -> Self {
        let TrainingConfig { schedule, learning_rate, warmup_fraction, .. } = *config;
        Self { schedule, highest: learning_rate, warmup: warmup_fraction, total_steps }
    }

    /// For the step that follows `step` others.
    pub fn at(&self, step: usize) -> f64 {
        match self.schedule {
            Schedule::OneCycle => self.one_cycle(step),
            Schedule::Cosine => self.cosine(step),
            Schedule::Constant => self.highest,
        }
    }

    /// Up from a 25th of the highest, then down to a 250,000th of it, each along half a cosine. The same as
    /// `torch.optim.lr_scheduler.OneCycleLR` (Smith & Topin 2018).
    fn one_cycle(&self, step: usize) -> f64 {
        let first = self.highest / 25.0;
        let last = first / 1e4;
        let top = (self.warmup * self.total_steps as f64 - 1.0).max(0.0);
        let end = (self.total_steps as f64 - 1.0).max(1.0);
        let step = (step as f64).min(end);
        if step < top {
            along_cosine(first, self.highest, step / top)
        } else {
            along_cosine(self.highest, last, (step - top) / (end - top).max(1.0))
        }
    }

    /// Up in equal steps, the first of which is not 0, then down as `torch.optim.lr_scheduler.CosineAnnealingLR`.
    fn cosine(&self, step: usize) -> f64 {
        let warmup = (self.warmup * self.total_steps as f64).round() as usize;
        if step < warmup {
            return self.highest * (step + 1) as f64 / warmup as f64;
        }
        let (step, steps) = (step - warmup, self.total_steps.saturating_sub(warmup).max(1));
        along_cosine(self.highest, 0.0, (step as f64 / steps as f64).min(1.0))
    }
}

/// Half a cosine: at a `share` of the way between two values.
fn along_cosine(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * share).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: Schedule, expected: &[(usize, f64)]) {
        let rate = LearningRate { schedule, highest: 1e-3, warmup: 0.3, total_steps: 10 };
        for &(step, expected) in expected {
            let actual = rate.at(step);
            assert!((actual - expected).abs() < 1e-12, "{schedule:?}, step {step}: {actual} {expected}");
        }
    }

    #[test]
    fn one_cycle_is_that_of_pytorch() {
        // s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1e-3, total_steps=10, pct_start=0.3)
        // [s.get_last_lr()[0]] after 0, 1, 2, 5, 9 calls of s.step()
        let expected = [(0, 4e-5), (1, 5.2e-4), (2, 1e-3), (5, 6.112620219362892e-4), (9, 4e-9)];
        check(Schedule::OneCycle, &expected);
    }

    #[test]
    fn warm_up_and_cosine_are_those_of_pytorch() {
        // o = torch.optim.SGD([p], lr=1e-3)
        // s = SequentialLR(o, [LinearLR(o, 1 / 3, 1.0, 2), CosineAnnealingLR(o, 7)], milestones=[3])
        // [s.get_last_lr()[0]] after 0, 1, 2, 3, 4, 6, 9, 10 calls of s.step()
        let expected = [
            (0, 0.0003333333333333333),
            (1, 0.0006666666666666666),
            (2, 0.001),
            (3, 0.001),
            (4, 0.0009504844339512095),
            (6, 0.0006112604669781572),
            (9, 4.951556604879048e-05),
            (10, 0.0),
        ];
        check(Schedule::Cosine, &expected);
    }

    #[test]
    fn constant_is_constant() {
        check(Schedule::Constant, &[(0, 1e-3), (5, 1e-3), (9, 1e-3)]);
    }

    #[test]
    fn a_run_of_one_step_has_a_learning_rate() {
        for schedule in [Schedule::OneCycle, Schedule::Cosine, Schedule::Constant] {
            for warmup in [0.0, 0.2, 1.0] {
                let rate = LearningRate { schedule, highest: 1e-3, warmup, total_steps: 1 }.at(0);
                assert!((0.0..=1e-3).contains(&rate) && rate > 0.0, "{schedule:?} {warmup}: {rate}");
            }
        }
    }
}
