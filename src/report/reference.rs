//! What is true of the files, beside what was found in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::rows::{Answer, Row};
use crate::evaluate::events::{Collar, SHARE_OF_LENGTH, check_near_pairs, matched};
use crate::event::Event;
use crate::labels::{LabelOptions, read_labels};
use crate::train::{DataConfig, Dataset};
use crate::{Error, ErrorKind, Result};

/// What is true of one file.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// This label, of the whole of it.
    Label(String),
    /// These events, each with whether it was found, and whether each found event (in the row's order) is true.
    Events { events: Vec<(Event, bool)>, found: Vec<bool> },
}

/// What is true of the rows; `None` for those of which nothing is said.
#[derive(Debug, Default, PartialEq)]
pub struct Reference {
    pub truths: Vec<Option<Truth>>,
    /// What was passed over, for the person to read.
    pub messages: Vec<String>,
}

impl Reference {
    /// Reads what is true of events from label files, as `percept train --labels` does; of whole recordings from a manifest
    /// (`path,label`) or a directory with one folder a label. `collar`: seconds by which the ends of a found event may be
    /// off. `found_at`: where the file of each row is, if it is anywhere.
    ///
    /// # Errors
    /// Those of [`read_labels`] and [`Dataset::load`]; [`ErrorKind::Dataset`] where it is about none of the files.
    pub fn read(source: &Path, rows: &[Row], found_at: &[Option<PathBuf>], collar: f64) -> Result<Self> {
        let are_events = rows.iter().any(|row| matches!(row.answer, Answer::Events { .. }));
        let reference = match are_events {
            true => Self::of_events(source, rows, collar)?,
            false => Self::of_recordings(source, found_at)?,
        };
        if !rows.is_empty() && reference.truths.iter().all(Option::is_none) {
            let message = "says nothing of any file of the results; are its names those of the results?";
            return Err(Error::new(ErrorKind::Dataset, message).with_path(source));
        }
        Ok(reference)
    }

    fn of_events(source: &Path, rows: &[Row], collar: f64) -> Result<Self> {
        // A file may have several rows, of several models.
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut recordings: Vec<PathBuf> = Vec::new();
        let mut recording_of = Vec::new();
        for row in rows {
            recording_of.push(*places.entry(&row.input.path).or_insert_with(|| {
                recordings.push(PathBuf::from(&row.input.path));
                recordings.len() - 1
            }));
        }
        let labels = read_labels(source, &recordings, &LabelOptions::default())?;
        let truth = |(row, &recording): (&Row, &usize)| {
            let annotation = labels.recordings[recording].as_ref()?;
            let event = |label: &crate::labels::TimedLabel| Event {
                onset: label.onset,
                offset: label.offset,
                label: label.label.clone(),
            };
            let events: Vec<Event> = annotation.labels.iter().map(event).collect();
            let checked = check_near_pairs(&events, &events_of(row), collar);
            Some(
                checked
                    .map(|()| Truth::of_events(events, row, collar))
                    .map_err(|error| error.with_path(source)),
            )
        };
        let truths = rows.iter().zip(&recording_of).map(|of| truth(of).transpose()).collect::<Result<_>>()?;
        Ok(Self { truths, messages: labels.messages })
    }

    fn of_recordings(source: &Path, found_at: &[Option<PathBuf>]) -> Result<Self> {
        let path = Some(source.to_path_buf());
        let config = match source.is_dir() {
            true => DataConfig { directory: path, ..DataConfig::default() },
            false => DataConfig { manifest: path, ..DataConfig::default() },
        };
        let data = Dataset::load(&config)?;
        let real = |path: &Path| path.canonicalize().ok();
        let labels: HashMap<PathBuf, &str> = data
            .items
            .iter()
            .filter_map(|item| Some((real(&item.path)?, data.labels[*item.labels().first()?].as_str())))
            .collect();
        let truth = |path: &Option<PathBuf>| {
            let label = labels.get(&real(path.as_deref()?)?)?;
            Some(Truth::Label(label.to_string()))
        };
        Ok(Self { truths: found_at.iter().map(truth).collect(), messages: data.messages })
    }
}

impl Truth {
    /// Events that are right, those that were missed, and false alarms.
    pub(super) fn totals(&self) -> Option<[usize; 3]> {
        let Self::Events { events, found } = self else { return None };
        let right = found.iter().filter(|is_true| **is_true).count();
        let missed = events.iter().filter(|(_, is_found)| !is_found).count();
        Some([right, missed, found.len() - right])
    }

    /// What is true of a row's file, beside the events of the row.
    pub(super) fn of_events(truth: Vec<Event>, row: &Row, collar: f64) -> Self {
        let found = events_of(row);
        let collar = Collar { seconds: collar, share_of_length: Some(SHARE_OF_LENGTH) };
        let (mut is_found, mut is_true) = (vec![false; truth.len()], vec![false; found.len()]);
        for (t, f) in matched(&truth, &found, collar) {
            is_found[t] = true;
            is_true[f] = true;
        }
        Self::Events { events: truth.into_iter().zip(is_found).collect(), found: is_true }
    }
}

fn events_of(row: &Row) -> Vec<Event> {
    match &row.answer {
        Answer::Events { events, .. } => events.iter().map(|event| event.event()).collect(),
        _ => Vec::new(),
    }
}
