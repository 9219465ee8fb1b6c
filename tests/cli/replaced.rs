//! What stands where a result is to go.

use super::*;

/// Runs that are refused, and what they would have replaced.
#[test]
fn what_is_plainly_no_result_is_not_replaced_by_one() {
    let place = Workplace::new();
    tiny_model(Task::Tag).save(&place.path("tagger.safetensors")).unwrap();
    std::fs::copy(place.path("tone.wav"), place.path("other.wav")).unwrap();
    place.write("labels.csv", "path,onset,offset,label\ntone.wav,0.1,0.5,a\n");
    place.write("page.html", "<html><title>mine</title></html>");
    image::RgbImage::new(8, 8).save(place.path("photo.bmp")).unwrap();
    place.write("results.jsonl", "");
    for (command, kept) in [
        ("classify -m tiny.safetensors tone.wav -o other.wav", "other.wav"),
        ("classify -m tiny.safetensors tone.wav -o tagger.safetensors", "tagger.safetensors"),
        ("classify -m tiny.safetensors tone.wav -o photo.bmp", "photo.bmp"),
        ("tag -m tagger.safetensors tone.wav -o other.wav", "other.wav"),
        ("tag -m tagger.safetensors tone.wav --frames-out other.wav", "other.wav"),
        ("tag -m tagger.safetensors tone.wav --preview other.wav", "other.wav"),
        ("features -m tiny.safetensors tone.wav -o page.png", "page.png"),
        ("tune -m tagger.safetensors . --labels labels.csv --split all -o labels.csv", "labels.csv"),
        ("tune -m tagger.safetensors . --labels labels.csv --split all -o other.wav", "other.wav"),
        ("report results.jsonl -o other.wav", "other.wav"),
        ("report results.jsonl -o page.html", "page.html"),
        ("watch . -m tiny.safetensors -o other.wav --once --force", "other.wav"),
    ] {
        std::fs::copy(place.path("other.wav"), place.path("page.png")).unwrap();
        let before = std::fs::read(place.path(kept)).unwrap();
        let run = place.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!((run.code(), run.stdout()), (2, ""), "{command}: {}", run.stderr());
        assert!(run.stderr().contains(kept), "{command}: {}", run.stderr());
        assert!(std::fs::read(place.path(kept)).unwrap() == before, "{command}");
    }
}

#[test]
fn a_result_replaces_one_and_a_dash_is_standard_output() {
    let place = Workplace::new();
    place.write("result.json", "{}");
    assert_eq!(place.classify(&["tone.wav", "-o", "result.json"]).code(), 0);
    assert!(std::fs::read_to_string(place.path("result.json")).unwrap().contains("predictions"));
    // Some recordings begin so.
    place.write("table.txt", "MAC 1.wav zero");
    assert_eq!(place.classify(&["tone.wav", "--format", "text", "-o", "table.txt"]).code(), 0);
    let run = place.classify(&["tone.wav", "-o", "-"]);
    assert_eq!((run.code(), run.json()["status"].as_str()), (0, Some("ok")));
    assert!(!place.path("-").exists());
    let run = place.classify(&["tone.wav", "-o", "table.xlsx"]);
    assert!(run.code() == 0 && run.stderr().contains("will hold JSON"), "{}", run.stderr());
}

#[cfg(unix)]
#[test]
fn an_output_is_known_behind_its_links() {
    let place = Workplace::new();
    place.write("real.jsonl", "");
    std::fs::remove_file(place.path("real.jsonl")).unwrap();
    let batch = |out: &str| place.run(&["batch", "-m", "tiny.safetensors", "tone.wav", "-o", out]);
    assert_eq!(batch("real.jsonl").code(), 0);
    std::os::unix::fs::symlink("real.jsonl", place.path("link.jsonl")).unwrap();
    std::os::unix::fs::symlink("new.jsonl", place.path("dangling.jsonl")).unwrap();
    assert_eq!(batch("dangling.jsonl").code(), 0);
    assert!(place.path("dangling.jsonl").is_symlink() && place.path("new.jsonl.journal").exists());
    batch("link.jsonl").assert_fatal(&["real.jsonl", "exists"]);
    let run = place.run(&["batch", "-m", "tiny.safetensors", "tone.wav", "-o", "link.jsonl", "--force"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    assert!(!place.path("link.jsonl.journal").exists() && place.path("link.jsonl").is_symlink());
}

#[test]
fn a_finished_output_that_somebody_has_changed_is_not_called_complete() {
    let place = Workplace::new();
    let batch = |more: &[&str]| {
        place.run(&[&["batch", "-m", "tiny.safetensors", "tone.wav", "-o", "out.jsonl"], more].concat())
    };
    assert_eq!(batch(&[]).code(), 0);
    let whole = std::fs::read(place.path("out.jsonl")).unwrap();
    assert!(batch(&["--resume"]).stderr().contains("is complete"));
    place.write("out.jsonl", &whole[..100]);
    batch(&["--resume"]).assert_fatal(&["out.jsonl", "--force"]);
    assert_eq!(batch(&["--force"]).code(), 0);
    assert!(std::fs::read(place.path("out.jsonl")).unwrap() == whole);
}

#[test]
fn what_is_cut_off_a_watched_output_is_done_again() {
    let place = Workplace::new();
    for name in ["1.wav", "2.wav", "3.wav"] {
        std::fs::create_dir_all(place.path("in")).unwrap();
        std::fs::copy(place.path("tone.wav"), place.path("in").join(name)).unwrap();
    }
    let watch = || {
        let args = [
            "watch",
            "-m",
            "tiny.safetensors",
            "in",
            "-o",
            "out.jsonl",
            "--once",
            "--settle",
            "0s",
            "--jobs",
            "1",
        ];
        let run = place.run(&args);
        assert_eq!(run.code(), 0, "{}", run.stderr());
        run.stderr().to_string()
    };
    watch();
    let whole = std::fs::read(place.path("out.jsonl")).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    // In the middle of the second row.
    place.write("out.jsonl", &whole[..first + 40]);
    assert!(watch().contains("was cut off"));
    assert!(std::fs::read(place.path("out.jsonl")).unwrap() == whole);
    assert!(!watch().contains("out.jsonl was"), "it is whole again");
    // As where results are collected and taken away.
    std::fs::remove_file(place.path("out.jsonl")).unwrap();
    assert!(watch().contains("was taken away"));
    assert_eq!(std::fs::read(place.path("out.jsonl")).unwrap(), b"");
    // A new file, which the journal does not know yet, as where it was killed: nothing that was done is done again.
    std::fs::copy(place.path("tone.wav"), place.path("in/4.wav")).unwrap();
    let other = place.run(&["batch", "-m", "tiny.safetensors", "in/4.wav", "-o", "other.jsonl"]);
    assert_eq!(other.code(), 0, "{}", other.stderr());
    let row = std::fs::read(place.path("other.jsonl")).unwrap();
    place.write("out.jsonl", &row);
    assert!(watch().contains("was taken away"));
    assert!(std::fs::read(place.path("out.jsonl")).unwrap() == row);
    // Behind another file's rows, what is cut off is done again, and no more.
    std::fs::copy(place.path("tone.wav"), place.path("in/5.wav")).unwrap();
    watch();
    let two = std::fs::read(place.path("out.jsonl")).unwrap();
    place.write("out.jsonl", &two[..two.len() - 1]);
    assert!(watch().contains("done again (1)"));
    assert!(std::fs::read(place.path("out.jsonl")).unwrap() == two);
}

#[test]
fn a_file_of_events_that_has_no_name_is_no_success() {
    let place = Workplace::new();
    tiny_model(Task::Tag).save(&place.path("tagger.safetensors")).unwrap();
    let long = format!("{}.wav", "x".repeat(250));
    std::fs::rename(place.path("tone.wav"), place.path(&long)).unwrap();
    let args =
        ["batch", &long, "--task", "tag", "-m", "tagger.safetensors", "--format", "audacity", "-o", "out"];
    let run = place.run(&args);
    assert_eq!(run.code(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("no file of events"), "{}", run.stderr());
    assert_eq!(place.run(&[&args[..], &["--resume"]].concat()).code(), 1);
}
