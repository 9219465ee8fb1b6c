//! A panic in work on outside bytes is the failure of that work, not of the program, and prints nothing.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work`; where it panics, gives what it said and where. Panics elsewhere go to the hook that was set before
/// the first call, as ever.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                return before(panic);
            }
            let said = panic.payload_as_str().unwrap_or("panic");
            let place =
                panic.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
            #[cfg(fuzzing)]
            tell_contained(&place);
            PANIC.set(format!("{said}{place}"));
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|_| PANIC.take())
}

/// Whoever fuzzes wants to know what was contained: each place once.
#[cfg(fuzzing)]
fn tell_contained(place: &str) {
    static TOLD: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let Ok(mut told) = TOLD.lock() else { return };
    if !told.iter().any(|one| one == place) {
        eprintln!("contained{place}");
        told.push(place.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_where() {
        let error = guard(|| guard(|| panic!("odd bytes {}", 7)).unwrap_err()).unwrap();
        assert!(error.starts_with("odd bytes 7 at src/guard.rs:"), "{error}");
        assert_eq!(guard(|| 1), Ok(1));
    }

    #[test]
    fn a_guarded_panic_prints_nothing_and_another_does() {
        const CHILD: &str = "PERCEPT_TEST_GUARD";
        if std::env::var_os(CHILD).is_some() {
            assert!(guard(|| panic!("caught quietly")).is_err());
            panic!("said aloud");
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "guard::tests::a_guarded_panic_prints_nothing_and_another_does", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("said aloud") && !said.contains("caught quietly"), "{said}");
    }
}
