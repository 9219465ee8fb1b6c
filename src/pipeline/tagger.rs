//! What happens when in a recording, of any length in bounded memory.

use std::path::Path;

use crate::decide::{Decisions, EventStream, FrameEvent, Rule, sigmoid, softmax};
use crate::event::ScoredEvent;
use crate::features::{Extractor, Features, StreamExtractor};
use crate::media::{self, Audio, AudioOptions, AudioStream};
use crate::model::{Model, Task};
use crate::nn::{FrameStream, OutputKind, Rows};
use crate::signal::Signal;
use crate::time::FrameClock;
use crate::{Error, ErrorKind, Result};

/// Frames of scores that are worked on at a time.
const PIECE: usize = 4096;

/// Tags recordings with one model; any number of threads may share it.
pub struct Tagger {
    model: Model,
    /// Copied for each recording: it holds scratch space.
    extractor: Extractor,
}

/// How a recording is gone through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TagOptions {
    /// Pieces that know nothing of each other, for models that were trained on such; `None` takes the recording whole.
    pub windows: Option<Windows>,
}

/// Lengths in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub length: usize,
    /// Frames that two windows share, less than `length`; their scores are averaged.
    pub overlap: usize,
}

/// What was found in a recording.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// By onset, then in the order of the model's labels.
    pub events: Vec<ScoredEvent>,
    pub num_frames: usize,
    /// What the file was (its `signal` is left empty), with warnings.
    pub audio: Audio,
}

impl Tagger {
    /// # Errors
    /// [`ErrorKind::Model`] for a model of another task.
    pub fn new(model: Model) -> Result<Self> {
        match model.header().task {
            Task::Tag => {}
            Task::Classify => {
                let message = format!(
                    "`{}` gives one label for a whole recording and tags no frames; use a model of task `tag` (train with \
                     --labels), or `percept classify`",
                    model.header().name
                );
                return Err(Error::new(ErrorKind::Model, message));
            }
        }
        let extractor = Extractor::new(&model.header().features)?;
        Ok(Self { model, extractor })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn extractor(&self) -> &Extractor {
        &self.extractor
    }

    /// When its frames are.
    pub fn clock(&self) -> FrameClock {
        let features = &self.model.header().features;
        FrameClock { hop_length: features.hop_length, sample_rate: features.sample_rate }
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        // A model without is refused when it is loaded.
        self.model.header().decisions.as_ref().expect("a tagger has decisions")
    }

    /// How its scores become events.
    pub fn rule(&self) -> &Rule {
        &self.decisions().rule
    }

    /// Decodes, resamples and tags a whole file. `on_scores` is given the scores `[n, K]` of all frames, piece by piece.
    ///
    /// # Errors
    /// Those of [`AudioStream`]; [`ErrorKind::Model`] where a score is no number; [`ErrorKind::Io`] where a temporary file
    /// fails.
    pub fn tag_file(
        &self,
        path: &Path,
        audio: &AudioOptions,
        options: &TagOptions,
        on_scores: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<Tagged> {
        self.tag(path, audio, options, on_scores).map_err(|error| error.with_path(path))
    }

    fn tag(
        &self,
        path: &Path,
        audio: &AudioOptions,
        options: &TagOptions,
        on_scores: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<Tagged> {
        let (frames, mut audio) = self.frames(path, audio)?;
        let num_frames = frames.len();
        let num_labels = self.model.header().labels.len();
        let mut stream = EventStream::new(self.rule(), num_labels);
        let mut events = Vec::new();
        let mut decide = |scores: &[f32]| {
            stream.push(scores, &mut events);
            on_scores(scores)
        };
        match options.windows {
            None => self.scores(&frames_to_logits(&self.model, frames)?, &mut decide)?,
            Some(windows) => {
                if num_frames < windows.length {
                    let (have, wanted) = (num_frames as u64, windows.length as u64);
                    audio.warnings.push(format!(
                        "the recording is shorter ({} s) than one window ({} s): it was tagged as one shorter window",
                        self.clock().seconds(have),
                        self.clock().seconds(wanted)
                    ));
                }
                self.windowed_scores(&frames, windows, &mut decide)?;
            }
        }
        stream.finish(&mut events);
        events.sort_by_key(|event| (event.start, event.label));
        let events = events.iter().map(|event| self.scored(event)).collect();
        Ok(Tagged { events, num_frames, audio })
    }

    /// Logits `[T, K]` of a whole file, and what it was.
    pub fn logits(&self, path: &Path, audio: &AudioOptions) -> Result<(Rows, Audio)> {
        let run = || {
            let (frames, audio) = self.frames(path, audio)?;
            Ok((frames_to_logits(&self.model, frames)?, audio))
        };
        run().map_err(|error: Error| error.with_path(path))
    }

    /// Features `[T, D]` of a file as the network takes them.
    fn frames(&self, path: &Path, options: &AudioOptions) -> Result<(Rows, Audio)> {
        let features = &self.model.header().features;
        let options = AudioOptions { sample_rate: Some(features.sample_rate), ..options.clone() };
        let mut rows = Rows::new(features.num_features());
        if features.can_stream().is_err() {
            let mut audio = media::load_audio(path, &options)?;
            let empty = Signal { samples: Vec::new(), sample_rate: audio.sample_rate };
            let signal = std::mem::replace(&mut audio.signal, empty);
            let mut all = self.extractor.clone().extract(&signal.samples)?;
            self.model.normalize(&mut all);
            rows.push(&all.data)?;
            return Ok((rows, audio));
        }
        let mut stream = AudioStream::open(path, &options)?;
        let mut extractor = StreamExtractor::of(&self.extractor)?;
        let (mut samples, mut frames) = (Vec::new(), Vec::new());
        while stream.next_block(&mut samples)? {
            extractor.push(&samples, &mut frames)?;
            self.take(&mut frames, &mut rows)?;
        }
        let audio = stream.finish()?;
        extractor.finish(&mut frames)?;
        self.take(&mut frames, &mut rows)?;
        Ok((rows, audio))
    }

    fn take(&self, frames: &mut Vec<f32>, rows: &mut Rows) -> Result<()> {
        let frames = self.normalized(std::mem::take(frames));
        rows.push(&frames)
    }

    /// `[n, D]`
    pub(crate) fn normalized(&self, frames: Vec<f32>) -> Vec<f32> {
        let dim = self.model.header().features.num_features();
        let mut features = Features { frames: frames.len() / dim, data: frames, dim };
        self.model.normalize(&mut features);
        features.data
    }

    /// Scores of logits, piece by piece.
    pub(crate) fn scores(&self, logits: &Rows, take: &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let mut piece = Vec::new();
        for first in (0..logits.len()).step_by(PIECE) {
            logits.read(first, PIECE.min(logits.len() - first), &mut piece)?;
            take(&self.score(&piece)?)?;
        }
        Ok(())
    }

    /// Logits `[n, K]` -> scores `[n, K]`, 0 to 1.
    pub(crate) fn score(&self, logits: &[f32]) -> Result<Vec<f32>> {
        let scores = self.scores_at(logits, self.decisions().temperature);
        if scores.iter().all(|score| score.is_finite()) {
            return Ok(scores);
        }
        let message =
            "the model gave no number as a score; its weights are damaged or it was trained on other data";
        Err(Error::new(ErrorKind::Model, message))
    }

    /// The same at any temperature, unchecked.
    pub(crate) fn scores_at(&self, logits: &[f32], temperature: f32) -> Vec<f32> {
        let header = self.model.header();
        let mut scores = Vec::with_capacity(logits.len());
        let mut frame = vec![0.0; header.labels.len()];
        for logits in logits.chunks_exact(header.labels.len()) {
            frame.iter_mut().zip(logits).for_each(|(scaled, logit)| *scaled = logit / temperature);
            scores.extend(match header.network.output {
                OutputKind::Softmax => softmax(&frame),
                OutputKind::Sigmoid => sigmoid(&frame),
            });
        }
        scores
    }

    /// Mean scores of the windows that a frame is in.
    fn windowed_scores(
        &self,
        frames: &Rows,
        windows: Windows,
        take: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let num_labels = self.model.header().labels.len();
        let step = windows.length - windows.overlap;
        // Sums of scores, and windows, of the frames from `first` on.
        let (mut sums, mut counts): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
        let mut input = Vec::new();
        for first in (0..frames.len()).step_by(step) {
            let length = windows.length.min(frames.len() - first);
            frames.read(first, length, &mut input)?;
            let mut logits = Vec::new();
            let mut stream = FrameStream::new(self.model.network(), 0, length)?;
            stream.push(&input, &mut logits)?;
            stream.finish(&mut logits)?;
            sums.resize(length.max(counts.len()) * num_labels, 0.0);
            counts.resize(length.max(counts.len()), 0.0);
            sums.iter_mut().zip(self.score(&logits)?).for_each(|(sum, score)| *sum += score);
            counts[..length].iter_mut().for_each(|count| *count += 1.0);
            let is_last = first + length == frames.len();
            let done = if is_last { counts.len() } else { step };
            let mut mean: Vec<f32> = sums.drain(..done * num_labels).collect();
            for (mean, count) in mean.chunks_exact_mut(num_labels).zip(counts.drain(..done)) {
                mean.iter_mut().for_each(|sum| *sum /= count);
            }
            take(&mean)?;
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// An event of frames with its name and its times.
    pub(crate) fn scored(&self, event: &FrameEvent) -> ScoredEvent {
        let (start, end) = (event.start as u64, event.end as u64);
        ScoredEvent {
            label: self.model.header().labels[event.label].clone(),
            onset: self.clock().seconds(start),
            offset: self.clock().seconds(end),
            score: event.score,
            peak: event.peak,
            frame_start: start,
            frame_end: end,
        }
    }
}

fn frames_to_logits(model: &Model, frames: Rows) -> Result<Rows> {
    model.network().frame_logits(frames)
}
