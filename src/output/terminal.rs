//! What a terminal can show, and texts that fit on it.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::error::one_line;

/// Narrower terminals are written to as a file is.
pub const LEAST_WIDTH: usize = 20;

/// A terminal that results are drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Columns, at least [`LEAST_WIDTH`]: no line is wider.
    pub width: usize,
    pub colour: bool,
    /// Whether it shows UTF-8; otherwise all is ASCII.
    pub unicode: bool,
}

/// Parts of a cell from left to right, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Terminal {
    /// `text` in its style, where there are colours.
    pub(super) fn painted(&self, style: Style, text: &str) -> String {
        match self.colour {
            true if !text.is_empty() => format!("{style}{text}{style:#}"),
            _ => text.to_string(),
        }
    }

    /// A text from outside as it can be shown: one line, without codes that steer the terminal.
    pub(super) fn shown(&self, text: &str) -> String {
        let text = one_line(text);
        if self.unicode || text.is_ascii() {
            return text;
        }
        let escaped = |c: char| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() };
        text.chars().map(escaped).collect()
    }

    /// `text`, which is [shown](Self::shown), in at most `columns`: what is left out is left out in the middle, as names
    /// differ at both ends.
    pub(super) fn fitted(&self, text: &str, columns: usize) -> String {
        if width(text) <= columns {
            return text.to_string();
        }
        let gap = if self.unicode { "…" } else { "..." };
        let kept = columns.saturating_sub(width(gap));
        let (head, tail) = (kept.div_ceil(2), kept / 2);
        let start = within(text.chars(), head);
        let end: Vec<char> = within(text.chars().rev(), tail).chars().rev().collect();
        // A mark stays with the letter that it stands on.
        let end: String = end.into_iter().skip_while(|c| c.width().unwrap_or(0) == 0).collect();
        if kept == 0 { within(gap.chars(), columns) } else { format!("{start}{gap}{end}") }
    }

    /// [`fitted`](Self::fitted), and filled with spaces to `columns`.
    pub(super) fn cell(&self, text: &str, columns: usize) -> String {
        let text = self.fitted(text, columns);
        let filled = columns.saturating_sub(width(&text));
        text + &" ".repeat(filled)
    }

    /// A bar of `share` (0 to 1) of `columns`, without the space behind it.
    pub(super) fn bar(&self, share: f32, columns: usize) -> String {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let parts = if self.unicode { EIGHTHS.len() } else { 1 };
        let filled = (share * (columns * parts) as f32).round() as usize;
        match self.unicode {
            true => "█".repeat(filled / parts) + EIGHTHS[filled % parts],
            false => "#".repeat(filled),
        }
    }

    /// `text` broken at spaces into lines that fit behind an indent.
    pub(super) fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        let room = self.width.saturating_sub(indent).max(1);
        let mut lines: Vec<String> = Vec::new();
        for word in self.shown(text).split(' ') {
            match lines.last_mut() {
                Some(line) if width(line) + 1 + width(word) <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(self.fitted(word, room)),
            }
        }
        lines
    }
}

/// Columns that a text takes: at least what its letters take one by one, as not every terminal joins them.
pub(super) fn width(text: &str) -> usize {
    let letters: usize = text.chars().filter_map(UnicodeWidthChar::width).sum();
    letters.max(text.width())
}

/// The letters that fit in `columns`, with the marks on the last.
fn within(letters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut text = String::new();
    for letter in letters {
        text.push(letter);
        if width(&text) > columns {
            text.pop();
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    const PLAIN: Terminal = Terminal { width: 40, colour: false, unicode: true };
    const ASCII: Terminal = Terminal { unicode: false, ..PLAIN };

    #[test]
    fn wide_letters_and_marks_are_counted_as_they_are_shown() {
        assert_eq!(["abc", "鳥の声", "e\u{301}a\u{308}", "🐕", ""].map(width), [3, 6, 2, 2, 0]);
        assert_eq!(PLAIN.cell("鳥", 4), "鳥  ");
        assert_eq!(PLAIN.cell("e\u{301}", 3), "e\u{301}  ");
        assert_eq!(PLAIN.fitted("鳥の声と雨の音", 9), "鳥の…の音");
        assert_eq!(
            PLAIN.fitted("ne\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", 5),
            "ne\u{301}…e\u{301}e\u{301}"
        );
        for columns in 0..30 {
            for text in ["the quick brown fox jumps over", "鳥の声と雨の音と風の音がする", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦👩‍👩‍👧‍👦"]
            {
                assert_eq!(width(&PLAIN.cell(text, columns)), columns, "{text} in {columns}");
                assert_eq!(width(&ASCII.cell(&ASCII.shown(text), columns)), columns);
            }
        }
    }

    #[test]
    fn names_from_outside_steer_nothing() {
        let name = "a\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{202e}b";
        for terminal in [PLAIN, ASCII] {
            assert!(terminal.shown(name).chars().all(|c| !c.is_control() && c != '\u{202e}'));
        }
        assert_eq!(ASCII.shown("über"), "\\u{fc}ber");
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(
            [0.0, 0.5, 0.55, 1.0].map(|share| PLAIN.bar(share, 10)),
            ["", "█████", "█████▌", "██████████"]
        );
        assert_eq!([0.0, 0.55, 1.0].map(|share| ASCII.bar(share, 4)), ["", "##", "####"]);
        assert_eq!([f32::NAN, -1.0, 9.0].map(|share| width(&PLAIN.bar(share, 3))), [0, 0, 3]);
    }

    #[test]
    fn colours_are_only_there_where_they_are_wanted() {
        let style = AnsiColor::Cyan.on_default();
        assert_eq!(PLAIN.painted(style, "a"), "a");
        assert_eq!(Terminal { colour: true, ..PLAIN }.painted(style, "a"), "\u{1b}[36ma\u{1b}[0m");
    }

    #[test]
    fn long_messages_are_broken_at_spaces() {
        let lines = PLAIN.wrapped("the file is cut off behind 3.2 s; what is before that was kept", 4);
        assert_eq!(lines, ["the file is cut off behind 3.2 s;", "what is before that was kept"]);
        assert!(PLAIN.wrapped(&"x".repeat(500), 4).iter().all(|line| width(line) <= 36));
    }
}
