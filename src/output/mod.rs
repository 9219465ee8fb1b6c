//! Decisions -> bytes. [`record`] says what a result is; one file a format writes it.

mod csv;
mod destination;
pub mod events;
pub mod features;
mod harmless;
mod json;
mod jsonl;
mod npy;
pub(crate) mod percent;
pub mod preview;
pub mod record;
pub mod rows;
mod terminal;
mod text;
mod timeline;

use std::io::{self, Write};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use destination::Destination;
#[cfg(feature = "cli")]
pub(crate) use destination::check_replaceable;
pub use harmless::{Harmless, harmless};
pub use json::JsonWriter;
pub use jsonl::JsonlWriter;
pub use npy::NpyWriter;
pub use record::{ClassifyRecord, ProbeRecord, TagRecord};
pub use terminal::{LEAST_WIDTH, Terminal};
pub use text::TextWriter;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One object for one input, an array for several
    #[default]
    Json,
    /// One object a line
    Jsonl,
    /// One row a label, for spreadsheets; a text that one would run as a formula begins with '
    Csv,
    /// For people
    Text,
}

impl Format {
    /// The format that a file name asks for by its extension, if any.
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Writes classification records one by one, as they come.
pub enum Writer<W: Write> {
    Json(json::JsonWriter<W>),
    Jsonl(jsonl::JsonlWriter<W>),
    Csv(Box<csv::CsvWriter<W>>),
    Text(text::TextWriter<W>),
}

impl<W: Write> Writer<W> {
    /// `several`: more than one input was given, so that JSON is an array. `terminal`: what `out` is, if it is one; text is
    /// then drawn.
    pub fn new(format: Format, out: W, several: bool, terminal: Option<Terminal>) -> Self {
        match format {
            Format::Json => Self::Json(json::JsonWriter::new(out, several)),
            Format::Jsonl => Self::Jsonl(jsonl::JsonlWriter::new(out)),
            Format::Csv => Self::Csv(Box::new(csv::CsvWriter::new(out))),
            Format::Text => Self::Text(text::TextWriter::new(out, terminal)),
        }
    }

    pub fn write(&mut self, record: &ClassifyRecord) -> io::Result<()> {
        match self {
            Self::Json(writer) => writer.write(record),
            Self::Jsonl(writer) => writer.write(record),
            Self::Csv(writer) => writer.write(record),
            Self::Text(writer) => writer.write(record),
        }
    }

    /// Writes what closes the document, flushes, and gives the sink back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Json(writer) => writer.finish(),
            Self::Jsonl(writer) => writer.finish(),
            Self::Csv(writer) => writer.finish(),
            Self::Text(writer) => writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::record::ModelInfo;
    use super::*;
    use crate::decide::Prediction;
    use crate::media::{Audio, Media};
    use crate::model::Task;
    use crate::signal::Signal;
    use crate::{Error, ErrorKind};

    fn model() -> ModelInfo {
        let labels = vec!["=1+1".to_string(), "b, \"c\"".to_string()];
        ModelInfo { name: "m".into(), sha256: "00".into(), task: Task::Classify, labels }
    }

    fn good(path: &str) -> ClassifyRecord {
        let audio = Audio {
            signal: Signal { samples: Vec::new(), sample_rate: 8000 },
            container: "wav".into(),
            codec: "pcm_s16le".into(),
            sample_rate: 8000,
            channels: 1,
            num_samples: 4000,
            mix: "mono".into(),
            warnings: vec!["cut off".into()],
        };
        let labels = model().labels.into_iter();
        let predictions = labels.zip([0.75, 0.1]).map(|(label, score)| Prediction { label, score }).collect();
        ClassifyRecord::ok(&model(), Path::new(path), &Media::Audio(audio), predictions)
    }

    fn bad(path: &str) -> ClassifyRecord {
        let error = Error::new(ErrorKind::Empty, "is empty").with_path(path);
        ClassifyRecord::error(&model(), Path::new(path), &error)
    }

    fn written(format: Format, records: &[ClassifyRecord], several: bool) -> String {
        let mut writer = Writer::new(format, Vec::new(), several, None);
        for record in records {
            writer.write(record).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn json_is_an_object_for_one_input_and_an_array_for_several() {
        let one: Value = serde_json::from_str(&written(Format::Json, &[good("a")], false)).unwrap();
        assert_eq!(one["predictions"][0]["score"], 0.75);
        assert_eq!(one["input"]["duration"], 0.5);
        let two = written(Format::Json, &[good("a"), bad("b")], true);
        let two: Value = serde_json::from_str(&two).unwrap();
        assert_eq!(two[0], one);
        assert_eq!(two[1]["error"], serde_json::json!({"kind": "empty", "message": "is empty"}));
    }

    #[test]
    fn a_score_is_written_with_no_more_digits_than_it_has() {
        assert!(written(Format::Jsonl, &[good("a")], false).contains("\"score\":0.1}"));
    }

    #[test]
    fn jsonl_has_one_object_a_line() {
        let text = written(Format::Jsonl, &[good("a\nb"), bad("c")], true);
        assert!(text.lines().count() == 2 && text.ends_with('\n'));
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["input"]["path"], "a\nb");
    }

    #[test]
    fn csv_quotes_fields_and_disarms_formulas() {
        let text = written(Format::Csv, &[good("@x,y"), bad("-z")], true);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(
            rows[0],
            "path,status,rank,label,score,duration,sample_rate,channels,warnings,error_kind,error_message"
        );
        assert_eq!(rows[1], "\"'@x,y\",ok,1,'=1+1,0.75,0.5,8000,1,cut off,,");
        assert_eq!(rows[2], "\"'@x,y\",ok,2,\"b, \"\"c\"\"\",0.1,0.5,8000,1,cut off,,");
        assert_eq!(rows[3], "'-z,error,,,,,,,,empty,is empty");
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn text_names_the_file_the_labels_and_what_went_wrong() {
        let text = written(Format::Text, &[good("a"), bad("b")], true);
        assert_eq!(
            text,
            "a\n  =1+1     75.0 %\n  b, \"c\"   10.0 %\n  warning: cut off\nb\n  error: is empty\n"
        );
    }

    #[test]
    fn a_label_of_any_length_is_written_as_text() {
        let mut record = good("a");
        let record::Outcome::Ok(result) = &mut record.outcome else { panic!("is good") };
        result.predictions[0].label = "x".repeat(70_000);
        let text = written(Format::Text, &[record], false);
        assert!(text.contains(&"x".repeat(70_000)) && text.lines().nth(2).unwrap().len() < 100);
    }

    #[test]
    fn the_extension_of_the_output_names_the_format() {
        assert_eq!(Format::from_path(&PathBuf::from("x.CSV")), Some(Format::Csv));
        assert_eq!(Format::from_path(&PathBuf::from("x.dat")), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_result_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.json"), folder.path().join("link.json"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut out = Destination::new(Some(&link)).unwrap();
        out.write_all(b"new").unwrap();
        out.commit().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink());
    }
}
