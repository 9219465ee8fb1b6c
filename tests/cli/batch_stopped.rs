//! A batch that is stopped, at any moment and by anything, goes on to the bytes of one that was not.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::*;

const OUT: &str = "out.jsonl";

fn recordings(files: usize) -> Workplace {
    let place = Workplace::new();
    std::fs::create_dir(place.path("in")).unwrap();
    for i in 0..files {
        match i % 20 {
            13 => place.write(&format!("in/{i}.wav"), format!("no sound {i}")),
            _ => place.wav(&format!("in/{i}.wav"), 1, &tone(500 + 29 * (i % 97))),
        }
    }
    place
}

fn args(out: &str) -> [&str; 9] {
    ["batch", "-m", "tiny.safetensors", "in", "-o", out, "--sync-interval", "5ms", "--progress=none"]
}

fn start(place: &Workplace, more: &[&str]) -> Child {
    std::process::Command::new(assert_cmd::cargo::cargo_bin!("percept"))
        .current_dir(place.folder.path())
        .args(args(OUT))
        .args(more)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn undisturbed(place: &Workplace) -> (Vec<u8>, Duration) {
    let began = Instant::now();
    assert_eq!(place.run(&args("whole.jsonl")).code(), 1);
    (std::fs::read(place.path("whole.jsonl")).unwrap(), began.elapsed())
}

/// 0 to 1, the same for the same `i`.
fn fraction(i: u32) -> f64 {
    f64::from(i.wrapping_mul(2_654_435_769)) / f64::from(u32::MAX)
}

#[test]
fn killed_at_fifty_moments_it_ends_with_the_same_bytes() {
    let place = recordings(300);
    let (whole, lasts) = undisturbed(&place);
    let mut kills = 0;
    let mut resumed = 0;
    for i in 0..500 {
        let mut run =
            start(&place, if place.path("out.jsonl.journal").exists() { &["--resume"] } else { &[] });
        std::thread::sleep(lasts.mul_f64(1.1 * fraction(i)));
        if run.try_wait().unwrap().is_none() {
            kills += 1;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        if kills == 50 {
            break;
        }
        if place.path(OUT).exists() {
            assert!(std::fs::read(place.path(OUT)).unwrap() == whole, "after {kills} kills");
            resumed += 1;
            for name in [OUT, "out.jsonl.journal", "out.jsonl.rows", "out.jsonl.partial"] {
                std::fs::remove_file(place.path(name)).ok();
            }
        }
    }
    assert_eq!(kills, 50);
    let last = place.run(&[&args(OUT)[..], &["--resume"]].concat());
    assert_eq!(last.code(), 1, "{}", last.stderr());
    assert!(std::fs::read(place.path(OUT)).unwrap() == whole);
    eprintln!("{} runs came to their end between 50 kills", resumed + 1);
}

#[test]
fn what_a_loss_of_power_leaves_of_the_files_is_gone_on_from() {
    let place = recordings(120);
    let (whole, lasts) = undisturbed(&place);
    for i in 0..12 {
        for name in [OUT, "out.jsonl.journal", "out.jsonl.rows", "out.jsonl.partial"] {
            std::fs::remove_file(place.path(name)).ok();
        }
        let mut run = start(&place, &[]);
        std::thread::sleep(lasts.mul_f64(0.3 + 0.6 * fraction(i)));
        run.kill().unwrap();
        run.wait().unwrap();
        let cut = |name: &str, share: f64| {
            let Ok(bytes) = std::fs::read(place.path(name)) else { return };
            let keep = (bytes.len() as f64 * share) as usize;
            let mut left = bytes[..keep].to_vec();
            // As a file system leaves blocks that were not written.
            left.resize(keep + 100 * (i as usize % 3), 0);
            std::fs::write(place.path(name), left).unwrap();
        };
        if !place.path(OUT).exists() {
            cut("out.jsonl.journal", fraction(100 + i));
            cut("out.jsonl.partial", if i % 2 == 0 { 1.0 } else { fraction(200 + i) });
        }
        let last = place.run(&[&args(OUT)[..], &["--resume"]].concat());
        assert_eq!(last.code(), 1, "{}", last.stderr());
        assert!(std::fs::read(place.path(OUT)).unwrap() == whole, "{i}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_stops_it_and_it_goes_on_when_there_is_place() {
    let place = recordings(100);
    let (whole, _) = undisturbed(&place);
    let program = assert_cmd::cargo::cargo_bin!("percept");
    // A limit of 8 KiB for a file; the signal that comes with it is not taken.
    let limited = |more: &[&str]| {
        let output = std::process::Command::new("sh")
            .current_dir(place.folder.path())
            .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"", program.to_str().unwrap()])
            .args(args(OUT))
            .args(more)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for more in [&[][..], &["--resume"]] {
        let (code, stderr) = limited(more);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("out.jsonl.") && stderr.contains("too large"), "{stderr}");
        assert!(!place.path(OUT).exists());
    }
    let last = place.run(&[&args(OUT)[..], &["--resume"]].concat());
    assert_eq!(last.code(), 1, "{}", last.stderr());
    assert!(std::fs::read(place.path(OUT)).unwrap() == whole);
}

#[test]
fn a_changed_file_is_done_again_and_one_that_is_gone_keeps_its_row() {
    let place = recordings(40);
    assert_eq!(place.run(&[&args(OUT)[..], &["--fail-fast", "--jobs", "1"]].concat()).code(), 2);
    assert!(!place.path(OUT).exists());
    // The first group of 32 was given out, and in it the first bad file; those before it are done.
    let unfinished = place.run(&args(OUT));
    unfinished.assert_fatal(&["an unfinished run of it is there", "--resume goes on"]);
    place.wav("in/0.wav", 2, &tone(6000));
    std::fs::remove_file(place.path("in/1.wav")).unwrap();
    let resumed = place.run(&["batch", "-m", "tiny.safetensors", "-o", OUT, "--resume"]);
    assert_eq!(resumed.code(), 1, "{}", resumed.stderr());
    let stderr = resumed.stderr();
    assert!(
        stderr.contains("inputs that are gone since, whose rows stay: 1 (the first: in/1.wav)"),
        "{stderr}"
    );
    assert!(stderr.contains("inputs that have changed since they were worked on: 1"), "{stderr}");
    let text = std::fs::read_to_string(place.path(OUT)).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 40);
    assert_eq!((&rows[0]["input"]["channels"], &rows[1]["status"]), (&2.into(), &"ok".into()));
}

#[test]
fn contents_are_compared_when_asked_for() {
    let place = recordings(40);
    let verify = [&args(OUT)[..], &["--verify"]].concat();
    assert_eq!(place.run(&[&verify[..], &["--fail-fast", "--jobs", "1"]].concat()).code(), 2);
    // The same sound at another time, and other sound of the same length at the same time.
    let same = std::fs::read(place.path("in/0.wav")).unwrap();
    place.write("in/0.wav", same);
    let changed = std::fs::metadata(place.path("in/2.wav")).unwrap().modified().unwrap();
    place.wav("in/2.wav", 1, &vec![0.25; 500 + 29 * 2]);
    std::fs::File::options().write(true).open(place.path("in/2.wav")).unwrap().set_modified(changed).unwrap();
    let resumed = place.run(&[&verify[..], &["--resume"]].concat());
    assert!(resumed.stderr().contains("have changed since they were worked on: 1"), "{}", resumed.stderr());
    place.run(&args(OUT)).assert_fatal(&["exists; --force"]);
    place.run(&[&args(OUT)[..], &["--resume"]].concat()).assert_fatal(&["--verify"]);
}

#[test]
fn two_processes_do_not_write_one_output() {
    let place = recordings(5);
    let journal = std::fs::File::create(place.path("out.jsonl.journal")).unwrap();
    journal.try_lock().unwrap();
    place.run(&args(OUT)).assert_fatal(&["another percept works on this output"]);
    place.run(&[&args(OUT)[..], &["--force"]].concat()).assert_fatal(&["another percept works"]);
    drop(journal);
    assert_eq!(place.run(&args(OUT)).code(), 0);
}

#[test]
fn a_disk_that_is_gone_stops_it_instead_of_costing_rows() {
    let place = recordings(40);
    assert_eq!(place.run(&[&args(OUT)[..], &["--fail-fast", "--jobs", "1"]].concat()).code(), 2);
    std::fs::rename(place.path("in"), place.path("elsewhere")).unwrap();
    let resume = || place.run(&[&args(OUT)[..], &["--resume"]].concat());
    resume().assert_fatal(&["in: no such file"]);
    // As a mount point without its disk.
    std::fs::create_dir(place.path("in")).unwrap();
    resume().assert_fatal(&["is the disk that holds them mounted?"]);
    std::fs::remove_dir(place.path("in")).unwrap();
    std::fs::rename(place.path("elsewhere"), place.path("in")).unwrap();
    assert_eq!(resume().code(), 1);
}
