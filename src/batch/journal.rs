//! What is to be done and what is done, on disk: a run that is killed at any moment, by whatever, goes on from it.
//!
//! A journal is text, a record a line: a letter, what belongs to it, and the CRC-32 of both in hexadecimal. First the job
//! (`J`), then the inputs (`F`) and that they are all (`L`), then what is done (`D`), as it is done, in any order; a later one of
//! the same input counts. Where a directory is watched, inputs come behind `L` as they are found. `R` says that failed inputs are to be done again, `E` that the output is complete.
//!
//! A row is named here only when it is safely on disk. Behind a line that is cut off or damaged nothing counts: those
//! inputs are done again.
//!
//! The journal is locked while somebody works on it; the lock ends with the process.

use std::collections::HashSet;
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::list::{Input, ListOptions, MAX_LINE_BYTES, Source};
use super::worker::content_of;
use crate::files::{first_bytes, path_from_json, path_to_json};
use crate::model::Task;
use crate::{Error, ErrorKind, Result};

/// Longest line, in bytes: each byte of a path may take six in JSON.
const MAX_RECORD_BYTES: u64 = 6 * MAX_LINE_BYTES as u64 + 1024;

/// What a run is of: another one does not go on from its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// `percept 0.1.0`
    pub tool: String,
    pub task: Task,
    /// SHA-256 of the model file, or of those inside the program.
    pub model: String,
    /// What else the answers depend on.
    pub settings: String,
    /// Of the output.
    pub format: String,
    pub sources: Vec<Source>,
    pub list: ListOptions,
    /// Bytes and time of each manifest.
    pub manifests: Vec<String>,
    /// Whether files are known by their contents.
    pub verify: bool,
}

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It is not there.
    None,
    /// Bytes, and nanoseconds since 1970 at which it was changed.
    Metadata(u64, i64),
    /// Half of the SHA-256 of its content.
    Content(u128),
}

/// An input that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Done {
    /// Its number in the list, from 0.
    pub index: usize,
    /// Where its row is among the rows, in bytes, with its line end.
    pub start: u64,
    pub length: u64,
    /// CRC-32 of the row.
    pub sum: u32,
    /// Why it failed, if it did.
    pub error: Option<ErrorKind>,
    pub identity: Identity,
}

/// Where a row is, and its CRC-32.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub start: u64,
    pub length: u64,
    pub sum: u32,
}

impl Place {
    pub fn of(done: &Done) -> Self {
        Self { start: done.start, length: done.length, sum: done.sum }
    }
}

/// How far a journal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is no list of inputs yet: nothing is done.
    Empty,
    Working,
    Finished,
}

/// How long, and how often, the lock of a journal is waited for: a run that was killed may have begun a worker, which has it
/// until it is a program of its own.
const LOCK_WAIT: Duration = Duration::from_millis(50);
const LOCK_WAITS: usize = 20;

/// What a journal says.
#[derive(Debug)]
pub struct State {
    pub stage: Stage,
    /// `None` where the stage is [`Stage::Empty`].
    pub job: Option<Job>,
    /// Inputs in the list, and behind it.
    pub inputs: usize,
    /// The last of each input, in no order.
    pub done: Vec<Done>,
    /// Bytes of the output when it was finished.
    pub written: Option<u64>,
    /// Inputs with a result that have no file of their own where each should.
    pub without_file: usize,
}

/// A journal that is worked on.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Identity {
    /// What a path is known by now.
    pub fn of(path: &Path, by_content: bool) -> Self {
        if by_content {
            return content_of(path)
                .ok()
                .and_then(|text| Self::parse(&format!("c{text}")))
                .unwrap_or(Self::None);
        }
        std::fs::metadata(path).map_or(Self::None, |metadata| Self::of_metadata(&metadata))
    }

    pub fn of_metadata(metadata: &Metadata) -> Self {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
        // The size that a directory has says nothing.
        Self::Metadata(if metadata.is_dir() { 0 } else { metadata.len() }, changed)
    }

    pub(super) fn write(self) -> String {
        match self {
            Self::None => "-".into(),
            Self::Metadata(size, changed) => format!("{size}@{changed}"),
            Self::Content(half) => format!("c{half:032x}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match (text, text.split_once('@')) {
            ("-", _) => Self::None,
            (_, Some((size, changed))) => Self::Metadata(size.parse().ok()?, changed.parse().ok()?),
            _ => Self::content(text.strip_prefix('c')?)?,
        })
    }

    /// Of half a SHA-256 in hexadecimal.
    pub fn content(hex: &str) -> Option<Self> {
        u128::from_str_radix(hex, 16).ok().map(Self::Content)
    }
}

impl Job {
    /// What the manifests among `sources` are known by.
    pub fn manifests(sources: &[Source]) -> Vec<String> {
        let known = |source: &Source| match source {
            Source::Manifest(path) => Some(Identity::of(path, false).write()),
            Source::Path(_) | Source::Stdin { .. } => None,
        };
        sources.iter().filter_map(known).collect()
    }

    /// Says what of `self`, as it is asked for now, is not as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names it.
    pub fn check(&self, was: &Self) -> Result<()> {
        let differences = [
            (self.tool != was.tool, format!("was begun by {} and this is {}", was.tool, self.tool)),
            (self.task != was.task, "was begun for another task (--task)".into()),
            (self.model != was.model, "was begun with another model (-m)".into()),
            (
                self.settings != was.settings,
                format!("was begun with {} and not {}", was.settings, self.settings),
            ),
            (self.format != was.format, format!("was begun for {} and not {}", was.format, self.format)),
            (self.sources != was.sources, "was begun for other inputs".into()),
            (self.list != was.list, "was begun with another --include, --exclude or --shard".into()),
            (self.verify != was.verify, "was begun with or without --verify, and not as now".into()),
        ];
        match differences.into_iter().find(|(differs, _)| *differs) {
            None => Ok(()),
            Some((_, what)) => {
                let message = format!("{what}: call it as it was begun, or begin anew (--force)");
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }
}

impl Journal {
    /// Opens or makes the journal and locks it; says how far it has come. What is damaged at its end is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where another process works on it, or the file is no journal.
    pub fn open(path: &Path) -> Result<(Self, State)> {
        let failed = |error: io::Error| Error::io(&error, path);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        for wait in (0..=LOCK_WAITS).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if wait > 0 => std::thread::sleep(LOCK_WAIT),
                Err(TryLockError::WouldBlock) => {
                    let message = "another percept works on this output; wait for it, or name another (-o)";
                    return Err(Error::new(ErrorKind::Config, message).with_path(path));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let (state, good) = read_state(&file).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if state.stage == Stage::Empty && length > 0 && good == 0 && !begins_as_one(&file).map_err(failed)? {
            let message =
                "is no journal of percept's, so it is not replaced: remove it, or name another output (-o)";
            return Err(Error::new(ErrorKind::Path, message).with_path(path));
        }
        file.set_len(good).map_err(failed)?;
        let mut journal = Self { path: path.to_path_buf(), file: BufWriter::new(file) };
        journal.file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok((journal, state))
    }

    /// Forgets all that was, and begins.
    pub fn begin(&mut self, job: &Job) -> Result<()> {
        let emptied = self.file.get_mut().set_len(0).and_then(|()| self.file.rewind());
        self.failed(emptied)?;
        let job = serde_json::to_string(job).map_err(io::Error::from);
        let job = self.failed(job)?;
        self.record('J', &job)
    }

    /// An input of the list.
    pub fn input(&mut self, input: &Input) -> Result<()> {
        // The bytes of a name that is no text stand behind a mark.
        let (mark, name) = match path_to_json(&input.path) {
            (_, Some(bytes)) => ("!", bytes),
            (name, None) => ("", name),
        };
        let name = serde_json::to_string(&name).map_err(io::Error::from);
        let name = self.failed(name)?;
        self.record('F', &format!("{} {mark}{name}", input.root))
    }

    /// There are no more.
    pub fn listed(&mut self) -> Result<()> {
        self.record('L', "")?;
        self.sync()
    }

    pub fn done(&mut self, done: &Done) -> Result<()> {
        let error = match done.error {
            None => "ok".to_string(),
            Some(kind) => kind.name(),
        };
        let Done { index, start, length, sum, identity, .. } = done;
        self.record('D', &format!("{index} {start} {length} {sum:08x} {error} {}", identity.write()))
    }

    /// Failed inputs are to be done again.
    pub fn retry(&mut self) -> Result<()> {
        self.record('R', "")?;
        self.sync()
    }

    /// The output is there, and has so many bytes; so many inputs have no file of their own.
    pub fn finished(&mut self, written: u64, without_file: usize) -> Result<()> {
        self.record('E', &format!("{written} {without_file}"))?;
        self.sync()
    }

    /// What was recorded survives whatever happens.
    pub fn sync(&mut self) -> Result<()> {
        let synced = self.file.flush().and_then(|()| self.file.get_mut().sync_data());
        self.failed(synced)
    }

    /// Where the row of each input is: the last one that was written.
    pub(super) fn places(&mut self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        self.each_record(|kind, body| match kind {
            'F' => places.push(Place::default()),
            'D' => {
                let done = parse_done(body);
                if let Some((place, done)) = done.and_then(|done| Some((places.get_mut(done.index)?, done))) {
                    *place = Place::of(&done);
                }
            }
            _ => {}
        })?;
        Ok(places)
    }

    /// The inputs, in their order.
    pub fn inputs(&self) -> Result<Inputs> {
        let file = File::open(&self.path);
        Ok(Inputs { lines: Lines::new(self.failed(file)?), has_ended: false, path: self.path.clone() })
    }

    /// What each input was known by when it was done; a later one counts.
    pub fn known(&mut self) -> Result<Vec<(PathBuf, Identity)>> {
        let (mut inputs, mut known) = (Vec::new(), Vec::new());
        self.each_record(|kind, body| match kind {
            'F' => inputs.push(parse_input(body).map_or(PathBuf::new(), |input| input.path)),
            'D' => known.extend(parse_done(body).and_then(|done| {
                let path = inputs.get_mut(done.index)?;
                Some((std::mem::take(path), done.identity))
            })),
            _ => {}
        })?;
        Ok(known)
    }

    /// The inputs with these numbers, in their order, those behind the list among them.
    pub fn numbered(&mut self, numbers: &HashSet<usize>) -> Result<Vec<PathBuf>> {
        let (mut number, mut paths) = (0, Vec::new());
        self.each_record(|kind, body| {
            if kind == 'F' {
                paths.extend(parse_input(body).filter(|_| numbers.contains(&number)).map(|input| input.path));
                number += 1;
            }
        })?;
        Ok(paths)
    }

    fn each_record(&mut self, mut take: impl FnMut(char, &str)) -> Result<()> {
        let flushed = self.file.flush();
        self.failed(flushed)?;
        let file = File::open(&self.path);
        let mut lines = Lines::new(self.failed(file)?);
        loop {
            let next = lines.next_record();
            match self.failed(next)? {
                None => return Ok(()),
                Some((kind, body)) => take(kind, body),
            }
        }
    }

    fn record(&mut self, kind: char, body: &str) -> Result<()> {
        let text = format!("{kind} {body}");
        let written = writeln!(self.file, "{text} {:08x}", crc32fast::hash(text.as_bytes()));
        self.failed(written)
    }

    fn failed<T>(&self, result: io::Result<T>) -> Result<T> {
        result.map_err(|error| Error::io(&error, &self.path))
    }
}

/// The inputs of a journal, in their order.
pub struct Inputs {
    lines: Lines<File>,
    has_ended: bool,
    path: PathBuf,
}

/// An input as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInput {
    pub path: PathBuf,
    /// As [`Input::root`].
    pub root: usize,
}

impl Inputs {
    /// # Errors
    /// [`ErrorKind::Damaged`] where the list ends without its end.
    pub fn next_input(&mut self) -> Result<Option<ListedInput>> {
        while !self.has_ended {
            let next = self.lines.next_record().map_err(|error| Error::io(&error, &self.path))?;
            match next {
                Some(('F', body)) => match parse_input(body) {
                    Some(input) => return Ok(Some(input)),
                    None => return self.damaged(),
                },
                Some(('L', _)) => self.has_ended = true,
                Some(('J', _)) => {}
                _ => return self.damaged(),
            }
        }
        Ok(None)
    }

    fn damaged<T>(&self) -> Result<T> {
        let message = "the list of inputs is damaged: begin anew (--force)";
        Err(Error::new(ErrorKind::Damaged, message).with_path(&self.path))
    }
}

fn parse_input(body: &str) -> Option<ListedInput> {
    let (root, name) = body.split_once(' ')?;
    let path = match name.strip_prefix('!') {
        Some(bytes) => path_from_json("", Some(&serde_json::from_str::<String>(bytes).ok()?)),
        None => serde_json::from_str(name).ok()?,
    };
    Some(ListedInput { path, root: root.parse().ok()? })
}

fn parse_done(body: &str) -> Option<Done> {
    let mut fields = body.split(' ');
    let mut next = || fields.next();
    let (index, start, length) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    let sum = u32::from_str_radix(next()?, 16).ok()?;
    let error = match next()? {
        "ok" => None,
        name => Some(ErrorKind::from_name(name)?),
    };
    Some(Done { index, start, length, sum, error, identity: Identity::parse(next()?)? })
}

/// What the records say, and where the last good one ends.
fn read_state(file: &File) -> io::Result<(State, u64)> {
    let mut state =
        State { stage: Stage::Empty, job: None, inputs: 0, done: Vec::new(), written: None, without_file: 0 };
    let mut lines = Lines::new(file);
    lines.reader.rewind()?;
    let mut job = None;
    // Of each input, one more than the place of its last record.
    let mut places: Vec<u32> = Vec::new();
    let mut good = 0;
    while let Some((kind, body)) = lines.next_record()? {
        let is_good = match (kind, state.stage) {
            ('J', Stage::Empty) => {
                job = serde_json::from_str(body).ok();
                job.is_some()
            }
            ('F', stage) => {
                state.inputs += 1;
                stage != Stage::Finished && (job.is_some() || state.job.is_some())
            }
            ('L', Stage::Empty) if job.is_some() => {
                (state.stage, state.job) = (Stage::Working, job.take());
                true
            }
            ('D', Stage::Working) => match parse_done(body) {
                Some(done) if done.index < state.inputs => {
                    places.resize(state.inputs, 0);
                    match &mut places[done.index] {
                        0 => {
                            state.done.push(done);
                            places[done.index] = state.done.len() as u32;
                        }
                        place => state.done[*place as usize - 1] = done,
                    }
                    true
                }
                _ => false,
            },
            ('R', Stage::Working | Stage::Finished) => {
                state.stage = Stage::Working;
                state.done.retain(|done| done.error.is_none());
                places.clear();
                places.resize(state.inputs, 0);
                for (place, done) in (1..).zip(&state.done) {
                    places[done.index] = place;
                }
                true
            }
            ('E', Stage::Working) => {
                let (written, without_file) = body.split_once(' ').unwrap_or((body, ""));
                (state.stage, state.written) = (Stage::Finished, written.parse().ok());
                state.without_file = without_file.parse().unwrap_or(0);
                true
            }
            _ => false,
        };
        if !is_good {
            break;
        }
        good = lines.position;
    }
    if state.stage == Stage::Empty {
        // The list is made anew.
        state.inputs = 0;
    }
    Ok((state, good))
}

/// Whether a file may be the beginning of a journal.
fn begins_as_one(mut file: &File) -> io::Result<bool> {
    file.rewind()?;
    Ok(b"J ".starts_with(&first_bytes(file, 2)?))
}

/// Records, as long as they are good.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Behind the last good record.
    position: u64,
}

impl<R: Read> Lines<R> {
    fn new(file: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, file), line: Vec::new(), position: 0 }
    }

    /// Letter and body; `None` at the end, or where a record is cut off or damaged.
    fn next_record(&mut self) -> io::Result<Option<(char, &str)>> {
        self.line.clear();
        let read = (&mut self.reader).take(MAX_RECORD_BYTES).read_until(b'\n', &mut self.line)?;
        let Some(text) = self.line.strip_suffix(b"\n").and_then(|line| str::from_utf8(line).ok()) else {
            return Ok(None);
        };
        let Some((text, sum)) = text.rsplit_once(' ') else { return Ok(None) };
        if u32::from_str_radix(sum, 16).ok() != Some(crc32fast::hash(text.as_bytes())) {
            return Ok(None);
        }
        self.position += read as u64;
        let mut chars = text.chars();
        Ok(chars.next().map(|kind| (kind, chars.as_str().strip_prefix(' ').unwrap_or_default())))
    }
}
