//! The output: all rows, in the order of the list.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

use super::journal::{Done, Journal};
use super::list::Source;
use crate::files::AtomicFile;
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
pub fn finish(journal: &mut Journal, target: &Target, rows: &Path, sources: &[Source]) -> Result<()> {
    let state = journal.state()?;
    let mut places = vec![Place::default(); state.inputs];
    for done in &state.done {
        places[done.index] = Place::of(done);
    }
    drop(state);
    let mut rows = Rows::open(rows)?;
    let mut inputs = journal.inputs()?;
    let failed = |error: Error| error.with_path(&target.file);
    let mut writer = RowWriter::new(target.format, AtomicFile::create(&target.file)?).map_err(failed)?;
    for place_of_row in places {
        let row = rows.read(&place_of_row)?;
        let input =
            inputs.next_input()?.ok_or_else(|| Error::new(ErrorKind::Damaged, "the list is cut off"))?;
        if let Some(tree) = &target.tree {
            tree.write(row, &place(&input.path, input.root, sources))?;
        }
        writer.write(row).map_err(failed)?;
    }
    writer.finish().map_err(failed)?.commit()
}

/// Where in a tree an input has its place: as it lies in the directory in which it was found; below that one's name where
/// there are several sources.
fn place(path: &str, root: usize, sources: &[Source]) -> PathBuf {
    let (root, below) = path.split_at_checked(root).unwrap_or(("", path));
    let name = if sources.len() > 1 { Path::new(root).file_name() } else { None };
    let below = if name.is_none() && root.is_empty() && Path::new(path).is_absolute() {
        Path::new(path).file_name().map_or(Path::new(path), Path::new)
    } else {
        Path::new(below)
    };
    let parts = below.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part),
        _ => None,
    });
    name.into_iter().chain(parts).collect()
}

/// The file of rows.
pub(super) struct Rows<'a> {
    path: &'a Path,
    file: BufReader<File>,
    length: u64,
    position: u64,
    row: Vec<u8>,
}

/// Where a row is, and its CRC-32.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    start: u64,
    length: u64,
    sum: u32,
}

impl Place {
    pub fn of(done: &Done) -> Self {
        Self { start: done.start, length: done.length, sum: done.sum }
    }
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
