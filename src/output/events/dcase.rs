//! The list that DCASE and sed_eval use, and `percept evaluate --estimated` reads. A line with a name only says that a
//! recording has no events.

use std::io::{self, Write};

use super::EventFile;
use crate::error::one_line;

pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "filename\tonset\toffset\tevent_label")
}

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    let path = one_line(&file.path.to_string_lossy());
    if file.events.is_empty() {
        writeln!(out, "{path}")?;
    }
    for event in file.events {
        writeln!(out, "{path}\t{}\t{}\t{}", event.onset, event.offset, event.label)?;
    }
    Ok(())
}
