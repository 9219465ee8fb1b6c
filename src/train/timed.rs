//! Recordings and what happens in them when.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::dataset::{Clip, Item, MAX_LABELS, Span, Truth};
use super::{DataConfig, Dataset, LabelsConfig, Unmarked, directory, manifest};
use crate::error::{Position, some_of};
use crate::evaluate::Reference;
use crate::event::Event;
use crate::labels::{Annotation, TimedLabel, read_labels};
use crate::media::{known_kind_of, video};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// Seconds by which labels that exclude each other may overlap: times in files are rounded.
const ROUNDING: f64 = 1e-3;
/// Labels that are told one by one.
const MAX_COUNTED: usize = 60;
/// Seconds by which a label may end behind its recording's end: it may have been drawn by hand.
const BEYOND_END: f64 = 0.1;

impl Dataset {
    /// The recordings that `data` names with the labels that `labels` names. Sound files are looked for, not opened.
    ///
    /// # Errors
    /// As [`Dataset::load`] and [`read_labels`]; with file and line, labels that overlap where they exclude each other.
    pub fn load_timed(data: &DataConfig, labels: &LabelsConfig) -> Result<Self> {
        let Some(source) = &labels.source else {
            return Err(Error::new(
                ErrorKind::Config,
                "no labels in time are named ([labels] source, --labels)",
            ));
        };
        let (clips, mut messages) = match (&data.directory, &data.manifest) {
            (Some(directory), None) => directory::recordings(directory, data.stream)?,
            (None, Some(manifest)) => manifest::read(manifest, data, false)?,
            _ => {
                let message = "name the recordings that the labels belong to: a directory or a manifest";
                return Err(Error::new(ErrorKind::Config, message));
            }
        };
        let paths: Vec<PathBuf> = clips.iter().map(|clip| clip.path.clone()).collect();
        let mut options = labels.options();
        if options.frame_hop == 0.0 {
            options.frame_hop = frame_of_video(&paths, data);
            if options.frame_hop > 0.0 {
                messages.push(format!(
                    "labels that are given by frames are taken at {} frames a second, as the first video has; \
                     --label-hop says otherwise",
                    1.0 / options.frame_hop
                ));
            }
        }
        let read = read_labels(source, &paths, &options)?;
        messages.extend(read.messages);
        let mut kept = Vec::new();
        let mut unlabelled = Vec::new();
        for (clip, annotation) in clips.into_iter().zip(read.recordings) {
            match annotation {
                None if labels.unlabelled == Unmarked::LeaveOut => unlabelled.push(clip.path),
                None => kept.push((clip, Vec::new(), None)),
                Some(Annotation { source, labels: found }) => {
                    let found = chosen(found, labels).map_err(|error| error.with_path(&source))?;
                    kept.push((clip, found, Some(source)));
                }
            }
        }
        if let Some(first) = unlabelled.first() {
            let (count, first) = (unlabelled.len(), first.display());
            messages.push(format!("{count} recordings without labels are left out (the first: {first})"));
        }
        if kept.is_empty() {
            let message = "has labels for none of the recordings; do the names agree?";
            return Err(Error::new(ErrorKind::Dataset, message).with_path(source));
        }
        messages.push(counted(&kept, source));
        Self::number_timed(kept, labels, messages).map_err(|error| error.with_path(source))
    }

    fn number_timed(
        clips: Vec<(Clip, Vec<TimedLabel>, Option<PathBuf>)>,
        config: &LabelsConfig,
        messages: Vec<String>,
    ) -> Result<Self> {
        let occurring: BTreeSet<&str> =
            clips.iter().flat_map(|(_, found, _)| found).map(|label| label.label.as_str()).collect();
        if occurring.is_empty() {
            return Err(Error::new(ErrorKind::Dataset, "holds no label at all for these recordings"));
        }
        if occurring.len() > MAX_LABELS {
            let message = format!(
                "has {} different labels; at most {MAX_LABELS} can be learned: is this the right column?",
                occurring.len()
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let has_background = config.exclusive && config.gaps == Unmarked::Background;
        let background = has_background.then_some(config.background.as_str());
        let labels: Vec<String> = background.into_iter().chain(occurring).map(str::to_string).collect();
        let numbers: HashMap<&str, usize> = labels.iter().enumerate().map(|(k, l)| (l.as_str(), k)).collect();
        let items = clips
            .iter()
            .map(|(clip, found, source)| {
                let span = |l: &TimedLabel| Span {
                    onset: l.onset,
                    offset: l.offset,
                    label: numbers[l.label.as_str()],
                    line: l.line,
                };
                Item {
                    path: clip.path.clone(),
                    truth: Truth::Spans(found.iter().map(span).collect()),
                    part: clip.part,
                    group: clip.group.clone(),
                    line: clip.line,
                    label_file: source.clone(),
                }
            })
            .collect();
        Ok(Self { labels, has_background, items, messages })
    }
}

/// What a frame of the first recording that can be read lasts in seconds, if it is a video: that of labels that are given by frames. 0 for
/// sound.
fn frame_of_video(paths: &[PathBuf], data: &DataConfig) -> f64 {
    let kind = data.stream.or_else(|| paths.iter().find_map(|path| known_kind_of(path)));
    if kind != Some(InputKind::Video) {
        return 0.0;
    }
    let options = data.media().video;
    let rate = paths.iter().find_map(|path| video::frame_rate(path, &options).ok());
    rate.flatten().map_or(0.0, |rate| 1.0 / rate)
}

impl Item {
    /// What happens in it; nothing where it has one label for the whole.
    pub fn spans(&self) -> &[Span] {
        match &self.truth {
            Truth::Label(_) => &[],
            Truth::Spans(spans) => spans,
        }
    }

    /// What happens in it, as found events are compared with it.
    pub fn reference(&self, labels: &[String]) -> Reference {
        let event =
            |span: &Span| Event { onset: span.onset, offset: span.offset, label: labels[span.label].clone() };
        Reference { path: self.path.clone(), events: self.spans().iter().map(event).collect() }
    }

    /// Whether its labels lie in a recording of `duration` seconds.
    ///
    /// # Errors
    /// [`ErrorKind::Dataset`] with file and line where one does not.
    pub fn check_spans(&self, duration: f64) -> Result<()> {
        let beyond = |span: &&Span| span.onset >= duration || span.offset > duration + BEYOND_END;
        let Some(span) = self.spans().iter().find(beyond) else { return Ok(()) };
        let message = format!(
            "a label from {} s to {} s lies behind the end of {}, which lasts {duration:.3} s; do they belong together?",
            span.onset,
            span.offset,
            self.path.display()
        );
        let error = Error::new(ErrorKind::Dataset, message).at(Position::Line(span.line));
        Err(error.with_path(self.label_file.as_ref().unwrap_or(&self.path)))
    }
}

/// The labels that are to be learned, by onset.
fn chosen(mut labels: Vec<TimedLabel>, config: &LabelsConfig) -> Result<Vec<TimedLabel>> {
    labels.retain(|label| !config.ignore.contains(&label.label));
    if config.exclusive {
        labels.retain(|label| label.label != config.background);
        check_exclusive(&labels)?;
    }
    let mut overlaps = match config.overlap.as_str() {
        "" => Vec::new(),
        name => overlaps(&labels, name),
    };
    if !config.merge.is_empty() {
        labels.iter_mut().for_each(|label| label.label.clone_from(&config.merge));
        labels = united(labels);
    }
    labels.append(&mut overlaps);
    labels.sort_by(|a, b| a.onset.total_cmp(&b.onset));
    Ok(labels)
}

fn check_exclusive(labels: &[TimedLabel]) -> Result<()> {
    let mut latest: Option<&TimedLabel> = None;
    for label in labels {
        if let Some(before) = latest
            && label.onset < before.offset - ROUNDING
        {
            let message = format!(
                "\"{}\" from {} s begins before \"{}\" of line {} ends, at {} s, and labels are exclusive: correct it, \
                 or let several hold at once",
                label.label, label.onset, before.label, before.line, before.offset
            );
            return Err(Error::new(ErrorKind::Dataset, message).at(Position::Line(label.line)));
        }
        if latest.is_none_or(|before| label.offset > before.offset) {
            latest = Some(label);
        }
    }
    Ok(())
}

/// Where two or more labels hold.
fn overlaps(labels: &[TimedLabel], name: &str) -> Vec<TimedLabel> {
    // (time, whether one more begins to hold); at one time ends come first.
    let mut changes: Vec<(f64, bool, u64)> =
        labels.iter().flat_map(|l| [(l.onset, true, l.line), (l.offset, false, l.line)]).collect();
    changes.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let (mut holding, mut onset) = (0i64, 0.0);
    let mut overlaps = Vec::new();
    for (time, begins, line) in changes {
        if begins {
            holding += 1;
            if holding == 2 {
                onset = time;
            }
        } else {
            holding -= 1;
            if holding == 1 && time > onset {
                overlaps.push(TimedLabel { onset, offset: time, label: name.to_string(), line });
            }
        }
    }
    overlaps
}

/// One label where several of one name, sorted by onset, overlap or abut.
fn united(labels: Vec<TimedLabel>) -> Vec<TimedLabel> {
    let mut united: Vec<TimedLabel> = Vec::with_capacity(labels.len());
    for label in labels {
        match united.last_mut() {
            Some(last) if label.onset <= last.offset => last.offset = last.offset.max(label.offset),
            _ => united.push(label),
        }
    }
    united
}

/// How many labels of each name there are.
fn counted(clips: &[(Clip, Vec<TimedLabel>, Option<PathBuf>)], source: &Path) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in clips.iter().flat_map(|(_, found, _)| found) {
        *counts.entry(&label.label).or_default() += 1;
    }
    let each: Vec<String> = counts.iter().map(|(label, count)| format!("{label} {count}")).collect();
    let recordings = clips.len();
    let all = if each.len() > MAX_COUNTED { some_of(&each) } else { each.join(", ") };
    format!("{recordings} recordings have labels in {}: {all}", source.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(onset: f64, offset: f64, label: &str, line: u64) -> TimedLabel {
        TimedLabel { onset, offset, label: label.to_string(), line }
    }

    fn of(labels: &[TimedLabel]) -> Vec<(f64, f64, &str)> {
        labels.iter().map(|l| (l.onset, l.offset, l.label.as_str())).collect()
    }

    #[test]
    fn speakers_become_speech_and_overlap() {
        let turns = vec![
            label(0.0, 3.0, "a", 2),
            label(2.0, 5.0, "b", 3),
            label(5.0, 6.0, "a", 4),
            label(8.0, 9.0, "c", 5),
        ];
        let config =
            LabelsConfig { merge: "speech".into(), overlap: "both".into(), ..LabelsConfig::default() };
        let found = chosen(turns.clone(), &config).unwrap();
        assert_eq!(of(&found), [(0.0, 6.0, "speech"), (2.0, 3.0, "both"), (8.0, 9.0, "speech")]);
        let config = LabelsConfig { ignore: vec!["c".into(), "b".into()], ..LabelsConfig::default() };
        assert_eq!(of(&chosen(turns, &config).unwrap()), [(0.0, 3.0, "a"), (5.0, 6.0, "a")]);
    }

    #[test]
    fn labels_that_overlap_although_they_are_exclusive_are_an_error_with_the_line() {
        let config = LabelsConfig { exclusive: true, ..LabelsConfig::default() };
        let good =
            vec![label(0.0, 1.0005, "a", 2), label(1.0, 2.0, "b", 3), label(2.0, 3.0, "background", 4)];
        assert_eq!(chosen(good, &config).unwrap().len(), 2);
        let bad = vec![label(0.0, 5.0, "a", 2), label(1.0, 2.0, "a", 3)];
        let error = chosen(bad, &config).unwrap_err();
        assert!(
            error.to_string().contains("\"a\" of line 2 ends, at 5 s")
                && error.to_string().ends_with("(line 3)")
        );
    }

    #[test]
    fn a_label_behind_the_end_of_its_recording_is_an_error_with_file_and_line() {
        let spans = vec![Span { onset: 1.0, offset: 2.05, label: 0, line: 7 }];
        let item = Item {
            path: "a.wav".into(),
            truth: Truth::Spans(spans),
            part: None,
            group: None,
            line: None,
            label_file: Some("a.txt".into()),
        };
        assert!(item.check_spans(2.0).is_ok());
        let error = item.check_spans(1.5).unwrap_err().to_string();
        assert!(
            error.starts_with("a.txt: a label from 1 s to 2.05 s lies behind the end of a.wav"),
            "{error}"
        );
        assert!(error.ends_with("(line 7)"), "{error}");
    }
}
