//! Several trainings of one configuration: one fold after the other, one seed after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::baseline::Baselines;
use super::folds::FoldPlan;
use super::runs_report::{Run, RunsReport};
use super::{Event, StopReason, Survey, TrainConfig, TrainOptions, train};
use crate::model::Model;
use crate::{Error, ErrorKind, Result};

/// Most seeds of one call.
pub const MAX_SEEDS: usize = 1000;

/// What several trainings came to.
pub struct Runs {
    pub report: RunsReport,
    /// Of each fold, or without folds of all runs, the model of the seed with the lowest validation loss, or of the first seed
    /// where there is no validation part: its place in [`RunsReport::runs`], and the model.
    pub kept: Vec<(usize, Model)>,
    /// Trainings that were asked for and are not complete: they failed, or were stopped. Warnings name those that failed.
    pub missing: usize,
}

/// Trains `config` with each fold of `plan` as the test part and with `seeds` seeds, from that of the configuration on. The
/// split is that of the first seed for all of them. `name_of` gives a model its name by its fold. The test part of a run is
/// read once, at its end, and chooses nothing. Runs write no checkpoints: of `options` only `strict` counts.
///
/// # Errors
/// Data that cannot be split into these folds. A training that fails is a warning that names the fold and the seed; the next
/// seed follows, or the next fold where it is the data that is wrong. Where none is complete, the first error, one of
/// [`train`]'s; or [`ErrorKind::Interrupted`] where `stop` was set.
pub fn train_runs(
    config: &TrainConfig,
    plan: Option<&FoldPlan>,
    seeds: usize,
    name_of: &dyn Fn(Option<&str>) -> String,
    options: &TrainOptions,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<Runs> {
    let start = Instant::now();
    let first_seed = config.training.seed;
    if !(1..=MAX_SEEDS).contains(&seeds) || first_seed.checked_add(seeds as u64).is_none() {
        let message = format!("{seeds} seeds from {first_seed} on are asked for; 1 to {MAX_SEEDS} can be");
        return Err(Error::new(ErrorKind::Config, message));
    }
    let folds: Vec<Option<&str>> = match plan {
        Some(plan) => plan.names.iter().map(|name| Some(name.as_str())).collect(),
        None => vec![None],
    };
    let options = TrainOptions { checkpoint: None, resume: false, ..options.clone() };
    let survey = Survey::new(config, plan, on_event, stop)?;
    // A fold that cannot be learned without is found before hours have gone into the others.
    let baselines: Vec<Option<Baselines>> = folds
        .iter()
        .map(|fold| {
            let what = describe(*fold, None);
            survey.baselines(&of_run(config, *fold, first_seed)).map_err(|error| error_of(&what, error))
        })
        .collect::<Result<_>>()?;
    let total = folds.len() * seeds;
    let (mut runs, mut kept, mut first_error) = (Vec::with_capacity(total), Vec::new(), None);
    for (k, (&fold, baselines)) in folds.iter().zip(&baselines).enumerate() {
        // The lowest validation loss so far.
        let mut best: Option<(f64, usize, Model)> = None;
        for seed in first_seed..first_seed + seeds as u64 {
            let what = describe(fold, (seeds > 1).then_some(seed));
            let number = k * seeds + (seed - first_seed) as usize + 1;
            on_event(Event::Message(format!("{what}: training {number} of {total}")));
            let finished = one_run(
                &of_run(config, fold, seed),
                fold,
                baselines,
                &name_of(fold),
                &options,
                on_event,
                stop,
            );
            let (run, model) = match finished {
                Ok(Some(finished)) => finished,
                Ok(None) => break,
                Err(error) => {
                    // Another seed may learn what this one did not, but it meets the same data.
                    let is_by_seed = error.kind == ErrorKind::Training;
                    let concerns_all = error.kind == ErrorKind::Config || plan.is_none() && !is_by_seed;
                    let error = error_of(&what, error);
                    if runs.is_empty() && concerns_all {
                        return Err(error);
                    }
                    on_event(Event::Warning(error.to_string()));
                    first_error.get_or_insert(error);
                    if is_by_seed {
                        continue;
                    }
                    break;
                }
            };
            let loss = run.validation_loss.unwrap_or(f64::INFINITY);
            if best.as_ref().is_none_or(|(lowest, ..)| loss < *lowest) {
                best = Some((loss, runs.len(), model));
            }
            runs.push(run);
        }
        if let Some((_, run, model)) = best {
            runs[run].kept = true;
            kept.push((run, model));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    if runs.is_empty() {
        let stopped = || Error::new(ErrorKind::Interrupted, "stopped before the first training was over");
        return Err(first_error.unwrap_or_else(stopped));
    }
    let missing = total - runs.len();
    if missing > 0 {
        on_event(Event::Warning(format!("only {} of {total} trainings are complete", runs.len())));
    }
    let folds = plan.map(|_| config.data.folds.clone());
    Ok(Runs { report: RunsReport::new(folds, runs, start.elapsed().as_secs_f64()), kept, missing })
}

/// What is trained in one run, as if it were the only one.
fn of_run(config: &TrainConfig, fold: Option<&str>, seed: u64) -> TrainConfig {
    let mut config = config.clone();
    config.data.test_fold = fold.unwrap_or(&config.data.test_fold).to_string();
    if seed != config.training.seed {
        config.data.split_seed.get_or_insert(config.training.seed);
        config.training.seed = seed;
    }
    config
}

/// `None` where it was stopped before its end.
fn one_run(
    config: &TrainConfig,
    fold: Option<&str>,
    baselines: &Option<Baselines>,
    name: &str,
    options: &TrainOptions,
    on_event: &mut dyn FnMut(Event),
    stop: &AtomicBool,
) -> Result<Option<(Run, Model)>> {
    let outcome = match train(config, name, options, on_event, stop) {
        Err(error) if error.kind == ErrorKind::Interrupted => return Ok(None),
        outcome => outcome?,
    };
    if outcome.stop_reason == StopReason::Interrupted {
        return Ok(None);
    }
    let kept = outcome.history.iter().find(|epoch| epoch.epoch == outcome.best_epoch);
    let run = Run {
        fold: fold.map(str::to_string),
        seed: config.training.seed,
        clips: outcome.model.header().provenance.split.clone(),
        epochs: outcome.history.len(),
        best_epoch: outcome.best_epoch,
        stop_reason: outcome.stop_reason,
        seconds: outcome.seconds,
        validation_loss: kept.and_then(|epoch| epoch.validation_loss),
        validation: outcome.validation,
        test: outcome.test,
        baselines: baselines.clone(),
        kept: false,
        model: None,
    };
    Ok(Some((run, outcome.model)))
}

/// The error of a run; what concerns all of them says nothing of one.
fn error_of(what: &str, error: Error) -> Error {
    match what {
        "" => error,
        _ => Error { message: format!("{what}: {}", error.message), ..error },
    }
}

/// `fold theo, seed 3`; nothing where there is only one of both.
fn describe(fold: Option<&str>, seed: Option<u64>) -> String {
    let parts = [fold.map(|fold| format!("fold {fold}")), seed.map(|seed| format!("seed {seed}"))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_says_all_that_makes_it_again() {
        let mut config = TrainConfig::default();
        config.training.seed = 3;
        config.data.folds = "speaker".into();
        assert_eq!(of_run(&config, Some("theo"), 3).data.split_seed, None);
        let second = of_run(&config, Some("theo"), 4);
        assert_eq!((second.training.seed, second.data.split_seed), (4, Some(3)));
        assert_eq!(second.data.test_fold, "theo");
        let text = second.to_toml().unwrap();
        assert_eq!(TrainConfig::from_toml(&text).unwrap(), second);
    }

    #[test]
    fn runs_are_named_by_what_makes_them_differ() {
        assert_eq!(describe(Some("theo"), None), "fold theo");
        assert_eq!(describe(Some("2"), Some(7)), "fold 2, seed 7");
        assert_eq!(describe(None, Some(7)), "seed 7");
    }
}
