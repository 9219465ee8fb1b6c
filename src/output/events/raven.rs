//! Raven's selection table: all frequencies, as the model hears all of them.

use std::io::{self, Write};

use super::EventFile;

pub(super) fn write(out: &mut impl Write, file: &EventFile) -> io::Result<()> {
    writeln!(
        out,
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\t\
         Annotation\tScore"
    )?;
    let (name, _) = file.name_and_stem();
    // With a point in every number: other programs tell kinds of columns by it.
    let nyquist = f64::from(file.sample_rate) / 2.0;
    for (i, event) in file.events.iter().enumerate() {
        writeln!(
            out,
            "{}\tSpectrogram 1\t1\t{:?}\t{:?}\t0.0\t{nyquist:?}\t{name}\t{}\t{}",
            i + 1,
            event.onset,
            event.offset.min(file.duration),
            event.label,
            event.score
        )?;
    }
    Ok(())
}
