//! `percept info`: what a model is.

use std::ffi::OsString;
use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use super::{model_choice, print};
use crate::decide::{Decisions, Rule};
use crate::error::one_line;
use crate::features::InputConfig;
use crate::model::{Builtin, Model, ModelHeader, Task};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept info                                     the built-in model
  percept info birds.safetensors
  percept info birds.safetensors --format json";

/// Say what a model is
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Model file, or the name of a built-in model
    #[arg(value_name = "MODEL")]
    model: Option<OsString>,

    /// Of a built-in model the one that tags
    #[arg(long)]
    tag: bool,

    /// How to write it
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: InfoFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum InfoFormat {
    /// For people
    Text,
    /// The model file's header
    Json,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let task = if args.tag { Task::Tag } else { Task::Classify };
    let builtin = Builtin::all().iter().find(|builtin| builtin.task == task);
    let builtin = builtin.map(|builtin| OsString::from(builtin.name));
    let model = model_choice::load(args.model.or(builtin).as_deref(), task, InputKind::Audio)?;
    print(&match args.format {
        InfoFormat::Text => text(&model),
        InfoFormat::Json => json(&model)?,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn json(model: &Model) -> Result<String> {
    #[derive(Serialize)]
    struct Info<'a> {
        sha256: &'a str,
        num_parameters: usize,
        #[serde(flatten)]
        header: &'a ModelHeader,
    }
    let info =
        Info { sha256: model.sha256(), num_parameters: model.num_parameters(), header: model.header() };
    let text = serde_json::to_string_pretty(&info)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("cannot write the header: {error}")))?;
    Ok(text + "\n")
}

fn text(model: &Model) -> String {
    let header = model.header();
    let provenance = &header.provenance;
    let numbers = |pairs: Vec<String>| pairs.join(", ");
    let rows = [
        ("name", header.name.clone()),
        ("task", settings(&header.task)),
        ("labels", format!("{}: {}", header.labels.len(), header.labels.join(", "))),
        (header.input.section(), taken_in(&header.input)),
        ("network", settings(&header.network)),
        ("decisions", header.decisions.as_ref().map(decided).unwrap_or_default()),
        ("parameters", model.num_parameters().to_string()),
        ("trained by", provenance.tool.clone()),
        ("seed", provenance.seed.to_string()),
        ("clips", numbers(provenance.split.iter().map(|(part, n)| format!("{part} {n}")).collect())),
        ("metrics", numbers(provenance.metrics.iter().map(|(name, x)| format!("{name} {x:.4}")).collect())),
        ("notes", provenance.notes.clone()),
        ("data sha256", provenance.data_sha256.clone()),
        ("sha256", model.sha256().to_string()),
    ];
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:<12} {}", wrapped(&one_line(value), 13));
    }
    text
}

fn taken_in(input: &InputConfig) -> String {
    match input {
        InputConfig::Audio(features) => settings(features),
        InputConfig::Video(video) => settings(video),
        InputConfig::Vectors(vectors) => settings(vectors),
    }
}

/// How scores become events, without the tables.
fn decided(decisions: &Decisions) -> String {
    let mut short = decisions.clone();
    short.tuned = None;
    let mut text = String::new();
    if let Rule::Exclusive(rule) = &mut short.rule
        && rule.transition.take().is_some()
    {
        text = ", along the likeliest path (Viterbi)".to_string();
    }
    text = settings(&short) + &text;
    if let Some(tuned) = &decisions.tuned {
        let (goal, value, recordings) = (&tuned.goal, tuned.value, tuned.recordings);
        text +=
            &format!(", tuned to {goal} {value:.4} on {recordings} recordings (collar {} s)", tuned.collar);
        if let Some(error) = tuned.reliability.expected_calibration_error {
            text += &format!(", expected calibration error {error:.4}");
        }
    }
    text
}

/// Breaks a list at its commas where a line would grow longer than a terminal, `indent` columns in.
fn wrapped(list: &str, indent: usize) -> String {
    const WIDTH: usize = 100;
    let mut text = String::new();
    let mut column = indent;
    for (i, item) in list.split(", ").enumerate() {
        let length = item.chars().count() + 2;
        if i > 0 && column + length > WIDTH {
            let _ = write!(text, ",\n{:indent$}", "");
            column = indent;
        } else if i > 0 {
            text += ", ";
        }
        text += item;
        column += length;
    }
    text
}

/// `name value` of all settings of a configuration, as the file spells them.
fn settings(config: &impl Serialize) -> String {
    fn plain(value: &Value) -> Option<String> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Object(fields) => {
                let pairs =
                    fields.iter().filter_map(|(name, value)| Some(format!("{name} {}", plain(value)?)));
                Some(pairs.collect::<Vec<_>>().join(", "))
            }
            other => Some(other.to_string()),
        }
    }
    // Through text, because it has the digits of an f32 and no more.
    let value = serde_json::to_string(config).and_then(|text| serde_json::from_str(&text));
    value.ok().and_then(|value| plain(&value)).unwrap_or_default()
}
