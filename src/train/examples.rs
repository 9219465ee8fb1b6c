//! Clips -> normalised frames with what is true of them.

use rayon::prelude::*;

use super::batching::{Example, Target};
use super::clip::{Clip, ClipMaker, Frames};
use super::random::{Use, stream};
use super::targets::{Targeter, TimeMap};
use super::{Dataset, TrainConfig, Truth};
use crate::Result;
use crate::features::{InputConfig, Normalization, Normalize, Statistics};

/// Turns clips into what the network learns from.
pub(super) struct ExampleMaker<'a> {
    config: &'a TrainConfig,
    dataset: &'a Dataset,
    targeter: Targeter,
    maker: ClipMaker<'a>,
    pub input: InputConfig,
    pub normalization: Option<Normalization>,
}

impl<'a> ExampleMaker<'a> {
    /// Features are normalised by the mean and deviation of the `training` clips, where that is asked for.
    pub fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        maker: ClipMaker<'a>,
        training: &[Clip],
    ) -> Result<Self> {
        let input = config.input();
        let targeter = Targeter::new(&config.labels, dataset.labels.len(), dataset.has_background);
        let mut this = Self { config, dataset, targeter, maker, input, normalization: None };
        if this.input.normalize() == Normalize::Training {
            this.normalization = Some(this.statistics(training)?);
        }
        Ok(this)
    }

    /// Mean and deviation over the training clips, merged in their order whatever the number of threads.
    fn statistics(&self, clips: &[Clip]) -> Result<Normalization> {
        let each: Vec<Statistics> = clips
            .par_iter()
            .map(|clip| Ok(Statistics::of(&self.maker.features(&clip.material)?)))
            .collect::<Result<_>>()?;
        let mut all = Statistics::default();
        each.iter().for_each(|statistics| all.merge(statistics));
        Ok(self.input.pooled(all.finish()?))
    }

    /// Clips as they are, analysed and normalised.
    pub fn unchanged(&self, clips: &[Clip]) -> Result<Vec<Example>> {
        let unchanged = |clip: &Clip| {
            let features = self.maker.features(&clip.material)?;
            self.example(Frames::unchanged(features), clip)
        };
        clips.par_iter().map(unchanged).collect()
    }

    /// A training clip, changed as it is in `epoch`.
    pub fn augmented(&self, clip: &Clip, epoch: usize) -> Result<Example> {
        let purpose = Use::Augment { epoch: epoch as u32, clip: clip.id as u32 };
        let mut rng = stream(self.config.training.seed, purpose);
        self.example(self.maker.augmented(&clip.material, &mut rng)?, clip)
    }

    fn example(&self, frames: Frames, clip: &Clip) -> Result<Example> {
        let Frames { mut features, stretch, delay, reversed, becomes } = frames;
        self.input.normalize().apply(self.normalization.as_ref(), &mut features);
        let target = match &self.dataset.items[clip.index].truth {
            Truth::Label(label) => Target::Clip(becomes.map_or(*label, |becomes| becomes[*label])),
            Truth::Spans(spans) => {
                let clock = self.input.clock();
                let map = TimeMap {
                    frames_per_second: f64::from(clock.sample_rate) * stretch / clock.hop_length as f64,
                    shift: (delay - clip.start as f64 * stretch) / self.maker.hop(),
                };
                let mut targets = self.targeter.targets(spans, features.frames, map);
                if reversed {
                    targets.reverse();
                }
                if let Some(becomes) = becomes {
                    targets.rename(&becomes);
                }
                Target::Frames(targets)
            }
        };
        Ok(Example { features, target })
    }
}
