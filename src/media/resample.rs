//! One sample rate -> another.

use std::cell::RefCell;
use std::collections::HashMap;

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use crate::{Error, ErrorKind, Result};

/// Least frames per call of the resampler: 0.1 ms to set up, and half a block of delay, which is trimmed.
const CHUNK: usize = 1024;
/// Resamplers kept per thread; a data set has few rates.
const CACHED: usize = 8;

thread_local! {
    static CACHE: RefCell<HashMap<(u32, u32), Fft<f32>>> = RefCell::default();
}

/// Samples after resampling `length` samples from `from` to `to` Hz: `ceil(length * to / from)`, so that the
/// last sample of the input is never cut off. Sample `i` of the output stands at the time `i / to`, and the
/// first samples of both coincide.
pub fn resampled_len(length: usize, from: u32, to: u32) -> usize {
    let exact = (length as u128 * u128::from(to)).div_ceil(u128::from(from.max(1)));
    usize::try_from(exact).unwrap_or(usize::MAX)
}

/// Resamples mono sound with a band limit below the lower of the two Nyquist rates (an FFT method with a
/// squared Blackman-Harris window). Output length: [`resampled_len`]. Equal rates give the samples unchanged.
pub fn resample(samples: Vec<f32>, from: u32, to: u32) -> Result<Vec<f32>> {
    if from == to || samples.is_empty() {
        return Ok(samples);
    }
    let failed = |what: String| failed(from, to, &what);
    CACHE.with_borrow_mut(|cache| {
        if cache.len() >= CACHED && !cache.contains_key(&(from, to)) {
            cache.clear();
        }
        let resampler = match cache.entry((from, to)) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(
                Fft::new(from as usize, to as usize, chunk_size(from, to), 1, FixedSync::Both)
                    .map_err(|e| failed(e.to_string()))?,
            ),
        };
        let length = samples.len();
        let input = InterleavedSlice::new(&samples, 1, length).map_err(|e| failed(e.to_string()))?;
        let mut output =
            resampler.process_all(&input, length, None).map_err(|e| failed(e.to_string()))?.take_data();
        // rubato rounds the length in floating point: it can be off by one.
        output.resize(resampled_len(length, from, to), 0.0);
        Ok(output)
    })
}

/// [`resample`] of sound that is still coming in: the same bits, whatever the pieces.
pub struct StreamResampler {
    from: u32,
    to: u32,
    /// `None` where the rates are equal.
    resampler: Option<Fft<f32>>,
    /// Samples for the next chunk.
    waiting: Vec<f32>,
    /// Samples taken in and given out.
    taken: usize,
    given: usize,
    /// Samples of the filter's delay that are still to be dropped.
    delay: usize,
}

impl StreamResampler {
    pub fn new(from: u32, to: u32) -> Result<Self> {
        let resampler = match from == to {
            true => None,
            false => Some(
                Fft::new(from as usize, to as usize, chunk_size(from, to), 1, FixedSync::Both)
                    .map_err(|e| failed(from, to, &e))?,
            ),
        };
        let delay = resampler.as_ref().map_or(0, Resampler::output_delay);
        Ok(Self { from, to, resampler, waiting: Vec::new(), taken: 0, given: 0, delay })
    }

    /// Appends to `out` what is now known.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.taken += samples.len();
        let Some(resampler) = &self.resampler else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        let chunk = resampler.input_frames_next();
        self.waiting.extend_from_slice(samples);
        let mut rest = std::mem::take(&mut self.waiting);
        let mut done = 0;
        while rest.len() - done >= chunk {
            self.chunk(&rest[done..done + chunk], out)?;
            done += chunk;
        }
        rest.drain(..done);
        self.waiting = rest;
        Ok(())
    }

    /// There is no more: appends the rest. Altogether [`resampled_len`] samples were given.
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(resampler) = &self.resampler else { return Ok(()) };
        let chunk = resampler.input_frames_next();
        let length = resampled_len(self.taken, self.from, self.to);
        let mut last = std::mem::take(&mut self.waiting);
        let before = (out.len(), self.given);
        while self.given < length {
            last.resize(chunk, 0.0);
            self.chunk(&last, out)?;
            last.clear();
        }
        out.truncate(before.0 + length - before.1);
        Ok(())
    }

    fn chunk(&mut self, input: &[f32], out: &mut Vec<f32>) -> Result<()> {
        let (from, to) = (self.from, self.to);
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let input = InterleavedSlice::new(input, 1, input.len()).map_err(|e| failed(from, to, &e))?;
        let output = resampler.process(&input, None).map_err(|e| failed(from, to, &e))?.take_data();
        let dropped = self.delay.min(output.len());
        self.delay -= dropped;
        self.given += output.len() - dropped;
        out.extend_from_slice(&output[dropped..]);
        Ok(())
    }
}

fn failed(from: u32, to: u32, what: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, format!("could not resample {from} to {to} Hz: {what}"))
}

/// At least [`CHUNK`] frames of input, an even number of the smallest blocks that both rates divide into. rubato
/// trims `floor(n / 2)` frames of delay: from an odd `n` the sound would come half a sample off its time.
fn chunk_size(from: u32, to: u32) -> usize {
    let (mut gcd, mut rest) = (from, to);
    while rest > 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    let pair = 2 * (from / gcd.max(1)).max(1) as usize;
    CHUNK.next_multiple_of(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency: f64, rate: u32, length: usize) -> Vec<f32> {
        (0..length)
            .map(|i| (2.0 * std::f64::consts::PI * frequency * i as f64 / f64::from(rate)).sin() as f32)
            .collect()
    }

    #[test]
    fn the_length_is_exact_for_any_pair_of_rates() {
        for from in [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000] {
            for to in [8_000, 16_000, 22_050, 44_100, 48_000] {
                for length in [1, 2, 999, 1_000, 12_347] {
                    let out = resample(vec![0.1; length], from, to).unwrap();
                    assert_eq!(out.len(), resampled_len(length, from, to), "{length} at {from} to {to}");
                    assert!(out.iter().all(|x| x.is_finite()));
                }
            }
        }
        assert_eq!(resampled_len(3, 2, 1), 2);
    }

    #[test]
    fn a_tone_stays_itself_and_in_time() {
        for (from, to) in [(44_100, 16_000), (8_000, 16_000), (48_000, 22_050), (192_000, 16_000)] {
            let out = resample(sine(1_000.0, from, from as usize), from, to).unwrap();
            let want = sine(1_000.0, to, to as usize);
            let inner = to as usize / 10..to as usize * 9 / 10;
            let worst =
                out[inner.clone()].iter().zip(&want[inner]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{from} to {to}: off by {worst}");
        }
    }

    #[test]
    fn pieces_of_any_size_give_the_bits_of_the_whole() {
        for (from, to) in
            [(44_100, 16_000), (8_000, 16_000), (48_000, 16_000), (16_000, 16_000), (11_025, 8_000)]
        {
            for length in [1, 2, 500, 1_500, 7_001] {
                let samples: Vec<f32> =
                    (0..length).map(|i| ((i * i * 31) % 1009) as f32 / 504.5 - 1.0).collect();
                let whole = resample(samples.clone(), from, to).unwrap();
                for piece in [1, 333, 10_000] {
                    let (mut stream, mut out) = (StreamResampler::new(from, to).unwrap(), Vec::new());
                    samples.chunks(piece).for_each(|piece| stream.push(piece, &mut out).unwrap());
                    stream.finish(&mut out).unwrap();
                    assert_eq!(out.len(), whole.len(), "{from} {to} {length}");
                    assert_eq!(out, whole, "{from} {to} {length} {piece}");
                }
            }
        }
    }

    #[test]
    fn a_tone_above_the_new_nyquist_vanishes() {
        let out = resample(sine(7_000.0, 44_100, 44_100), 44_100, 8_000).unwrap();
        let loudest = out[800..7_200].iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(loudest < 1e-4, "{loudest}");
    }

    #[test]
    fn the_cached_resampler_forgets_what_it_heard() {
        let tone = sine(440.0, 8_000, 5_000);
        let first = resample(tone.clone(), 8_000, 16_000).unwrap();
        resample(vec![1.0; 3_333], 8_000, 16_000).unwrap();
        assert_eq!(resample(tone, 8_000, 16_000).unwrap(), first);
    }
}
