//! Reading files that people name, within limits, and writing files so that nobody ever sees half of one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::error::Position;
use crate::{Error, ErrorKind, Result};

/// Opens a regular file: a pipe would hang and a device might never end. `due` ends the message where it is a
/// directory: `a sound file is due`.
pub(crate) fn open_regular(path: &Path, due: &str) -> Result<File> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Path, message).with_path(path));
    let metadata = fs::metadata(path).map_err(|e| Error::io(&e, path))?;
    if metadata.is_dir() {
        return wrong(format!("is a directory where {due}"));
    }
    if !metadata.is_file() {
        return wrong("is no regular file but a pipe, socket or device; save it to a file".into());
    }
    File::open(path).map_err(|e| Error::io(&e, path))
}

/// Reads a file of at most `limit` bytes; `due` as in [`open_regular`].
pub(crate) fn read_limited(path: &Path, due: &str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // What it holds is counted as it is read: a size that the system tells may be wrong.
    let file = open_regular(path, due)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::io(&e, path))?;
    check_size(bytes, limit, path)
}

/// Longest line of a text that is read, in bytes: a thousand columns of a thousand letters.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads a text file of at most `limit` bytes, no line of which is longer than [`MAX_LINE_BYTES`]; `due` as in
/// [`open_regular`].
pub(crate) fn read_lines(path: &Path, due: &str, limit: u64) -> Result<Vec<u8>> {
    let mut reader = BufReader::with_capacity(64 << 10, open_regular(path, due)?.take(limit + 1));
    let (mut bytes, mut line, mut number) = (Vec::new(), 0, 1);
    loop {
        let block = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            block => block.map_err(|e| Error::io(&e, path))?,
        };
        if block.is_empty() {
            break;
        }
        // Lines of old Macs end with a carriage return alone.
        for piece in block.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line += piece.len();
            if line > MAX_LINE_BYTES {
                let message =
                    format!("a line is longer than {MAX_LINE_BYTES} bytes: it is no text of this kind");
                return Err(Error::new(ErrorKind::Limit, message).at(Position::Line(number)).with_path(path));
            }
            number += u64::from(piece.ends_with(b"\n"));
            line = if piece.ends_with(b"\n") || piece.ends_with(b"\r") { 0 } else { line };
        }
        let read = block.len();
        bytes.extend_from_slice(block);
        reader.consume(read);
    }
    check_size(bytes, limit, path)
}

fn check_size(bytes: Vec<u8>, limit: u64, path: &Path) -> Result<Vec<u8>> {
    if bytes.len() as u64 > limit {
        let message = format!("holds more than {limit} bytes, the most that is read of it");
        return Err(Error::new(ErrorKind::Limit, message).with_path(path));
    }
    Ok(bytes)
}

/// Reads a text as [`read_lines`]. Without the byte order mark.
///
/// # Errors
/// Besides those of the system, [`ErrorKind::Limit`], and `not_text` at the line where it is not UTF-8.
pub(crate) fn read_text(path: &Path, due: &str, limit: u64, not_text: ErrorKind) -> Result<String> {
    decode_text(read_lines(path, due, limit)?, not_text).map_err(|e| e.with_path(path))
}

/// UTF-8 without the byte order mark.
///
/// # Errors
/// `not_text` at the line where it is not.
pub(crate) fn decode_text(bytes: Vec<u8>, not_text: ErrorKind) -> Result<String> {
    let message = "is not UTF-8 text; save it as text in UTF-8";
    const MARK: &str = "\u{feff}";
    let mut text = String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|&&b| b == b'\n').count() as u64;
        Error::new(not_text, message).at(Position::Line(line))
    })?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}

/// Gives `take` all that `reader` holds, piece by piece. A call that is interrupted is made again.
pub(crate) fn each_piece(mut reader: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; 1 << 16];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first bytes of `reader`, at most `most`: fewer only where it holds no more.
pub(crate) fn first_bytes(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A name for JSON, which is text: with marks (U+FFFD) in place of bytes that are none, and then all of its bytes in base64
/// beside it, so that nothing of it is lost.
pub(crate) fn path_to_json(path: &Path) -> (String, Option<String>) {
    let is_text = path.to_str().is_some() || cfg!(not(unix));
    let bytes = (!is_text).then(|| BASE64_STANDARD.encode(path.as_os_str().as_encoded_bytes()));
    (path.to_string_lossy().into_owned(), bytes)
}

/// The bytes of a name beside it, as [`path_to_json`] writes them: for `deserialize_with`, where others may have written them.
pub(crate) fn path_bytes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    match text.as_ref().map(|text| BASE64_STANDARD.decode(text)) {
        Some(Err(error)) => Err(D::Error::custom(format!("`path_bytes` is no base64 ({error})"))),
        _ => Ok(text),
    }
}

/// The path that [`path_to_json`] was given.
pub(crate) fn path_from_json(text: &str, bytes: Option<&str>) -> PathBuf {
    let bytes = bytes.and_then(|bytes| BASE64_STANDARD.decode(bytes).ok());
    bytes.map_or_else(|| PathBuf::from(text), |bytes| path_of_bytes(&bytes))
}

/// The path of these bytes: any on Unix; elsewhere with marks in place of what is no text.
pub(crate) fn path_of_bytes(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    let name = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
    #[cfg(not(unix))]
    let name: &std::ffi::OsStr = &std::ffi::OsString::from(String::from_utf8_lossy(bytes).into_owned());
    Path::new::<std::ffi::OsStr>(name).to_path_buf()
}

/// Where JSON has to carry UTF-8 and nothing else.
pub(crate) fn check_utf8(path: &Path) -> Result<()> {
    if path.to_str().is_none() {
        let message = "the name is not UTF-8, which JSON cannot carry; rename the file";
        return Err(Error::new(ErrorKind::Path, message).with_path(path));
    }
    Ok(())
}

/// A file that appears under its name, whole, only when [`AtomicFile::commit`] is called, replacing what was there.
/// Until then it has no name: however the program ends, nothing of it is left behind.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl AtomicFile {
    /// # Errors
    /// Whatever of the name and its folder would make [`AtomicFile::commit`] fail after all work is done: `path` is a
    /// directory, a device or a pipe, or ends as a directory, its name is too long, its directory is missing or not writable.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        // Through a link, so that the link stays.
        let path = path.canonicalize().unwrap_or(path);
        if path.exists() && !path.is_file() && !path.is_dir() {
            let message = "is no ordinary file, so it is not replaced; name another";
            return Err(Error::new(ErrorKind::Path, message).with_path(path));
        }
        check_name(&path)?;
        let folder = folder_of(&path);
        let file = tempfile::tempfile_in(folder).map_err(|e| Error::io(&e, folder))?;
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Gives the file its name; one that is replaced hands on its permissions.
    pub fn commit(self) -> Result<()> {
        let Self { path, writer } = self;
        let failed = |e: io::Error| Error::io(&e, &path);
        let mut content = writer.into_inner().map_err(|e| failed(e.into_error()))?;
        content.rewind().map_err(failed)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".percept-").suffix(".partial");
        #[cfg(unix)]
        {
            // What any new file gets; the umask takes its part off. The default would be private.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        // Now it has a name, for as long as it takes to copy it.
        let mut named = builder.tempfile_in(folder_of(&path)).map_err(failed)?;
        io::copy(&mut content, named.as_file_mut()).map_err(failed)?;
        #[cfg(unix)]
        if let Ok(replaced) = fs::metadata(&path) {
            named.as_file().set_permissions(replaced.permissions()).map_err(failed)?;
        }
        // A name for what is not yet on disk would be an empty file after a loss of power.
        named.as_file().sync_all().map_err(failed)?;
        named.persist(&path).map_err(|e| failed(e.error))?;
        // The name itself, too; where the system has no such thing, it is as safe as it can be.
        let _ = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a file can have this name, as far as can be told without making one.
fn check_name(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    // `x/` and `x/.` have the file name `x`, and yet are the names of folders.
    let is_file_name = path.file_name().is_some_and(|name| bytes.ends_with(name.as_encoded_bytes()));
    if !is_file_name || path.is_dir() {
        let message = "is a directory where a file is to be written; add a file name";
        return Err(Error::new(ErrorKind::Path, message).with_path(path));
    }
    match fs::symlink_metadata(path) {
        // A name that the system cannot have (too long, most likely) is not merely missing.
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(&e, path)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let mut dropped = AtomicFile::create(&path).unwrap();
        dropped.write_all(b"half").unwrap();
        drop(dropped);
        assert!(names(folder.path()).is_empty());

        let mut kept = AtomicFile::create(&path).unwrap();
        kept.write_all(b"whole").unwrap();
        kept.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(folder.path()), [path]);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_no_name_until_it_is_whole_so_that_a_program_that_is_killed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = AtomicFile::create(folder.path().join("result.json")).unwrap();
        file.write_all(&[b'x'; 100_000]).unwrap();
        file.flush().unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_is_an_error_with_its_path() {
        let error = AtomicFile::create("no/such/folder/x.json").unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert!(error.to_string().starts_with("no/such/folder: "));
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for name in ["", "new/", "new/.", "file/", "file/.", "..", "file/x.json", &"x".repeat(300)] {
            let error = AtomicFile::create(folder.path().join(name)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Path, "{name}: {error}");
        }
        assert!(AtomicFile::create("").is_err());
        assert!(AtomicFile::create(folder.path().join("a.b/../x")).is_err());
        assert!(AtomicFile::create(folder.path().join("x".repeat(200))).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_hands_on_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        AtomicFile::create(&path).unwrap().commit().unwrap();
        assert_eq!(mode(&path) & 0o600, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        AtomicFile::create(&path).unwrap().commit().unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn a_text_has_a_limit_and_a_line_where_it_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.txt");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_text(&path, "a text is due", 8, ErrorKind::Config)
        };
        assert_eq!(read(b"\xef\xbb\xbfab\n").unwrap(), "ab\n");
        assert_eq!(read(b"12345678").unwrap(), "12345678");
        assert_eq!(read(b"123456789").unwrap_err().kind, ErrorKind::Limit);
        assert!(read(b"a\n\xe4").unwrap_err().to_string().ends_with("(line 2)"));
        let long = |length: usize| {
            fs::write(&path, [b"a\n".as_slice(), &vec![b'a'; length], b"\n"].concat()).unwrap();
            read_text(&path, "a text is due", 8 << 20, ErrorKind::Config).map(|text| text.len())
        };
        assert_eq!(long(MAX_LINE_BYTES - 1), Ok(MAX_LINE_BYTES + 2));
        let error = long(MAX_LINE_BYTES).unwrap_err();
        assert_eq!((error.kind, error.position), (ErrorKind::Limit, Some(Position::Line(2))));
        let error = read_text(folder.path(), "a text is due", 8, ErrorKind::Config).unwrap_err();
        assert_eq!(error.message, "is a directory where a text is due");
    }

    #[test]
    fn a_name_of_any_bytes_goes_through_json() {
        for bytes in [&b"a.wav"[..], "é/\u{fffd}".as_bytes(), b"", b"caf\xe9/\xff\xfe\x80.wav"] {
            let path = path_of_bytes(bytes);
            let (text, bytes) = path_to_json(&path);
            assert_eq!(bytes.is_none(), path.to_str() == Some(&*text));
            assert_eq!(path_from_json(&text, bytes.as_deref()), path);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_may_hang_or_never_end_is_not_opened() {
        let error = open_regular(Path::new("/dev/zero"), "a text is due").unwrap_err();
        assert!(error.message.contains("device"), "{error}");
    }
}
