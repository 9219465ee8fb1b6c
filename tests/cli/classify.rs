use super::*;

#[test]
fn the_built_in_model_hears_the_dog_and_says_which_model_it_is() {
    let place = Workplace::new();
    let dog = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/dog.ogg");
    let run = place.run(&["classify", dog]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let result = run.json();
    assert_eq!(result["model"]["name"], "sounds");
    assert_eq!(result["model"]["labels"].as_array().unwrap().len(), 12);
    assert_eq!(result["predictions"][0]["label"], "dog_bark");
    assert_eq!(run.stderr().lines().count(), 1);
    assert!(run.stderr().contains("`sounds`") && run.stderr().contains("demonstration"));
}

#[test]
fn the_model_digits_hears_the_seven() {
    let place = Workplace::new();
    let run = place.run(&["classify", "-m", "digits", seven().to_str().unwrap()]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    let result = run.json();
    assert_eq!(result["schema_version"], 1);
    assert_eq!(result["tool"], concat!("percept ", env!("CARGO_PKG_VERSION")));
    assert_eq!(result["model"]["name"], "digits");
    assert_eq!(result["model"]["labels"].as_array().unwrap().len(), 10);
    assert_eq!(result["status"], "ok");
    assert_eq!(result["input"]["sample_rate"], 8000);
    assert_eq!(result["predictions"].as_array().unwrap().len(), 5);
    assert_eq!(result["predictions"][0]["label"], "seven");
}

#[test]
fn a_built_in_name_wins_over_a_file_of_that_name() {
    let place = Workplace::new();
    std::fs::copy(place.path("tiny.safetensors"), place.path("digits")).unwrap();
    let run = place.run(&["classify", "-m", "digits", "tone.wav"]);
    assert_eq!((run.code(), run.stderr()), (0, ""));
    assert_eq!(run.json()["model"]["name"], "digits");
    let run = place.run(&["classify", "-m", "./digits", "tone.wav"]);
    assert_eq!(run.json()["model"]["name"], "tiny");
}

#[test]
fn a_record_says_what_was_read() {
    let place = Workplace::new();
    let stereo: Vec<f32> = tone(4000).into_iter().flat_map(|x| [x, -x]).collect();
    place.wav("stereo.wav", 2, &stereo);
    let result = place.classify(&["stereo.wav"]).json();
    assert_eq!(
        result["input"],
        serde_json::json!({
            "path": "stereo.wav", "kind": "audio", "container": "wav", "codec": "pcm_f32le",
            "duration": 0.5, "sample_rate": 8000, "channels": 2, "num_samples": 4000,
            "mix": "mean of 2 channels"
        })
    );
    assert_eq!(place.classify(&["--channel", "2", "stereo.wav"]).json()["input"]["mix"], "channel 2");
}

#[test]
fn top_k_limits_the_labels() {
    let place = Workplace::new();
    let count =
        |k| place.classify(&["--top-k", k, "tone.wav"]).json()["predictions"].as_array().unwrap().len();
    assert_eq!((count("1"), count("2"), count("99")), (1, 2, 3));
    assert_eq!(place.classify(&["--top-k", "0", "tone.wav"]).code(), 2);
}

#[test]
fn scores_add_up_to_one_and_the_best_comes_first() {
    let result = Workplace::new().classify(&["tone.wav"]).json();
    let scores: Vec<f64> =
        result["predictions"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap()).collect();
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    assert!(scores.is_sorted_by(|a, b| a >= b));
}

#[test]
fn the_result_is_the_same_for_any_number_of_jobs() {
    let place = Workplace::new();
    let names: Vec<String> = (0..12).map(|i| format!("{i}.wav")).collect();
    for (i, name) in names.iter().enumerate() {
        place.wav(name, 1, &tone(1000 + 700 * (i * 5 % 12)));
    }
    let with_jobs = |jobs| {
        let mut args = vec!["-j", jobs, "no.wav"];
        args.extend(names.iter().map(String::as_str));
        place.classify(&args)
    };
    let one = with_jobs("1");
    let paths: Vec<Value> =
        one.json().as_array().unwrap().iter().map(|r| r["input"]["path"].clone()).collect();
    assert_eq!(paths[0], "no.wav");
    assert_eq!(paths[1..], names);
    for jobs in ["2", "5", "64"] {
        assert_eq!(with_jobs(jobs).stdout(), one.stdout());
    }
}

#[test]
fn each_format_is_written() {
    let place = Workplace::new();
    let jsonl = place.classify(&["--format", "jsonl", "tone.wav", "no.wav"]);
    assert_eq!(jsonl.code(), 1);
    let lines: Vec<Value> = jsonl.stdout().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);

    let csv = place.classify(&["--format", "csv", "--top-k", "2", "tone.wav", "no.wav"]);
    assert_eq!(csv.stdout().lines().count(), 1 + 2 + 1);
    assert!(csv.stdout().starts_with("path,status,rank,label,score,"));

    let text = place.classify(&["--format", "text", "tone.wav"]);
    assert!(text.stdout().starts_with("tone.wav\n  "));

    assert_eq!(place.classify(&["--format", "xml", "tone.wav"]).code(), 2);
}

#[test]
fn the_result_goes_to_a_file_in_the_format_of_its_extension() {
    let place = Workplace::new();
    let run = place.classify(&["-o", "out.csv", "tone.wav"]);
    assert_eq!((run.code(), run.stdout()), (0, ""));
    let expected = place.classify(&["--format", "csv", "tone.wav"]);
    assert_eq!(std::fs::read_to_string(place.path("out.csv")).unwrap(), expected.stdout());
}

#[test]
fn the_result_never_replaces_an_input_or_the_model() {
    let place = Workplace::new();
    for name in ["tone.wav", "./tone.wav", "tiny.safetensors"] {
        let before = std::fs::read(place.path(name)).unwrap();
        place.classify(&["-o", name, "tone.wav"]).assert_fatal(&["both read and to be written"]);
        assert_eq!(std::fs::read(place.path(name)).unwrap(), before);
    }
    place.classify(&["-o", "no/folder/x.json", "tone.wav"]).assert_fatal(&["no/folder"]);
    place.classify(&["-o", ".", "tone.wav"]).assert_fatal(&["directory"]);
}

#[test]
fn an_output_that_cannot_be_is_refused_before_any_work() {
    let place = Workplace::new();
    let long = format!("{}.json", "x".repeat(300));
    for name in ["new/", "tone.wav/x.json", "tone.wav/", &long] {
        // The missing input would be reported if it had been looked at.
        place.classify(&["-o", name, "missing.wav"]).assert_fatal(&[name]);
        place.run(&["train", "missing", "-o", name]).assert_fatal(&[name]);
    }
}

#[cfg(unix)]
#[test]
fn a_run_that_is_killed_leaves_nothing_behind() {
    use std::process::{Command, Stdio};
    let place = Workplace::new();
    place.wav("long.wav", 1, &tone(8_000_000));
    let before = std::fs::read_dir(place.folder.path()).unwrap().count();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("percept"))
        .current_dir(place.folder.path())
        .args(["classify", "-m", "tiny.safetensors", "-j", "1", "-o", "out.json", "missing.wav"])
        .args(vec!["long.wav"; 500])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first input has been worked on: the output is open.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.take().unwrap()), &mut line)
        .unwrap();
    assert!(line.contains("missing.wav"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(std::fs::read_dir(place.folder.path()).unwrap().count(), before);
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    use std::process::{Command, Stdio};
    let place = Workplace::new();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("percept"))
        .current_dir(place.folder.path())
        .args(["classify", "-m", "tiny.safetensors", "--format", "jsonl"])
        .args(vec!["tone.wav"; 200])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn wrong_usage_exits_with_2() {
    let place = Workplace::new();
    for args in [&["classify"][..], &["classify", "--nonsense", "x"], &["nonsense"], &[]] {
        assert_eq!(place.run(args).code(), 2, "{args:?}");
    }
    assert_eq!(place.classify(&["--channel", "0", "tone.wav"]).code(), 2);
}

#[test]
fn version_and_help_are_printed() {
    let place = Workplace::new();
    let version = place.run(&["--version"]);
    assert_eq!(version.stdout(), concat!("percept ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = place.run(&["--help"]);
    assert_eq!(help.code(), 0);
    assert!(help.stdout().contains("Examples:"));
}
