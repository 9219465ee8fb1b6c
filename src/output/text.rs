//! Text for people: the path, then a line a label or an event; drawn with bars and a timeline on a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Effects, Style};

use super::record::{Classified, ClassifyRecord, Outcome, TagRecord, TaggedFile};
use super::terminal::{Terminal, width};
use super::timeline::{occurring, timeline};
use crate::error::one_line;
use crate::event::ScoredEvent;

/// Scores stand below each other for labels up to this many characters; a longer label moves its own aside.
const MAX_LABEL_WIDTH: usize = 40;
/// Columns of the longest bar of a label, and of an event.
const MAX_BAR: usize = 40;
const MAX_EVENT_BAR: usize = 20;
/// Columns of a score: `100.0 %`.
const SCORE: usize = 7;
/// Columns before a line, and between what stands in it.
const SPACE: usize = 2;

const PATH: Style = Style::new().effects(Effects::BOLD);
const WARNING: Style = AnsiColor::Yellow.on_default();
const ERROR: Style = AnsiColor::Red.on_default();
const BAR: Style = AnsiColor::Cyan.on_default();

/// Writes records one by one, as they come.
pub struct TextWriter<W> {
    out: W,
    terminal: Option<Terminal>,
}

impl<W: Write> TextWriter<W> {
    /// `terminal`: what `out` is, if it is one.
    pub fn new(out: W, terminal: Option<Terminal>) -> Self {
        Self { out, terminal }
    }

    pub fn write(&mut self, record: &ClassifyRecord) -> io::Result<()> {
        self.print(&match &self.terminal {
            Some(terminal) => drawn(&record.input.path, &record.outcome, terminal, |result| {
                (bars(result, terminal), &result.warnings)
            }),
            None => plain(&record.input.path, &record.outcome, |result| (labels(result), &result.warnings)),
        })
    }

    pub fn write_events(&mut self, record: &TagRecord) -> io::Result<()> {
        self.print(&match &self.terminal {
            Some(terminal) => drawn(&record.input.path, &record.outcome, terminal, |file| {
                let text = event_bars(record, file, terminal) + &timeline(record, file, terminal);
                (text, &file.warnings)
            }),
            None => plain(&record.input.path, &record.outcome, |file| (events(file), &file.warnings)),
        })
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The path, what `result` says, and what went wrong.
fn plain<'a, T>(
    path: &str,
    outcome: &'a Outcome<T>,
    result: impl FnOnce(&'a T) -> (String, &'a Vec<String>),
) -> String {
    let head = one_line(path) + "\n";
    match outcome {
        Outcome::Ok(ok) => {
            let (text, warnings) = result(ok);
            let warnings = warnings.iter().map(|warning| format!("  warning: {}\n", one_line(warning)));
            head + &text + &warnings.collect::<String>()
        }
        Outcome::Error { error } => format!("{head}  error: {}\n", one_line(&error.message)),
    }
}

/// As [`plain`], no line wider than the terminal.
fn drawn<'a, T>(
    path: &str,
    outcome: &'a Outcome<T>,
    terminal: &Terminal,
    result: impl FnOnce(&'a T) -> (String, &'a Vec<String>),
) -> String {
    let path = terminal.fitted(&terminal.shown(path), terminal.width);
    let head = terminal.painted(PATH, &path) + "\n";
    let message = |style: Style, text: String| {
        let lines = terminal.wrapped(&text, 2 * SPACE).into_iter().enumerate();
        let indent = |i: usize| if i == 0 { SPACE } else { 2 * SPACE };
        lines
            .map(|(i, line)| format!("{:1$}{2}\n", "", indent(i), terminal.painted(style, &line)))
            .collect::<String>()
    };
    match outcome {
        Outcome::Ok(ok) => {
            let (text, warnings) = result(ok);
            let warnings = warnings.iter().map(|warning| message(WARNING, format!("warning: {warning}")));
            head + &text + &warnings.collect::<String>()
        }
        Outcome::Error { error } => head + &message(ERROR, format!("error: {}", error.message)),
    }
}

fn labels(result: &Classified) -> String {
    let labels: Vec<String> = result.predictions.iter().map(|p| one_line(&p.label)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).min(MAX_LABEL_WIDTH);
    let line = |(label, score): (&String, f32)| format!("  {label:<width$}  {}\n", percent(score));
    labels.iter().zip(result.predictions.iter().map(|p| p.score)).map(line).collect()
}

fn bars(result: &Classified, terminal: &Terminal) -> String {
    let labels: Vec<String> = result.predictions.iter().map(|p| terminal.shown(&p.label)).collect();
    let columns = Columns::new(terminal.width, 0, &labels);
    let line = |(label, score)| columns.line("", label, score, BAR, terminal);
    labels.iter().map(String::as_str).zip(result.predictions.iter().map(|p| p.score)).map(line).collect()
}

fn events(file: &TaggedFile) -> String {
    if file.events.is_empty() {
        return "  no events\n".to_string();
    }
    let labels: Vec<String> = file.events.iter().map(|event| one_line(&event.label)).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).min(MAX_LABEL_WIDTH);
    let places = places(&file.events);
    let rows = places.iter().zip(&labels).zip(&file.events);
    rows.map(|((place, label), event)| format!("  {place}  {label:<width$}  {}\n", percent(event.score)))
        .collect()
}

fn event_bars(record: &TagRecord, file: &TaggedFile, terminal: &Terminal) -> String {
    if file.events.is_empty() {
        return "  no events\n".to_string();
    }
    let labels: Vec<String> = file.events.iter().map(|event| terminal.shown(&event.label)).collect();
    let styles = occurring(record, file);
    let style = |label: &str| styles.iter().find(|(name, _)| *name == label).map_or(BAR, |(_, style)| *style);
    let mut places = places(&file.events);
    let mut columns = Columns::new(terminal.width, places[0].len(), &labels);
    if columns.label < LEAST_LABEL.min(columns.wanted) {
        // The time at which it begins alone.
        let begins: Vec<f64> = file.events.iter().map(|event| event.onset).collect();
        places = aligned(&begins);
        columns = Columns::new(terminal.width, places[0].len(), &labels);
    }
    if columns.label == 0 {
        places = vec![String::new(); labels.len()];
        columns = Columns::new(terminal.width, 0, &labels);
    }
    let rows = places.iter().zip(&labels).zip(&file.events);
    rows.map(|((place, label), event)| columns.line(place, label, event.score, style(&event.label), terminal))
        .collect()
}

/// When each event is, in seconds, all as wide: `0.750 -  1.300 s`. One of which only the onset counts has no end.
fn places(events: &[ScoredEvent]) -> Vec<String> {
    let times: Vec<f64> = events.iter().flat_map(|event| [event.onset, event.offset]).collect();
    let times = aligned(&times);
    let place = |(event, times): (&ScoredEvent, &[String])| match event.offset > event.onset {
        true => format!("{} - {} s", times[0], times[1]),
        false => format!("{} s{:gap$}", times[0], "", gap = " - ".len() + times[1].len()),
    };
    events.iter().zip(times.chunks_exact(2)).map(place).collect()
}

/// Seconds to a millisecond, the points below each other.
fn aligned(seconds: &[f64]) -> Vec<String> {
    let written: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.3}")).collect();
    let width = written.iter().map(String::len).max().unwrap_or(0);
    written.iter().map(|text| format!("{text:>width$}")).collect()
}

fn percent(score: f32) -> String {
    format!("{:5.1} %", 100.0 * score)
}

/// Columns below which a label says little, and a bar.
const LEAST_LABEL: usize = 6;
const LEAST_BAR: usize = 4;

/// How the columns of a terminal are shared out among the label and the bar of each line.
struct Columns {
    label: usize,
    /// 0 where there is no room for one.
    bar: usize,
    /// Columns of the widest label.
    wanted: usize,
}

impl Columns {
    /// `place`: columns of what stands before the label.
    fn new(terminal: usize, place: usize, labels: &[String]) -> Self {
        let (place, most_bar) = if place == 0 { (0, MAX_BAR) } else { (place + SPACE, MAX_EVENT_BAR) };
        let room = terminal.saturating_sub(SPACE + place + SPACE + SCORE);
        let wanted = labels.iter().map(|label| width(label)).max().unwrap_or(0);
        let label = wanted.min(MAX_LABEL_WIDTH);
        let most = room.saturating_sub(SPACE + LEAST_BAR);
        let shared = label.min(most.max(2 * room / 3).min(most));
        match shared >= LEAST_LABEL.min(label) && shared > 0 {
            true => Self { label: shared, bar: (room - SPACE - shared).min(most_bar), wanted },
            false => Self { label: label.min(room), bar: 0, wanted },
        }
    }

    fn line(&self, place: &str, label: &str, score: f32, style: Style, terminal: &Terminal) -> String {
        let mut line = format!("{:SPACE$}", "");
        if !place.is_empty() {
            line += place;
            line += &" ".repeat(SPACE);
        }
        line += &terminal.cell(label, self.label);
        if self.bar > 0 {
            let bar = terminal.bar(score, self.bar);
            let rest = self.bar - width(&bar);
            line += &format!("{:SPACE$}{}{:rest$}", "", terminal.painted(style, &bar), "");
        }
        line + &format!("{:SPACE$}{}\n", "", percent(score))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::record::{ErrorInfo, InputInfo, ModelInfo};
    use super::super::terminal::LEAST_WIDTH;
    use super::*;
    use crate::ErrorKind;
    use crate::decide::Prediction;
    use crate::model::Task;

    pub fn event(label: &str, onset: f64, offset: f64) -> ScoredEvent {
        ScoredEvent {
            label: label.into(),
            onset,
            offset,
            score: 0.75,
            peak: 0.9,
            frame_start: 0,
            frame_end: 0,
            video: None,
        }
    }

    fn model(labels: &[&str], task: Task) -> ModelInfo {
        let labels = labels.iter().map(|label| label.to_string()).collect();
        ModelInfo { name: "m".into(), sha256: "00".into(), task, labels }
    }

    fn input(path: &str) -> InputInfo {
        InputInfo { path: path.into(), duration: Some(4.0), ..InputInfo::default() }
    }

    pub fn tagged(labels: &[&str], events: Vec<ScoredEvent>) -> TagRecord {
        TagRecord {
            schema_version: crate::SCHEMA_VERSION,
            tool: crate::TOOL.into(),
            model: model(labels, Task::Tag),
            input: input("night/a.wav"),
            outcome: Outcome::Ok(TaggedFile { warnings: vec!["cut off".into()], events, frames: None }),
        }
    }

    fn classified(path: &str, predictions: &[(&str, f32)]) -> ClassifyRecord {
        let prediction =
            |(label, score): &(&str, f32)| Prediction { label: label.to_string(), score: *score };
        let predictions = predictions.iter().map(prediction).collect();
        ClassifyRecord {
            schema_version: crate::SCHEMA_VERSION,
            tool: crate::TOOL.into(),
            model: model(&[], Task::Classify),
            input: input(path),
            outcome: Outcome::Ok(Classified { warnings: vec!["cut off".into()], predictions }),
        }
    }

    fn terminal(width: usize) -> Terminal {
        Terminal { width, colour: false, unicode: true }
    }

    fn written(record: &ClassifyRecord, terminal: Option<Terminal>) -> String {
        let mut writer = TextWriter::new(Vec::new(), terminal);
        writer.write(record).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    fn written_events(record: &TagRecord, terminal: Option<Terminal>) -> String {
        let mut writer = TextWriter::new(Vec::new(), terminal);
        writer.write_events(record).unwrap();
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn labels_have_bars_on_a_terminal() {
        let record =
            classified("night/dog.ogg", &[("dog_bark", 1.0), ("鳥の声", 0.5), ("e\u{301}te\u{301}", 0.01)]);
        let text = "night/dog.ogg\n\
                    \x20 dog_bark  ███████████████████  100.0 %\n\
                    \x20 鳥の声    █████████▌            50.0 %\n\
                    \x20 e\u{301}te\u{301}       ▎                      1.0 %\n\
                    \x20 warning: cut off\n";
        assert_eq!(written(&record, Some(terminal(40))), text);
        let ascii = written(&record, Some(Terminal { unicode: false, ..terminal(60) }));
        assert!(ascii.is_ascii() && ascii.contains("  dog_bark"), "{ascii}");
        let coloured = written(&record, Some(Terminal { colour: true, ..terminal(40) }));
        assert!(coloured.contains("\u{1b}[36m█████████▌\u{1b}[0m  "), "{coloured:?}");
    }

    #[test]
    fn events_have_a_line_each_and_a_timeline_on_a_terminal() {
        let record = tagged(
            &["none", "one", "two"],
            vec![event("two", 1.0, 2.0), event("one", 0.0, 10.5), event("one", 3.9, 3.9)],
        );
        let plain = "night/a.wav\n\
                     \x20  1.000 -  2.000 s  two   75.0 %\n\
                     \x20  0.000 - 10.500 s  one   75.0 %\n\
                     \x20  3.900 s           one   75.0 %\n\
                     \x20 warning: cut off\n";
        assert_eq!(written_events(&record, None), plain);
        let drawn = written_events(&record, Some(terminal(60)));
        assert!(drawn.starts_with("night/a.wav\n   1.000 -  2.000 s  two  ██████"), "{drawn}");
        assert!(drawn.contains("\n  one │██████") && drawn.contains("  s   0"), "{drawn}");
        let none = written_events(&tagged(&["one"], Vec::new()), Some(terminal(60)));
        assert_eq!(none, "night/a.wav\n  no events\n  warning: cut off\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let names = [
            "a",
            "dog_bark",
            "鳥の声と雨の音と風の音がする",
            "\u{1b}[2J\r\n\u{202e}evil",
            "e\u{301}",
            "👩‍👩‍👧‍👦👩‍👩‍👧‍👦",
        ];
        let long = "a name that is a good deal longer than any other name of a label is".repeat(3);
        for count in 1..=names.len() + 1 {
            let names: Vec<&str> = names.iter().copied().chain([long.as_str()]).take(count).collect();
            let predictions: Vec<(&str, f32)> = names.iter().map(|name| (*name, 1.0)).collect();
            for (last, unicode) in [(3.9, true), (360_000.0, true), (3.9, false)] {
                let times = [0.0, 1.0, last, last];
                let events =
                    names.iter().zip(times.into_iter().cycle()).map(|(name, at)| event(name, at, last));
                let events: Vec<_> = events.collect();
                for width in LEAST_WIDTH..210 {
                    let terminal = Some(Terminal { unicode, ..terminal(width) });
                    let text = written(&classified(&long, &predictions), terminal)
                        + &written_events(&tagged(&names, events.clone()), terminal);
                    for line in text.lines() {
                        let columns = super::width(line);
                        assert!(columns <= width, "{columns} in {width}: {line}");
                        assert!(!line.contains(char::is_control), "{line:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_error_is_told_in_as_many_lines_as_it_needs() {
        let error =
            ErrorInfo { kind: ErrorKind::Empty, message: "the file is empty; copy it again ".repeat(3) };
        let record = ClassifyRecord { outcome: Outcome::Error { error }, ..classified("a", &[]) };
        assert!(written(&record, None).starts_with("a\n  error: the file"));
        let drawn = written(&record, Some(Terminal { colour: true, ..terminal(40) }));
        assert!(drawn.starts_with("\u{1b}[1ma\u{1b}[0m\n  \u{1b}[31merror: the file"), "{drawn:?}");
        assert_eq!(drawn.lines().count(), 5, "{drawn}");
    }
}
