//! Which model `-m` means: a built-in name, or a file; without it the built-in one for the kind of input.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::say;
use crate::media::kind_of;
use crate::model::{Builtin, Model, Task};
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// The model named `choice`: a built-in by its name and `task`, otherwise a file (`./digits` for a file that is named
/// like a built-in). `None` is the built-in for `kind`, and stderr says so.
pub fn load(choice: Option<&OsStr>, task: Task, kind: InputKind) -> Result<Model> {
    let Some(choice) = choice else {
        let builtin = Builtin::all().iter().find(|builtin| builtin.kind == kind && builtin.task == task);
        let Some(builtin) = builtin else {
            let message = format!("there is no built-in model for {}; name one (-m)", kind.name());
            return Err(Error::new(ErrorKind::Config, message));
        };
        let Builtin { name, about, .. } = builtin;
        say(format_args!("no model given (-m), using the built-in `{name}`: {about}"));
        return builtin.load();
    };
    if let Some(builtin) = choice.to_str().and_then(|name| Model::builtin(name, task)) {
        return builtin;
    }
    let path = Path::new(choice);
    if !path.exists() && path.components().count() == 1 && path.extension().is_none() {
        return Err(unknown(path, task));
    }
    Model::load(path).map_err(|error| error.with_path(path))
}

/// The error where `--stream` asks for what a model does not take.
pub fn takes_another(name: &str, kind: InputKind) -> Error {
    let message = format!("--stream: the model `{name}` takes {} and nothing else", kind.name());
    Error::new(ErrorKind::Config, message)
}

fn unknown(path: &Path, task: Task) -> Error {
    let named = |builtin: &&Builtin| Some(builtin.name) == path.to_str();
    let there = Builtin::all().iter().filter(|builtin| builtin.task == task);
    let mut names: Vec<&str> = there.map(|builtin| builtin.name).collect();
    names.dedup();
    let (names, does) = (names.join(", "), task.name());
    let message = match Builtin::all().iter().any(|builtin| named(&builtin)) {
        true => format!("this built-in model does not {does} (those that do: {names})"),
        false => format!("no such model file, and no built-in model of this name (to {does}: {names})"),
    };
    Error::new(ErrorKind::NotFound, message).with_path(path)
}

/// The model for each input: the one that was named, or the built-in one for what the input is.
pub struct Models<T> {
    task: Task,
    /// What `--stream` asks for.
    stream: Option<InputKind>,
    make: fn(Model) -> Result<T>,
    named: Option<Arc<T>>,
    /// Those that were needed so far.
    builtin: Mutex<BTreeMap<InputKind, Arc<T>>>,
}

impl<T> Models<T> {
    /// # Errors
    /// Those of the model that is named; [`ErrorKind::Config`] where it takes something else than `--stream` asks for.
    pub fn new(
        choice: Option<&OsStr>,
        task: Task,
        stream: Option<InputKind>,
        make: fn(Model) -> Result<T>,
    ) -> Result<Self> {
        let named = choice.map(|_| load(choice, task, InputKind::Audio)).transpose()?;
        Self::with(named, task, stream, make)
    }

    /// As [`Models::new`], with the model that was named.
    pub fn with(
        named: Option<Model>,
        task: Task,
        stream: Option<InputKind>,
        make: fn(Model) -> Result<T>,
    ) -> Result<Self> {
        if let (Some(model), Some(stream)) = (&named, stream)
            && stream != model.header().input.kind()
        {
            return Err(takes_another(&model.header().name, model.header().input.kind()));
        }
        let named = named.map(make).transpose()?.map(Arc::new);
        Ok(Self { task, stream, make, named, builtin: Mutex::default() })
    }

    /// The model for a file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where none was named and none is inside for what the file is.
    pub fn of(&self, path: &Path) -> Result<Arc<T>> {
        match &self.named {
            Some(model) => Ok(Arc::clone(model)),
            None => self.builtin(self.stream.unwrap_or_else(|| kind_of(path))),
        }
    }

    /// The model for sound, or the one that was named.
    pub fn usual(&self) -> Result<Arc<T>> {
        match &self.named {
            Some(model) => Ok(Arc::clone(model)),
            None => self.builtin(self.stream.unwrap_or(InputKind::Audio)),
        }
    }

    fn builtin(&self, kind: InputKind) -> Result<Arc<T>> {
        let mut builtin = self.builtin.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = builtin.get(&kind) {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new((self.make)(load(None, self.task, kind)?)?);
        builtin.insert(kind, Arc::clone(&model));
        Ok(model)
    }
}
