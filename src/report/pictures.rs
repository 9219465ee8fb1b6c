//! A small picture of each file: its spectrogram, or pictures of its video side by side.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

use crate::features::config::MAX_HOP_LENGTH;
use crate::features::{FeatureConfig, StreamExtractor};
use crate::media::video::VideoReader;
use crate::media::{AudioStream, MediaOptions};
use crate::output::preview::{Spectrogram, Strip, magma};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// Most bytes of a picture as it stands in the page, in base64.
pub const MAX_PICTURE_BYTES: usize = 16 << 10;
/// Bytes of all pictures of a page, about: many rows share them, so that each gets less.
pub const MAX_PICTURES_BYTES: usize = 64 << 20;
/// What a picture may always have.
pub const LEAST_PICTURE_BYTES: usize = 4 << 10;

/// Size of a spectrogram in pixels; one row of them a mel band.
const WIDTH: u32 = 480;
const BANDS: u32 = 64;
/// Colours of a spectrogram: four bits a pixel.
const COLOURS: u8 = 16;
/// Frames that a spectrogram is made of: a long recording is looked at in places, evenly.
const MOST_FRAMES: f64 = 4000.0;
/// Seconds from one frame to the next, where these are not more.
const HOP: f64 = 0.005;
/// Seconds of a frame, at least.
const WINDOW: f64 = 0.032;
/// Pictures of a video side by side, and their height in pixels.
const CELLS: u32 = 10;
const CELL_HEIGHT: u32 = 72;

/// How many bytes each of so many rows has for its picture, at most.
pub fn bytes_for_rows(rows: usize) -> usize {
    (MAX_PICTURES_BYTES / rows.max(1)).clamp(LEAST_PICTURE_BYTES, MAX_PICTURE_BYTES)
}

/// A picture along the whole time of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Of the bytes.
    pub kind: PictureKind,
    /// Seconds at its left edge.
    pub start: f64,
    /// Seconds at its right edge.
    pub end: f64,
    /// Base64.
    pub data: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PictureKind {
    /// A PNG: low frequencies at the bottom, `top` Hz at the upper edge, mel bands between.
    Spectrogram { top: f32 },
    /// A JPEG: so many pictures side by side, each the one at the middle of its part of the time.
    /// `aspect`: the width of one over its height.
    Cells { count: u32, aspect: f32 },
}

impl Picture {
    /// Reads the whole file as `media` says. `duration`: seconds, as far as they are known. The same file gives the same bytes.
    ///
    /// # Errors
    /// Those of reading the media; [`ErrorKind::UnsupportedCodec`] for vectors, which cannot be seen.
    pub fn of(
        path: &Path,
        kind: InputKind,
        media: &MediaOptions,
        duration: Option<f64>,
        limit: usize,
    ) -> Result<Self> {
        match kind {
            InputKind::Audio => spectrogram(path, media, duration.unwrap_or(0.0), limit),
            InputKind::Video => cells(path, media, limit),
            InputKind::Vectors => Err(Error::new(ErrorKind::UnsupportedCodec, "vectors have no picture")),
        }
    }
}

/// At the file's own rate: what is high up is shown, too.
fn spectrogram(path: &Path, media: &MediaOptions, duration: f64, limit: usize) -> Result<Picture> {
    // At its own rate, whatever a model takes.
    let options = crate::media::AudioOptions { sample_rate: None, ..media.audio.clone() };
    let mut sound = AudioStream::open(path, &options)?;
    let rate = sound.sample_rate();
    let samples = |seconds: f64| (seconds * f64::from(rate)) as usize;
    let hop = samples(HOP.max(duration / MOST_FRAMES)).clamp(1, MAX_HOP_LENGTH);
    // The extractor wants a rate of its range; the mel scale is then a little off, far below what can be heard.
    let config = FeatureConfig {
        sample_rate: rate.max(crate::features::config::SAMPLE_RATE_RANGE.0),
        n_fft: samples(WINDOW).max(64).next_power_of_two(),
        hop_length: hop,
        n_mels: BANDS as usize,
        ..FeatureConfig::default()
    };
    let mut extractor = StreamExtractor::new(&config)?;
    let mut spectrogram = Spectrogram::new(BANDS as usize, Vec::new());
    let (mut block, mut frames) = (Vec::new(), Vec::new());
    while sound.next_block(&mut block)? {
        extractor.push(&block, &mut frames)?;
        spectrogram.push(&frames);
        frames.clear();
    }
    extractor.finish(&mut frames)?;
    spectrogram.push(&frames);
    let length = sound.num_samples() as f64 / f64::from(sound.finish()?.sample_rate);
    let mut width = WIDTH.min(spectrogram.frames().try_into().unwrap_or(WIDTH)).max(1);
    loop {
        let png = coded(&spectrogram.strengths(width, BANDS), width)?;
        let data = BASE64_STANDARD.encode(png);
        if data.len() <= limit || width == 1 {
            let kind = PictureKind::Spectrogram { top: config.sample_rate as f32 / 2.0 };
            return Ok(Picture { kind, start: 0.0, end: length, data });
        }
        // Its bytes are about as many as its pixels.
        let fits = f64::from(width) * limit as f64 / data.len() as f64;
        width = (fits as u32).min(width * 15 / 16).max(1);
    }
}

/// `[BANDS, width]` -> PNG with a table of colours.
fn coded(strengths: &[f32], width: u32) -> Result<Vec<u8>> {
    let failed = |error: png::EncodingError| Error::new(ErrorKind::Internal, error.to_string());
    let last = f32::from(COLOURS - 1);
    let colour = |strength: f32| (strength.clamp(0.0, 1.0) * last).round() as u8;
    let mut pixels = Vec::new();
    for row in strengths.chunks_exact(width as usize) {
        let two = |pair: &[f32]| colour(pair[0]) << 4 | pair.get(1).map_or(0, |&right| colour(right));
        pixels.extend(row.chunks(2).map(two));
    }
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width, BANDS);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Four);
    encoder.set_palette((0..COLOURS).flat_map(|i| magma(f32::from(i) / last).0).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(png)
}

fn cells(path: &Path, media: &MediaOptions, limit: usize) -> Result<Picture> {
    let mut video = VideoReader::open(path, &media.video)?;
    let time_base = video.info().time_base;
    let mut strip = Strip::new();
    let (mut first, mut last, mut before) = (None, 0.0, 0.0);
    while let Some(frame) = video.next_frame()? {
        let seconds = time_base.seconds(frame.ticks);
        first.get_or_insert(seconds);
        (before, last) = (last, seconds);
        strip.push(seconds, &frame);
    }
    let start = first.unwrap_or(0.0);
    // The last one is shown as long as the one before it.
    let end = last + if last > start { last - before } else { 0.0 };
    for (count, height, quality) in [
        (CELLS, CELL_HEIGHT, 70),
        (CELLS, CELL_HEIGHT, 45),
        (CELLS, CELL_HEIGHT * 2 / 3, 45),
        (CELLS / 2, CELL_HEIGHT * 2 / 3, 40),
        (CELLS / 2, CELL_HEIGHT / 2, 30),
        (3, CELL_HEIGHT / 3, 20),
    ] {
        let Some(sheet) = strip.sheet(start, end, count, height) else { break };
        let data = BASE64_STANDARD.encode(jpeg(&sheet, quality)?);
        if data.len() <= limit {
            let aspect = sheet.width() as f32 / count as f32 / sheet.height() as f32;
            return Ok(Picture { kind: PictureKind::Cells { count, aspect }, start, end, data });
        }
    }
    Err(Error::new(ErrorKind::Limit, "its pictures are larger than a row may be"))
}

fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoded = JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image);
    encoded.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
    }

    fn decoded(picture: &Picture) -> RgbImage {
        image::load_from_memory(&BASE64_STANDARD.decode(&picture.data).unwrap()).unwrap().to_rgb8()
    }

    #[test]
    fn a_spectrogram_shows_a_tone_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tone.wav");
        // Second half only, at 1 kHz.
        let sample =
            |n: usize| if n < 8000 { 0.0 } else { 0.5 * (n as f32 * std::f32::consts::TAU / 8.0).sin() };
        let samples: Vec<f32> = (0..16_000).map(sample).collect();
        crate::media::write_wav(&path, &crate::signal::Signal { samples, sample_rate: 8000 }).unwrap();
        let picture =
            Picture::of(&path, InputKind::Audio, &MediaOptions::default(), Some(2.0), MAX_PICTURE_BYTES)
                .unwrap();
        assert_eq!((picture.start, picture.end), (0.0, 2.0));
        assert_eq!(picture.kind, PictureKind::Spectrogram { top: 4000.0 });
        let image = decoded(&picture);
        let brightness = |x, y| image.get_pixel(x, y).0.iter().map(|&v| u32::from(v)).sum::<u32>();
        let brightest = |x: u32| (0..BANDS).max_by_key(|&y| brightness(x, y)).unwrap();
        let width = image.width();
        // 1 kHz is at 15 of the 35.2 mels (Slaney) up to 4 kHz.
        let expected = f64::from(BANDS) * (1.0 - 15.0 / (15.0 + 4.0_f64.ln() / (6.4_f64.ln() / 27.0)));
        assert!((f64::from(brightest(width * 3 / 4)) - expected).abs() < 2.0, "{expected}");
        assert!(brightness(width / 4, brightest(width * 3 / 4)) < 100);
    }

    #[test]
    fn a_picture_keeps_its_bound_and_is_the_same_each_time() {
        for (name, kind) in [("dog.ogg", InputKind::Audio), ("gesture.mp4", InputKind::Video)] {
            for limit in [LEAST_PICTURE_BYTES, 6000, MAX_PICTURE_BYTES] {
                let picture =
                    Picture::of(&asset(name), kind, &MediaOptions::default(), Some(5.0), limit).unwrap();
                assert!(picture.data.len() <= limit && picture.data.len() > 2000, "{name} {limit}");
                assert_eq!(
                    Picture::of(&asset(name), kind, &MediaOptions::default(), Some(5.0), limit).unwrap(),
                    picture
                );
                decoded(&picture);
            }
        }
    }

    #[test]
    fn many_rows_share_the_bytes() {
        assert_eq!([0, 1, 4096, 10_000, 100_000].map(bytes_for_rows), [16_384, 16_384, 16_384, 6710, 4096]);
    }
}
