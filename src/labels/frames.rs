//! A label a frame, one line each: frame `i` lasts from `i · hop` to `(i + 1) · hop` seconds; an empty line has none.

use super::{TimedLabel, check_frame_hop};
use crate::Result;

pub(super) fn parse(text: &str, frame_hop: f64) -> Result<Vec<TimedLabel>> {
    let hop = check_frame_hop(frame_hop)?;
    let mut labels = Vec::new();
    // The run at hand: its label and first frame.
    let mut run = ("", 0u64);
    let mut frames = 0;
    for line in text.lines().map(str::trim) {
        if line != run.0 {
            labels.extend(label(run, frames, hop)?);
            run = (line, frames);
        }
        frames += 1;
    }
    labels.extend(label(run, frames, hop)?);
    Ok(labels)
}

/// Frames `start..end`, if they have one.
fn label((text, start): (&str, u64), end: u64, hop: f64) -> Result<Option<TimedLabel>> {
    if text.is_empty() {
        return Ok(None);
    }
    TimedLabel::new(start as f64 * hop, end as f64 * hop, text, start + 1).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_frames_that_follow_each_other_are_one_label() {
        let labels = parse("\na\na\n\nb\na\n", 0.5).unwrap();
        let found: Vec<_> = labels.iter().map(|l| (l.onset, l.offset, l.label.as_str(), l.line)).collect();
        assert_eq!(found, [(0.5, 1.5, "a", 2), (2.0, 2.5, "b", 5), (2.5, 3.0, "a", 6)]);
        assert!(parse("a\n", 0.0).unwrap_err().message.contains("--label-hop"));
    }
}
