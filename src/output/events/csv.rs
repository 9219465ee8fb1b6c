//! CSV (RFC 4180): a row an event.

use std::io::{self, Write};

use super::EventFile;
use crate::output::csv::guarded;

pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "path,onset,offset,label,score,peak,frame_start,frame_end")
}

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    let mut rows = ::csv::Writer::from_writer(out);
    for event in file.events {
        rows.write_record([
            &*guarded(&file.path.to_string_lossy()),
            &event.onset.to_string(),
            &event.offset.to_string(),
            &guarded(&event.label),
            &event.score.to_string(),
            &event.peak.to_string(),
            &event.frame_start.to_string(),
            &event.frame_end.to_string(),
        ])?;
    }
    rows.flush()
}
