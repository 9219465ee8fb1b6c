//! Very many files: every input has one row, whatever the inputs are.

use super::schema::assert_valid;
use super::*;

/// Runs `percept batch -m tiny.safetensors ARGS`.
fn batch(place: &Workplace, args: &[&str]) -> Run {
    place.run(&[&["batch", "-m", "tiny.safetensors"], args].concat())
}

fn rows(place: &Workplace, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn paths(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["input"]["path"].as_str().unwrap()).collect()
}

/// A folder `in` with good recordings of unequal lengths, a bad one, and what is no media.
fn recordings() -> Workplace {
    let place = Workplace::new();
    std::fs::create_dir_all(place.path("in/b")).unwrap();
    for (name, samples) in [("in/10.wav", 4000), ("in/2.wav", 8000), ("in/b/20240531_043000.wav", 2000)] {
        place.wav(name, 1, &tone(samples));
    }
    place.write("in/bad.wav", "RIFF");
    place.write("in/notes.txt", "a text");
    place
}

#[test]
fn every_input_has_a_row_in_the_order_of_the_inputs_and_one_bad_file_costs_one() {
    let place = recordings();
    let run = batch(&place, &["in", "-o", "out.jsonl"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert_eq!(run.stdout(), "");
    let stderr = run.stderr();
    assert!(
        stderr.contains("files that are no media are passed over: 1 (the first: in/notes.txt)"),
        "{stderr}"
    );
    assert!(stderr.contains("error: in/bad.wav: "), "{stderr}");
    assert!(stderr.contains("4 inputs: 3 done, 1 failed, 0 skipped; 1.8 s of recordings in"), "{stderr}");
    let rows = rows(&place, "out.jsonl");
    assert_eq!(paths(&rows), ["in/2.wav", "in/10.wav", "in/b/20240531_043000.wav", "in/bad.wav"]);
    assert_eq!(rows[2]["recorded_at"], "2024-05-31T04:30:00");
    assert_eq!(rows[3]["status"], "error");
    for row in &rows {
        assert_valid(&place, "batch", row);
    }
    // What `classify` says of each alone.
    for row in &rows[..3] {
        let alone = place.classify(&[row["input"]["path"].as_str().unwrap()]).json();
        assert_eq!((&row["predictions"], &row["input"]), (&alone["predictions"], &alone["input"]));
    }
}

#[test]
fn the_output_does_not_depend_on_the_number_of_workers() {
    let place = recordings();
    for i in 0..70 {
        place.wav(&format!("in/{i}.wav"), 1, &tone(200 + 37 * i));
    }
    let all: Vec<Vec<u8>> = ["1", "2", "5"]
        .iter()
        .map(|jobs| {
            let name = format!("out{jobs}.jsonl");
            batch(&place, &["in", "-o", &name, "--jobs", jobs]);
            std::fs::read(place.path(&name)).unwrap()
        })
        .collect();
    assert_eq!(all[0].iter().filter(|&&b| b == b'\n').count(), 72);
    assert!(all.iter().all(|one| *one == all[0]));
}

#[test]
fn a_finished_output_is_replaced_only_with_force() {
    let place = recordings();
    place.write("other.jsonl", "precious");
    batch(&place, &["in", "-o", "other.jsonl"]).assert_fatal(&["other.jsonl: exists; --force replaces it"]);
    batch(&place, &["in", "-o", "other.jsonl", "--resume"]).assert_fatal(&["exists; --force"]);
    assert_eq!(std::fs::read(place.path("other.jsonl")).unwrap(), b"precious");
    assert!(!place.path("other.jsonl.journal").exists());

    assert_eq!(batch(&place, &["in", "-o", "out.jsonl", "--resume"]).code(), 1);
    let first = std::fs::read(place.path("out.jsonl")).unwrap();
    batch(&place, &["in", "-o", "out.jsonl"]).assert_fatal(&["exists; --force replaces it"]);
    let again = batch(&place, &["in", "-o", "out.jsonl", "--resume"]);
    assert_eq!(again.code(), 1);
    assert!(again.stderr().contains("out.jsonl is complete: there is nothing to do"), "{}", again.stderr());
    std::fs::remove_file(place.path("in/bad.wav")).unwrap();
    assert_eq!(batch(&place, &["in", "-o", "out.jsonl", "--force"]).code(), 0);
    assert_ne!(std::fs::read(place.path("out.jsonl")).unwrap(), first);
    assert!(!place.path("out.jsonl.rows").exists() && !place.path("out.jsonl.partial").exists());
}

#[test]
fn nothing_is_replaced_that_is_not_the_output() {
    let place = recordings();
    assert_eq!(batch(&place, &["in", "-o", "out.jsonl"]).code(), 1);
    let before = std::fs::read(place.path("out.jsonl")).unwrap();
    // A slip of the finger costs nothing.
    batch(&place, &["im", "-o", "out.jsonl", "--force"]).assert_fatal(&["im: no such file"]);
    batch(&place, &["--manifest", "no.txt", "-o", "out.jsonl", "--force"]).assert_fatal(&["no.txt: no such"]);
    assert_eq!(std::fs::read(place.path("out.jsonl")).unwrap(), before);
    assert!(place.path("out.jsonl.rows").exists());

    let sound = std::fs::read(place.path("in/2.wav")).unwrap();
    batch(&place, &["in/2.wav", "-o", "in/2.wav", "--force", "--format", "jsonl"])
        .assert_fatal(&["is both read and to be written"]);
    assert_eq!(std::fs::read(place.path("in/2.wav")).unwrap(), sound);
    place.write("x.rows", "in/2.wav\n");
    batch(&place, &["--manifest", "x.rows", "-o", "x"])
        .assert_fatal(&["x.rows: is both read and to be written"]);
    batch(&place, &["in", "-o", "x"]).assert_fatal(&["x.rows: is in the way"]);
    assert!(place.path("x.rows").exists());
    batch(&place, &["in", "-o", "in"]).assert_fatal(&["in: "]);
    batch(&place, &["in", "-o", "no/x.jsonl"]).assert_fatal(&["no: no such"]);
    tiny_model(Task::Tag).save(&place.path("tag.safetensors")).unwrap();
    place
        .run(&["batch", "-m", "tag.safetensors", "in", "-o", "in", "--format", "audacity"])
        .assert_fatal(&["in: is not empty"]);
}

#[test]
fn what_failed_is_done_again_when_asked_for() {
    let place = recordings();
    assert_eq!(batch(&place, &["in", "-o", "out.csv"]).code(), 1);
    let before = std::fs::read_to_string(place.path("out.csv")).unwrap();
    place.wav("in/bad.wav", 1, &tone(1000));
    let again = batch(&place, &["in", "-o", "out.csv", "--retry-failed"]);
    assert_eq!(again.code(), 0, "{}", again.stderr());
    assert!(again.stderr().contains("4 inputs: 1 done, 0 failed, 3 skipped"), "{}", again.stderr());
    let after = std::fs::read_to_string(place.path("out.csv")).unwrap();
    let unchanged = |text: &str| {
        text.lines().filter(|line| !line.contains("bad.wav")).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(unchanged(&after), unchanged(&before));
    assert!(after.contains("in/bad.wav,ok,1,"), "{after}");
    let nothing = batch(&place, &["--retry-failed", "-o", "out.csv"]);
    assert!(nothing.code() == 0 && nothing.stderr().contains("nothing to do"), "{}", nothing.stderr());
}

#[test]
fn another_model_and_other_settings_are_another_run() {
    let place = recordings();
    batch(&place, &["in", "-o", "out.jsonl"]);
    let resume = |args: &[&str]| place.run(&[&["batch", "in", "-o", "out.jsonl", "--resume"], args].concat());
    resume(&["-m", "tiny.safetensors", "--top-k", "1"])
        .assert_fatal(&["was begun with top_k=5 and not top_k=1"]);
    resume(&["-m", "tiny.safetensors", "--exclude", "b"]).assert_fatal(&["another --include, --exclude"]);
    resume(&["-m", "tiny.safetensors", "--format", "csv"]).assert_fatal(&["was begun for jsonl and not csv"]);
    tiny_network(Task::Classify, NetworkConfig { bidirectional: false, ..NetworkConfig::default() })
        .save(&place.path("tiny.safetensors"))
        .unwrap();
    resume(&["-m", "tiny.safetensors"]).assert_fatal(&["was begun with another model (-m)", "--force"]);
}

#[test]
fn lists_shards_and_patterns_choose_the_inputs() {
    let place = recordings();
    place.write("list.txt", "in/2.wav\nin/missing.wav\nin/2.wav\n");
    let run = batch(&place, &["--manifest", "list.txt", "-o", "list.jsonl"]);
    assert_eq!(run.code(), 1);
    assert!(run.stderr().contains("inputs that are named again and worked on once: 1"), "{}", run.stderr());
    let listed = rows(&place, "list.jsonl");
    assert_eq!(paths(&listed), ["in/2.wav", "in/missing.wav"]);
    assert_eq!(listed[1]["error"]["kind"], "not_found");

    let mut command = place.command(&["batch", "-m", "tiny.safetensors", "-0", "-", "-o", "stdin.jsonl"]);
    assert!(command.write_stdin("in/10.wav\0in/2.wav\0").output().unwrap().status.success());
    assert_eq!(paths(&rows(&place, "stdin.jsonl")), ["in/10.wav", "in/2.wav"]);

    let mut shared = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let name = format!("part{}.jsonl", &shard[..1]);
        batch(&place, &["in", "-o", &name, "--shard", shard]);
        shared.extend(paths(&rows(&place, &name)).into_iter().map(String::from));
    }
    shared.sort();
    assert_eq!(shared, ["in/10.wav", "in/2.wav", "in/b/20240531_043000.wav", "in/bad.wav"]);
    batch(&place, &["in/**/1*.wav", "-o", "glob.jsonl"]);
    assert_eq!(paths(&rows(&place, "glob.jsonl")), ["in/10.wav"]);
    batch(&place, &["in/*.flac", "-o", "none.jsonl"]).assert_fatal(&["in/*.flac: there is no such file"]);
    let usage = batch(&place, &["in", "-o", "none.jsonl", "--shard", "4/3"]);
    assert!(usage.code() == 2 && usage.stderr().contains("a part is due"), "{}", usage.stderr());
}

#[test]
fn events_are_tables_and_trees_of_files() {
    let place = recordings();
    tiny_model(Task::Tag).save(&place.path("tag.safetensors")).unwrap();
    let tag = |args: &[&str]| place.run(&[&["batch", "-m", "tag.safetensors", "in"], args].concat());
    assert_eq!(tag(&["-o", "out.parquet"]).code(), 1);
    assert!(std::fs::read(place.path("out.parquet")).unwrap().starts_with(b"PAR1"));
    assert_eq!(tag(&["-o", "tree", "--format", "raven"]).code(), 1);
    for name in ["2.wav", "10.wav", "b/20240531_043000.wav"] {
        let alone = place.run(&["tag", "-m", "tag.safetensors", "--format", "raven", &format!("in/{name}")]);
        let table = std::fs::read_to_string(place.path(&format!("tree/{name}.selections.txt"))).unwrap();
        assert_eq!(alone.stdout(), table);
    }
    assert_eq!(rows(&place, "tree/results.jsonl").len(), 4);
    assert!(!place.path("tree/bad.wav.selections.txt").exists());
    // Inputs of one name, and a name that leaves no place for an ending, cost neither a file nor the output.
    let long = format!("in/{}.wav", "x".repeat(248));
    place.wav(&long, 1, &tone(800));
    let more = ["batch", "-m", "tag.safetensors", "in/2.wav", "in", &long, "-o", "more", "--format", "raven"];
    let more = place.run(&more);
    assert!(
        more.code() == 1 && more.stderr().contains("warning: no file of events for in/xxx"),
        "{}",
        more.stderr()
    );
    assert_eq!(rows(&place, "more/results.jsonl").len(), 5);
    assert!(place.path("more/in/2.wav.selections.txt").exists());
    assert!(place.path("more/in/10.wav.selections.txt").exists());
    std::fs::remove_file(place.path(&long)).unwrap();
    assert_eq!(tag(&["-o", "frames.jsonl", "--frames"]).code(), 1);
    let frames = rows(&place, "frames.jsonl");
    assert_eq!(frames[0]["frames"]["scores"].as_array().unwrap().len(), 101);
    assert_valid(&place, "batch", &frames[0]);
    tag(&["-o", "frames.csv", "--frames"]).assert_fatal(&["--frames goes with jsonl"]);
    batch(&place, &["in", "-o", "x", "--format", "rttm"]).assert_fatal(&["this format is for events"]);
}

#[test]
fn progress_is_events_for_programs() {
    let place = recordings();
    let run = batch(&place, &["in", "-o", "out.jsonl", "--progress", "json"]);
    let events: Vec<Value> =
        run.stderr().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["warning", "begun", "failed", "summary"]);
    assert_eq!((&events[3]["done"], &events[3]["failed"]), (&3.into(), &1.into()));
}

#[test]
fn a_thousand_files_with_every_damaged_one_of_the_zoo() {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/media_zoo");
    if !zoo.is_dir() {
        eprintln!("skipped: {} is not there", zoo.display());
        return;
    }
    let zoo = zoo.canonicalize().unwrap();
    let place = Workplace::new();
    let mut list = Vec::new();
    let mut folders = vec![zoo];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => list.push(path.to_str().unwrap().to_string()),
            }
        }
    }
    list.sort();
    let in_zoo = list.len();
    std::fs::create_dir(place.path("good")).unwrap();
    // Between the odd ones, so that groups have both.
    for i in 0..1000 - in_zoo {
        let name = format!("good/{i}.wav");
        place.wav(&name, 1, &tone(100 + i));
        list.insert((2 * i + 1).min(list.len()), name);
    }
    place.write("list.txt", list.join("\n"));
    let run = batch(&place, &["--manifest", "list.txt", "-o", "out.jsonl", "--time-limit", "120s"]);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    let rows = rows(&place, "out.jsonl");
    assert_eq!(paths(&rows), list);
    for row in &rows {
        let path = row["input"]["path"].as_str().unwrap();
        let kind = &row["error"]["kind"];
        assert!(kind != "internal", "{row}");
        assert!(!path.starts_with("good/") || row["status"] == "ok", "{row}");
    }
    // Whatever is damaged is told in the same words each time.
    batch(&place, &["--manifest", "list.txt", "-o", "again.jsonl", "--jobs", "3"]);
    assert!(
        std::fs::read(place.path("again.jsonl")).unwrap() == std::fs::read(place.path("out.jsonl")).unwrap()
    );
    let failed = rows.iter().filter(|row| row["status"] == "error").count();
    assert!((10..in_zoo).contains(&failed), "{failed} of {in_zoo} failed");
}
