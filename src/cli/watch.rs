//! `percept watch`: files are worked on as they are added.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::batch::{WorkerArgs, model_sha256, say_builtins};
use super::batch_progress::{Progress, ProgressKind};
use super::inputs::{behind_link, refuse_overwriting};
use super::work::{WorkArgs, unread_model};
use super::{exit_code, seconds, stop_on_ctrl_c};
use crate::batch::journal::Job;
use crate::batch::list::{ListOptions, Source};
use crate::batch::protocol::raw;
use crate::batch::watch::{WatchPlan, watch};
use crate::output::check_replaceable;
use crate::output::rows::{BatchModel, BatchRecord};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept watch /srv/uploads -o results.jsonl
  percept watch -m song.safetensors incoming/ -o events.jsonl --settle 10s
  percept watch incoming/ -o results.jsonl --once            what is new since the last time, then ends

A file is worked on when it has not changed for the time of --settle; its row (`percept schema batch`) is added to OUT. A
file that changes later has another row. OUT.journal says what is done: after a restart nothing is done twice.
Ctrl-C ends it.";

/// Classify or tag files as they are added to a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories, with those within them
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

    /// File of JSON lines to which rows are added
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Take only what this pattern matches: by its name, or with / by its path within; may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Leave out files and directories that this pattern matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// How long a file must not have changed to be completely written
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "2s")]
    settle: f64,

    /// How often to look for new files
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1s")]
    interval: f64,

    /// End when all that is there is done
    #[arg(long)]
    once: bool,

    /// Replace what is there
    #[arg(long)]
    force: bool,

    /// How far it is, on stderr
    #[arg(long, value_name = "HOW", value_enum, default_value = "none")]
    progress: ProgressKind,

    #[command(flatten)]
    work: WorkArgs,

    #[command(flatten)]
    workers: WorkerArgs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let args = Args { output: behind_link(args.output), ..args };
    let (named, task) = args.work.resolve()?;
    check_replaceable(&args.output)?;
    refuse_overwriting(Some(&args.output), args.work.model.iter().map(Path::new))?;
    for directory in &args.directories {
        if !directory.is_dir() {
            let message = "is no directory, and only directories are watched; `percept batch` takes files";
            return Err(Error::new(ErrorKind::Path, message).with_path(directory));
        }
    }
    let settings = args.work.settings_text(task);
    let unread = unread_model(named.as_ref().map(BatchModel::new), task)?;
    let error_row = |path: &Path, error: &Error| raw(&BatchRecord::error(&unread, &settings, path, error));
    let plan = WatchPlan {
        job: Job {
            tool: crate::TOOL.to_string(),
            task,
            model: model_sha256(named.as_ref(), task),
            settings: settings.clone(),
            format: "watch".to_string(),
            sources: args.directories.iter().cloned().map(Source::Path).collect(),
            list: ListOptions { include: args.include, exclude: args.exclude, shard: None },
            manifests: Vec::new(),
            verify: false,
        },
        output: args.output,
        force: args.force,
        workers: args.workers.command(&args.work, named.as_ref(), task, false)?,
        jobs: args.workers.jobs(),
        settle: Duration::from_secs_f64(args.settle),
        interval: Duration::from_secs_f64(args.interval.max(0.05)),
        once: args.once,
        error_row: &error_row,
    };
    if named.is_none() {
        say_builtins(task);
    }
    drop(named);
    let stop = stop_on_ctrl_c("stopping (Ctrl-C again quits at once)")?;
    let mut progress = Progress::new(args.progress);
    let began = Instant::now();
    let summary = watch(&plan, &stop, &mut |event| progress.on_event(event));
    progress.finish();
    let summary = summary?;
    progress.summary(
        &summary,
        began.elapsed(),
        "a file that changes is done again, and with --force all are",
    );
    Ok(exit_code(summary.failed))
}
