//! The clips and their labels, from a directory with one folder a label or from a manifest.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::{DataConfig, directory, manifest};
use crate::error::Position;
use crate::model;
use crate::{Error, ErrorKind, Result};

/// Most clips in one data set.
pub const MAX_ITEMS: usize = 5_000_000;
/// Most labels in one data set.
pub const MAX_LABELS: usize = 10_000;

/// Which part of the data a clip belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The part that a data set calls `name`, in any case: train, training; validation, valid, val, dev; test,
    /// testing.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "validation" | "valid" | "val" | "dev" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// What is true of a clip.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// It has this label, an index into [`Dataset::labels`].
    Label(usize),
    /// This happens in it, by onset.
    Spans(Vec<Span>),
}

/// A label in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Seconds from the start of the recording.
    pub onset: f64,
    /// Seconds; `onset` itself where only that is known.
    pub offset: f64,
    /// Index into [`Dataset::labels`].
    pub label: usize,
    /// Line of the file of labels, counted from 1.
    pub line: u64,
}

/// One labelled clip.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub path: PathBuf,
    pub truth: Truth,
    /// What the data itself says; `None` where it has no split.
    pub part: Option<Part>,
    /// What must stay in one part, where the data says so.
    pub group: Option<String>,
    /// Line of the manifest, counted from 1.
    pub line: Option<u64>,
    /// Where its labels in time come from.
    pub label_file: Option<PathBuf>,
}

impl Item {
    /// The labels that it has or that occur in it, each once, in order.
    pub fn labels(&self) -> Vec<usize> {
        match &self.truth {
            Truth::Label(label) => vec![*label],
            Truth::Spans(spans) => {
                let mut labels: Vec<usize> = spans.iter().map(|span| span.label).collect();
                labels.sort_unstable();
                labels.dedup();
                labels
            }
        }
    }
}

/// Labelled clips, in a fixed order.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Sorted by their bytes, but the background's, which is the first.
    pub labels: Vec<String>,
    /// Whether the first label is that of frames which have no other.
    pub has_background: bool,
    /// In the manifest's order, or sorted by path.
    pub items: Vec<Item>,
    /// What was ignored or understood, for the person to read.
    pub messages: Vec<String>,
}

/// A clip as it is found, before labels are numbered.
#[derive(Debug)]
pub(super) struct Clip {
    pub path: PathBuf,
    pub label: String,
    pub part: Option<Part>,
    pub group: Option<String>,
    pub line: Option<u64>,
}

impl Dataset {
    /// Reads the directory or the manifest that `config` names. Sound files are looked for, not opened.
    ///
    /// # Errors
    /// Neither or both are named; nothing is found; a manifest that is damaged, lacks a column, a label or a file;
    /// more clips or labels than [`MAX_ITEMS`] and [`MAX_LABELS`].
    pub fn load(config: &DataConfig) -> Result<Self> {
        match (&config.directory, &config.manifest) {
            (Some(directory), None) if !config.filters.is_empty() => Err(Error::new(
                ErrorKind::Config,
                "`where` chooses rows of a manifest; a directory has none: give a manifest, or leave it out",
            )
            .with_path(directory)),
            (Some(directory), None) => {
                let (clips, messages) = directory::scan(directory, config.stream)?;
                Self::number(clips, messages).map_err(|e| e.with_path(directory))
            }
            (None, Some(manifest)) => {
                let (clips, messages) = manifest::read(manifest, config, true)?;
                Self::number(clips, messages).map_err(|e| e.with_path(manifest))
            }
            (Some(_), Some(_)) => Err(Error::new(
                ErrorKind::Config,
                "a directory and a manifest are both given; use one of them",
            )),
            (None, None) => Err(Error::new(
                ErrorKind::Config,
                "no data is named; give a directory with one folder a label, or a manifest",
            )),
        }
    }

    /// The first of `labels` that none of `items` has and that should be learned.
    pub fn unheard_label(&self, items: impl IntoIterator<Item = usize>) -> Option<&str> {
        let counts = self.count_labels(items);
        let first = usize::from(self.has_background);
        (first..counts.len()).find(|&label| counts[label] == 0).map(|label| self.labels[label].as_str())
    }

    /// Gives every label its number.
    fn number(clips: Vec<Clip>, messages: Vec<String>) -> Result<Self> {
        let labels: Vec<String> =
            clips.iter().map(|c| &c.label).collect::<BTreeSet<_>>().into_iter().cloned().collect();
        if labels.len() > MAX_LABELS {
            let message = format!(
                "has {} different labels; at most {MAX_LABELS} can be learned: is this the right column?",
                labels.len()
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let numbers: HashMap<&str, usize> = labels.iter().enumerate().map(|(k, l)| (l.as_str(), k)).collect();
        let items = clips
            .iter()
            .map(|clip| Item {
                path: clip.path.clone(),
                truth: Truth::Label(numbers[clip.label.as_str()]),
                part: clip.part,
                group: clip.group.clone(),
                line: clip.line,
                label_file: None,
            })
            .collect();
        Ok(Self { labels, has_background: false, items, messages })
    }

    /// Clips with each label among `items`, in the order of the labels.
    pub fn count_labels(&self, items: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut counts = vec![0; self.labels.len()];
        for i in items {
            self.items[i].labels().into_iter().for_each(|label| counts[label] += 1);
        }
        counts
    }
}

/// A label that can be shown and stored: not empty, not too long, no control characters.
pub(super) fn check_label(label: &str, line: Option<u64>) -> Result<()> {
    let problem = match model::check_label(label) {
        Ok(()) => return Ok(()),
        Err(error) => error.message,
    };
    let error = Error::new(ErrorKind::Dataset, format!("{problem}; change it or remove the clip"));
    Err(match line {
        Some(line) => error.at(Position::Line(line)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_must_be_named_once() {
        let nothing = DataConfig::default();
        assert!(Dataset::load(&nothing).unwrap_err().message.contains("no data is named"));
        let both = DataConfig { directory: Some("a".into()), manifest: Some("b".into()), ..nothing };
        assert!(Dataset::load(&both).unwrap_err().message.contains("both"));
    }

    #[test]
    fn filters_need_a_manifest() {
        let config =
            DataConfig { directory: Some(".".into()), filters: vec!["a=b".into()], ..Default::default() };
        assert!(Dataset::load(&config).unwrap_err().message.contains("manifest"));
    }

    #[test]
    fn too_many_labels_are_an_error() {
        let clip = |n: usize| Clip {
            path: n.to_string().into(),
            label: n.to_string(),
            part: None,
            group: None,
            line: None,
        };
        let clips = (0..=MAX_LABELS).map(clip).collect();
        assert_eq!(Dataset::number(clips, vec![]).unwrap_err().kind, ErrorKind::Limit);
    }

    #[test]
    fn parts_have_the_names_that_data_sets_use() {
        for (name, part) in [("Train", Part::Train), ("dev", Part::Validation), ("TEST", Part::Test)] {
            assert_eq!(Part::from_name(name), Some(part));
        }
        assert_eq!(Part::from_name("fold1"), None);
        assert!(Part::ALL.iter().all(|p| Part::from_name(p.name()) == Some(*p)));
    }
}
