//! One run: what is not done yet is given out, what comes back is written down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::begin::{begin, put_rows_away, rows_paths};
use super::finish::{Target, finish};
use super::journal::{Inputs, Job, Journal};
use super::list::Source;
use super::log::{Log, LogOptions, looked_up};
use super::pool::{Item, Pool, WorkerCommand};
use crate::{Error, ErrorKind, Result};

/// Most inputs that are given to a worker together (more are no faster, and take more memory), and most bytes of their
/// files.
pub(super) const GROUP: usize = 8;
pub(super) const GROUP_BYTES: u64 = 2 << 20;
/// Most bytes of their names.
const GROUP_NAMES: usize = 16 << 10;
/// How often somebody who watches is told how far it is.
const TICK: Duration = Duration::from_millis(100);

/// What to do where something of an earlier run is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing may be there.
    Fresh,
    /// It is replaced.
    Force,
    /// It is gone on with.
    Resume,
    /// As `Resume`, and what failed is done again.
    RetryFailed,
}

/// What is to be done.
pub struct Plan<'a> {
    pub job: Job,
    pub mode: Mode,
    /// The output.
    pub target: Target,
    pub workers: WorkerCommand,
    /// Worker processes.
    pub jobs: usize,
    /// Stop at the first input that fails.
    pub fail_fast: bool,
    /// How often what is done is brought safely to disk: what is lost at most.
    pub sync_interval: Duration,
    /// The row of an input that no worker has answered for.
    pub error_row: &'a dyn Fn(&Path, &Error) -> Result<Box<RawValue>>,
}

/// What happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many inputs were found so far.
    Listing(usize),
    Begun {
        inputs: usize,
        skipped: usize,
    },
    Warning(String),
    Failed(&'a Error),
    /// Now and then.
    Progress(&'a Summary),
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// In the list.
    pub inputs: usize,
    /// This time, those that failed among them.
    pub done: usize,
    pub failed: usize,
    /// Done by an earlier run, and those of them that failed.
    pub skipped: usize,
    pub skipped_failed: usize,
    /// Inputs with a result that have no file of their own where each should.
    pub without_file: usize,
    /// Of recordings, this time.
    pub seconds: f64,
}

impl Summary {
    /// Inputs without a result.
    pub fn without_result(&self) -> usize {
        self.failed + self.skipped_failed
    }
}

/// A file beside the output, by what is added to its name.
pub fn beside(output: &Path, ending: &str) -> PathBuf {
    let mut name = output.as_os_str().to_os_string();
    name.push(ending);
    PathBuf::from(name)
}

/// The inputs of the run that has written, or begun, this output.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none.
pub fn sources_of(output: &Path) -> Result<Vec<Source>> {
    let journal = beside(output, ".journal");
    let state = if journal.exists() { Some(Journal::open(&journal)?.1) } else { None };
    state.and_then(|state| state.job).map(|job| job.sources).ok_or_else(|| {
        let message = "there is no run to go on with; name the inputs";
        Error::new(ErrorKind::NotFound, message).with_path(output)
    })
}

/// Works on all inputs; `stop` stops it as soon as what is known is written down.
///
/// # Errors
/// [`ErrorKind::Config`] where what is there is of another job, or may not be replaced; [`ErrorKind::Interrupted`] for `stop`; those of the disk,
/// of the list, of workers that cannot begin. Whatever the error, [`Mode::Resume`] goes on from there.
pub fn run(plan: &Plan, stop: &AtomicBool, on_event: &mut dyn FnMut(Event)) -> Result<Summary> {
    let mut run = match begin(plan, on_event)? {
        Begun::Complete(summary) => return Ok(summary),
        Begun::Working(run) => *run,
    };
    on_event(Event::Begun { inputs: run.log.summary.inputs, skipped: run.log.summary.skipped });
    let worked = run.work(plan, stop, on_event);
    // What is known is kept, whatever has happened.
    let synced = run.log.sync();
    worked.and(synced)?;
    let (journal, rows) = (&mut run.log.journal, &run.log.rows_path);
    run.log.summary.without_file = finish(journal, &plan.target, rows, &plan.job.sources, on_event)?;
    let output = &plan.target.file;
    let written = std::fs::metadata(output).map_err(|error| Error::io(&error, output))?.len();
    run.log.journal.finished(written, run.log.summary.without_file)?;
    put_rows_away(&run.log.rows_path, &run.kept_rows, run.log.summary.without_result())?;
    Ok(run.log.summary)
}

pub(super) enum Begun<'a> {
    /// There is nothing to do.
    Complete(Summary),
    Working(Box<Run<'a>>),
}

pub(super) struct Run<'a> {
    log: Log<'a>,
    inputs: Inputs,
    /// The number of the next input.
    next: usize,
    /// Which inputs are done already; empty where none is.
    is_done: Vec<bool>,
    /// Where rows wait for a retry.
    kept_rows: PathBuf,
}

impl<'a> Run<'a> {
    /// `good` bytes of rows count.
    pub fn new(
        plan: &Plan<'a>,
        journal: Journal,
        is_done: Vec<bool>,
        good: u64,
        summary: Summary,
    ) -> Result<Box<Self>> {
        let (rows_path, kept_rows) = rows_paths(&plan.target.file);
        let options = LogOptions {
            verify: plan.job.verify,
            fail_fast: plan.fail_fast,
            sync_interval: plan.sync_interval,
            error_row: plan.error_row,
        };
        let inputs = journal.inputs()?;
        let log = Log::open(journal, rows_path, good, summary, options)?;
        Ok(Box::new(Self { log, inputs, next: 0, is_done, kept_rows }))
    }

    fn work(&mut self, plan: &Plan, stop: &AtomicBool, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        let pending = self.log.summary.inputs - self.log.summary.skipped;
        if pending == 0 {
            return Ok(());
        }
        let mut pool = Pool::new(plan.workers.clone(), plan.jobs.min(pending))?;
        let mut ended = false;
        let mut next = None;
        let mut last_tick = Instant::now();
        loop {
            while !ended && pool.has_room() {
                let group = self.group(&mut next)?;
                ended = group.is_empty();
                if !ended {
                    pool.give(group);
                }
            }
            if ended && pool.in_flight() == 0 {
                break;
            }
            for outcome in pool.next(TICK)? {
                self.log.take(outcome, on_event)?;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Interrupted, "stopped; --resume goes on from here"));
            }
            self.log.sync_now_and_then()?;
            if last_tick.elapsed() > TICK {
                last_tick = Instant::now();
                on_event(Event::Progress(&self.log.summary));
            }
        }
        self.log.write_unreadable(on_event)
    }

    /// The next inputs that go together, none at the end; `next` is the one that did not fit before.
    fn group(&mut self, next: &mut Option<(Item, u64)>) -> Result<Vec<Item>> {
        let mut group: Vec<Item> = Vec::new();
        let (mut bytes, mut names) = (0, 0);
        while group.len() < GROUP {
            let taken = match next.take() {
                None => self.next_item()?,
                waiting => waiting,
            };
            let Some((item, size)) = taken else { break };
            (bytes, names) = (bytes + size, names + item.bytes());
            if !group.is_empty() && (bytes > GROUP_BYTES || names > GROUP_NAMES) {
                *next = Some((item, size));
                break;
            }
            group.push(item);
        }
        Ok(group)
    }

    /// The next input that is not done, and the bytes that it has.
    fn next_item(&mut self) -> Result<Option<(Item, u64)>> {
        while let Some(input) = self.inputs.next_input()? {
            let index = self.next;
            self.next += 1;
            if !self.is_done.get(index).copied().unwrap_or(false) {
                return Ok(Some(looked_up(index, input.path, &mut self.log.disks)));
            }
        }
        Ok(None)
    }
}
