//! Reads results, whichever command wrote them: what can be used of a damaged file is used, and the rest is told.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use rayon::prelude::*;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::curves::{Curves, RecordFrames};
use crate::decide::Prediction;
use crate::error::Position;
use crate::event::ScoredEvent;
use crate::files::{open_regular, read_limited};
use crate::labels::MAX_SECONDS;
use crate::model::Task;
use crate::output::record::{ErrorInfo, InputInfo};
use crate::{Error, ErrorKind, Result, SCHEMA_VERSION};

/// Most rows of a report: what is behind them is left out, with a message.
pub const MAX_ROWS: usize = 100_000;
/// Longest line that is read, in bytes: hours of frames with their scores.
pub const MAX_LINE_BYTES: u64 = 256 << 20;
/// Largest file of results that is no JSON lines but one document, in bytes.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 30;
/// Most events of a row: the first are kept.
pub const MAX_EVENTS: usize = 2000;
/// Problems that are told one by one; the others are counted.
const MAX_TOLD: usize = 20;
/// Lines are parsed side by side when they are so long together, in bytes.
const BYTES_AT_ONCE: usize = 32 << 20;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub input: InputInfo,
    pub recorded_at: Option<String>,
    /// Which of [`Results::models`] answered.
    pub model: usize,
    pub warnings: Vec<String>,
    pub answer: Answer,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Best first.
    Labels(Vec<Prediction>),
    Events {
        /// By onset, at most [`MAX_EVENTS`].
        events: Vec<ScoredEvent>,
        /// Those beyond.
        more: usize,
        curves: Option<Curves>,
    },
    Failed(ErrorInfo),
}

/// Which model answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct ModelName {
    pub name: String,
    pub sha256: String,
    pub task: Task,
}

/// Everything that a file of results holds.
#[derive(Debug, Default, PartialEq)]
pub struct Results {
    pub rows: Vec<Row>,
    pub models: Vec<ModelName>,
    /// What is missing, for a person to read: the first of them.
    pub problems: Vec<String>,
    /// How many there are in all.
    pub num_problems: usize,
}

/// A result of `percept batch`, `percept classify` or `percept tag`. Not those types themselves: what frames were decided
/// to be is passed over, which is most of a file.
#[derive(Deserialize)]
struct Record {
    schema_version: u32,
    model: RecordModel,
    input: InputInfo,
    recorded_at: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    error: Option<ErrorInfo>,
    predictions: Option<Vec<Prediction>>,
    events: Option<Vec<ScoredEvent>>,
    frames: Option<RecordFrames>,
}

#[derive(Deserialize)]
struct RecordModel {
    #[serde(flatten)]
    name: ModelName,
    #[serde(default)]
    labels: Vec<String>,
}

/// A line, and its number from 1.
type Numbered = (u64, Vec<u8>);

impl Results {
    /// Reads JSON lines, or one JSON document: an object, or an array of them.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] where not one line is a result; [`ErrorKind::Limit`]; those of the system.
    pub fn read(path: &Path) -> Result<Self> {
        let mut results = Self::default();
        let mut models = HashMap::new();
        match starts_as_document(path)? {
            true => results.read_document(path, &mut models)?,
            false => results.read_lines(path, &mut models)?,
        }
        if let (true, Some(first)) = (results.rows.is_empty(), results.problems.first()) {
            let message = format!(
                "holds no result of percept batch, classify or tag as JSON lines (--format jsonl); {first}"
            );
            return Err(Error::new(ErrorKind::Damaged, message).with_path(path));
        }
        Ok(results)
    }

    fn read_lines(&mut self, path: &Path, models: &mut HashMap<ModelName, usize>) -> Result<()> {
        let mut lines = Lines::open(path)?;
        let mut together: Vec<Numbered> = Vec::new();
        let mut bytes = 0;
        while let Some(line) = lines.next_line().map_err(|error| error.with_path(path))? {
            match line {
                Line::Whole(number, line) if self.rows.len() + together.len() < MAX_ROWS => {
                    bytes += line.len();
                    together.push((number, line));
                }
                Line::Whole(number, _) => {
                    self.tell(format!(
                        "line {number} and those behind it are left out: a report has {MAX_ROWS} rows at most"
                    ));
                    break;
                }
                Line::TooLong(number) => {
                    self.tell(format!(
                        "line {number} is longer than {MAX_LINE_BYTES} bytes, the most that is read"
                    ));
                }
            }
            if bytes > BYTES_AT_ONCE {
                self.parse(&together, models);
                together.clear();
                bytes = 0;
            }
        }
        self.parse(&together, models);
        Ok(())
    }

    fn parse(&mut self, lines: &[Numbered], models: &mut HashMap<ModelName, usize>) {
        let parsed: Vec<_> = lines.par_iter().map(|(number, line)| (number, Record::parse(line))).collect();
        for (number, record) in parsed {
            match record.and_then(Record::parts) {
                Ok(parts) => self.add(parts, models),
                Err(why) => self.tell(format!("line {number} {why}")),
            }
        }
    }

    fn read_document(&mut self, path: &Path, models: &mut HashMap<ModelName, usize>) -> Result<()> {
        let bytes = read_limited(path, "a file of results is due", MAX_DOCUMENT_BYTES)?;
        let mut items = Vec::new();
        let mut cut = 0;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let end = match bytes.trim_ascii_start().starts_with(b"[") {
            true => reader.deserialize_seq(Items { kept: &mut items, cut: &mut cut }),
            false => Box::<RawValue>::deserialize(&mut reader).map(|item| items.push(item)),
        };
        for (number, item) in (1..).zip(&items) {
            match Record::parse(item.get().as_bytes()).and_then(Record::parts) {
                Ok(parts) => self.add(parts, models),
                Err(why) => self.tell(format!("result {number} {why}")),
            }
        }
        if cut > 0 {
            self.tell(format!("{cut} results are left out: a report has {MAX_ROWS} rows at most"));
        }
        if let Err(error) = end {
            self.tell(format!("behind result {} the file {}", items.len(), why(&error)));
        }
        Ok(())
    }

    fn add(&mut self, (row, model): (Row, ModelName), models: &mut HashMap<ModelName, usize>) {
        let place = *models.entry(model).or_insert_with_key(|model| {
            self.models.push(model.clone());
            self.models.len() - 1
        });
        self.rows.push(Row { model: place, ..row });
    }

    fn tell(&mut self, problem: String) {
        self.num_problems += 1;
        if self.problems.len() < MAX_TOLD {
            self.problems.push(problem);
        }
    }
}

impl Record {
    fn parse(bytes: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| why(&error))
    }

    fn parts(self) -> std::result::Result<(Row, ModelName), String> {
        if self.schema_version > SCHEMA_VERSION {
            return Err(format!("is of version {}, which a later percept made", self.schema_version));
        }
        if self.input.duration.is_some_and(|duration| !is_time(duration)) {
            return Err("has a duration that is none".into());
        }
        let answer = match (self.error, self.predictions, self.events) {
            (Some(error), _, _) => Answer::Failed(error),
            (None, Some(predictions), _) => Answer::Labels(predictions),
            (None, None, Some(events)) => {
                if !events.iter().all(|e| is_time(e.onset) && is_time(e.offset) && e.onset <= e.offset) {
                    return Err("has an event whose times are none".into());
                }
                let curves = self.frames.and_then(|frames| Curves::of(&frames, &self.model.labels));
                let more = events.len().saturating_sub(MAX_EVENTS);
                let events = events.into_iter().take(MAX_EVENTS).collect();
                Answer::Events { events, more, curves }
            }
            (None, None, None) => return Err("has neither predictions nor events nor an error".into()),
        };
        let (input, recorded_at, warnings) = (self.input, self.recorded_at, self.warnings);
        Ok((Row { input, recorded_at, model: 0, warnings, answer }, self.model.name))
    }
}

/// Seconds that can be drawn.
pub(super) fn is_time(seconds: f64) -> bool {
    seconds.abs() <= MAX_SECONDS
}

/// Without the place, which is one in a line.
fn why(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "is cut off in the middle".to_string();
    }
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("is no result ({what})")
}

/// Whether a file is one JSON document, not a line for each result: an array, or an object over several lines.
fn starts_as_document(path: &Path) -> Result<bool> {
    const HEAD: u64 = 4096;
    let mut head = Vec::new();
    let file = open_regular(path, "a file of results is due")?;
    file.take(HEAD).read_to_end(&mut head).map_err(|e| Error::io(&e, path))?;
    let head = head.trim_ascii_start();
    let is_bare_brace = head.lines().next().is_some_and(|line| line.is_ok_and(|line| line.trim() == "{"));
    Ok(head.starts_with(b"[") || is_bare_brace)
}

/// The elements of an array: the first [`MAX_ROWS`] before damage are kept.
struct Items<'a> {
    kept: &'a mut Vec<Box<RawValue>>,
    cut: &'a mut usize,
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("an array of results")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> std::result::Result<(), A::Error> {
        while self.kept.len() < MAX_ROWS {
            let Some(item) = array.next_element()? else { return Ok(()) };
            self.kept.push(item);
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            *self.cut += 1;
        }
        Ok(())
    }
}

enum Line {
    Whole(u64, Vec<u8>),
    TooLong(u64),
}

/// The lines of a file that are not empty, in bounded memory.
struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self> {
        let file = open_regular(path, "a file of results is due")?;
        Ok(Self { reader: BufReader::with_capacity(1 << 20, file), number: 0 })
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            self.number += 1;
            let failed =
                |e: std::io::Error| Error { path: None, ..Error::io(&e, "") }.at(Position::Line(self.number));
            let mut line = Vec::new();
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES + 1);
            if limited.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                return Ok(None);
            }
            if line.len() as u64 > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
                self.reader.skip_until(b'\n').map_err(failed)?;
                return Ok(Some(Line::TooLong(self.number)));
            }
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Line::Whole(self.number, line.to_vec())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"schema_version":1,"tool":"percept","model":{"name":"m","sha256":"0a","task":"classify"},"settings":"","input":{"path":"a.wav","duration":1.5},"status":"ok","warnings":[],"predictions":[{"label":"x","score":0.5}]}"#;
    const FAILED: &str = r#"{"schema_version":1,"tool":"percept","model":{"name":"m","sha256":"0a","task":"tag"},"input":{"path":"b.wav"},"status":"error","error":{"kind":"empty","message":"is empty"}}"#;
    const EVENTS: &str = r#"{"schema_version":1,"model":{"name":"m","sha256":"0a","task":"tag","labels":["x"]},"input":{"path":"c.wav"},"status":"ok","warnings":[],"events":[{"label":"x","onset":0.5,"offset":1e99,"score":1,"peak":1,"frame_start":0,"frame_end":1}]}"#;

    fn read(text: &str) -> Result<Results> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        Results::read(&path)
    }

    #[test]
    fn lines_and_documents_hold_the_same_rows() {
        let lines = read(&format!("\u{feff}{GOOD}\n\n{FAILED}\n")).unwrap();
        assert_eq!((lines.rows.len(), lines.models.len(), lines.num_problems), (2, 2, 0));
        assert_eq!(read(&format!("[{GOOD},\n {FAILED}]")).unwrap(), lines);
        let pretty = serde_json::from_str::<serde_json::Value>(GOOD).unwrap();
        assert_eq!(read(&format!("{pretty:#}")).unwrap().rows, lines.rows[..1]);
    }

    #[test]
    fn what_is_cut_off_or_odd_is_told_and_the_rest_is_kept() {
        let cut = &FAILED[..100];
        let results = read(&format!("{GOOD}\nnonsense\n{EVENTS}\n{{}}\n{GOOD}\n{cut}")).unwrap();
        assert_eq!((results.rows.len(), results.num_problems), (2, 4));
        assert!(results.problems[0].starts_with("line 2 is no result ("), "{:?}", results.problems);
        assert_eq!(results.problems[1], "line 3 has an event whose times are none");
        assert_eq!(results.problems[3], "line 6 is cut off in the middle");
        let results = read(&format!("[{GOOD},{cut}")).unwrap();
        assert_eq!(results.rows.len(), 1);
        assert_eq!(results.problems, ["behind result 1 the file is cut off in the middle"]);
        assert_eq!(read(&"nonsense\n".repeat(99).replacen("nonsense", GOOD, 1)).unwrap().num_problems, 98);
    }

    #[test]
    fn an_empty_file_has_no_rows_and_another_kind_of_file_is_an_error() {
        assert_eq!(read("").unwrap(), Results::default());
        assert_eq!(read("[]").unwrap(), Results::default());
        for text in ["path,label\na.wav,x\n", "{\n \"a\": 1 }", "[1, 2]", "{}", "\0\0\0", "\"x\""] {
            let error = read(text).unwrap_err();
            assert!(error.kind == ErrorKind::Damaged && error.message.contains("jsonl"), "{text}: {error}");
        }
        assert!(Results::read(Path::new("/dev/zero")).is_err());
    }
}
