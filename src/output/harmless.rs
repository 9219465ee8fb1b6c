//! Results on a terminal: what a name or a label holds must not steer it.

use std::io::{self, Write};

use crate::error::misleads;

/// Writes text on, with control characters and marks that turn the direction of writing as `\u001b`: in JSON that is the same
/// text. Line breaks and tabs stay.
pub struct Harmless<W> {
    out: W,
    /// The beginning of a character whose end is yet to come.
    rest: Vec<u8>,
}

impl<W: Write> Harmless<W> {
    pub fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }
}

/// As [`Harmless`] writes it.
pub fn harmless(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match misleads(c) && c != '\n' && c != '\t' {
            true => plain += &format!("\\u{:04x}", u32::from(c)),
            false => plain.push(c),
        }
    }
    plain
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let text = String::from_utf8_lossy(&self.rest[..whole]).into_owned();
        self.rest.drain(..whole);
        self.out.write_all(harmless(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_spelled_out_wherever_it_is_cut() {
        let text = "{\n\t\"é\": \"\u{1b}[31m\u{9b}2J\u{202e}x\u{7f}\"}\n";
        let expected = "{\n\t\"é\": \"\\u001b[31m\\u009b2J\\u202ex\\u007f\"}\n";
        for cut in 0..text.len() {
            let mut out = Harmless::new(Vec::new());
            out.write_all(&text.as_bytes()[..cut]).unwrap();
            out.write_all(&text.as_bytes()[cut..]).unwrap();
            assert_eq!(String::from_utf8(out.out).unwrap(), expected);
        }
    }

    #[test]
    fn json_stays_the_same_text() {
        let value = serde_json::json!({"path": "a\u{9b}\u{2028}\u{200f}\u{7f}"});
        let shown = harmless(&value.to_string());
        assert!(shown.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
