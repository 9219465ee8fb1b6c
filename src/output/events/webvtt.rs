//! WebVTT: captions for a video or audio element of a web page.

use std::io::{self, Write};

use super::EventFile;

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    writeln!(out, "WEBVTT\n")?;
    for event in file.events {
        let onset = milliseconds(event.onset);
        // A cue must last: an onset alone is shown for a moment.
        let offset = milliseconds(event.offset).max(onset + 1);
        let text = event.label.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        writeln!(out, "{} --> {}\n{text} ({:.2})\n", clock(onset), clock(offset), event.score)?;
    }
    Ok(())
}

fn milliseconds(seconds: f64) -> u64 {
    (1000.0 * seconds).round() as u64
}

fn clock(ms: u64) -> String {
    format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}
