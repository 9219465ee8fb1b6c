//! What happens when in a recording, of any length in bounded memory.

use std::path::Path;

use super::{Source, Watched};
use crate::decide::{Decisions, EventStream, FrameEvent, Rule, sigmoid, softmax};
use crate::event::{ScoredEvent, VideoPlace};
use crate::features::Features;
use crate::media::video::Video;
use crate::media::{Media, MediaOptions};
use crate::model::{Model, Task};
use crate::nn::{FrameStream, OutputKind, Rows};
use crate::time::FrameClock;
use crate::{Error, ErrorKind, Result};

/// Frames of scores that are worked on at a time.
const PIECE: usize = 4096;

/// Tags recordings with one model; any number of threads may share it.
pub struct Tagger {
    model: Model,
    source: Source,
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
    /// By onset, then in the order of the model's labels; their times and frames are the file's.
    pub events: Vec<ScoredEvent>,
    /// The same events by the model's frames.
    pub frame_events: Vec<FrameEvent>,
    /// Frames of the model.
    pub num_frames: usize,
    /// What the file was, with warnings.
    pub media: Media,
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
        let source = Source::new(&model.header().input, model.embedding())?;
        Ok(Self { model, source })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// When the model's frames are.
    pub fn clock(&self) -> FrameClock {
        self.model.header().input.clock()
    }

    pub(crate) fn decisions(&self) -> &Decisions {
        // A model without is refused when it is loaded.
        self.model.header().decisions.as_ref().expect("a tagger has decisions")
    }

    /// How its scores become events.
    pub fn rule(&self) -> &Rule {
        &self.decisions().rule
    }

    /// The labels that events may have, in the model's order.
    pub fn event_labels(&self) -> Vec<String> {
        let background = match self.rule() {
            Rule::Exclusive(rule) => rule.background,
            Rule::Thresholds(_) | Rule::Onsets(_) => None,
        };
        let labels = self.model.header().labels.iter().enumerate();
        labels.filter(|(k, _)| Some(*k) != background).map(|(_, label)| label.clone()).collect()
    }

    /// Reads and tags a whole file. `on_scores` is given the scores `[n, K]` of all frames, piece by piece.
    ///
    /// # Errors
    /// Those of the file; [`ErrorKind::Model`] where a score is no number; [`ErrorKind::Io`] where a temporary file fails.
    pub fn tag_file(
        &self,
        path: &Path,
        media: &MediaOptions,
        options: &TagOptions,
        on_scores: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<Tagged> {
        self.tag_file_watched(path, media, options, on_scores, &mut |_| {})
    }

    /// As [`Tagger::tag_file`]; `watch` is given what is seen or heard on the way.
    pub fn tag_file_watched(
        &self,
        path: &Path,
        media: &MediaOptions,
        options: &TagOptions,
        on_scores: &mut dyn FnMut(&[f32]) -> Result<()>,
        watch: &mut dyn FnMut(Watched<'_>),
    ) -> Result<Tagged> {
        self.tag(path, media, options, on_scores, watch).map_err(|error| error.with_path(path))
    }

    fn tag(
        &self,
        path: &Path,
        media: &MediaOptions,
        options: &TagOptions,
        on_scores: &mut dyn FnMut(&[f32]) -> Result<()>,
        watch: &mut dyn FnMut(Watched<'_>),
    ) -> Result<Tagged> {
        let (frames, mut media) = self.frames(path, media, watch)?;
        let num_frames = frames.len();
        let num_labels = self.model.header().labels.len();
        let mut stream = EventStream::new(self.rule(), num_labels);
        let mut frame_events = Vec::new();
        let mut decide = |scores: &[f32]| {
            stream.push(scores, &mut frame_events);
            on_scores(scores)
        };
        match options.windows {
            None => self.scores(&frames_to_logits(&self.model, frames)?, &mut decide)?,
            Some(windows) => {
                if num_frames < windows.length {
                    let (have, wanted) = (num_frames as u64, windows.length as u64);
                    media.warn(format!(
                        "the recording is shorter ({} s) than one window ({} s): it was tagged as one shorter window",
                        self.clock().seconds(have),
                        self.clock().seconds(wanted)
                    ));
                }
                self.windowed_scores(&frames, windows, &mut decide)?;
            }
        }
        stream.finish(&mut frame_events);
        frame_events.sort_by_key(|event| (event.start, event.label));
        let events = frame_events.iter().map(|event| self.in_file(event, &media)).collect();
        Ok(Tagged { events, frame_events, num_frames, media })
    }

    /// Logits `[T, K]` of a whole file, and what it was.
    pub fn logits(&self, path: &Path, media: &MediaOptions) -> Result<(Rows, Media)> {
        let run = || {
            let (frames, media) = self.frames(path, media, &mut |_| {})?;
            Ok((frames_to_logits(&self.model, frames)?, media))
        };
        run().map_err(|error: Error| error.with_path(path))
    }

    /// Features `[T, D]` of a file as the network takes them.
    fn frames(
        &self,
        path: &Path,
        options: &MediaOptions,
        watch: &mut dyn FnMut(Watched<'_>),
    ) -> Result<(Rows, Media)> {
        let input = &self.model.header().input;
        let mut rows = Rows::new(input.num_features());
        // What is scaled by the whole recording's statistics is kept until it is there.
        let mut whole = Vec::new();
        let mut take = |frames: Vec<f32>| match input.can_stream() {
            true => rows.push(&self.normalized(frames)),
            false => {
                whole.extend(frames);
                Ok(())
            }
        };
        let media = self.source.read(path, options, watch, &mut take)?;
        if !whole.is_empty() {
            rows.push(&self.normalized(whole))?;
        }
        Ok((rows, media))
    }

    /// `[n, D]`
    pub(crate) fn normalized(&self, frames: Vec<f32>) -> Vec<f32> {
        let dim = self.model.header().input.num_features();
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

    /// An event of the model's frames with its name, and its frames and times in the file.
    fn in_file(&self, event: &FrameEvent, media: &Media) -> ScoredEvent {
        match media {
            Media::Video(video) => in_video(self.scored(event), event, video),
            Media::Audio(_) | Media::Vectors(_) => self.scored(event),
        }
    }

    /// An event of the model's frames with its name and its times, as the model's clock has them.
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
            video: None,
        }
    }
}

/// An event with the frames and times of the video that the model looked at.
fn in_video(event: ScoredEvent, frames: &FrameEvent, video: &Video) -> ScoredEvent {
    let start = video.at(frames.start);
    let end = if frames.end > frames.start { video.behind(frames.end) } else { start };
    let last = frames.end.saturating_sub(1).max(frames.start);
    let name = |t: usize| video.files.get(t).map(ToString::to_string);
    ScoredEvent {
        onset: video.time_base.seconds(start.ticks),
        offset: video.time_base.seconds(end.ticks),
        frame_start: start.index as u64,
        frame_end: end.index as u64,
        video: Some(VideoPlace {
            tick_start: start.ticks,
            tick_end: end.ticks,
            file_start: name(frames.start),
            file_end: name(last),
        }),
        ..event
    }
}

fn frames_to_logits(model: &Model, frames: Rows) -> Result<Rows> {
    model.network().frame_logits(frames)
}
