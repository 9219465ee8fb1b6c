//! Features of sound that is still coming in: bit for bit those of [`Extractor::extract`].

use super::{Extractor, FeatureConfig, check_samples, delta, too_short};
use crate::error::Position;
use crate::{Error, Result};

/// Turns samples into frames as they come, in bounded memory.
pub struct StreamExtractor {
    extractor: Extractor,
    /// The samples that frames to come may look at.
    samples: Vec<f32>,
    /// The place of the first of them in the recording, and of the sample behind the last.
    first: usize,
    total: usize,
    /// The next frame.
    frame: usize,
    deltas: Deltas,
}

impl StreamExtractor {
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a config that is not valid or needs the whole recording
    /// ([`FeatureConfig::can_stream`]).
    pub fn new(config: &FeatureConfig) -> Result<Self> {
        config.can_stream()?;
        Self::of(&Extractor::new(config)?)
    }

    /// As [`StreamExtractor::new`], of an extractor that is there.
    pub fn of(extractor: &Extractor) -> Result<Self> {
        let config = &extractor.config;
        config.can_stream()?;
        let deltas = Deltas::new(config.num_static_features(), config.delta, config.delta_width);
        let extractor = extractor.clone();
        Ok(Self { extractor, samples: Vec::new(), first: 0, total: 0, frame: 0, deltas })
    }

    /// Takes samples at the config's rate and appends to `out [T, D]` the frames that are now known; their number.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) as [`Extractor::extract`], with the sample's place.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<usize> {
        let offset = self.total as u64;
        check_samples(samples).map_err(|error| match error.position {
            Some(Position::Sample(n)) => Error { position: Some(Position::Sample(offset + n)), ..error },
            _ => error,
        })?;
        self.samples.extend_from_slice(samples);
        self.total += samples.len();
        let n_fft = self.extractor.config.n_fft;
        // What is padded in front looks at up to n_fft samples, which must not be the recording's end.
        if self.total <= n_fft {
            return Ok(0);
        }
        let before = out.len();
        while self.start_of(self.frame) + n_fft as isize <= self.total as isize {
            self.next_frame(out);
        }
        self.deltas.emit(out);
        // Padding behind the end looks back as far.
        let needed = usize::try_from(self.start_of(self.frame)).unwrap_or(0).min(self.total - n_fft - 1);
        if needed > self.first + (1 << 14) {
            self.samples.drain(..needed - self.first);
            self.first = needed;
        }
        Ok((out.len() - before) / self.extractor.config.num_features())
    }

    /// There are no more samples: appends the frames that reach beyond the last one; their number.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`](crate::ErrorKind::Empty) as [`Extractor::extract`].
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<usize> {
        let frames = self.extractor.config.num_frames(self.total);
        if frames == 0 {
            return Err(too_short(self.total, self.extractor.config.n_fft));
        }
        let before = out.len();
        while self.frame < frames {
            self.next_frame(out);
        }
        self.deltas.finish(out);
        Ok((out.len() - before) / self.extractor.config.num_features())
    }

    /// First sample of a frame; negative where it is padded.
    fn start_of(&self, frame: usize) -> isize {
        let config = &self.extractor.config;
        (frame * config.hop_length) as isize - config.padding() as isize
    }

    fn next_frame(&mut self, out: &mut Vec<f32>) {
        let start = self.start_of(self.frame) - self.first as isize;
        let dim = self.extractor.config.num_static_features();
        self.frame += 1;
        if self.deltas.order == 0 {
            let at = out.len();
            out.resize(at + dim, 0.0);
            self.extractor.frame(&self.samples, start, &mut out[at..]);
        } else {
            let at = self.deltas.frames.len();
            self.deltas.frames.resize(at + dim, 0.0);
            self.extractor.frame(&self.samples, start, &mut self.deltas.frames[at..]);
        }
    }
}

/// Frames that wait for those behind them.
struct Deltas {
    dim: usize,
    order: usize,
    width: usize,
    /// `[T, dim]`
    frames: Vec<f32>,
    /// Of those the ones that were given already.
    given: usize,
}

impl Deltas {
    fn new(dim: usize, order: usize, width: usize) -> Self {
        Self { dim, order, width, frames: Vec::new(), given: 0 }
    }

    /// The frames whose window is whole.
    fn emit(&mut self, out: &mut Vec<f32>) {
        let count = self.frames.len() / self.dim;
        if self.order == 0 || count < self.width {
            return;
        }
        let known = count - self.width / 2;
        self.give(known, out);
        // The window of the last whole one stays: it is that of the recording's end, if this is it.
        let drop = count - self.width;
        self.frames.drain(..drop * self.dim);
        self.given -= drop;
    }

    fn finish(mut self, out: &mut Vec<f32>) {
        if self.order > 0 {
            self.give(self.frames.len() / self.dim, out);
        }
    }

    fn give(&mut self, end: usize, out: &mut Vec<f32>) {
        let wide = self.dim * (1 + self.order);
        let all = delta::append_deltas(&self.frames, self.dim, self.order, self.width);
        out.extend_from_slice(&all[self.given * wide..end * wide]);
        self.given = end;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FeatureKind, PadMode};
    use super::*;

    fn noise(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * i * 31 + i * 7) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    fn streamed(config: &FeatureConfig, samples: &[f32], piece: usize) -> Result<Vec<f32>> {
        let mut stream = StreamExtractor::new(config)?;
        let (mut out, mut frames) = (Vec::new(), 0);
        for piece in samples.chunks(piece) {
            frames += stream.push(piece, &mut out)?;
        }
        frames += stream.finish(&mut out)?;
        assert_eq!(out.len(), frames * config.num_features());
        Ok(out)
    }

    #[test]
    fn pieces_of_any_size_give_the_bits_of_the_whole() {
        let base = FeatureConfig { n_fft: 64, hop_length: 20, n_mels: 8, n_mfcc: 5, ..Default::default() };
        for kind in [FeatureKind::Power, FeatureKind::LogMel, FeatureKind::Mfcc] {
            for (delta, delta_width) in [(0, 9), (1, 3), (2, 9)] {
                for pad in [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Symmetric] {
                    for center in [true, false] {
                        let config =
                            FeatureConfig { kind, delta, delta_width, pad_mode: pad, center, ..base.clone() };
                        for count in [1, 19, 33, 63, 64, 65, 66, 127, 300, 1_000] {
                            let samples = noise(count);
                            let whole = Extractor::new(&config).unwrap().extract(&samples);
                            for piece in [1, 7, 64, 5_000] {
                                match (&whole, streamed(&config, &samples, piece)) {
                                    (Ok(whole), Ok(out)) => {
                                        assert_eq!(whole.data, out, "{config:?} {count} {piece}");
                                    }
                                    (Err(whole), Err(error)) => assert_eq!(*whole, error),
                                    (whole, _) => panic!("{whole:?} {count} {piece}"),
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn little_is_kept_of_a_long_recording() {
        let config = FeatureConfig { delta: 2, ..FeatureConfig::default() };
        let (samples, mut out) = (noise(300_000), Vec::new());
        let whole = Extractor::new(&config).unwrap().extract(&samples).unwrap();
        let mut stream = StreamExtractor::new(&config).unwrap();
        for piece in samples.chunks(1_000) {
            stream.push(piece, &mut out).unwrap();
            assert!(stream.samples.len() < 20_000 && stream.deltas.frames.len() < 64 * 20);
        }
        stream.finish(&mut out).unwrap();
        assert_eq!(out, whole.data);
    }

    #[test]
    fn what_cannot_stream_and_what_is_damaged_is_said() {
        let cut = FeatureConfig { top_db: Some(80.0), ..FeatureConfig::default() };
        assert!(StreamExtractor::new(&cut).err().unwrap().message.contains("top_db"));
        let mut stream = StreamExtractor::new(&FeatureConfig::default()).unwrap();
        stream.push(&[0.0; 700], &mut vec![]).unwrap();
        let error = stream.push(&[0.0, f32::NAN], &mut vec![]).unwrap_err();
        assert_eq!(error.position, Some(Position::Sample(701)));
    }
}
