//! `percept classify`: recordings in, labels out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{Jobs, exit_code, model_choice, one_input, refuse_stdin, report, written};
use crate::media::AudioOptions;
use crate::output::record::{ClassifyRecord, ModelInfo};
use crate::output::{Destination, Format, Writer};
use crate::pipeline::Classifier;
use crate::{Error, ErrorKind, Result, decide};

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
    refuse_overwriting(&args)?;
    let classifier = Classifier::new(model_choice::load(args.model.as_deref())?)?;
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

/// Runs `work` on all inputs, `jobs` at a time, and hands the results to `finish` in the order of the inputs.
fn in_order<T: Send>(
    inputs: &[PathBuf],
    jobs: usize,
    work: impl Fn(&Path) -> T + Sync,
    mut finish: impl FnMut(&Path, T) -> Result<()>,
) -> Result<()> {
    if jobs <= 1 {
        return inputs.iter().try_for_each(|path| finish(path, work(path)));
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Bounded, so that workers wait for a slow writer.
        let (sender, receiver) = mpsc::sync_channel(2 * jobs);
        for _ in 0..jobs {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((i, path)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|i| inputs.get(i).map(|path| (i, path)))
                {
                    if sender.send((i, work(path))).is_err() {
                        break; // The writer has failed.
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (i, result) in receiver {
            early.insert(i, result);
            while let Some(result) = early.remove(&due) {
                finish(&inputs[due], result)?;
                due += 1;
            }
        }
        Ok(())
    })
}

/// The result must not replace what it is made from.
fn refuse_overwriting(args: &Args) -> Result<()> {
    let Some(out) = &args.output else { return Ok(()) };
    let Ok(target) = out.canonicalize() else { return Ok(()) };
    let model = args.model.as_ref().map(Path::new);
    for source in args.inputs.iter().map(PathBuf::as_path).chain(model) {
        if source.canonicalize().is_ok_and(|source| source == target) {
            let message = "is both read and to be written (-o); give the result another name";
            return Err(Error::new(ErrorKind::Path, message).with_path(out));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_inputs_whatever_the_number_of_jobs() {
        let inputs: Vec<PathBuf> = (0..50).map(|i| PathBuf::from(i.to_string())).collect();
        for jobs in [1, 2, 7, 50] {
            let mut seen = Vec::new();
            let work = |path: &Path| {
                let i: u64 = path.to_str().unwrap().parse().unwrap();
                std::thread::sleep(std::time::Duration::from_millis((i * 7) % 5));
                i
            };
            in_order(&inputs, jobs, work, |path, i| {
                assert_eq!(path, Path::new(&i.to_string()));
                seen.push(i);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_writer_that_fails_stops_the_workers() {
        let inputs = vec![PathBuf::from("x"); 1000];
        let fail = |_: &Path, ()| Err(Error::new(ErrorKind::Io, "disk full"));
        let error = in_order(&inputs, 4, |_| (), fail).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Io);
    }
}
