//! The command line: one file a command.
//!
//! Results go to stdout, messages to stderr. Exit codes: 0 all went well, 1 some inputs failed, 2 wrong usage
//! or a fatal error.

mod batch;
mod batch_progress;
mod classify;
mod data;
mod drawing;
mod evaluate;
mod features;
mod info;
mod inputs;
mod media_args;
mod model_choice;
mod probe;
mod report;
mod schema;
mod seen;
mod tag;
mod terminal;
mod train;
mod train_files;
mod train_progress;
mod train_runs;
mod tune;
mod watch;
mod work;
mod worker;

use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::styling::{AnsiColor, Styles};

use crate::error::one_line;
use crate::files::check_utf8;
use crate::guard::guard;
use crate::media::limits::MAX_WALK_DEPTH;
use crate::media::video::is_directory_of_images;
use crate::media::walk::{WalkOptions, walk_into};
use crate::output::{Destination, harmless};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept classify call.wav                        what is in a recording, by the built-in model
  percept classify -m birds.safetensors *.flac     ... by your own
  percept tag night.flac                           what happens when in it
  percept tag frames/                              ... in a directory of pictures, or a video
  percept batch recordings/ -o results.jsonl       very many files, overnight
  percept report results.jsonl -o report.html      ... as a page to look at and to listen to
  percept train calls/ -o birds.safetensors        make your own: one folder a label
  percept evaluate -m birds.safetensors test/      how good it is
  percept probe interview.mp4                      what a file holds
  percept features call.wav -o call.png            what the network sees of it
  percept COMMAND --help                           more on a command";

/// Learns to classify and tag sound and video with recurrent networks, then does it anywhere.
#[derive(Debug, clap::Parser)]
#[command(name = "percept", version, after_help = EXAMPLES, styles = STYLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what is in recordings
    Classify(classify::Args),
    /// Say what happens when in recordings
    Tag(tag::Args),
    /// Classify or tag very many files, safe against whatever happens
    Batch(Box<batch::Args>),
    /// Classify or tag files as they are added to a directory
    Watch(watch::Args),
    /// Answer requests of another program, a line of JSON each
    Worker(worker::Args),
    /// Make one page of results, to look at and to listen to
    Report(report::Args),
    /// Print as JSON what media files hold
    Probe(probe::Args),
    /// Show what a network is given of a file: as a picture, as numbers, to listen to
    Features(features::Args),
    /// Say what a model is
    Info(info::Args),
    /// Make a model from labelled recordings
    Train(Box<train::Args>),
    /// Say how good a model is on labelled recordings
    Evaluate(evaluate::Args),
    /// Find how a tagging model's scores best become events
    Tune(tune::Args),
    /// Print the JSON Schema of a command's output
    Schema(schema::Args),
}

impl Command {
    /// # Errors
    /// Those of the command; [`ErrorKind::Internal`] where it panics, so that an exit code is one of the three.
    pub fn run(self) -> Result<ExitCode> {
        guard(|| self.run_unguarded()).unwrap_or_else(|what| {
            let message = format!("percept stumbled ({what}), which is a defect; please report it");
            Err(Error::new(ErrorKind::Internal, message))
        })
    }

    fn run_unguarded(self) -> Result<ExitCode> {
        match self {
            Self::Classify(args) => classify::run(args),
            Self::Tag(args) => tag::run(args),
            Self::Batch(args) => batch::run(*args),
            Self::Watch(args) => watch::run(args),
            Self::Worker(args) => worker::run(args),
            Self::Report(args) => report::run(args),
            Self::Probe(args) => probe::run(args),
            Self::Features(args) => features::run(args),
            Self::Info(args) => info::run(args),
            Self::Train(args) => train::run(*args),
            Self::Evaluate(args) => evaluate::run(args),
            Self::Tune(args) => tune::run(args),
            Self::Schema(args) => schema::run(args),
        }
    }
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// One line on stderr: `percept: error: ...`.
pub fn report(error: &Error) {
    say(format_args!("error: {error}"));
}

/// One line on stderr, whatever the names in it hold. A closed stderr is no reason to stop.
pub(crate) fn say(message: impl Display) {
    // In one piece: processes that share a stderr do not break into each other's lines.
    let _ = io::stderr().write_all(format!("percept: {}\n", one_line(&message.to_string())).as_bytes());
}

/// Several lines on stderr, such as a table.
pub(crate) fn say_lines(text: &str) {
    let _ = io::stderr().write_all(harmless(text).as_bytes());
}

/// Most files that are worked on at a time.
const MAX_JOBS: u16 = 1024;

/// The flag that commands on many files share.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    /// Files to work on at a time [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_JOBS)))]
    jobs: Option<u16>,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

impl Jobs {
    /// Threads for so many files: no more than there are files.
    fn threads(&self, files: usize) -> usize {
        self.number().min(files).max(1)
    }

    fn number(&self) -> usize {
        self.jobs.map_or_else(cores, usize::from)
    }
}

/// The outcome of writing results to `path`, or to stdout where that is `None`. A reader of stdout that left
/// (`percept ... | head`) has all it wanted: the program ends, without complaint.
pub(crate) fn written<T>(result: io::Result<T>, path: Option<&Path>) -> Result<T> {
    result.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        Error::io(&error, path.unwrap_or(Path::new("standard output")))
    })
}

/// Prints a whole text to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = Destination::new(None)?.harmless();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()), None)
}

/// A flag that the first Ctrl-C sets, with this message; the second one ends the program.
pub(crate) fn stop_on_ctrl_c(message: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            // As a shell counts a program that SIGINT has ended.
            std::process::exit(130);
        }
        say(message);
    })
    .map_err(|e| Error::new(ErrorKind::Internal, format!("Ctrl-C cannot be caught: {e}")))?;
    Ok(stop)
}

/// Whether there is anything in a directory that is an input: the first one is enough.
fn holds_inputs(directory: &Path) -> bool {
    let mut holds = false;
    let mut take = |_| {
        holds = true;
        Err(Error::new(ErrorKind::Interrupted, "there is one"))
    };
    let _ = walk_into(directory, &WalkOptions { by_ending: true, takes: &|_, _| true }, &mut take);
    holds
}

/// A length of time in seconds: `2`, `2s`, `500ms`.
pub(crate) fn seconds(text: &str) -> std::result::Result<f64, String> {
    let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1e-3),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    match number.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value * scale),
        _ => Err("a time from 0 to a day is due, such as 10s or 500ms".to_string()),
    }
}

/// 0 if all inputs went well, else 1.
pub(crate) fn exit_code(failed: usize) -> ExitCode {
    ExitCode::from(u8::from(failed > 0))
}

/// What can be said of an input without opening it.
fn check_input(path: &Path) -> Result<()> {
    if cfg!(not(unix)) {
        check_utf8(path)?;
    }
    // A directory of pictures is a video.
    if path.is_dir() && !is_directory_of_images(path) {
        let listed =
            std::fs::read_dir(path).and_then(|mut entries| entries.try_for_each(|entry| entry.map(drop)));
        listed.map_err(|error| Error::io(&error, path))?;
        let message = match holds_inputs(path) {
            true => format!(
                "is a directory of other inputs: name one of them (directories are gone through to a depth of {MAX_WALK_DEPTH})"
            ),
            false => "is a directory without sound, video or pictures".into(),
        };
        return Err(Error::new(ErrorKind::Path, message).with_path(path));
    }
    Ok(())
}

/// Inputs that no command can read, so that nothing is done for the others either.
pub(crate) fn refuse_stdin(inputs: &[std::path::PathBuf]) -> Result<()> {
    if inputs.iter().any(|input| input.as_os_str() == "-") {
        let message =
            "reading from standard input (-) is not supported; save the recording to a file and name it";
        return Err(Error::new(ErrorKind::Path, message));
    }
    Ok(())
}

/// Runs `work` on one input. A panic in it (a decoder's, most likely) is that input's error: the others go on.
pub(crate) fn one_input<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let result = check_input(path).and_then(|()| {
        guard(work).unwrap_or_else(|what| {
            let message = format!(
                "percept stumbled over this file ({what}), which is a defect; please report it with the file"
            );
            Err(Error::new(ErrorKind::Internal, message))
        })
    });
    result.map_err(|error| error.with_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_milliseconds() {
        assert_eq!(seconds("2"), Ok(2.0));
        assert_eq!(seconds("0.5s"), Ok(0.5));
        assert_eq!(seconds("500ms"), Ok(0.5));
        for wrong in ["", "s", "-1", "nan", "1e9", "2m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn there_are_no_more_threads_than_files() {
        assert_eq!(Jobs { jobs: Some(1000) }.threads(3), 3);
        assert_eq!(Jobs { jobs: Some(2) }.threads(3), 2);
        assert_eq!(Jobs { jobs: None }.threads(1), 1);
        assert_eq!(Jobs { jobs: None }.threads(0), 1);
    }
}
