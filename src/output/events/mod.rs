//! Events as other programs read them: one file here a format.

mod audacity;
mod csv;
mod dcase;
mod raven;
mod rttm;
mod textgrid;
mod webvtt;

use std::io::{self, Write};
use std::path::Path;

use crate::error::one_line;
use crate::event::ScoredEvent;
use crate::time::FrameClock;

/// The events of one recording.
#[derive(Debug, Clone, Copy)]
pub struct EventFile<'a> {
    pub path: &'a Path,
    /// The end of the recording in seconds.
    pub duration: f64,
    /// Its own, in Hz; 0 where it is no sound.
    pub sample_rate: u32,
    /// What may be found, in the model's order.
    pub labels: &'a [String],
    /// By onset.
    pub events: &'a [ScoredEvent],
    pub clock: FrameClock,
}

impl EventFile<'_> {
    /// The recording's name without its folder, and without its ending.
    fn name_and_stem(&self) -> (String, String) {
        let text = |name: Option<&std::ffi::OsStr>| one_line(&name.unwrap_or_default().to_string_lossy());
        (text(self.path.file_name()), text(self.path.file_stem()))
    }
}

/// What is written beside JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    Csv,
    Dcase,
    Audacity,
    Raven,
    Rttm,
    Textgrid,
    Webvtt,
}

impl EventFormat {
    /// Whether one file holds the events of several recordings.
    pub fn takes_several(self) -> bool {
        matches!(self, Self::Csv | Self::Dcase | Self::Rttm)
    }

    /// What stands before all recordings.
    pub fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Csv => csv::header(out),
            Self::Dcase => dcase::header(out),
            Self::Audacity | Self::Raven | Self::Rttm | Self::Textgrid | Self::Webvtt => Ok(()),
        }
    }

    /// The events of one recording.
    pub fn write(self, out: &mut impl Write, file: &EventFile) -> io::Result<()> {
        match self {
            Self::Csv => csv::write(out, file),
            Self::Dcase => dcase::write(out, file),
            Self::Audacity => audacity::write(out, file),
            Self::Raven => raven::write(out, file),
            Self::Rttm => rttm::write(out, file),
            Self::Textgrid => textgrid::write(out, file),
            Self::Webvtt => webvtt::write(out, file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::VideoPlace;
    use crate::labels::{LabelOptions, read_labels};

    const CLOCK: FrameClock = FrameClock { hop_length: 160, sample_rate: 16_000 };

    fn event(label: &str, start: u64, end: u64) -> ScoredEvent {
        ScoredEvent {
            label: label.into(),
            onset: CLOCK.seconds(start),
            offset: CLOCK.seconds(end),
            score: 0.75,
            peak: 0.9,
            frame_start: start,
            frame_end: end,
            video: None,
        }
    }

    fn written(format: EventFormat, events: &[ScoredEvent]) -> String {
        let labels = ["=dog".to_string(), "say \"ah\" <1>".to_string()];
        let file = EventFile {
            path: "night/a b.wav".as_ref(),
            duration: 607.0,
            sample_rate: 44_100,
            labels: &labels,
            events,
            clock: CLOCK,
        };
        let mut out = Vec::new();
        format.begin(&mut out).unwrap();
        format.write(&mut out, &file).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn two() -> [ScoredEvent; 2] {
        [event("=dog", 10, 30), event("say \"ah\" <1>", 60_670, 60_705)]
    }

    #[test]
    fn each_format_is_written_with_clean_times() {
        for (format, expected) in [
            (
                EventFormat::Csv,
                "path,onset,offset,label,score,peak,frame_start,frame_end\n\
                 night/a b.wav,0.1,0.3,'=dog,0.75,0.9,10,30\n\
                 night/a b.wav,606.7,607.05,\"say \"\"ah\"\" <1>\",0.75,0.9,60670,60705\n",
            ),
            (
                EventFormat::Dcase,
                "filename\tonset\toffset\tevent_label\nnight/a b.wav\t0.1\t0.3\t=dog\n\
                 night/a b.wav\t606.7\t607.05\tsay \"ah\" <1>\n",
            ),
            (EventFormat::Audacity, "0.1\t0.3\t=dog\n606.7\t607\tsay \"ah\" <1>\n"),
            (
                EventFormat::Raven,
                "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\tAnnotation\tScore\n\
                 1\tSpectrogram 1\t1\t0.1\t0.3\t0.0\t22050.0\ta b.wav\t=dog\t0.75\n\
                 2\tSpectrogram 1\t1\t606.7\t607.0\t0.0\t22050.0\ta b.wav\tsay \"ah\" <1>\t0.75\n",
            ),
            (
                EventFormat::Rttm,
                "SPEAKER a_b 1 0.1 0.2 <NA> <NA> =dog <NA> <NA>\n\
                 SPEAKER a_b 1 606.7 0.35 <NA> <NA> say_\"ah\"_<1> <NA> <NA>\n",
            ),
            (
                EventFormat::Webvtt,
                "WEBVTT\n\n00:00:00.100 --> 00:00:00.300\n=dog (0.75)\n\n\
                 00:10:06.700 --> 00:10:07.050\nsay \"ah\" &lt;1&gt; (0.75)\n\n",
            ),
        ] {
            assert_eq!(written(format, &two()), expected);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (format, name) in [
            (EventFormat::Audacity, "x.txt"),
            (EventFormat::Raven, "x.selections.txt"),
            (EventFormat::Dcase, "x.tsv"),
            (EventFormat::Csv, "x.csv"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, written(format, &two())).unwrap();
            let read = read_labels(&path, &["night/a b.wav".into()], &LabelOptions::default()).unwrap();
            let labels = &read.recordings[0].as_ref().unwrap().labels;
            assert_eq!(
                (labels.len(), labels[1].onset, labels[1].label.as_str()),
                (2, 606.7, "say \"ah\" <1>")
            );
        }
    }

    #[test]
    fn a_textgrid_has_a_tier_for_each_label_without_holes() {
        let grid = written(EventFormat::Textgrid, &two());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.TextGrid");
        std::fs::write(&path, &grid).unwrap();
        let read = |tier: &str| {
            let options = LabelOptions { tier: tier.into(), ..LabelOptions::default() };
            let read = read_labels(&path, &["a.wav".into()], &options).unwrap();
            let labels = read.recordings.into_iter().flatten().flat_map(|a| a.labels);
            labels.map(|l| (l.onset, l.offset, l.label)).collect::<Vec<_>>()
        };
        assert_eq!(read("=dog"), [(0.1, 0.3, "=dog".to_string())]);
        // An event may end a part of a frame behind the recording; a tier may not.
        assert_eq!(read("say \"ah\" <1>"), [(606.7, 607.0, "say \"ah\" <1>".to_string())]);
        assert!(grid.contains("intervals: size = 3") && grid.contains("intervals: size = 2"));
        let points = written(EventFormat::Textgrid, &[event("=dog", 10, 10)]);
        assert!(points.contains("class = \"TextTier\"") && points.contains("number = 0.1"), "{points}");
    }

    #[test]
    fn an_event_of_a_video_lasts_as_long_as_its_frames_and_not_as_the_models() {
        let place = VideoPlace { tick_start: 10, tick_end: 30, file_start: None, file_end: None };
        let shown = ScoredEvent { onset: 0.4, offset: 1.2, video: Some(place), ..event("=dog", 10, 30) };
        assert_eq!(written(EventFormat::Rttm, &[shown]), "SPEAKER a_b 1 0.4 0.8 <NA> <NA> =dog <NA> <NA>\n");
    }

    #[test]
    fn a_recording_without_events_is_named_where_that_says_something() {
        assert!(written(EventFormat::Dcase, &[]).ends_with("\nnight/a b.wav\n"));
        assert_eq!(written(EventFormat::Audacity, &[]), "");
        assert_eq!(written(EventFormat::Webvtt, &[]), "WEBVTT\n\n");
        assert!(written(EventFormat::Textgrid, &[]).contains("intervals: size = 1"));
    }

    #[test]
    fn a_name_makes_no_line_of_its_own() {
        let name = "a.wav\t0\t1\tzero\nb";
        for format in [EventFormat::Dcase, EventFormat::Raven, EventFormat::Rttm, EventFormat::Csv] {
            let file = EventFile {
                path: name.as_ref(),
                duration: 1.0,
                sample_rate: 8000,
                labels: &["dog".into()],
                events: &[event("dog", 1, 2)],
                clock: CLOCK,
            };
            let mut out = Vec::new();
            format.write(&mut out, &file).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(!text.lines().any(|line| line == "b" || line.starts_with("b\t")), "{format:?}: {text}");
            assert!(!text.contains("\t0\t1\tzero") || format == EventFormat::Csv, "{format:?}: {text}");
        }
    }
}
