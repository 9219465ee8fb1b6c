//! One run: what is not done yet is given out, what comes back is written down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde_json::value::RawValue;

use super::finish::{Place, Rows, Target, finish};
use super::journal::{Identity, Inputs, Job, Journal, ListedInput, Stage, State};
use super::list::{Listed, Source, list};
use super::log::{Log, LogOptions, looked_up};
use super::pool::{Item, Pool, WorkerCommand};
use crate::media::walk::PassedOver;
use crate::{Error, ErrorKind, Result};

/// Most inputs that are given to a worker together (more are no faster, and take more memory), and most bytes of their
/// files.
pub(super) const GROUP: usize = 8;
pub(super) const GROUP_BYTES: u64 = 2 << 20;
/// Most bytes of their names.
const GROUP_NAMES: usize = 16 << 10;
/// How often somebody who watches is told how far it is.
const TICK: Duration = Duration::from_millis(100);
/// Inputs of which it is looked up together whether they have changed.
const CHECKED_AT_ONCE: usize = 4096;

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
    finish(&mut run.log.journal, &plan.target, &run.log.rows_path, &plan.job.sources)?;
    run.log.journal.finished()?;
    run.put_rows_away()?;
    Ok(run.log.summary)
}

enum Begun<'a> {
    /// There is nothing to do.
    Complete(Summary),
    Working(Box<Run<'a>>),
}

struct Run<'a> {
    log: Log<'a>,
    inputs: Inputs,
    /// The number of the next input.
    next: usize,
    /// Which inputs are done already; empty where none is.
    is_done: Vec<bool>,
    /// Where rows wait for a retry.
    kept_rows: PathBuf,
}

/// Finds out what is to be done.
fn begin<'a>(plan: &Plan<'a>, on_event: &mut dyn FnMut(Event)) -> Result<Begun<'a>> {
    let output = &plan.target.file;
    let journal_path = beside(output, ".journal");
    let exists = output.exists();
    let refuse = |message: String| Err(Error::new(ErrorKind::Config, message).with_path(output));
    if exists && !journal_path.exists() && plan.mode != Mode::Force {
        return refuse("exists; --force replaces it, or name another (-o)".into());
    }
    let (journal, state) = Journal::open(&journal_path)?;
    match (plan.mode, state.stage) {
        (Mode::Force, _) | (_, Stage::Empty) if plan.mode == Mode::Force || !exists => {
            anew(plan, journal, on_event)
        }
        (Mode::Fresh, Stage::Working) => refuse(format!(
            "an unfinished run of it is there ({} of {} inputs done): --resume goes on with it, --force begins anew",
            state.done.len(),
            state.inputs
        )),
        (Mode::Fresh, _) if exists => refuse("exists; --force replaces it, or name another (-o)".into()),
        (_, Stage::Empty) => refuse("exists, and its journal is empty; --force replaces it".into()),
        // Somebody has taken the output away.
        (_, Stage::Finished) if !exists => anew(plan, journal, on_event),
        _ => go_on(plan, journal, state, on_event),
    }
}

fn anew<'a>(plan: &Plan<'a>, mut journal: Journal, on_event: &mut dyn FnMut(Event)) -> Result<Begun<'a>> {
    let (rows_path, kept_rows) = rows_paths(&plan.target.file);
    for old in [&rows_path, &kept_rows] {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&error, old)),
            _ => {}
        }
    }
    journal.begin(&plan.job)?;
    let mut found = 0;
    let listed = list(&plan.job.sources, &plan.job.list, &mut |input| {
        found += 1;
        if found % 10_000 == 0 {
            on_event(Event::Listing(found));
        }
        journal.input(&input)
    })?;
    for warning in warnings(&listed) {
        on_event(Event::Warning(warning));
    }
    journal.listed()?;
    let summary = Summary { inputs: listed.inputs, ..Summary::default() };
    Run::new(plan, journal, Vec::new(), 0, summary).map(Begun::Working)
}

fn warnings(listed: &Listed) -> Vec<String> {
    let mut warnings = Vec::new();
    if let PassedOver { count: 1.., first: Some(first) } = &listed.passed_over {
        let count = listed.passed_over.count;
        warnings.push(format!(
            "files that are no media are passed over: {count} (the first: {})",
            first.display()
        ));
    }
    if listed.twice > 0 {
        warnings.push(format!("inputs that are named again and worked on once: {}", listed.twice));
    }
    if listed.inputs == 0 {
        warnings.push("there are no inputs".into());
    }
    warnings
}

fn go_on<'a>(
    plan: &Plan<'a>,
    mut journal: Journal,
    state: State,
    on_event: &mut dyn FnMut(Event),
) -> Result<Begun<'a>> {
    let output = &plan.target.file;
    if let Some(was) = &state.job {
        plan.job.check(was).map_err(|error| error.with_path(output))?;
        if plan.job.manifests != was.manifests {
            let message = "a manifest has changed since the run began, which goes on with the list of then (--force begins anew)";
            on_event(Event::Warning(message.into()));
        }
    }
    let failed = state.done.iter().filter(|done| done.error.is_some()).count();
    let retries = plan.mode == Mode::RetryFailed && failed > 0;
    let mut state = state;
    if state.stage == Stage::Finished && !retries {
        on_event(Event::Warning(format!("{} is complete: there is nothing to do", output.display())));
        let (inputs, skipped) = (state.inputs, state.done.len());
        return Ok(Begun::Complete(Summary {
            inputs,
            skipped,
            skipped_failed: failed,
            ..Summary::default()
        }));
    }
    if retries {
        state.done.retain(|done| done.error.is_none());
    }
    let (rows_path, kept_rows) = rows_paths(output);
    if !rows_path.exists() && kept_rows.exists() {
        std::fs::rename(&kept_rows, &rows_path).map_err(|error| Error::io(&error, &rows_path))?;
    }
    // A row that is not there as it was written is made again.
    match rows_path.exists() {
        true => {
            let mut rows = Rows::open(&rows_path)?;
            state.done.retain(|done| rows.read(&Place::of(done)).is_ok());
        }
        false => state.done.clear(),
    }
    let is_done = unchanged(&mut journal, &state, plan.job.verify, on_event)?;
    if retries {
        journal.retry()?;
    }
    let good = state.done.iter().map(|done| done.start + done.length).max().unwrap_or(0);
    let skipped_failed = state.done.iter().filter(|done| done.error.is_some() && is_done[done.index]).count();
    let skipped = is_done.iter().filter(|&&is_done| is_done).count();
    let summary = Summary { inputs: state.inputs, skipped, skipped_failed, ..Summary::default() };
    Run::new(plan, journal, is_done, good, summary).map(Begun::Working)
}

/// Which inputs are done, and are as they were then.
///
/// # Errors
/// [`ErrorKind::NotFound`] where none of those that were there is there any more.
fn unchanged(
    journal: &mut Journal,
    state: &State,
    verify: bool,
    on_event: &mut dyn FnMut(Event),
) -> Result<Vec<bool>> {
    let mut is_done = vec![false; state.inputs];
    let mut known = vec![Identity::None; if state.done.is_empty() { 0 } else { state.inputs }];
    for done in &state.done {
        (is_done[done.index], known[done.index]) = (true, done.identity);
    }
    let (mut changed, mut gone, mut there) = (0, 0, 0);
    let mut first_gone = String::new();
    let mut inputs = journal.inputs()?;
    for first in (0..known.len()).step_by(CHECKED_AT_ONCE) {
        let count = CHECKED_AT_ONCE.min(known.len() - first);
        let paths = (0..count).map(|_| inputs.next_input()).collect::<Result<Vec<_>>>()?;
        let now: Vec<Identity> = paths
            .par_iter()
            .enumerate()
            .map(|(i, input)| match input {
                Some(input) if is_done[first + i] && input.is_text => {
                    Identity::of(input.path.as_ref(), verify)
                }
                _ => Identity::None,
            })
            .collect();
        for (i, (input, now)) in paths.iter().zip(now).enumerate() {
            if !is_done[first + i] {
                continue;
            }
            match (known[first + i], now) {
                (Identity::None, Identity::None) => {}
                // Its row stays: the recording is no longer there to say otherwise.
                (_, Identity::None) => {
                    gone += 1;
                    if let (1, Some(input)) = (gone, input) {
                        first_gone.clone_from(&input.path);
                    }
                }
                (was, now) if was == now => there += 1,
                _ => {
                    there += 1;
                    changed += 1;
                    is_done[first + i] = false;
                }
            }
        }
    }
    if gone > 0 && there == 0 {
        let message = format!(
            "and all other inputs that are done ({gone}) are gone; is the disk that holds them mounted?"
        );
        return Err(Error::new(ErrorKind::NotFound, message).with_path(first_gone));
    }
    if gone > 0 {
        on_event(Event::Warning(format!(
            "{gone} inputs are gone since (the first: {first_gone}); their rows stay"
        )));
    }
    if changed > 0 {
        on_event(Event::Warning(format!(
            "inputs that have changed since and are worked on again: {changed}"
        )));
    }
    Ok(is_done)
}

fn rows_paths(output: &Path) -> (PathBuf, PathBuf) {
    (beside(output, ".partial"), beside(output, ".rows"))
}

impl<'a> Run<'a> {
    /// `good` bytes of rows count.
    fn new(
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
                let group = self.group(&mut next, on_event)?;
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
    fn group(
        &mut self,
        next: &mut Option<(Item, u64)>,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<Vec<Item>> {
        let mut group: Vec<Item> = Vec::new();
        let (mut bytes, mut names) = (0, 0);
        while group.len() < GROUP {
            let taken = match next.take() {
                None => self.next_item(on_event)?,
                waiting => waiting,
            };
            let Some((item, size)) = taken else { break };
            (bytes, names) = (bytes + size, names + item.path.len());
            if !group.is_empty() && (bytes > GROUP_BYTES || names > GROUP_NAMES) {
                *next = Some((item, size));
                break;
            }
            group.push(item);
        }
        Ok(group)
    }

    /// The next input that is not done, and the bytes that it has.
    fn next_item(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<Option<(Item, u64)>> {
        while let Some(ListedInput { path, is_text, .. }) = self.inputs.next_input()? {
            let index = self.next;
            self.next += 1;
            if self.is_done.get(index).copied().unwrap_or(false) {
                continue;
            }
            if is_text {
                // What a directory of pictures holds is not known.
                return Ok(Some(looked_up(index, path, &mut self.log.disks, GROUP_BYTES)));
            }
            let message = "the name is not UTF-8, which JSON cannot carry; rename the file";
            let error = Error::new(ErrorKind::Path, message).with_path(&path);
            self.log.refuse(index, &error, on_event)?;
        }
        Ok(None)
    }

    /// The output is there: rows are needed only where some are to be made again.
    fn put_rows_away(&self) -> Result<()> {
        let put_away = match self.log.summary.without_result() {
            0 => std::fs::remove_file(&self.log.rows_path),
            _ => std::fs::rename(&self.log.rows_path, &self.kept_rows),
        };
        put_away.map_err(|error| Error::io(&error, &self.log.rows_path))
    }
}
