//! Names that are not UTF-8: they are read, and no byte of them is lost on the way.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::*;

const NAME: &[u8] = b"caf\xe9.wav";
/// `base64.b64encode(b"in\xff/caf\xe9.wav")`
const BYTES: &str = "aW7/L2NhZukud2F2";

/// `in\xff/caf\xe9.wav`.
fn path() -> OsString {
    OsString::from_vec([b"in\xff/", NAME].concat())
}

fn odd_place() -> Workplace {
    let place = Workplace::new();
    std::fs::create_dir(place.folder.path().join(OsStr::from_bytes(b"in\xff"))).unwrap();
    std::fs::copy(place.path("tone.wav"), place.folder.path().join(path())).unwrap();
    place
}

fn run(place: &Workplace, args: &[&str], more: &[&OsStr]) -> Run {
    Run(place.command(args).args(more).output().unwrap())
}

fn assert_names_it(input: &Value) {
    assert_eq!(input["path"], "in\u{fffd}/caf\u{fffd}.wav");
    assert_eq!(input["path_bytes"], BYTES);
}

#[test]
fn results_have_all_bytes_of_a_name() {
    let place = odd_place();
    tiny(Task::Tag, true).save(&place.path("tag.safetensors")).unwrap();
    let odd = [path()];
    let odd = [odd[0].as_os_str()];
    for (name, args) in [
        ("classify", &["classify", "-m", "tiny.safetensors"][..]),
        ("tag", &["tag", "-m", "tag.safetensors"]),
        ("probe", &["probe"]),
        ("features", &["features", "-m", "tiny.safetensors", "-o", "x.npy"]),
    ] {
        let one = run(&place, args, &odd);
        assert_eq!(one.code(), 0, "{name}: {}", one.stderr());
        assert_names_it(&one.json()["input"]);
        schema::assert_valid(&place, name, &one.json());
    }
    let known = place.classify(&["tone.wav"]).json();
    assert!(known["input"].get("path_bytes").is_none());
}

#[test]
fn a_batch_its_journal_its_tree_and_a_report_carry_it() {
    let place = odd_place();
    let batch = ["batch", "-m", "tiny.safetensors", "-o", "out.jsonl", "--progress=none"];
    let folder = [OsStr::from_bytes(b"in\xff")];
    place.write("bad.wav", "no sound");
    let first = run(&place, &[&batch[..], &["bad.wav"]].concat(), &folder);
    assert_eq!(first.code(), 1, "{}", first.stderr());
    let rows = || -> Vec<Value> {
        let text = std::fs::read_to_string(place.path("out.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_names_it(&rows()[1]["input"]);
    assert_eq!(rows()[1]["status"], "ok");
    // The journal knows it again.
    place.wav("bad.wav", 1, &tone(2000));
    let retried = run(&place, &[&batch[..], &["--retry-failed", "bad.wav"]].concat(), &folder);
    assert_eq!(retried.code(), 0, "{}", retried.stderr());
    assert_names_it(&rows()[1]["input"]);

    let report = place.run(&["report", "out.jsonl", "-o", "page.html"]);
    assert!(report.code() == 0 && report.stderr().contains("2 files, 2 pictures"), "{}", report.stderr());
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("./in%FF/caf%E9.wav"));

    tiny(Task::Tag, true).save(&place.path("tag.safetensors")).unwrap();
    let tree = ["batch", "-m", "tag.safetensors", "--format", "raven", "-o", "tree", "--progress=none"];
    let tagged = run(&place, &tree, &folder);
    assert_eq!(tagged.code(), 0, "{}", tagged.stderr());
    let table = OsStr::from_bytes(b"tree/caf\xe9.wav.selections.txt");
    assert!(place.folder.path().join(table).exists());
}

#[test]
fn a_list_names_it_by_its_bytes() {
    let place = odd_place();
    let mut list = b"path\n".to_vec();
    list.extend_from_slice(path().as_bytes());
    place.write("list.csv", list);
    let args =
        ["batch", "-m", "tiny.safetensors", "--manifest", "list.csv", "-o", "out.jsonl", "--progress=none"];
    let batch = place.run(&args);
    assert_eq!(batch.code(), 0, "{}", batch.stderr());
    let row: Value = serde_json::from_slice(&std::fs::read(place.path("out.jsonl")).unwrap()).unwrap();
    assert_names_it(&row["input"]);
}

#[test]
fn what_is_watched_has_a_row_once() {
    let place = odd_place();
    let args = ["watch", "-m", "tiny.safetensors", "-o", "out.jsonl", "--once", "--settle", "0s"];
    for _ in 0..2 {
        let watch = run(&place, &args, &[OsStr::from_bytes(b"in\xff")]);
        assert_eq!(watch.code(), 0, "{}", watch.stderr());
        let text = std::fs::read_to_string(place.path("out.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_names_it(&serde_json::from_str::<Value>(&text).unwrap()["input"]);
    }
}

#[test]
fn a_worker_is_asked_for_it_by_its_bytes() {
    let place = odd_place();
    let mut command = place.command(&["worker", "-m", "tiny.safetensors"]);
    let request = format!("{{\"id\": 1, \"path\": \"?\", \"path_bytes\": \"{BYTES}\"}}\n");
    let output = command.write_stdin(request).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(answer["row"]["status"], "ok", "{answer}");
    assert_names_it(&answer["row"]["input"]);
}

#[test]
fn it_is_trained_on_in_folders_and_from_a_manifest_with_its_bytes() {
    let place = odd_place();
    train::tones(&place);
    std::fs::copy(place.path("clips/low/0.wav"), place.path("clips/low").join(OsStr::from_bytes(NAME)))
        .unwrap();
    let settings = ["--epochs", "1", "--hidden-size", "4", "-o", "m.safetensors"];
    let folders = place.run(&[&["train", "clips"], &settings[..]].concat());
    assert_eq!(folders.code(), 0, "{}", folders.stderr());

    place.write(
        "m.csv",
        format!("path,path_bytes,label\n?,{BYTES},low\nclips/high/0.wav,,high\nclips/high/1.wav,,high\ntone.wav,,low\n"),
    );
    let settings =
        ["--validation-fraction", "0", "--epochs", "1", "--hidden-size", "4", "-o", "n.safetensors"];
    let manifest = place.run(&[&["train", "--manifest", "m.csv"], &settings[..]].concat());
    assert_eq!(manifest.code(), 0, "{}", manifest.stderr());
}
