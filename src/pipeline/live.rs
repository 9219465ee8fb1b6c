//! What happens now: events of sound that is still coming in.

use super::{Source, Tagger};
use crate::decide::{EventStream, FrameEvent};
use crate::event::ScoredEvent;
use crate::features::StreamExtractor;
use crate::nn::FrameStream;
use crate::{Error, ErrorKind, Result};

/// Longest stretch that a live model may look ahead, in seconds.
pub const MAX_LOOKAHEAD_SECONDS: f64 = 600.0;

/// Frames that are answered together where frames behind them are looked at: each is gone through again for each block
/// that looks at it.
const BLOCK: usize = 16;

/// Tags sound as it comes. With a one-directional model events are those of the whole recording; with one that looks
/// ahead, an approximation.
pub struct LiveTagger<'a> {
    tagger: &'a Tagger,
    extractor: StreamExtractor,
    network: FrameStream<'a>,
    events: EventStream,
    num_frames: u64,
}

impl<'a> LiveTagger<'a> {
    /// `lookahead` in seconds is what a bidirectional model sees behind each frame.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a model that does not take sound, for features that need the whole recording, for a bidirectional model without `lookahead`,
    /// and for a one-directional model with it.
    pub fn new(tagger: &'a Tagger, lookahead: Option<f64>) -> Result<Self> {
        let model = tagger.model();
        let name = &model.header().name;
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let Source::Audio(extractor) = tagger.source() else {
            let kind = model.header().input.kind().name();
            return wrong(format!(
                "`{name}` takes {kind}, and only sound is tagged as it comes; name a file"
            ));
        };
        let (lookahead, block) = match (model.header().network.bidirectional, lookahead) {
            (false, None) => (0, 1),
            (true, Some(seconds)) if (0.0..=MAX_LOOKAHEAD_SECONDS).contains(&seconds) => {
                (tagger.clock().frames(seconds), BLOCK)
            }
            (true, Some(seconds)) => {
                return wrong(format!(
                    "the look-ahead is {seconds} s; it must be 0 to {MAX_LOOKAHEAD_SECONDS} s"
                ));
            }
            (true, None) => {
                return wrong(format!(
                    "`{name}` reads in both directions, so it needs to see what follows: say how far (--lookahead 0.5s), \
                     or train a model with --bidirectional=false"
                ));
            }
            (false, Some(_)) => {
                return wrong(format!(
                    "`{name}` reads in one direction and needs no look-ahead; leave it out"
                ));
            }
        };
        Ok(Self {
            tagger,
            extractor: StreamExtractor::of(extractor)?,
            network: FrameStream::new(model.network(), lookahead, block)?,
            events: EventStream::new(tagger.rule(), model.header().labels.len()),
            num_frames: 0,
        })
    }

    /// The rate that the model takes, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.tagger.clock().sample_rate
    }

    /// Takes samples at the model's rate; gives the events that are now over.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<ScoredEvent>> {
        let (mut frames, mut logits, mut events) = (Vec::new(), Vec::new(), Vec::new());
        self.extractor.push(samples, &mut frames)?;
        self.network.push(&self.tagger.normalized(frames), &mut logits)?;
        self.decide(&logits, &mut events)?;
        Ok(events.iter().map(|event| self.tagger.scored(event)).collect())
    }

    /// There is no more: gives the events that were still going on, and the number of frames.
    pub fn finish(mut self) -> Result<(Vec<ScoredEvent>, u64)> {
        let (mut frames, mut logits, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let extractor = self.extractor;
        extractor.finish(&mut frames)?;
        self.network.push(&self.tagger.normalized(frames), &mut logits)?;
        self.network.finish(&mut logits)?;
        self.num_frames += (logits.len() / self.tagger.model().header().labels.len()) as u64;
        self.events.push(&self.tagger.score(&logits)?, &mut events);
        self.events.finish(&mut events);
        Ok((events.iter().map(|event| self.tagger.scored(event)).collect(), self.num_frames))
    }

    fn decide(&mut self, logits: &[f32], events: &mut Vec<FrameEvent>) -> Result<()> {
        self.num_frames += (logits.len() / self.tagger.model().header().labels.len()) as u64;
        self.events.push(&self.tagger.score(logits)?, events);
        Ok(())
    }
}
