//! Praat's TextGrid in its long form: a tier a label, which must have neither holes nor overlaps. Labels of which only the
//! onset is known are points.

use std::io::{self, Write};

use super::EventFile;
use crate::event::ScoredEvent;

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    let xmax = file.duration;
    writeln!(out, "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n")?;
    writeln!(out, "xmin = 0\nxmax = {xmax}\ntiers? <exists>\nsize = {}\nitem []:", file.labels.len())?;
    for (i, label) in file.labels.iter().enumerate() {
        let events: Vec<&ScoredEvent> = file.events.iter().filter(|event| event.label == *label).collect();
        let are_points = !events.is_empty() && events.iter().all(|event| event.onset == event.offset);
        let class = if are_points { "TextTier" } else { "IntervalTier" };
        writeln!(out, "    item [{}]:\n        class = \"{class}\"", i + 1)?;
        writeln!(out, "        name = \"{}\"\n        xmin = 0\n        xmax = {xmax}", quoted(label))?;
        match are_points {
            true => points(out, &events)?,
            false => intervals(out, &events, xmax)?,
        }
    }
    Ok(())
}

fn points(out: &mut impl Write, events: &[&ScoredEvent]) -> io::Result<()> {
    writeln!(out, "        points: size = {}", events.len())?;
    for (i, event) in events.iter().enumerate() {
        writeln!(out, "        points [{}]:\n            number = {}", i + 1, event.onset)?;
        writeln!(out, "            mark = \"{}\"", quoted(&event.label))?;
    }
    Ok(())
}

fn intervals(out: &mut impl Write, events: &[&ScoredEvent], xmax: f64) -> io::Result<()> {
    let mut all: Vec<(f64, f64, &str)> = Vec::new();
    let mut end = 0.0;
    for event in events {
        // The last frame may reach a little beyond the recording.
        let offset = event.offset.min(xmax);
        if event.onset > end {
            all.push((end, event.onset, ""));
        }
        if offset > event.onset {
            all.push((event.onset, offset, &event.label));
            end = offset;
        }
    }
    if end < xmax || all.is_empty() {
        all.push((end, xmax, ""));
    }
    writeln!(out, "        intervals: size = {}", all.len())?;
    for (i, (start, end, text)) in all.iter().enumerate() {
        writeln!(
            out,
            "        intervals [{}]:\n            xmin = {start}\n            xmax = {end}",
            i + 1
        )?;
        writeln!(out, "            text = \"{}\"", quoted(text))?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    text.replace('"', "\"\"")
}
