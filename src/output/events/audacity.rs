//! Audacity's label track: onset, offset and label, separated by tabs.

use std::io::{self, Write};

use super::EventFile;

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    for event in file.events {
        writeln!(out, "{}\t{}\t{}", event.onset, event.offset.min(file.duration), event.label)?;
    }
    Ok(())
}
