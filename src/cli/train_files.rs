//! What training writes beside the model: checkpoints, metrics and curves.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::inputs::head_of;
use super::report::{PageArgs, is_page};
use super::say;
use crate::files::AtomicFile;
use crate::output::preview::{Curves, Line, Plot};
use crate::train::{EpochMetrics, Event, is_checkpoint};
use crate::{Error, ErrorKind, Result};

/// The flags of these files.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// Go on from the checkpoint of a run that was stopped or killed, with the same data and settings
    #[arg(long, help_heading = "Files")]
    pub resume: bool,

    /// Where the checkpoint goes while training runs [default: the model's file with .checkpoint behind it]
    #[arg(long, value_name = "FILE", conflicts_with = "no_checkpoint", help_heading = "Files")]
    checkpoint: Option<PathBuf>,

    /// Write no checkpoints: a run that is killed is lost
    #[arg(long, conflicts_with = "resume", help_heading = "Files")]
    no_checkpoint: bool,

    /// Write a line of JSON after each epoch: losses, accuracies, learning rate
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    metrics: Option<PathBuf>,

    /// Draw losses and accuracies over the epochs at the end, as a picture: PNG, or SVG where FILE ends so
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    curves: Option<PathBuf>,

    #[command(flatten)]
    page: PageArgs,
}

/// Whether a file that begins so is one of those that training writes under a flag.
type Kind = fn(&[u8]) -> bool;

/// Where they go.
#[derive(Debug)]
pub struct Files {
    pub checkpoint: Option<PathBuf>,
    metrics: Option<PathBuf>,
    curves: Option<PathBuf>,
    pub report: Option<PathBuf>,
    /// Whether media go into the report.
    pub embed: bool,
}

impl FileArgs {
    /// Several trainings have no files of their own beside their models.
    pub fn refuse_for_runs(&self) -> Result<()> {
        let given = [&self.checkpoint, &self.metrics, &self.curves, &self.page.report]
            .iter()
            .any(|file| file.is_some());
        if !given && !self.resume {
            return Ok(());
        }
        let message = "--resume, --checkpoint, --metrics, --curves and --report are for one training, not for --folds or --seeds";
        Err(Error::new(ErrorKind::Config, message))
    }

    /// # Errors
    /// Two names of one file; one that cannot be written, or that is there and of another kind: all before hours of
    /// training.
    pub fn places(&self, model: &Path) -> Result<Files> {
        let usual = || {
            let mut name = OsString::from(model);
            name.push(".checkpoint");
            PathBuf::from(name)
        };
        let checkpoint = match self.no_checkpoint {
            true => None,
            false => Some(self.checkpoint.clone().unwrap_or_else(usual)),
        };
        let files = Files {
            checkpoint,
            metrics: self.metrics.clone(),
            curves: self.curves.clone(),
            report: self.page.report.clone(),
            embed: self.page.embed,
        };
        let mut places = vec![place(model)];
        let all: [(&Option<PathBuf>, Kind); 4] = [
            (&files.checkpoint, is_checkpoint),
            (&files.metrics, |bytes| bytes.is_empty() || bytes.starts_with(b"{\"epoch\":")),
            (&files.curves, |bytes| bytes.starts_with(b"\x89PNG") || bytes.starts_with(b"<svg")),
            (&files.report, is_page),
        ];
        for (path, is_own_kind) in all {
            let Some(path) = path else { continue };
            let wrong = |message: &str| Err(Error::new(ErrorKind::Path, message).with_path(path));
            if places.contains(&place(path)) {
                return wrong("is named for two files that training writes; name another");
            }
            // What is no checkpoint cannot be gone on from, which is said when it is read.
            let is_read = self.resume && Some(path) == files.checkpoint.as_ref();
            if path.is_file() && !is_read && !is_own_kind(&head_of(path)?) {
                return wrong(
                    "exists and is none of training's files of this kind; it is not replaced: name another",
                );
            }
            places.push(place(path));
            AtomicFile::create(path)?;
        }
        Ok(files)
    }
}

/// What two names of one file have in common, whether it is there yet or not.
fn place(path: &Path) -> PathBuf {
    let whole = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
    };
    path.canonicalize().ok().or_else(whole).unwrap_or_else(|| path.to_path_buf())
}

impl Files {
    /// Says what becomes of a checkpoint that is there and not gone on from.
    pub fn mention_checkpoint(&self) {
        if let Some(place) = self.checkpoint.as_ref().filter(|place| place.exists()) {
            say(format_args!(
                "{} is the checkpoint of a run that was stopped and will be replaced; --resume goes on from it",
                place.display()
            ));
        }
    }

    /// The model is stored: nobody goes on from here.
    pub fn remove_checkpoint(&self) {
        if let Some(place) = &self.checkpoint {
            // That there is none is as good.
            let _ = std::fs::remove_file(place);
        }
    }

    /// False where the curves could not be written, which is said.
    pub fn draw_curves(&self, title: &str, history: &[EpochMetrics]) -> bool {
        let Some(path) = &self.curves else { return true };
        let saved = Curves { title, plots: &plots(history) }.save(path);
        saved.map_err(|error| say(format_args!("error: the curves were not written: {error}"))).is_ok()
    }

    pub fn metrics(&self) -> MetricsFile {
        MetricsFile { path: self.metrics.clone(), file: None, has_failed: false }
    }
}

/// Losses and accuracies, of training and validation each.
fn plots(history: &[EpochMetrics]) -> [Plot; 2] {
    let plot = |caption, highest, of: [fn(&EpochMetrics) -> Option<f64>; 2]| {
        let line = |name, of| Line { name, values: history.iter().map(of).collect() };
        Plot {
            caption,
            axis: "epoch",
            highest,
            lines: vec![line("training", of[0]), line("validation", of[1])],
        }
    };
    [
        plot("loss (nats)", 0.0, [|e| Some(e.train_loss), |e| e.validation_loss]),
        plot(
            "accuracy (%)",
            100.0,
            [|e| Some(100.0 * e.train_accuracy), |e| e.validation_accuracy.map(|share| 100.0 * share)],
        ),
    ]
}

/// A line of JSON for each epoch, written as it ends. What was there before is replaced by the first.
pub struct MetricsFile {
    /// `None` where none is wanted, or it could not be written.
    path: Option<PathBuf>,
    file: Option<File>,
    pub has_failed: bool,
}

impl MetricsFile {
    /// Writes what `event` says of epochs; once it cannot, which is said, no more.
    pub fn on_event(&mut self, event: &Event) {
        let epochs = match event {
            Event::Resumed(history) => history.as_slice(),
            Event::Epoch { metrics, .. } => std::slice::from_ref(metrics),
            _ => return,
        };
        let Some(path) = self.path.clone() else { return };
        if let Err(error) = self.append(&path, epochs) {
            say(format_args!("error: no metrics are written any more: {error}"));
            (self.path, self.has_failed) = (None, true);
        }
    }

    fn append(&mut self, path: &Path, epochs: &[EpochMetrics]) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(&error, path);
        let mut lines = String::new();
        for epoch in epochs {
            lines += &serde_json::to_string(epoch)
                .map_err(|e| Error::new(ErrorKind::Internal, format!("cannot write metrics: {e}")))?;
            lines.push('\n');
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(File::create(path).map_err(failed)?),
        };
        file.write_all(lines.as_bytes()).map_err(failed)
    }
}
