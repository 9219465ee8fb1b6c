//! The flags that name labelled data, shared by `train` and `evaluate`.

use std::path::PathBuf;

use crate::train::DataConfig;

/// Which recordings, with which labels.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// Directory with one folder a label
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
}
