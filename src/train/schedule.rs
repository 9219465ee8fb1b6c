//! The learning rate over a training run.

/// Up from a 25th of the highest, then down to a 250,000th of it, each along half a cosine. The same as
/// `torch.optim.lr_scheduler.OneCycleLR` (Smith & Topin 2018).
#[derive(Debug, Clone)]
pub(super) struct OneCycle {
    pub highest: f64,
    /// Share of the steps that goes up.
    pub warmup: f64,
    pub total_steps: usize,
}

impl OneCycle {
    /// For the step that follows `step` others.
    pub fn learning_rate(&self, step: usize) -> f64 {
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
}
