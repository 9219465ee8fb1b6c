//! The event lists of DCASE and sed_eval: one line an event, fields separated by tabs,
//!
//! ```text
//! filename    onset   offset  event_label
//! a.wav       0.5     1.25    speech
//! b.wav
//! ```
//!
//! The first line may be left out. A line with a file name only says that the file has no events.

use std::collections::BTreeMap;
use std::path::Path;

use super::{MAX_LABEL_BYTES, Parsed, Row, TimedLabel, check_rows, seconds, wrong};
use crate::error::Position;
use crate::event::Event;
use crate::files::read_text;
use crate::{Error, ErrorKind, Result};

/// The events of each recording, by its name, in the order of the file.
pub type EventLists = BTreeMap<String, Vec<Event>>;

/// Reads a DCASE event list.
///
/// # Errors
/// [`ErrorKind::Dataset`] with the line where a field is missing or a time is wrong; [`ErrorKind::Limit`].
pub fn read_dcase(path: &Path) -> Result<EventLists> {
    let due = "a list of events is due (filename, onset, offset, event_label, separated by tabs)";
    let text = read_text(path, due, MAX_LABEL_BYTES, ErrorKind::Dataset)?;
    parse(&text).map_err(|error| error.with_path(path))
}

fn parse(text: &str) -> Result<EventLists> {
    let mut lists = EventLists::new();
    for (_, file, event) in lines(text)? {
        lists.entry(file).or_default().extend(event);
    }
    Ok(lists)
}

/// Number, file and event of each line.
fn lines(text: &str) -> Result<Vec<(u64, String, Option<Event>)>> {
    check_rows(text)?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if index == 0 && fields.len() == 1 && line.split(',').any(|field| field.trim().ends_with("onset")) {
            let message = "its fields are separated by commas where tabs are due; percept tag --format dcase writes such a list";
            return Err(wrong(message.to_string()).at(Position::Line(1)));
        }
        let is_header = index == 0 && fields.get(1).is_some_and(|field| field.ends_with("onset"));
        if is_header || line.trim().is_empty() {
            continue;
        }
        let number = index as u64 + 1;
        let event = event(&fields).map_err(|error| error.at(Position::Line(number)))?;
        lines.push((number, fields[0].to_string(), event));
    }
    Ok(lines)
}

/// The lengths of recordings in seconds, as psds_eval's metadata has them: `filename` and `duration`, separated by tabs.
///
/// # Errors
/// [`ErrorKind::Dataset`] with the line where a field is missing or no time; [`ErrorKind::Limit`].
pub fn read_durations(path: &Path) -> Result<BTreeMap<String, f64>> {
    let due = "a list of durations is due (filename, duration, separated by tabs)";
    let text = read_text(path, due, MAX_LABEL_BYTES, ErrorKind::Dataset)?;
    let mut durations = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        if line.trim().is_empty() || index == 0 && fields.get(1) == Some(&"duration") {
            continue;
        }
        let duration = match fields[..] {
            [_, duration] => seconds(duration, "duration"),
            _ => Err(Error::new(ErrorKind::Dataset, "filename and duration are due, separated by a tab")),
        };
        let duration = duration.map_err(|e| e.at(Position::Line(index as u64 + 1)).with_path(path))?;
        durations.insert(fields[0].to_string(), duration);
    }
    Ok(durations)
}

/// The same list as labels to learn from.
pub(super) fn rows(text: &str) -> Result<Parsed> {
    let mut parsed = Parsed { names_files: true, ..Parsed::default() };
    for (line, file, event) in lines(text)? {
        let label = event.map(|e| TimedLabel::new(e.onset, e.offset, &e.label, line)).transpose()?;
        parsed.rows.push(Row { file: Some(file), label, line });
    }
    Ok(parsed)
}

/// The event of a line; nothing where the file has none.
fn event(fields: &[&str]) -> Result<Option<Event>> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Dataset, message));
    if fields[0].is_empty() {
        return wrong("the line begins with no file name".into());
    }
    if fields[1..].iter().all(|field| field.is_empty()) {
        return Ok(None);
    }
    let [_, onset, offset, label] = *fields else {
        let message = format!(
            "the line has {} fields where filename, onset, offset and event_label are due, separated by tabs",
            fields.len()
        );
        return wrong(message);
    };
    let (onset, offset) = (seconds(onset, "onset")?, seconds(offset, "offset")?);
    if onset > offset {
        return wrong(format!("the event ends at {offset} s, before it begins at {onset} s"));
    }
    if label.is_empty() {
        return wrong("the event has no label".into());
    }
    Ok(Some(Event { onset, offset, label: label.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_listed_by_file_with_or_without_a_header() {
        let rows = "b.wav\t0.5\t1.25\tspeech\r\na.wav\n\nb.wav\t0\t0\tclick\nc.wav\t\t\t\n";
        let with = parse(&format!("filename\tonset\toffset\tevent_label\n{rows}")).unwrap();
        assert_eq!(with, parse(rows).unwrap());
        assert_eq!(with.keys().collect::<Vec<_>>(), ["a.wav", "b.wav", "c.wav"]);
        assert!(with["a.wav"].is_empty() && with["c.wav"].is_empty());
        let labels: Vec<&str> = with["b.wav"].iter().map(|event| event.label.as_str()).collect();
        assert_eq!(labels, ["speech", "click"]);
        assert_eq!(with["b.wav"][0].duration(), 0.75);
    }

    #[test]
    fn a_wrong_line_is_an_error_with_its_number() {
        for (line, part) in [
            ("a.wav\t1\t2", "3 fields"),
            ("a.wav\t1\t2\tx\ty", "5 fields"),
            ("a.wav 1 2 x\t3", "2 fields"),
            ("\t1\t2\tx", "no file name"),
            ("a.wav\t1\t2\t", "no label"),
            ("a.wav\tone\t2\tx", "the onset is \"one\""),
            ("a.wav\t-1\t2\tx", "the onset is -1"),
            ("a.wav\t1\tinf\tx", "the offset is inf"),
            ("a.wav\t1\t1e308\tx", "the offset is"),
            ("a.wav\tNaN\t2\tx", "the onset is NaN"),
            ("a.wav\t2\t1\tx", "ends at 1 s, before it begins at 2 s"),
        ] {
            let error = parse(&format!("a.wav\t0\t1\tx\n{line}\n")).unwrap_err();
            assert_eq!(error.position, Some(Position::Line(2)), "{line}");
            assert!(error.message.contains(part), "{line}: {error}");
        }
        let error = parse("path,onset,offset,label\na.wav,1,2,x\n").unwrap_err();
        assert!(error.message.contains("--format dcase"), "{error}");
    }
}
