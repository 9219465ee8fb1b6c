//! A label a frame, one line each: frame `i` lasts from `i · hop` to `(i + 1) · hop` seconds; an empty line has none.

use super::{TimedLabel, check_frame_hop};
use crate::Result;

pub(super) fn parse(text: &str, frame_hop: f64) -> Result<Vec<TimedLabel>> {
    let hop = check_frame_hop(frame_hop)?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut labels = Vec::new();
    let mut start = 0;
    for run in lines.chunk_by(|a, b| a == b) {
        let end = start + run.len();
        if !run[0].is_empty() {
            labels.push(TimedLabel::new(start as f64 * hop, end as f64 * hop, run[0], start as u64 + 1)?);
        }
        start = end;
    }
    Ok(labels)
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
