//! What `batch`, `watch` and `worker` do with an input, and the flags that say it.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::media_args::MediaArgs;
use super::model_choice::Models;
use super::tag::frames;
use super::{one_input, seconds};
use crate::batch::worker::Work;
use crate::features::Features;
use crate::guard::guard;
use crate::media::recorded::recorded_at;
use crate::media::{Media, MediaOptions};
use crate::model::{Builtin, Model, Task};
use crate::output::rows::{BatchModel, BatchRecord, Found};
use crate::pipeline::{Classifier, TagOptions, Tagger, Windows};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// Frames that are classified together.
const FRAMES_AT_ONCE: usize = 1 << 14;

/// What is done with an input.
#[derive(Debug, clap::Args)]
pub struct WorkArgs {
    /// Model file, or the name of a built-in model [default: the built-in one for what the input is]
    #[arg(short, long, value_name = "MODEL")]
    pub model: Option<OsString>,

    /// One answer for each recording, or what happens when in it [default: what the model is for, otherwise classify]
    #[arg(long, value_name = "TASK", value_enum)]
    pub task: Option<Task>,

    /// How many labels to give, best first
    #[arg(long, value_name = "N", default_value = "5")]
    top_k: NonZeroUsize,

    /// Also give every frame's label and scores
    #[arg(long)]
    pub frames: bool,

    #[command(flatten)]
    windows: WindowArgs,

    #[command(flatten)]
    media: MediaArgs,
}

/// Windows that know nothing of each other.
#[derive(Debug, clap::Args)]
pub struct WindowArgs {
    /// Tag in windows of this length that know nothing of each other, as 10s or 500ms, for a model that was trained on such
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    window: Option<f64>,

    /// Time that two windows share; their scores are averaged [default: half a window]
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "window")]
    overlap: Option<f64>,
}

impl WindowArgs {
    pub fn is_given(&self) -> bool {
        self.window.is_some()
    }

    /// # Errors
    /// [`ErrorKind::Config`] where they are not windows for any model.
    pub fn check(&self) -> Result<()> {
        let Some(window) = self.window else { return Ok(()) };
        if window > 0.0 && self.overlap.is_none_or(|overlap| overlap < window) {
            return Ok(());
        }
        let message = "--window must be longer than no time, and the overlap must be shorter than the window";
        Err(Error::new(ErrorKind::Config, message))
    }

    /// In frames of this model.
    pub fn of(&self, tagger: &Tagger) -> Result<Option<Windows>> {
        let Some(window) = self.window else { return Ok(None) };
        let length = tagger.clock().frames(window);
        let overlap = self.overlap.map_or(length / 2, |overlap| tagger.clock().frames(overlap));
        if length == 0 || overlap >= length {
            let message = format!(
                "a window of {length} frames of the model with an overlap of {overlap}: a window has one frame at least, and the \
                 overlap is shorter"
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Some(Windows { length, overlap }))
    }
}

impl WorkArgs {
    /// The model that was named, and the task.
    ///
    /// # Errors
    /// Those of the model; [`ErrorKind::Config`] for what does not go together.
    pub fn resolve(&self) -> Result<(Option<Model>, Task)> {
        let named = match &self.model {
            None => None,
            Some(choice) => {
                // A built-in of this name is chosen by the task; a file has its own.
                let task = self.task.unwrap_or(Task::Classify);
                Some(super::model_choice::load(Some(choice), task, InputKind::Audio)?)
            }
        };
        let task = match &named {
            Some(model) => model.header().task,
            None => self.task.unwrap_or(Task::Classify),
        };
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.task.is_some_and(|asked| asked != task) {
            return wrong("--task: the model is for another task; leave it out, or name another model (-m)");
        }
        if task == Task::Classify && (self.frames || self.windows.is_given()) {
            return wrong("--frames and --window are for tagging (--task tag)");
        }
        self.windows.check()?;
        Ok((named, task))
    }

    /// Flags that are not at their defaults, by name: what answers depend on beside the model.
    fn settings(&self, task: Task) -> Vec<(&'static str, Option<String>)> {
        let mut settings = Vec::new();
        match task {
            Task::Classify => settings.push(("top-k", Some(self.top_k.to_string()))),
            Task::Tag => {
                if self.frames {
                    settings.push(("frames", None));
                }
                for (name, time) in [("window", self.windows.window), ("overlap", self.windows.overlap)] {
                    settings.extend(time.map(|time| (name, Some(format!("{time}s")))));
                }
            }
        }
        settings.extend(self.media.settings());
        settings
    }

    /// The settings for a row: `top_k=5 channel=2`.
    pub fn settings_text(&self, task: Task) -> String {
        let text = |(name, value): (&str, Option<String>)| {
            let name = name.replace('-', "_");
            value.map_or(name.clone(), |value| format!("{name}={value}"))
        };
        self.settings(task).into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    /// Flags that make a worker do the same.
    pub fn flags(&self, task: Task) -> Vec<OsString> {
        let mut flags: Vec<OsString> = Vec::new();
        if let Some(model) = &self.model {
            flags.extend(["--model".into(), model.clone()]);
        }
        flags.extend(["--task".into(), task.name().into()]);
        for (name, value) in self.settings(task) {
            let flag = value.map_or(format!("--{name}"), |value| format!("--{name}={value}"));
            flags.push(flag.into());
        }
        flags
    }

    /// What answers: by the model that was named.
    pub fn work(&self, named: Option<Model>, task: Task) -> Result<Answers> {
        let unread = unread_model(named.as_ref().map(BatchModel::new), task)?;
        let kind = match task {
            Task::Classify => Kind::Classify {
                models: Models::with(named, task, self.media.stream, Classifier::new)?,
                top_k: self.top_k.get(),
            },
            Task::Tag => Kind::Tag {
                models: Models::with(named, task, self.media.stream, Tagger::new)?,
                windows: WindowArgs { ..self.windows },
                frames: self.frames,
            },
        };
        Ok(Answers { kind, unread, media: self.media.options(), settings: self.settings_text(task) })
    }
}

/// The model that stands in rows of inputs that no model has seen: the one that was named, or the one for sound.
pub fn unread_model(named: Option<BatchModel>, task: Task) -> Result<BatchModel> {
    let builtin = || {
        let mut builtins = Builtin::all().iter().filter(|builtin| builtin.task == task);
        let missing = || Error::new(ErrorKind::Config, "there is no built-in model; name one (-m)");
        let builtin = builtins.find(|builtin| builtin.kind == InputKind::Audio).ok_or_else(missing)?;
        Ok(BatchModel { name: builtin.name.to_string(), sha256: builtin.sha256(), task, labels: Vec::new() })
    };
    named.map_or_else(builtin, Ok)
}

/// Answers for inputs, by one or several models.
pub struct Answers {
    kind: Kind,
    unread: BatchModel,
    media: MediaOptions,
    settings: String,
}

enum Kind {
    Classify { models: Models<Classifier>, top_k: usize },
    Tag { models: Models<Tagger>, windows: WindowArgs, frames: bool },
}

type Row = (BatchRecord, Option<f64>);

impl Work for Answers {
    fn answer(&self, paths: &[PathBuf]) -> Vec<Row> {
        match &self.kind {
            Kind::Classify { models, top_k } => self.classify(models, *top_k, paths),
            Kind::Tag { models, windows, frames } => {
                let tag = |path: &PathBuf| {
                    self.row(path, one_input(path, || self.tag(models, windows, *frames, path)))
                };
                paths.iter().map(tag).collect()
            }
        }
    }
}

/// What a model has found in a file.
struct Answered {
    model: BatchModel,
    media: Media,
    found: Found,
}

/// A file that has been read, and waits for others.
struct Waiting {
    place: usize,
    classifier: Arc<Classifier>,
    features: Features,
    media: Media,
}

impl Answers {
    /// The row of an input that could not be read.
    pub fn failed(&self, path: &Path, error: &Error) -> BatchRecord {
        BatchRecord::error(&self.unread, &self.settings, path, error)
    }

    fn row(&self, path: &Path, answered: Result<Answered>) -> Row {
        match answered {
            Err(error) => (self.failed(path, &error), None),
            Ok(Answered { model, media, found }) => {
                let began = recorded_at(path);
                let row = BatchRecord::ok(&model, &self.settings, path, &media, began, found);
                (row, Some(media.duration()))
            }
        }
    }

    fn tag(
        &self,
        models: &Models<Tagger>,
        windows: &WindowArgs,
        frames_too: bool,
        path: &Path,
    ) -> Result<Answered> {
        let tagger = models.of(path)?;
        let options = TagOptions { windows: windows.of(&tagger)? };
        let mut scores = Vec::new();
        let mut keep = |piece: &[f32]| {
            if frames_too {
                scores.extend_from_slice(piece);
            }
            Ok(())
        };
        let tagged = tagger.tag_file(path, &self.media, &options, &mut keep)?;
        let frames = frames_too.then(|| frames(&tagger, &tagged, &scores));
        let found = Found::Events { events: tagged.events, frames };
        let model = match frames_too {
            true => BatchModel::with_labels(tagger.model()),
            false => BatchModel::new(tagger.model()),
        };
        Ok(Answered { model, media: tagged.media, found })
    }

    /// Short recordings together.
    fn classify(&self, models: &Models<Classifier>, top_k: usize, paths: &[PathBuf]) -> Vec<Row> {
        let mut answers: Vec<Option<Result<Answered>>> = paths.iter().map(|_| None).collect();
        let mut waiting: Vec<Waiting> = Vec::new();
        for (place, path) in paths.iter().enumerate() {
            let read = one_input(path, || {
                let classifier = models.of(path)?;
                let (features, media) = classifier.read(path, &self.media)?;
                Ok(Waiting { place, classifier, features, media })
            });
            match read {
                Err(error) => answers[place] = Some(Err(error)),
                Ok(read) => {
                    let longest = waiting.iter().map(|w| w.features.frames).max().unwrap_or(0);
                    let together = longest.max(read.features.frames) * (waiting.len() + 1);
                    let is_other =
                        waiting.first().is_some_and(|w| !Arc::ptr_eq(&w.classifier, &read.classifier));
                    if is_other || together > FRAMES_AT_ONCE {
                        self.flush(&mut waiting, top_k, paths, &mut answers);
                    }
                    waiting.push(read);
                }
            }
        }
        self.flush(&mut waiting, top_k, paths, &mut answers);
        let unanswered = || Err(Error::new(ErrorKind::Internal, "no answer was given; please report this"));
        let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered));
        paths.iter().zip(answers).map(|(path, answer)| self.row(path, answer)).collect()
    }

    fn flush(
        &self,
        waiting: &mut Vec<Waiting>,
        top_k: usize,
        paths: &[PathBuf],
        answers: &mut [Option<Result<Answered>>],
    ) {
        let Some(first) = waiting.first() else { return };
        let classifier = Arc::clone(&first.classifier);
        let (features, all): (Vec<_>, Vec<_>) =
            waiting.drain(..).map(|w| (w.features, (w.place, w.media))).unzip();
        let answered = |scores: Vec<f32>, media: Media| Answered {
            model: BatchModel::new(classifier.model()),
            media,
            found: Found::Labels {
                predictions: crate::decide::top_k(&scores, &classifier.model().header().labels, top_k),
            },
        };
        let together = guard(|| classifier.classify_each(features));
        match together {
            Ok(Ok(scores)) => {
                for ((place, media), scores) in all.into_iter().zip(scores) {
                    let scores = scores.map_err(|error| error.with_path(&paths[place]));
                    answers[place] = Some(scores.map(|scores| answered(scores, media)));
                }
            }
            // Each shows alone what it is.
            Ok(Err(_)) | Err(_) => {
                for (place, _) in all {
                    let path = &paths[place];
                    let one = one_input(path, || classifier.classify_file(path, &self.media));
                    answers[place] = Some(one.map(|one| answered(one.scores, one.media)));
                }
            }
        }
    }
}
