//! Files that the fuzzers found (`fuzz/README.md`), in a folder for each target: each must end without a panic, within the
//! limits that the fuzzers keep. A panic that `guard` contains in the program is contained here too.

#![cfg(target_os = "linux")]

#[path = "fuzz_regressions/targets.rs"]
mod targets;

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Bytes, and seconds of a processor: what runs on and on takes hours.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_SECONDS: u64 = 60;

/// The file that the child process is to look at.
const FILE: &str = "PERCEPT_FUZZ_FILE";

/// A fuzz target by its name.
fn target(name: &str) -> fn(&[u8]) {
    match name {
        "audio" => targets::audio,
        "labels" => targets::labels,
        "manifest" => targets::manifest,
        "model" => targets::model,
        "model_header" => targets::model_header,
        "npy" => targets::npy,
        "pictures" => targets::pictures,
        "results" => targets::results,
        "video" => targets::video,
        "worker" => targets::worker,
        other => panic!("there is no target {other}"),
    }
}

fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz_regressions");
    let paths = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = paths(&root).filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(|folder| paths(&folder).collect::<Vec<_>>()).collect();
    files.sort();
    files
}

#[test]
fn what_the_fuzzers_found_stays_mended() {
    if let Some(file) = std::env::var_os(FILE).map(PathBuf::from) {
        let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
        limit(Resource::Data, MOST_MEMORY).unwrap();
        limit(Resource::Cpu, MOST_SECONDS).unwrap();
        limit(Resource::Core, 0).unwrap();
        let folder = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        return target(folder)(&std::fs::read(&file).unwrap());
    }
    let failed: Vec<String> = files().iter().filter_map(|file| replay(file)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// In a process of its own, whose limits are the file's alone: why it failed, if it did.
fn replay(file: &Path) -> Option<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_the_fuzzers_found_stays_mended", "--nocapture"])
        .env(FILE, file)
        .env("RAYON_NUM_THREADS", "1")
        // Without the ffmpeg program.
        .env("PATH", "")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| format!("{}: {}\n{stderr}", file.display(), output.status))
}
