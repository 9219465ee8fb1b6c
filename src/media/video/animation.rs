//! Animated GIF, WebP and PNG; a still picture is one frame.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{
    AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder, ImageError, ImageFormat, ImageReader,
};

use super::super::limits::{MAX_ANIMATION_FRAMES, MAX_ANIMATION_PIXELS};
use super::count::{check_webp_exif, count_frames};
use super::{
    VideoInfo, VideoOptions, check_pixels, codec_name, decoded, limits, open_picture, picture_error,
    too_many_frames,
};
use crate::guard::guard;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

/// Ticks a second: all three formats count in units that divide it or are rounded to it, once for each time.
const TICKS: u32 = 1000;
/// A frame of a GIF that would be shown for less is shown for `USUAL_DELAY`, as browsers and ffmpeg do.
const SHORTEST_GIF_DELAY: u64 = 20;
const USUAL_GIF_DELAY: u64 = 100;

pub(super) struct Animation {
    frames: Kind,
    is_gif: bool,
    /// When the next frame is shown, in ticks: a fraction.
    time: (u64, u64),
    number: u64,
    ended: bool,
}

enum Kind {
    Moving(Frames<'static>),
    Still(Option<Box<DynamicImage>>),
}

impl Animation {
    /// # Errors
    /// Besides those of the file, [`ErrorKind::Limit`] where there are more frames, or pixels of all of them, than
    /// [`MAX_ANIMATION_FRAMES`], or than `options` allows, and [`MAX_ANIMATION_PIXELS`].
    pub fn open(path: &Path, options: &VideoOptions) -> Result<(Self, VideoInfo)> {
        let reader = ImageReader::new(open_picture(path)?)
            .with_guessed_format()
            .map_err(|error| Error::io(&error, path))?;
        let format = reader.format();
        let Some((format, codec)) = format.and_then(|format| Some((format, codec_name(format)?))) else {
            return Err(Error::new(ErrorKind::UnknownFormat, "this is no picture that Percept reads"));
        };
        let most = options.max_frames.unwrap_or(MAX_ANIMATION_FRAMES);
        let count = count_frames(open_picture(path)?, format, most);
        if count > most {
            return Err(too_many_frames(most));
        }
        let frames = guard(|| frames(reader, format, count as u64, options))
            .unwrap_or_else(|what| Err(stumbled(&what)))?;
        let info = VideoInfo {
            container: codec.to_string(),
            codec: codec.to_string(),
            time_base: TimeBase { numerator: 1, denominator: TICKS },
        };
        let is_gif = format == ImageFormat::Gif;
        Ok((Self { frames, is_gif, time: (0, 1), number: 0, ended: false }, info))
    }

    /// Damage ends the animation with a warning; what came before is good.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the system cannot read on.
    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Result<Option<VideoFrame>> {
        if self.ended {
            return Ok(None);
        }
        let ticks = ((2 * self.time.0 + self.time.1) / (2 * self.time.1)) as i64;
        self.number += 1;
        let picture = match &mut self.frames {
            Kind::Still(picture) => picture.take().map(|picture| *picture),
            Kind::Moving(frames) => match next(frames) {
                None => None,
                Some(Ok(frame)) => {
                    let (numerator, denominator) = frame.delay().numer_denom_ms();
                    self.wait(u64::from(numerator), u64::from(denominator.max(1)));
                    Some(DynamicImage::from(frame.into_buffer()))
                }
                Some(Err(error)) => {
                    self.ended = true;
                    if error.kind == ErrorKind::Io {
                        return Err(error);
                    }
                    warnings.push(format!(
                        "the animation ends early, at frame {}: {}",
                        self.number, error.message
                    ));
                    None
                }
            },
        };
        let Some(picture) = picture else { return Ok(None) };
        let rgb = picture.into_rgb8();
        let (width, height) = rgb.dimensions();
        Ok(Some(VideoFrame { width, height, pixels: rgb.into_raw(), ticks }))
    }

    /// Adds a delay in milliseconds, exactly.
    fn wait(&mut self, mut numerator: u64, mut denominator: u64) {
        if self.is_gif && numerator < SHORTEST_GIF_DELAY * denominator {
            (numerator, denominator) = (USUAL_GIF_DELAY, 1);
        }
        let (time, unit) = self.time;
        // Denominators are nearly always 1; where they grow too large the fraction is rounded to the tick.
        let sum = time
            .checked_mul(denominator)
            .zip(numerator.checked_mul(unit))
            .and_then(|(a, b)| a.checked_add(b));
        self.time = match (sum, unit.checked_mul(denominator)) {
            (Some(sum), Some(unit)) => reduced(sum, unit),
            _ => (time / unit + numerator / denominator, 1),
        };
    }
}

fn reduced(numerator: u64, denominator: u64) -> (u64, u64) {
    let (mut gcd, mut rest) = (numerator, denominator);
    while rest > 0 {
        (gcd, rest) = (rest, gcd % rest);
    }
    (numerator / gcd.max(1), denominator / gcd.max(1))
}

fn frames(
    mut reader: ImageReader<BufReader<File>>,
    format: ImageFormat,
    count: u64,
    options: &VideoOptions,
) -> Result<Kind> {
    let failed = |error: ImageError| picture_error(&error);
    let still = |picture| Kind::Still(Some(Box::new(picture)));
    let max_pixels = options.max_pixels();
    match format {
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(reader.into_inner()).map_err(failed)?;
            decoder.set_limits(limits()).map_err(failed)?;
            check_all(&decoder, count, max_pixels)?;
            Ok(Kind::Moving(decoder.into_frames()))
        }
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(reader.into_inner(), limits()).map_err(failed)?;
            if !decoder.is_apng().map_err(failed)? {
                return decoded(decoder, max_pixels).map(still);
            }
            check_all(&decoder, count, max_pixels)?;
            Ok(Kind::Moving(decoder.apng().map_err(failed)?.into_frames()))
        }
        ImageFormat::WebP => {
            let mut file = reader.into_inner();
            let exif = check_webp_exif(&mut file);
            let mut decoder = WebPDecoder::new(file).map_err(failed)?;
            decoder.set_limits(limits()).map_err(failed)?;
            if !decoder.has_animation() {
                exif?;
                return decoded(decoder, max_pixels).map(still);
            }
            check_all(&decoder, count, max_pixels)?;
            Ok(Kind::Moving(decoder.into_frames()))
        }
        _ => {
            reader.limits(limits());
            decoded(reader.into_decoder().map_err(failed)?, max_pixels).map(still)
        }
    }
}

/// Meets the size of the frames, and of all of them together, with the limits.
fn check_all(decoder: &impl ImageDecoder, count: u64, max_pixels: u64) -> Result<()> {
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, max_pixels)?;
    let pixels = (u64::from(width) * u64::from(height)).saturating_mul(count);
    if pixels <= MAX_ANIMATION_PIXELS {
        return Ok(());
    }
    let message = format!(
        "its {count} frames of {width} x {height} are more than {MAX_ANIMATION_PIXELS} pixels; cut it into parts, or \
         make a video of it"
    );
    Err(Error::new(ErrorKind::Limit, message))
}

fn next(frames: &mut Frames) -> Option<Result<Frame>> {
    match guard(|| frames.next()) {
        Ok(frame) => Some(frame?.map_err(|error| picture_error(&error))),
        Err(what) => Some(Err(stumbled(&what))),
    }
}

/// A decoder that panics has met a damaged picture.
fn stumbled(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("its decoder stumbled over it ({what})"))
}

#[cfg(test)]
mod tests {
    use super::super::{VideoOptions, VideoReader};
    use super::*;
    use image::codecs::gif::GifEncoder;
    use image::{Delay, Rgba, RgbaImage};

    fn gif(path: &Path, delays: &[u32]) {
        let mut encoder = GifEncoder::new(File::create(path).unwrap());
        for (i, &delay) in delays.iter().enumerate() {
            let picture = RgbaImage::from_pixel(3, 2, Rgba([(40 * i) as u8, 0, 0, 255]));
            let delay = Delay::from_numer_denom_ms(delay, 1);
            encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay)).unwrap();
        }
    }

    #[test]
    fn frames_of_a_gif_have_the_times_that_browsers_give_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        gif(&path, &[50, 200, 0, 10, 20]);
        let mut reader = VideoReader::open(&path, &VideoOptions::default()).unwrap();
        let mut ticks = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            assert_eq!((frame.width, frame.height, frame.pixels.len()), (3, 2, 18));
            ticks.push(frame.ticks);
        }
        assert_eq!(ticks, [0, 50, 250, 350, 450]);
        assert_eq!(reader.info().time_base.seconds(450), 0.45);
    }

    #[test]
    fn a_still_picture_is_one_frame_and_damage_ends_an_animation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        RgbaImage::from_pixel(3, 2, Rgba([7, 0, 0, 255])).save(&path).unwrap();
        let mut reader = VideoReader::open(&path, &VideoOptions::default()).unwrap();
        assert_eq!(reader.next_frame().unwrap().unwrap().pixels[0], 7);
        assert!(reader.next_frame().unwrap().is_none());
        let path = folder.path().join("a.gif");
        gif(&path, &[50; 8]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let mut reader = VideoReader::open(&path, &VideoOptions::default()).unwrap();
        let mut frames = 0;
        while reader.next_frame().unwrap().is_some() {
            frames += 1;
        }
        assert!((1..8).contains(&frames));
        assert!(reader.warnings()[0].contains("ends early"), "{:?}", reader.warnings());
    }

    #[test]
    fn delays_add_up_without_drift() {
        let mut animation =
            Animation { frames: Kind::Still(None), is_gif: false, time: (0, 1), number: 0, ended: false };
        (0..3_000).for_each(|_| animation.wait(100, 3));
        assert_eq!(animation.time, (100_000, 1));
    }
}
