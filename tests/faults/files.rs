//! Files that grow, shrink or vanish while they are read.

use super::*;

/// Runs `task`, stops it behind the `when`th `call` on `input`, changes the file, and lets it go on.
fn changed(task: Task, input: &str, call: &str, when: usize, change: fn(&Path)) -> (Place, Ended) {
    let place = Place::new(task);
    let inject = format!("{call}:signal=STOP:when={when}");
    let mut command = strace(&place.path(""), &task.arguments(), &inject, &[input], &place.log());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stops = 0;
    let began = Instant::now();
    // Each of its threads and processes is stopped at its own `when`th call.
    while child.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE {
        let log = std::fs::read_to_string(place.log()).unwrap_or_default();
        let stopped = log.lines().filter(|line| line.contains("stopped by SIGSTOP")).nth(stops);
        let Some(thread) = stopped.and_then(|line| line.split(' ').next()) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        if stops == 0 {
            change(&place.path(input));
        }
        // It may be gone by now.
        let _ = Command::new("kill").args(["-CONT", thread]).stderr(Stdio::null()).status();
        stops += 1;
    }
    assert!(stops > 0, "{task:?} never came to {inject}");
    (place, Ended::wait(child))
}

fn grow(path: &Path) {
    use std::io::Write;
    std::fs::File::options().append(true).open(path).unwrap().write_all(&[7; 5000]).unwrap();
}

fn shrink(path: &Path) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

/// The name has other bytes; who has opened the file keeps the old ones.
fn replace(path: &Path) {
    remove(path);
    std::fs::write(path, "no sound").unwrap();
}

const READ: [(Task, &str); 3] =
    [(Task::Classify, "in/0.wav"), (Task::Tag, "rec/0.wav"), (Task::Batch, "in/0.wav")];

#[test]
fn a_recording_that_grows_or_is_replaced_while_it_is_read_is_read_as_it_was() {
    if !has_strace() {
        return;
    }
    for (task, input) in READ {
        let last = times(task, "read", &[input]);
        for (when, change) in [(last / 2, grow as fn(&Path)), (last, grow), (last, replace), (last, remove)] {
            let (place, ended) = changed(task, input, "read", when, change);
            assert_eq!(ended.code(), 0, "{task:?}, read {when} of {last}: {ended:?}");
            let result = std::fs::read(place.path(task.outputs()[0])).unwrap();
            assert!(result == undisturbed(task).1[task.outputs()[0]], "{task:?}, read {when} of {last}");
        }
    }
}

#[test]
fn a_recording_that_shrinks_while_it_is_read_is_told() {
    if !has_strace() {
        return;
    }
    for (task, input) in READ {
        // What is shorter than its header says is told too, so at each moment.
        for when in (1..times(task, "read", &[input])).rev().take(PLACES) {
            let (place, ended) = changed(task, input, "read", when, shrink);
            let result = std::fs::read_to_string(place.path(task.outputs()[0])).unwrap();
            let is_told = ["became shorter while it was read", "cut short", "ends inside", "holds no s"]
                .iter()
                .any(|what| result.contains(what));
            let is_whole = result.as_bytes() == undisturbed(task).1[task.outputs()[0]];
            assert!(
                matches!(ended.code(), 0 | 1) && (is_told || is_whole),
                "{task:?}, {when}: {ended:?} {result}"
            );
        }
    }
}

#[test]
fn a_recording_that_vanishes_before_it_is_opened_costs_its_own_answer() {
    if !has_strace() {
        return;
    }
    for (task, input) in [(Task::Classify, "in/2.wav"), (Task::Batch, "in/2.wav")] {
        let (place, ended) = changed(task, input, "statx", 1, remove);
        assert_eq!(ended.code(), 1, "{task:?}: {ended:?}");
        let said = format!("{}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
        assert!(said.contains(input) && said.contains("no such file"), "{task:?}: {ended:?}");
        assert!(reads(task.outputs()[0], &std::fs::read(place.path(task.outputs()[0])).unwrap()));
    }
}

#[test]
fn results_that_vanish_or_are_cut_off_while_a_report_reads_them_are_told() {
    if !has_strace() {
        return;
    }
    let (_, gone) = changed(Task::Report, "results.jsonl", "statx", 1, remove);
    assert!(gone.code() == 2 && gone.stderr.contains("results.jsonl: no such file"), "{gone:?}");
    let (_, cut) = changed(Task::Report, "results.jsonl", "openat", 1, shrink);
    assert!(cut.code() == 2 && cut.stderr.contains("results.jsonl"), "{cut:?}");
}
