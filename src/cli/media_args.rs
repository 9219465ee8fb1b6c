//! The flags that say what is taken from files.

use std::num::NonZeroUsize;

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

impl MediaArgs {
    /// Flags that were given, by name.
    pub fn settings(&self) -> Vec<(&'static str, Option<String>)> {
        let VideoArgs { video_track, program, fps } = &self.video;
        let given = [
            ("stream", self.stream.map(|stream| stream.name().to_string())),
            ("channel", self.channel.map(|n| n.to_string())),
            ("audio-track", self.audio_track.map(|n| n.to_string())),
            ("video-track", video_track.map(|n| n.to_string())),
            ("program", program.map(|n| n.to_string())),
            ("fps", fps.map(|fps| fps.to_string())),
        ];
        given.into_iter().filter(|(_, value)| value.is_some()).collect()
    }

    pub fn options(&self) -> MediaOptions {
        MediaOptions {
            audio: AudioOptions {
                channel: self.channel.map(|n| n.get() - 1),
                audio_track: self.audio_track.map(|n| n.get() - 1),
                ..AudioOptions::default()
            },
            video: self.video.options(),
        }
    }
}

impl VideoArgs {
    pub fn options(&self) -> VideoOptions {
        let video_track = self.video_track.map(|n| n.get() - 1);
        VideoOptions { fps: self.fps, video_track, program: self.program }
    }
}
