//! Which inputs a directory holds.

use std::collections::HashSet;
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

/// Looks for media in a directory and those within it. What a file is is told by its content: sound, video, animations
/// (GIF), files of vectors ([`is_vectors`]). A file with the ending of a medium whose content nobody knows is an input
/// too, so that the reader can say what is wrong with it.
///
/// A directory that holds still pictures, and neither other media nor directories with media, is one video: one entry,
/// `directory` itself perhaps. A picture anywhere else is no input, and is counted with the files that are no media.
///
/// Hidden files and directories (`.x`) are passed over. Links are followed; a directory that is reached twice is entered
/// once.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `Io` for a directory that cannot be listed, with its path; `Limit` for more than
/// [`MAX_WALK_ENTRIES`] files or directories deeper than [`MAX_WALK_DEPTH`].
pub fn walk(directory: &Path) -> Result<Found> {
    let mut walk = Walk::default();
    walk.enter(directory, 0)?;
    Ok(walk.found)
}

#[derive(Default)]
struct Walk {
    found: Found,
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

impl Walk {
    fn enter(&mut self, directory: &Path, depth: usize) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(&error, directory);
        if !self.entered.insert(directory.canonicalize().map_err(failed)?) {
            return Ok(());
        }
        if depth > MAX_WALK_DEPTH {
            let message = format!("is more than {MAX_WALK_DEPTH} directories deep; name a directory within");
            return Err(Error::new(ErrorKind::Limit, message).with_path(directory));
        }
        let before = self.found.files.len();
        let (mut pictures, mut others) = (Vec::new(), Vec::new());
        for path in self.listed(directory)? {
            if path.is_dir() {
                if !is_cache(&path) {
                    self.enter(&path, depth + 1)?;
                }
                continue;
            }
            match kind(&path) {
                Kind::Media => self.found.files.push(path),
                Kind::Picture => pictures.push(path),
                Kind::Other => others.push(path),
            }
        }
        if !pictures.is_empty() && self.found.files.len() == before {
            self.found.files.push(directory.to_path_buf());
        } else {
            others.append(&mut pictures);
        }
        self.found.not_media += others.len();
        if self.found.first_not_media.is_none() {
            self.found.first_not_media = others.into_iter().next();
        }
        Ok(())
    }

    /// What is not hidden, in natural order.
    fn listed(&mut self, directory: &Path) -> Result<Vec<PathBuf>> {
        let failed = |error: std::io::Error| Error::io(&error, directory);
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.entries += 1;
            if self.entries > MAX_WALK_ENTRIES {
                let message =
                    format!("there are more than {MAX_WALK_ENTRIES} files; name the directories one by one");
                return Err(Error::new(ErrorKind::Limit, message).with_path(directory));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                paths.push((name, entry.path()));
            }
        }
        paths.sort_by(|(a, _), (b, _)| natural(a, b));
        Ok(paths.into_iter().map(|(_, path)| path).collect())
    }
}

fn kind(path: &Path) -> Kind {
    // A pipe would hang.
    if !path.is_file() {
        return Kind::Other;
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
        assert_eq!(names(folder.path(), &walk(folder.path()).unwrap()), ["a/x.wav"]);
        let deep: PathBuf = std::iter::repeat_n("d", MAX_WALK_DEPTH + 1).collect();
        std::fs::create_dir_all(folder.path().join(deep)).unwrap();
        assert_eq!(walk(folder.path()).unwrap_err().kind, ErrorKind::Limit);
        assert_eq!(walk(Path::new("no/such")).unwrap_err().kind, ErrorKind::NotFound);
    }
}
