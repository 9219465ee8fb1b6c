//! NIST's rich transcription time marks, as speaker diarisation uses them; fields are separated by spaces.

use std::io::{self, Write};

use super::EventFile;

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    let field = |text: &str| text.replace(char::is_whitespace, "_");
    let (_, stem) = file.name_and_stem();
    for event in file.events {
        // From frames: the difference of two times would have digits that nobody meant.
        let duration = match event.video {
            None => file.clock.seconds(event.frame_end - event.frame_start),
            // Its frames are not the model's.
            Some(_) => (1e6 * (event.offset - event.onset)).round() / 1e6,
        };
        let (onset, label) = (event.onset, field(&event.label));
        writeln!(out, "SPEAKER {} 1 {onset} {duration} <NA> <NA> {label} <NA> <NA>", field(&stem))?;
    }
    Ok(())
}
