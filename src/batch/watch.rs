//! A directory to which files are added: each is worked on when it is completely written.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::begin::is_output;
use super::journal::{Done, Identity, Job, Journal, Stage};
use super::list::{Input, check_sources, key, list};
use super::log::{Log, LogOptions, SYNC_INTERVAL, looked_up};
use super::pool::{Item, Outcome, Pool, WorkerCommand};
use super::run::{Event, GROUP, GROUP_BYTES, Summary, beside};
use crate::files::{AtomicFile, first_bytes};
use crate::output::record::InputInfo;
use crate::{Error, ErrorKind, Result};

/// How long answers are waited for before the directories are looked at again.
const TICK: Duration = Duration::from_millis(100);
/// Looking takes at most one part in so many of the time.
const LOOKING: u32 = 10;

/// What is to be done.
pub struct WatchPlan<'a> {
    /// Its sources are directories, and its rows JSON lines.
    pub job: Job,
    /// Rows are added at its end.
    pub output: PathBuf,
    /// Whether what is there is replaced.
    pub force: bool,
    pub workers: WorkerCommand,
    /// Worker processes.
    pub jobs: usize,
    /// A file that has not changed for so long is completely written.
    pub settle: Duration,
    /// How often the directories are looked at.
    pub interval: Duration,
    /// End when all that is there is done.
    pub once: bool,
    /// The row of an input that no worker has answered for.
    pub error_row: &'a dyn Fn(&Path, &Error) -> Result<Box<RawValue>>,
}

/// Works on files as they are added, until `stop`. A file that changes later is worked on again, and has another row.
///
/// # Errors
/// [`ErrorKind::Config`] where the output is of another job; those of the disk, of the directories and of workers that
/// cannot begin. What is done by then is not done again.
pub fn watch(plan: &WatchPlan, stop: &AtomicBool, on_event: &mut dyn FnMut(Event)) -> Result<Summary> {
    let mut watch = begin(plan, on_event)?;
    let watched = watch.work(plan, stop, on_event);
    // What is known is kept, whatever has happened.
    let written = watch.log.write_unreadable(on_event).and_then(|()| watch.log.sync());
    watched.and(written)?;
    Ok(watch.log.summary)
}

struct Watch<'a> {
    log: Log<'a>,
    /// By half the SHA-256 of its path, what each file was known by when it was worked on.
    known: HashMap<u128, Identity>,
    /// Files that may still be written, what they are known by, and since when.
    settling: HashMap<PathBuf, (Identity, Instant)>,
    /// Files that wait for a worker, and their bytes.
    waiting: VecDeque<(Item, u64)>,
    /// Those and the ones that a worker has.
    begun: HashSet<u128>,
    /// The number of the next one.
    next: usize,
    /// A directory is missing or cannot be gone through, which has been said.
    is_waiting: bool,
}

fn begin<'a>(plan: &WatchPlan<'a>, on_event: &mut dyn FnMut(Event)) -> Result<Watch<'a>> {
    let output = &plan.output;
    let journal_path = beside(output, ".journal");
    let length = std::fs::metadata(output).map_or(0, |metadata| metadata.len());
    if length > 0 && !journal_path.exists() && !plan.force {
        let message =
            "exists and was not written by `percept watch`; --force replaces it, or name another (-o)";
        return Err(Error::new(ErrorKind::Config, message).with_path(output));
    }
    drop(AtomicFile::create(output)?);
    let (mut journal, state) = Journal::open(&journal_path)?;
    if state.stage == Stage::Empty || plan.force {
        journal.begin(&plan.job)?;
        journal.listed()?;
    } else if let Some(was) = &state.job {
        plan.job.check(was).map_err(|error| error.with_path(output))?;
    }
    let mut next = if plan.force { 0 } else { state.inputs };
    let mut known_rows = state.done.last().map_or(0, |done| done.start + done.length);
    if length < known_rows && !plan.force {
        let lost = lost_rows(output, length, &state.done)?;
        known_rows = lost.map_or(0, |lost| lost[0].start);
        let output = output.display();
        on_event(Event::Warning(match lost {
            // Perhaps to a place where it is kept.
            None => format!(
                "{output} was taken away: what was done stays done, and it begins anew (--force does all again)"
            ),
            Some(lost) => {
                format!("{output} was cut off: inputs whose rows are missing are done again ({})", lost.len())
            }
        }));
        next = forget(&mut journal, lost.unwrap_or_default(), next)?;
    }
    let good = match plan.force {
        true => 0,
        false => {
            recover(&mut journal, output, known_rows, &mut next).map_err(|error| error.with_path(output))?
        }
    };
    let known = journal.known()?.into_iter().map(|(path, identity)| (key(&path), identity)).collect();
    let options = LogOptions {
        verify: false,
        fail_fast: false,
        sync_interval: SYNC_INTERVAL,
        error_row: plan.error_row,
    };
    let log = Log::open(journal, output.clone(), good, Summary::default(), options)?;
    Ok(Watch {
        log,
        known,
        settling: HashMap::new(),
        waiting: VecDeque::new(),
        begun: HashSet::new(),
        next,
        is_waiting: false,
    })
}

/// Of the rows that stood in the file last, those that its `length` bytes have no more; `None` where it is another file, as
/// where it was moved away.
fn lost_rows<'a>(output: &Path, length: u64, done: &'a [Done]) -> Result<Option<&'a [Done]>> {
    let failed = |error: io::Error| Error::io(&error, output);
    let end = |done: &Done| done.start + done.length;
    // Those that follow each other to the end are of one file.
    let breaks = done.windows(2).rposition(|pair| end(&pair[0]) != pair[1].start);
    let rows = &done[breaks.map_or(0, |at| at + 1)..];
    let lost = rows.iter().position(|row| end(row) > length).unwrap_or(rows.len());
    // The last one that would be there is there.
    if let Some(row) = done.iter().rev().find(|row| row.length > 0 && end(row) <= length) {
        let mut file = File::open(output).map_err(failed)?;
        file.seek(SeekFrom::Start(row.start)).map_err(failed)?;
        let text = first_bytes(file, row.length).map_err(failed)?;
        if crc32fast::hash(text.strip_suffix(b"\n").unwrap_or(&text)) != row.sum {
            return Ok(None);
        }
    }
    Ok(Some(&rows[lost..]).filter(|rows| length > 0 && !rows.is_empty()))
}

/// Writes down that nothing is known of inputs whose rows are lost. Gives the number of the next input.
fn forget(journal: &mut Journal, lost: &[Done], mut next: usize) -> Result<usize> {
    let known_rows = lost.first().map_or(0, |lost| lost.start);
    let lost: HashSet<usize> = lost.iter().map(|lost| lost.index).collect();
    for path in journal.numbered(&lost)? {
        journal.input(&Input { path, root: 0 })?;
        let (sum, identity) = (crc32fast::hash(b""), Identity::None);
        journal.done(&Done { index: next, start: known_rows, length: 0, sum, error: None, identity })?;
        next += 1;
    }
    journal.sync()?;
    Ok(next)
}

/// Rows behind the last one that the journal knows were written just before a kill, or the journal is damaged: they stay,
/// and their inputs are done. Gives the bytes of whole rows.
fn recover(journal: &mut Journal, output: &Path, known: u64, next: &mut usize) -> Result<u64> {
    let failed = |error: io::Error| Error::io(&error, output);
    let mut file = match File::open(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file.map_err(failed)?,
    };
    file.seek(SeekFrom::Start(known)).map_err(failed)?;
    let (mut reader, mut start, mut row) = (BufReader::new(file), known, Vec::new());
    loop {
        row.clear();
        let length = reader.read_until(b'\n', &mut row).map_err(failed)? as u64;
        let Some(text) = row.strip_suffix(b"\n") else { break };
        if let Ok(RowOf { input }) = serde_json::from_slice(text) {
            let path = input.path();
            let identity = Identity::of(&path, false);
            journal.input(&Input { path, root: 0 })?;
            let sum = crc32fast::hash(text);
            journal.done(&Done { index: *next, start, length, sum, error: None, identity })?;
            *next += 1;
        }
        start += length;
    }
    journal.sync()?;
    Ok(start)
}

/// What of a row says which input it is of.
#[derive(Deserialize)]
struct RowOf {
    input: InputInfo,
}

impl Watch<'_> {
    fn work(&mut self, plan: &WatchPlan, stop: &AtomicBool, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        let mut pool = Pool::new(plan.workers.clone(), plan.jobs)?;
        let mut next_look = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if Instant::now() >= next_look {
                let began = Instant::now();
                self.look(plan, on_event)?;
                next_look = Instant::now() + plan.interval.max(began.elapsed() * LOOKING);
            }
            while !self.waiting.is_empty() && pool.has_room() {
                let group = self.group();
                pool.give(group);
            }
            let is_idle = pool.in_flight() == 0 && self.waiting.is_empty();
            if plan.once && is_idle && self.settling.is_empty() {
                break;
            }
            for outcome in pool.next(TICK)? {
                self.take(outcome, on_event)?;
            }
            // One at a time may be long in coming: who reads the rows waits for it.
            if pool.in_flight() == 0 {
                self.log.sync()?;
            }
            self.log.sync_now_and_then()?;
            on_event(Event::Progress(&self.log.summary));
        }
        Ok(())
    }

    /// Finds files that are new or have changed, and are completely written.
    fn look(&mut self, plan: &WatchPlan, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        if let Err(error) = check_sources(&plan.job.sources) {
            if !self.is_waiting {
                on_event(Event::Warning(format!("{error}; it is waited for")));
            }
            self.is_waiting = true;
            return Ok(());
        }
        let was_waiting = std::mem::take(&mut self.is_waiting);
        let mut settling = std::mem::take(&mut self.settling);
        // Of the journal: without it, it cannot go on.
        let mut journal_failed = false;
        let mut take = |Input { path, root }| {
            let key = key(&path);
            // What is gone again has no row.
            let Ok(metadata) = std::fs::metadata(&path) else { return Ok(()) };
            if is_output(&path, &plan.output) {
                return Ok(());
            }
            let identity = Identity::of_metadata(&metadata);
            if self.begun.contains(&key) || self.known.get(&key) == Some(&identity) {
                return Ok(());
            }
            let now = Instant::now();
            let since = match settling.remove(&path) {
                Some((was, since)) if was == identity => since,
                _ if is_older(&metadata, plan.settle) => now.checked_sub(plan.settle).unwrap_or(now),
                _ => now,
            };
            if now.duration_since(since) < plan.settle {
                self.settling.insert(path, (identity, since));
                return Ok(());
            }
            self.begun.insert(key);
            let waiting = looked_up(self.next, path.clone(), &mut self.log.disks);
            self.waiting.push_back(waiting);
            self.next += 1;
            self.log.summary.inputs += 1;
            self.log.journal.input(&Input { path, root }).inspect_err(|_| journal_failed = true)
        };
        // One that cannot be gone through does not keep the others from it.
        let sources = plan.job.sources.iter().map(std::slice::from_ref);
        let listed: Vec<_> = sources.map(|source| list(source, &plan.job.list, &mut take)).collect();
        for error in listed.into_iter().filter_map(Result::err) {
            if journal_failed || plan.once || error.kind == ErrorKind::Limit {
                return Err(error);
            }
            if !was_waiting {
                on_event(Event::Warning(format!("{error}; it is looked for again")));
            }
            self.is_waiting = true;
        }
        Ok(())
    }

    fn group(&mut self) -> Vec<Item> {
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some((_, size)) = self.waiting.front()
            && group.len() < GROUP
            && (group.is_empty() || bytes + size <= GROUP_BYTES)
            && let Some((item, size)) = self.waiting.pop_front()
        {
            bytes += size;
            group.push(item);
        }
        group
    }

    fn take(&mut self, outcome: Outcome, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        let item = match &outcome {
            Outcome::Answered(item, _) | Outcome::Lost(item, _) => item,
        };
        let key = key(&item.path);
        self.begun.remove(&key);
        let is_missing = match &outcome {
            Outcome::Answered(_, answer) => {
                answer.error.as_ref().is_some_and(|error| error.kind == ErrorKind::NotFound)
            }
            Outcome::Lost(..) => false,
        };
        // Moved on by somebody before it was read.
        if is_missing && self.log.disks.lost().is_none() {
            return Ok(());
        }
        self.known.insert(key, item.identity);
        self.log.begin_anew_if_moved()?;
        self.log.take(outcome, on_event)
    }
}

/// Whether a file was last changed longer ago.
fn is_older(metadata: &std::fs::Metadata, age: Duration) -> bool {
    let changed = metadata.modified().ok();
    changed
        .and_then(|changed| SystemTime::now().duration_since(changed).ok())
        .is_some_and(|passed| passed > age)
}
