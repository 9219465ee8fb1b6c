//! What was read of a video, and which of its frames were looked at.

use std::path::Path;
use std::sync::Arc;

use super::images::IMAGES;
use super::{VideoOptions, VideoReader};
use crate::signal::VideoFrame;
use crate::time::TimeBase;
use crate::{Error, Result};

/// What a video was.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// As [`VideoInfo`](super::VideoInfo) has them.
    pub container: String,
    pub codec: String,
    pub time_base: TimeBase,
    /// Of the first frame, in pixels, the right way up.
    pub width: u32,
    pub height: u32,
    /// Frames that could be read.
    pub num_frames: usize,
    /// Frames a second: what a directory of pictures is taken for, otherwise the mean; `None` for a single frame.
    pub fps: Option<f64>,
    /// Times of the first and the last frame, in ticks.
    pub first: i64,
    pub last: i64,
    /// The frames that the model looked at, one for each of its own.
    pub seen: Vec<SeenFrame>,
    /// Names of their files, in a directory of pictures; otherwise empty.
    pub files: Vec<Arc<str>>,
    pub warnings: Vec<String>,
}

/// A frame of the video that the model looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenFrame {
    /// Its number among those that could be read, counted from 0.
    pub index: usize,
    /// When it is shown.
    pub ticks: i64,
}

impl Video {
    /// Nothing is read yet.
    pub fn new(reader: &VideoReader) -> Self {
        let info = reader.info();
        Self {
            container: info.container.clone(),
            codec: info.codec.clone(),
            time_base: info.time_base,
            width: 0,
            height: 0,
            num_frames: 0,
            fps: None,
            first: 0,
            last: 0,
            seen: Vec::new(),
            files: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Takes note of the next frame.
    pub fn count(&mut self, frame: &VideoFrame) {
        if self.num_frames == 0 {
            (self.width, self.height, self.first) = (frame.width, frame.height, frame.ticks);
        }
        self.num_frames += 1;
        self.last = frame.ticks;
    }

    /// There are no more frames.
    pub fn finish(&mut self, reader: &VideoReader) {
        self.warnings.extend(reader.warnings());
        let between = i128::from(self.last) - i128::from(self.first);
        self.fps = match self.num_frames.checked_sub(1) {
            // What is left out of a directory makes it no slower.
            _ if self.container == IMAGES => Some(self.time_base.rate()),
            Some(steps @ 1..) if between > 0 => {
                let TimeBase { numerator, denominator } = self.time_base;
                let ticks = steps as u128 * u128::from(denominator);
                Some(ticks as f64 / (between * i128::from(numerator)) as f64)
            }
            _ => None,
        };
    }

    /// From the first frame to the end of the last one, in seconds; 0 for a single frame.
    pub fn duration(&self) -> f64 {
        self.time_base.seconds(self.end().saturating_sub(self.first))
    }

    /// When the last frame is over, in ticks, if it is shown as long as the others on average.
    pub fn end(&self) -> i64 {
        let between = i128::from(self.last) - i128::from(self.first);
        let steps = (self.num_frames.max(2) - 1) as i128;
        // A tick is a frame of a directory, whatever is left out of it.
        let mean = if self.container == IMAGES { 1 } else { (2 * between + steps) / (2 * steps) };
        i64::try_from(i128::from(self.last) + mean).unwrap_or(i64::MAX)
    }

    /// Where the model's frame `t` is in the video: the frame's number and its time; for the one behind the last the
    /// number of frames and the end.
    pub fn at(&self, t: usize) -> SeenFrame {
        self.seen.get(t).copied().unwrap_or(SeenFrame { index: self.num_frames, ticks: self.end() })
    }

    /// Where a stretch of the model's frames that ends before frame `end` is over: at the first frame behind it.
    pub fn behind(&self, end: usize) -> SeenFrame {
        let last = self.at(end.saturating_sub(1));
        let next = (end..self.seen.len()).map(|t| self.seen[t]).find(|seen| seen.index > last.index);
        next.unwrap_or(SeenFrame { index: self.num_frames, ticks: self.end() })
    }
}

/// Frames of a video from which its rate is taken.
const FRAMES_FOR_RATE: usize = 200;
/// Share by which a rate may differ from the usual one that it is taken for: times in files are rounded.
const RATE_TOLERANCE: f64 = 4e-4;

/// Frames a second of a video, by its first frames: a whole number, or NTSC's 1000/1001 of one, where it is as good as that.
/// `None` where there is one frame only.
///
/// # Errors
/// As [`VideoReader::open`].
pub fn frame_rate(path: &Path, options: &VideoOptions) -> Result<Option<f64>> {
    let read = || {
        let mut reader = VideoReader::open(path, options)?;
        let mut video = Video::new(&reader);
        while video.num_frames < FRAMES_FOR_RATE
            && let Some(frame) = reader.next_frame()?
        {
            video.count(&frame);
        }
        video.finish(&reader);
        Ok(video.fps.map(usual_rate))
    };
    read().map_err(|error: Error| error.with_path(path))
}

fn usual_rate(rate: f64) -> f64 {
    let whole = rate.round();
    let ntsc = (rate * 1.001).round() / 1.001;
    let near = |usual: f64| usual > 0.0 && (rate / usual - 1.0).abs() < RATE_TOLERANCE;
    match ((rate - whole).abs() <= (rate - ntsc).abs(), near(whole), near(ntsc)) {
        (true, true, _) => whole,
        (false, _, true) => ntsc,
        _ => rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(seen: &[(usize, i64)], num_frames: usize, last: i64) -> Video {
        Video {
            container: "mp4".into(),
            codec: "h264".into(),
            time_base: TimeBase { numerator: 1, denominator: 1000 },
            width: 4,
            height: 4,
            num_frames,
            fps: None,
            first: 0,
            last,
            seen: seen.iter().map(|&(index, ticks)| SeenFrame { index, ticks }).collect(),
            files: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_stretch_ends_where_the_next_frame_begins() {
        let half = video(&[(0, 0), (2, 40), (4, 80)], 6, 100);
        assert_eq!(half.behind(1), SeenFrame { index: 2, ticks: 40 });
        assert_eq!(half.behind(3), SeenFrame { index: 6, ticks: 120 });
        assert_eq!(half.duration(), 0.12);
        // A frame that is looked at twice ends once.
        let twice = video(&[(0, 0), (0, 0), (1, 80), (1, 80)], 2, 80);
        assert_eq!(twice.behind(1), SeenFrame { index: 1, ticks: 80 });
        assert_eq!(twice.behind(3), SeenFrame { index: 2, ticks: 160 });
    }

    #[test]
    fn rates_are_taken_for_the_usual_ones_that_they_are_near() {
        assert_eq!(usual_rate(25.003), 25.0);
        assert_eq!(usual_rate(29.9697), 30.0 / 1.001);
        assert_eq!(usual_rate(29.998), 30.0);
        assert_eq!(usual_rate(12.4), 12.4);
        assert_eq!(usual_rate(0.01), 0.01);
    }

    #[test]
    fn a_single_frame_lasts_no_time() {
        let one = video(&[(0, 0)], 1, 0);
        assert_eq!((one.duration(), one.end()), (0.0, 0));
    }
}
