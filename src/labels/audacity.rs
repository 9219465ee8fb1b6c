//! Audacity's label tracks: onset, offset and label, separated by tabs; one recording a file.
//!
//! A line that begins with a backslash gives the frequencies of the label above it.

use std::borrow::Cow;

use super::{Parsed, TimedLabel, seconds, wrong};
use crate::Result;
use crate::error::Position;

pub(super) fn parse(text: &str) -> Result<Parsed> {
    let (mut labels, mut frequencies) = (Vec::new(), 0);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('\\') {
            frequencies += 1;
        } else if !line.trim().is_empty() {
            let number = index as u64 + 1;
            labels.push(label(line, number).map_err(|error| error.at(Position::Line(number)))?);
        }
    }
    let mut parsed = Parsed::of_one_recording(labels);
    if frequencies > 0 {
        parsed.messages.push(format!("the frequencies of {frequencies} labels are not used"));
    }
    Ok(parsed)
}

fn label(line: &str, number: u64) -> Result<TimedLabel> {
    let fields: Vec<&str> = line.splitn(3, '\t').map(str::trim).collect();
    let [onset, offset, label] = fields[..] else {
        return Err(wrong(format!(
            "the line has {} fields where onset, offset and label are due, separated by tabs",
            fields.len()
        )));
    };
    TimedLabel::new(seconds(onset, "onset")?, seconds(offset, "offset")?, &unquoted(label), number)
}

/// Audacity quotes nothing; programs that write such files as CSV do.
fn unquoted(label: &str) -> Cow<'_, str> {
    let inner = label.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.replace("\"\"", "").contains('"') => inner.replace("\"\"", "\"").into(),
        _ => label.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_points_are_read_and_frequencies_are_passed_over() {
        let parsed = parse("0.5\t1.25\tdog\n\\\t100.0\t2000.0\n3.000000\t3.000000\tdoor slam\r\n\n").unwrap();
        assert_eq!(super::super::tests::labels(&parsed), [(0.5, 1.25, "dog"), (3.0, 3.0, "door slam")]);
        assert_eq!(parsed.messages, ["the frequencies of 1 labels are not used"]);
    }

    #[test]
    fn a_wrong_line_is_an_error_with_its_number() {
        for (line, part) in [
            ("1\t2", "2 fields"),
            ("1\t2\t", "a label is empty"),
            ("x\t2\tdog", "the onset is \"x\""),
            ("3\t2\tdog", "ends at 2 s, before it begins at 3 s"),
        ] {
            let error = parse(&format!("0\t1\tx\n{line}\n")).unwrap_err();
            assert_eq!(error.position, Some(Position::Line(2)), "{line}");
            assert!(error.message.contains(part), "{line}: {error}");
        }
    }
}
