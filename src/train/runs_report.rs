//! What several trainings came to, as JSON and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StopReason;
use super::baseline::{Baseline, Baselines};
use crate::TOOL;
use crate::error::one_line;
use crate::evaluate::{Counted, Failure, Measured, interval_95, wilson};
use crate::output::percent::{percent, percent_within};

/// What `percept train --folds` and `--seeds` print as JSON. Figures are unrounded fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunsReport {
    /// Version of this format: 1.
    #[schemars(extend("const" = crate::SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Name and version of the program that wrote this.
    pub tool: String,
    /// The manifest's column, or the number of folds; null without a cross-validation.
    pub folds: Option<String>,
    pub seeds: Vec<u64>,
    /// Fold by fold, in each seed by seed.
    pub runs: Vec<Run>,
    /// Each figure of the validation parts over all runs, by name.
    pub validation: BTreeMap<String, Spread>,
    /// Each figure of the test parts over all runs, by name.
    pub test: BTreeMap<String, Spread>,
    /// With folds and several seeds: how the mean over the folds differs between seeds, for each figure of the test parts.
    /// Folds that not all seeds have are left out.
    pub test_between_seeds: BTreeMap<String, Spread>,
    /// All test parts of a cross-validation together; null without one.
    pub pooled: Option<Pooled>,
    /// Wall-clock time of it all, in seconds.
    pub seconds: f64,
    pub warnings: Vec<String>,
    /// Training and validation clips that could not be read and were left out, each once.
    pub failures: Vec<Failure>,
}

/// One training among several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The fold that was the test part; null without folds.
    pub fold: Option<String>,
    pub seed: u64,
    /// Clips in each part: train, validation, test.
    pub clips: BTreeMap<String, usize>,
    /// Epochs that were run.
    pub epochs: usize,
    /// Epoch that was kept, counted from 1. The test part had no say in that.
    pub best_epoch: usize,
    pub stop_reason: StopReason,
    /// Wall-clock time in seconds.
    pub seconds: f64,
    /// Mean loss of the kept epoch on the validation part, which chooses among seeds; null without such a part.
    pub validation_loss: Option<f64>,
    pub validation: Option<Measured>,
    pub test: Option<Measured>,
    /// What simple means reach on the same parts; null where nobody asked, or there is too little to learn from.
    pub baselines: Option<Baselines>,
    /// Whether its model is kept: its validation loss is the lowest of its fold's seeds, or it is the first of them where there
    /// is no validation part.
    pub kept: bool,
    /// The file that its model was written to; null where none was.
    pub model: Option<WrittenModel>,
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenModel {
    pub path: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// One figure over several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    pub mean: f64,
    /// Of the sample (divided by the runs less one); null for a single run.
    pub standard_deviation: Option<f64>,
    pub lowest: f64,
    pub highest: f64,
    pub runs: usize,
}

/// All test parts together, each clip or recording once: of several seeds the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// Clips, or recordings.
    pub clips: usize,
    /// Share of the clips, or of their frames, that are right.
    pub accuracy: f64,
    /// 95% interval, [low, high]: Wilson's for clips; for frames by drawing recordings.
    pub accuracy_interval_95: Option<[f64; 2]>,
    /// Of labels of frames; null for clips.
    pub frame_f1: Option<f64>,
    pub frame_f1_interval_95: Option<[f64; 2]>,
    /// Of events; null for clips.
    pub event_f1: Option<f64>,
    pub event_f1_interval_95: Option<[f64; 2]>,
    /// Accuracy of each fold's commonest training label; null without baselines.
    pub majority_accuracy: Option<f64>,
    pub logistic_regression_accuracy: Option<f64>,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Self {
            mean,
            standard_deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
            lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
            highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            runs: values.len(),
        })
    }
}

impl RunsReport {
    pub fn new(folds: Option<String>, runs: Vec<Run>, seconds: f64) -> Self {
        let mut seeds: Vec<u64> = runs.iter().map(|run| run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let test_between_seeds = match folds.is_some() && seeds.len() > 1 {
            true => between_seeds(&runs, &seeds),
            false => BTreeMap::new(),
        };
        Self {
            schema_version: crate::SCHEMA_VERSION,
            tool: TOOL.to_string(),
            validation: spreads(runs.iter().map(|run| &run.validation)),
            test: spreads(runs.iter().map(|run| &run.test)),
            test_between_seeds,
            pooled: folds.is_some().then(|| pooled(&runs)).flatten(),
            folds,
            seeds,
            runs,
            seconds,
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// Each figure that all of them have.
fn spreads<'a>(parts: impl Iterator<Item = &'a Option<Measured>>) -> BTreeMap<String, Spread> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (name, value) in parts.flatten().flat_map(Measured::metrics) {
        values.entry(name).or_default().push(value);
    }
    values.into_iter().filter_map(|(name, values)| Some((name, Spread::of(&values)?))).collect()
}

/// Means over the same folds for each seed: those in which all seeds have the figure.
fn between_seeds(runs: &[Run], seeds: &[u64]) -> BTreeMap<String, Spread> {
    // Of each figure in each fold, one value a seed, in the seeds' order.
    let mut values: BTreeMap<(String, &Option<String>), Vec<f64>> = BTreeMap::new();
    for run in runs {
        for (name, value) in run.test.iter().flat_map(Measured::metrics) {
            values.entry((name, &run.fold)).or_default().push(value);
        }
    }
    let mut folds: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
    for ((name, _), values) in values.into_iter().filter(|(_, values)| values.len() == seeds.len()) {
        folds.entry(name).or_default().push(values);
    }
    let mean = |folds: &[Vec<f64>], seed: usize| {
        folds.iter().map(|fold| fold[seed]).sum::<f64>() / folds.len() as f64
    };
    folds
        .into_iter()
        .filter_map(|(name, folds)| {
            let means: Vec<f64> = (0..seeds.len()).map(|seed| mean(&folds, seed)).collect();
            Some((name, Spread::of(&means)?))
        })
        .collect()
}

fn pooled(runs: &[Run]) -> Option<Pooled> {
    let baseline = |figure: fn(&Baseline) -> f64| {
        let each = runs.iter().map(|run| {
            let baseline = run.baselines.as_ref()?.test.as_ref()?;
            Some((figure(baseline), baseline.measured_on as f64))
        });
        let each: Vec<(f64, f64)> = each.collect::<Option<_>>()?;
        let total: f64 = each.iter().map(|(_, n)| n).sum();
        Some(each.iter().map(|(value, n)| value * n).sum::<f64>() / total)
    };
    let empty = Pooled {
        clips: 0,
        accuracy: 0.0,
        accuracy_interval_95: None,
        frame_f1: None,
        frame_f1_interval_95: None,
        event_f1: None,
        event_f1_interval_95: None,
        majority_accuracy: baseline(|b| b.majority.accuracy),
        logistic_regression_accuracy: baseline(|b| b.logistic_regression.accuracy),
    };
    // A fold that was stopped half way has fewer seeds than the others: its clips count as often as they were scored.
    let (mut clips, mut correct, mut scored) = (BTreeMap::new(), 0, 0);
    let mut recordings: BTreeMap<std::path::PathBuf, Counted> = BTreeMap::new();
    for run in runs {
        match run.test.as_ref() {
            Some(Measured::Clips(evaluation)) => {
                correct += evaluation.correct;
                scored += evaluation.clips;
                clips.insert(&run.fold, evaluation.clips);
            }
            Some(Measured::Frames(evaluation)) => evaluation
                .counted
                .iter()
                .for_each(|(path, counted)| *recordings.entry(path.clone()).or_default() += *counted),
            None => {}
        }
    }
    if scored > 0 {
        let clips: usize = clips.values().sum();
        let accuracy = correct as f64 / scored as f64;
        let interval = wilson(accuracy * clips as f64, clips);
        return Some(Pooled { clips, accuracy, accuracy_interval_95: Some(interval), ..empty });
    }
    let each: Vec<Counted> = recordings.into_values().collect();
    let mut all = Counted::default();
    each.iter().for_each(|&counted| all += counted);
    Some(Pooled {
        clips: each.len(),
        accuracy: all.accuracy()?,
        accuracy_interval_95: interval_95(&each, Counted::accuracy),
        frame_f1: all.frame_f1(),
        frame_f1_interval_95: interval_95(&each, Counted::frame_f1),
        event_f1: all.event_f1(),
        event_f1_interval_95: interval_95(&each, Counted::event_f1),
        ..empty
    })
}

/// A row of the table.
struct Row {
    name: String,
    count: String,
    cells: Vec<String>,
}

impl RunsReport {
    /// For people: a row a run, then mean and spread.
    pub fn table(&self) -> String {
        let on_test = self.runs.iter().any(|run| run.test.is_some());
        let part = if on_test { "test" } else { "validation" };
        let of = |run: &Run| if on_test { run.test.clone() } else { run.validation.clone() };
        let is_timed = self.runs.iter().any(|run| matches!(of(run), Some(Measured::Frames(_))));
        let mut rows = vec![heading(is_timed)];
        rows.extend(self.runs.iter().map(|run| self.row(run, of(run), on_test)));
        let mut text = format!("on the {part} part, with 95% intervals:\n\n{}", aligned(&rows));
        let _ = writeln!(text);
        let spreads = if on_test { &self.test } else { &self.validation };
        for (name, spread) in spreads {
            let name = name.replace('_', " ");
            let _ = writeln!(text, "{name:<18} {}", spread.line("runs"));
        }
        for (name, spread) in &self.test_between_seeds {
            let _ = writeln!(
                text,
                "{:<18} {}",
                name.replace('_', " "),
                spread.line("seeds, each the mean of its folds")
            );
        }
        if let Some(pooled) = &self.pooled {
            text += &pooled.line(is_timed);
        }
        text
    }

    fn row(&self, run: &Run, measured: Option<Measured>, on_test: bool) -> Row {
        let mut name = run.fold.as_deref().map_or(String::new(), one_line);
        if self.seeds.len() > 1 || run.fold.is_none() {
            name += if name.is_empty() { "" } else { ", " };
            name += &format!("seed {}", run.seed);
            name += if run.kept { " *" } else { "" };
        }
        let baselines = run.baselines.as_ref();
        let baseline = baselines.and_then(|b| if on_test { b.test.as_ref() } else { b.validation.as_ref() });
        let loss = run.validation_loss.map_or("-".into(), |loss| format!("{loss:.4}"));
        let mut cells = vec![format!("{} of {}", run.best_epoch, run.epochs), loss];
        let count = match measured {
            Some(Measured::Clips(e)) => {
                cells.push(percent_within(e.accuracy, Some(e.accuracy_interval_95)));
                e.clips.to_string()
            }
            Some(Measured::Frames(e)) => {
                let frames = &e.frames;
                cells.push(percent_within(frames.accuracy, frames.accuracy_interval_95));
                cells.push(percent_within(frames.f1, frames.f1_interval_95));
                cells.push(percent_within(e.events.event_based.overall.f_measure, e.event_f1_interval_95));
                e.recordings.to_string()
            }
            None => "-".to_string(),
        };
        let shown = |figure: fn(&Baseline) -> f64| baseline.map_or("-".into(), |b| percent(figure(b)));
        cells.push(shown(|b| b.majority.accuracy));
        cells.push(shown(|b| b.logistic_regression.accuracy));
        Row { name, count, cells }
    }
}

fn heading(is_timed: bool) -> Row {
    let (count, figures): (&str, &[&str]) = match is_timed {
        true => ("recordings", &["frames right", "frame F1", "event F1"]),
        false => ("clips", &["accuracy"]),
    };
    let before = ["epoch", "validation loss"];
    let cells = before.iter().chain(figures).chain(&["majority", "logistic regression"]);
    Row { name: String::new(), count: count.into(), cells: cells.map(|c| c.to_string()).collect() }
}

/// Names to the left, all else to the right.
fn aligned(rows: &[Row]) -> String {
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let name = width(&|row| row.name.chars().count());
    let count = width(&|row| row.count.len());
    let mut text = String::new();
    for row in rows {
        let _ = write!(text, "{:<name$}  {:>count$}", row.name, row.count);
        for (k, cell) in row.cells.iter().enumerate() {
            let width = width(&|row| row.cells.get(k).map_or(0, String::len));
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}

impl Spread {
    fn line(&self, of: &str) -> String {
        let spread = self.standard_deviation.map_or(String::new(), |s| format!(" ± {:.1}", 100.0 * s));
        format!(
            "{:.1} %{spread} (mean and standard deviation of {} {of}; {:.1} to {:.1})",
            100.0 * self.mean,
            self.runs,
            100.0 * self.lowest,
            100.0 * self.highest
        )
    }
}

impl Pooled {
    fn line(&self, is_timed: bool) -> String {
        let what = if is_timed { "frames of all recordings" } else { "all clips together" };
        let mut text = format!(
            "{what}: {} of {} {}",
            percent_within(self.accuracy, self.accuracy_interval_95),
            self.clips,
            if is_timed { "recordings" } else { "clips" }
        );
        for (name, value, interval) in [
            ("frame F1", self.frame_f1, self.frame_f1_interval_95),
            ("event F1", self.event_f1, self.event_f1_interval_95),
        ] {
            if let Some(value) = value {
                let _ = write!(text, ", {name} {}", percent_within(value, interval));
            }
        }
        if let Some((majority, regression)) = self.majority_accuracy.zip(self.logistic_regression_accuracy) {
            let _ =
                write!(text, "; majority {}, logistic regression {}", percent(majority), percent(regression));
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Evaluation;

    fn run(fold: &str, seed: u64, right: usize, clips: usize) -> Run {
        let labels = ["a".to_string(), "b".to_string()];
        let said: Vec<usize> = (0..clips).map(|i| usize::from(i >= right)).collect();
        let test = Evaluation::new(&labels, &vec![0; clips], &said, None).unwrap();
        Run {
            fold: Some(fold.into()),
            seed,
            clips: BTreeMap::new(),
            epochs: 3,
            best_epoch: 2,
            stop_reason: StopReason::Finished,
            seconds: 1.0,
            validation_loss: Some(0.5),
            validation: None,
            test: Some(Measured::Clips(test)),
            baselines: None,
            kept: false,
            model: None,
        }
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        // statistics.stdev([0.5, 0.75, 1.0]) == 0.25
        let spread = Spread::of(&[0.5, 0.75, 1.0]).unwrap();
        assert_eq!((spread.mean, spread.standard_deviation), (0.75, Some(0.25)));
        assert_eq!((spread.lowest, spread.highest, spread.runs), (0.5, 1.0, 3));
        assert_eq!(Spread::of(&[0.5]).unwrap().standard_deviation, None);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn seeds_are_averaged_before_clips_are_pooled() {
        let runs = vec![run("x", 0, 8, 10), run("x", 1, 6, 10), run("y", 0, 20, 20), run("y", 1, 18, 20)];
        let report = RunsReport::new(Some("fold".into()), runs, 4.0);
        let pooled = report.pooled.as_ref().unwrap();
        // 52 of 60 answers are right; there are 30 clips.
        assert_eq!((pooled.clips, pooled.accuracy), (30, 52.0 / 60.0));
        assert_eq!(pooled.accuracy_interval_95, Some(wilson(26.0, 30)));
        assert_eq!(report.test["accuracy"].runs, 4);
        let seeds = &report.test_between_seeds["accuracy"];
        assert!((seeds.mean - 0.825).abs() < 1e-12 && seeds.runs == 2, "{seeds:?}");
        assert!((seeds.lowest - 0.75).abs() < 1e-12 && (seeds.highest - 0.9).abs() < 1e-12);
    }

    #[test]
    fn seeds_are_compared_on_the_folds_that_all_of_them_have() {
        let mut runs = vec![run("x", 0, 8, 10), run("x", 1, 6, 10), run("y", 0, 20, 20)];
        let seeds = |runs: &Vec<Run>| {
            let report = RunsReport::new(Some("fold".into()), runs.clone(), 4.0);
            report.test_between_seeds.get("accuracy").map(|seeds| (seeds.lowest, seeds.highest))
        };
        assert_eq!(seeds(&runs), Some((0.6, 0.8)));
        runs.remove(0);
        assert_eq!(seeds(&runs), None);
    }

    #[test]
    fn the_table_has_a_row_a_run() {
        let report =
            RunsReport::new(Some("fold".into()), vec![run("x", 0, 8, 10), run("theo", 0, 9, 10)], 4.0);
        assert_eq!(
            report.table(),
            "\
on the test part, with 95% intervals:

      clips   epoch  validation loss             accuracy  majority  logistic regression
x        10  2 of 3           0.5000  80.0 % [49.0, 94.3]         -                    -
theo     10  2 of 3           0.5000  90.0 % [59.6, 98.2]         -                    -

accuracy           85.0 % ± 7.1 (mean and standard deviation of 2 runs; 80.0 to 90.0)
all clips together: 85.0 % [64.0, 94.8] of 20 clips
"
        );
    }
}
