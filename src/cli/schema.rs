//! `percept schema`: the JSON Schema of what a command prints, from the very types that are printed.

use std::process::ExitCode;

use schemars::{Schema, schema_for};

use crate::Result;
use crate::output::features::FeaturesRecord;
use crate::output::record::{ClassifyRecord, Document, ProbeRecord, TagRecord};
use crate::output::rows::BatchRecord;
use crate::{evaluate, train};

/// Print the JSON Schema of a command's output
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose output is described
    #[arg(value_name = "COMMAND", value_enum, default_value = "classify")]
    command: Described,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Described {
    /// What `percept classify` prints as json, or on each line as jsonl
    Classify,
    /// What `percept tag` prints as json, or on each line as jsonl
    Tag,
    /// What `percept batch` and `percept watch` write on each line as jsonl, and the `row` of `percept worker`
    Batch,
    /// What `percept probe` prints
    Probe,
    /// What `percept features` prints
    Features,
    /// What `percept train` prints
    Train,
    /// What `percept train --folds` and `--seeds` print
    TrainRuns,
    /// What `percept evaluate` prints
    Evaluate,
    /// What `percept evaluate --reference --estimated` prints
    EvaluateEvents,
    /// What `percept tune` prints
    Tune,
}

impl Described {
    fn schema(self) -> Schema {
        let (title, mut schema) = match self {
            Self::Classify => ("percept classify", schema_for!(Document<ClassifyRecord>)),
            Self::Tag => ("percept tag", schema_for!(Document<TagRecord>)),
            Self::Batch => ("percept batch", schema_for!(BatchRecord)),
            Self::Probe => ("percept probe", schema_for!(Document<ProbeRecord>)),
            Self::Features => ("percept features", schema_for!(FeaturesRecord)),
            Self::Train => ("percept train", schema_for!(train::Report)),
            Self::TrainRuns => ("percept train --folds, --seeds", schema_for!(train::RunsReport)),
            Self::Evaluate => ("percept evaluate", schema_for!(evaluate::Report)),
            Self::EvaluateEvents => {
                ("percept evaluate --reference --estimated", schema_for!(evaluate::events::EventsReport))
            }
            Self::Tune => ("percept tune", schema_for!(evaluate::TuneReport)),
        };
        schema.insert("title".to_string(), title.into());
        schema
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    super::print(&format!("{:#}\n", args.command.schema().as_value()))?;
    Ok(ExitCode::SUCCESS)
}
