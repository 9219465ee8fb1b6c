//! Files that say what happens when: one file here a format.

mod audacity;
mod dcase;
mod frames;
mod pairing;
mod segments;
mod textgrid;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use dcase::{EventLists, read_dcase, read_durations};
pub use pairing::{Annotation, Annotations, read_labels};

use crate::error::Position;
use crate::files::{decode_text, read_lines};
use crate::{Error, ErrorKind, Result, model};

/// Largest file of labels that is read, in bytes.
pub const MAX_LABEL_BYTES: u64 = 64 << 20;
/// Most rows of one: all events of a large collection in a table.
pub const MAX_ROWS: usize = 5_000_000;
/// The latest that an event may end, in seconds: 11 days.
pub const MAX_SECONDS: f64 = 1e6;

/// How labels in time are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum LabelFormat {
    /// A row a segment, with named columns
    Table,
    /// DCASE's list: filename, onset, offset, event_label, separated by tabs
    Dcase,
    /// Audacity's label track: onset, offset, label, separated by tabs
    Audacity,
    /// Raven's selection table
    Raven,
    /// Praat's TextGrid, long or short
    Textgrid,
    /// A line a frame, each with its label or empty
    Frames,
}

/// Where in a file of labels things stand. "" is guessed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelOptions {
    /// `None` is told by name and content.
    pub format: Option<LabelFormat>,
    /// Column that names the recording.
    pub file_column: String,
    /// Column with the time at which a label begins, in seconds; or its first frame.
    pub onset_column: String,
    /// Column with the time at which it ends, in seconds; or the frame behind its last.
    pub offset_column: String,
    /// Column with the label.
    pub label_column: String,
    /// Tier of a TextGrid.
    pub tier: String,
    /// Seconds from one frame to the next, where labels are given by frames; 0 where it is not known.
    pub frame_hop: f64,
}

/// Something that a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedLabel {
    /// Seconds from the start of the recording.
    pub onset: f64,
    /// Seconds; `onset` itself where only that is known.
    pub offset: f64,
    pub label: String,
    /// Line of the file, counted from 1.
    pub line: u64,
}

impl TimedLabel {
    /// # Errors
    /// [`ErrorKind::Dataset`] with the line: an end before the beginning or later than [`MAX_SECONDS`], a label that is none.
    fn new(onset: f64, offset: f64, label: &str, line: u64) -> Result<Self> {
        if onset > offset {
            let message = format!("the label ends at {offset} s, before it begins at {onset} s");
            return Err(wrong(message).at(Position::Line(line)));
        }
        if offset > MAX_SECONDS {
            let message = format!("the label ends at {offset} s; it must be 0 to {MAX_SECONDS} seconds");
            return Err(wrong(message).at(Position::Line(line)));
        }
        model::check_label(label).map_err(|e| {
            let message = format!("{}; change it or remove the line", e.message);
            wrong(message).at(Position::Line(line))
        })?;
        Ok(Self { onset, offset, label: label.to_string(), line })
    }
}

/// The labels of one file, each with the recording that it names, and what was passed over.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    rows: Vec<Row>,
    /// Whether its rows name recordings.
    names_files: bool,
    messages: Vec<String>,
}

/// A line; one without a label says that its recording has none.
#[derive(Debug, PartialEq)]
struct Row {
    file: Option<String>,
    label: Option<TimedLabel>,
    line: u64,
}

impl Parsed {
    fn of_one_recording(labels: Vec<TimedLabel>) -> Self {
        let rows = labels.into_iter().map(|label| Row { file: None, line: label.line, label: Some(label) });
        Self { rows: rows.collect(), ..Self::default() }
    }
}

/// Reads one file of labels.
fn read_file(path: &Path, options: &LabelOptions) -> Result<Parsed> {
    let bytes = read_lines(path, "a file of labels is due", MAX_LABEL_BYTES)?;
    decode(bytes).and_then(|text| parse(&text, options)).map_err(|error| error.with_path(path))
}

/// UTF-8, or UTF-16 with its byte order mark, as Praat writes it.
fn decode(bytes: Vec<u8>) -> Result<String> {
    let units = |unit: fn([u8; 2]) -> u16| bytes[2..].chunks_exact(2).map(move |b| unit([b[0], b[1]]));
    let text = match bytes.get(..2) {
        Some([0xFF, 0xFE]) => String::from_utf16(&units(u16::from_le_bytes).collect::<Vec<_>>()),
        Some([0xFE, 0xFF]) => String::from_utf16(&units(u16::from_be_bytes).collect::<Vec<_>>()),
        _ => return decode_text(bytes, ErrorKind::Dataset),
    };
    text.map_err(|_| wrong("is damaged UTF-16 text; save it as text in UTF-8".to_string()))
}

fn parse(text: &str, options: &LabelOptions) -> Result<Parsed> {
    if text.trim().is_empty() {
        return Ok(Parsed::default());
    }
    let format = options.format.map_or_else(|| guess(text, options), Ok)?;
    // A line of two bytes takes a hundred in memory; equal frames that follow each other are one.
    if format != LabelFormat::Frames {
        check_rows(text)?;
    }
    match format {
        LabelFormat::Table | LabelFormat::Raven => segments::parse(text, options),
        LabelFormat::Dcase => dcase::rows(text),
        LabelFormat::Audacity => audacity::parse(text),
        LabelFormat::Textgrid => textgrid::parse(text, &options.tier).map(Parsed::of_one_recording),
        LabelFormat::Frames => frames::parse(text, options.frame_hop).map(Parsed::of_one_recording),
    }
}

/// # Errors
/// [`ErrorKind::Limit`] for more than [`MAX_ROWS`].
fn check_rows(text: &str) -> Result<()> {
    // Tables may end their lines with a carriage return alone.
    let ends = |byte| text.bytes().filter(|&other| other == byte).count();
    if ends(b'\n').max(ends(b'\r')) <= MAX_ROWS {
        return Ok(());
    }
    let message = format!("holds more than {MAX_ROWS} lines, the most that is read of a file of labels");
    Err(Error::new(ErrorKind::Limit, message))
}

/// What the first lines look like.
fn guess(text: &str, options: &LabelOptions) -> Result<LabelFormat> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let fields: Vec<&str> = first.split('\t').map(str::trim).collect();
    let is_number = |at: usize| fields.get(at).is_some_and(|field| field.parse::<f64>().is_ok());
    if first.contains("ooTextFile") {
        Ok(LabelFormat::Textgrid)
    } else if is_number(0) && is_number(1) {
        Ok(LabelFormat::Audacity)
    } else if fields.len() == 4 && is_number(1) && is_number(2) {
        Ok(LabelFormat::Dcase)
    } else if segments::is_header(first, options) {
        Ok(LabelFormat::Table)
    } else if options.frame_hop > 0.0 && !first.contains([',', '\t', ';']) {
        Ok(LabelFormat::Frames)
    } else {
        Err(wrong(
            "cannot tell how its labels are written; name the format (--label-format), or the columns of a table \
             (--onset-column, --offset-column, --label-column)"
                .to_string(),
        ))
    }
}

/// A time in seconds from the start of a recording.
///
/// # Errors
/// [`ErrorKind::Dataset`] where it is no number, negative, or later than [`MAX_SECONDS`].
fn seconds(text: &str, what: &str) -> Result<f64> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=MAX_SECONDS).contains(&value) => Ok(value),
        Ok(value) => Err(wrong(format!("the {what} is {value}; it must be 0 to {MAX_SECONDS} seconds"))),
        Err(_) => Err(wrong(format!("the {what} is {text:?}, not a number of seconds"))),
    }
}

/// # Errors
/// [`ErrorKind::Dataset`] where labels are given by frames and nobody said how long a frame is.
fn check_frame_hop(frame_hop: f64) -> Result<f64> {
    if frame_hop > 0.0 && frame_hop.is_finite() {
        return Ok(frame_hop);
    }
    Err(wrong("the labels are given by frames; say how many seconds one lasts (--label-hop)".to_string()))
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Dataset, message)
}

/// The places of label files and recordings are told to the person.
fn shown(path: &Path) -> PathBuf {
    path.file_name().map_or_else(|| path.to_path_buf(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn labels(parsed: &Parsed) -> Vec<(f64, f64, &str)> {
        let labels = parsed.rows.iter().filter_map(|row| row.label.as_ref());
        labels.map(|label| (label.onset, label.offset, label.label.as_str())).collect()
    }

    #[test]
    fn utf_16_is_read_too() {
        let le: Vec<u8> = "\u{feff}né\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = "\u{feff}né\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!((decode(le).unwrap(), decode(be).unwrap()), ("né\n".into(), "né\n".into()));
        assert!(decode(vec![0xFF, 0xFE, 0x00, 0xD8]).unwrap_err().message.contains("damaged UTF-16"));
        assert!(decode(vec![b'a', 0xE4]).unwrap_err().message.contains("not UTF-8"));
    }

    #[test]
    fn the_format_is_told_by_the_content() {
        let hop = LabelOptions { frame_hop: 0.01, ..LabelOptions::default() };
        for (text, format) in [
            ("File type = \"ooTextFile\"\nObject class", LabelFormat::Textgrid),
            ("0.5\t1.5\tdog\n", LabelFormat::Audacity),
            ("a.wav\t0.5\t1.5\tdog\n", LabelFormat::Dcase),
            ("Selection\tView\tBegin Time (s)\tEnd Time (s)\tAnnotation\n", LabelFormat::Table),
            ("onset,offset,label\n", LabelFormat::Table),
            ("dog\ndog\n", LabelFormat::Frames),
        ] {
            assert_eq!(guess(text, &hop).unwrap(), format, "{text}");
        }
        let error = guess("dog\ncat\n", &LabelOptions::default()).unwrap_err();
        assert!(error.message.contains("--label-format"), "{error}");
        assert_eq!(parse(" \n", &LabelOptions::default()).unwrap(), Parsed::default());
    }

    #[test]
    fn damaged_files_are_errors_and_never_more() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let samples = [
            "File type = \"ooTextFile\"\n\"TextGrid\"\n\n0\n1\n<exists>\n1\n\"IntervalTier\"\n\"w\"\n0\n1\n1\n0\n1\n\"a\"\n",
            "0.5\t1.5\tdog\n\\\t1\t2\n3\t3\tcat\n",
            "a.wav\t0.5\t1.5\tdog\nb.wav\n",
            "Selection\tView\tBegin Time (s)\tEnd Time (s)\tBegin File\tFile Offset (s)\tSpecies\n1\tS\t1\t2\tb\t0.5\tA\n",
            "path,frame_start,frame_end,label\n\"a,b\",1,2,\"x \"\"y\"\"\"\n",
            "dog\n\ndog\ncat\n",
        ];
        let options = LabelOptions { frame_hop: 0.01, ..LabelOptions::default() };
        for _ in 0..20_000 {
            let mut bytes = samples[rng.random_range(0..samples.len())].as_bytes().to_vec();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..bytes.len());
                match rng.random_range(0..4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] = rng.random(),
                    2 => bytes.insert(at, b"\t\n\",;\\-e9"[rng.random_range(0..9)]),
                    _ => {
                        bytes.remove(at);
                        bytes.push(b'9');
                    }
                }
            }
            // Whatever it says, it says it.
            let _ = decode(bytes).and_then(|text| parse(&text, &options));
        }
    }
}
