//! Worker processes: given work, watched, replaced when they die.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};

use super::journal::Identity;
use super::protocol::{Answer, Request};
use crate::files::each_piece;
use crate::{Error, ErrorKind, Result};

/// Longest answer, in bytes.
pub const MAX_ANSWER_BYTES: u64 = 4 << 30;
/// Groups that a worker has: one that it works on, one that waits.
const GROUPS: usize = 2;
/// Most bytes of requests that a worker has: what a pipe holds, so that giving it work never waits.
const MAX_REQUESTED: usize = 48 << 10;
/// How often an input may take a worker with it, when it is alone, before it is given up.
const ATTEMPTS: u32 = 2;
/// Workers that end before they have begun, one after the other, before it is given up.
const MAX_FAILED_STARTS: u32 = 3;
/// What is kept of a worker's messages, in bytes.
const MAX_MESSAGES: usize = 4096;
/// How long the last of them are waited for.
const MESSAGE_PATIENCE: Duration = Duration::from_millis(500);

/// How a worker is started.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Threads that each computes with.
    pub threads: usize,
    /// An input that takes longer is given up, and its worker with it.
    pub time_limit: Option<Duration>,
}

/// An input on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its number in the list.
    pub index: usize,
    pub path: PathBuf,
    /// What it was known by when it was given out.
    pub identity: Identity,
    attempts: u32,
}

/// What became of an input.
#[derive(Debug)]
pub enum Outcome {
    Answered(Item, Answer),
    /// It took its worker with it.
    Lost(Item, Error),
}

pub struct Pool {
    command: WorkerCommand,
    workers: Vec<Worker>,
    /// Groups whose worker has died.
    waiting: VecDeque<Vec<Item>>,
    events: Receiver<Event>,
    sender: SyncSender<Event>,
    failed_starts: u32,
}

struct Worker {
    /// Told apart from those before it in its place.
    number: u64,
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it works on first; of each group the inputs without an answer.
    groups: VecDeque<Vec<Item>>,
    /// When it began with the first group.
    since: Instant,
    has_begun: bool,
    has_ended: bool,
    messages: Arc<Mutex<Vec<u8>>>,
    /// Reads them.
    listener: Option<JoinHandle<()>>,
}

struct Event {
    place: usize,
    number: u64,
    /// A line; `None` where there are no more.
    line: Option<Vec<u8>>,
}

/// Why a worker is gone.
enum Death {
    Ended(ExitStatus),
    TimeLimit(Duration),
}

impl Item {
    pub fn new(index: usize, path: PathBuf, identity: Identity) -> Self {
        Self { index, path, identity, attempts: 0 }
    }

    /// The most that its request takes.
    pub fn bytes(&self) -> usize {
        let escaped = |byte: u8| if byte < b' ' || byte == b'"' || byte == b'\\' { 6 } else { 1 };
        let bytes = self.path.as_os_str().as_encoded_bytes();
        // One that is no text is there in two forms.
        let twice = if self.path.to_str().is_some() { 0 } else { 32 + 4 * bytes.len() };
        32 + twice + bytes.iter().copied().map(escaped).sum::<usize>()
    }
}

impl Pool {
    /// Starts `jobs` workers.
    pub fn new(command: WorkerCommand, jobs: usize) -> Result<Self> {
        let (sender, events) = sync_channel(256);
        let mut pool =
            Self { command, workers: Vec::new(), waiting: VecDeque::new(), events, sender, failed_starts: 0 };
        for place in 0..jobs {
            let worker = pool.start(place, 0)?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Whether another group of inputs finds a worker that takes it.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.free().is_some()
    }

    /// Gives inputs to a worker, together.
    pub fn give(&mut self, group: Vec<Item>) {
        self.waiting.push_back(group);
        self.hand_out();
    }

    /// Inputs without an answer.
    pub fn in_flight(&self) -> usize {
        let given = self.workers.iter().flat_map(|worker| &worker.groups);
        given.chain(&self.waiting).map(Vec::len).sum()
    }

    /// What has become of inputs, waiting no longer than `patience` for the first.
    ///
    /// # Errors
    /// Where workers cannot be started, with what the last one said.
    pub fn next(&mut self, patience: Duration) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        let mut event = self.events.recv_timeout(patience).ok();
        while let Some(Event { place, number, line }) = event {
            if self.workers[place].number == number {
                match line {
                    Some(line) => outcomes.extend(self.answered(place, &line)),
                    None => self.bury(place, None, &mut outcomes)?,
                }
            }
            event = self.events.try_recv().ok();
        }
        for worker in &mut self.workers {
            // What it has started may hold its output open: then nobody would say that it has ended.
            if !worker.has_ended && matches!(worker.child.try_wait(), Ok(Some(_))) {
                worker.has_ended = true;
                worker.kill();
            }
        }
        if let Some(limit) = self.command.time_limit {
            for place in 0..self.workers.len() {
                let worker = &self.workers[place];
                if worker.has_begun && !worker.groups.is_empty() && worker.since.elapsed() > limit {
                    self.bury(place, Some(limit), &mut outcomes)?;
                }
            }
        }
        self.hand_out();
        Ok(outcomes)
    }

    fn start(&self, place: usize, number: u64) -> Result<Worker> {
        let program = &self.command.program;
        let failed = |error: io::Error| Error::io(&error, program);
        let mut command = Command::new(program);
        command.args(&self.command.args).env("RAYON_NUM_THREADS", self.command.threads.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        {
            // Ctrl-C is for the one who gives out the work.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(failed)?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            let sender = self.sender.clone();
            thread(&mut child, move || read_answers(stdout, place, number, &sender))?;
        }
        let listener = match child.stderr.take() {
            Some(stderr) => {
                let messages = Arc::clone(&messages);
                Some(thread(&mut child, move || read_messages(stderr, &messages))?)
            }
            None => None,
        };
        let stdin = child.stdin.take();
        let groups = VecDeque::new();
        Ok(Worker {
            number,
            child,
            stdin,
            groups,
            since: Instant::now(),
            has_begun: false,
            has_ended: false,
            messages,
            listener,
        })
    }

    /// Where the next group goes: to the one with the fewest inputs.
    fn free(&self) -> Option<usize> {
        let takes = |worker: &Worker| {
            let requested: usize = worker.groups.iter().flatten().map(Item::bytes).sum();
            worker.groups.is_empty() || worker.groups.len() < GROUPS && requested < MAX_REQUESTED / 2
        };
        let places = (0..self.workers.len()).filter(|&place| takes(&self.workers[place]));
        places.min_by_key(|&place| self.workers[place].groups.len())
    }

    fn hand_out(&mut self) {
        while !self.waiting.is_empty()
            && let Some(place) = self.free()
            && let Some(group) = self.waiting.pop_front()
        {
            let worker = &mut self.workers[place];
            if worker.groups.is_empty() {
                worker.since = Instant::now();
            }
            // One that is gone is noticed where its answers end; the group stays with it until then.
            if let (Some(stdin), Ok(line)) = (&mut worker.stdin, request(&group))
                && stdin.write_all(&line).and_then(|()| stdin.flush()).is_err()
            {
                // It may live, and would never answer.
                worker.kill();
            }
            worker.groups.push_back(group);
        }
    }

    fn answered(&mut self, place: usize, line: &[u8]) -> Option<Outcome> {
        let worker = &mut self.workers[place];
        if !worker.has_begun {
            // The first line says that it can work.
            (worker.has_begun, worker.since) = (true, Instant::now());
            self.failed_starts = 0;
            return None;
        }
        let answer: Answer = serde_json::from_slice(line).ok()?;
        let index: usize = answer.id.get().parse().ok()?;
        let group = worker.groups.front_mut()?;
        let at = group.iter().position(|item| item.index == index)?;
        let item = group.remove(at);
        if group.is_empty() {
            worker.groups.pop_front();
            worker.since = Instant::now();
        }
        Some(Outcome::Answered(item, answer))
    }

    /// Replaces a worker that has died or has to; what it worked on is tried again, one by one.
    fn bury(&mut self, place: usize, limit: Option<Duration>, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let worker = &mut self.workers[place];
        // One that hangs, or has closed its output and nothing else.
        worker.kill();
        let status = worker.child.wait().map_err(|error| Error::io(&error, &self.command.program))?;
        let messages = worker.last_messages();
        if !worker.has_begun {
            self.failed_starts += 1;
            if self.failed_starts >= MAX_FAILED_STARTS {
                let message = match messages.trim() {
                    "" => format!("the worker process ended before it began ({status})"),
                    said => said.trim_start_matches("percept: error: ").to_string(),
                };
                return Err(Error::new(ErrorKind::Internal, message));
            }
        }
        let death = limit.map_or(Death::Ended(status), Death::TimeLimit);
        let mut groups = std::mem::take(&mut worker.groups);
        if worker.has_begun
            && let Some(first) = groups.pop_front()
        {
            let is_alone = first.len() == 1;
            for mut item in first.into_iter().rev() {
                item.attempts += u32::from(is_alone);
                let is_last = matches!(death, Death::TimeLimit(_)) || item.attempts >= ATTEMPTS;
                match is_alone && is_last {
                    true => outcomes.push(Outcome::Lost(item, death.error(&messages))),
                    false => self.waiting.push_front(vec![item]),
                }
            }
        }
        self.waiting.extend(groups);
        let number = self.workers[place].number + 1;
        self.workers[place] = self.start(place, number)?;
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It ends when nobody asks any more; one that works on something is not waited for.
            drop(worker.stdin.take());
            if !worker.groups.is_empty() || !worker.has_begun {
                worker.kill();
            }
            let _ = worker.child.wait();
        }
    }
}

impl Worker {
    /// With all that it has started.
    fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
    }

    /// What one that has ended said last.
    fn last_messages(&mut self) -> String {
        let until = Instant::now() + MESSAGE_PATIENCE;
        while self.listener.as_ref().is_some_and(|listener| !listener.is_finished()) && Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let kept = std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl Death {
    fn error(&self, messages: &str) -> Error {
        match self {
            Self::TimeLimit(limit) => {
                let message = format!(
                    "took longer than {} s, the limit for a file (--time-limit); raise it, or leave the file out",
                    limit.as_secs_f64()
                );
                Error::new(ErrorKind::Limit, message)
            }
            Self::Ended(_) if messages.contains("memory allocation of") => {
                let message = "needs more memory than a file may take (--memory-limit); raise it, or cut the file into parts";
                Error::new(ErrorKind::Limit, message)
            }
            Self::Ended(status) => {
                let message = format!(
                    "ended the process that worked on it ({status}), which is a defect (or somebody stopped that process, \
                     or memory ran out); please report it with the file"
                );
                Error::new(ErrorKind::Internal, message)
            }
        }
    }
}

/// One that listens to a worker, which is of no use where the system gives none.
fn thread(worker: &mut Child, listen: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().spawn(listen).map_err(|error| {
        let _ = worker.kill();
        let _ = worker.wait();
        Error::new(ErrorKind::Io, format!("no thread can be started: {error}; use fewer workers (--jobs)"))
    })
}

fn request(group: &[Item]) -> serde_json::Result<Vec<u8>> {
    let request = |item: &Item| -> serde_json::Result<Request> {
        let id: Box<RawValue> = to_raw_value(&item.index)?;
        Ok(Request::new(id, &item.path))
    };
    let requests = group.iter().map(request).collect::<serde_json::Result<Vec<_>>>()?;
    let mut line = serde_json::to_vec(&requests)?;
    line.push(b'\n');
    Ok(line)
}

fn read_answers(stdout: impl Read, place: usize, number: u64, sender: &SyncSender<Event>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line);
        let line = (matches!(read, Ok(1..)) && line.ends_with(b"\n")).then_some(line);
        let is_last = line.is_none();
        if sender.send(Event { place, number, line }).is_err() || is_last {
            return;
        }
    }
}

fn read_messages(stderr: impl Read, messages: &Mutex<Vec<u8>>) {
    // What cannot be read is no reason to stop the worker.
    let _ = each_piece(stderr, |piece| {
        let mut kept = messages.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(piece);
        let excess = kept.len().saturating_sub(MAX_MESSAGES);
        kept.drain(..excess);
    });
}
