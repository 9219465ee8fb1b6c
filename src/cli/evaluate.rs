//! `percept evaluate`: how good a model is on labelled recordings, or how close two lists of events are.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use super::data::{Choice, DataArgs};
use super::report::{PageArgs, check_page, write_evaluation_page};
use super::{Jobs, exit_code, model_choice, print, say, say_lines};
use crate::error::some_of;
use crate::evaluate::events::{EventsReport, Psds, compare};
use crate::evaluate::{
    Against, DEFAULT_COLLAR, Evaluated, Measured, PairedBootstrap, PairedComparison, Report, Scored,
    score_files, tag_recordings,
};
use crate::labels::{read_dcase, read_durations};
use crate::media::{MediaOptions, kind_of};
use crate::model::{Model, Task};
use crate::pipeline::{Classifier, Tagger};
use crate::report::{EvaluatedPart, EvaluationPage};
use crate::signal::InputKind;
use crate::train::{DataConfig, Dataset, Part};
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
Examples:
  percept evaluate -m birds.safetensors calls/
  percept evaluate -m birds.safetensors --manifest clips.csv --split validation
  percept evaluate -m birds.safetensors --manifest clips.csv --split all --where site=lake --format text
  percept evaluate -m song.safetensors --manifest night.csv --labels segments.csv --collar 0.05
  percept evaluate -m birds.safetensors calls/ --report birds.html         a page, with the worst mistakes to hear
  percept evaluate -m new.safetensors --against old.safetensors --manifest clips.csv    is it better, or is that luck?
  percept evaluate --reference true.tsv --estimated found.tsv

A file that cannot be read is listed and counts nowhere; the exit code is then 1.";

/// Say how good a model is on labelled recordings
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    lists: ListArgs,

    /// Model file, or the name of a built-in model [default: the built-in one for what the first file is]
    #[arg(short, long, value_name = "MODEL")]
    model: Option<OsString>,

    /// Another model, or the name of a built-in one: both are evaluated on the same recordings, and compared one by one
    #[arg(long, value_name = "MODEL")]
    against: Option<OsString>,

    /// Part of the data [default: test, where the data has a split; otherwise all]
    #[arg(long, value_name = "PART", value_enum)]
    split: Option<Choice>,

    #[command(flatten)]
    page: PageArgs,

    /// json: JSON on stdout, the table on stderr; text: the table on stdout
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "json")]
    format: Format,

    #[command(flatten)]
    jobs: Jobs,
}

/// Two lists of events are compared without a model.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Lists of events")]
struct ListArgs {
    /// What is true: filename, onset, offset and event_label, separated by tabs
    #[arg(long, value_name = "TSV", requires = "estimated", conflicts_with_all = ["directory", "manifest", "model", "split", "against", "report"])]
    reference: Option<PathBuf>,

    /// What was found, in the same form
    #[arg(long, value_name = "TSV", requires = "reference")]
    estimated: Option<PathBuf>,

    /// Lengths of the recordings, for PSDS: filename and duration in seconds, separated by tabs
    #[arg(long, value_name = "TSV", requires = "reference")]
    durations: Option<PathBuf>,

    /// Seconds by which the ends of a found event may be off [default: 0.2]
    #[arg(long, value_name = "SECONDS")]
    collar: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Text,
}

pub fn run(args: Args) -> Result<ExitCode> {
    if let Some((reference, estimated)) = args.lists.reference.as_deref().zip(args.lists.estimated.as_deref())
    {
        let durations = args.lists.durations.as_deref();
        return compare_lists(reference, estimated, durations, check_collar(args.lists.collar)?, args.format);
    }
    if let Some(page) = &args.page.report {
        // Said before hours of work.
        check_page(page)?;
    }
    let task = if args.data.has_labels() { Task::Tag } else { Task::Classify };
    let load = |kind: InputKind| model_choice::load(args.model.as_deref(), task, kind);
    // The built-in model comes last: it is named only where there is something for it to do.
    let named = match (&args.model, task) {
        (Some(_), _) => Some(load(InputKind::Audio)?),
        (None, Task::Tag) => Some(load(args.data.kind_of_recordings()?)?),
        (None, Task::Classify) => None,
    };
    match named {
        Some(model) if model.header().task == Task::Tag => evaluate_tagger(&args, model),
        Some(model) if task == Task::Tag => {
            let message = format!(
                "`{}` gives one label for a whole recording, and --labels are for models that tag: leave them out, or name \
                 such a model (-m)",
                model.header().name
            );
            Err(Error::new(ErrorKind::Config, message))
        }
        named => evaluate_classifier(&args, named),
    }
}

/// Of a model that gives a label for a whole recording; `named` is `None` where the built-in one for the data is meant.
fn evaluate_classifier(args: &Args, named: Option<Model>) -> Result<ExitCode> {
    let mut config = DataConfig::default();
    args.data.apply(&mut config);
    if let Some(model) = &named {
        config.stream = Some(args.data.stream_of(model.header())?);
    }
    let data = Dataset::load(&config)?;
    data.messages.iter().for_each(say);
    let choice = args.split.unwrap_or_else(|| usual_choice(&data));
    let kind = config.stream.or_else(|| Some(kind_of(&data.items.first()?.path))).unwrap_or(InputKind::Audio);
    let model = named.map_or_else(|| model_choice::load(None, Task::Classify, kind), Ok)?;
    let classifier = Classifier::new(model)?;
    let other = match &args.against {
        None => None,
        Some(name) => Some(Classifier::new(model_choice::load(Some(name), Task::Classify, kind)?)?),
    };
    let clips = choose(&data, choice, &classifier.model().header().labels)?;
    say(format_args!("evaluating {} of {} clips: {}", clips.len(), data.items.len(), choice.name()));

    let threads = args.jobs.threads(clips.len());
    let scored = score(&classifier, &clips, &config.media(), threads)?;
    let evaluation = scored.evaluation()?;
    let against = match &other {
        None => None,
        Some(other) => {
            let clips = choose(&data, choice, &other.model().header().labels)?;
            say(format_args!("evaluating `{}` on the same clips", other.model().header().name));
            let others = score(other, &clips, &config.media(), threads)?;
            let test = PairedComparison::Clips(scored.against(&others));
            Some(Against::new(other.model(), Measured::Clips(others.evaluation()?), test))
        }
    };
    let media = config.media();
    let source = config.directory.or(config.manifest).unwrap_or_default().display().to_string();
    let report = Report::new(classifier.model(), source, choice.name(), Measured::Clips(evaluation));
    let report = Report { against, ..report };
    show(&report, args.format)?;
    let is_written =
        write_page(args, classifier.model(), &media, &report, &Evaluated::Clips(scored), DEFAULT_COLLAR);
    Ok(exit_code(report.evaluation.failures().len() + usize::from(!is_written)))
}

/// Of a model that says what happens when.
fn evaluate_tagger(args: &Args, model: Model) -> Result<ExitCode> {
    let collar = check_collar(args.lists.collar)?;
    let data = args.data.recordings(model.header(), args.split, Part::Test)?;
    let kind = model.header().input.kind();
    let tagger = Tagger::new(model)?;
    let other = match &args.against {
        None => None,
        Some(name) => Some(Tagger::new(model_choice::load(Some(name), Task::Tag, kind)?)?),
    };
    if let Some(other) = &other {
        data.check_known(other.model().header())?;
    }
    say(format_args!("evaluating {} recordings: {}", data.references.len(), data.choice.name()));
    let pool = threads(args.jobs.threads(data.references.len()))?;
    let options = data.media.clone();
    let evaluate = |tagger: &Tagger| {
        let bar = progress_bar(data.references.len());
        let tagged = pool.install(|| tag_recordings(tagger, &data.references, &options, &|_| bar.inc(1)));
        bar.finish_and_clear();
        let evaluation = pool.install(|| tagged.evaluation(tagger, collar))?;
        Ok::<_, Error>((tagged, evaluation))
    };
    let (tagged, evaluation) = evaluate(&tagger)?;
    let against = match &other {
        None => None,
        Some(other) => {
            say(format_args!("evaluating `{}` on the same recordings", other.model().header().name));
            let (_, others) = evaluate(other)?;
            let test = PairedComparison::Frames(PairedBootstrap::of(&evaluation, &others));
            Some(Against::new(other.model(), Measured::Frames(Box::new(others)), test))
        }
    };
    let name = data.choice.name();
    let report = Report::new(tagger.model(), data.source, name, Measured::Frames(Box::new(evaluation)));
    let report = Report { against, ..report };
    show(&report, args.format)?;
    let is_written =
        write_page(args, tagger.model(), &options, &report, &Evaluated::Recordings(tagged), collar);
    Ok(exit_code(report.evaluation.failures().len() + usize::from(!is_written)))
}

/// The page, where one is asked for; false where it could not be written, which is said: the figures are there.
fn write_page(
    args: &Args,
    model: &Model,
    media: &MediaOptions,
    report: &Report,
    evaluated: &Evaluated,
    collar: f64,
) -> bool {
    let Some(path) = &args.page.report else { return true };
    let title = format!("{} on {}", report.model.name, report.data);
    let against = report.against.as_ref().map(|against| against.sentence(&report.model.name));
    let answers = EvaluatedPart {
        part: Part::from_name(&report.part),
        evaluated,
        measured: &report.evaluation,
        collar,
    };
    let page = EvaluationPage {
        title: &title,
        model,
        source: &report.data,
        answers: Ok(answers),
        training: None,
        media,
        said: against.iter().flat_map(|text| text.lines()).map(str::to_string).collect(),
        embed: args.page.embed,
    };
    write_evaluation_page(path, &page, args.jobs.threads(evaluated.len()))
}

/// The table, and the JSON where it is asked for.
fn show(report: &Report, format: Format) -> Result<()> {
    let mut table = report.evaluation.table();
    if let Some(against) = &report.against {
        table += &format!("\n{}", against.sentence(&report.model.name));
    }
    match format {
        Format::Text => print(&table)?,
        Format::Json => {
            say_lines(&table);
            print_json(report)?;
        }
    }
    Ok(())
}

pub fn check_collar(collar: Option<f64>) -> Result<f64> {
    let collar = collar.unwrap_or(DEFAULT_COLLAR);
    if collar >= 0.0 && collar.is_finite() {
        return Ok(collar);
    }
    let message = format!("--collar is {collar}; it must be a number of seconds, 0 or more");
    Err(Error::new(ErrorKind::Config, message))
}

fn compare_lists(
    reference: &Path,
    estimated: &Path,
    durations: Option<&Path>,
    collar: f64,
    format: Format,
) -> Result<ExitCode> {
    let (truth, found) = (read_dcase(reference)?, read_dcase(estimated)?);
    let strangers: Vec<&String> = found.keys().filter(|name| !truth.contains_key(*name)).collect();
    if !strangers.is_empty() {
        let path = reference.display();
        say(format_args!("{path} does not name {}: there all that was found is wrong", some_of(&strangers)));
    }
    let mut report = compare(&truth, &found, collar)?;
    if let Some(durations) = durations {
        let lengths = read_durations(durations)?;
        report.psds = Some(Psds::of(&truth, &lengths, &[found]).map_err(|error| error.with_path(durations))?);
    }
    match format {
        Format::Text => print(&report.table())?,
        Format::Json => {
            say_lines(&report.table());
            print_json(&EventsReport::new(report))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn print_json(report: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the report cannot be written: {e}")))?;
    print(&format!("{json}\n"))
}

/// The test part where there is a split, otherwise all.
fn usual_choice(data: &Dataset) -> Choice {
    if data.items.iter().any(|item| item.part.is_some()) {
        return Choice::Test;
    }
    say("the data has no split: all of it is evaluated, with what the model may have learned from");
    Choice::All
}

/// The clips of a part, with the model's numbers for their labels.
fn choose<'a>(data: &'a Dataset, choice: Choice, labels: &[String]) -> Result<Vec<(&'a Path, usize)>> {
    let known: HashMap<&str, usize> = labels.iter().enumerate().map(|(k, l)| (l.as_str(), k)).collect();
    let items: Vec<_> =
        data.items.iter().filter(|item| choice.part().is_none_or(|part| item.part == Some(part))).collect();
    if items.is_empty() {
        return Err(choice.is_empty());
    }
    let mut strangers: Vec<&str> = items
        .iter()
        .map(|item| data.labels[item.labels()[0]].as_str())
        .filter(|label| !known.contains_key(label))
        .collect();
    strangers.sort_unstable();
    strangers.dedup();
    if !strangers.is_empty() {
        let message = format!(
            "the model does not know the labels {}; it knows {}: is this its data? (--label-column, --where)",
            some_of(&strangers),
            some_of(labels)
        );
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    Ok(items
        .iter()
        .map(|item| (item.path.as_path(), known[data.labels[item.labels()[0]].as_str()]))
        .collect())
}

fn score(
    classifier: &Classifier,
    clips: &[(&Path, usize)],
    options: &MediaOptions,
    threads: usize,
) -> Result<Scored> {
    let bar = progress_bar(clips.len());
    let pool = self::threads(threads)?;
    let scored = pool.install(|| score_files(classifier, clips, options, &|_| bar.inc(1)));
    bar.finish_and_clear();
    Ok(scored)
}

/// Draws nothing where stderr is no terminal.
pub fn progress_bar(files: usize) -> ProgressBar {
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} clips, {eta} left") {
        bar.set_style(style);
    }
    bar
}

pub fn threads(count: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot start threads: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Item, Truth};

    fn data(parts: [Option<Part>; 3]) -> Dataset {
        let items = parts
            .into_iter()
            .enumerate()
            .map(|(i, part)| Item {
                path: format!("{i}.wav").into(),
                truth: Truth::Label(i % 2),
                part,
                group: None,
                line: None,
                label_file: None,
            })
            .collect();
        Dataset { labels: vec!["a".into(), "b".into()], has_background: false, items, messages: vec![] }
    }

    fn labels(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn the_test_part_is_taken_where_there_is_a_split() {
        let split = data([Some(Part::Train), Some(Part::Test), Some(Part::Test)]);
        assert_eq!(usual_choice(&split), Choice::Test);
        // The model's order of labels is another one.
        let clips = choose(&split, Choice::Test, &labels(&["b", "x", "a"])).unwrap();
        assert_eq!(clips, [(Path::new("1.wav"), 0), (Path::new("2.wav"), 2)]);
        assert!(choose(&split, Choice::Validation, &labels(&["a", "b"])).is_err());
        assert_eq!(choose(&split, Choice::All, &labels(&["a", "b"])).unwrap().len(), 3);
        assert_eq!(usual_choice(&data([None; 3])), Choice::All);
    }

    #[test]
    fn labels_that_the_model_does_not_know_are_named_once() {
        let error = choose(&data([None; 3]), Choice::All, &labels(&["b", "c"])).unwrap_err();
        assert!(error.message.contains("does not know the labels a; it knows b, c:"), "{error}");
    }
}
