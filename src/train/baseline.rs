//! What simple means reach on the same data, so that one sees what a network adds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clip::resolve;
use super::logistic::{Logistic, Rows, Truths};
use super::{Dataset, Event, Parts, TrainConfig, Truth};
use crate::Result;
use crate::evaluate::{frame_events, held};
use crate::features::video::Embedding;
use crate::features::{Features, InputConfig, Normalize};
use crate::media::MediaOptions;
use crate::model::Task;
use crate::output::percent::percent;
use crate::pipeline::Source;

/// Most clips or recordings that are looked at; of more, evenly spaced ones.
const MAX_ITEMS: usize = 10_000;
/// Most frames of all recordings together that are kept, and most numbers.
const MAX_FRAMES: usize = 100_000;
const MAX_NUMBERS: usize = 32 << 20;
/// Most rows that a regression is fitted to, and most rows times numbers times labels: it must cost little.
const MAX_ROWS: usize = 20_000;
const MAX_WORK: usize = 10_000_000;

/// What simple means reach on each part; null where there is no such part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baselines {
    pub validation: Option<Baseline>,
    pub test: Option<Baseline>,
}

/// What simple means reach on one part, having learned from the training part only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Baseline {
    /// Always the commonest label of the training part; where several may hold, each that does in most of its frames.
    pub majority: BaselineScores,
    /// A logistic regression (L2, C = 1) on the mean and standard deviation of each clip's features; of a tagger, on single
    /// frames.
    pub logistic_regression: BaselineScores,
    /// Clips, or frames, that were learned from.
    pub trained_on: usize,
    /// Clips, or frames, that were scored: evenly spaced ones where there are many.
    pub measured_on: usize,
}

/// Unrounded fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineScores {
    /// Clips that are right; or frames in which every label is.
    pub accuracy: f64,
    /// Of frames, all labels together, the background's apart; null for clips, and where nothing is there to find.
    pub f1: Option<f64>,
}

impl Baseline {
    /// `majority 10.0 %, logistic regression 61.2 %`; for frames, F1 in place of accuracy.
    pub fn line(&self) -> String {
        let figure = |scores: &BaselineScores| match scores.f1 {
            None => percent(scores.accuracy),
            Some(f1) => format!("{} (F1 {})", percent(scores.accuracy), percent(f1)),
        };
        format!(
            "majority {}, logistic regression {}",
            figure(&self.majority),
            figure(&self.logistic_regression)
        )
    }
}

/// What a baseline looks at, of each clip of a data set. Made once, it serves any split of the data.
pub struct Vectors {
    task: Task,
    /// Whether labels exclude each other.
    exclusive: bool,
    background: Option<usize>,
    num_labels: usize,
    /// `None` for one that was not read.
    items: Vec<Option<ItemVectors>>,
}

struct ItemVectors {
    /// One row for a clip; for a recording, evenly spaced frames.
    rows: Rows,
    /// `[N, K]`: the labels of each row.
    holds: Vec<bool>,
}

impl Vectors {
    /// Reads the clips of `dataset`, which `config` describes, with the pretrained network that it asks for. Those that cannot be read are passed over: training names
    /// them. Setting `stop` ends it early.
    ///
    /// # Errors
    /// Settings that do not fit the data.
    pub fn read(
        config: &TrainConfig,
        dataset: &Dataset,
        embedding: Option<&Embedding>,
        on_event: &mut dyn FnMut(Event),
        stop: &AtomicBool,
    ) -> Result<Self> {
        let mut config = config.clone();
        resolve(&mut config, dataset)?;
        let input = config.input();
        let source = Source::new(&input, embedding)?;
        let exclusive = config.task() == Task::Classify || config.labels.exclusive;
        let background = dataset.has_background.then_some(0);
        let total = dataset.items.len();
        let chosen = evenly(total, MAX_ITEMS);
        let most = (MAX_FRAMES.min(MAX_NUMBERS / input.num_features()) / chosen.len().max(1)).max(20);
        let reader = Reader {
            source,
            input,
            dataset,
            media: config.data.media(),
            task: config.task(),
            background,
            most,
        };
        let mut items: Vec<Option<ItemVectors>> = (0..total).map(|_| None).collect();
        let mut done = 0;
        for chunk in chosen.chunks(64) {
            let read: Vec<_> = chunk.par_iter().map(|&i| (i, reader.read(i).ok())).collect();
            read.into_iter().for_each(|(i, vectors)| items[i] = vectors);
            done += chunk.len();
            if stop.load(Ordering::Relaxed) {
                break;
            }
            on_event(Event::Loading { done, total: chosen.len() });
        }
        let task = config.task();
        Ok(Self { task, exclusive, background, num_labels: dataset.labels.len(), items })
    }

    /// Learns from the training part, and measures on the other two. `None` where there is too little to learn from, or
    /// where it would take too long.
    pub fn baselines(&self, parts: &Parts) -> Option<Baselines> {
        let fitted = self.fit(&parts.train)?;
        Some(Baselines {
            validation: self.measure(&fitted, &parts.validation),
            test: self.measure(&fitted, &parts.test),
        })
    }
    fn fit(&self, items: &[usize]) -> Option<Fitted> {
        let (rows, holds) = self.gather(items);
        let k = self.num_labels;
        // Softmax has nothing to learn from frames of which nothing is known.
        let known = |i: &usize| !self.exclusive || holds[i * k..(i + 1) * k].contains(&true);
        let known: Vec<usize> = (0..rows.len()).filter(known).collect();
        let most = MAX_ROWS.min(MAX_WORK / (rows.dim.max(1) * k));
        let chosen: Vec<usize> = evenly(known.len(), most).into_iter().map(|i| known[i]).collect();
        if chosen.len() < 2 * k {
            return None;
        }
        let data: Vec<f32> = chosen.iter().flat_map(|&i| rows.row(i)).copied().collect();
        let holds: Vec<bool> = chosen.iter().flat_map(|&i| &holds[i * k..(i + 1) * k]).copied().collect();
        let chosen_rows = Rows { data, dim: rows.dim };
        let labels: Vec<usize> = holds.chunks_exact(k).map(|row| first(row).unwrap_or(0)).collect();
        let counts: Vec<usize> =
            (0..k).map(|k| holds.iter().skip(k).step_by(self.num_labels).filter(|h| **h).count()).collect();
        let majority = match self.exclusive {
            true => {
                let commonest = (1..k).fold(0, |best, k| if counts[k] > counts[best] { k } else { best });
                (0..k).map(|k| k == commonest).collect()
            }
            false => counts.iter().map(|&n| 2 * n > chosen.len()).collect(),
        };
        let truths = if self.exclusive { Truths::One(&labels) } else { Truths::Several(&holds) };
        let model = Logistic::fit(&chosen_rows, truths, k);
        Some(Fitted { model, majority, trained_on: chosen.len() })
    }

    fn measure(&self, fitted: &Fitted, items: &[usize]) -> Option<Baseline> {
        let (rows, holds) = self.gather(items);
        if rows.len() == 0 {
            return None;
        }
        let (mut majority, mut regression) = (Tally::default(), Tally::default());
        for (i, truth) in holds.chunks_exact(self.num_labels).enumerate() {
            majority.add(truth, &fitted.majority, self.background);
            let logits = fitted.model.logits(rows.row(i));
            let said: Vec<bool> = match self.exclusive {
                true => {
                    let best =
                        (1..logits.len()).fold(0, |best, k| if logits[k] > logits[best] { k } else { best });
                    (0..logits.len()).map(|k| k == best).collect()
                }
                false => logits.iter().map(|&logit| logit > 0.0).collect(),
            };
            regression.add(truth, &said, self.background);
        }
        let scores = |tally: &Tally| tally.scores(self.task);
        Some(Baseline {
            majority: scores(&majority),
            logistic_regression: scores(&regression),
            trained_on: fitted.trained_on,
            measured_on: rows.len(),
        })
    }

    /// Rows of some items, and their labels.
    fn gather(&self, items: &[usize]) -> (Rows, Vec<bool>) {
        let (mut rows, mut holds) = (Rows::default(), Vec::new());
        for vectors in items.iter().filter_map(|&i| self.items[i].as_ref()) {
            rows.dim = vectors.rows.dim;
            rows.data.extend_from_slice(&vectors.rows.data);
            holds.extend_from_slice(&vectors.holds);
        }
        (rows, holds)
    }
}

struct Fitted {
    model: Logistic,
    /// Whether each label is said.
    majority: Vec<bool>,
    trained_on: usize,
}

#[derive(Default)]
struct Tally {
    rows: usize,
    right: usize,
    both: usize,
    said: usize,
    truth: usize,
}

impl Tally {
    fn add(&mut self, truth: &[bool], said: &[bool], background: Option<usize>) {
        self.rows += 1;
        self.right += usize::from(truth == said);
        for (k, (&truth, &said)) in truth.iter().zip(said).enumerate() {
            if Some(k) != background {
                self.both += usize::from(truth && said);
                self.said += usize::from(said);
                self.truth += usize::from(truth);
            }
        }
    }

    fn scores(&self, task: Task) -> BaselineScores {
        let all = self.said + self.truth;
        let f1 = (task == Task::Tag && all > 0).then(|| 2.0 * self.both as f64 / all as f64);
        BaselineScores { accuracy: self.right as f64 / self.rows as f64, f1 }
    }
}

/// Reads items as a model would.
struct Reader<'a> {
    source: Source,
    input: InputConfig,
    dataset: &'a Dataset,
    media: MediaOptions,
    task: Task,
    background: Option<usize>,
    /// Most frames of a recording.
    most: usize,
}

impl Reader<'_> {
    fn read(&self, item: usize) -> Result<ItemVectors> {
        let item = &self.dataset.items[item];
        let num_labels = self.dataset.labels.len();
        match (&item.truth, self.task) {
            (Truth::Label(label), _) => {
                let rows = self.summary(&item.path)?;
                Ok(ItemVectors { rows, holds: (0..num_labels).map(|k| k == *label).collect() })
            }
            (Truth::Spans(_), _) => {
                let Sampled { rows, numbers, total } = self.sampled(&item.path)?;
                let events = item.reference(&self.dataset.labels).events;
                let events = frame_events(&events, &self.dataset.labels, self.input.clock());
                let all = held(&events, total, num_labels, self.background);
                let holds = numbers.iter().flat_map(|&t| &all[t * num_labels..(t + 1) * num_labels]);
                Ok(ItemVectors { rows, holds: holds.copied().collect() })
            }
        }
    }

    /// Mean and standard deviation of each feature, as one row.
    fn summary(&self, path: &Path) -> Result<Rows> {
        let dim = self.input.num_features();
        let (mut count, mut sums, mut squares) = (0.0, vec![0f64; dim], vec![0f64; dim]);
        let mut take = |frames: Vec<f32>| {
            for frame in frames.chunks_exact(dim) {
                count += 1.0;
                for ((sum, square), &x) in sums.iter_mut().zip(&mut squares).zip(frame) {
                    *sum += f64::from(x);
                    *square += f64::from(x) * f64::from(x);
                }
            }
            Ok(())
        };
        self.source.read(path, &self.media, &mut |_| {}, &mut take)?;
        let count = f64::max(count, 1.0);
        let means = sums.iter().map(|sum| (sum / count) as f32);
        let deviations = sums
            .iter()
            .zip(&squares)
            .map(|(sum, square)| (square / count - (sum / count).powi(2)).max(0.0).sqrt() as f32);
        Ok(Rows { data: means.chain(deviations).collect(), dim: 2 * dim })
    }

    /// At most `most` frames of a recording, evenly spaced.
    fn sampled(&self, path: &Path) -> Result<Sampled> {
        let dim = self.input.num_features();
        let mut sampled = Sampled { rows: Rows { data: Vec::new(), dim }, numbers: Vec::new(), total: 0 };
        let mut stride = 1;
        let mut take = |frames: Vec<f32>| {
            for frame in frames.chunks_exact(dim) {
                if sampled.total.is_multiple_of(stride) {
                    if sampled.numbers.len() == self.most {
                        sampled.halve();
                        stride *= 2;
                    }
                    if sampled.total.is_multiple_of(stride) {
                        sampled.numbers.push(sampled.total);
                        sampled.rows.data.extend_from_slice(frame);
                    }
                }
                sampled.total += 1;
            }
            Ok(())
        };
        self.source.read(path, &self.media, &mut |_| {}, &mut take)?;
        if self.input.normalize() == Normalize::PerFile {
            let data = std::mem::take(&mut sampled.rows.data);
            let mut features = Features { frames: sampled.numbers.len(), data, dim };
            Normalize::PerFile.apply(None, &mut features);
            sampled.rows.data = features.data;
        }
        Ok(sampled)
    }
}

struct Sampled {
    rows: Rows,
    /// Which frames these are.
    numbers: Vec<usize>,
    /// Frames that the recording has.
    total: usize,
}

impl Sampled {
    /// Drops every second frame.
    fn halve(&mut self) {
        let dim = self.rows.dim;
        let kept = self.rows.data.chunks_exact(dim).step_by(2).flatten().copied().collect();
        self.rows.data = kept;
        self.numbers = self.numbers.iter().copied().step_by(2).collect();
    }
}

/// At most `most` of `count` numbers, evenly spaced.
fn evenly(count: usize, most: usize) -> Vec<usize> {
    let most = most.min(count);
    (0..most).map(|i| i * count / most).collect()
}

fn first(row: &[bool]) -> Option<usize> {
    row.iter().position(|&holds| holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::write_wav;
    use crate::signal::Signal;
    use crate::train::{Item, LabelsConfig, Span};

    /// Recordings of 1 s with a tone in the middle, low or high, and a configuration for them.
    fn tones(folder: &Path, recordings: usize, exclusive: bool) -> (TrainConfig, Dataset) {
        let first = usize::from(exclusive);
        let item = |i: usize| {
            let frequency = [400.0, 2000.0][i % 2];
            let tone = |n: usize| 0.3 * (n as f32 * frequency * std::f32::consts::TAU / 8000.0).sin();
            let samples = (0..8000).map(|n| if (2400..5600).contains(&n) { tone(n) } else { 0.0 }).collect();
            let path = folder.join(format!("{i}.wav"));
            write_wav(&path, &Signal { samples, sample_rate: 8000 }).unwrap();
            let spans = vec![Span { onset: 0.3, offset: 0.7, label: first + i % 2, line: 2 }];
            Item { path, truth: Truth::Spans(spans), part: None, group: None, line: None, label_file: None }
        };
        let names = if exclusive { &["background", "high", "low"][..] } else { &["high", "low"] };
        let dataset = Dataset {
            labels: names.iter().map(|name| name.to_string()).collect(),
            has_background: exclusive,
            items: (0..recordings).map(item).collect(),
            messages: vec![],
        };
        let mut config = TrainConfig {
            labels: LabelsConfig { source: Some("x".into()), exclusive, ..Default::default() },
            ..TrainConfig::default()
        };
        config.features.sample_rate = 8000;
        config.features.n_mels = 16;
        (config, dataset)
    }

    fn baselines(config: &TrainConfig, dataset: &Dataset, parts: &Parts) -> Baselines {
        let vectors = Vectors::read(config, dataset, None, &mut |_| {}, &AtomicBool::new(false)).unwrap();
        vectors.baselines(parts).unwrap()
    }

    #[test]
    fn frames_of_a_tagger_have_a_baseline_whether_or_not_labels_exclude_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts { train: (0..8).collect(), test: (8..12).collect(), ..Parts::default() };
        for exclusive in [true, false] {
            let (config, dataset) = tones(folder.path(), 12, exclusive);
            let Baselines { validation, test } = baselines(&config, &dataset, &parts);
            let test = test.unwrap();
            assert_eq!((validation, test.measured_on), (None, 4 * 51));
            // Of 51 frames 20 have the tone; a frame at its edge may look like it.
            assert!((test.majority.accuracy - 31.0 / 51.0).abs() < 0.03, "{:?}", test.majority);
            assert_eq!(test.majority.f1, Some(0.0));
            assert!(test.logistic_regression.accuracy > 0.9, "{:?}", test.logistic_regression);
            assert!(test.logistic_regression.f1.unwrap() > 0.9, "{:?}", test.logistic_regression);
        }
    }

    #[test]
    fn too_little_to_learn_from_gives_no_baseline_and_a_lost_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (config, mut dataset) = tones(folder.path(), 4, true);
        dataset.items[1].path = folder.path().join("gone.wav");
        let vectors = Vectors::read(&config, &dataset, None, &mut |_| {}, &AtomicBool::new(false)).unwrap();
        let parts = Parts { train: vec![1], test: vec![0], ..Parts::default() };
        assert_eq!(vectors.baselines(&parts), None);
        let parts = Parts { train: vec![0, 1, 2], test: vec![1, 3], ..Parts::default() };
        assert_eq!(vectors.baselines(&parts).unwrap().test.unwrap().measured_on, 51);
    }

    #[test]
    fn what_is_looked_at_is_evenly_spaced() {
        assert_eq!(evenly(10, 4), [0, 2, 5, 7]);
        assert_eq!(evenly(3, 8), [0, 1, 2]);
        assert!(evenly(0, 8).is_empty());
        let rows = Rows { data: (0..6).map(|x| x as f32).collect(), dim: 2 };
        let mut sampled = Sampled { rows, numbers: vec![0, 5, 10], total: 11 };
        sampled.halve();
        assert_eq!((sampled.rows.data, sampled.numbers), (vec![0.0, 1.0, 4.0, 5.0], vec![0, 10]));
    }
}
