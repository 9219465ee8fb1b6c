//! The program among faults: a disk that is full or fails, calls that are interrupted or do half of what they are asked, a
//! clock that jumps, signals, files that change while they are read.
//!
//! Calls to the system are made to fail by `strace`; where there is none, or it may not trace, these tests are skipped,
//! which they say. What holds in every case stands in [`Disturbed::check`].
#![cfg(target_os = "linux")]

mod cut_short;
mod disk;
mod files;
mod signals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// No run takes so long: it hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// Places at which a call is made to fail, of all the times that it is made.
const PLACES: usize = 3;

/// What is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Classify,
    Tag,
    Features,
    Report,
    Batch,
    Watch,
    Train,
    Tune,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::Classify,
        Self::Tag,
        Self::Features,
        Self::Report,
        Self::Batch,
        Self::Watch,
        Self::Train,
        Self::Tune,
    ];

    fn arguments(self) -> Vec<&'static str> {
        let text = match self {
            Self::Classify => "classify -m c.safetensors in -o out.json",
            Self::Tag => "tag -m t.safetensors rec/0.wav --frames-out f.npy --preview p.png -o out.json",
            Self::Features => "features in/0.wav -m c.safetensors -o out.png",
            Self::Report => "report results.jsonl --no-pictures -o out.html",
            Self::Batch => "batch -m c.safetensors in -o out.jsonl --jobs 1 --progress none --force",
            Self::Watch => "watch -m c.safetensors in -o out.jsonl --once --settle 0s --jobs 1",
            Self::Train => "train clips --config small.toml -o out.safetensors --curves cu.png",
            Self::Tune => "tune -m t.safetensors --manifest m.csv --labels l.csv -o out.safetensors",
        };
        text.split(' ').collect()
    }

    /// The files that it writes.
    fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Classify => &["out.json"],
            Self::Tag => &["out.json", "f.npy", "p.png"],
            Self::Features => &["out.png"],
            Self::Report => &["out.html"],
            Self::Batch | Self::Watch => &["out.jsonl"],
            Self::Train => &["out.safetensors", "cu.png"],
            Self::Tune => &["out.safetensors"],
        }
    }

    /// What it may leave besides, to go on from.
    fn may_leave(self) -> &'static [&'static str] {
        match self {
            Self::Batch => &["out.jsonl.journal", "out.jsonl.partial", "out.jsonl.rows"],
            Self::Watch => &["out.jsonl.journal"],
            Self::Train => &["out.safetensors.checkpoint"],
            _ => &[],
        }
    }

    /// What stands in the place of the output before: of its own kind, otherwise it would be refused.
    fn before(self) -> Option<Vec<u8>> {
        let model = |name| std::fs::read(template().join(name)).unwrap();
        match self {
            Self::Train => Some(model("c.safetensors")),
            Self::Tune => Some(model("t.safetensors")),
            Self::Watch => None,
            Self::Features => Some(b"\x89PNG, an old one".to_vec()),
            Self::Report => Some(b"<title>percept report</title> an old one".to_vec()),
            Self::Classify | Self::Tag | Self::Batch => Some(b"an old one".to_vec()),
        }
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// A folder with sounds, models and results, made once.
fn template() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            make_template(folder.path());
            folder
        })
        .path()
}

fn make_template(folder: &Path) {
    for name in ["in", "rec", "clips/low", "clips/high"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    for i in 0..6_u16 {
        wav(&folder.join(format!("clips/low/{i}.wav")), 2000, |_| 300.0 + 5.0 * f32::from(i));
        wav(&folder.join(format!("clips/high/{i}.wav")), 2000, |_| 1500.0 + 20.0 * f32::from(i));
    }
    let mut manifest = "path,split\n".to_string();
    let mut labels = "path,onset,offset,label\n".to_string();
    for (i, split) in ["train", "train", "validation", "test"].into_iter().enumerate() {
        wav(&folder.join(format!("in/{i}.wav")), 3000, |_| 500.0 + 100.0 * i as f32);
        wav(
            &folder.join(format!("rec/{i}.wav")),
            16_000,
            |at| if at / 4000 % 2 == 1 { 300.0 } else { 1500.0 },
        );
        manifest += &format!("rec/{i}.wav,{split}\n");
        labels += &format!("rec/{i}.wav,0.5,1.0,low\nrec/{i}.wav,1.5,2.0,low\n");
    }
    let small = "[features]\nsample_rate = 8000\nn_fft = 256\nhop_length = 80\nn_mels = 8\n\
                 [network]\nhidden_size = 4\nnum_layers = 1\n\
                 [training]\nepochs = 2\nbatch_size = 4\ncheckpoint_minutes = 0.000001\n";
    for (name, text) in [("m.csv", &*manifest), ("l.csv", &labels), ("small.toml", small)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    for arguments in [
        "train clips --config small.toml -o c.safetensors",
        "train --manifest m.csv --labels l.csv --config small.toml -o t.safetensors",
        "classify -m c.safetensors in --format jsonl -o results.jsonl",
    ] {
        let output = percept(folder, &arguments.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A tone of 16 bits at 8 kHz; its pitch in Hz, by the sample.
fn wav(path: &Path, samples: usize, pitch: impl Fn(usize) -> f32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for i in 0..samples {
        let phase = i as f32 * pitch(i) * std::f32::consts::TAU / 8000.0;
        writer.write_sample((12_000.0 * phase.sin()) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

fn percept(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percept"));
    quiet(&mut command, folder).args(arguments);
    command
}

/// The program, with the calls of `inject` disturbed as `strace` writes it: `fsync:error=EIO:when=2`.
fn strace(folder: &Path, arguments: &[&str], inject: &str, paths: &[&str], log: &Path) -> Command {
    let (call, fault) = inject.split_once(':').unwrap_or((inject, ""));
    let mut command = Command::new("strace");
    quiet(&mut command, folder).args(["-f", "-o"]).arg(log).args(["-e", &format!("trace={call}")]);
    if !fault.is_empty() {
        command.args(["-e", &format!("inject={inject}")]);
    }
    for path in paths {
        command.arg("-P").arg(path);
    }
    command.arg(env!("CARGO_BIN_EXE_percept")).args(arguments);
    command
}

fn quiet<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.current_dir(folder).env("RAYON_NUM_THREADS", "1").stdin(Stdio::null())
}

/// Whether faults can be injected here; says so where they cannot.
fn has_strace() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    let has = *HAS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let run = strace(folder.path(), &["--version"], "write:error=EPERM:when=9", &[], &log).output();
        run.is_ok_and(|output| output.status.success())
    });
    if !has {
        eprintln!("skipped: strace is not installed, or may not trace here (ptrace)");
    }
    has
}

/// A folder of its own for one run.
struct Place {
    folder: TempDir,
    task: Task,
}

impl Place {
    fn new(task: Task) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), task };
        copy(template(), &place.path(""));
        if let Some(before) = task.before() {
            std::fs::write(place.path(task.outputs()[0]), before).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("w").join(name)
    }

    /// The file in which `strace` writes what it does.
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        collect(&self.path(""), "", &mut files);
        files
    }

    fn run(&self, inject: &str, paths: &[&str]) -> Ended {
        Ended::of(&mut strace(&self.path(""), &self.task.arguments(), inject, paths, &self.log()))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn collect(folder: &Path, within: &str, files: &mut Files) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{within}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, std::fs::read(entry.path()).unwrap())),
        }
    }
}

/// How a run has ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    fn of(command: &mut Command) -> Self {
        Self::wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// What is on its way is read by threads: a child that is waited for with full pipes would wait for us.
    fn wait(mut child: Child) -> Self {
        use std::io::Read;
        let read = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                stream.map(|mut stream| stream.read_to_end(&mut bytes));
                bytes
            })
        };
        let stdout = read(child.stdout.take().map(|stream| Box::new(stream) as _));
        let stderr = read(child.stderr.take().map(|stream| Box::new(stream) as _));
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it hangs");
            std::thread::sleep(Duration::from_millis(2));
        };
        let stderr = String::from_utf8(stderr.join().unwrap()).unwrap();
        Self { status, stdout: stdout.join().unwrap(), stderr }
    }

    fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

/// What the undisturbed program makes, besides what was there.
fn undisturbed(task: Task) -> &'static (Files, Files) {
    static MADE: [OnceLock<(Files, Files)>; 8] = [const { OnceLock::new() }; 8];
    MADE[task as usize].get_or_init(|| {
        let place = Place::new(task);
        let before = place.files();
        let ended = Ended::of(&mut percept(&place.path(""), &task.arguments()));
        assert_eq!(ended.code(), 0, "{task:?}: {}", ended.stderr);
        (before, place.files())
    })
}

/// A run with one fault.
struct Disturbed<'a> {
    task: Task,
    ended: &'a Ended,
    after: Files,
    /// For messages.
    what: String,
}

impl Disturbed<'_> {
    /// What holds whatever happens: it ends, with one of the exit codes, and says why; what has a name is whole, and is what
    /// was there before or the result; 0 means that all of the result is there.
    fn check(&self) {
        let Self { task, ended, after, what } = self;
        let (before, made) = undisturbed(*task);
        // A second Ctrl-C quits at once, as a shell counts a program that a signal has ended.
        let code = ended.status.code().filter(|&code| code != 130);
        assert!(code.is_none_or(|code| (0..=2).contains(&code)), "{what}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
        let says_error = ended.stderr.lines().any(|line| line.starts_with("percept: error: "));
        // The message itself may be what could not be written.
        let is_silent = ended.stderr.is_empty() && what.contains("write:");
        assert!(code != Some(2) || says_error || is_silent, "{what}: {ended:?}");
        for name in before.keys() {
            assert!(after.contains_key(name), "{what}: {name} is gone");
        }
        // A training that is asked to end keeps what it has learned; a watch ends with the rows it has.
        let was_stopped = ended.stderr.contains("percept: stopping");
        for name in task.outputs() {
            let is = after.get(*name);
            let is_new = is == made.get(*name);
            assert!(code != Some(0) || is_new || was_stopped, "{what}: 0, and not the result: {ended:?}");
            let is_whole = is_new || is == before.get(*name);
            // Where an input has failed, its row says so; a log is added to row by row.
            let is_other = code == Some(1) || was_stopped || *task == Task::Watch;
            let is_readable = || is.is_none_or(|is| reads(name, is));
            assert!(is_whole || is_other && is_readable(), "{what}: {name} is not whole");
        }
        let is_expected = |name: &String| {
            let was_killed = code.is_none() && name.starts_with(".percept-") && name.ends_with(".partial");
            let named = [task.outputs(), task.may_leave()].concat();
            before.contains_key(name) || named.contains(&&**name) || was_killed
        };
        let left: Vec<&String> = after.keys().filter(|name| !is_expected(name)).collect();
        assert!(left.is_empty(), "{what}: {left:?} were left");
    }
}

/// Whether a file is whole, as far as its kind tells.
fn reads(name: &str, bytes: &[u8]) -> bool {
    let is_json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok();
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("json") => is_json(bytes),
        Some("jsonl") => bytes.split(|&byte| byte == b'\n').all(|line| line.is_empty() || is_json(line)),
        Some("safetensors") => safetensors::SafeTensors::deserialize(bytes).is_ok(),
        Some("png") => bytes.ends_with(b"IEND\xaeB`\x82"),
        _ => true,
    }
}

/// How often `call` is made by the thread that makes it most often, which is how `strace` counts.
fn times(task: Task, call: &str, paths: &[&str]) -> usize {
    let place = Place::new(task);
    place.run(call, paths);
    let log = std::fs::read(place.log()).unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in String::from_utf8_lossy(&log).lines() {
        if let Some((thread, what)) = line.split_once(' ')
            && what.trim_start().starts_with(&format!("{call}("))
        {
            *counts.entry(thread.to_string()).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}

/// Makes `call` fail once, at some of the times that it is made, and checks each run; gives how they ended.
fn disturb(task: Task, call: &str, fault: &str, paths: &[&str]) -> Vec<Ended> {
    let times = times(task, call, paths);
    let step = times.div_ceil(PLACES).max(1);
    let each = (1..=times).rev().step_by(step).map(|when| {
        let place = Place::new(task);
        let inject = format!("{call}:{fault}:when={when}");
        let ended = place.run(&inject, paths);
        Disturbed { task, ended: &ended, after: place.files(), what: format!("{task:?}, {inject}") }.check();
        ended
    });
    each.collect()
}
