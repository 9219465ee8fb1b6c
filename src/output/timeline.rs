//! What happens when, as a row of blocks a label over an axis of time.

use anstyle::{AnsiColor, Style};

use super::preview::TimeAxis;
use super::record::{TagRecord, TaggedFile};
use super::terminal::{Terminal, width};
use crate::event::ScoredEvent;

/// Most labels that get a row.
const MOST_ROWS: usize = 24;
/// What stands before a row, and between its label and the axis.
const INDENT: usize = 2;
const GAP: usize = 1;
/// [`TimeAxis`] counts in pixels, and puts a number at most every 90 of them: every 9 columns.
const PIXELS: usize = 10;

/// Colours that can be read on a dark and on a light ground.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::BrightBlue,
    AnsiColor::Red,
];

/// The labels that occur, in the model's order, each with its colour. What the model does not know stands behind.
pub(super) fn occurring<'a>(record: &'a TagRecord, file: &'a TaggedFile) -> Vec<(&'a str, Style)> {
    let mut names: Vec<&str> = record.model.labels.iter().map(String::as_str).collect();
    for event in &file.events {
        if !names.contains(&event.label.as_str()) {
            names.push(&event.label);
        }
    }
    let occurs = |name: &&str| file.events.iter().any(|event| event.label == **name);
    let colours = COLOURS.into_iter().cycle().map(|colour| colour.on_default());
    names.into_iter().filter(occurs).zip(colours).collect()
}

/// The rows, the axis and its numbers, each with its line break; nothing where nothing happens.
pub(super) fn timeline(record: &TagRecord, file: &TaggedFile, terminal: &Terminal) -> String {
    let labels = occurring(record, file);
    let ends = file.events.iter().map(|event| event.offset);
    let end = ends.chain(record.input.duration).filter(|end| end.is_finite()).fold(0.0, f64::max);
    if labels.is_empty() || end <= 0.0 {
        return String::new();
    }
    let names: Vec<String> = labels.iter().take(MOST_ROWS).map(|(name, _)| terminal.shown(name)).collect();
    let widest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let unit = |columns: usize| TimeAxis::new(0.0, end, 0, (columns * PIXELS) as u32).unit();
    let gutter = widest.max(width(unit(terminal.width))).min((terminal.width - INDENT) / 3);
    // The last column is the line at the left of the rows.
    let columns = terminal.width - INDENT - gutter - GAP - 1;
    let axis = TimeAxis::new(0.0, end, 0, (columns * PIXELS) as u32);

    let side = if terminal.unicode { "│" } else { "|" };
    let mut text = String::new();
    let mut line = |name: &str, rest: &str| {
        let line = format!("{:INDENT$}{}{:GAP$}{rest}", "", terminal.cell(name, gutter), "");
        text += line.trim_end();
        text.push('\n');
    };
    for (name, (label, style)) in names.iter().zip(&labels) {
        let events = file.events.iter().filter(|event| event.label == **label);
        let blocks = blocks(events, end, columns, terminal.unicode);
        line(name, &format!("{side}{}", terminal.painted(*style, blocks.trim_end())));
    }
    let (ruler, numbers) = ruler(&axis, columns, terminal.unicode);
    line("", &ruler);
    line(unit(columns), &numbers);
    match labels.len().saturating_sub(MOST_ROWS) {
        0 => {}
        more => text += &format!("{:INDENT$}and {more} more\n", ""),
    }
    text
}

/// Two halves a column; what happens takes one half at least.
fn blocks<'a>(
    events: impl Iterator<Item = &'a ScoredEvent>,
    end: f64,
    columns: usize,
    unicode: bool,
) -> String {
    let halves = 2 * columns;
    let mut filled = vec![false; halves];
    for event in events {
        let place = |seconds: f64| ((seconds / end).clamp(0.0, 1.0) * halves as f64).round() as usize;
        let first = place(event.onset).min(halves - 1);
        filled[first..place(event.offset).clamp(first + 1, halves)].fill(true);
    }
    let cell = |halves: &[bool]| match (halves[0], halves[1]) {
        (false, false) => ' ',
        _ if !unicode => '#',
        (true, true) => '█',
        (true, false) => '▌',
        (false, true) => '▐',
    };
    filled.chunks_exact(2).map(cell).collect()
}

/// The axis under `columns` of blocks, its corner at the left of them, and its numbers.
fn ruler(axis: &TimeAxis, columns: usize, unicode: bool) -> (String, String) {
    let [corner, dash, tick] = if unicode { ['└', '─', '┬'] } else { ['+', '-', '+'] };
    let mut line = vec![dash; columns + 1];
    let mut numbers = String::new();
    for (x, text) in axis.ticks() {
        let place = (x as usize + PIXELS / 2) / PIXELS;
        line[place.min(columns)] = tick;
        let begin = place.saturating_sub(text.len() / 2).min((columns + 1).saturating_sub(text.len()));
        if numbers.is_empty() || begin > numbers.len() {
            numbers += &" ".repeat(begin - numbers.len());
            numbers += &text;
        }
    }
    line[0] = corner;
    (line.into_iter().collect(), numbers)
}

#[cfg(test)]
mod tests {
    use super::super::record::Outcome;
    use super::super::text::tests::{event, tagged};
    use super::*;

    const TERMINAL: Terminal = Terminal { width: 40, colour: false, unicode: true };

    /// Four seconds in which `events` happen.
    fn drawn(events: Vec<ScoredEvent>, terminal: &Terminal) -> String {
        let record = tagged(&["none", "one", "two"], events);
        let Outcome::Ok(file) = &record.outcome else { panic!("is good") };
        timeline(&record, file, terminal)
    }

    fn events() -> Vec<ScoredEvent> {
        vec![event("two", 1.0, 2.0), event("new", 0.0, 0.06), event("one", 0.0, 0.5), event("two", 3.9, 3.9)]
    }

    #[test]
    fn each_label_that_occurs_has_a_row_over_the_axis() {
        let text = "  one │████\n\
                    \x20 two │        ▐███████▌               ▌\n\
                    \x20 new │▌\n\
                    \x20     └────────────────┬───────────────┬\n\
                    \x20 s   0                2               4\n";
        assert_eq!(drawn(events(), &TERMINAL), text);
        let ascii =
            text.replace(['█', '▌', '▐'], "#").replace('│', "|").replace(['└', '┬'], "+").replace('─', "-");
        assert_eq!(drawn(events(), &Terminal { unicode: false, ..TERMINAL }), ascii);
        assert_eq!(drawn(Vec::new(), &TERMINAL), "");
    }

    #[test]
    fn each_row_has_its_own_colour() {
        let text = drawn(events(), &Terminal { colour: true, ..TERMINAL });
        assert!(text.starts_with("  one │\u{1b}[36m████\u{1b}[0m\n  two │\u{1b}[35m"), "{text:?}");
    }

    #[test]
    fn times_and_labels_of_any_size_are_drawn() {
        for (onset, offset) in
            [(0.0, 1e-9), (1.0, 86_400.0), (-5.0, 1e300), (f64::NAN, f64::NAN), (9.0, f64::INFINITY)]
        {
            for width in [20, 21, 40, 200] {
                drawn(vec![event("a", onset, offset)], &Terminal { width, ..TERMINAL });
            }
        }
        let many = (0..100).map(|i| event(&format!("label {i}"), 0.0, 1.0)).collect();
        let text = drawn(many, &TERMINAL);
        assert!(text.lines().count() == MOST_ROWS + 3 && text.ends_with("  and 76 more\n"), "{text}");
    }
}
