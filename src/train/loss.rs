//! How wrong the network is, and how often it is right.

use candle_core::{D, Device, Tensor};
use candle_nn::ops::{log_softmax, sigmoid};

use super::batching::{Example, Target};
use crate::Result;
use crate::nn::OutputKind;

/// What the logits of a batch are measured with.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub output: OutputKind,
    /// Share of the target that is spread over all labels.
    pub smoothing: f64,
    /// `None` counts all labels alike.
    pub weights: Option<LabelWeights>,
    /// How little counts what is nearly right: each term times (1 - p)^γ, p the probability of what is true (Lin et al. 2017).
    pub focal_gamma: f64,
}

/// How much each label counts, `[K]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelWeights {
    /// Where it holds.
    pub held: Vec<f32>,
    /// Where it does not; of no account for softmax.
    pub not_held: Vec<f32>,
}

/// How often each label holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelCounts {
    /// Clips, or frames of which something is known.
    pub total: f64,
    /// `[K]`: those with this label.
    pub each: Vec<f64>,
}

impl LabelWeights {
    /// n / (K · n_k), as scikit-learn's `class_weight="balanced"`. For softmax the labels are the classes; for sigmoid each
    /// label is a question of its own with two, held or not.
    pub fn balanced(counts: &LabelCounts, output: OutputKind) -> Self {
        let classes = match output {
            OutputKind::Softmax => counts.each.len() as f64,
            OutputKind::Sigmoid => 2.0,
        };
        // What does not occur is never weighed.
        let weight = |count: f64| if count > 0.0 { (counts.total / (classes * count)) as f32 } else { 1.0 };
        Self {
            held: counts.each.iter().map(|&count| weight(count)).collect(),
            not_held: counts.each.iter().map(|&count| weight(counts.total - count)).collect(),
        }
    }
}

impl Loss {
    /// Cross-entropy and nothing else.
    pub fn plain(output: OutputKind) -> Self {
        Self { output, smoothing: 0.0, weights: None, focal_gamma: 0.0 }
    }

    /// Summed over the clips, or over their frames: cross-entropy for softmax, binary cross-entropy for sigmoid, in nats.
    /// `logits` are `[B, K]` or `[B, T, K]`.
    pub fn sum(&self, logits: &Tensor, examples: &[&Example]) -> Result<Tensor> {
        let (target, counted) = self.targets(logits, examples)?;
        let terms = match self.output {
            OutputKind::Softmax => self.softmax_terms(logits, target)?,
            OutputKind::Sigmoid => self.sigmoid_terms(logits, target)?,
        };
        Ok(terms.broadcast_mul(&counted)?.sum_all()?)
    }

    /// What is true, in the shape of the logits, and 1 for each clip or frame that counts, else 0.
    fn targets(&self, logits: &Tensor, examples: &[&Example]) -> Result<(Tensor, Tensor)> {
        let classes = logits.dim(D::Minus1)?;
        let off = (self.smoothing / classes as f64) as f32;
        let on = (1.0 - self.smoothing) as f32 + off;
        let rows = logits.elem_count() / examples.len();
        let mut target = vec![off; logits.elem_count()];
        let mut counted = vec![0f32; logits.elem_count() / classes];
        let each = target.chunks_exact_mut(rows).zip(counted.chunks_exact_mut(rows / classes));
        for ((target, counted), example) in each.zip(examples) {
            match &example.target {
                Target::Clip(labels) => {
                    for &(label, share) in labels {
                        target[label] = share * on + (1.0 - share) * off;
                    }
                    counted[0] = 1.0;
                }
                Target::Frames(truth) => {
                    counted[..truth.weights.len()].copy_from_slice(&truth.weights);
                    for (target, value) in target.iter_mut().zip(&truth.values) {
                        *target += value * (on - off);
                    }
                }
            }
        }
        let mut shape = logits.dims().to_vec();
        shape[logits.rank() - 1] = 1;
        Ok((
            Tensor::from_vec(target, logits.shape(), &Device::Cpu)?,
            Tensor::from_vec(counted, shape, &Device::Cpu)?,
        ))
    }

    /// -y·ln p of each label.
    fn softmax_terms(&self, logits: &Tensor, mut target: Tensor) -> Result<Tensor> {
        if let Some(weights) = &self.weights {
            target = target.broadcast_mul(&Tensor::new(weights.held.as_slice(), &Device::Cpu)?)?;
        }
        let log_p = log_softmax(logits, D::Minus1)?;
        let terms = (&log_p * target)?.neg()?;
        if self.focal_gamma == 0.0 {
            return Ok(terms);
        }
        Ok((terms * self.focus(&log_p.exp()?)?)?)
    }

    /// -y·ln p - (1 - y)·ln(1 - p) of each label.
    fn sigmoid_terms(&self, logits: &Tensor, target: Tensor) -> Result<Tensor> {
        // max(x, 0) - x·y + ln(1 + e^-|x|) never overflows.
        let tail = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
        let mut terms = ((logits.relu()? - (logits * &target)?)? + tail)?;
        if self.focal_gamma != 0.0 {
            // The probability of what is true: p·y + (1 - p)·(1 - y).
            let p = sigmoid(logits)?;
            let true_p = (((&p * &target)? * 2.0)? - &p)?;
            terms = (terms * self.focus(&((true_p - &target)? + 1.0)?)?)?;
        }
        if let Some(LabelWeights { held, not_held }) = &self.weights {
            let more: Vec<f32> = held.iter().zip(not_held).map(|(held, not)| held - not).collect();
            let row = |values: &[f32]| Tensor::new(values, &Device::Cpu);
            let weight = target.broadcast_mul(&row(&more)?)?.broadcast_add(&row(not_held)?)?;
            terms = (terms * weight)?;
        }
        Ok(terms)
    }

    /// (1 - p)^γ; a hair more, as a power below 1 has no gradient at 0.
    fn focus(&self, p: &Tensor) -> Result<Tensor> {
        Ok(p.affine(-1.0, 1.0 + f64::from(f32::EPSILON))?.powf(self.focal_gamma)?)
    }
}

/// Clips, or frames of which something is known.
pub(super) fn weight(examples: &[&Example]) -> f64 {
    examples.iter().map(|example| example.weight()).sum()
}

/// Clips that are right; or frames in which every label is. Of a mix of labels the larger one is the right one.
pub(super) fn count_correct(logits: &Tensor, examples: &[&Example], output: OutputKind) -> Result<f64> {
    let classes = logits.dim(D::Minus1)?;
    let rows = logits.elem_count() / examples.len();
    let values = logits.flatten_all()?.to_vec1::<f32>()?;
    let best = |row: &[f32]| (1..row.len()).fold(0, |best, k| if row[k] > row[best] { k } else { best });
    let mut correct = 0.0;
    for (values, example) in values.chunks_exact(rows).zip(examples) {
        match &example.target {
            Target::Clip(labels) => {
                let largest = labels.iter().reduce(|a, b| if b.1 > a.1 { b } else { a });
                let right = largest.is_some_and(|(label, _)| best(values) == *label);
                correct += f64::from(u8::from(right));
            }
            Target::Frames(truth) => {
                let frames = values.chunks_exact(classes).zip(truth.values.chunks_exact(classes));
                for ((logits, truth), &weight) in frames.zip(&truth.weights) {
                    let right = match output {
                        OutputKind::Softmax => {
                            let chosen = truth[best(logits)];
                            chosen > 0.0 && truth.iter().all(|&value| value <= chosen)
                        }
                        OutputKind::Sigmoid => {
                            logits.iter().zip(truth).all(|(l, t)| (*l > 0.0) == (*t > 0.5))
                        }
                    };
                    correct += f64::from(weight) * f64::from(u8::from(right));
                }
            }
        }
    }
    Ok(correct)
}

#[cfg(test)]
mod tests {
    use super::super::targets::FrameTargets;
    use super::*;
    use crate::features::Features;

    const LOGITS: [[f32; 3]; 2] = [[1.0, -2.0, 0.5], [0.2, 0.1, -3.0]];

    fn example(target: Target) -> Example {
        Example { features: Features { data: vec![0.0], frames: 1, dim: 1 }, target, id: 0, item: 0 }
    }

    /// Seven tenths of label 0 with three of label 1; label 1.
    fn clips() -> [Example; 2] {
        [example(Target::Clip(vec![(0, 0.7), (1, 0.3)])), example(Target::hard(1))]
    }

    /// The same as two frames of a recording.
    fn frames() -> Example {
        let values = vec![0.7, 0.3, 0.0, 0.0, 1.0, 0.0];
        example(Target::Frames(FrameTargets { values, weights: vec![1.0; 2] }))
    }

    fn sum(loss: &Loss) -> [f32; 2] {
        let logits = Tensor::new(&LOGITS, &Device::Cpu).unwrap();
        let [a, b] = clips();
        let of_clips = loss.sum(&logits, &[&a, &b]).unwrap().to_scalar().unwrap();
        let logits = logits.unsqueeze(0).unwrap();
        [of_clips, loss.sum(&logits, &[&frames()]).unwrap().to_scalar().unwrap()]
    }

    fn check(loss: &Loss, expected: f64) {
        for actual in sum(loss) {
            assert!((f64::from(actual) - expected).abs() < 3e-6, "{loss:?}: {actual} {expected}");
        }
    }

    #[test]
    fn cross_entropy_of_mixed_labels_is_that_of_pytorch() {
        // x = torch.tensor([[1.0, -2.0, 0.5], [0.2, 0.1, -3.0]]); y = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])
        // F.cross_entropy(x, y, reduction='sum')
        let plain = Loss::plain(OutputKind::Softmax);
        check(&plain, 1.4045969247817993 + 0.7655702233314514);
        // F.cross_entropy(x, y, label_smoothing=0.1, reduction='sum')
        check(&Loss { smoothing: 0.1, ..plain.clone() }, 1.4312636852264404 + 0.8655702471733093);
        // F.cross_entropy(x, y, weight=torch.tensor([0.5, 2.0, 1.5]), reduction='sum'), and with label_smoothing=0.1
        let weights = Some(LabelWeights { held: vec![0.5, 2.0, 1.5], not_held: vec![9.0; 3] });
        let weighted = Loss { weights, ..plain };
        check(&weighted, 2.279366970062256 + 1.5311404466629028);
        check(&Loss { smoothing: 0.1, ..weighted }, 3.9771459102630615);
    }

    #[test]
    fn binary_cross_entropy_of_mixed_labels_is_that_of_pytorch() {
        // F.binary_cross_entropy_with_logits(x, y, reduction='none').sum()
        let plain = Loss::plain(OutputKind::Sigmoid);
        check(&plain, 2.3142687 + 1.4911228);
        // F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor([2.0, 0.75, 1.5]), reduction='none')[1].sum();
        // of its first row only where the labels are whole, as the weight of a mix is mixed here.
        let weights = LabelWeights { held: vec![2.0, 0.75, 1.5], not_held: vec![1.0; 3] };
        let weighted = Loss { weights: Some(weights), ..plain };
        let logits = Tensor::new(&[LOGITS[1]], &Device::Cpu).unwrap();
        let actual: f32 = weighted.sum(&logits, &[&clips()[1]]).unwrap().to_scalar().unwrap();
        assert!(
            (f64::from(actual) - (0.7981388568878174 + 0.4832974970340729 + 0.04858732223510742)).abs()
                < 1e-6
        );
    }

    #[test]
    fn focal_loss_is_that_of_its_formula() {
        // p = torch.softmax(x, -1); (-(y * (1 - p) ** 2 * p.log())).sum()
        let focal = Loss { focal_gamma: 2.0, ..Loss::plain(OutputKind::Softmax) };
        check(&focal, 1.0445830821990967 + 0.21906906366348267);
        // p = torch.sigmoid(x); p_t = p * y + (1 - p) * (1 - y), as torchvision.ops.sigmoid_focal_loss(alpha=-1, gamma=2)
        // (F.binary_cross_entropy_with_logits(x, y, reduction='none') * (1 - p_t) ** 2).sum()
        check(&Loss { focal_gamma: 2.0, ..Loss::plain(OutputKind::Sigmoid) }, 0.9539637565612793);
    }

    #[test]
    fn focal_loss_has_a_gradient_where_all_is_right() {
        use candle_core::Var;
        for (output, gamma) in [(OutputKind::Softmax, 0.5), (OutputKind::Sigmoid, 0.5)] {
            let logits = Var::new(&[[90.0f32, -90.0, -90.0]], &Device::Cpu).unwrap();
            let loss = Loss { focal_gamma: gamma, ..Loss::plain(output) };
            let gradients = loss.sum(&logits, &[&example(Target::hard(0))]).unwrap().backward().unwrap();
            let gradient = gradients.get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(gradient.iter().all(|g| g.abs() < 1e-3), "{output:?} {gradient:?}");
        }
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight('balanced', classes=[0, 1, 2], y=[0] * 6 + [1] * 3 + [2])
        let counts = LabelCounts { total: 10.0, each: vec![6.0, 3.0, 1.0] };
        let weights = LabelWeights::balanced(&counts, OutputKind::Softmax);
        assert_eq!(weights.held, [0.55555556, 1.11111111, 3.33333333].map(|weight: f64| weight as f32));
        // compute_class_weight('balanced', classes=[0, 1], y=[0] * 9 + [1] * 3)
        let counts = LabelCounts { total: 12.0, each: vec![3.0, 0.0] };
        let weights = LabelWeights::balanced(&counts, OutputKind::Sigmoid);
        assert_eq!((weights.held, weights.not_held), (vec![2.0, 1.0], vec![0.66666667f64 as f32, 0.5]));
    }

    #[test]
    fn the_larger_label_of_a_mix_is_the_right_one() {
        let logits = Tensor::new(&LOGITS, &Device::Cpu).unwrap();
        let [a, b] = clips();
        // Label 0 is said of both.
        assert_eq!(count_correct(&logits, &[&a, &b], OutputKind::Softmax).unwrap(), 1.0);
        let logits = logits.unsqueeze(0).unwrap();
        assert_eq!(count_correct(&logits, &[&frames()], OutputKind::Softmax).unwrap(), 1.0);
        // The first frame has label 0 and not label 2, which is said too.
        assert_eq!(count_correct(&logits, &[&frames()], OutputKind::Sigmoid).unwrap(), 0.0);
    }
}
