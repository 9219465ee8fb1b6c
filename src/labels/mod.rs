//! Files that say what happens when.

mod dcase;

pub use dcase::{EventLists, read_dcase};

use crate::{Error, ErrorKind, Result};

/// Largest file of labels that is read, in bytes.
pub const MAX_LABEL_BYTES: u64 = 256 << 20;
/// The latest that an event may end, in seconds: 11 days.
pub const MAX_SECONDS: f64 = 1e6;

/// A time in seconds from the start of a recording.
///
/// # Errors
/// [`ErrorKind::Dataset`] where it is no number, negative, or later than [`MAX_SECONDS`].
fn seconds(text: &str, what: &str) -> Result<f64> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=MAX_SECONDS).contains(&value) => Ok(value),
        Ok(value) => {
            let message = format!("the {what} is {value}; it must be 0 to {MAX_SECONDS} seconds");
            Err(Error::new(ErrorKind::Dataset, message))
        }
        Err(_) => {
            Err(Error::new(ErrorKind::Dataset, format!("the {what} is {text:?}, not a number of seconds")))
        }
    }
}
