//! Video that Percept does not decode itself, by the `ffmpeg` program where there is one.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::time::Duration;

use super::super::ffmpeg::{CONFINED, Report, decoder, file_url, report, what_it_said, without_addresses};
use super::super::limits::{FFMPEG_PATIENCE, MAX_FFMPEG_LINE};
use super::clock::Clock;
use super::{VideoInfo, VideoOptions, check_size, choose};
use crate::error::one_line;
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

pub(super) struct FfmpegVideo {
    child: Child,
    said: Receiver<Said>,
    /// The first frame's, read when opening.
    first: Option<Option<i64>>,
    pictures: Receiver<std::io::Result<Vec<u8>>>,
    size: (u32, u32),
    clock: Clock,
    errors: Vec<String>,
    ended: bool,
}

/// What ffmpeg says on its error stream.
#[derive(Debug, PartialEq)]
enum Said {
    TimeBase(TimeBase),
    /// Of the filter `showinfo`: a frame is about to come.
    Frame {
        ticks: Option<i64>,
        size: (u32, u32),
    },
    Error(String),
}

impl FfmpegVideo {
    /// Starts ffmpeg on a file that Percept itself could not read, for the reason `native`.
    pub fn open(path: &Path, options: &VideoOptions, native: &Error) -> Result<(Self, VideoInfo)> {
        let report = report(path, native)?;
        let index = chosen(&report, options)?;
        let mut child = decoder(native)?
            // Errors are told from the rest by the level before each line.
            .args(["-nostdin", "-hide_banner", "-nostats", "-v", "level+info"])
            // Threads differ from run to run in what they make of damage.
            .args(["-threads", "1"])
            .args(CONFINED)
            .args(["-copyts", "-i"])
            .arg(file_url(path))
            .args(["-map", &format!("0:{index}"), "-an", "-sn", "-dn", "-vf", "showinfo=checksum=0"])
            .args(["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::new(ErrorKind::ExternalTool, format!("could not run ffmpeg: {error}")))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, said) = channel();
        if let Some(stderr) = stderr {
            std::thread::spawn(move || listen(stderr, &sender));
        }
        // Until the size is known nothing reads the pictures.
        let (sender, pictures) = sync_channel(2);
        let clock = Clock::new(TimeBase { numerator: 1, denominator: 1000 }, false);
        let mut video = Self {
            child,
            said,
            first: None,
            pictures,
            size: (0, 0),
            clock,
            errors: Vec::new(),
            ended: false,
        };
        let (time_base, ticks, size) = video.first_frame(native)?;
        (video.first, video.size) = (Some(ticks), size);
        video.clock = Clock::new(time_base, is_a_stream(&report));
        let bytes = check_size(size.0, size.1)?;
        if let Some(mut stdout) = stdout {
            std::thread::spawn(move || {
                loop {
                    let mut picture = Vec::with_capacity(bytes as usize);
                    let read = (&mut stdout).take(bytes).read_to_end(&mut picture);
                    let last = picture.len() as u64 != bytes || read.is_err();
                    // The receiver is gone when the reader was dropped: then nobody wants the rest.
                    if sender.send(read.map(|_| picture)).is_err() || last {
                        return;
                    }
                }
            });
        }
        let info =
            VideoInfo { container: report.container(), codec: report.streams[index].codec(), time_base };
        Ok((video, info))
    }

    fn first_frame(&mut self, native: &Error) -> Result<(TimeBase, Option<i64>, (u32, u32))> {
        let mut time_base = None;
        loop {
            match self.said.recv_timeout(Duration::from_secs(FFMPEG_PATIENCE)) {
                Ok(Said::TimeBase(found)) => time_base = Some(found),
                Ok(Said::Frame { ticks, size }) => {
                    let time_base = time_base.unwrap_or(TimeBase { numerator: 1, denominator: 1000 });
                    return Ok((time_base, ticks, size));
                }
                Ok(Said::Error(error)) => self.errors.push(error),
                Err(_) => {
                    let said =
                        self.errors.first().map_or(String::new(), |error| format!(" (ffmpeg said: {error})"));
                    let message =
                        format!("{}; ffmpeg decodes no picture from it either{said}", native.message);
                    return Err(Error { message, ..native.clone() });
                }
            }
        }
    }

    pub fn next_frame(&mut self, warnings: &mut Vec<String>) -> Option<VideoFrame> {
        if self.ended {
            return None;
        }
        let frame = match self.next_ticks() {
            Ok(ticks) => ticks.and_then(|ticks| Some((ticks, self.pictures.recv().ok()?.ok()?))),
            Err(RecvTimeoutError::Timeout) => {
                warnings.push(format!(
                    "the video ends early: ffmpeg gave nothing for {FFMPEG_PATIENCE} s and was stopped"
                ));
                self.ended = true;
                return None;
            }
            Err(RecvTimeoutError::Disconnected) => None,
        };
        let (width, height) = self.size;
        match frame {
            Some((ticks, pixels)) if pixels.len() == 3 * width as usize * height as usize => {
                let ticks = self.clock.next(ticks);
                Some(VideoFrame { width, height, pixels, ticks })
            }
            _ => {
                self.finish(warnings);
                None
            }
        }
    }

    /// The time stamp of the next frame, if it has one; `None` where ffmpeg has closed its error stream.
    fn next_ticks(&mut self) -> std::result::Result<Option<Option<i64>>, RecvTimeoutError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            match self.said.recv_timeout(Duration::from_secs(FFMPEG_PATIENCE))? {
                Said::Frame { ticks, .. } => return Ok(Some(ticks)),
                Said::Error(error) => self.errors.push(error),
                Said::TimeBase(_) => {}
            }
        }
    }

    fn finish(&mut self, warnings: &mut Vec<String>) {
        self.ended = true;
        warnings.extend(self.clock.warning());
        self.errors.extend(self.said.try_iter().filter_map(|said| match said {
            Said::Error(error) => Some(error),
            _ => None,
        }));
        let failed = !self.child.wait().is_ok_and(|status| status.success());
        let first = self.errors.first().map(String::as_str);
        warnings.extend(what_it_said(first, self.errors.len(), failed));
    }
}

impl Drop for FfmpegVideo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The position among all streams of the one that is asked for.
fn chosen(report: &Report, options: &VideoOptions) -> Result<usize> {
    let indices = report.video(options.program)?;
    let default = indices.iter().position(|&index| report.streams[index].is_default()).unwrap_or(0);
    Ok(indices[choose(options.video_track, default, indices.len())?])
}

/// Whether time stamps may start anew on the way: what is broadcast, or made for it.
fn is_a_stream(report: &Report) -> bool {
    matches!(report.container().as_str(), "mpegts" | "mpeg")
}

/// Reads the error stream to its end.
fn listen(stderr: ChildStderr, sender: &Sender<Said>) {
    const MOST_ERRORS: usize = 100;
    let (mut stderr, mut line, mut errors) = (BufReader::new(stderr), Vec::new(), 0);
    while (&mut stderr).take(MAX_FFMPEG_LINE).read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let said = understood(&String::from_utf8_lossy(&line));
        line.clear();
        let Some(said) = said else { continue };
        errors += usize::from(matches!(said, Said::Error(_)));
        if errors <= MOST_ERRORS || !matches!(said, Said::Error(_)) {
            let _ = sender.send(said);
        }
    }
}

fn understood(line: &str) -> Option<Said> {
    for level in ["[error] ", "[fatal] "] {
        if let Some((part, message)) = line.split_once(level) {
            return Some(Said::Error(one_line(&without_addresses(&format!("{part}{}", message.trim())))));
        }
    }
    // By its beginning: names and titles of files are printed, too.
    let said = line.strip_prefix("[Parsed_showinfo_")?;
    if let Some((_, time_base)) = said.split_once("config in time_base: ") {
        let (numerator, denominator) = time_base.split(',').next()?.split_once('/')?;
        let time_base =
            TimeBase { numerator: numerator.parse().ok()?, denominator: denominator.trim().parse().ok()? };
        return (time_base.denominator > 0).then_some(Said::TimeBase(time_base));
    }
    let (_, said) = said.split_once(" n:")?;
    let ticks = said.split_once(" pts:")?.1.split_whitespace().next()?.parse().ok();
    let (width, height) = said.split_once(" s:")?.1.split_whitespace().next()?.split_once('x')?;
    Some(Said::Frame { ticks, size: (width.parse().ok()?, height.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_showinfo_says_is_understood() {
        let line = "[Parsed_showinfo_0 @ 0x55d0] [info] config in time_base: 1/12800, frame_rate: 25/1\n";
        assert_eq!(understood(line), Some(Said::TimeBase(TimeBase { numerator: 1, denominator: 12_800 })));
        let line = "[Parsed_showinfo_0 @ 0x55d0] [info] n:   3 pts:   1536 pts_time:0.12    pos:  9 fmt:yuv420p \
                    sar:1/1 s:320x180 i:P iskey:0 type:B \n";
        assert_eq!(understood(line), Some(Said::Frame { ticks: Some(1536), size: (320, 180) }));
        let line =
            "[Parsed_showinfo_0 @ 0x55d0] [info] n:   3 pts:  NOPTS pts_time:NOPTS fmt:gray s:8x4 i:P\n";
        assert_eq!(understood(line), Some(Said::Frame { ticks: None, size: (8, 4) }));
        let line = "[hevc @ 0x55d0] [error] no frame\n";
        assert_eq!(understood(line), Some(Said::Error("[hevc] no frame".into())));
        assert_eq!(understood("[info] Press q"), None);
    }
}
