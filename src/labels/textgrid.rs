//! Praat's TextGrid, long or short. As Praat reads it: numbers that stand alone, texts in double quotes and `<flags>` count,
//! everything else is for people; `!` begins a comment.

use super::{TimedLabel, seconds, wrong};
use crate::error::{Position, some_of};
use crate::{Error, Result};

/// Labels of the tier called `tier`; with "" of the only one. An interval without text is a gap.
pub(super) fn parse(text: &str, tier: &str) -> Result<Vec<TimedLabel>> {
    let mut tokens = Tokens { rest: text, counted: text, line: 1 };
    let kinds = [tokens.text()?.0, tokens.text()?.0];
    if kinds != ["ooTextFile", "TextGrid"] {
        return Err(wrong("is no TextGrid".to_string()));
    }
    tokens.number("start")?;
    tokens.number("end")?;
    let mut tiers = Vec::new();
    for _ in 0..tokens.count()? {
        tiers.push(tokens.tier()?);
    }
    let names: Vec<&str> = tiers.iter().map(|(name, _)| name.as_str()).collect();
    let at = match tier {
        "" if tiers.len() == 1 => 0,
        "" => return Err(wrong(format!("has the tiers {}; choose one with --tier", some_of(&names)))),
        tier => names
            .iter()
            .position(|name| *name == tier)
            .ok_or_else(|| wrong(format!("has no tier \"{tier}\"; its tiers are {}", some_of(&names))))?,
    };
    Ok(tiers.swap_remove(at).1)
}

struct Tokens<'a> {
    rest: &'a str,
    /// Where `line` was counted: the lines before are not looked at again.
    counted: &'a str,
    line: u64,
}

enum Token<'a> {
    Text(String),
    Number(&'a str),
}

impl<'a> Tokens<'a> {
    /// Of what was read last.
    fn line(&mut self) -> u64 {
        let read = &self.counted[..self.counted.len() - self.rest.len()];
        self.line += read.bytes().filter(|&b| b == b'\n').count() as u64;
        self.counted = self.rest;
        self.line
    }

    fn wrong(&mut self, message: &str) -> Error {
        wrong(message.to_string()).at(Position::Line(self.line()))
    }

    /// The next text or number.
    fn next(&mut self) -> Result<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return Err(self.wrong("the TextGrid ends too early"));
            }
            if self.rest.starts_with('"') {
                return self.quoted().map(Token::Text);
            }
            if self.rest.starts_with('!') {
                self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
                continue;
            }
            let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
            let word = &self.rest[..end];
            self.rest = &self.rest[end..];
            if word
                .parse::<f64>()
                .is_ok_and(|_| word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)))
            {
                return Ok(Token::Number(word));
            }
        }
    }

    /// A quote inside is written twice.
    fn quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let Some(end) = rest.find('"') else {
                return Err(self.wrong("the text that begins here has no closing quote"));
            };
            text += &rest[..end];
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    text.push('"');
                    rest = more;
                }
                None => {
                    self.rest = rest;
                    return Ok(text);
                }
            }
        }
    }

    fn text(&mut self) -> Result<(String, u64)> {
        match self.next()? {
            Token::Text(text) => Ok((text, self.line())),
            Token::Number(_) => Err(self.wrong("a number stands where a text in quotes is due")),
        }
    }

    fn number(&mut self, what: &str) -> Result<f64> {
        match self.next()? {
            Token::Number(word) => seconds(word, what).map_err(|e| e.at(Position::Line(self.line()))),
            Token::Text(_) => Err(self.wrong("a text stands where a time is due")),
        }
    }

    fn count(&mut self) -> Result<u64> {
        match self.next()? {
            Token::Number(word) => {
                word.parse().map_err(|_| self.wrong("a number of tiers or intervals is due"))
            }
            Token::Text(_) => Err(self.wrong("a text stands where a number is due")),
        }
    }

    fn tier(&mut self) -> Result<(String, Vec<TimedLabel>)> {
        let is_points = match self.text()?.0.as_str() {
            "IntervalTier" => false,
            "TextTier" => true,
            _ => return Err(self.wrong("a tier must be an IntervalTier or a TextTier")),
        };
        let name = self.text()?.0;
        self.number("start")?;
        self.number("end")?;
        let mut labels = Vec::new();
        for _ in 0..self.count()? {
            let onset = self.number("onset")?;
            let offset = if is_points { onset } else { self.number("offset")? };
            let (label, line) = self.text()?;
            let label = label.trim();
            if !label.is_empty() {
                labels.push(TimedLabel::new(onset, offset, label, line)?);
            }
        }
        Ok((name, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0 \nxmax = 3.5 \ntiers? <exists> \nsize = 2 \nitem []: \n    item [1]:\n        class = \"IntervalTier\" \n        name = \"words\" \n        xmin = 0 \n        xmax = 3.5 \n        intervals: size = 3 \n        intervals [1]:\n            xmin = 0 \n            xmax = 1.25 \n            text = \"\" \n        intervals [2]:\n            xmin = 1.25 \n            xmax = 2 \n            text = \"say \"\"ah\"\" 1\" \n        intervals [3]:\n            xmin = 2 \n            xmax = 3.5 \n            text = \" end \" \n    item [2]:\n        class = \"TextTier\" \n        name = \"clicks\" \n        xmin = 0 \n        xmax = 3.5 \n        points: size = 1 \n        points [1]:\n            number = 0.5 \n            mark = \"x\" \n";
    const SHORT: &str = "File type = \"ooTextFile\"\n\"TextGrid\"\n\n0\n1\n<exists>\n1\n\"IntervalTier\"\n\"words\"\n0\n1\n1\n0\n1\n\"dog\"\n";

    fn found(text: &str, tier: &str) -> Vec<(f64, f64, String, u64)> {
        let labels = parse(text, tier).unwrap();
        labels.into_iter().map(|l| (l.onset, l.offset, l.label, l.line)).collect()
    }

    #[test]
    fn both_forms_and_both_kinds_of_tiers_are_read() {
        let words = [(1.25, 2.0, "say \"ah\" 1".to_string(), 22), (2.0, 3.5, "end".to_string(), 26)];
        assert_eq!(found(LONG, "words"), words);
        assert_eq!(found(LONG, "clicks"), [(0.5, 0.5, "x".to_string(), 35)]);
        assert_eq!(found(SHORT, ""), [(0.0, 1.0, "dog".to_string(), 15)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let error = |text: &str, tier: &str| parse(text, tier).unwrap_err().to_string();
        assert!(error(LONG, "").contains("has the tiers words, clicks; choose one with --tier"));
        assert!(error(LONG, "x").contains("has no tier \"x\""));
        assert!(error(&SHORT[..45], "").contains("ends too early"));
        assert!(error(&SHORT.replace("\"dog\"", "\"dog"), "").contains("no closing quote (line 15)"));
        assert!(error(&SHORT.replace("1\n1\n0\n1", "1\n1\n2\n1"), "").contains("before it begins at 2 s"));
        assert!(error(&SHORT.replace("\"dog\"", "7"), "").contains("a number stands where a text"));
        assert!(error(&SHORT.replace("TextGrid", "Pitch"), "").contains("is no TextGrid"));
    }
}
