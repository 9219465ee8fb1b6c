//! Mono sound at one rate, block by block: from a file, or from a pipe while it is still coming in.

use std::io::Read;
use std::path::Path;

use super::limits::{MAX_DURATION, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE};
use super::pipe::PipeReader;
use super::reader::check_duration;
use super::{Audio, AudioOptions, AudioReader, Mix, StreamInfo, StreamResampler};
use crate::signal::Signal;
use crate::{Error, ErrorKind, Result};

pub use super::pipe::{RawEncoding, RawFormat};

/// Decoded, mixed down and resampled sound in bounded memory; the blocks together are what
/// [`load_audio`](super::load_audio) gives.
pub struct AudioStream {
    source: Source,
    info: StreamInfo,
    mix: Mix,
    rate: u32,
    /// In seconds; a file's reader has its own.
    most_of_a_pipe: f64,
    /// `None` when the rest has been given.
    resampler: Option<StreamResampler>,
    /// Interleaved, and mixed down.
    block: Vec<f32>,
    mono: Vec<f32>,
}

enum Source {
    File(AudioReader),
    Pipe(PipeReader),
}

impl AudioStream {
    /// Errors: those of [`AudioReader::open`], and `Config` where the channel is not there or the rate is out of range.
    pub fn open(path: &Path, options: &AudioOptions) -> Result<Self> {
        check_rate(options)?;
        let most = options.max_duration.unwrap_or(MAX_DURATION);
        let reader = AudioReader::open(path, options.audio_track)?.with_max_duration(most);
        let info = reader.info().clone();
        Self::new(Source::File(reader), info, options).map_err(|error| error.with_path(path))
    }

    /// A WAV stream, or without a header the samples that `raw` describes. Blocks come as soon as their bytes do.
    ///
    /// Errors: `Empty` where there is nothing, `UnknownFormat` and `Damaged` where the header is no WAV's or is cut off,
    /// and those of [`AudioStream::open`].
    pub fn from_pipe(
        pipe: impl Read + Send + 'static,
        raw: Option<RawFormat>,
        options: &AudioOptions,
    ) -> Result<Self> {
        check_rate(options)?;
        let (reader, info) = PipeReader::open(Box::new(pipe), raw)?;
        Self::new(Source::Pipe(reader), info, options)
    }

    fn new(source: Source, info: StreamInfo, options: &AudioOptions) -> Result<Self> {
        let mix = Mix::choose(options.channel, info.channels)?;
        let rate = options.sample_rate.unwrap_or(info.sample_rate);
        let resampler = Some(StreamResampler::new(info.sample_rate, rate)?);
        // One may run for years.
        let most_of_a_pipe = options.max_duration.unwrap_or(f64::INFINITY);
        Ok(Self { source, info, mix, rate, most_of_a_pipe, resampler, block: Vec::new(), mono: Vec::new() })
    }

    /// Of the blocks, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.rate
    }

    /// Samples per channel read so far, at the file's own rate.
    pub fn num_samples(&self) -> u64 {
        match &self.source {
            Source::File(reader) => reader.num_samples(),
            Source::Pipe(reader) => reader.num_samples(),
        }
    }

    /// Replaces `samples` by the next ones; `false` at the end, with none.
    ///
    /// Errors: those of [`AudioReader::next_block`].
    pub fn next_block(&mut self, samples: &mut Vec<f32>) -> Result<bool> {
        samples.clear();
        while let Some(resampler) = &mut self.resampler {
            let more = match &mut self.source {
                Source::File(reader) => reader.next_block(&mut self.block)?,
                Source::Pipe(reader) => {
                    let more = reader.next_block(&mut self.block)?;
                    let seconds = reader.num_samples() as f64 / f64::from(self.info.sample_rate);
                    check_duration(seconds, self.most_of_a_pipe)?;
                    more
                }
            };
            if more {
                self.mono.clear();
                self.mix.append(&self.block, self.info.channels, &mut self.mono);
                resampler.push(&self.mono, samples)?;
            } else if let Some(resampler) = self.resampler.take() {
                resampler.finish(samples)?;
            }
            if !samples.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was read, with warnings; without its sound.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] where there was not one sample.
    pub fn finish(self) -> Result<Audio> {
        let num_samples = self.num_samples();
        if num_samples == 0 {
            return Err(Error::new(
                ErrorKind::Empty,
                format!("the {} stream holds no samples", self.info.codec),
            ));
        }
        let warnings = match self.source {
            Source::File(reader) => reader.warnings().to_vec(),
            Source::Pipe(reader) => reader.warnings(),
        };
        Ok(Audio {
            signal: Signal { samples: Vec::new(), sample_rate: self.rate },
            container: self.info.container,
            codec: self.info.codec,
            sample_rate: self.info.sample_rate,
            channels: self.info.channels,
            num_samples,
            mix: self.mix.to_string(),
            warnings,
        })
    }
}

fn check_rate(options: &AudioOptions) -> Result<()> {
    match options.sample_rate {
        Some(rate) if !(MIN_SAMPLE_RATE..=MAX_SAMPLE_RATE).contains(&rate) => {
            let message =
                format!("cannot resample to {rate} Hz: choose {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz");
            Err(Error::new(ErrorKind::Config, message))
        }
        _ => Ok(()),
    }
}
