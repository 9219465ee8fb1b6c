//! Signals at any moment.

use super::*;

#[test]
fn a_program_that_is_killed_leaves_what_was_there_or_the_whole_result() {
    if !has_strace() {
        return;
    }
    // A batch is killed in tests of its own.
    for task in
        [Task::Classify, Task::Tag, Task::Features, Task::Report, Task::Watch, Task::Train, Task::Tune]
    {
        for call in ["write", "copy_file_range", "fsync", "renameat"] {
            for ended in disturb(task, call, "signal=KILL", &[]) {
                // The last place may be that of a worker or of a message behind all work.
                assert!(ended.status.code() != Some(0) || task == Task::Watch, "{task:?}: {ended:?}");
            }
        }
    }
}

#[test]
fn one_that_is_asked_to_end_does_so_with_a_whole_result_or_none() {
    if !has_strace() {
        return;
    }
    for signal in ["signal=TERM", "signal=INT"] {
        for task in [Task::Batch, Task::Watch, Task::Train, Task::Report] {
            disturb(task, "write", signal, &[]);
        }
    }
}

/// `percept ... | head -1`: whoever reads the results has enough.
#[test]
fn a_reader_that_leaves_is_no_error() {
    for arguments in [
        "classify -m c.safetensors in",
        "classify -m c.safetensors --format jsonl in/0.wav in/1.wav in/2.wav",
        "classify -m c.safetensors --format csv in/0.wav",
        "tag -m t.safetensors rec/0.wav",
        "probe in/0.wav in/1.wav",
        "info t.safetensors",
        "schema batch",
        "train --print-config",
        "evaluate -m c.safetensors clips",
        "train clips --config small.toml -o new.safetensors",
        "features in/0.wav -m c.safetensors -o new.png",
        "tune -m t.safetensors --manifest m.csv --labels l.csv -o tuned.safetensors",
    ] {
        let place = Place::new(Task::Classify);
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = percept(&place.path(""), &arguments);
        let ended = Ended::wait(command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap());
        drop(command);
        assert_eq!(ended.code(), 0, "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.contains("percept: error"), "{arguments:?}: {ended:?}");
        if let Some(output) = arguments.iter().position(|&flag| flag == "-o") {
            assert!(place.path(arguments[output + 1]).exists(), "{arguments:?}");
        }
    }
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    for arguments in
        ["classify -m c.safetensors in", "tag -m t.safetensors rec/0.wav", "probe in/0.wav", "schema batch"]
    {
        let place = Place::new(Task::Classify);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = percept(&place.path(""), &arguments.split(' ').collect::<Vec<_>>());
        let ended = Ended::wait(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(ended.code(), 2, "{arguments}: {ended:?}");
        assert!(ended.stderr.contains("standard output: No space left"), "{arguments}: {ended:?}");
    }
}
