//! The flags that name labelled data, shared by `train` and `evaluate`.

use std::path::PathBuf;

use super::model_choice::takes_another;
use super::say;
use crate::error::some_of;
use crate::evaluate::Reference;
use crate::labels::LabelFormat;
use crate::media::{MediaOptions, kind_of};
use crate::model::ModelHeader;
use crate::signal::InputKind;
use crate::train::split::deal;
use crate::train::{DataConfig, Dataset, Item, LabelsConfig, Part, TrainConfig};
use crate::{Error, ErrorKind, Result};

/// Which recordings, with which labels.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Directory with one folder a label; with --labels, of recordings
    #[arg(value_name = "DIR", conflicts_with = "manifest")]
    directory: Option<PathBuf>,

    /// CSV file with one row a clip: path,label[,split][,group]; paths start from its folder
    #[arg(long, value_name = "CSV", help_heading = "Data")]
    manifest: Option<PathBuf>,

    /// Sound or pictures of files with both [default: pictures where the first file has them; evaluate and tune: what the model
    /// takes]
    #[arg(long, value_name = "STREAM", value_enum, help_heading = "Data")]
    stream: Option<InputKind>,

    /// Frames a second of directories of pictures [default: what their frames.json say, otherwise 25]
    #[arg(long, value_name = "FPS", help_heading = "Data")]
    fps: Option<f64>,

    /// Column with the clip's path [default: path]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    path_column: Option<String>,

    /// Column with the clip's label [default: label]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    label_column: Option<String>,

    /// Column with the clip's part (train, validation, test); "" for none [default: split, if it is there]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    split_column: Option<String>,

    /// Column with what must stay in one part, such as the speaker or the site; "" for none [default: group, if
    /// it is there]
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    group_column: Option<String>,

    /// Rows of the manifest to use: column=value or column!=value; several must all hold
    #[arg(long = "where", value_name = "CONDITION", help_heading = "Data")]
    filters: Vec<String>,

    #[command(flatten)]
    labels: LabelArgs,
}

/// What happens when in the recordings.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Labels in time")]
struct LabelArgs {
    /// Table with a row a segment, or folder with a file of labels for each recording: makes a model that tags frames
    #[arg(long = "labels", value_name = "PATH")]
    source: Option<PathBuf>,

    /// How labels are written [default: told by the content]
    #[arg(long, value_name = "FORMAT", value_enum)]
    label_format: Option<LabelFormat>,

    /// Column that names the recording [default: the one that plainly does; so are the next two]
    #[arg(long, value_name = "NAME")]
    file_column: Option<String>,

    /// Column with the time at which a label begins, in seconds, or its first frame
    #[arg(long, value_name = "NAME")]
    onset_column: Option<String>,

    /// Column with the time at which it ends, in seconds, or the frame behind its last
    #[arg(long, value_name = "NAME")]
    offset_column: Option<String>,

    /// Tier of a TextGrid [default: the only one]
    #[arg(long, value_name = "NAME")]
    tier: Option<String>,

    /// Seconds from one frame to the next, where labels are given by frames
    #[arg(long, value_name = "SECONDS")]
    label_hop: Option<f64>,
}

impl DataArgs {
    /// What was given replaces what `config` says.
    pub fn apply(&self, config: &mut DataConfig) {
        if self.directory.is_some() || self.manifest.is_some() {
            config.directory = self.directory.clone();
            config.manifest = self.manifest.clone();
        }
        config.stream = self.stream.or(config.stream);
        config.fps = self.fps.or(config.fps);
        for (flag, setting) in [
            (&self.path_column, &mut config.path_column),
            (&self.label_column, &mut config.label_column),
            (&self.split_column, &mut config.split_column),
            (&self.group_column, &mut config.group_column),
        ] {
            if let Some(name) = flag {
                setting.clone_from(name);
            }
        }
        if !self.filters.is_empty() {
            config.filters.clone_from(&self.filters);
        }
    }

    /// What labelled recordings are: what `--stream` says, or the first of them.
    ///
    /// # Errors
    /// Those of [`Dataset::load_timed`].
    pub fn kind_of_recordings(&self) -> Result<InputKind> {
        if let Some(stream) = self.stream {
            return Ok(stream);
        }
        let mut config = TrainConfig::default();
        self.apply(&mut config.data);
        self.apply_labels(&mut config.labels);
        let data = Dataset::load_timed(&config.data, &config.labels)?;
        Ok(data.items.first().map_or(InputKind::Audio, |item| kind_of(&item.path)))
    }

    /// What a model takes from the files.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where something else is asked for.
    pub fn stream_of(&self, header: &ModelHeader) -> Result<InputKind> {
        let kind = header.input.kind();
        match self.stream {
            Some(stream) if stream != kind => Err(takes_another(&header.name, kind)),
            _ => Ok(kind),
        }
    }

    /// Whether labels in time are named.
    pub fn has_labels(&self) -> bool {
        self.labels.source.is_some()
    }

    /// The same for labels in time.
    pub fn apply_labels(&self, config: &mut LabelsConfig) {
        let labels = &self.labels;
        if labels.source.is_some() {
            config.source.clone_from(&labels.source);
        }
        if labels.label_format.is_some() {
            config.format = labels.label_format;
        }
        for (flag, setting) in [
            (&labels.file_column, &mut config.file_column),
            (&labels.onset_column, &mut config.onset_column),
            (&labels.offset_column, &mut config.offset_column),
            (&self.label_column, &mut config.label_column),
            (&labels.tier, &mut config.tier),
        ] {
            if let Some(name) = flag {
                setting.clone_from(name);
            }
        }
        if let Some(hop) = labels.label_hop {
            config.frame_hop = hop;
        }
    }
}

/// Part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    Train,
    Validation,
    Test,
    All,
}

impl Choice {
    /// `None` for all.
    pub fn part(self) -> Option<Part> {
        match self {
            Self::Train => Some(Part::Train),
            Self::Validation => Some(Part::Validation),
            Self::Test => Some(Part::Test),
            Self::All => None,
        }
    }

    pub fn name(self) -> &'static str {
        self.part().map_or("all", Part::name)
    }

    /// The error where nothing is in it.
    pub fn is_empty(self) -> Error {
        let name = self.name();
        let message = format!("no clip is in the part {name}; choose another with --split, or all");
        Error::new(ErrorKind::Dataset, message)
    }
}

/// Labelled recordings for a model that tags.
pub struct TimedData {
    pub references: Vec<Reference>,
    /// The directory or manifest.
    pub source: String,
    pub choice: Choice,
    /// How they are to be read.
    pub media: MediaOptions,
}

impl DataArgs {
    /// The recordings of a part with what happens in them, as the model learned to see it (merged labels, ...). Without a
    /// part of its own in the data, the training's split is made again, with the fold that was tested as its test part. Folds
    /// count nothing where all is asked for, another column has the split, or the data lacks them.
    pub fn recordings(&self, header: &ModelHeader, choice: Option<Choice>, usual: Part) -> Result<TimedData> {
        let mut config = TrainConfig::from_toml(&header.provenance.config).unwrap_or_default();
        config.data = DataConfig {
            directory: None,
            manifest: None,
            validation_fraction: config.data.validation_fraction,
            test_fraction: config.data.test_fraction,
            ..config.data
        };
        config.labels.source = None;
        self.apply(&mut config.data);
        config.data.stream = Some(self.stream_of(header)?);
        self.apply_labels(&mut config.labels);
        let is_split_anew = self.split_column.as_ref().is_some_and(|column| !column.is_empty());
        match choice == Some(Choice::All) || is_split_anew {
            true => config.data.drop_folds(),
            false => config.data.drop_absent_folds()?,
        }
        if config.labels.source.is_none() {
            let message = format!("`{}` tags frames: name what happens when (--labels)", header.name);
            return Err(Error::new(ErrorKind::Config, message));
        }
        let data = Dataset::load_timed(&config.data, &config.labels)?;
        data.messages.iter().for_each(say);
        // Folds that are left are in the data's parts, or dealt as in training.
        let has_split =
            !config.data.test_fold.is_empty() || data.items.iter().any(|item| item.part.is_some());
        let choice = choice.unwrap_or_else(|| match (usual, has_split) {
            (Part::Test, false) => {
                say("the data has no split: all of it is used, with what the model may have learned from");
                Choice::All
            }
            (Part::Validation, _) => Choice::Validation,
            _ => Choice::Test,
        });
        let indices = match choice.part() {
            None => (0..data.items.len()).collect(),
            Some(part) => deal(&data, &config.data, header.provenance.seed)?.get(part).to_vec(),
        };
        if indices.is_empty() {
            return Err(choice.is_empty());
        }
        let items: Vec<&Item> = indices.iter().map(|&i| &data.items[i]).collect();
        check_known(&data, &items, &header.labels)?;
        let media = config.data.media();
        let source = config.data.directory.or(config.data.manifest).unwrap_or_default();
        Ok(TimedData {
            references: items.iter().map(|item| item.reference(&data.labels)).collect(),
            source: source.display().to_string(),
            choice,
            media,
        })
    }
}

impl TimedData {
    /// Whether another model knows the labels, too.
    ///
    /// # Errors
    /// [`ErrorKind::Dataset`] where it does not know one.
    pub fn check_known(&self, header: &ModelHeader) -> Result<()> {
        let events = self.references.iter().flat_map(|reference| &reference.events);
        let mut labels: Vec<&str> = events.map(|event| event.label.as_str()).collect();
        labels.sort_unstable();
        labels.dedup();
        check_names(&labels, &header.labels)
    }
}

/// A label that the model cannot say would count as missed without a word.
fn check_known(data: &Dataset, items: &[&Item], known: &[String]) -> Result<()> {
    let mut labels: Vec<usize> = items.iter().flat_map(|item| item.labels()).collect();
    labels.sort_unstable();
    labels.dedup();
    let names: Vec<&str> = labels.iter().map(|&label| data.labels[label].as_str()).collect();
    check_names(&names, known)
}

fn check_names(names: &[&str], known: &[String]) -> Result<()> {
    let is_known = |name: &&&str| known.iter().any(|known| known == **name);
    let strangers: Vec<&str> = names.iter().filter(|name| !is_known(name)).copied().collect();
    if strangers.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the model does not know the labels {}; it knows {}: is this its data? (--label-column, --where)",
        some_of(&strangers),
        some_of(known)
    );
    Err(Error::new(ErrorKind::Dataset, message))
}
