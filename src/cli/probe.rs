//! `percept probe`: what media files hold, as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use super::media_args::{LimitArgs, VideoArgs};
use super::{exit_code, one_input, refuse_stdin, report, written};
use crate::Result;
use crate::media::probe::{ProbeOptions, probe};
use crate::output::{Destination, JsonWriter, ProbeRecord};

const EXAMPLES: &str = "\
Examples:
  percept probe interview.mp4
  percept probe *.wav
  percept probe --frames --fps 30 pictures/

A directory that holds pictures and no other media is one video. Samples and frames are counted by decoding, so the numbers are exact.";

/// Print as JSON what media files hold
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(mut_arg("video_track", |arg| arg.requires("frames")), mut_arg("program", |arg| arg.requires("frames")))]
pub struct Args {
    /// Media files, or directories of pictures
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Also give the time of each frame of the video streams
    #[arg(long)]
    frames: bool,

    #[command(flatten)]
    video: VideoArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    refuse_stdin(&args.files)?;
    let mut writer = JsonWriter::new(Destination::new(None)?.harmless(), args.files.len() > 1);
    let options = ProbeOptions { frames: args.frames, video: args.video.options(&args.limits) };
    let mut failed = 0;
    for path in &args.files {
        let result = one_input(path, || probe(path, &options));
        if let Err(error) = &result {
            failed += 1;
            report(error);
        }
        written(writer.write(&ProbeRecord::new(path, result)), None)?;
    }
    written(writer.finish(), None)?;
    Ok(exit_code(failed))
}
