//! `percept train --folds` and `--seeds`: several trainings, and what they come to.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use super::evaluate::print_json;
use super::train::check_output;
use super::train_progress::{Progress, duration};
use super::{exit_code, say, say_lines};
use crate::train::folds::{FoldPlan, plan};
use crate::train::runs_report::{RunsReport, WrittenModel};
use crate::train::{StopReason, TrainConfig, TrainOptions, train_runs};
use crate::{Error, ErrorKind, Result};

/// Trains each fold of `config`, if it has folds, with so many seeds. `output` is the model file; of several folds each gets
/// one of its own.
pub fn run(
    config: &TrainConfig,
    seeds: usize,
    output: Option<&Path>,
    options: &TrainOptions,
    stop: &AtomicBool,
) -> Result<ExitCode> {
    let plan = match config.data.is_cross_validation() {
        true => Some(plan(config)?),
        false => None,
    };
    let name_of =
        |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("model").to_string();
    let mut paths = Vec::new();
    if let Some(output) = output {
        paths = outputs(output, plan.as_ref())?;
        for path in &paths {
            check_output(path)?;
        }
    }
    let path_of = |fold: Option<&str>| {
        let index =
            plan.as_ref().and_then(|plan| plan.names.iter().position(|name| Some(name.as_str()) == fold));
        paths.get(index.unwrap_or(0)).map(PathBuf::as_path)
    };
    let mut progress = Progress::new();
    let name = |fold: Option<&str>| path_of(fold).map_or_else(|| "model".to_string(), name_of);
    let mut on_event = |event| progress.on_event(event);
    let result = train_runs(config, plan.as_ref(), seeds, &name, options, &mut on_event, stop);
    let (mut warnings, mut failures) = progress.finish();
    let mut runs = result?;
    // Each fold meets the same files.
    dedup(&mut warnings);
    dedup(&mut failures);
    let missing = runs.missing;
    let report = &mut runs.report;
    (report.warnings, report.failures) = (warnings, failures);
    for (run, model) in &runs.kept {
        let run = &mut report.runs[*run];
        let Some(path) = path_of(run.fold.as_deref()) else { continue };
        model.save(path)?;
        run.model =
            Some(WrittenModel { path: path.display().to_string(), sha256: model.sha256().to_string() });
    }
    say_lines(&format!("\n{}\n", report.table()));
    say(summary(report));
    print_json(report)?;
    let unread = report.runs.iter().flat_map(|run| [&run.validation, &run.test]).flatten();
    let unread: usize = unread.map(|measured| measured.failures().len()).sum();
    let diverged = report.runs.iter().filter(|run| run.stop_reason == StopReason::Diverged).count();
    Ok(exit_code(report.failures.len() + unread + diverged + missing))
}

/// `birds.safetensors`, or for each fold `birds.fold-NAME.safetensors`.
fn outputs(output: &Path, plan: Option<&FoldPlan>) -> Result<Vec<PathBuf>> {
    let Some(plan) = plan else { return Ok(vec![output.to_path_buf()]) };
    let stem = output.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| {
        let message = "a file name in UTF-8 is due for the models (-o), such as model.safetensors";
        Error::new(ErrorKind::Path, message).with_path(output)
    })?;
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or("safetensors");
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name =
        |fold: &String| format!("{stem}.fold-{}.{ending}", fold.chars().map(plain).collect::<String>());
    let paths: Vec<PathBuf> = plan.names.iter().map(|fold| output.with_file_name(name(fold))).collect();
    match (1..paths.len()).find(|&i| paths[..i].contains(&paths[i])) {
        None => Ok(paths),
        Some(i) => {
            let message = format!("two folds would be written to {}: rename one of them", paths[i].display());
            Err(Error::new(ErrorKind::Path, message))
        }
    }
}

/// Each once, in the order in which they came.
fn dedup<T: PartialEq>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::new();
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

fn summary(report: &RunsReport) -> String {
    let written: Vec<&str> =
        report.runs.iter().filter_map(|run| Some(run.model.as_ref()?.path.as_str())).collect();
    let time = duration(report.seconds);
    let trainings = report.runs.len();
    let kept = || report.runs.iter().filter(|run| run.kept);
    let validated = kept().filter(|run| run.validation_loss.is_some()).count();
    let chosen = match (report.seeds.len(), validated) {
        (1, _) => "",
        (_, 0) => ", with the first seed, as there is no validation part (*)",
        (_, n) if n == kept().count() => ", with the seed of the lowest validation loss (*)",
        _ => {
            ", with the seed of the lowest validation loss, or the first where there is no validation part (*)"
        }
    };
    match written.first() {
        None => format!("{trainings} trainings, {time}; no model was written (-o)"),
        Some(first) if written.len() == 1 => format!("{trainings} trainings, {time}; wrote {first}{chosen}"),
        Some(first) => format!(
            "{trainings} trainings, {time}; wrote {} models{chosen}, the first: {first}",
            written.len()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(names: &[&str]) -> FoldPlan {
        FoldPlan { names: names.iter().map(|n| n.to_string()).collect(), fold_of: vec![] }
    }

    #[test]
    fn each_fold_has_a_file_of_its_own() {
        let output = Path::new("out/birds.safetensors");
        assert_eq!(outputs(output, None).unwrap(), [output]);
        let paths = outputs(output, Some(&folds(&["theo", "a/b c"]))).unwrap();
        let expected = ["out/birds.fold-theo.safetensors", "out/birds.fold-a_b_c.safetensors"];
        assert_eq!(paths, expected.map(PathBuf::from));
        assert!(outputs(output, Some(&folds(&["a/b", "a b"]))).unwrap_err().message.contains("two folds"));
    }

    #[test]
    fn what_was_said_of_each_fold_is_kept_once() {
        let mut items = vec!["b", "a", "b", "c", "a"];
        dedup(&mut items);
        assert_eq!(items, ["b", "a", "c"]);
    }
}
