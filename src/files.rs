//! Writing files so that nobody ever sees half of one: to a temporary name beside it, then renamed.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{Error, ErrorKind, Result};

/// A file that appears under its name only when [`AtomicFile::commit`] is called, replacing what was there;
/// dropped before that, it leaves nothing behind.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl AtomicFile {
    /// # Errors
    /// Where `path` is a directory, or its directory is missing or not writable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if path.is_dir() {
            let message = "is a directory where a file is to be written; add a file name";
            return Err(Error::new(ErrorKind::Path, message).with_path(path));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".percept-").suffix(".partial");
        #[cfg(unix)]
        {
            // What any new file gets; the umask takes its part off. The default would be private.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(|e| Error::io(&e, folder))?;
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Gives the file its name.
    pub fn commit(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(|e| Error::io(e.error(), &self.path))?;
        file.persist(&self.path).map_err(|e| Error::io(&e.error, &self.path))?;
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut kept = AtomicFile::create(&path).unwrap();
        kept.write_all(b"whole").unwrap();
        kept.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_with_its_path() {
        let error = AtomicFile::create("no/such/folder/x.json").unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.to_string().starts_with("no/such/folder: "));
    }
}
