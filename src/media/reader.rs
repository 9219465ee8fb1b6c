//! One way to read sound block by block, whatever decodes it.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::ffmpeg::{self, FfmpegSource};
use super::limits::{MAX_AMPLITUDE, MAX_CHANNELS, MAX_DURATION, MAX_SAMPLE_RATE, MIN_SAMPLE_RATE};
use super::packets::{self, PacketSource};
use super::sniff::{Container, sniff};
use super::wav::WavSource;
use crate::{Error, ErrorKind, Result, files};

/// What one audio stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Short container name: `wav`, `flac`, `ogg`, `mp4`, ...
    pub container: String,
    /// ffmpeg's name: `pcm_s16le`, `flac`, `mp3`, ...
    pub codec: String,
    /// In Hz.
    pub sample_rate: u32,
    pub channels: usize,
}

/// What a decoder did when asked for a block.
pub(super) enum Step {
    /// The block holds whole interleaved frames.
    Block,
    /// There is no more.
    End,
    /// It cannot go on, for this reason. What came before is good.
    Broken(String),
    /// The system could not read on: nothing is said of half a file that may be whole.
    Failed(std::io::Error),
}

enum Source {
    Wav(WavSource),
    Packets(Box<PacketSource>),
    Ffmpeg(FfmpegSource),
}

/// Reads one audio stream of a file, block by block, in bounded memory.
///
/// Damage after good sound ends the stream with a warning, it is no error. Samples that are no numbers, or
/// beyond [`MAX_AMPLITUDE`], are replaced by 0, which is said in a warning.
pub struct AudioReader {
    path: PathBuf,
    info: StreamInfo,
    source: Source,
    /// In seconds.
    max_duration: f64,
    frames: u64,
    ended: bool,
    replaced: u64,
    first_replaced: u64,
    warnings: Vec<String>,
}

impl AudioReader {
    /// Opens `path` by its content. `audio_track` counts from 0 among the audio tracks; `None` takes the
    /// file's default.
    ///
    /// Errors: `NotFound`, `PermissionDenied`, `Path` (no regular file), `Empty`, `UnknownFormat`,
    /// `UnsupportedCodec`, `Damaged`, `Limit`, `Config` (no such track), `ExternalTool`.
    pub fn open(path: &Path, audio_track: Option<usize>) -> Result<Self> {
        Self::open_any(path, audio_track).map_err(|e| e.with_path(path))
    }

    fn open_any(path: &Path, audio_track: Option<usize>) -> Result<Self> {
        let mut file = open_regular(path)?;
        let (container, start) = sniff(&mut file)?;
        let native = match container {
            Container::Wav => single_track(audio_track)
                .and_then(|()| WavSource::open(file, start))
                .map(|(source, info)| (Source::Wav(source), info)),
            Container::Text => return Err(unknown_format("this is a text, not sound; is the path right?")),
            Container::NoSound(what) => {
                return Err(Error::new(ErrorKind::Empty, format!("this is {what}: it holds no sound")));
            }
            Container::Foreign(what) => Err(Error::new(
                ErrorKind::UnsupportedCodec,
                format!("this is {what}, which Percept cannot decode itself"),
            )),
            Container::Unknown => Err(unknown_format("this is no sound file that Percept reads by itself")),
            container => packets::open(file, start, container, path)
                .and_then(|format| PacketSource::open(format, container, path, start, audio_track))
                .map(|(source, info)| (Source::Packets(Box::new(source)), info)),
        };
        let mut warnings = Vec::new();
        let (source, info) = match native {
            Ok(opened) => opened,
            Err(error) if may_ffmpeg_help(&error, container) => {
                let reason = error.message.clone();
                let (source, info) = ffmpeg::open(path, audio_track, error)?;
                warnings.push(format!(
                    "decoded by the ffmpeg program ({} in {}): {reason}",
                    info.codec, info.container
                ));
                (Source::Ffmpeg(source), info)
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_path_buf(),
            info,
            source,
            max_duration: MAX_DURATION,
            frames: 0,
            ended: false,
            replaced: 0,
            first_replaced: 0,
            warnings,
        })
    }

    /// Reads at most so many seconds; otherwise [`MAX_DURATION`].
    pub fn with_max_duration(self, seconds: f64) -> Self {
        Self { max_duration: seconds, ..self }
    }

    pub fn info(&self) -> &StreamInfo {
        &self.info
    }

    /// Whether the `ffmpeg` program decodes it.
    pub fn uses_ffmpeg(&self) -> bool {
        matches!(self.source, Source::Ffmpeg(_))
    }

    /// Samples per channel given so far; after the last block, those of the whole stream.
    pub fn num_samples(&self) -> u64 {
        self.frames
    }

    /// Replaces `block` by the next interleaved samples `[frames * channels]`, full scale at -1..1, always
    /// finite. `false` at the end of the stream, with an empty block.
    ///
    /// Errors: `Damaged`, at the end, when not one sample was a number; `Limit` where the sound is too long; those of the
    /// system, as where its disk fails.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        block.clear();
        while !self.ended {
            let step = match &mut self.source {
                Source::Wav(source) => source.next_block(block),
                Source::Packets(source) => source.next_block(block),
                Source::Ffmpeg(source) => source.next_block(block),
            };
            match step {
                Step::Block if block.is_empty() => {}
                Step::Block => {
                    self.sanitize(block);
                    self.frames += (block.len() / self.info.channels) as u64;
                    check_duration(self.frames as f64 / f64::from(self.info.sample_rate), self.max_duration)?;
                    return Ok(true);
                }
                Step::End => self.finish(None)?,
                Step::Broken(reason) => self.finish(Some(reason))?,
                Step::Failed(error) => {
                    self.ended = true;
                    return Err(Error::io(&error, &self.path));
                }
            }
        }
        block.clear();
        Ok(false)
    }

    fn finish(&mut self, broken: Option<String>) -> Result<()> {
        self.ended = true;
        if self.frames > 0 && self.replaced == self.frames.saturating_mul(self.info.channels as u64) {
            let message =
                "not one sample is a number within range (NaN or infinite throughout): the file is damaged";
            return Err(Error::new(ErrorKind::Damaged, message).with_path(&self.path));
        }
        self.warnings.extend(match &self.source {
            Source::Wav(source) => source.warnings(),
            Source::Packets(source) => source.warnings(self.frames),
            Source::Ffmpeg(source) => source.warnings(),
        });
        if let Some(reason) = broken {
            let place = place(self.frames, self.info.sample_rate);
            self.warnings.push(format!("the sound ends early, at {place}: {reason}"));
        }
        if self.replaced > 0 {
            self.warnings.push(format!(
                "{} replaced by 0: not a number, infinite or out of range; the first at {}",
                super::mix::count(usize::try_from(self.replaced).unwrap_or(usize::MAX), "sample"),
                place(self.first_replaced, self.info.sample_rate)
            ));
        }
        Ok(())
    }

    fn sanitize(&mut self, block: &mut [f32]) {
        // NaN compares false, so it fails the test as well. Without a branch this is a fast scan.
        if block.iter().fold(true, |good, x| good & (x.abs() <= MAX_AMPLITUDE)) {
            return;
        }
        for (i, x) in block.iter_mut().enumerate() {
            if x.is_nan() || x.abs() > MAX_AMPLITUDE {
                if self.replaced == 0 {
                    self.first_replaced = self.frames + (i / self.info.channels) as u64;
                }
                self.replaced += 1;
                *x = 0.0;
            }
        }
    }

    /// What a person should know; complete after the last block.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Opens a regular file that holds something.
pub(super) fn open_regular(path: &Path) -> Result<File> {
    let file = files::open_regular(path, "a sound file is due; name a file in it")?;
    if file.metadata().map_err(|e| Error::io(&e, path))?.len() == 0 {
        return Err(Error::new(ErrorKind::Empty, "the file is empty (0 bytes)"));
    }
    Ok(file)
}

fn unknown_format(message: &str) -> Error {
    Error::new(ErrorKind::UnknownFormat, message)
}

/// Whether another decoder may do better than the one that gave this error. A WAV file that is empty is empty;
/// elsewhere Percept may not know the codec of a track, or not find a frame.
pub(super) fn may_ffmpeg_help(error: &Error, container: Container) -> bool {
    match error.kind {
        ErrorKind::UnknownFormat | ErrorKind::UnsupportedCodec | ErrorKind::Damaged => true,
        ErrorKind::Empty => container != Container::Wav,
        _ => false,
    }
}

/// The error where a track is asked for that is not there.
pub(super) fn no_such_track(asked: usize, there: usize) -> Error {
    let message = format!(
        "there is no audio track {}; the file has {}",
        asked.saturating_add(1),
        super::mix::count(there, "audio track")
    );
    Error::new(ErrorKind::Config, message)
}

fn single_track(audio_track: Option<usize>) -> Result<()> {
    match audio_track {
        Some(n) if n > 0 => Err(no_such_track(n, 1)),
        _ => Ok(()),
    }
}

/// Meets a header's numbers with the limits.
pub(super) fn check_stream(sample_rate: u32, channels: usize) -> Result<()> {
    if sample_rate == 0 {
        return Err(Error::new(ErrorKind::Damaged, "the header gives a sample rate of 0 Hz: it is damaged"));
    }
    if !(MIN_SAMPLE_RATE..=MAX_SAMPLE_RATE).contains(&sample_rate) {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("the sample rate {sample_rate} Hz is outside {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"),
        ));
    }
    if channels == 0 {
        return Err(Error::new(ErrorKind::Damaged, "the header gives 0 channels: it is damaged"));
    }
    if channels > MAX_CHANNELS {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("{channels} channels are more than {MAX_CHANNELS}"),
        ));
    }
    Ok(())
}

/// Meets what has been read of sound or pictures, in seconds, with what is allowed.
pub(super) fn check_duration(seconds: f64, most: f64) -> Result<()> {
    if seconds <= most {
        return Ok(());
    }
    let message =
        format!("it is longer than {most} seconds; cut it into parts, or allow more (--max-duration)");
    Err(Error::new(ErrorKind::Limit, message))
}

/// `sample 8000 (1.000 s)`.
pub(super) fn place(frame: u64, sample_rate: u32) -> String {
    format!("sample {frame} ({:.3} s)", frame as f64 / f64::from(sample_rate.max(1)))
}
