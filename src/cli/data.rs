//! The flags that name labelled data, shared by `train` and `evaluate`.

use std::path::PathBuf;

use crate::labels::LabelFormat;
use crate::train::{DataConfig, LabelsConfig};

/// Which recordings, with which labels.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Directory with one folder a label; with --labels, of recordings
    #[arg(value_name = "DIR", conflicts_with = "manifest")]
    directory: Option<PathBuf>,

    /// CSV file with one row a clip: path,label[,split][,group]; paths start from its folder
    #[arg(long, value_name = "CSV", help_heading = "Data")]
    manifest: Option<PathBuf>,

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
