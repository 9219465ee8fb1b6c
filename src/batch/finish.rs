//! The output: all rows, in the order of the list.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::journal::{Journal, Place};
use super::list::Source;
use super::run::Event;
use crate::files::{AtomicFile, path_of_bytes};
use crate::output::rows::{RowFormat, RowWriter, Tree};
use crate::{Error, ErrorKind, Result};

/// The output: a file, and with it a tree of files.
pub struct Target {
    pub file: PathBuf,
    pub format: RowFormat,
    pub tree: Option<Tree>,
}

/// Writes the output from rows in any order: it appears when it is whole.
///
/// # Errors
/// [`ErrorKind::Damaged`] where a row is missing; those of the disk.
pub fn finish(
    journal: &mut Journal,
    target: &Target,
    rows: &Path,
    sources: &[Source],
    on_event: &mut dyn FnMut(Event),
) -> Result<usize> {
    let mut without_file = 0;
    let places = journal.places()?;
    let mut rows = Rows::open(rows)?;
    let mut taken = Places::default();
    let mut inputs = journal.inputs()?;
    let failed = |error: Error| error.with_path(&target.file);
    let mut writer = RowWriter::new(target.format, AtomicFile::create(&target.file)?).map_err(failed)?;
    for place_of_row in places {
        let row = rows.read(&place_of_row)?;
        let input =
            inputs.next_input()?.ok_or_else(|| Error::new(ErrorKind::Damaged, "the list is cut off"))?;
        if let Some(tree) = &target.tree {
            match tree.write(row, &taken.free(place(&input.path, input.root, sources))) {
                // Its row says what the file would.
                Err(error) if error.kind == ErrorKind::Path => {
                    without_file += 1;
                    on_event(Event::Warning(format!(
                        "no file of events for {}: {error}",
                        input.path.display()
                    )));
                }
                written => drop(written?),
            }
        }
        writer.write(row).map_err(failed)?;
    }
    writer.finish().map_err(failed)?.commit()?;
    Ok(without_file)
}

/// Where in a tree an input has its place: as it lies in the directory in which it was found; below that one's name where
/// there are several sources; with all its folders where it was named itself.
fn place(path: &Path, root: usize, sources: &[Source]) -> PathBuf {
    let path = path.as_os_str().as_encoded_bytes();
    let (root, below) = path.split_at_checked(root).unwrap_or((b"", path));
    let (root, below) = (path_of_bytes(root), path_of_bytes(below));
    let name = if sources.len() > 1 { root.file_name() } else { None };
    let parts = below.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    });
    name.into_iter().chain(parts).collect()
}

/// Places that are taken: inputs from several sources may have the same.
#[derive(Default)]
struct Places(HashSet<PathBuf>);

impl Places {
    /// The same place, or one beside it: `a.wav~2`.
    fn free(&mut self, place: PathBuf) -> PathBuf {
        let beside = |n: usize| {
            let mut name = place.as_os_str().to_os_string();
            name.push(format!("~{n}"));
            PathBuf::from(name)
        };
        let mut free = place.clone();
        for n in 2.. {
            if self.0.insert(free.clone()) {
                break;
            }
            free = beside(n);
        }
        free
    }
}

/// The file of rows.
pub(super) struct Rows<'a> {
    path: &'a Path,
    file: BufReader<File>,
    length: u64,
    position: u64,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub fn open(path: &'a Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io(&error, path);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self { path, file: BufReader::with_capacity(1 << 16, file), length, position: 0, row: Vec::new() })
    }

    /// One without its line end.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] where it is not there as it was written.
    pub fn read(&mut self, row: &Place) -> Result<&[u8]> {
        let size = usize::try_from(row.length).ok().and_then(|length| length.checked_sub(1));
        let is_there =
            size.filter(|_| row.start.checked_add(row.length).is_some_and(|end| end <= self.length));
        if let Some(size) = is_there {
            let distance = row.start.wrapping_sub(self.position).cast_signed();
            self.row.resize(size, 0);
            let read = self.file.seek_relative(distance).and_then(|()| self.file.read_exact(&mut self.row));
            read.map_err(|error| Error::io(&error, self.path))?;
            self.position = row.start + size as u64;
            if crc32fast::hash(&self.row) == row.sum {
                return Ok(&self.row);
            }
        }
        Err(Error::new(ErrorKind::Damaged, "a row is damaged; --resume makes it anew").with_path(self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_places_of_their_own_in_a_tree() {
        let one = [Source::Path("night".into())];
        let two = [Source::Path("/data/night".into()), Source::Path("day".into())];
        for (path, root, sources, expected) in [
            ("night/b/a.wav", 5, &one[..], "b/a.wav"),
            ("/data/night/a.wav", 11, &two[..], "night/a.wav"),
            ("day/a.wav", 3, &two[..], "day/a.wav"),
            ("/data/x/a.wav", 0, &one[..], "data/x/a.wav"),
            ("../x/a.wav", 0, &one[..], "x/a.wav"),
        ] {
            assert_eq!(place(Path::new(path), root, sources), Path::new(expected));
        }
        let mut places = Places::default();
        let free: Vec<_> = ["a/x", "a/x", "b", "a/x"].map(|place| places.free(place.into())).to_vec();
        assert_eq!(free, ["a/x", "a/x~2", "b", "a/x~3"].map(PathBuf::from));
    }
}
