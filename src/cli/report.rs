//! `percept report`: results as a page to look at and to listen to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::evaluate::{check_collar, progress_bar, threads};
use super::inputs::{head_of, refuse_overwriting};
use super::media_args::MediaArgs;
use super::{Jobs, exit_code, say};
use crate::files::AtomicFile;
use crate::report::{
    EvaluationPage, MAX_EVALUATED_ROWS, ReportOptions, Results, Summary, write_evaluation, write_report,
};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept batch --task tag --frames nights/ -o results.jsonl
  percept report results.jsonl -o report.html
  percept report results.jsonl --reference labels/ -o report.html       with what is true beside it
  percept report results.jsonl --channel 2 -o report.html               seen as it was heard, where batch had --channel 2
  percept report results.jsonl --embed -o report.html                   to be mailed: with the media themselves

RESULTS are the JSON lines of percept batch, classify or tag, or JSON of the latter two. The page opens in any browser and
asks no network for anything; without --embed it plays media from where they are, so it and they move together. The picture
of a file takes at most 16 KiB of it; where that would be more than 64 MiB in all, each takes less, down to 4 KiB.
Lines that are no results are told and left out; the exit code is then 1, as where a file gives no picture.";

/// Make one page of results, to look at and to listen to
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Results of percept batch, classify or tag, as JSON lines or JSON
    #[arg(value_name = "RESULTS")]
    results: PathBuf,

    /// The page to write
    #[arg(short, long, value_name = "HTML")]
    output: PathBuf,

    /// What is true: label files of events (a table or a directory); of whole recordings a manifest (path,label) or a
    /// directory with one folder a label
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,

    /// Seconds by which the ends of a found event may be off [default: 0.2]
    #[arg(long, value_name = "SECONDS", requires = "reference")]
    collar: Option<f64>,

    /// Where relative paths in RESULTS start from [default: here, and then the folder of RESULTS]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Put media of up to 8 MiB each, 128 MiB in all, into the page itself
    #[arg(long)]
    embed: bool,

    /// Do not read the files: no spectrograms and thumbnails, but at once
    #[arg(long)]
    no_pictures: bool,

    /// What the page is called [default: the name of RESULTS]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    #[command(flatten)]
    media: MediaArgs,

    #[command(flatten)]
    jobs: Jobs,
}

/// A page to look at, shared with `train`.
#[derive(Debug, clap::Args)]
pub struct PageArgs {
    /// Write a page that any browser shows: figures, curves, confusions, and the worst mistakes to see and to hear
    #[arg(long, value_name = "HTML", help_heading = "Page")]
    pub report: Option<PathBuf>,

    /// Put media of up to 8 MiB each, 128 MiB in all, into the page itself, to be mailed
    #[arg(long, requires = "report", help_heading = "Page")]
    pub embed: bool,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let collar = check_collar(args.collar)?;
    let sources = [Some(&args.results), args.reference.as_ref()];
    refuse_overwriting(Some(&args.output), sources.into_iter().flatten().map(PathBuf::as_path))?;
    check_page(&args.output)?;
    let results = Results::read(&args.results)?;
    for problem in &results.problems {
        say(format_args!("{}: {problem}", args.results.display()));
    }
    if results.num_problems > results.problems.len() {
        let more = results.num_problems - results.problems.len();
        say(format_args!("{}: and {more} more", args.results.display()));
    }
    if results.rows.is_empty() {
        say(format_args!("{}: holds no results", args.results.display()));
    }
    let name = args.results.file_name().unwrap_or(args.results.as_os_str()).to_string_lossy();
    let media = args.media.options();
    let options = ReportOptions {
        title: args.title.as_deref().unwrap_or(&name),
        root: args.root.as_deref(),
        reference: args.reference.as_deref().map(|path| (path, collar)),
        pictures: (!args.no_pictures).then_some(&media),
        embed: args.embed,
    };
    let pool = threads(args.jobs.threads(results.rows.len()))?;
    let rows = results.rows.len();
    let summary = write(&args.output, rows, |out, folder, on_row| {
        pool.install(|| write_report(&results, &args.results, out, folder, &options, on_row))
    })?;
    summary.messages.iter().for_each(say);
    if summary.missing > 0 {
        let (missing, rows) = (summary.missing, summary.rows);
        say(format_args!("{missing} of {rows} files are no longer where the results say (--root)"));
    }
    if summary.unseen > 0 {
        let (unseen, rows) = (summary.unseen, summary.rows);
        say(format_args!("{unseen} of {rows} files could not be read for their picture, the page says why"));
    }
    Ok(exit_code(results.num_problems + summary.unseen))
}

/// Writes the page of an evaluation to `path`, and says so. False where it could not be written, which is said: whatever it is
/// about is there.
pub fn write_evaluation_page(path: &Path, evaluation: &EvaluationPage, num_threads: usize) -> bool {
    let rows = evaluation.answers.as_ref().map_or(0, |answers| answers.evaluated.len());
    let written = threads(num_threads).and_then(|pool| {
        write(path, rows.min(MAX_EVALUATED_ROWS), |out, folder, on_row| {
            pool.install(|| write_evaluation(evaluation, out, folder, on_row))
        })
    });
    written.map_err(|error| say(format_args!("error: the page was not written: {error}"))).is_ok()
}

/// Puts what `page` writes, of so many rows, under its name once all of it is there.
fn write(
    path: &Path,
    rows: usize,
    page: impl FnOnce(AtomicFile, &Path, &(dyn Fn() + Sync)) -> Result<(AtomicFile, Summary)>,
) -> Result<Summary> {
    let out = AtomicFile::create(path)?;
    let folder = folder_of(path)?;
    let bar = progress_bar(rows);
    let written = page(out, &folder, &|| bar.inc(1));
    bar.finish_and_clear();
    let (out, summary) = written.map_err(|error| error.with_path(path))?;
    out.commit()?;
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    say(format_args!(
        "{}: {} files, {} pictures, {} media inside, {:.1} MiB",
        path.display(),
        summary.rows,
        summary.pictures,
        summary.embedded,
        bytes as f64 / (1 << 20) as f64
    ));
    Ok(summary)
}

/// The directory that links of the page start from.
fn folder_of(page: &Path) -> Result<PathBuf> {
    let folder = page.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().map_err(|e| Error::io(&e, folder))
}

/// Whether a page may be put there.
///
/// # Errors
/// A place that cannot be written; a file there that is no page.
pub fn check_page(path: &Path) -> Result<()> {
    if path.is_file() && !is_page(&head_of(path)?) {
        let message = "exists and is no page; it is not replaced: name another file";
        return Err(Error::new(ErrorKind::Path, message).with_path(path));
    }
    AtomicFile::create(path).map(drop)
}

/// Whether a file that begins so is a page of Percept's own, or nothing yet.
pub fn is_page(bytes: &[u8]) -> bool {
    const MARK: &[u8] = b"<title>percept report</title>";
    bytes.is_empty() || bytes.windows(MARK.len()).any(|window| window == MARK)
}
