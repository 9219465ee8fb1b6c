//! What is seen of training: a bar on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::evaluate::Failure;
use crate::train::{EpochMetrics, Event};

/// Shows events as they come, and keeps what belongs into the report.
pub struct Progress {
    /// `None` where stderr is no terminal.
    bar: Option<ProgressBar>,
    /// Says what the bar is of: loading, or learning.
    phase: Phase,
    /// Of the epoch before.
    last: String,
    warnings: Vec<String>,
    failures: Vec<Failure>,
}

enum Phase {
    Loading,
    /// Since then, from so many batches of the whole run.
    Learning {
        began: Instant,
        from: usize,
    },
}

impl Progress {
    pub fn new() -> Self {
        Self {
            bar: io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(loading_style())),
            phase: Phase::Loading,
            last: String::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub fn on_event(&mut self, event: Event) {
        match event {
            Event::Loading { done, total } => self.loading(done, total),
            Event::Loaded { clips, seconds } => {
                self.tell(format!("{clips} clips, {} in all", duration(seconds)));
            }
            Event::Message(message) => self.tell(message),
            Event::Warning(warning) => {
                self.tell(format!("warning: {warning}"));
                self.warnings.push(warning);
            }
            Event::LeftOut(failure) => {
                self.tell(format!("left out: {failure}"));
                self.failures.push(failure);
            }
            Event::Resumed(history) => {
                self.tell(format!("going on after epoch {}", history.len()));
            }
            Event::Batch { epoch, epochs, done, total, loss } => {
                self.batch(epoch, epochs, (epoch.saturating_sub(1)) * total + done, epochs * total, loss);
            }
            Event::Epoch { metrics, epochs, eta_seconds } => self.epoch(&metrics, epochs, eta_seconds),
        }
    }

    /// Takes the bar away; gives the warnings, and the clips that were left out.
    pub fn finish(self) -> (Vec<String>, Vec<Failure>) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        (self.warnings, self.failures)
    }

    fn loading(&mut self, done: usize, total: usize) {
        let Some(bar) = &self.bar else { return };
        // The next of several trainings reads again.
        if matches!(self.phase, Phase::Learning { .. }) {
            self.phase = Phase::Loading;
            self.last.clear();
            bar.set_style(loading_style());
        }
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    /// `done` of `total` batches of the whole run are learned.
    fn batch(&mut self, epoch: usize, epochs: usize, done: usize, total: usize, loss: f64) {
        let Some(bar) = &self.bar else { return };
        let (began, from) = match self.phase {
            Phase::Learning { began, from } => (began, from),
            Phase::Loading => {
                let (began, from) = (Instant::now(), done);
                self.phase = Phase::Learning { began, from };
                bar.set_style(learning_style());
                (began, from)
            }
        };
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        // The time of the first batch is not known.
        let left = match done.saturating_sub(from) {
            0 => String::new(),
            learned => {
                let seconds = began.elapsed().as_secs_f64() / learned as f64;
                format!(", {} left", duration(seconds * total.saturating_sub(done) as f64))
            }
        };
        bar.set_message(format!("loss {loss:.3}{}{left}", self.last));
    }

    fn epoch(&mut self, metrics: &EpochMetrics, epochs: usize, eta_seconds: f64) {
        let EpochMetrics { epoch, train_loss, train_accuracy, validation_loss, validation_accuracy, .. } =
            metrics;
        let mut line = format!(
            "epoch {epoch:>3}/{epochs}  loss {train_loss:.4}  accuracy {:5.1} %",
            100.0 * train_accuracy
        );
        if let Some(loss) = validation_loss {
            line += &format!("  validation loss {loss:.4}");
        }
        if let Some(accuracy) = validation_accuracy {
            line += &format!("  accuracy {:5.1} %", 100.0 * accuracy);
        }
        line += if metrics.best { "  best" } else { "      " };
        match &self.bar {
            Some(bar) => bar.println(line),
            None => say(format_args!("{line}  {} left", duration(eta_seconds))),
        }
        let accuracy = validation_accuracy.unwrap_or(*train_accuracy);
        self.last = format!(", accuracy {:.1} %", 100.0 * accuracy);
    }

    /// One line; above the bar, if there is one.
    fn tell(&self, message: String) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(message)),
            None => say(message),
        }
    }
}

fn loading_style() -> ProgressStyle {
    style("reading {bar:30} {pos}/{len} clips")
}

fn learning_style() -> ProgressStyle {
    style("{prefix} {bar:20} {percent} % {msg}")
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants and are tested.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `45 s`, `3 min 5 s`, `2 h 0 min`.
pub fn duration(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 59.5 => format!("{s:.0} s"),
        s if s < 3599.5 => {
            let s = s.round() as u64;
            format!("{} min {} s", s / 60, s % 60)
        }
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.6, "1 min 0 s"),
            (185.0, "3 min 5 s"),
            (3599.6, "1 h 0 min"),
            (-1.0, "0.0 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn the_templates_are_valid() {
        for template in ["reading {bar:30} {pos}/{len} clips", "{prefix} {bar:20} {percent} % {msg}"] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn warnings_and_left_out_clips_are_kept_for_the_report() {
        let mut progress = Progress::new();
        let error = crate::Error::new(crate::ErrorKind::Empty, "holds nothing");
        let failure = Failure::new("x.wav".as_ref(), &error);
        progress.on_event(Event::Message("fine".into()));
        progress.on_event(Event::Warning("odd".into()));
        progress.on_event(Event::LeftOut(failure.clone()));
        progress.on_event(Event::Loading { done: 0, total: 0 });
        progress.on_event(Event::Batch { epoch: 1, epochs: 1, done: 0, total: 0, loss: f64::NAN });
        assert_eq!(progress.finish(), (vec!["odd".to_string()], vec![failure]));
    }
}
