//! Disks that are full, fail, or may not be written.

use super::*;

#[test]
fn a_full_disk_costs_no_file_that_was_there() {
    if !has_strace() {
        return;
    }
    for task in Task::ALL {
        let mut failed = 0;
        for call in ["write", "copy_file_range"] {
            let ended = disturb(task, call, "error=ENOSPC", &[]);
            failed += ended.iter().filter(|ended| ended.code() != 0).count();
            let says = |ended: &Ended| ended.code() == 0 || ended.stderr.contains("No space left on device");
            // The message itself may be what could not be written, and a worker's failure has words of its own.
            assert!(ended.iter().filter(|ended| !says(ended)).count() <= 1, "{task:?}: {ended:?}");
        }
        assert!(failed > 0, "{task:?}");
    }
}

#[test]
fn a_disk_that_fails_when_results_are_stored_costs_no_file_that_was_there() {
    if !has_strace() {
        return;
    }
    for task in Task::ALL {
        for (call, fault) in [("fsync", "error=EIO"), ("renameat", "error=EPERM"), ("fdatasync", "error=EIO")]
        {
            for ended in disturb(task, call, fault, &[]) {
                let is_said =
                    ["Input/output error", "permission denied"].iter().any(|why| ended.stderr.contains(why));
                assert!(ended.code() == 0 || is_said, "{task:?}, {call}: {ended:?}");
            }
        }
    }
}

/// A lock that cannot be had, a length that cannot be set.
#[test]
fn a_journal_that_cannot_be_kept_stops_the_run() {
    if !has_strace() {
        return;
    }
    for task in [Task::Batch, Task::Watch] {
        for (call, fault) in [("flock", "error=EIO"), ("ftruncate", "error=EIO")] {
            let ended = disturb(task, call, fault, &[]);
            assert!(!ended.is_empty() && ended.iter().all(|ended| ended.code() == 2), "{task:?}: {ended:?}");
            assert!(ended.iter().all(|ended| ended.stderr.contains("out.jsonl")), "{task:?}: {ended:?}");
        }
    }
}

#[test]
fn an_input_whose_disk_fails_is_an_error_that_names_it_and_never_half_an_answer() {
    if !has_strace() {
        return;
    }
    let cases: [(Task, &str, i32); 8] = [
        (Task::Classify, "in/0.wav", 1),
        (Task::Tag, "rec/0.wav", 1),
        (Task::Features, "in/0.wav", 1),
        (Task::Report, "results.jsonl", 2),
        (Task::Batch, "in/0.wav", 1),
        (Task::Watch, "in/0.wav", 1),
        (Task::Train, "clips/low/3.wav", 1),
        (Task::Tune, "rec/2.wav", 2),
    ];
    for (task, input, code) in cases {
        let ended = disturb(task, "read", "error=EIO", &[input]);
        assert!(!ended.is_empty(), "{task:?}");
        for ended in &ended {
            let said = format!("{}{}", ended.stderr, String::from_utf8_lossy(&ended.stdout));
            let is_told = said.contains("Input/output error") && said.contains(input);
            // What is looked at before it is read, such as when it was recorded, may do without: the result is the same.
            // One that training has read once, and cannot read again, stops it.
            let is_due = ended.code() == code || task == Task::Train && ended.code() == 2;
            assert!(is_told && is_due || ended.code() == 0, "{task:?}: {ended:?}");
        }
        assert!(ended.iter().any(|ended| ended.code() == code), "{task:?}: {ended:?}");
    }
}

#[test]
fn a_model_whose_disk_fails_is_a_fatal_error_that_names_it() {
    if !has_strace() {
        return;
    }
    for (task, model) in [
        (Task::Classify, "c.safetensors"),
        (Task::Batch, "c.safetensors"),
        (Task::Tag, "t.safetensors"),
        (Task::Tune, "t.safetensors"),
    ] {
        let ended = disturb(task, "read", "error=EIO", &[model]);
        assert!(!ended.is_empty(), "{task:?}");
        for ended in ended {
            assert_eq!(ended.code(), 2, "{task:?}: {ended:?}");
            assert!(
                ended.stderr.contains(model) && ended.stderr.contains("Input/output"),
                "{task:?}: {ended:?}"
            );
        }
    }
}

#[test]
fn an_input_that_must_not_be_opened_is_an_error_that_names_it() {
    if !has_strace() {
        return;
    }
    for (task, input) in [(Task::Classify, "in/2.wav"), (Task::Batch, "in/2.wav"), (Task::Watch, "in/2.wav")]
    {
        for ended in disturb(task, "openat", "error=EPERM", &[input]) {
            let is_told = ended.stderr.contains("permission denied") && ended.stderr.contains(input);
            assert!(ended.code() == 0 || ended.code() == 1 && is_told, "{task:?}: {ended:?}");
        }
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_an_error_and_not_an_empty_one() {
    if !has_strace() {
        return;
    }
    for (task, directory) in [(Task::Classify, "in"), (Task::Batch, "in"), (Task::Train, "clips")] {
        let place = Place::new(task);
        let ended = place.run("getdents64:error=EIO", &[directory]);
        assert!(matches!(ended.code(), 1 | 2), "{task:?}: {ended:?}");
        assert!(
            ended.stderr.contains(directory) && ended.stderr.contains("Input/output"),
            "{task:?}: {ended:?}"
        );
    }
}

#[test]
fn threads_that_the_system_does_not_give_are_no_panic() {
    if !has_strace() {
        return;
    }
    for task in Task::ALL {
        disturb(task, "clone3", "error=EAGAIN", &[]);
    }
}

#[test]
fn a_picture_whose_disk_fails_is_an_error_of_its_video_and_not_a_frame_less() {
    if !has_strace() {
        return;
    }
    let place = Place::new(Task::Classify);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/gesture"), &place.path("pictures"));
    let picture = std::fs::read_dir(place.path("pictures")).unwrap().next().unwrap().unwrap().file_name();
    let picture = format!("pictures/{}", picture.to_str().unwrap());
    // By a thread at its first or its second read, and from there on.
    for when in [1, 2] {
        let inject = format!("read:error=EIO:when={when}+");
        let mut command =
            strace(&place.path(""), &["classify", "pictures"], &inject, &[&picture], &place.log());
        let ended = Ended::of(&mut command);
        assert_eq!(ended.code(), 1, "{inject}: {ended:?}");
        assert!(ended.stderr.contains("Input/output error"), "{inject}: {ended:?}");
    }
}

#[test]
fn a_video_whose_disk_fails_once_is_an_error_or_the_same_result() {
    if !has_strace() {
        return;
    }
    let place = Place::new(Task::Classify);
    let gesture = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/gesture.mp4");
    std::fs::copy(&gesture, place.path("a.mp4")).unwrap();
    // Long enough for more than one read.
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-stream_loop", "99", "-i", "a.mp4", "-c", "copy", "-t", "60", "b.mkv"]);
    let has_mkv = quiet(&mut ffmpeg, &place.path("")).status().is_ok_and(|status| status.success());
    if !has_mkv {
        eprintln!("Matroska is left out: ffmpeg, which makes the file, is not installed");
    }
    for name in ["a.mp4", "b.mkv"].into_iter().take(1 + usize::from(has_mkv)) {
        let run = |fault: &str| {
            let inject = format!("read{fault}");
            Ended::of(&mut strace(&place.path(""), &["classify", name], &inject, &[name], &place.log()))
        };
        let good = run("");
        assert_eq!(good.code(), 0, "{name}: {good:?}");
        let calls = std::fs::read_to_string(place.log()).unwrap();
        let reads = calls.lines().filter(|line| line.contains("read(")).count();
        let mut failed = 0;
        for when in 1..=reads {
            let ended = run(&format!(":error=EIO:when={when}"));
            failed += usize::from(ended.code() == 1);
            let is_told = ended.code() == 1 && ended.stderr.contains("Input/output error");
            // When it was recorded is looked for, and may be left unknown.
            let is_same = ended.code() == 0 && ended.stdout == good.stdout && ended.stderr == good.stderr;
            assert!(is_told || is_same, "{name}, read {when} of {reads}: {ended:?}");
        }
        assert!(failed > 1, "{name}: {failed} of {reads}");
    }
}
