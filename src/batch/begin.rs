//! What a run begins with: nothing, or what an earlier one has left.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::finish::Rows;
use super::journal::{Identity, Journal, Place, Stage, State};
use super::list::{Listed, Source, check_sources, list};
use super::run::{Begun, Event, Mode, Plan, Run, Summary, beside};
use crate::files::AtomicFile;
use crate::media::walk::PassedOver;
use crate::{Error, ErrorKind, Result};

/// Inputs of which it is looked up together whether they have changed.
const CHECKED_AT_ONCE: usize = 4096;
/// Inputs in a row that must be gone for their disk to be missing.
const LOOKED_FOR: usize = 10;

/// Finds out what is to be done.
pub(super) fn begin<'a>(plan: &Plan<'a>, on_event: &mut dyn FnMut(Event)) -> Result<Begun<'a>> {
    let output = &plan.target.file;
    let journal_path = beside(output, ".journal");
    let exists = output.exists();
    let refuse = |message: String| Err(Error::new(ErrorKind::Config, message).with_path(output));
    // Whatever would make it fail after all work is done.
    drop(AtomicFile::create(output)?);
    check_sources(&plan.job.sources)?;
    let (rows_path, kept_rows) = rows_paths(output);
    if !journal_path.exists() && plan.mode != Mode::Force {
        if exists {
            return refuse("exists; --force replaces it, or name another (-o)".into());
        }
        if let Some(other) = [rows_path, kept_rows].iter().find(|path| path.exists()) {
            let message = "is in the way, and was not written by a run of this output: remove it (--force does), or name another \
                           output (-o)";
            return Err(Error::new(ErrorKind::Config, message).with_path(other));
        }
    }
    let (journal, state) = Journal::open(&journal_path)?;
    match (plan.mode, state.stage) {
        (Mode::Force, _) | (_, Stage::Empty) if plan.mode == Mode::Force || !exists => {
            anew(plan, journal, on_event)
        }
        (Mode::Fresh, Stage::Working) => refuse(format!(
            "an unfinished run of it is there ({} of {} inputs done): --resume goes on with it, --force begins anew",
            state.done.len(),
            state.inputs
        )),
        (Mode::Fresh, _) if exists => refuse("exists; --force replaces it, or name another (-o)".into()),
        (_, Stage::Empty) => refuse("exists, and its journal is empty; --force replaces it".into()),
        // Somebody has taken the output away.
        (_, Stage::Finished) if !exists => anew(plan, journal, on_event),
        _ => go_on(plan, journal, state, on_event),
    }
}

fn anew<'a>(plan: &Plan<'a>, mut journal: Journal, on_event: &mut dyn FnMut(Event)) -> Result<Begun<'a>> {
    let (rows_path, kept_rows) = rows_paths(&plan.target.file);
    for old in [&rows_path, &kept_rows] {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&error, old)),
            _ => {}
        }
    }
    journal.begin(&plan.job)?;
    let mut found = 0;
    let listed = list(&plan.job.sources, &plan.job.list, &mut |input| {
        check_not_written(&input.path, &plan.target.file)?;
        found += 1;
        if found % 10_000 == 0 {
            on_event(Event::Listing(found));
        }
        journal.input(&input)
    })?;
    for warning in warnings(&listed) {
        on_event(Event::Warning(warning));
    }
    journal.listed()?;
    let summary = Summary { inputs: listed.inputs, ..Summary::default() };
    Run::new(plan, journal, Vec::new(), 0, summary).map(Begun::Working)
}

/// The output must not replace an input.
fn check_not_written(input: &Path, output: &Path) -> Result<()> {
    if !is_output(input, output) {
        return Ok(());
    }
    let message = "is both read and to be written (-o); give the result another name";
    Err(Error::new(ErrorKind::Path, message).with_path(output))
}

/// Whether an input that was found is the output itself.
pub(super) fn is_output(input: &Path, output: &Path) -> bool {
    input.file_name() == output.file_name()
        && input.canonicalize().is_ok_and(|input| output.canonicalize().is_ok_and(|output| input == output))
}

fn warnings(listed: &Listed) -> Vec<String> {
    let mut warnings = Vec::new();
    if let PassedOver { count: 1.., first: Some(first) } = &listed.passed_over {
        let count = listed.passed_over.count;
        warnings.push(format!(
            "files that are no media are passed over: {count} (the first: {})",
            first.display()
        ));
    }
    if listed.twice > 0 {
        warnings.push(format!("inputs that are named again and worked on once: {}", listed.twice));
    }
    if listed.inputs == 0 {
        warnings.push("there are no inputs".into());
    }
    warnings
}

fn go_on<'a>(
    plan: &Plan<'a>,
    mut journal: Journal,
    state: State,
    on_event: &mut dyn FnMut(Event),
) -> Result<Begun<'a>> {
    let output = &plan.target.file;
    if let Some(was) = &state.job {
        plan.job.check(was).map_err(|error| error.with_path(output))?;
        if plan.job.manifests != was.manifests {
            let message = "a manifest has changed since the run began, which goes on with the list of then (--force begins anew)";
            on_event(Event::Warning(message.into()));
        }
    }
    let (rows_path, kept_rows) = rows_paths(output);
    let failed = state.done.iter().filter(|done| done.error.is_some()).count();
    let retries = plan.mode == Mode::RetryFailed && failed > 0;
    let mut state = state;
    let there = std::fs::metadata(output).map_or(0, |metadata| metadata.len());
    if state.stage == Stage::Finished && state.written.is_some_and(|written| written != there) {
        let message =
            "is not what the run has written: somebody has changed or replaced it; --force makes it anew";
        return Err(Error::new(ErrorKind::Config, message).with_path(output));
    }
    if state.stage == Stage::Finished && !retries {
        on_event(Event::Warning(format!("{} is complete: there is nothing to do", output.display())));
        let is_done = unchanged(&mut journal, &state, plan.job.verify, on_event)?;
        if state.done.iter().any(|done| !is_done[done.index]) {
            on_event(Event::Warning("--force makes it anew with what has changed".into()));
        }
        // A run may be killed between its last steps.
        if rows_path.exists() {
            put_rows_away(&rows_path, &kept_rows, failed)?;
        }
        let (inputs, skipped) = (state.inputs, state.done.len());
        return Ok(Begun::Complete(Summary {
            inputs,
            skipped,
            skipped_failed: failed,
            without_file: state.without_file,
            ..Summary::default()
        }));
    }
    if retries {
        state.done.retain(|done| done.error.is_none());
    }
    if !rows_path.exists() && kept_rows.exists() {
        std::fs::rename(&kept_rows, &rows_path).map_err(|error| Error::io(&error, &rows_path))?;
    }
    // A row that is not there as it was written is made again.
    match rows_path.exists() {
        true => {
            let mut rows = Rows::open(&rows_path)?;
            state.done.retain(|done| rows.read(&Place::of(done)).is_ok());
        }
        false => state.done.clear(),
    }
    let is_done = unchanged(&mut journal, &state, plan.job.verify, on_event)?;
    check_pending(&mut journal, &is_done, &plan.job.sources)?;
    if retries {
        journal.retry()?;
    }
    let good = state.done.iter().map(|done| done.start + done.length).max().unwrap_or(0);
    let skipped_failed = state.done.iter().filter(|done| done.error.is_some() && is_done[done.index]).count();
    let skipped = is_done.iter().filter(|&&is_done| is_done).count();
    let summary = Summary { inputs: state.inputs, skipped, skipped_failed, ..Summary::default() };
    Run::new(plan, journal, is_done, good, summary).map(Begun::Working)
}

/// Whether inputs that were there when the list was made are there still: a disk that is not mounted would cost a row for
/// each of its files.
fn check_pending(journal: &mut Journal, is_done: &[bool], sources: &[Source]) -> Result<()> {
    // What stands in a list may never have been there.
    if !sources.iter().all(|source| matches!(source, Source::Path(_))) {
        return Ok(());
    }
    let mut inputs = journal.inputs()?;
    let mut gone = Vec::new();
    for is_done in is_done {
        let Some(input) = inputs.next_input()? else { break };
        if *is_done {
            continue;
        }
        match input.path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => gone.push(input.path),
            _ => return Ok(()),
        }
        if gone.len() == LOOKED_FOR {
            break;
        }
    }
    match gone.first() {
        Some(first) if gone.len() == LOOKED_FOR => {
            let message = "and those behind it were there when the list was made, and are gone: is their disk mounted? (--force \
                           makes the list anew)";
            Err(Error::new(ErrorKind::NotFound, message).with_path(first))
        }
        _ => Ok(()),
    }
}

/// Which inputs are done, and are as they were then.
///
/// # Errors
/// [`ErrorKind::NotFound`] where none of those that were there is there any more.
fn unchanged(
    journal: &mut Journal,
    state: &State,
    verify: bool,
    on_event: &mut dyn FnMut(Event),
) -> Result<Vec<bool>> {
    let mut is_done = vec![false; state.inputs];
    let mut known = vec![Identity::None; if state.done.is_empty() { 0 } else { state.inputs }];
    for done in &state.done {
        (is_done[done.index], known[done.index]) = (true, done.identity);
    }
    let (mut changed, mut gone, mut there) = (0, 0, 0);
    let mut first_gone = PathBuf::new();
    let mut inputs = journal.inputs()?;
    for first in (0..known.len()).step_by(CHECKED_AT_ONCE) {
        let count = CHECKED_AT_ONCE.min(known.len() - first);
        let paths = (0..count).map(|_| inputs.next_input()).collect::<Result<Vec<_>>>()?;
        let now: Vec<Identity> = paths
            .par_iter()
            .enumerate()
            .map(|(i, input)| match input {
                Some(input) if is_done[first + i] => Identity::of(&input.path, verify),
                _ => Identity::None,
            })
            .collect();
        for (i, (input, now)) in paths.iter().zip(now).enumerate() {
            if !is_done[first + i] {
                continue;
            }
            match (known[first + i], now) {
                (Identity::None, Identity::None) => {}
                // Its row stays: the recording is no longer there to say otherwise.
                (_, Identity::None) => {
                    gone += 1;
                    if let (1, Some(input)) = (gone, input) {
                        first_gone.clone_from(&input.path);
                    }
                }
                (was, now) if was == now => there += 1,
                _ => {
                    there += 1;
                    changed += 1;
                    is_done[first + i] = false;
                }
            }
        }
    }
    if gone > 0 && there == 0 {
        let message = format!(
            "and all other inputs that are done ({gone}) are gone; is the disk that holds them mounted?"
        );
        return Err(Error::new(ErrorKind::NotFound, message).with_path(first_gone));
    }
    if gone > 0 {
        on_event(Event::Warning(format!(
            "inputs that are gone since, whose rows stay: {gone} (the first: {})",
            first_gone.display()
        )));
    }
    if changed > 0 {
        on_event(Event::Warning(format!("inputs that have changed since they were worked on: {changed}")));
    }
    Ok(is_done)
}

/// Where rows are written, and where they wait for a retry.
pub(super) fn rows_paths(output: &Path) -> (PathBuf, PathBuf) {
    (beside(output, ".partial"), beside(output, ".rows"))
}

/// The output is there: rows are needed only where some are to be made again.
pub(super) fn put_rows_away(rows: &Path, kept: &Path, without_result: usize) -> Result<()> {
    let put_away = match without_result {
        0 => std::fs::remove_file(rows),
        _ => std::fs::rename(rows, kept),
    };
    put_away.map_err(|error| Error::io(&error, rows))
}
