//! Which inputs a directory holds.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::limits::{MAX_WALK_DEPTH, MAX_WALK_ENTRIES};
use super::natural::natural;
use super::sniff::{Container, sniff};
use super::vectors::is_vectors;
use super::video::{has_media_ending, is_still_picture};
use crate::{Error, ErrorKind, Result};

/// What [`walk`] finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Inputs, in natural order (`2.wav` before `10.wav`): files, and directories of pictures.
    pub files: Vec<PathBuf>,
    /// Files that are no inputs: other kinds of files, and pictures beside other media.
    pub not_media: usize,
    /// The first of those.
    pub first_not_media: Option<PathBuf>,
}

/// How a walk tells what is an input.
pub struct WalkOptions<'a> {
    /// A file with the ending of a medium is one, and is not opened: for directories of very many files.
    pub by_ending: bool,
    /// Whether an entry is looked at, by its path and whether it is a directory.
    pub takes: &'a dyn Fn(&Path, bool) -> bool,
}

/// Files that a walk has passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassedOver {
    pub count: usize,
    pub first: Option<PathBuf>,
}

/// Looks for media in a directory and those within it. What a file is is told by its content: sound, video, animations
/// (GIF), files of vectors ([`is_vectors`]). A file with the ending of a medium whose content nobody knows is an input
/// too, so that the reader can say what is wrong with it; so is a directory within that cannot be listed, or that lies deeper
/// than [`MAX_WALK_DEPTH`].
///
/// A directory that holds still pictures, and neither other media nor directories with media, is one video: one entry,
/// `directory` itself perhaps. A picture anywhere else is no input, and is counted with the files that are no media.
///
/// Hidden files and directories (`.x`) are passed over. Links are followed; a directory that is reached twice is entered
/// once.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Io` where `directory` cannot be listed; `Limit` for more than
/// [`MAX_WALK_ENTRIES`] files.
pub fn walk(directory: &Path) -> Result<Found> {
    let mut files = Vec::new();
    let mut take = |path| {
        files.push(path);
        Ok(())
    };
    let options = WalkOptions { by_ending: false, takes: &|_, _| true };
    let passed_over = walk_into(directory, &options, &mut take)?;
    Ok(Found { files, not_media: passed_over.count, first_not_media: passed_over.first })
}

/// As [`walk`]; gives `take` one input after the other, and holds the names of no more than the directories that it is in.
///
/// # Errors
/// Those of [`walk`], and what `take` gives.
pub fn walk_into(
    directory: &Path,
    options: &WalkOptions,
    take: &mut dyn FnMut(PathBuf) -> Result<()>,
) -> Result<PassedOver> {
    let mut walk = Walk {
        options,
        take,
        taken: 0,
        passed_over: PassedOver::default(),
        entered: HashSet::new(),
        entries: 0,
    };
    walk.enter(directory.to_path_buf(), 0)?;
    Ok(walk.passed_over)
}

struct Walk<'a> {
    options: &'a WalkOptions<'a>,
    take: &'a mut dyn FnMut(PathBuf) -> Result<()>,
    /// Inputs so far.
    taken: usize,
    passed_over: PassedOver,
    /// Directories that were entered, by their true names.
    entered: HashSet<PathBuf>,
    entries: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Media,
    Picture,
    Other,
}

impl Walk<'_> {
    fn enter(&mut self, directory: PathBuf, depth: usize) -> Result<()> {
        if depth > MAX_WALK_DEPTH {
            return self.take(directory);
        }
        let listed =
            directory.canonicalize().map_err(|error| Error::io(&error, &directory)).and_then(|name| {
                if self.entered.insert(name) { self.listed(&directory) } else { Ok(Vec::new()) }
            });
        let entries = match listed {
            Err(error) if depth > 0 && error.kind != ErrorKind::Limit => return self.take(directory),
            listed => listed?,
        };
        let before = self.taken;
        let (mut pictures, mut others) = (PassedOver::default(), PassedOver::default());
        for Entry { name, is_directory } in entries {
            let path = directory.join(name);
            if is_directory {
                if !is_cache(&path) {
                    self.enter(path, depth + 1)?;
                }
                continue;
            }
            match self.kind(&path) {
                Kind::Media => self.take(path)?,
                Kind::Picture => pictures.add(path),
                Kind::Other => others.add(path),
            }
        }
        self.passed_over.append(others);
        if pictures.count > 0 && self.taken == before {
            return self.take(directory);
        }
        self.passed_over.append(pictures);
        Ok(())
    }

    fn take(&mut self, path: PathBuf) -> Result<()> {
        self.taken += 1;
        (self.take)(path)
    }

    fn kind(&self, path: &Path) -> Kind {
        match self.options.by_ending && has_media_ending(path) {
            true => Kind::Media,
            false => kind(path),
        }
    }

    /// What is not hidden, in natural order.
    fn listed(&mut self, directory: &Path) -> Result<Vec<Entry>> {
        let failed = |error: std::io::Error| Error::io(&error, directory);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.entries += 1;
            if self.entries > MAX_WALK_ENTRIES {
                let message =
                    format!("there are more than {MAX_WALK_ENTRIES} files; name the directories one by one");
                return Err(Error::new(ErrorKind::Limit, message).with_path(directory));
            }
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // Where a link leads has to be asked for.
            let is_directory = match entry.file_type() {
                Ok(kind) if !kind.is_symlink() => kind.is_dir(),
                _ => path.is_dir(),
            };
            if (self.options.takes)(&path, is_directory) {
                entries.push(Entry { name, is_directory });
            }
        }
        entries.sort_by(|a, b| natural(&a.name.to_string_lossy(), &b.name.to_string_lossy()));
        Ok(entries)
    }
}

struct Entry {
    name: OsString,
    is_directory: bool,
}

impl PassedOver {
    fn add(&mut self, path: PathBuf) {
        self.count += 1;
        self.first.get_or_insert(path);
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.count += other.count;
        if self.first.is_none() {
            self.first = other.first;
        }
    }
}

fn kind(path: &Path) -> Kind {
    match path.metadata() {
        // A pipe would hang.
        Ok(metadata) if !metadata.is_file() => return Kind::Other,
        Ok(_) => {}
        // Nothing is known of it, as where a disk fails, or one that a link leads to is not mounted.
        Err(error)
            if (error.kind() != std::io::ErrorKind::NotFound || path.is_symlink())
                && has_media_ending(path) =>
        {
            return Kind::Media;
        }
        Err(_) => return Kind::Other,
    }
    if is_still_picture(path) {
        return Kind::Picture;
    }
    // Its numbers may look like anything.
    if is_vectors(path) {
        return Kind::Media;
    }
    let container = File::open(path).ok().and_then(|mut file| sniff(&mut file).ok());
    match container.map(|(container, _)| container) {
        Some(Container::NoSound("a GIF picture")) => Kind::Media,
        Some(Container::NoSound(_) | Container::Text) => Kind::Other,
        // Nothing that is known, or a file that cannot be opened.
        Some(Container::Unknown) | None if has_media_ending(path) => Kind::Media,
        Some(Container::Unknown) | None => Kind::Other,
        Some(_) => Kind::Media,
    }
}

/// Whether a directory says that all in it was made from other things (<https://bford.info/cachedir/>).
pub(crate) fn is_cache(directory: &Path) -> bool {
    directory.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    const WAV: &[u8] =
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0";

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match name.rsplit('.').next() {
            Some("png" | "jpg" | "webp") => RgbImage::from_pixel(2, 2, Rgb([1, 2, 3])).save(path).unwrap(),
            _ => std::fs::write(path, bytes).unwrap(),
        }
    }

    fn names(folder: &Path, found: &Found) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/");
        found.files.iter().map(name).collect()
    }

    #[test]
    fn media_are_found_by_content_in_natural_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10.wav", "2.wav", "b/sound", "a/x.bin", ".hidden.wav", ".git/y.wav"] {
            put(folder.path(), name, WAV);
        }
        put(folder.path(), "readme.txt", b"a text");
        put(folder.path(), "frames.json", b"{\"fps\": 30}");
        put(folder.path(), "table.wav", b"a,b\n1,2\n");
        put(folder.path(), "empty.flac", b"");
        put(folder.path(), "x.npy", b"\x93NUMPY\x01\x00");
        put(folder.path(), "model.bin", b"\x21\0\0\0\0\0\0\0{\"__metadata__\":{\"percept\":\"{}\"}}");
        let found = walk(folder.path()).unwrap();
        let expected = ["2.wav", "10.wav", "a/x.bin", "b/sound", "empty.flac", "x.npy"];
        assert_eq!(names(folder.path(), &found), expected);
        assert_eq!(found.not_media, 4);
        assert_eq!(found.first_not_media, Some(folder.path().join("frames.json")));
    }

    #[test]
    fn a_directory_of_pictures_alone_is_one_video() {
        let folder = tempfile::tempdir().unwrap();
        let only = folder.path().join("fist/1");
        for name in ["fist/1/1.png", "fist/1/2.jpg", "fist/2/1.webp", "wave/1/1.png"] {
            put(folder.path(), name, &[]);
        }
        put(&only, "frames.json", b"{\"fps\": 30}");
        assert_eq!(walk(&only).unwrap().files, [only]);
        put(folder.path(), "overview.png", &[]);
        put(folder.path(), "mixed/cover.jpg", &[]);
        put(folder.path(), "mixed/song.wav", WAV);
        let found = walk(folder.path()).unwrap();
        assert_eq!(names(folder.path(), &found), ["fist/1", "fist/2", "mixed/song.wav", "wave/1"]);
        assert_eq!(found.not_media, 3, "frames.json, and two pictures beside media: {found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_circle_end_and_depth_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a/x.wav", WAV);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("a/dangling.wav")).unwrap();
        // That its recording is not there is told where it is read.
        assert_eq!(names(folder.path(), &walk(folder.path()).unwrap()), ["a/dangling.wav", "a/x.wav"]);
        std::fs::remove_file(folder.path().join("a/dangling.wav")).unwrap();
        let deep: PathBuf = std::iter::repeat_n("d", MAX_WALK_DEPTH + 1).collect();
        let deep = folder.path().join(deep);
        std::fs::create_dir_all(deep.join("deeper")).unwrap();
        // It is an input, whose reader says why it is not gone through.
        assert_eq!(walk(folder.path()).unwrap().files, [folder.path().join("a/x.wav"), deep]);
        assert_eq!(walk(Path::new("no/such")).unwrap_err().kind, ErrorKind::NotFound);
    }
}
