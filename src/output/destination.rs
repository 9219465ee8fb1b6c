//! Where results go: stdout, or a file.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use super::harmless::Harmless;
use crate::files::AtomicFile;
use crate::media::held_by;
use crate::{Error, ErrorKind, Result};

/// stdout, or a file that appears whole or not at all.
pub enum Destination {
    Stdout(BufWriter<io::Stdout>),
    /// stdout, shown as it comes to a person: nothing in results steers it.
    Terminal(Harmless<BufWriter<io::Stdout>>),
    File(AtomicFile),
    /// `/dev/null`, a named pipe and the like are written to; renaming would replace them.
    Device(File),
}

impl Destination {
    /// `None` is stdout, and so is `-`.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`]; [`ErrorKind::Path`] where a file is there that is plainly no result.
    pub fn new(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        };
        match std::fs::canonicalize(path) {
            Ok(target) if !target.is_file() && !target.is_dir() => {
                let file = File::options().write(true).open(&target).map_err(|e| Error::io(&e, path))?;
                Ok(Self::Device(file))
            }
            _ => {
                check_replaceable(path)?;
                Ok(Self::File(AtomicFile::create(path)?))
            }
        }
    }

    /// For results that are written as they are: a terminal is not steered by what they hold. Text that is drawn for it
    /// minds that itself.
    pub fn harmless(self) -> Self {
        match self {
            Self::Stdout(out) if io::stdout().is_terminal() => Self::Terminal(Harmless::new(out)),
            other => other,
        }
    }

    /// Everything has been written: a file gets its name.
    pub fn commit(self) -> Result<()> {
        match self {
            Self::Stdout(_) | Self::Terminal(_) | Self::Device(_) => Ok(()),
            Self::File(file) => file.commit(),
        }
    }
}

/// # Errors
/// [`ErrorKind::Path`] where a file is there that is plainly no result, such as a recording or a model.
pub(crate) fn check_replaceable(path: &Path) -> Result<()> {
    let Some(what) = held_by(path) else { return Ok(()) };
    let message = format!("is {what}, so no result replaces it: remove it, or name another (-o)");
    Err(Error::new(ErrorKind::Path, message).with_path(path))
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Terminal(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
            Self::Device(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Terminal(out) => out.flush(),
            Self::File(out) => out.flush(),
            Self::Device(out) => out.flush(),
        }
    }
}
