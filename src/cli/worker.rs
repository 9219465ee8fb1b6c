//! `percept worker`: requests in, answers out, the model loaded once.

use std::io;
use std::process::ExitCode;

use super::work::WorkArgs;

use crate::batch::worker::serve;
use crate::output::Destination;
use crate::{Error, ErrorKind, Result};

const EXAMPLES: &str = "\
A request is a line on standard input, {\"id\": 1, \"path\": \"a.wav\"}, or an array of several that are worked on
together, which is faster for short clips. Each is answered by a line on standard output:
{\"id\": 1, \"seconds\": 2.5, \"row\": {...}}, where the row is what `percept batch` writes (`percept schema batch`).
A file that cannot be read has a row with its error. The worker ends when standard input ends.

Examples:
  echo '{\"id\": 1, \"path\": \"dog.ogg\"}' | percept worker
  percept worker -m song.safetensors < requests.jsonl > answers.jsonl";

/// Answer requests of another program, a line of JSON each
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    work: WorkArgs,

    /// Most memory, as 2GiB or 500MB: beyond it the worker ends (Linux)
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    memory_limit: Option<u64>,

    /// Also give half the SHA-256 of each file, as `content`
    #[arg(long)]
    verify: bool,

    /// Of `percept batch`: say when the model is loaded, and end with the one who asks
    #[arg(long, hide = true)]
    supervised: bool,

    /// Of `percept batch`: the SHA-256 that the model must have
    #[arg(long, value_name = "SHA256", hide = true)]
    model_sha256: Option<String>,
}

/// What the program needs at least.
const MIN_MEMORY: f64 = 67_108_863.0;

/// An amount of memory: `2GiB`, `500MB`, bytes.
pub fn bytes(text: &str) -> std::result::Result<u64, String> {
    let units: [(&str, u64); 10] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let with_unit = units.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = with_unit.unwrap_or((text, &1));
    match number.trim().parse::<f64>() {
        Ok(number) if number * *unit as f64 <= MIN_MEMORY => {
            Err("less than the program itself takes; at least 64MiB are due".into())
        }
        Ok(number) if number > 0.0 && number * *unit as f64 <= 1e18 => Ok((number * *unit as f64) as u64),
        _ => Err("an amount of memory is due, such as 2GiB or 500MB".into()),
    }
}

pub fn run(args: Args) -> Result<ExitCode> {
    with_lean_allocator();
    let (named, task) = args.work.resolve()?;
    if let (Some(model), Some(sha256)) = (&named, &args.model_sha256)
        && model.sha256() != sha256
    {
        let message = "the model file has changed since the run began; --force begins anew with the new one";
        return Err(Error::new(ErrorKind::Model, message));
    }
    if let Some(limit) = args.memory_limit {
        limit_memory(limit)?;
    }
    let work = args.work.work(named, task)?;
    let mut output = Destination::new(None)?.harmless();
    if args.supervised {
        end_with_parent();
        super::print("{\"ready\":true}\n")?;
    }
    serve(&mut io::stdin().lock(), &mut output, &work, args.verify)?;
    Ok(ExitCode::SUCCESS)
}

/// What the environment tells the allocator of a worker, where that is glibc's: two heaps for all threads, and large buffers
/// given back. Otherwise each thread that ever decoded keeps what its largest file took, for as long as the worker lives.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
    ("MALLOC_TRIM_THRESHOLD_", "16777216"),
];

/// Begins again, as the same process, with [`ALLOCATOR`] in the environment, which is read when a program begins. Where
/// anything of it is set, or that cannot be done, it stays as it is.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn with_lean_allocator() {
    use std::os::unix::process::CommandExt;
    if ALLOCATOR.iter().all(|(name, _)| std::env::var_os(name).is_none())
        && let Ok(program) = std::env::current_exe()
    {
        // It comes back only with an error.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(ALLOCATOR).exec();
    }
}

/// Other allocators are not told.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn with_lean_allocator() {}

/// Data and threads' stacks; what is mapped from files does not count.
#[cfg(target_os = "linux")]
fn limit_memory(bytes: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // A limit that holds already may be lower, and cannot be raised.
    let bytes = getrlimit(Resource::Data).maximum.map_or(bytes, |most| most.min(bytes));
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Data, limit)
        .map_err(|error| Error::new(ErrorKind::Config, format!("--memory-limit cannot be set: {error}")))
}

/// Other systems have no limit that holds.
#[cfg(not(target_os = "linux"))]
fn limit_memory(_: u64) -> Result<()> {
    Ok(())
}

/// One that hangs in a decoder does not outlive a run that is killed.
#[cfg(target_os = "linux")]
fn end_with_parent() {
    use rustix::process::{Signal, set_parent_process_death_signal};
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_units() {
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("500MB"), Ok(500_000_000));
        assert_eq!(bytes("100000.5 KiB"), Ok(102_400_512));
        assert_eq!(bytes("67108864"), Ok(64 << 20));
        for wrong in ["", "GiB", "-1", "0", "nan", "1e30", "2GiBs", "63MiB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
