//! Which model `-m` means: a built-in name, or a file.

use std::ffi::OsStr;
use std::path::Path;

use super::say;
use crate::model::{Model, Task};
use crate::{Error, ErrorKind, Result};

/// The model named `choice`: a built-in by its name and `task`, otherwise a file (`./digits` for a file that is named
/// like a built-in). `None` is the first built-in, and stderr says so.
pub fn load(choice: Option<&OsStr>, task: Task) -> Result<Model> {
    let Some(choice) = choice else {
        let name = Model::builtin_names().first().copied().unwrap_or_default();
        say(format_args!(
            "no model given (-m), using the built-in `{name}`: a demonstration that knows spoken digits, \
             zero to nine, at 8 kHz"
        ));
        return load(Some(OsStr::new(name)), task);
    };
    if let Some(builtin) = choice.to_str().and_then(|name| Model::builtin(name, task)) {
        return builtin;
    }
    let path = Path::new(choice);
    if !path.exists() && path.components().count() == 1 && path.extension().is_none() {
        let names = Model::builtin_names().join(", ");
        let message = format!("no such model file, and no built-in model of this name (there is: {names})");
        return Err(Error::new(ErrorKind::NotFound, message).with_path(path));
    }
    Model::load(path).map_err(|error| error.with_path(path))
}
