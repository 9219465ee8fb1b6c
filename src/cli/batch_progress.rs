//! What is seen of a batch: a bar on a terminal, plain lines elsewhere, or events for programs.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::train_progress::duration;
use super::{report, say};
use crate::batch::run::{Event, Summary};

/// Failures that are told one by one; all are rows of the output.
const TOLD_FAILURES: usize = 20;
/// Plain lines, and events.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressKind {
    /// A bar on a terminal, lines elsewhere
    Auto,
    /// A bar
    Bar,
    /// A line now and then
    Plain,
    /// Events for programs, a line of JSON each
    Json,
    /// Only what went wrong, and the summary
    None,
}

pub struct Progress {
    kind: ProgressKind,
    bar: Option<ProgressBar>,
    began: Instant,
    last: Instant,
    failures: usize,
}

impl Progress {
    pub fn new(kind: ProgressKind) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let kind = match kind {
            ProgressKind::Auto if is_terminal => ProgressKind::Bar,
            ProgressKind::Auto => ProgressKind::Plain,
            kind => kind,
        };
        let bar = (kind == ProgressKind::Bar).then(|| ProgressBar::new(0).with_style(style()));
        Self { kind, bar, began: Instant::now(), last: Instant::now(), failures: 0 }
    }

    pub fn on_event(&mut self, event: Event) {
        match event {
            Event::Listing(found) => self.listing(found),
            Event::Begun { inputs, skipped } => self.begun(inputs, skipped),
            Event::Warning(warning) => match self.kind {
                ProgressKind::Json => emit(&json!({"event": "warning", "message": warning})),
                _ => self.tell(|| say(format_args!("warning: {warning}"))),
            },
            Event::Failed(error) => {
                self.failures += 1;
                let message = &error.message;
                match (self.kind, self.failures) {
                    (ProgressKind::Json, _) => {
                        emit(
                            &json!({"event": "failed", "path": error.path, "kind": error.kind, "message": message}),
                        );
                    }
                    (_, ..=TOLD_FAILURES) => self.tell(|| report(error)),
                    (_, count) if count == TOLD_FAILURES + 1 => {
                        self.tell(|| say("more inputs fail; their errors are in the output"));
                    }
                    _ => {}
                }
            }
            Event::Progress(summary) => self.progress(summary),
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// What is said at the end; `again` is how inputs without a result get one.
    pub fn summary(&self, summary: &Summary, elapsed: Duration, again: &str) {
        let Summary { inputs, done, failed, skipped, seconds, .. } = summary;
        let elapsed = elapsed.as_secs_f64();
        if self.kind == ProgressKind::Json {
            let mut event = figures(summary, elapsed);
            event["event"] = "summary".into();
            return emit(&event);
        }
        let times = if elapsed > 0.0 { seconds / elapsed } else { 0.0 };
        say(format_args!(
            "{}: {} done, {failed} failed, {skipped} skipped; {} of recordings in {} ({times:.0} times real time)",
            count(*inputs),
            done - failed,
            duration(*seconds),
            duration(elapsed)
        ));
        match summary.without_result() {
            0 => {}
            failed => say(format_args!("{} without a result; {again}", count(failed))),
        }
    }

    fn listing(&mut self, found: usize) {
        if let Some(bar) = &self.bar {
            return bar.set_message(format!("{found} inputs found"));
        }
        if !self.is_due() {
            return;
        }
        match self.kind {
            ProgressKind::Json => emit(&json!({"event": "listing", "inputs": found})),
            ProgressKind::Plain => say(format_args!("{found} inputs found")),
            ProgressKind::Auto | ProgressKind::Bar | ProgressKind::None => {}
        }
    }

    fn begun(&mut self, inputs: usize, skipped: usize) {
        (self.began, self.last) = (Instant::now(), Instant::now());
        match (&self.bar, self.kind) {
            (Some(bar), _) => {
                bar.set_length(inputs as u64);
                bar.set_position(skipped as u64);
                bar.reset_eta();
            }
            (None, ProgressKind::Json) => {
                emit(&json!({"event": "begun", "inputs": inputs, "skipped": skipped}));
            }
            (None, ProgressKind::Plain) if skipped > 0 => {
                say(format_args!("{}, {skipped} of them done already", count(inputs)));
            }
            (None, ProgressKind::Plain) => say(count(inputs)),
            _ => {}
        }
    }

    fn progress(&mut self, summary: &Summary) {
        let elapsed = self.began.elapsed().as_secs_f64();
        let line = |summary: &Summary| {
            let failed =
                if summary.failed > 0 { format!(", {} failed", summary.failed) } else { String::new() };
            let rate = summary.done as f64 / elapsed.max(1e-9);
            let left =
                seconds_left(summary, elapsed).map_or(String::new(), |s| format!(", {} left", duration(s)));
            format!("{} of recordings, {rate:.0} a second{failed}{left}", duration(summary.seconds))
        };
        let done = summary.skipped + summary.done;
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
            return bar.set_message(line(summary));
        }
        if !self.is_due() {
            return;
        }
        match self.kind {
            ProgressKind::Json => {
                let mut event = figures(summary, elapsed);
                event["event"] = "progress".into();
                emit(&event);
            }
            ProgressKind::Plain => {
                say(format_args!("{done} of {} inputs, {}", summary.inputs, line(summary)))
            }
            ProgressKind::Auto | ProgressKind::Bar | ProgressKind::None => {}
        }
    }

    fn is_due(&mut self) -> bool {
        let interval = if self.kind == ProgressKind::Json { EVENT_INTERVAL } else { LINE_INTERVAL };
        let is_due = self.last.elapsed() >= interval;
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }

    /// Above the bar, if there is one.
    fn tell(&self, message: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(message),
            None => message(),
        }
    }
}

fn count(inputs: usize) -> String {
    if inputs == 1 { "1 input".into() } else { format!("{inputs} inputs") }
}

fn seconds_left(summary: &Summary, elapsed: f64) -> Option<f64> {
    let left = summary.inputs.saturating_sub(summary.skipped + summary.done);
    (summary.done > 0).then(|| elapsed / summary.done as f64 * left as f64)
}

fn figures(summary: &Summary, elapsed: f64) -> Value {
    json!({
        "event": "",
        "inputs": summary.inputs,
        "done": summary.done - summary.failed,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "without_file": summary.without_file,
        "recorded_seconds": summary.seconds,
        "elapsed_seconds": elapsed,
        "times_real_time": summary.seconds / elapsed.max(1e-9),
        "inputs_per_second": summary.done as f64 / elapsed.max(1e-9),
        "seconds_left": seconds_left(summary, elapsed),
    })
}

/// A closed stderr is no reason to stop.
fn emit(event: &Value) {
    let _ = writeln!(io::stderr(), "{event}");
}

fn style() -> ProgressStyle {
    // The template is a constant and is tested.
    ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const TEMPLATE: &str = "{bar:20} {pos}/{len} {msg}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }

    #[test]
    fn the_time_left_is_of_what_is_left() {
        let summary = Summary { inputs: 100, done: 20, skipped: 40, ..Summary::default() };
        assert_eq!(seconds_left(&summary, 10.0), Some(20.0));
        assert_eq!(seconds_left(&Summary::default(), 10.0), None);
    }
}
