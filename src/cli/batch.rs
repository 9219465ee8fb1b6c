//! `percept batch`: very many files, overnight.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::batch_progress::{Progress, ProgressKind};
use super::inputs::{behind_link, refuse_overwriting, say_odd_ending};
use super::work::{WorkArgs, unread_model};
use super::worker::bytes;
use super::{Jobs, cores, exit_code, say, seconds, stop_on_ctrl_c};
use crate::batch::finish::Target;
use crate::batch::journal::Job;
use crate::batch::list::{ListOptions, Shard, Source};
use crate::batch::pool::WorkerCommand;
use crate::batch::protocol::raw;
use crate::batch::run::{Mode, Plan, beside, run as run_batch, sources_of};
use crate::model::{Builtin, Model, Task};
use crate::output::rows::{BatchModel, BatchRecord, EventModel, RowFormat, Tree};
use crate::pipeline::Tagger;
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// The rows of a tree of files.
const ROWS_OF_TREE: &str = "results.jsonl";

const EXAMPLES: &str = "\
Examples:
  percept batch recordings/ -o results.jsonl
  percept batch recordings/ -o results.jsonl --resume        goes on after a crash, Ctrl-C or power loss
  percept batch -m song.safetensors nights/ -o events.parquet
  percept batch -m song.safetensors nights/ --format raven -o tables/
  percept batch --manifest list.csv --shard 1/4 -o part1.csv
  find /data -name '*.flac' -print0 | percept batch -0 - -o results.jsonl

Inputs: a directory is gone through in natural order (2.wav before 10.wav), with those within it; links are followed, each
directory once; hidden names (.x) are passed over; what has the ending of sound or video is an input, other files by their
content; a directory of pictures alone is one video. What a list or the command line names is an input, whatever it is. An
input that is named twice is worked on once.

The list is made once, when a run begins: --resume goes on with it. The rows grow in OUT.partial, in any order; OUT appears when all is done, in the order of the inputs: the same bytes however
often the run was stopped. OUT.journal says what is done; it may go when you need neither --resume nor --retry-failed.
A file that cannot be read costs a row with its error, and the exit code is 1.";

/// Classify or tag very many files, safe against whatever happens
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories, files, patterns such as 'nights/**/*.wav'; - reads a path a line from standard input
    #[arg(value_name = "INPUT", required_unless_present_any = ["manifest", "resume", "retry_failed"])]
    inputs: Vec<PathBuf>,

    /// A list of inputs: a path a line, or CSV with a column `path`; relative paths start from its folder
    #[arg(long, value_name = "FILE")]
    manifest: Vec<PathBuf>,

    /// Paths on standard input end with a NUL, as find -print0 writes them
    #[arg(short = '0', long)]
    null: bool,

    /// Of directories take only what this pattern matches: by its name, or with / by its path within; may be repeated
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Of directories leave out files and directories that this pattern matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Work on one part of several, told apart by a hash of the path: 1/4 is the first of four
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// File to write to; a directory for the formats of one file an input
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// How to write the result [default: by the extension of OUT, otherwise jsonl]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<RowFormat>,

    /// Go on with what an earlier run has begun, or begin
    #[arg(long, conflicts_with_all = ["force", "retry_failed"])]
    resume: bool,

    /// Go on, and do again what has failed
    #[arg(long, conflicts_with = "force")]
    retry_failed: bool,

    /// Replace what is there
    #[arg(long)]
    force: bool,

    /// Know files by their contents, not by size and time: slower
    #[arg(long)]
    verify: bool,

    /// Stop at the first input that fails
    #[arg(long)]
    fail_fast: bool,

    /// How often what is done is brought safely to disk
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "2s", hide = true)]
    sync_interval: f64,

    /// How far it is, on stderr
    #[arg(long, value_name = "HOW", value_enum, default_value = "auto")]
    progress: ProgressKind,

    #[command(flatten)]
    work: WorkArgs,

    #[command(flatten)]
    workers: WorkerArgs,
}

/// The processes that work.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Worker processes")]
pub struct WorkerArgs {
    /// Longest time for a file, as 600s; 0 for no limit
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "3600s")]
    time_limit: f64,

    /// Most memory that a file may take, as 2GiB (Linux)
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "4GiB")]
    memory_limit: u64,

    #[command(flatten)]
    jobs: Jobs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let args = Args { output: behind_link(args.output), ..args };
    let (named, task) = args.work.resolve()?;
    let model_file = args.work.model.as_ref().map(Path::new);
    for ending in ["", ".partial", ".rows", ".journal"] {
        let written = beside(&args.output, ending);
        refuse_overwriting(Some(&written), args.manifest.iter().map(PathBuf::as_path).chain(model_file))?;
    }
    let target = target(&args, named.as_ref(), task)?;
    let mut job = job(&args, named.as_ref(), task, &target)?;
    if job.sources.is_empty() {
        // What the earlier run had.
        job.sources = sources_of(&target.file)?;
        job.manifests = Job::manifests(&job.sources);
    }
    let jobs = args.workers.jobs();
    let unread = unread_model(named.as_ref().map(BatchModel::new), task)?;
    let settings = job.settings.clone();
    let error_row = |path: &Path, error: &Error| raw(&BatchRecord::error(&unread, &settings, path, error));
    let plan = Plan {
        job,
        mode: match args {
            Args { force: true, .. } => Mode::Force,
            Args { retry_failed: true, .. } => Mode::RetryFailed,
            Args { resume: true, .. } => Mode::Resume,
            _ => Mode::Fresh,
        },
        target,
        workers: args.workers.command(&args.work, named.as_ref(), task, args.verify)?,
        jobs,
        fail_fast: args.fail_fast,
        sync_interval: Duration::from_secs_f64(args.sync_interval),
        error_row: &error_row,
    };
    if named.is_none() {
        say_builtins(task);
    }
    drop(named);
    let stop = stop_on_ctrl_c("stopping; --resume goes on from here (Ctrl-C again quits at once)")?;
    let mut progress = Progress::new(args.progress);
    let began = Instant::now();
    let summary = run_batch(&plan, &stop, &mut |event| progress.on_event(event));
    progress.finish();
    let summary = summary?;
    progress.summary(&summary, began.elapsed(), "--retry-failed does them again");
    Ok(exit_code(summary.without_result() + summary.without_file))
}

fn builtins(task: Task) -> impl Iterator<Item = &'static Builtin> {
    Builtin::all().iter().filter(move |builtin| builtin.task == task)
}

/// Says which models are used where none is named: the first of each kind.
pub fn say_builtins(task: Task) {
    let kinds: BTreeSet<InputKind> = builtins(task).map(|builtin| builtin.kind).collect();
    let first = |kind: InputKind| builtins(task).find(|builtin| builtin.kind == kind);
    let names = kinds.into_iter().filter_map(first).map(|b| format!("`{}` for {}", b.name, b.kind.name()));
    let names = names.collect::<Vec<_>>().join(", ");
    say(format_args!("no model given (-m), using those inside the program: {names}"));
}

/// What answers depend on: the model, or all that may be used.
pub fn model_sha256(named: Option<&Model>, task: Task) -> String {
    match named {
        Some(model) => model.sha256().to_string(),
        None => builtins(task).map(Builtin::sha256).collect::<Vec<_>>().join(" "),
    }
}

fn job(args: &Args, named: Option<&Model>, task: Task, target: &Target) -> Result<Job> {
    let stdin = Source::Stdin { null: args.null };
    let of_input = |input: &PathBuf| match input.as_os_str() == "-" {
        true => stdin.clone(),
        false => Source::Path(input.clone()),
    };
    let manifests = args.manifest.iter().cloned().map(Source::Manifest);
    let sources: Vec<Source> = args.inputs.iter().map(of_input).chain(manifests).collect();
    if args.null && !sources.contains(&stdin) {
        let message = "--null (-0) is for paths on standard input: name - as the input";
        return Err(Error::new(ErrorKind::Config, message));
    }
    let format = match &target.tree {
        None => target.format,
        Some(_) => args.format.unwrap_or_default(),
    };
    Ok(Job {
        tool: crate::TOOL.to_string(),
        task,
        model: model_sha256(named, task),
        manifests: Job::manifests(&sources),
        settings: args.work.settings_text(task),
        format: format.name().to_string(),
        sources,
        list: ListOptions { include: args.include.clone(), exclude: args.exclude.clone(), shard: args.shard },
        verify: args.verify,
    })
}

/// What is written, and where.
fn target(args: &Args, named: Option<&Model>, task: Task) -> Result<Target> {
    let format = args.format.or_else(|| RowFormat::from_path(&args.output));
    let is_named = format.is_some();
    let format = format.unwrap_or_default();
    let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
    if args.work.frames && format != RowFormat::Jsonl {
        return wrong("--frames goes with jsonl");
    }
    let Some(events) = format.events() else {
        if !is_named {
            say_odd_ending(&args.output, "JSON lines");
        }
        return Ok(Target { file: args.output.clone(), format, tree: None });
    };
    if task != Task::Tag {
        return wrong("this format is for events: tag (--task tag), or choose jsonl, csv or parquet");
    }
    let directory = &args.output;
    std::fs::create_dir_all(directory).map_err(|error| Error::io(&error, directory))?;
    let mut entries = std::fs::read_dir(directory).map_err(|error| Error::io(&error, directory))?;
    if entries.next().is_some()
        && !directory.join(ROWS_OF_TREE).with_added_extension("journal").exists()
        && !args.force
    {
        let message =
            "is not empty, and files in it might be replaced: name a new directory (-o), or --force";
        return Err(Error::new(ErrorKind::Config, message).with_path(directory));
    }
    let mut models = BTreeMap::new();
    let loaded = match named {
        Some(model) => vec![model.clone()],
        None => builtins(task).map(Builtin::load).collect::<Result<_>>()?,
    };
    for model in loaded {
        let sha256 = model.sha256().to_string();
        let tagger = Tagger::new(model)?;
        models.insert(sha256, EventModel { labels: tagger.event_labels(), clock: tagger.clock() });
    }
    Ok(Target {
        file: directory.join(ROWS_OF_TREE),
        format: RowFormat::Jsonl,
        tree: Some(Tree::new(directory, events, models)),
    })
}

impl WorkerArgs {
    pub fn jobs(&self) -> usize {
        self.jobs.number()
    }

    /// How workers are started.
    pub fn command(
        &self,
        work: &WorkArgs,
        named: Option<&Model>,
        task: Task,
        verify: bool,
    ) -> Result<WorkerCommand> {
        let program = std::env::current_exe().map_err(|error| {
            Error::new(ErrorKind::Internal, format!("percept cannot find itself: {error}"))
        })?;
        let mut flags = work.flags(task);
        flags.splice(0..0, ["worker".into()]);
        flags.extend(["--supervised".into(), format!("--memory-limit={}", self.memory_limit).into()]);
        if verify {
            flags.push("--verify".into());
        }
        flags.extend(named.map(|model| format!("--model-sha256={}", model.sha256()).into()));
        Ok(WorkerCommand {
            program,
            args: flags,
            threads: (cores() / self.jobs()).max(1),
            time_limit: (self.time_limit > 0.0).then(|| Duration::from_secs_f64(self.time_limit)),
        })
    }
}
