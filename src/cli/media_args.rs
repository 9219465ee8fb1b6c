//! The flags that say what is taken from files.

use std::num::NonZeroUsize;

use crate::media::limits::MAX_PIXELS;
use crate::media::video::VideoOptions;
use crate::media::{AudioOptions, MediaOptions};
use crate::signal::InputKind;

/// What is taken from the files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is taken from the files")]
pub struct MediaArgs {
    /// Sound or pictures of files with both, where no model says it [default: pictures]
    #[arg(long, value_name = "STREAM", value_enum)]
    pub stream: Option<InputKind>,

    /// Take this channel, counted from 1, instead of the mean of all
    #[arg(long, value_name = "N")]
    channel: Option<NonZeroUsize>,

    /// Take this audio track, counted from 1, instead of the file's default
    #[arg(long, value_name = "N")]
    audio_track: Option<NonZeroUsize>,

    #[command(flatten)]
    video: VideoArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

/// What is taken from files with pictures.
#[derive(Debug, clap::Args)]
pub struct VideoArgs {
    /// Take this video track, counted from 1
    #[arg(long, value_name = "N")]
    video_track: Option<NonZeroUsize>,

    /// Take the video of this programme of an MPEG transport stream, by its number
    #[arg(long, value_name = "NUMBER")]
    program: Option<u32>,

    /// Frames a second of a directory of pictures [default: what its frames.json says, otherwise 25]
    #[arg(long, value_name = "FPS")]
    fps: Option<f64>,
}

/// The most that one file may ask for.
#[derive(Debug, clap::Args)]
pub struct LimitArgs {
    /// Refuse sound and video that is longer, in seconds [default: 1000000, 11 days]
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    max_duration: Option<f64>,

    /// Refuse videos of more frames [default: 10000000; animated pictures: 100000]
    #[arg(long, value_name = "N")]
    max_frames: Option<NonZeroUsize>,

    /// Refuse pictures of more pixels [default: 178956970, which is the most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_PIXELS))]
    max_pixels: Option<u64>,
}

/// Seconds, without the limit of a day that other times have.
fn duration(text: &str) -> Result<f64, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds.is_finite() => Ok(seconds),
        _ => Err("a number of seconds above 0 is due, such as 3600".to_string()),
    }
}

impl MediaArgs {
    /// Flags that were given, by name.
    pub fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        let VideoArgs { video_track, program, fps } = &self.video;
        let LimitArgs { max_duration, max_frames, max_pixels } = &self.limits;
        let given = [
            ("stream", self.stream.map(|stream| stream.name().to_string())),
            ("channel", self.channel.map(|n| n.to_string())),
            ("audio-track", self.audio_track.map(|n| n.to_string())),
            ("video-track", video_track.map(|n| n.to_string())),
            ("program", program.map(|n| n.to_string())),
            ("fps", fps.map(|fps| fps.to_string())),
            ("max-duration", max_duration.map(|seconds| seconds.to_string())),
            ("max-frames", max_frames.map(|n| n.to_string())),
            ("max-pixels", max_pixels.map(|n| n.to_string())),
        ];
        given.into_iter().filter(|(_, value)| value.is_some()).collect()
    }

    pub fn options(&self) -> MediaOptions {
        MediaOptions {
            audio: AudioOptions {
                channel: self.channel.map(|n| n.get() - 1),
                audio_track: self.audio_track.map(|n| n.get() - 1),
                max_duration: self.limits.max_duration,
                ..AudioOptions::default()
            },
            video: self.video.options(&self.limits),
        }
    }
}

impl VideoArgs {
    pub fn options(&self, limits: &LimitArgs) -> VideoOptions {
        let LimitArgs { max_duration, max_frames, max_pixels } = *limits;
        VideoOptions {
            fps: self.fps,
            video_track: self.video_track.map(|n| n.get() - 1),
            program: self.program,
            max_duration,
            max_frames: max_frames.map(NonZeroUsize::get),
            max_pixels,
        }
    }
}
