//! `percept probe`: what media files hold, as JSON.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{exit_code, one_input, refuse_stdin, report, written};
use crate::Result;
use crate::media::probe::{ProbeOptions, probe};
use crate::media::video::VideoOptions;
use crate::output::{JsonWriter, ProbeRecord};

const EXAMPLES: &str = "\
Examples:
  percept probe interview.mp4
  percept probe *.wav
  percept probe --frames --fps 30 pictures/

A directory that holds pictures and no other media is one video. Samples and frames are counted by decoding, so the numbers are exact.";

/// Print as JSON what media files hold
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Media files, or directories of pictures
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Also give the time of each frame of the video streams
    #[arg(long)]
    frames: bool,

    /// Give the frames of this video track alone, counted from 1
    #[arg(long, value_name = "N", requires = "frames")]
    video_track: Option<NonZeroUsize>,

    /// Give the frames of this programme of an MPEG transport stream alone
    #[arg(long, value_name = "NUMBER", requires = "frames")]
    program: Option<u32>,

    /// Frames a second of a directory of pictures [default: what its frames.json says, otherwise 25]
    #[arg(long, value_name = "FPS")]
    fps: Option<f64>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    refuse_stdin(&args.files)?;
    let mut writer = JsonWriter::new(io::BufWriter::new(io::stdout()), args.files.len() > 1);
    let video_track = args.video_track.map(|n| n.get() - 1);
    let video = VideoOptions { fps: args.fps, video_track, program: args.program };
    let options = ProbeOptions { frames: args.frames, video };
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
