//! `percept classify`: recordings in, labels out.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::inputs::{in_order, refuse_overwriting};
use super::{Jobs, exit_code, model_choice, one_input, refuse_stdin, report, written};
use crate::media::AudioOptions;
use crate::model::Task;
use crate::output::record::{ClassifyRecord, ModelInfo};
use crate::output::{Destination, Format, Writer};
use crate::pipeline::Classifier;
use crate::{Result, decide};

const EXAMPLES: &str = "\
Examples:
  percept classify seven.wav
  percept classify -m birds.safetensors --top-k 3 *.flac
  percept classify -m birds.safetensors --format csv -o result.csv night/*.wav
  percept classify --channel 2 stereo.wav

A file that cannot be read is reported and the others go on; the exit code is then 1.";

/// Say what is in recordings
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sound files, or videos with sound
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Model file, or the name of a built-in model [default: the built-in `digits`]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<OsString>,

    /// How many labels to give, best first
    #[arg(long, value_name = "N", default_value = "5")]
    top_k: NonZeroUsize,

    /// How to write the result [default: by the extension of OUT, otherwise json]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    /// File to write to instead of stdout
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// Take this channel, counted from 1, instead of the mean of all
    #[arg(long, value_name = "N")]
    channel: Option<NonZeroUsize>,

    /// Take this audio track of a video, counted from 1, instead of its default
    #[arg(long, value_name = "N")]
    audio_track: Option<NonZeroUsize>,

    #[command(flatten)]
    jobs: Jobs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    refuse_stdin(&args.inputs)?;
    let model = args.model.as_ref().map(Path::new);
    let sources = args.inputs.iter().map(PathBuf::as_path).chain(model);
    refuse_overwriting(args.output.as_deref(), sources)?;
    let classifier = Classifier::new(model_choice::load(args.model.as_deref(), Task::Classify)?)?;
    let model = ModelInfo::new(classifier.model());
    let options = AudioOptions {
        channel: args.channel.map(|n| n.get() - 1),
        audio_track: args.audio_track.map(|n| n.get() - 1),
        ..AudioOptions::default()
    };
    let out = args.output.as_deref();
    let format = args.format.or_else(|| out.and_then(Format::from_path)).unwrap_or_default();
    let mut writer = Writer::new(format, Destination::new(out)?, args.inputs.len() > 1);

    let mut failed = 0;
    let top_k = args.top_k.get();
    let classify = |path: &Path| one_input(path, || classify_one(&classifier, path, &options, top_k));
    in_order(&args.inputs, args.jobs.threads(args.inputs.len()), classify, |path, result| {
        let record = match result {
            Ok((audio, predictions)) => ClassifyRecord::ok(&model, path, audio, predictions),
            Err(error) => {
                failed += 1;
                report(&error);
                ClassifyRecord::error(&model, path, &error)
            }
        };
        written(writer.write(&record), out)
    })?;
    written(writer.finish(), out)?.commit()?;
    Ok(exit_code(failed))
}

type Answer = (crate::media::Audio, Vec<decide::Prediction>);

fn classify_one(
    classifier: &Classifier,
    path: &Path,
    options: &AudioOptions,
    top_k: usize,
) -> Result<Answer> {
    let result = classifier.classify_file(path, options)?;
    let predictions = decide::top_k(&result.scores, &classifier.model().header().labels, top_k);
    Ok((result.audio, predictions))
}
