//! `percept classify`: recordings in, labels out.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::inputs::{Inputs, in_order, refuse_overwriting, say_odd_ending};
use super::media_args::MediaArgs;
use super::model_choice::Models;
use super::terminal::terminal;
use super::{Jobs, exit_code, one_input, refuse_stdin, report, written};
use crate::media::{Media, MediaOptions};
use crate::model::Task;
use crate::output::record::{ClassifyRecord, ModelInfo};
use crate::output::{Destination, Format, Writer};
use crate::pipeline::Classifier;
use crate::{Result, decide};

const EXAMPLES: &str = "\
Examples:
  percept classify dog.ogg
  percept classify -m digits seven.wav
  percept classify -m birds.safetensors --top-k 3 *.flac
  percept classify -m birds.safetensors --format csv -o result.csv night/*.wav
  percept classify --channel 2 stereo.wav
  percept classify clip.mp4                           its pictures; --stream audio for its sound

A file that cannot be read is reported and the others go on; the exit code is then 1.";

/// Say what is in recordings and videos
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sound files, videos, directories of pictures; other directories are gone through
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,

    /// Model file, or the name of a built-in model [default: the built-in one for what the input is]
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

    #[command(flatten)]
    media: MediaArgs,

    #[command(flatten)]
    jobs: Jobs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    refuse_stdin(&args.inputs)?;
    let model = args.model.as_ref().map(Path::new);
    let models = Models::new(args.model.as_deref(), Task::Classify, args.media.stream, Classifier::new)?;
    let inputs = Inputs::of(&args.inputs);
    refuse_overwriting(args.output.as_deref(), inputs.files.iter().map(PathBuf::as_path).chain(model))?;
    let options = args.media.options();
    let out = args.output.as_deref();
    let format = args.format.or_else(|| out.and_then(Format::from_path));
    let destination = Destination::new(out)?;
    if let (None, Some(out)) = (format, out) {
        say_odd_ending(out, "JSON");
    }
    let format = format.unwrap_or_default();
    let destination = if format == Format::Text { destination } else { destination.harmless() };
    let mut writer = Writer::new(format, destination, inputs.several(), terminal(out));

    let mut failed = 0;
    let top_k = args.top_k.get();
    let classify = |path: &Path| one_input(path, || classify_one(&*models.of(path)?, path, &options, top_k));
    in_order(&inputs.files, args.jobs.threads(inputs.files.len()), classify, |path, result| {
        let record = match result {
            Ok((model, media, predictions)) => ClassifyRecord::ok(&model, path, &media, predictions),
            Err(error) => {
                failed += 1;
                report(&error);
                let model = models.of(path).or_else(|_| models.usual())?;
                ClassifyRecord::error(&ModelInfo::new(model.model()), path, &error)
            }
        };
        written(writer.write(&record), out)
    })?;
    written(writer.finish(), out)?.commit()?;
    Ok(exit_code(failed))
}

type Answer = (ModelInfo, Media, Vec<decide::Prediction>);

fn classify_one(
    classifier: &Classifier,
    path: &Path,
    options: &MediaOptions,
    top_k: usize,
) -> Result<Answer> {
    let result = classifier.classify_file(path, options)?;
    let predictions = decide::top_k(&result.scores, &classifier.model().header().labels, top_k);
    Ok((ModelInfo::new(classifier.model()), result.media, predictions))
}
