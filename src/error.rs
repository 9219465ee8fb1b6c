//! One error type: what kind, which file, where in it, what is wrong and what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as a closed set that programs can match on. Serialized in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The path does not exist.
    NotFound,
    /// The operating system does not let us read or write the path.
    PermissionDenied,
    /// The path is of the wrong kind: a directory where a file is due, a name that is not UTF-8.
    Path,
    /// Any other failure to read or write.
    Io,
    /// The bytes are no media that Percept (or ffmpeg, where present) knows.
    UnknownFormat,
    /// The container is known, the codec in it is not.
    UnsupportedCodec,
    /// The file is known but damaged, and nothing of it could be kept.
    Damaged,
    /// The file holds no audio, no samples, or nothing at all.
    Empty,
    /// A named limit was passed (length, memory, header size).
    Limit,
    /// A model file that cannot be used, or a model of another task.
    Model,
    /// A setting that is unknown, out of range, or contradicts another.
    Config,
    /// A data set that cannot be trained on or evaluated: labels, manifest, splits.
    Dataset,
    /// Training went wrong: not-a-number loss, nothing learned.
    Training,
    /// The `ffmpeg` program failed.
    ExternalTool,
    /// The work was stopped by the person (Ctrl-C).
    Interrupted,
    /// A defect in Percept.
    Internal,
}

impl ErrorKind {
    /// As in JSON: `not_found`.
    pub fn name(self) -> String {
        // A variant without fields is written as a string.
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_string))
            .unwrap_or_default()
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }
}

/// Where in a file an error stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Byte offset from the start of the file.
    Byte(u64),
    /// Line number, counted from 1.
    Line(u64),
    /// Sample (per channel) from the start of the recording.
    Sample(u64),
}

/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// An error that carries its kind, path and position. Its `Display` is one line fit for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// What is wrong and what to do about it, without the path.
    pub message: String,
    pub path: Option<PathBuf>,
    pub position: Option<Position>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        // It may quote what is wrong.
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push('…');
        }
        Self { kind, message, path: None, position: None }
    }

    /// Names the file, unless a deeper layer has already named one.
    pub fn with_path(mut self, path: impl AsRef<Path>) -> Self {
        self.path.get_or_insert_with(|| path.as_ref().to_path_buf());
        self
    }

    pub fn at(mut self, position: Position) -> Self {
        self.position.get_or_insert(position);
        self
    }

    /// An operating system error on `path`, in plain words; who calls names the file where `path` is empty.
    pub fn io(error: &std::io::Error, path: impl AsRef<Path>) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, "no such file or directory; check the path".to_string()),
            Io::PermissionDenied => {
                (ErrorKind::PermissionDenied, "permission denied; check the file's access rights".to_string())
            }
            Io::IsADirectory => (ErrorKind::Path, "is a directory where a file is due".to_string()),
            Io::NotADirectory => {
                (ErrorKind::Path, "a file stands where the path has a folder; check the path".to_string())
            }
            Io::InvalidFilename => (
                ErrorKind::Path,
                "the system allows no such name (is it too long?); choose another".to_string(),
            ),
            Io::InvalidInput => (ErrorKind::Path, "no file can have this name; check it".to_string()),
            _ if is_loop(error) => {
                (ErrorKind::Path, "is a link that leads to itself; remove it, or mend it".to_string())
            }
            _ => (ErrorKind::Io, error.to_string()),
        };
        let error = Self::new(kind, message);
        if path.as_ref().as_os_str().is_empty() { error } else { error.with_path(path) }
    }
}

/// Whether the system could not read, as where a disk fails. Other errors of this type are what a decoder says of the bytes, or that
/// they end too early: then it is the file that is damaged.
pub(crate) fn is_of_the_system(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some()
}

#[cfg(unix)]
fn is_loop(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_loop(_: &std::io::Error) -> bool {
    false
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        if let Some(path) = &self.path {
            line += &format!("{}: ", path.display());
        }
        line += &self.message;
        match self.position {
            Some(Position::Byte(n)) => line += &format!(" (at byte {n})"),
            Some(Position::Line(n)) => line += &format!(" (line {n})"),
            Some(Position::Sample(n)) => line += &format!(" (at sample {n})"),
            None => {}
        }
        f.write_str(&one_line(&line))
    }
}

/// A text from outside may hold line breaks, terminal control codes or marks that turn the direction of writing:
/// a message stays one plain line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if misleads(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Whether a character breaks a line, steers a terminal or turns the direction of writing.
pub(crate) fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first of `names`, and how many more there are.
pub(crate) fn some_of<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 10;
    /// Letters of one of them.
    const LETTERS: usize = 200;
    let shown = |name: &T| match name.as_ref().char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name.as_ref()[..end]),
        None => name.as_ref().to_string(),
    };
    let text = names.iter().take(SHOWN).map(shown).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// "did you mean ...?" where a known name is near, else all of them.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|k| (strsim::normalized_damerau_levenshtein(word, k).max(strsim::jaro_winkler(word, k)), *k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness >= 0.75);
    match near {
        Some((_, name)) => format!("did you mean \"{name}\"?"),
        None => format!("known are {}", known.join(", ")),
    }
}

impl std::error::Error for Error {}

impl From<candle_core::Error> for Error {
    /// Shapes are checked before candle sees them, so what candle reports is a defect of ours.
    fn from(error: candle_core::Error) -> Self {
        // The lines after the first are a backtrace.
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        Self::new(ErrorKind::Internal, format!("tensor computation failed: {what}; please report this"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_with_path_and_position() {
        let error =
            Error::new(ErrorKind::Damaged, "bad\nheader\u{1b}[31m").with_path("a.wav").at(Position::Byte(7));
        assert_eq!(error.to_string(), "a.wav: bad\\nheader\\u{1b}[31m (at byte 7)");
    }

    #[test]
    fn marks_that_turn_the_direction_of_writing_are_spelled_out() {
        assert_eq!(one_line("c\u{202e}gnp\u{2066}\u{2028}é"), "c\\u{202e}gnp\\u{2066}\\u{2028}é");
        let once = one_line("a\u{1b}\n");
        assert_eq!(one_line(&once), once);
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        assert_eq!(some_of(&["a", "b"]), "a, b");
        assert_eq!(some_of(&["ä".repeat(201)]), "ä".repeat(200) + "…");
        assert_eq!(some_of(&["x"; 12]), "x, x, x, x, x, x, x, x, x, x and 2 more");
    }

    #[test]
    fn a_message_that_quotes_very_much_is_cut() {
        let error = Error::new(ErrorKind::Dataset, "ä".repeat(3000) + "b");
        assert_eq!(error.message, "ä".repeat(2048) + "…");
    }

    #[test]
    fn the_deepest_path_stays() {
        let error = Error::new(ErrorKind::Io, "x").with_path("inner").with_path("outer");
        assert_eq!(error.path.unwrap(), Path::new("inner"));
    }
}
