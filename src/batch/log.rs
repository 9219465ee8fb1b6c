//! Rows on disk as they come, and the journal beside them.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::disk::Disks;
use super::journal::{Done, Identity, Journal};
use super::pool::{Item, Outcome};
use super::run::{Event, GROUP_BYTES, Summary};
use crate::{Error, ErrorKind, Result};

/// How often what is done is brought safely to disk.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(2);
/// Files in a row that the system cannot read, after which the run stops: it may be the disk.
const MAX_UNREADABLE: usize = 10;

/// What is written down of a run.
pub(super) struct Log<'a> {
    pub journal: Journal,
    pub rows_path: PathBuf,
    rows: BufWriter<File>,
    /// Bytes of rows.
    written: u64,
    /// Done since the last time that all was brought to disk.
    unsynced: Vec<Done>,
    last_sync: Instant,
    pub disks: Disks,
    /// Files in a row that the system could not read: not written down until another one could be read.
    unreadable: Vec<(Written, Box<RawValue>, Error)>,
    pub summary: Summary,
    pub options: LogOptions<'a>,
}

/// An input whose row is to be written.
struct Written {
    index: usize,
    error: Option<ErrorKind>,
    identity: Identity,
}

pub(super) struct LogOptions<'a> {
    /// Files are known by their contents.
    pub verify: bool,
    /// The first input that fails is the last.
    pub fail_fast: bool,
    /// How often what is done is brought safely to disk.
    pub sync_interval: Duration,
    /// The row of an input that no worker has answered for.
    pub error_row: &'a dyn Fn(&Path, &Error) -> Result<Box<RawValue>>,
}

impl<'a> Log<'a> {
    /// Goes on behind `good` bytes of rows: what follows them does not count.
    pub fn open(
        journal: Journal,
        rows_path: PathBuf,
        good: u64,
        summary: Summary,
        options: LogOptions<'a>,
    ) -> Result<Self> {
        let open = || {
            let mut file =
                File::options().read(true).write(true).create(true).truncate(false).open(&rows_path)?;
            file.set_len(good)?;
            file.seek(SeekFrom::Start(good))?;
            Ok(BufWriter::with_capacity(1 << 16, file))
        };
        let rows = open().map_err(|error: std::io::Error| Error::io(&error, &rows_path))?;
        Ok(Self {
            journal,
            rows_path,
            rows,
            written: good,
            unsynced: Vec::new(),
            last_sync: Instant::now(),
            disks: Disks::default(),
            unreadable: Vec::new(),
            summary,
            options,
        })
    }

    /// What has become of an input.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where its disk is gone; [`ErrorKind::Interrupted`] where it failed and is to be the last; those of
    /// the output's disk.
    pub fn take(&mut self, outcome: Outcome, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        let (item, content, error, row, seconds) = match outcome {
            Outcome::Lost(item, error) => {
                let error = error.with_path(&item.path);
                let row = (self.options.error_row)(&item.path, &error)?;
                (item, None, Some(error), row, None)
            }
            Outcome::Answered(item, answer) => {
                let row =
                    answer.row.ok_or_else(|| Error::new(ErrorKind::Internal, "an answer has no row"))?;
                let error =
                    answer.error.map(|error| Error::new(error.kind, error.message).with_path(&item.path));
                (item, answer.content, error, row, answer.seconds)
            }
        };
        let identity = match self.options.verify {
            true => content.as_deref().and_then(Identity::content).unwrap_or(Identity::None),
            false => item.identity,
        };
        let kind = error.as_ref().map(|error| error.kind);
        if matches!(kind, Some(ErrorKind::NotFound | ErrorKind::Io | ErrorKind::PermissionDenied))
            && let Some(lost) = self.disks.lost()
        {
            let message = "is no longer there: is its disk unplugged? The run stops here; --resume goes on";
            return Err(Error::new(ErrorKind::Io, message).with_path(lost));
        }
        let done = Written { index: item.index, error: kind, identity };
        match error {
            Some(error) if error.kind == ErrorKind::Io => {
                self.unreadable.push((done, row, error));
                self.check_unreadable(on_event)
            }
            error => {
                self.write_unreadable(on_event)?;
                self.write(done, &row, error.as_ref(), seconds, on_event)
            }
        }
    }

    /// Those that wait for one that can be read: there is none any more.
    pub fn write_unreadable(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        for (done, row, error) in std::mem::take(&mut self.unreadable) {
            self.write(done, &row, Some(&error), None, on_event)?;
        }
        Ok(())
    }

    /// Stops where it is more than one bad file. They are written down, so that a run that goes on does not stop at them
    /// again.
    fn check_unreadable(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<()> {
        let count = self.unreadable.len();
        if count < MAX_UNREADABLE {
            return Ok(());
        }
        let message = format!(
            "{count} files in a row cannot be read (the first: {}): is the disk damaged or unplugged? The run stops here; \
             --resume goes on behind them, --retry-failed does them again",
            self.unreadable[0].2
        );
        self.write_unreadable(on_event)?;
        Err(Error::new(ErrorKind::Io, message))
    }

    fn write(
        &mut self,
        done: Written,
        row: &RawValue,
        error: Option<&Error>,
        seconds: Option<f64>,
        on_event: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let text = row.get().as_bytes();
        let written = self.rows.write_all(text).and_then(|()| self.rows.write_all(b"\n"));
        written.map_err(|error| Error::io(&error, &self.rows_path))?;
        let (length, sum) = (text.len() as u64 + 1, crc32fast::hash(text));
        let Written { index, error: kind, identity } = done;
        self.unsynced.push(Done { index, start: self.written, length, sum, error: kind, identity });
        self.written += length;
        self.summary.done += 1;
        self.summary.seconds += seconds.unwrap_or(0.0);
        let Some(error) = error else { return Ok(()) };
        self.summary.failed += 1;
        on_event(Event::Failed(error));
        if self.options.fail_fast {
            let message = "stopped at the first input that failed (--fail-fast); --resume goes on behind it";
            return Err(Error::new(ErrorKind::Interrupted, message));
        }
        Ok(())
    }

    /// Where somebody has taken the file of rows away, as for a rotation, another one begins.
    pub fn begin_anew_if_moved(&mut self) -> Result<()> {
        if is_at(self.rows.get_ref(), &self.rows_path) {
            return Ok(());
        }
        self.sync()?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.rows_path);
        let mut file = file.map_err(|error| Error::io(&error, &self.rows_path))?;
        self.written = file.seek(SeekFrom::End(0)).map_err(|error| Error::io(&error, &self.rows_path))?;
        self.rows = BufWriter::with_capacity(1 << 16, file);
        Ok(())
    }

    pub fn sync_now_and_then(&mut self) -> Result<()> {
        if self.last_sync.elapsed() > self.options.sync_interval { self.sync() } else { Ok(()) }
    }

    /// Rows first, then the journal, which names none that is not safely on disk.
    pub fn sync(&mut self) -> Result<()> {
        self.last_sync = Instant::now();
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let synced = self.rows.flush().and_then(|()| self.rows.get_ref().sync_data());
        synced.map_err(|error| Error::io(&error, &self.rows_path))?;
        for done in std::mem::take(&mut self.unsynced) {
            self.journal.done(&done)?;
        }
        self.journal.sync()
    }
}

/// An input as it is now, and the bytes that it has. What a directory of pictures holds is not known: it is a group of its
/// own.
pub(super) fn looked_up(index: usize, path: PathBuf, disks: &mut Disks) -> (Item, u64) {
    let Ok(metadata) = std::fs::metadata(&path) else {
        return (Item::new(index, path, Identity::None), 0);
    };
    disks.saw(&path);
    let size = if metadata.is_dir() { GROUP_BYTES } else { metadata.len() };
    (Item::new(index, path, Identity::of_metadata(&metadata)), size)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|open| std::fs::metadata(path).is_ok_and(|named| same(open, named)))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
