//! Text for people: the path, then a line a label.

use std::io::{self, Write};

use super::record::{ClassifyRecord, Outcome};
use crate::error::one_line;

/// Scores stand below each other for labels up to this many characters; a longer label moves its own aside.
const MAX_LABEL_WIDTH: usize = 40;

pub struct TextWriter<W> {
    out: W,
}

impl<W: Write> TextWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out }
    }

    pub fn write(&mut self, record: &ClassifyRecord) -> io::Result<()> {
        writeln!(self.out, "{}", one_line(&record.input.path))?;
        match &record.outcome {
            Outcome::Ok(result) => {
                let labels: Vec<String> = result.predictions.iter().map(|p| one_line(&p.label)).collect();
                let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
                let width = width.min(MAX_LABEL_WIDTH);
                for (label, prediction) in labels.iter().zip(&result.predictions) {
                    writeln!(self.out, "  {label:<width$}  {:5.1} %", 100.0 * prediction.score)?;
                }
                for warning in &result.warnings {
                    writeln!(self.out, "  warning: {}", one_line(warning))?;
                }
            }
            Outcome::Error { error } => writeln!(self.out, "  error: {}", one_line(&error.message))?,
        }
        self.out.flush()
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
