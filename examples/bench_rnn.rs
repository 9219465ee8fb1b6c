//! How fast the recurrent networks are, as JSON lines that stand beside those of other programs on the same work:
//!
//! ```text
//! cargo run --release --example bench_rnn -- rnn THREADS [FILTER]     inference: LSTM and GRU
//! cargo run --release --example bench_rnn -- cells THREADS [FILTER]   inference: every cell, beside the plain LSTM
//! cargo run --release --example bench_rnn -- train THREADS CELL       one training step: lstm, gru, ...
//! ```
//!
//! `FILTER` is part of a case's name: `s64-128x2`, `gru m128-256x2 b16`. Times are medians, in milliseconds.
//! `benches/peers/rnn.py` runs this beside PyTorch and ONNX Runtime.

use std::process::{Command, ExitCode};

use percept::nn::CellKind;
use serde_json::{Value, json};

#[path = "../benches/common/rnn.rs"]
mod cases;

use cases::{Case, Time, cell_name};

const USAGE: &str = "usage: bench_rnn rnn|cells THREADS [FILTER], or bench_rnn train THREADS CELL";
const THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [command, threads, rest @ ..] = args.as_slice() else { return usage() };
    let Some(count) = threads.parse::<usize>().ok().filter(|&count| count > 0) else { return usage() };
    // Rayon's pool and the matrix products each read the number of threads from the environment, once.
    if std::env::var(THREADS).ok().as_deref() != Some(threads) {
        let status = Command::new(std::env::current_exe()?).args(&args).env(THREADS, threads).status()?;
        return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into());
    }
    match (*command, rest) {
        ("rnn", [] | [_]) => {
            for case in Case::all(&[CellKind::Lstm, CellKind::Gru], rest.first().unwrap_or(&"")) {
                print(&inference(&case, count, &case.run()?));
            }
        }
        ("cells", [] | [_]) => cells(count, rest.first().unwrap_or(&""))?,
        ("train", [name]) => {
            let Ok(cell) = serde_json::from_value(json!(name)) else {
                eprintln!("bench_rnn: there is no cell {name:?}; choose one of {}", names());
                return Ok(ExitCode::from(2));
            };
            print(&train(cell, count)?);
        }
        _ => return usage(),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> Result<ExitCode, Box<dyn std::error::Error>> {
    eprintln!("{USAGE}");
    Ok(ExitCode::from(2))
}

fn names() -> String {
    CellKind::ALL.map(cell_name).join(", ")
}

fn print(line: &Value) {
    println!("{line}");
}

fn inference(case: &Case, threads: usize, time: &Time) -> Value {
    json!({
        "what": "rnn",
        "peer": "percept",
        "cell": cell_name(case.cell),
        "model": case.model.name,
        "batch": case.batch,
        "T": case.frames,
        "threads": threads,
        "ms": round(time.median),
        "min": round(time.min),
        "max": round(time.max),
        "n": time.runs,
    })
}

/// Adds the time of one floating-point operation in picoseconds, and how many times the plain LSTM's that is, measured
/// just before.
fn cells(threads: usize, filter: &str) -> percept::Result<()> {
    let each = |case: &Case, time: &Time| time.median * 1e9 / case.flops();
    for case in Case::all(&CellKind::ALL, filter) {
        let plain = Case { cell: CellKind::Lstm, ..case };
        let lstm = each(&plain, &plain.run()?);
        let time = case.run()?;
        let mut line = inference(&case, threads, &time);
        line["ps_per_flop"] = json!(round(each(&case, &time)));
        line["to_lstm"] = json!(round(each(&case, &time) / lstm));
        print(&line);
    }
    Ok(())
}

fn train(cell: CellKind, threads: usize) -> percept::Result<Value> {
    let base = peak_rss_mib();
    let training = cases::train(cell)?;
    Ok(json!({
        "what": "train",
        "peer": "percept",
        "cell": cell_name(cell),
        "threads": threads,
        "ms": round(training.step.median),
        "min": round(training.step.min),
        "max": round(training.step.max),
        "n": training.step.runs,
        "forward_only_ms": round(training.forward.median),
        "base_rss_mib": base,
        "peak_rss_mib": peak_rss_mib(),
        "loss": training.loss,
    }))
}

/// Largest resident memory so far; nothing where the system is not Linux.
fn peak_rss_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
