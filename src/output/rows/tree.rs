//! The events of each input as a file of its own, in a tree of folders that mirrors the inputs'.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::flat::Row;
use crate::files::AtomicFile;
use crate::output::events::{EventFile, EventFormat};
use crate::signal::InputKind;
use crate::time::FrameClock;
use crate::{Error, ErrorKind, Result};

/// What formats of events ask of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct EventModel {
    /// What may be found: [`Tagger::event_labels`](crate::pipeline::Tagger::event_labels).
    pub labels: Vec<String>,
    pub clock: FrameClock,
}

/// Writes the files.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    format: EventFormat,
    models: BTreeMap<String, EventModel>,
}

impl Tree {
    /// `models`: those whose rows may come, by the SHA-256 of their files.
    pub fn new(directory: &Path, format: EventFormat, models: BTreeMap<String, EventModel>) -> Self {
        Self { directory: directory.to_path_buf(), format, models }
    }

    /// Where the events of the input at `place` go: its whole name and the format's ending, `night/a.wav.txt`.
    ///
    /// # Errors
    /// [`ErrorKind::Path`] where `place` is empty, absolute or holds `..`: it would lie outside the tree.
    pub fn path(&self, place: &Path) -> Result<PathBuf> {
        let parts = place.components().filter(|part| *part != Component::CurDir);
        let inside = parts.clone().all(|part| matches!(part, Component::Normal(_)));
        let place: PathBuf = parts.collect();
        let Some(name) = place.file_name().filter(|_| inside) else {
            let message = "has no place within the folder of results; name inputs below one folder";
            return Err(Error::new(ErrorKind::Path, message).with_path(place));
        };
        let mut name = name.to_os_string();
        name.push(ending(self.format));
        Ok(self.directory.join(place).with_file_name(name))
    }

    /// Writes the events of `row`, a line of JSON, and says where. The file appears whole or not at all, in folders that
    /// are made where they are missing; one that is there already is replaced. A row of an error writes nothing.
    ///
    /// `place` is where the input lies below the folder of inputs.
    ///
    /// # Errors
    /// Those of [`Tree::path`]; [`ErrorKind::Damaged`] for what is no row; [`ErrorKind::Model`] for a row of a model that
    /// is not known here or finds no events; what the system says.
    pub fn write(&self, row: &[u8], place: &Path) -> Result<Option<PathBuf>> {
        let row = Row::read(row)?;
        if row.error.is_some() {
            return Ok(None);
        }
        let path = self.path(place)?;
        let model = self.models.get(&row.model.sha256).filter(|_| row.predictions.is_empty());
        let model = model.ok_or_else(|| {
            let message = "a row has no events of a model of this run; choose --format jsonl, csv or parquet";
            Error::new(ErrorKind::Model, message).with_path(&row.input.path)
        })?;
        let events = EventFile {
            path: &row.input.path(),
            duration: end_of(&row),
            sample_rate: row.input.sample_rate.unwrap_or(0),
            labels: &model.labels,
            events: &row.events,
            clock: model.clock,
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io(&e, folder))?;
        }
        let mut file = AtomicFile::create(&path)?;
        let written = self.format.begin(&mut file).and_then(|()| self.format.write(&mut file, &events));
        written.map_err(|e| Error::io(&e, &path))?;
        file.commit()?;
        Ok(Some(path))
    }
}

/// In seconds. A video's clock may not begin at 0, so that its events may lie behind its duration.
fn end_of(row: &Row) -> f64 {
    let duration = row.input.duration.unwrap_or(0.0);
    match row.input.kind {
        Some(InputKind::Video) => row.events.iter().map(|event| event.offset).fold(duration, f64::max),
        _ => duration,
    }
}

/// By which the programs that read it know it.
fn ending(format: EventFormat) -> &'static str {
    match format {
        EventFormat::Csv => ".csv",
        EventFormat::Dcase => ".tsv",
        EventFormat::Audacity => ".txt",
        EventFormat::Raven => ".selections.txt",
        EventFormat::Rttm => ".rttm",
        EventFormat::Textgrid => ".TextGrid",
        EventFormat::Webvtt => ".vtt",
    }
}
