//! `percept train`: labelled recordings in, a model out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;

use super::data::DataArgs;
use super::report::write_evaluation_page;
use super::train_files::{FileArgs, Files};
use super::train_progress::{Progress, duration};
use super::{exit_code, print, say, say_lines, stop_on_ctrl_c, train_runs};
use crate::evaluate::{DEFAULT_COLLAR, Measured};
use crate::files::AtomicFile;
use crate::model::Model;
use crate::nn::{CellKind, Pooling};
use crate::report::{EvaluatedPart, EvaluationPage, NotEvaluated, Training};
use crate::train::runs::MAX_SEEDS;
use crate::train::{
    Baseline, Baselines, Event, Freeze, Outcome, Part, Preset, Report, StopReason, Survey, TrainConfig,
    TrainOptions, adopt, load_base, train,
};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept train calls/ -o birds.safetensors             one folder a label
  percept train --manifest clips.csv -o birds.safetensors --group-column site
  percept train recordings/ --labels selections/ -o song.safetensors    tag what happens when
  percept train calls/ -o birds.safetensors --report birds.html         and a page of how it went
  percept train calls/ -o birds.safetensors --preset crnn               convolutions first: better, slower
  percept train calls/ --print-config > birds.toml      every setting, with its default and meaning
  percept train --config birds.toml -o birds.safetensors --epochs 100
  percept train --config birds.toml -o birds.safetensors --epochs 100 --resume    go on after a crash
  percept train mine/ --from birds.safetensors --freeze body -o mine.safetensors    a new head on a trained body
  percept train --manifest clips.csv --folds speaker    how good it is on each speaker, learned from the others
  percept train calls/ --seeds 5 -o birds.safetensors   five trainings: mean and spread; the best on validation is kept

Flags override the configuration file. Ctrl-C stops and keeps the best epoch so far; a second one quits at once.
The report goes to stdout as JSON. A clip that cannot be read is left out; the exit code is then 1, as it is where
training diverged and the best epoch before that was kept.";

/// Make a model from labelled recordings
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    /// Model file to write; an existing model is replaced. With --folds one for each fold, MODEL.fold-NAME, or none without -o
    #[arg(short, long, value_name = "MODEL")]
    output: Option<PathBuf>,

    /// TOML file with settings; what it leaves out has its default
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,

    /// Settings to begin with: small, crnn (for sounds), stream (live tags) or video; --config is laid over them, then flags
    #[arg(long, value_name = "NAME", value_parser = by_name::<Preset>)]
    preset: Option<Preset>,

    /// Print the resolved configuration as TOML and stop
    #[arg(long)]
    print_config: bool,

    /// Stop at a clip that cannot be read, instead of leaving it out
    #[arg(long, help_heading = "Data")]
    strict: bool,

    /// Exactly one label holds at a time, or none; otherwise several may [default: several]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true,
        help_heading = "Labels in time")]
    exclusive: Option<bool>,

    /// Longest piece of a recording that is learned from at once, in seconds; 0 for whole recordings [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = "Labels in time")]
    window: Option<f64>,

    /// Share of the training clips that chooses the best epoch, where the data has no validation part
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    validation_fraction: Option<f64>,

    /// Share of the clips that is read once, at the end, where the data has no split
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    test_fraction: Option<f64>,

    /// Cross-validation: each value of this manifest column is the test part once, or each of N folds that are dealt by
    /// group and label
    #[arg(long, value_name = "COLUMN|N", help_heading = "Data")]
    folds: Option<String>,

    /// Weights of the pretrained network that [video] embedding names, a safetensors file with torchvision's names
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    embedding_weights: Option<PathBuf>,

    /// Directory in which decoded clips are kept for the next training, at most [data] cache_gb of them
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    cache: Option<PathBuf>,

    /// Rate the sound is resampled to, in Hz
    #[arg(long, value_name = "HZ", help_heading = "Features")]
    sample_rate: Option<u32>,

    /// Mel bands
    #[arg(long, value_name = "N", help_heading = "Features")]
    n_mels: Option<usize>,

    /// Recurrent cell: gru, lstm, or another that --print-config names
    #[arg(long, value_name = "CELL", value_parser = by_name::<CellKind>, help_heading = "Network")]
    cell: Option<CellKind>,

    /// Units per layer and direction
    #[arg(long, value_name = "N", help_heading = "Network")]
    hidden_size: Option<usize>,

    /// Recurrent layers
    #[arg(long, value_name = "N", help_heading = "Network")]
    num_layers: Option<usize>,

    /// Read clips in both directions
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true,
        help_heading = "Network")]
    bidirectional: Option<bool>,

    /// How a clip's frames become one vector: last, mean, max or attention
    #[arg(long, value_name = "POOLING", value_parser = by_name::<Pooling>, help_heading = "Network")]
    pooling: Option<Pooling>,

    /// Probability of dropping an activation, in training only
    #[arg(long, value_name = "P", help_heading = "Network")]
    dropout: Option<f32>,

    /// Times that every training clip is seen, at most
    #[arg(long, value_name = "N", help_heading = "Training")]
    epochs: Option<usize>,

    /// Highest learning rate
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    learning_rate: Option<f64>,

    /// Clips in one step
    #[arg(long, value_name = "N", help_heading = "Training")]
    batch_size: Option<usize>,

    /// Epochs without a better validation before training stops; 0 never stops early
    #[arg(long, value_name = "N", help_heading = "Training")]
    patience: Option<usize>,

    /// Seed of everything random
    #[arg(long, value_name = "N", help_heading = "Training")]
    seed: Option<u64>,

    /// Train N times, with this seed and the next ones, on the same split; the model with the lowest validation loss is kept,
    /// or the first without a validation part
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, help_heading = "Training",
        value_parser = clap::value_parser!(u32).range(1..=MAX_SEEDS as i64))]
    seeds: u32,

    /// Change training clips at random: speed, level, noise and more ([augment] in the configuration)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true,
        help_heading = "Training")]
    augment: Option<bool>,

    /// Model to start from, a file or a built-in's name: its features and network stay, its head makes place for the new labels
    #[arg(long, value_name = "MODEL", help_heading = "Fine-tuning")]
    from: Option<String>,

    /// What of that model stays as it is: none, front_end (the convolutions), or body (all but the head)
    #[arg(long, value_name = "PART", value_parser = by_name::<Freeze>, help_heading = "Fine-tuning")]
    freeze: Option<Freeze>,

    #[command(flatten)]
    files: FileArgs,
}

pub fn run(args: Args) -> Result<ExitCode> {
    let config = resolve(&args)?;
    if args.print_config {
        print(&config.to_commented_toml()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.output.is_none() && !config.data.is_cross_validation() {
        let message = "a file name is due for the model (-o, --output), such as model.safetensors";
        return Err(Error::new(ErrorKind::Path, message));
    }
    if config.data.is_cross_validation() || args.seeds > 1 {
        let stop = stop_on_ctrl_c("stopping; the best epoch so far is kept (Ctrl-C again quits at once)")?;
        args.files.refuse_for_runs()?;
        let options = TrainOptions { strict: args.strict, ..TrainOptions::default() };
        return train_runs::run(&config, args.seeds as usize, args.output.as_deref(), &options, &stop);
    }
    let path = args.output.as_deref().unwrap_or(Path::new(""));
    let name = check_output(path)?;
    let files = args.files.places(path)?;
    if !args.files.resume {
        files.mention_checkpoint();
    }
    let options = TrainOptions {
        checkpoint: files.checkpoint.clone(),
        resume: args.files.resume,
        strict: args.strict,
        keep_answers: files.report.is_some(),
    };
    let (mut progress, mut metrics) = (Progress::new(), files.metrics());
    let stop = stop_on_ctrl_c("stopping; the best epoch so far is kept (Ctrl-C again quits at once)")?;
    let mut on_event = |event| {
        metrics.on_event(&event);
        // Said when there is something to replace it with, and hours are left to stop that.
        let replaces = matches!(event, Event::Loaded { .. }) && path.exists();
        progress.on_event(event);
        if replaces {
            let message = format!("{} is a model already and will be replaced", path.display());
            progress.on_event(Event::Message(message));
        }
    };
    let survey = Survey::new(&config, None, &mut on_event, &stop).and_then(|s| s.baselines(&config));
    let outcome = train(&config, &name, &options, &mut on_event, &stop);
    let baselines = survey.unwrap_or_else(|error| {
        // What is wrong with the data, training has said: it was its end, too.
        if outcome.is_ok() {
            on_event(Event::Warning(format!("there is no baseline: {error}")));
        }
        None
    });
    let (warnings, failures) = progress.finish();
    let outcome = outcome?;
    outcome.model.save(path)?;
    say(summary(&outcome, path));
    match (outcome.stop_reason, &files.checkpoint) {
        (StopReason::Interrupted, Some(place)) if place.exists() => {
            say(format_args!("--resume goes on from {}", place.display()));
        }
        _ => files.remove_checkpoint(),
    }
    let is_drawn = files.draw_curves(&title(&name, &outcome), &outcome.history);
    say_lines(&measured(&outcome, baselines.as_ref()));
    let is_reported = write_page(&config, &files, &name, &outcome, baselines.as_ref(), &warnings);
    let left_out = failures.len();
    if left_out > 0 {
        say(format_args!("{left_out} clips could not be read and were left out; the report lists them"));
    }
    let report = Report { baselines, ..Report::new(&outcome, path, warnings, failures) };
    let json = serde_json::to_string_pretty(&report)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the report cannot be written: {e}")))?;
    print(&format!("{json}\n"))?;
    let failed = |part: &Option<Measured>| part.as_ref().map_or(0, |e| e.failures().len());
    let diverged = usize::from(outcome.stop_reason == StopReason::Diverged);
    let failed = left_out + failed(&report.validation) + failed(&report.test);
    let unwritten =
        [!is_drawn, !is_reported, metrics.has_failed].into_iter().filter(|&failed| failed).count();
    Ok(exit_code(failed + diverged + unwritten))
}

/// False where the page could not be written, which is said: the model is there.
fn write_page(
    config: &TrainConfig,
    files: &Files,
    name: &str,
    outcome: &Outcome,
    baselines: Option<&Baselines>,
    warnings: &[String],
) -> bool {
    let Some(path) = &files.report else { return true };
    let source = config.data.directory.as_ref().or(config.data.manifest.as_ref());
    let source = source.map_or(String::new(), |path| path.display().to_string());
    let answers = outcome.answers.as_ref().and_then(|answers| {
        let measured = if answers.part == Part::Test { &outcome.test } else { &outcome.validation };
        let (part, evaluated) = (Some(answers.part), &answers.evaluated);
        Some(EvaluatedPart { part, evaluated, measured: measured.as_ref()?, collar: DEFAULT_COLLAR })
    });
    let [_, validation, test] = &outcome.label_counts;
    let is_held_out = validation.iter().chain(test).any(|&count| count > 0);
    let why_not = match (outcome.stop_reason, is_held_out) {
        (_, false) => NotEvaluated::NothingHeldOut,
        (StopReason::Interrupted, true) => NotEvaluated::Interrupted,
        (_, true) => NotEvaluated::Failed,
    };
    let page = EvaluationPage {
        title: &title(name, outcome),
        model: &outcome.model,
        source: &source,
        answers: answers.ok_or(why_not),
        training: Some(Training {
            history: &outcome.history,
            best_epoch: outcome.best_epoch,
            label_counts: &outcome.label_counts,
            seconds: outcome.seconds,
            baselines,
        }),
        media: &config.data.media(),
        said: warnings.iter().map(|warning| format!("warning: {warning}")).collect(),
        embed: files.embed,
    };
    write_evaluation_page(path, &page, rayon::current_num_threads())
}

/// The configuration file, or the defaults, with the flags on top.
fn resolve(args: &Args) -> Result<TrainConfig> {
    let mut config = match (&args.config, args.preset) {
        (Some(path), preset) => TrainConfig::load_over(preset, path)?,
        (None, Some(preset)) => preset.config()?,
        (None, None) => TrainConfig::default(),
    };
    args.data.apply(&mut config.data);
    args.data.apply_labels(&mut config.labels);
    set(&mut config.training.from, args.from.clone());
    set(&mut config.training.freeze, args.freeze);
    let base = load_base(&config)?;
    if let Some(base) = &base {
        adopt(&mut config, base)?;
    }
    let adopted = config.clone();
    set(&mut config.labels.exclusive, args.exclusive);
    set(&mut config.labels.window, args.window);
    set(&mut config.data.validation_fraction, args.validation_fraction);
    set(&mut config.data.test_fraction, args.test_fraction);
    if let Some(folds) = &args.folds {
        config.data.folds.clone_from(folds);
        config.data.test_fold.clear();
    }
    if args.embedding_weights.is_some() {
        config.data.embedding_weights.clone_from(&args.embedding_weights);
    }
    if args.cache.is_some() {
        config.data.cache.clone_from(&args.cache);
    }
    set(&mut config.features.sample_rate, args.sample_rate);
    set(&mut config.features.n_mels, args.n_mels);
    set(&mut config.network.cell, args.cell);
    set(&mut config.network.hidden_size, args.hidden_size);
    set(&mut config.network.num_layers, args.num_layers);
    set(&mut config.network.bidirectional, args.bidirectional);
    set(&mut config.network.pooling, args.pooling);
    set(&mut config.network.dropout, args.dropout);
    set(&mut config.training.epochs, args.epochs);
    set(&mut config.training.learning_rate, args.learning_rate);
    set(&mut config.training.batch_size, args.batch_size);
    set(&mut config.training.patience, args.patience);
    set(&mut config.training.seed, args.seed);
    set(&mut config.augment.enabled, args.augment);
    if base.is_some() {
        check_unchanged(&adopted, &config)?;
    }
    config.validate()?;
    Ok(config)
}

/// Flags may not say otherwise than the model that training begins from; but for dropout, which leaves no trace in it.
fn check_unchanged(adopted: &TrainConfig, config: &TrainConfig) -> Result<()> {
    let (was, is) = (&adopted.network, &config.network);
    let differs = [
        ("--sample-rate", adopted.features.sample_rate != config.features.sample_rate),
        ("--n-mels", adopted.features.n_mels != config.features.n_mels),
        ("--cell", was.cell != is.cell),
        ("--hidden-size", was.hidden_size != is.hidden_size),
        ("--num-layers", was.num_layers != is.num_layers),
        ("--bidirectional", was.bidirectional != is.bidirectional),
        ("--pooling", was.pooling != is.pooling),
    ];
    let Some((flag, _)) = differs.into_iter().find(|(_, differs)| *differs) else { return Ok(()) };
    let message =
        format!("{flag} is not as in the model to start from (--from), where it stays: leave it out");
    Err(Error::new(ErrorKind::Config, message))
}

fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

/// A choice by the name that the configuration file has for it.
fn by_name<T: DeserializeOwned>(name: &str) -> std::result::Result<T, String> {
    serde_json::from_value(name.into()).map_err(|e| e.to_string())
}

/// Says before hours of training whether the model can be written, and gives it its name.
pub fn check_output(path: &Path) -> Result<String> {
    let wrong = |message: &str| Err(Error::new(ErrorKind::Path, message).with_path(path));
    let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
        return wrong("a file name in UTF-8 is due for the model (-o), such as model.safetensors");
    };
    if path.exists() && !path.is_file() && !path.is_dir() {
        return wrong("is no ordinary file, so no model can be written there (-o)");
    }
    if path.is_file() && Model::load(path).is_err() {
        return wrong("exists and is no Percept model; it is not replaced: remove it, or name another (-o)");
    }
    // Finds out whether the folder is there and can be written to; dropped, it leaves nothing behind.
    AtomicFile::create(path)?;
    Ok(name.to_string())
}

fn summary(outcome: &Outcome, path: &Path) -> String {
    let reason = match outcome.stop_reason {
        StopReason::Finished => "",
        StopReason::EarlyStopping => ", as validation improved no more",
        StopReason::Interrupted => ", stopped by Ctrl-C",
        StopReason::Diverged => ", after which it diverged",
    };
    format!(
        "wrote {}: epoch {} of {} run{reason}; {} weights, {}",
        path.display(),
        outcome.best_epoch,
        outcome.history.len(),
        outcome.model.num_parameters(),
        duration(outcome.seconds),
    )
}

/// What is written above the curves.
fn title(name: &str, outcome: &Outcome) -> String {
    format!("{name}: epoch {} of {} kept", outcome.best_epoch, outcome.history.len())
}

/// How good the model is, as a table; empty where nothing was measured.
fn measured(outcome: &Outcome, baselines: Option<&Baselines>) -> String {
    let baseline = |of: fn(&Baselines) -> &Option<Baseline>| baselines.and_then(|b| of(b).as_ref());
    let test = outcome.test.as_ref().map(|e| ("test", e, baseline(|b| &b.test)));
    let validation = outcome.validation.as_ref().map(|e| ("validation", e, baseline(|b| &b.validation)));
    test.or(validation).map_or(String::new(), |(part, evaluation, baseline)| {
        let beside = baseline
            .map_or(String::new(), |b| format!("{}, this network {}\n\n", b.line(), evaluation.headline()));
        format!("on the {part} part:\n\n{beside}{}", evaluation.table())
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> std::result::Result<Args, String> {
        let words = std::iter::once("train").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|c| c.args).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_override_the_file_and_leave_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        let text = "[data]\nmanifest = \"m.csv\"\n[network]\nhidden_size = 32\ncell = \"gru\"\n[training]\nepochs = 7";
        std::fs::write(&file, text).unwrap();
        let line = format!(
            "DIR -o m --config {} --cell lstm --epochs 3 --bidirectional=false --augment --where a=b --where c!=d \
             --pooling max --seed 5 --sample-rate 8000 --n-mels 40 --group-column speaker --test-fraction 0.2",
            file.display()
        );
        let config = resolve(&parse(&line).unwrap()).unwrap();
        assert_eq!((config.network.hidden_size, config.training.epochs), (32, 3));
        assert_eq!((config.network.cell, config.network.pooling), (CellKind::Lstm, Pooling::Max));
        assert!(!config.network.bidirectional && config.augment.enabled);
        assert_eq!(config.data.directory, Some("DIR".into()));
        assert_eq!(config.data.manifest, None);
        assert_eq!(config.data.filters, ["a=b", "c!=d"]);
        assert_eq!((config.features.sample_rate, config.features.n_mels), (8000, 40));
        assert_eq!((config.data.group_column.as_str(), config.data.test_fraction), ("speaker", 0.2));
        assert_eq!(config.training.seed, 5);
    }

    #[test]
    fn flags_out_of_range_and_unknown_choices_are_errors() {
        let error = resolve(&parse("DIR -o m --epochs 0").unwrap()).unwrap_err();
        assert!(error.message.starts_with("[training] epochs is 0"), "{error}");
        let error = parse("DIR -o m --cell rnn").unwrap_err();
        assert!(error.contains("lstm") && error.contains("gru"), "{error}");
        assert!(parse("DIR --manifest x.csv -o m").is_err());
        assert!(parse("DIR --print-config").is_ok());
        assert!(parse("DIR -o m --seeds 0").is_err());
        let config = resolve(&parse("--manifest x.csv --folds speaker").unwrap()).unwrap();
        assert!(config.data.is_cross_validation());
        assert!(
            resolve(&parse("DIR --folds speaker").unwrap()).unwrap_err().message.contains("give a manifest")
        );
    }

    #[test]
    fn the_output_is_checked_before_training() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(check_output(&at("birds.safetensors")).unwrap(), "birds");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
        assert_eq!(check_output(folder.path()).unwrap_err().kind, ErrorKind::Path);
        assert_eq!(check_output(&at("no/m.safetensors")).unwrap_err().kind, ErrorKind::NotFound);
        std::fs::write(at("notes.txt"), "mine").unwrap();
        assert!(check_output(&at("notes.txt")).unwrap_err().message.contains("is no Percept model"));
        assert!(check_output(Path::new("")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_no_place_for_a_model() {
        assert!(check_output(Path::new("/dev/null")).unwrap_err().message.contains("no ordinary file"));
    }
}
