//! `percept tag`

use std::io::Write;
use std::process::Stdio;

use super::*;

/// A place with models that tag: `both.safetensors` reads in both directions, `one.safetensors` in one.
fn place() -> Workplace {
    let place = Workplace::new();
    tiny(Task::Tag, true).save(&place.path("both.safetensors")).unwrap();
    tiny(Task::Tag, false).save(&place.path("one.safetensors")).unwrap();
    // Loud and soft in turns, so that something changes.
    let samples: Vec<f32> = tone(24_000)
        .iter()
        .enumerate()
        .map(|(i, x)| if i / 3_000 % 2 == 0 { *x } else { 0.01 * x })
        .collect();
    place.wav("turns.wav", 1, &samples);
    place
}

fn labels(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["label"].as_str().unwrap()).collect()
}

#[test]
fn the_number_that_comes_with_the_program_is_read_out() {
    let run = Workplace::new().run(&["tag", number().to_str().unwrap()]);
    assert_eq!(run.code(), 0);
    assert!(run.stderr().contains("using the built-in `digits`"), "{}", run.stderr());
    let record = run.json();
    schema::assert_valid(&Workplace::new(), "tag", &record);
    let said = ["zero", "three", "four", "seven", "six", "four", "seven"];
    assert_eq!(labels(&record["events"]), said);
    // Where they are, as they were put together (examples/digit_strings.rs).
    let truth = [0.755, 1.193, 1.659, 2.388, 2.974, 3.784, 4.771];
    for (event, onset) in record["events"].as_array().unwrap().iter().zip(truth) {
        assert!((event["onset"].as_f64().unwrap() - onset).abs() < 0.15, "{event}");
        assert!(event["score"].as_f64().unwrap() > 0.5);
    }
}

#[test]
fn events_and_frames_agree_and_times_are_multiples_of_the_hop() {
    let place = place();
    let record = place.run(&["tag", "-m", "both.safetensors", "--frames", "turns.wav"]).json();
    schema::assert_valid(&place, "tag", &record);
    let (events, frames) = (record["events"].as_array().unwrap(), &record["frames"]);
    assert_eq!((&frames["start"], &frames["hop"]), (&0.0.into(), &0.01.into()));
    let names = frames["labels"].as_array().unwrap();
    assert_eq!((names.len(), frames["scores"].as_array().unwrap().len()), (301, 301));
    let background = &record["model"]["labels"][0];
    let mut seen = vec![background; 301];
    assert!(!events.is_empty());
    for event in events {
        let frame = |key: &str| event[key].as_u64().unwrap();
        for (seconds, frame) in [("onset", frame("frame_start")), ("offset", frame("frame_end"))] {
            assert_eq!(event[seconds].as_f64().unwrap(), frame as f64 / 100.0);
        }
        seen[frame("frame_start") as usize..frame("frame_end") as usize].fill(&event["label"]);
    }
    assert!(names.iter().eq(seen));
    // Each frame has the label with the highest score.
    for (label, scores) in names.iter().zip(frames["scores"].as_array().unwrap()) {
        let scores: Vec<f64> = scores.as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
        let best = (1..3).fold(0, |best, k| if scores[k] > scores[best] { k } else { best });
        assert_eq!(label, &record["model"]["labels"][best]);
    }
}

#[test]
fn scores_of_all_frames_go_to_a_numpy_file() {
    let place = place();
    let args = ["tag", "-m", "both.safetensors", "--frames-out", "s.npy", "turns.wav"];
    assert_eq!(place.run(&args).code(), 0);
    let bytes = std::fs::read(place.path("s.npy")).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY") && bytes.len() == 128 + 4 * 301 * 3);
    let value = |i: usize| f32::from_le_bytes(bytes[128 + 4 * i..][..4].try_into().unwrap());
    assert!((value(0) + value(1) + value(2) - 1.0).abs() < 1e-6);
    // A file that fails leaves none behind.
    place.run(&["tag", "-m", "both.safetensors", "--frames-out", "none.npy", "no.wav"]);
    assert!(!place.path("none.npy").exists());
}

#[test]
fn every_format_is_written() {
    let place = place();
    for (format, start) in [
        ("csv", "path,onset,offset,label,score"),
        ("dcase", "filename\tonset"),
        ("audacity", "0"),
        ("raven", "Selection\tView"),
        ("rttm", "SPEAKER turns 1 "),
        ("textgrid", "File type = \"ooTextFile\""),
        ("webvtt", "WEBVTT\n"),
        ("jsonl", "{\"schema_version\":1"),
    ] {
        let run = place.run(&["tag", "-m", "both.safetensors", "--format", format, "turns.wav"]);
        assert_eq!(run.code(), 0);
        assert!(run.stdout().starts_with(start), "{format}: {}", run.stdout());
    }
    // The extension of the output says the same.
    place.run(&["tag", "-m", "both.safetensors", "-o", "x.TextGrid", "turns.wav"]);
    assert!(std::fs::read_to_string(place.path("x.TextGrid")).unwrap().starts_with("File type"));
}

#[test]
fn what_is_found_can_be_evaluated_as_it_is_written() {
    let place = place();
    place.run(&["tag", "-m", "both.safetensors", "-o", "found.tsv", "turns.wav", "tone.wav"]);
    let run = place.run(&["evaluate", "--reference", "found.tsv", "--estimated", "found.tsv"]);
    assert_eq!(run.json()["event_based"]["overall"]["f_measure"], 1.0);
    assert_eq!(run.json()["files"], 2);
}

#[test]
fn a_bad_file_is_reported_and_the_others_go_on() {
    let place = place();
    place.write("bad.wav", "no sound at all\n");
    let run = place.run(&["tag", "-m", "both.safetensors", "turns.wav", "bad.wav", "tone.wav"]);
    assert_eq!(run.code(), 1);
    run.assert_one_error_line(&["bad.wav", "not sound"]);
    let records = run.json();
    schema::assert_valid(&place, "tag", &records);
    let status: Vec<&str> =
        records.as_array().unwrap().iter().map(|r| r["status"].as_str().unwrap()).collect();
    assert_eq!(status, ["ok", "error", "ok"]);
}

#[test]
fn a_model_of_the_other_task_is_refused() {
    let place = place();
    let run = place.run(&["tag", "-m", "tiny.safetensors", "tone.wav"]);
    run.assert_fatal(&["`tiny` gives one label for a whole recording", "percept classify"]);
    let run = place.run(&["classify", "-m", "both.safetensors", "tone.wav"]);
    run.assert_fatal(&["`tiny` tags frames"]);
}

#[test]
fn windows_cover_a_recording_and_one_that_is_shorter_is_said() {
    let place = place();
    let tag = |args: &[&str]| {
        place.run(&[&["tag", "-m", "both.safetensors", "--frames"], args, &["turns.wav"]].concat())
    };
    let whole = tag(&[]).json();
    let windows = tag(&["--window", "500ms", "--overlap", "0.2s"]).json();
    assert_eq!(windows["frames"]["labels"].as_array().unwrap().len(), 301);
    assert_ne!(whole["frames"]["scores"], windows["frames"]["scores"]);
    let long = tag(&["--window", "10s"]).json();
    assert_eq!(whole["frames"], long["frames"], "one window is the whole");
    assert!(long["warnings"][0].as_str().unwrap().contains("shorter (3.01 s) than one window (10 s)"));
    tag(&["--window", "1s", "--overlap", "1s"]).assert_fatal(&["the overlap must be shorter"]);
}

#[test]
fn silence_is_tagged_like_any_other_sound() {
    let place = place();
    place.wav("silence.wav", 1, &[0.0; 4000]);
    let run = place.run(&["tag", "silence.wav"]);
    assert_eq!((run.code(), run.json()["events"].as_array().unwrap().len()), (0, 0));
}

/// Feeds `bytes` to standard input in small pieces.
pub(super) fn piped(place: &Workplace, args: &[&str], bytes: &[u8]) -> Run {
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("percept"))
        .current_dir(place.folder.path())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A program that refuses to read closes the pipe.
    let _ = bytes.chunks(777).try_for_each(|piece| pipe.write_all(piece));
    drop(pipe);
    Run(child.wait_with_output().unwrap())
}

pub(super) fn lines(run: &Run) -> Vec<Value> {
    run.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_live_stream_gives_the_events_of_the_whole_file() {
    let place = place();
    let wav = std::fs::read(place.path("turns.wav")).unwrap();
    let whole = place.run(&["tag", "-m", "one.safetensors", "turns.wav"]).json();
    let mut live = lines(&piped(&place, &["tag", "-m", "one.safetensors", "-"], &wav));
    live.sort_by_key(|event| event["frame_start"].as_u64());
    assert_eq!(whole["events"], Value::from(live.clone()));
    // The same samples without the header.
    let data = wav.windows(4).position(|bytes| bytes == b"data").unwrap() + 8;
    let raw = ["tag", "-m", "one.safetensors", "--raw-rate", "8000", "--raw-encoding", "f32le", "-"];
    let mut bare = lines(&piped(&place, &raw, &wav[data..]));
    bare.sort_by_key(|event| event["frame_start"].as_u64());
    assert_eq!(bare, live);
    let whole = place.run(&["tag", "-m", "both.safetensors", "turns.wav"]).json();
    let run = piped(&place, &["tag", "-m", "both.safetensors", "--lookahead", "10s", "-"], &wav);
    assert!(run.stderr().contains("an approximation"), "{}", run.stderr());
    let mut live = lines(&run);
    live.sort_by_key(|event| event["frame_start"].as_u64());
    assert_eq!(whole["events"], Value::from(live));
}

#[test]
fn what_goes_wrong_on_standard_input_is_said() {
    let place = place();
    let wav = std::fs::read(place.path("turns.wav")).unwrap();
    let one = ["tag", "-m", "one.safetensors", "-"];
    let run = piped(&place, &one, &wav[..2_001]);
    assert_eq!(run.code(), 0);
    assert!(run.stderr().contains("stops in the middle of a sample"), "{}", run.stderr());
    piped(&place, &one, b"").assert_fatal(&["standard input: nothing came"]);
    piped(&place, &one, b"hello, what is this?").assert_fatal(&["no WAV header", "--raw-rate"]);
    piped(&place, &one, &wav[..30]).assert_fatal(&["ends inside its WAV header"]);
    piped(&place, &["tag", "-m", "both.safetensors", "-"], &wav).assert_fatal(&["--lookahead"]);
    let looks = ["tag", "-m", "one.safetensors", "--lookahead", "1s", "-"];
    piped(&place, &looks, &wav).assert_fatal(&["needs no look-ahead"]);
    for args in [
        &["-", "tone.wav"][..],
        &["--frames", "-"],
        &["--format", "csv", "-"],
        &["--lookahead", "1s", "tone.wav"],
    ] {
        let run = place.run(&[&["tag", "-m", "one.safetensors"], args].concat());
        run.assert_fatal(&["standard input (-)"]);
    }
}

#[cfg(unix)]
#[test]
fn killing_the_reader_of_the_pipe_ends_the_program_quietly() {
    let place = place();
    for format in ["json", "csv", "textgrid"] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("percept"))
            .current_dir(place.folder.path())
            .args(["tag", "-m", "both.safetensors", "--format", format, "turns.wav"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let run = Run(child.wait_with_output().unwrap());
        assert_eq!((run.code(), run.stderr()), (0, ""), "{format}");
    }
}

#[test]
fn what_cannot_go_together_is_refused() {
    let place = place();
    for (args, part) in [
        (&["--format", "textgrid", "tone.wav", "turns.wav"][..], "one recording"),
        (&["--frames-out", "x.npy", "tone.wav", "turns.wav"], "one input"),
        (&["--frames", "--format", "csv", "tone.wav"], "--frames-out"),
        (&["-o", "tone.wav", "tone.wav"], "both read and to be written"),
    ] {
        place.run(&[&["tag", "-m", "both.safetensors"], args].concat()).assert_fatal(&[part]);
    }
    assert_eq!(place.run(&["tag", "--window", "soon", "tone.wav"]).code(), 2);
}

#[cfg(unix)]
#[test]
fn what_is_written_beside_the_result_replaces_no_pipe_and_no_link() {
    let place = Workplace::new();
    std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    for option in ["--preview", "--frames-out"] {
        let run = place.run(&["tag", "-m", "digits", option, "pipe", "tone.wav"]);
        run.assert_fatal(&["pipe", "is no ordinary file"]);
        assert!(!place.path("pipe").is_file());
    }
    place.write("target.png", b"\x89PNG, old");
    std::os::unix::fs::symlink("target.png", place.path("link.png")).unwrap();
    assert_eq!(place.run(&["tag", "-m", "digits", "--preview", "link.png", "tone.wav"]).code(), 0);
    assert!(place.path("link.png").is_symlink() && image::open(place.path("target.png")).is_ok());
    place
        .run(&["tag", "-m", "digits", "--preview", "x.png", "--frames-out", "x.png", "tone.wav"])
        .assert_fatal(&["files of their own"]);
}
