//! Files of labels as other programs write them, and ours as they read them (tests/golden/labels.py).

use std::path::{Path, PathBuf};

use percept::event::ScoredEvent;
use percept::labels::{LabelOptions, read_labels};
use percept::output::events::{EventFile, EventFormat};
use percept::time::FrameClock;

const EVENTS: [(f64, f64, &str); 3] =
    [(0.25, 0.5, "wren"), (0.75, 1.5, "say \"ah\""), (606.7, 607.05, "wren")];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/labels").join(name)
}

fn read(path: &Path, tier: &str) -> Vec<(f64, f64, String)> {
    let options = LabelOptions { tier: tier.into(), ..LabelOptions::default() };
    let read = read_labels(path, &["recording.wav".into()], &options).unwrap();
    let labels = read.recordings.into_iter().flatten().flat_map(|annotation| annotation.labels);
    labels.map(|label| (label.onset, label.offset, label.label)).collect()
}

#[test]
fn what_other_programs_write_is_read() {
    for name in ["tool.long.TextGrid", "tool.short.TextGrid", "tool.audacity.txt", "tool.raven.txt"] {
        let found = read(&golden(name), "");
        let found: Vec<_> =
            found.iter().map(|(onset, offset, label)| (*onset, *offset, label.as_str())).collect();
        assert_eq!(found, EVENTS, "{name}");
    }
}

#[test]
fn what_is_written_is_what_other_programs_have_read() {
    let clock = FrameClock { hop_length: 160, sample_rate: 16_000 };
    let event = |&(onset, offset, label): &(f64, f64, &str)| {
        let (frame_start, frame_end) = (clock.frames(onset) as u64, clock.frames(offset) as u64);
        ScoredEvent {
            label: label.into(),
            onset,
            offset,
            score: 0.75,
            peak: 0.75,
            frame_start,
            frame_end,
            video: None,
        }
    };
    let events: Vec<ScoredEvent> = EVENTS.iter().map(event).collect();
    let labels = ["wren".to_string(), "say \"ah\"".to_string()];
    let file = EventFile {
        path: "recording.wav".as_ref(),
        duration: 610.0,
        sample_rate: 16_000,
        labels: &labels,
        events: &events,
        clock,
    };
    for (format, name) in [
        (EventFormat::Textgrid, "ours.TextGrid"),
        (EventFormat::Audacity, "ours.audacity.txt"),
        (EventFormat::Raven, "ours.raven.txt"),
        (EventFormat::Webvtt, "ours.vtt"),
    ] {
        let mut out = Vec::new();
        format.begin(&mut out).unwrap();
        format.write(&mut out, &file).unwrap();
        let written = String::from_utf8(out).unwrap();
        if std::env::var_os("PERCEPT_WRITE_GOLDEN").is_some() {
            std::fs::write(golden(name), &written).unwrap();
        }
        assert_eq!(written, std::fs::read_to_string(golden(name)).unwrap(), "{name}");
    }
}
