//! Clips -> normalised frames with what is true of them.

use rayon::prelude::*;

use super::batching::{Example, Target};
use super::clip::{Clip, ClipMaker, Frames, LastRead};
use super::loss::LabelCounts;
use super::random::{Use, stream};
use super::targets::{Targeter, TimeMap};
use super::{Dataset, TrainConfig, Truth};
use crate::Result;
use crate::features::{InputConfig, Normalization, Normalize, Statistics};

/// Clips whose statistics are in memory together.
const CLIPS_AT_ONCE: usize = 4096;

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
    /// Where features are normalised by means and deviations, those are `normalization`, or else the `training` clips'.
    pub fn new(
        config: &'a TrainConfig,
        dataset: &'a Dataset,
        maker: ClipMaker<'a>,
        training: &[Clip],
        normalization: Option<Normalization>,
    ) -> Result<Self> {
        let input = config.input();
        let targeter = Targeter::new(&config.labels, dataset.labels.len(), dataset.has_background);
        let mut this = Self { config, dataset, targeter, maker, input, normalization };
        if this.input.normalize() == Normalize::Training && this.normalization.is_none() {
            this.normalization = Some(this.statistics(training)?);
        }
        Ok(this)
    }

    /// What a person should know of the cache.
    pub fn cache_warnings(&self) -> Vec<String> {
        self.maker.cache_warnings()
    }

    /// Mean and deviation over the training clips, merged in their order whatever the number of threads.
    fn statistics(&self, clips: &[Clip]) -> Result<Normalization> {
        let mut all = Statistics::default();
        for clips in clips.chunks(CLIPS_AT_ONCE) {
            let of_file = |clips: &[Clip]| {
                let mut last = LastRead::default();
                let mut of = |clip: &Clip| {
                    let item = &self.dataset.items[clip.index];
                    Ok(Statistics::of(&*self.maker.unchanged(clip, item, &mut last)?))
                };
                clips.iter().map(&mut of).collect::<Result<Vec<_>>>()
            };
            let files: Vec<_> = clips.par_chunk_by(|a, b| a.index == b.index).map(of_file).collect();
            for file in files {
                file?.iter().for_each(|statistics| all.merge(statistics));
            }
        }
        Ok(self.input.pooled(all.finish()?))
    }

    /// A clip as it is, analysed and normalised.
    pub fn unchanged(&self, clip: &Clip, last: &mut LastRead) -> Result<Example> {
        let features = self.maker.unchanged(clip, &self.dataset.items[clip.index], last)?;
        self.example(Frames::unchanged(features.into_owned()), clip)
    }

    /// The same of a clip that will not be needed again: what is held of it goes.
    pub fn take_unchanged(&self, clip: &mut Clip, last: &mut LastRead) -> Result<Example> {
        let features = self.maker.take_unchanged(clip, &self.dataset.items[clip.index], last)?;
        self.example(Frames::unchanged(features), clip)
    }

    /// A training clip, changed as it is in `epoch`; otherwise for each time that it is there `again`.
    pub fn augmented(&self, clip: &Clip, epoch: usize, again: usize, last: &mut LastRead) -> Result<Example> {
        let (epoch, clip_id) = (epoch as u32, clip.id as u32);
        let purpose = match again {
            0 => Use::Augment { epoch, clip: clip_id },
            _ => Use::AugmentAgain { epoch, clip: clip_id, again: again as u32 },
        };
        let mut rng = stream(self.config.training.seed, purpose);
        let material = self.maker.material(clip, &self.dataset.items[clip.index], last)?;
        self.example(self.maker.augmented(&material, &mut rng)?, clip)
    }

    /// The labels that a clip has or that occur in it, each once.
    pub fn labels_in(&self, clip: &Clip) -> Vec<usize> {
        let (start, end) = (self.seconds(clip.start), self.seconds(clip.start + clip.len));
        let mut labels = match &self.dataset.items[clip.index].truth {
            Truth::Label(label) => vec![*label],
            Truth::Spans(spans) => {
                let here = spans.iter().filter(|span| span.onset < end && span.offset >= start);
                here.map(|span| span.label).collect()
            }
        };
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// How often each label holds in `clips` as they are: clips, or frames of which something is known.
    pub fn label_counts(&self, clips: &[Clip]) -> LabelCounts {
        let mut counts = LabelCounts { total: 0.0, each: vec![0.0; self.dataset.labels.len()] };
        for clip in clips {
            match &self.dataset.items[clip.index].truth {
                Truth::Label(label) => {
                    counts.total += 1.0;
                    counts.each[*label] += 1.0;
                }
                Truth::Spans(spans) => {
                    let frames = self.maker.num_frames(clip.len);
                    let truth = self.targeter.targets(spans, frames, self.time_map(clip, 1.0, 0.0));
                    for (row, &weight) in truth.values.chunks_exact(counts.each.len()).zip(&truth.weights) {
                        counts.total += f64::from(weight);
                        let each = counts.each.iter_mut().zip(row);
                        each.for_each(|(count, value)| *count += f64::from(weight * value));
                    }
                }
            }
        }
        counts
    }

    /// Seconds from the start of a recording to its sample, or frame, `position`.
    fn seconds(&self, position: usize) -> f64 {
        let clock = self.input.clock();
        let per_second = f64::from(clock.sample_rate) * self.maker.hop() / clock.hop_length as f64;
        position as f64 / per_second
    }

    /// Where the times of a recording lie in the frames of a clip of it that was stretched, then moved by `delay`.
    fn time_map(&self, clip: &Clip, stretch: f64, delay: f64) -> TimeMap {
        let clock = self.input.clock();
        TimeMap {
            frames_per_second: f64::from(clock.sample_rate) * stretch / clock.hop_length as f64,
            shift: (delay - clip.start as f64 * stretch) / self.maker.hop(),
        }
    }

    fn example(&self, frames: Frames, clip: &Clip) -> Result<Example> {
        let Frames { mut features, stretch, delay, reversed, becomes } = frames;
        self.input.normalize().apply(self.normalization.as_ref(), &mut features);
        let target = match &self.dataset.items[clip.index].truth {
            Truth::Label(label) => Target::hard(becomes.map_or(*label, |becomes| becomes[*label])),
            Truth::Spans(spans) => {
                let map = self.time_map(clip, stretch, delay);
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
        Ok(Example { features, target, id: clip.id, item: clip.index })
    }
}
