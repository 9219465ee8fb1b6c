//! `percept tune`: the settings with which a tagging model's scores best become events.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::data::{Choice, DataArgs};
use super::evaluate::{print_json, progress_bar, threads};
use super::train::check_output;
use super::{Jobs, exit_code, say, say_lines};
use crate::evaluate::{DEFAULT_COLLAR, Goal, tune};
use crate::model::Model;
use crate::pipeline::Tagger;
use crate::train::Part;
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept tune -m song.safetensors --manifest night.csv --labels segments.csv
  percept tune -m drums.safetensors --manifest m.csv --labels events.csv --goal onset-f1 --collar 0.03 -o tuned.safetensors

Thresholds, smoothing, shortest events and the like are chosen on the validation part, and the scores are calibrated there: a
score of 0.9 is then right nine times in ten on data like it. What is found is stored in the model.";

/// Find how a tagging model's scores best become events
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    /// Model file
    #[arg(short, long, value_name = "MODEL")]
    model: OsString,

    /// File to write the tuned model to [default: MODEL itself]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// What is to be as good as possible [default: event-f1; onset-f1 for onsets; label-error-rate for exclusive labels]
    #[arg(long, value_name = "GOAL", value_enum)]
    goal: Option<Goal>,

    /// Seconds by which the ends of a found event may be off [default: 0.2]
    #[arg(long, value_name = "SECONDS")]
    collar: Option<f64>,

    /// Part of the data [default: validation, as training made it]
    #[arg(long, value_name = "PART", value_enum)]
    split: Option<Choice>,

    #[command(flatten)]
    jobs: Jobs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let path = Path::new(&args.model);
    let collar = args.collar.unwrap_or(DEFAULT_COLLAR);
    if !(collar >= 0.0 && collar.is_finite()) {
        let message = format!("--collar is {collar}; it must be a number of seconds, 0 or more");
        return Err(Error::new(ErrorKind::Config, message));
    }
    if let Some(out) = &args.output {
        check_output(out)?;
    }
    let tagger = Tagger::new(Model::load(path)?).map_err(|error| error.with_path(path))?;
    let goal = args.goal.unwrap_or(Goal::usual(tagger.rule()));
    let data = args.data.recordings(tagger.model().header(), args.split, Part::Validation)?;
    say(format_args!("tuning on {} recordings: {}", data.references.len(), data.choice.name()));
    let bar = progress_bar(data.references.len());
    let pool = threads(args.jobs.threads(usize::MAX))?;
    let options = data.media.clone();
    let result = pool.install(|| tune(&tagger, &data.references, &options, goal, collar, &|_| bar.inc(1)));
    bar.finish_and_clear();
    let (model, report) = result?;
    let out = args.output.as_deref().unwrap_or(path);
    model.save(out)?;
    say_lines(&report.table());
    say(format_args!("wrote {}", out.display()));
    print_json(&report)?;
    Ok(exit_code(report.failures.len()))
}
