//! Pictures in motion: one way to read them frame by frame, whatever they come from.

mod animation;
mod clock;
mod count;
mod facts;
mod ffmpeg;
#[cfg(feature = "h264")]
mod h264;
mod images;
#[cfg(feature = "h264")]
mod mkv;
#[cfg(feature = "h264")]
mod mp4;
#[cfg(feature = "h264")]
mod mp4_reader;
#[cfg(feature = "h264")]
mod rgb;
mod sample;
#[cfg(feature = "h264")]
mod sps;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, Limits};

use super::ffmpeg::no_such_program;
use super::limits::{MAX_FPS, MAX_FRAME_BYTES, MAX_FRAME_SIDE, MAX_FRAMES, MAX_PIXELS};
use super::reader::too_long;
use super::sniff::{Container, sniff};
use crate::error::is_of_the_system;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};
use animation::Animation;
use images::Images;

pub use facts::{SeenFrame, Video, frame_rate};
pub(crate) use images::{USUAL_FPS, pictures};
pub use sample::Sampler;

/// How a video is to be read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VideoOptions {
    /// Frames a second of a directory of pictures, over what `frames.json` says.
    pub fps: Option<f64>,
    /// Video track, counted from 0 among the video tracks (cover art and pictures of chapters are none); `None` takes the
    /// file's default.
    pub video_track: Option<usize>,
    /// Number of a programme in an MPEG transport stream: the video tracks are then those of this programme.
    pub program: Option<u32>,
    /// Longest video that is read, in seconds; `None`: any, as pictures of years may follow each other.
    pub max_duration: Option<f64>,
    /// Most frames of one video; `None`: [`MAX_FRAMES`], and [`MAX_ANIMATION_FRAMES`] of an animated picture.
    pub max_frames: Option<usize>,
    /// Most pixels of one frame; `None`: [`MAX_PIXELS`], which is the most that can be asked for.
    pub max_pixels: Option<u64>,
}

impl VideoOptions {
    fn max_pixels(&self) -> u64 {
        self.max_pixels.map_or(MAX_PIXELS, |pixels| pixels.min(MAX_PIXELS))
    }
}

/// What a video is.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// `images`, `gif`, `webp`, `png`, `mp4`, `mov`, `mkv`, ...
    pub container: String,
    /// ffmpeg's name of the pictures' kind: `mjpeg`, `png`, `gif`, `h264`, ...; `mixed`.
    pub codec: String,
    pub time_base: TimeBase,
}

/// Reads a video frame by frame, in bounded memory.
///
/// A frame that cannot be read is left out with a warning that names it; the others keep their times.
pub struct VideoReader {
    info: VideoInfo,
    source: Source,
    max_duration: f64,
    max_frames: usize,
    max_pixels: u64,
    frames: usize,
    /// Size of the first frame.
    size: Option<(u32, u32)>,
    other_sizes: usize,
    warnings: Vec<String>,
}

enum Source {
    Images(Images),
    Animation(Animation),
    #[cfg(feature = "h264")]
    Mp4(Box<mp4::Mp4Video>),
    #[cfg(feature = "h264")]
    Mkv(Box<mkv::MkvVideo>),
    Ffmpeg(Box<ffmpeg::FfmpegVideo>),
}

impl VideoReader {
    /// Opens a directory of pictures, an animated GIF, WebP or PNG (a still one is a video of one frame), H.264 in MP4, MOV
    /// or Matroska, whose pictures are turned as the file says, or what the `ffmpeg` program decodes, where there is one.
    ///
    /// Errors: `NotFound`, `PermissionDenied`, `Path`, `Empty` (no frame, no video track), `UnknownFormat`,
    /// `UnsupportedCodec`, `Damaged`, `Limit`, `Config` (frames a second out of range, a track or programme that is not
    /// there).
    pub fn open(path: &Path, options: &VideoOptions) -> Result<Self> {
        Self::open_any(path, options).map_err(|error| error.with_path(path))
    }

    fn open_any(path: &Path, options: &VideoOptions) -> Result<Self> {
        if let Some(fps) = options.fps {
            check_fps(fps)?;
        }
        let mut warnings = Vec::new();
        let (source, info) = if path.is_dir() {
            no_tracks(options)?;
            let (images, info) = Images::open(path, options, &mut warnings)?;
            (Source::Images(images), info)
        } else {
            open_file(path, options, &mut warnings)?
        };
        Ok(Self {
            info,
            source,
            max_duration: options.max_duration.unwrap_or(f64::INFINITY),
            max_frames: options.max_frames.unwrap_or(MAX_FRAMES),
            max_pixels: options.max_pixels(),
            frames: 0,
            size: None,
            other_sizes: 0,
            warnings,
        })
    }

    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The next frame in the order of time; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Empty`] at the end where not one frame could be read, [`ErrorKind::Limit`], [`ErrorKind::Io`] where the
    /// system cannot read on.
    pub fn next_frame(&mut self) -> Result<Option<VideoFrame>> {
        let frame = match &mut self.source {
            Source::Images(images) => images.next_frame(&mut self.warnings)?,
            Source::Animation(animation) => animation.next_frame(&mut self.warnings)?,
            #[cfg(feature = "h264")]
            Source::Mp4(video) => video.next_frame(&mut self.warnings)?,
            #[cfg(feature = "h264")]
            Source::Mkv(video) => video.next_frame(&mut self.warnings)?,
            Source::Ffmpeg(video) => video.next_frame(&mut self.warnings),
        };
        let Some(frame) = frame else {
            if self.frames == 0 {
                let why = self.warnings.last().map_or(String::new(), |why| format!("; {why}"));
                return Err(Error::new(ErrorKind::Empty, format!("not one frame can be read{why}")));
            }
            return Ok(None);
        };
        if self.frames == self.max_frames {
            return Err(too_many_frames(self.max_frames));
        }
        check_pixels(frame.width, frame.height, self.max_pixels)?;
        if self.info.time_base.seconds(frame.ticks) > self.max_duration {
            return Err(too_long(self.max_duration));
        }
        self.frames += 1;
        let size = (frame.width, frame.height);
        self.other_sizes += usize::from(*self.size.get_or_insert(size) != size);
        Ok(Some(frame))
    }

    /// Where the frame last read comes from: the name of its file, in a directory.
    pub fn file_name(&self) -> Option<&str> {
        match &self.source {
            Source::Images(images) => images.file_name(),
            _ => None,
        }
    }

    /// What a person should know; complete after the last frame.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if let (Some((width, height)), 1..) = (self.size, self.other_sizes) {
            let others = self.other_sizes;
            warnings.push(format!("{others} frames have another size than the first, {width} x {height}"));
        }
        warnings
    }
}

fn open_file(path: &Path, options: &VideoOptions, warnings: &mut Vec<String>) -> Result<(Source, VideoInfo)> {
    let unsupported = |message: &str| Err(Error::new(ErrorKind::UnsupportedCodec, message));
    let native = match sniff(open_picture(path)?.get_mut())?.0 {
        Container::Mp4 => no_programs(options).and_then(|()| open_mp4(path, options)),
        container @ (Container::Matroska | Container::WebM) => {
            no_programs(options).and_then(|()| open_mkv(path, container, options))
        }
        _ if is_picture(path) => {
            no_tracks(options)?;
            return Animation::open(path, options)
                .map(|(animation, info)| (Source::Animation(animation), info));
        }
        Container::Text => Err(Error::new(
            ErrorKind::UnknownFormat,
            "this is a text, no video and no picture; is the path right?",
        )),
        Container::Foreign(what) => {
            unsupported(&format!("this is {what}, which Percept does not read by itself"))
        }
        _ => unsupported("this is no picture, and no video that Percept reads by itself"),
    };
    match native {
        Err(native) if matches!(native.kind, ErrorKind::UnsupportedCodec | ErrorKind::Damaged) => {
            let (video, info) = ffmpeg::FfmpegVideo::open(path, options, &native)?;
            warnings.push(format!(
                "decoded by the ffmpeg program ({} in {}): {}",
                info.codec, info.container, native.message
            ));
            Ok((Source::Ffmpeg(Box::new(video)), info))
        }
        native => native,
    }
}

#[cfg(feature = "h264")]
fn open_mp4(path: &Path, options: &VideoOptions) -> Result<(Source, VideoInfo)> {
    let (video, info) = mp4::Mp4Video::open(path, options.video_track)?;
    Ok((Source::Mp4(Box::new(video)), info))
}

#[cfg(feature = "h264")]
fn open_mkv(path: &Path, container: Container, options: &VideoOptions) -> Result<(Source, VideoInfo)> {
    let (video, info) = mkv::MkvVideo::open(path, container, options.video_track)?;
    Ok((Source::Mkv(Box::new(video)), info))
}

#[cfg(not(feature = "h264"))]
fn open_mp4(_: &Path, _: &VideoOptions) -> Result<(Source, VideoInfo)> {
    Err(Error::new(ErrorKind::UnsupportedCodec, "this program is built without its feature `h264`"))
}

#[cfg(not(feature = "h264"))]
fn open_mkv(path: &Path, _: Container, options: &VideoOptions) -> Result<(Source, VideoInfo)> {
    open_mp4(path, options)
}

/// The position of the video track that is meant, of so many.
pub(super) fn choose(asked: Option<usize>, default: usize, there: usize) -> Result<usize> {
    match asked.unwrap_or(default) {
        _ if there == 0 => Err(Error::new(ErrorKind::Empty, "the file holds no video track")),
        track if track < there => Ok(track),
        track => {
            let tracks = if there == 1 { "1 video track" } else { &format!("{there} video tracks") };
            let number = track.saturating_add(1);
            Err(Error::new(ErrorKind::Config, format!("there is no video track {number}; there is {tracks}")))
        }
    }
}

fn no_tracks(options: &VideoOptions) -> Result<()> {
    no_programs(options)?;
    choose(options.video_track, 0, 1).map(drop)
}

pub(super) fn no_programs(options: &VideoOptions) -> Result<()> {
    match options.program {
        None => Ok(()),
        Some(program) => Err(no_such_program(program, &[])),
    }
}

/// Whether `path` is a video made of pictures: a directory that holds pictures and no other media.
pub fn is_directory_of_images(path: &Path) -> bool {
    images::holds_only_images(path)
}

/// Whether `path` is a file of a picture, still or moving, by its first bytes.
pub fn is_picture(path: &Path) -> bool {
    picture_format(path).is_some()
}

/// Whether `path` is a picture that may be one frame of a directory of pictures.
pub(super) fn is_still_picture(path: &Path) -> bool {
    picture_format(path).is_some_and(|format| format != image::ImageFormat::Gif)
}

/// Whether `path` has the ending of sound or video.
pub(super) fn has_media_ending(path: &Path) -> bool {
    images::has_media_ending(path)
}

fn picture_format(path: &Path) -> Option<image::ImageFormat> {
    // A pipe would hang.
    let file = path.is_file().then(|| File::open(path).ok()).flatten()?;
    let head = crate::files::first_bytes(file, 16).ok()?;
    image::guess_format(&head).ok().filter(|format| codec_name(*format).is_some())
}

/// ffmpeg's name of the kinds of pictures that are read.
fn codec_name(format: image::ImageFormat) -> Option<&'static str> {
    use image::ImageFormat as Format;
    match format {
        Format::Jpeg => Some("mjpeg"),
        Format::Png => Some("png"),
        Format::WebP => Some("webp"),
        Format::Bmp => Some("bmp"),
        Format::Tiff => Some("tiff"),
        Format::Gif => Some("gif"),
        _ => None,
    }
}

fn check_fps(fps: f64) -> Result<()> {
    if fps > 0.0 && fps <= MAX_FPS {
        return Ok(());
    }
    let message = format!("{fps} frames a second; it must be above 0 and at most {MAX_FPS}");
    Err(Error::new(ErrorKind::Config, message))
}

fn too_many_frames(most: usize) -> Error {
    let message = format!("it has more than {most} frames; cut it into parts, or allow more (--max-frames)");
    Error::new(ErrorKind::Limit, message)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_FRAME_SIDE);
    limits.max_image_height = Some(MAX_FRAME_SIDE);
    limits.max_alloc = Some(MAX_FRAME_BYTES);
    limits
}

/// Bytes of a picture in RGB, where it is within the limits.
fn check_size(width: u32, height: u32) -> Result<u64> {
    let bytes = 3 * u64::from(width) * u64::from(height);
    match width.max(height) > MAX_FRAME_SIDE || bytes > MAX_FRAME_BYTES {
        true => Err(too_large()),
        false if bytes == 0 => Err(Error::new(ErrorKind::Damaged, "the picture has no pixels")),
        false => Ok(bytes),
    }
}

/// Meets the size of a picture with what is allowed; [`MAX_PIXELS`] at most.
fn check_pixels(width: u32, height: u32, most: u64) -> Result<()> {
    check_size(width, height)?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels <= most {
        return Ok(());
    }
    let message = format!("the picture has {pixels} pixels, more than {most} (--max-pixels)");
    Err(Error::new(ErrorKind::Limit, message))
}

/// Decodes a picture that is within the limits, the right way up as its EXIF tag says.
fn decoded(mut decoder: impl ImageDecoder, max_pixels: u64) -> Result<DynamicImage> {
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, max_pixels)?;
    // The decoder does not count what it gives: up to 8 bytes a pixel.
    if decoder.total_bytes() > MAX_FRAME_BYTES {
        return Err(too_large());
    }
    let failed = |error: ImageError| picture_error(&error);
    let orientation = decoder.orientation().map_err(failed)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(failed)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn too_large() -> Error {
    let message = format!(
        "the picture is larger than {MAX_FRAME_SIDE} x {MAX_FRAME_SIDE} pixels or than {} MB in memory",
        MAX_FRAME_BYTES >> 20
    );
    Error::new(ErrorKind::Limit, message)
}

/// A decoder's error in our words.
fn picture_error(error: &ImageError) -> Error {
    match error {
        ImageError::Limits(_) => too_large(),
        ImageError::IoError(error) if is_of_the_system(error) => Error::io(error, ""),
        ImageError::Unsupported(error) => Error::new(ErrorKind::UnknownFormat, error.to_string()),
        error => Error::new(ErrorKind::Damaged, format!("the picture is damaged: {error}")),
    }
}

fn open_picture(path: &Path) -> Result<BufReader<File>> {
    let file = crate::files::open_regular(path, "a picture is due")?;
    if file.metadata().map_err(|e| Error::io(&e, path))?.len() == 0 {
        return Err(Error::new(ErrorKind::Empty, "the file is empty (0 bytes)"));
    }
    Ok(BufReader::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_a_second_are_a_positive_number() {
        assert!(check_fps(0.0).is_err() && check_fps(f64::NAN).is_err() && check_fps(25.0).is_ok());
    }
}
