//! Calls that do less than they are asked, as the system may at any time: reads and writes of a few bytes, calls that are
//! interrupted. And a clock that jumps. By a library that stands before the system's (`LD_PRELOAD`), which `rustc` builds.

use super::*;

const LIBRARY: &str = r#"
use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Every third call is interrupted; the others do 1 to 97 bytes.
unsafe fn part(number: c_long, file: c_int, bytes: *const c_void, count: usize) -> isize {
    let call = CALLS.fetch_add(1, Relaxed);
    unsafe {
        if call % 3 == 2 {
            *__errno_location() = 4;
            return -1;
        }
        syscall(number, file, bytes, count.min(1 + call % 97)) as isize
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(file: c_int, bytes: *mut c_void, count: usize) -> isize {
    unsafe { part(READ, file, bytes, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    unsafe { part(WRITE, file, bytes, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int, from_at: *mut i64, to: c_int, to_at: *mut i64, count: usize, flags: u32,
) -> isize {
    let call = CALLS.fetch_add(1, Relaxed);
    unsafe { syscall(COPY, from, from_at, to, to_at, count.min(1 + call % 997), flags) as isize }
}

/// The time of day jumps by up to a year, to and fro.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int {
    let call = CALLS.fetch_add(1, Relaxed) as i64;
    unsafe {
        let done = syscall(CLOCK, clock, time) as c_int;
        if clock == 0 {
            (*time)[0] += (call * 7_654_321) % 31_536_000 - 15_768_000;
        }
        done
    }
}
"#;

/// The library, or `None` where it cannot be built, which is said.
fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<TempDir>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let numbers = match std::env::consts::ARCH {
            "x86_64" => [0, 1, 326, 228],
            "aarch64" => [63, 64, 285, 113],
            _ => return None,
        };
        let names = ["READ", "WRITE", "COPY", "CLOCK"].into_iter().zip(numbers);
        let consts: String =
            names.map(|(name, number)| format!("const {name}: c_long = {number};\n")).collect();
        std::fs::write(folder.path().join("cut.rs"), format!("{LIBRARY}{consts}")).unwrap();
        let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let arguments = ["--edition=2024", "-O", "--crate-type=cdylib", "cut.rs", "-o", "libcut.so"];
        let run = Command::new(rustc).args(arguments).current_dir(folder.path()).output();
        run.is_ok_and(|output| output.status.success()).then_some(folder)
    });
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    match built {
        Some(folder) => Some(PATH.get_or_init(|| folder.path().join("libcut.so"))),
        None => {
            eprintln!("skipped: rustc cannot build the library that cuts calls short here");
            None
        }
    }
}

#[test]
fn reads_and_writes_that_are_cut_short_or_interrupted_and_a_clock_that_jumps_change_no_result() {
    let Some(library) = library() else { return };
    for task in Task::ALL {
        let place = Place::new(task);
        let mut command = percept(&place.path(""), &task.arguments());
        let ended = Ended::of(command.env("LD_PRELOAD", library));
        assert_eq!(ended.code(), 0, "{task:?}: {ended:?}");
        Disturbed { task, ended: &ended, after: place.files(), what: format!("{task:?}") }.check();
    }
}
