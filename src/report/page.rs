//! The page: one file with everything in it. What comes from outside stands in it as JSON only, never as HTML.

use std::collections::HashMap;
use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::pictures::{Picture, PictureKind};
use super::reference::Truth;
use super::rows::{Answer, MAX_EVENTS, ModelName, Row};
use crate::error::one_line;
use crate::model::Task;
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// One script in parts, each of which sees the names of the others.
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("page/data.js"),
    include_str!("page/chart.js"),
    include_str!("page/evaluation.js"),
    include_str!("page/overview.js"),
    include_str!("page/filter.js"),
    include_str!("page/row.js"),
    include_str!("page/time.js"),
    include_str!("page/list.js"),
    include_str!("page/keys.js"),
    include_str!("page/player.js"),
    include_str!("page/begin.js"),
    "})();\n",
);

/// Rows whose pictures and curves stand together: they are parsed when one of them comes into view.
pub const ROWS_OF_BLOCK: usize = 64;

/// What a page says of all files.
pub struct Heading<'a> {
    /// What the page is called.
    pub title: &'a str,
    pub models: &'a [ModelName],
    /// What a person should know.
    pub messages: &'a [String],
    /// The name of the reference, and its collar in seconds.
    pub reference: Option<(&'a str, f64)>,
    /// How good the model is, for `evaluation.js`.
    pub study: Option<Value>,
}

/// How the file of a row can be heard or seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Medium {
    /// Relative to the page.
    Link(String),
    /// Stands in the page; the MIME type of its bytes.
    Embedded(&'static str),
    /// It is there, but a browser plays no directory and no vectors.
    NotPlayed,
    /// The file is not there.
    Missing,
}

/// What is drawn of a row: its picture, or why there is none, in a few words.
pub type Drawn = std::result::Result<Picture, String>;

/// Writes the parts of a page, one after the other.
pub struct PageWriter<W: Write> {
    out: W,
    /// What is left of the template.
    rest: &'static str,
    labels: Labels,
}

impl<W: Write> PageWriter<W> {
    pub fn new(mut out: W) -> Result<Self> {
        let (head, rest) = split(HTML, "/*STYLE*/")?;
        let (middle, rest) = split(rest, "<!--DATA-->")?;
        let policy = format!(
            "default-src 'none'; img-src data:; media-src 'self' file: data:; style-src '{}'; script-src '{}'; \
             base-uri 'none'; form-action 'none'",
            source_hash(STYLE),
            source_hash(SCRIPT)
        );
        let parts = [&head.replace("POLICY", &policy), STYLE, middle];
        parts.into_iter().try_for_each(|part| out.write_all(part.as_bytes())).map_err(failed)?;
        Ok(Self { out, rest, labels: Labels::default() })
    }

    /// The rows without their pictures and curves; `media` and `truths` in their order.
    pub fn rows(
        &mut self,
        heading: &Heading,
        rows: &[Row],
        media: &[Medium],
        truths: &[Option<Truth>],
    ) -> Result<()> {
        let places = rows.iter().enumerate().map(|(i, row)| {
            let truth = truths.get(i).and_then(Option::as_ref);
            self.labels.row(row, &media[i], truth)
        });
        let rows: Vec<Value> = places.collect();
        let models = heading.models.iter();
        let data = json!({
            "title": shown(heading.title),
            "tool": crate::TOOL,
            "models": models.map(|m| json!([shown(&m.name), m.sha256, task(m.task)])).collect::<Vec<_>>(),
            "messages": heading.messages.iter().map(|m| shown(m)).collect::<Vec<_>>(),
            "reference": heading.reference.map(|(name, collar)| json!([shown(name), collar])),
            "rowsOfBlock": ROWS_OF_BLOCK,
            "rows": rows,
        });
        if let Some(study) = &heading.study {
            self.script("evaluation-data", study)?;
        }
        self.script("rows", &data)
    }

    /// The pictures and curves of the next [`ROWS_OF_BLOCK`] rows.
    pub fn block(&mut self, number: usize, rows: &[Row], drawn: &[Option<Drawn>]) -> Result<()> {
        let details = rows.iter().zip(drawn).map(|(row, drawn)| {
            let picture = match drawn {
                None => Value::Null,
                Some(Err(why)) => json!(shown(why)),
                Some(Ok(picture)) => {
                    let (start, end) = (rounded(picture.start), rounded(picture.end));
                    match picture.kind {
                        PictureKind::Spectrogram { top } => json!([0, start, end, top, picture.data]),
                        PictureKind::Cells { count, aspect } => {
                            json!([1, start, end, count, picture.data, aspect])
                        }
                    }
                }
            };
            json!([picture, self.labels.curves(row)])
        });
        let details: Vec<Value> = details.collect();
        self.script(&format!("block-{number}"), &details)
    }

    /// The media of a row.
    pub fn medium(&mut self, row: usize, bytes: &[u8]) -> Result<()> {
        self.script(&format!("media-{row}"), &BASE64_STANDARD.encode(bytes))
    }

    /// The names of labels, what is known only at the end, and the program.
    pub fn finish(mut self, notes: &[String]) -> Result<W> {
        let tail = json!({
            "labels": self.labels.names,
            "notes": notes.iter().map(|note| shown(note)).collect::<Vec<_>>(),
        });
        self.script("tail", &tail)?;
        let (middle, end) = split(self.rest, "/*SCRIPT*/")?;
        let parts = [middle, SCRIPT, end];
        parts.into_iter().try_for_each(|part| self.out.write_all(part.as_bytes())).map_err(failed)?;
        Ok(self.out)
    }

    fn script(&mut self, id: &str, data: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(data)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        // Only in strings, where it may be written so; nothing in it can end the element then.
        let json = json.replace('<', "\\u003c");
        writeln!(self.out, "<script type=\"application/json\" id=\"{id}\">{json}</script>").map_err(failed)
    }
}

/// Labels get numbers, in the order in which they come.
#[derive(Default)]
struct Labels {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Labels {
    fn number(&mut self, label: &str) -> usize {
        if let Some(&number) = self.numbers.get(label) {
            return number;
        }
        self.names.push(shown(label));
        self.numbers.insert(label.to_string(), self.names.len() - 1);
        self.names.len() - 1
    }

    /// A row as an array; `page/data.js` names its elements.
    fn row(&mut self, row: &Row, medium: &Medium, truth: Option<&Truth>) -> Value {
        let input = &row.input;
        let truth_totals = truth.and_then(Truth::totals);
        let truth_is_cut = matches!(truth, Some(Truth::Events { events, .. }) if events.len() > MAX_EVENTS);
        let (found_true, truth) = match truth {
            None => (None, Value::Null),
            Some(Truth::Label(label)) => (None, json!([self.number(label)])),
            Some(Truth::Events { events, found }) => {
                let event = |(event, is_found): &(crate::event::Event, bool)| {
                    let label = self.number(&event.label);
                    let (onset, offset) = (rounded(event.onset), rounded(event.offset));
                    [json!(label), json!(onset), json!(offset), json!(u8::from(*is_found))]
                };
                (Some(found), Value::Array(events.iter().take(MAX_EVENTS).flat_map(event).collect()))
            }
        };
        let (state, items, more) = match &row.answer {
            Answer::Failed(error) => (0, json!([error.kind.name(), shown(&error.message)]), 0),
            Answer::Labels(predictions) => {
                let items = predictions.iter();
                let items = items.flat_map(|p| [json!(self.number(&p.label)), score(p.score)]);
                (1, Value::Array(items.collect()), 0)
            }
            Answer::Events { events, .. } => {
                let event = |(i, event): (usize, &crate::event::ScoredEvent)| {
                    // 2: nothing is known of it, 1: it is true, 0: it is not.
                    let mark = found_true.map_or(2, |is_true| u8::from(is_true[i]));
                    let (onset, offset) = (rounded(event.onset), rounded(event.offset));
                    let label = self.number(&event.label);
                    [json!(label), json!(onset), json!(offset), score(event.score), json!(mark)]
                };
                let shown = events.iter().take(MAX_EVENTS).enumerate();
                (2, Value::Array(shown.flat_map(event).collect()), events.len().saturating_sub(MAX_EVENTS))
            }
        };
        // Right ones, misses and false alarms, where more was cut off than can be counted in the page.
        let totals = truth_totals.filter(|_| more > 0 || truth_is_cut);
        let medium = match medium {
            Medium::Link(link) => json!(link),
            Medium::Embedded(mime) => json!([mime]),
            Medium::NotPlayed => json!(0),
            Medium::Missing => Value::Null,
        };
        let kind = match input.kind {
            None | Some(InputKind::Audio) => 0,
            Some(InputKind::Video) => 1,
            Some(InputKind::Vectors) => 2,
        };
        let (start, end) = row.span();
        json!([
            shown(&input.path),
            medium,
            kind,
            rounded(start),
            rounded(end),
            row.model,
            state,
            items,
            more,
            truth,
            row.warnings.iter().map(|warning| shown(warning)).collect::<Vec<_>>(),
            row.recorded_at.as_deref().map(shown),
            totals,
        ])
    }

    fn curves(&mut self, row: &Row) -> Value {
        let Answer::Events { curves: Some(curves), .. } = &row.answer else { return Value::Null };
        let lines = curves.encoded().map(|(label, points)| json!([self.number(label), points]));
        let head = [json!(rounded(curves.start)), json!(curves.step)];
        Value::Array(head.into_iter().chain(lines).collect())
    }
}

impl Row {
    /// Seconds of the first and the last thing that is known of the file.
    pub(super) fn span(&self) -> (f64, f64) {
        let (mut start, mut end) = (0.0_f64, self.input.duration.unwrap_or(0.0));
        if let Answer::Events { events, curves, .. } = &self.answer {
            if let Some(curves) = curves {
                start = curves.start;
                end += start;
            }
            let input_end = self.input.duration.map(|_| end);
            start = events.iter().map(|event| event.onset).fold(start, f64::min);
            // The last frame may reach beyond the end of the sound: then the end counts.
            let is_behind = |onset: f64| input_end.is_none_or(|end| onset >= end);
            let offsets = events.iter().filter(|event| is_behind(event.onset)).map(|event| event.offset);
            end = offsets.fold(end, f64::max);
        }
        (start, end)
    }
}

/// Text from outside as it is shown: what cannot be seen, or turns the direction of writing, is spelled out.
pub(super) fn shown(text: &str) -> String {
    one_line(text)
}

fn task(task: Task) -> &'static str {
    match task {
        Task::Classify => "classify",
        Task::Tag => "tag",
    }
}

/// To four digits: of seconds, a tenth of a millisecond.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// With four digits.
fn score(score: f32) -> Value {
    json!(rounded(f64::from(score)))
}

/// How a policy names what may run or style the page: this text and no other.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text.as_bytes())))
}

fn split(text: &'static str, mark: &str) -> Result<(&'static str, &'static str)> {
    text.split_once(mark)
        .ok_or_else(|| Error::new(ErrorKind::Internal, format!("the page has no place for {mark}")))
}

/// Who gave the sink knows its path.
fn failed(error: std::io::Error) -> Error {
    Error { path: None, ..Error::io(&error, "") }
}
