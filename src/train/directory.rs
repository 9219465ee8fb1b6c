//! Reads a directory with one folder a label.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::dataset::{Clip, MAX_ITEMS, Part, check_label};
use crate::error::some_of;
use crate::media::video::is_directory_of_images;
use crate::media::walk::is_cache;
use crate::signal::InputKind;
use crate::{Error, ErrorKind, Result};

/// Folders inside folders that are followed.
const MAX_DEPTH: usize = 16;

/// Endings of files that lie beside recordings and hold no sound themselves. Everything else is taken for a
/// recording: what a file holds is found by its content, later.
const SIDECARS: &[&str] = &[
    "bib", "cfg", "csv", "db", "doc", "docx", "eaf", "gz", "htm", "html", "ini", "ipynb", "json", "jsonl",
    "lab", "log", "md", "npz", "partial", "pdf", "pkl", "py", "rst", "rtf", "sh", "srt", "svg", "tar",
    "textgrid", "toml", "tsv", "txt", "url", "vtt", "xls", "xlsx", "xml", "yaml", "yml", "zip",
];

/// Endings of pictures and of vectors: clips where there is nothing else or they are asked for, otherwise sidecars, too.
const PICTURES: &[&str] = &["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];
const VECTORS: &[&str] = &["npy", "safetensors"];

/// What was passed over, to be told in one line each.
#[derive(Default)]
struct Skipped {
    hidden: usize,
    sidecars: Vec<PathBuf>,
    loose: Vec<PathBuf>,
    other: Vec<PathBuf>,
    empty_labels: Vec<String>,
    nested: usize,
}

/// Finds the clips below `root`, sorted by path. Where the folders of `root` are named after parts (`train`,
/// `test` and the like), the labels are one level further down.
pub(super) fn scan(root: &Path, stream: Option<InputKind>) -> Result<(Vec<Clip>, Vec<String>)> {
    let mut skipped = Skipped::default();
    let folders = label_folders(root, &mut skipped)?;
    let mut messages = Vec::new();
    let mut clips = Found::default();
    if let Some(parts) = part_folders(&folders)? {
        let names: Vec<String> = folders.iter().map(|(name, _)| name.clone()).collect();
        messages.push(format!("the folders {} were taken for parts of the data", names.join(", ")));
        for (part, folder) in parts {
            for (label, folder) in label_folders(&folder, &mut skipped)? {
                scan_label(&label, &folder, Some(part), &mut clips, &mut skipped)?;
            }
        }
    } else {
        for (label, folder) in &folders {
            scan_label(label, folder, None, &mut clips, &mut skipped)?;
        }
    }
    let clips = clips.choose(stream, &mut skipped);
    if clips.is_empty() {
        let message = "holds no recordings in folders; a directory with one folder a label is due";
        return Err(Error::new(ErrorKind::Dataset, message).with_path(root));
    }
    messages.extend(skipped.messages());
    Ok((clips, messages))
}

/// Finds all recordings below `root`, whose folders are no labels, sorted by path.
pub(super) fn recordings(root: &Path, stream: Option<InputKind>) -> Result<(Vec<Clip>, Vec<String>)> {
    let mut skipped = Skipped::default();
    let mut clips = Found::default();
    scan_label("", root, None, &mut clips, &mut skipped)?;
    let clips = clips.choose(stream, &mut skipped);
    if clips.is_empty() {
        return Err(Error::new(ErrorKind::Dataset, "holds no recordings").with_path(root));
    }
    // Folders within it mean nothing here, and sidecars are the labels.
    skipped.nested = 0;
    skipped.sidecars.clear();
    Ok((clips, skipped.messages()))
}

/// The folders in `root` by name, sorted; files beside them are noted.
fn label_folders(root: &Path, skipped: &mut Skipped) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for path in sorted_entries(root)? {
        if is_hidden(&path) {
            skipped.hidden += 1;
        } else if path.is_dir() {
            let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
                let message = "the folder's name is a label, but is not UTF-8; rename it";
                Error::new(ErrorKind::Path, message).with_path(&path)
            })?;
            check_label(name, None).map_err(|e| e.with_path(&path))?;
            folders.push((name.to_string(), path));
        } else {
            skipped.loose.push(path);
        }
    }
    Ok(folders)
}

/// The parts that the folders stand for: every name is a part's, one is `train`, and none holds files itself.
fn part_folders(folders: &[(String, PathBuf)]) -> Result<Option<Vec<(Part, PathBuf)>>> {
    let Some(parts) = folders
        .iter()
        .map(|(name, path)| Some((Part::from_name(name)?, path.clone())))
        .collect::<Option<Vec<_>>>()
    else {
        return Ok(None);
    };
    if !parts.iter().any(|(part, _)| *part == Part::Train) {
        return Ok(None);
    }
    for (_, folder) in &parts {
        let entries = sorted_entries(folder)?;
        if !entries.iter().any(|path| path.is_dir() && !is_hidden(path))
            || entries.iter().any(|path| {
                path.is_file()
                    && !is_hidden(path)
                    && !is_sidecar(path)
                    && !has_ending(path, PICTURES)
                    && !has_ending(path, VECTORS)
            })
        {
            return Ok(None);
        }
    }
    Ok(Some(parts))
}

/// Everything below `folder` has the label.
fn scan_label(
    label: &str,
    folder: &Path,
    part: Option<Part>,
    found: &mut Found,
    skipped: &mut Skipped,
) -> Result<()> {
    let before = found.len();
    let mut visited = HashSet::new();
    // Folders still to read, with their depth.
    let mut pending = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = pending.pop() {
        // A link to a folder further up would never end.
        let real = folder.canonicalize().map_err(|e| Error::io(&e, &folder))?;
        if !visited.insert(real) {
            continue;
        }
        for path in sorted_entries(&folder)? {
            if is_hidden(&path) {
                skipped.hidden += 1;
            } else if path.is_dir() && !is_directory_of_images(&path) {
                if depth == MAX_DEPTH {
                    let message = format!("folders are nested more than {MAX_DEPTH} deep; flatten them");
                    return Err(Error::new(ErrorKind::Limit, message).with_path(path));
                }
                pending.push((path, depth + 1));
            } else if !path.is_file() && !path.is_dir() {
                skipped.other.push(path);
            } else if is_sidecar(&path) {
                skipped.sidecars.push(path);
            } else {
                skipped.nested += usize::from(depth > 0 && path.is_file());
                if found.len() == MAX_ITEMS {
                    let message = format!("more than {MAX_ITEMS} recordings; train on fewer");
                    return Err(Error::new(ErrorKind::Limit, message));
                }
                found.push(Clip { path, label: label.to_string(), part, group: None, line: None });
            }
        }
    }
    if found.len() == before {
        skipped.empty_labels.push(label.to_string());
    }
    Ok(())
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotADirectory => Error::new(
            ErrorKind::Path,
            "is a file where a directory with one folder a label is due; is it a manifest? (--manifest)",
        )
        .with_path(folder),
        _ => Error::io(&e, folder),
    })?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()).map_err(|e| Error::io(&e, folder)))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| !is_cache(path));
    paths.sort();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_sidecar(path: &Path) -> bool {
    has_ending(path, SIDECARS)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.is_file() && ending.is_some_and(|e| endings.contains(&e.to_ascii_lowercase().as_str()))
}

/// Clips by what their endings say.
#[derive(Default)]
struct Found {
    /// Sound, videos, and directories of pictures.
    recordings: Vec<Clip>,
    /// Single pictures, and animations.
    pictures: Vec<Clip>,
    vectors: Vec<Clip>,
}

impl Found {
    fn push(&mut self, clip: Clip) {
        if has_ending(&clip.path, PICTURES) {
            self.pictures.push(clip);
        } else if has_ending(&clip.path, VECTORS) {
            self.vectors.push(clip);
        } else {
            self.recordings.push(clip);
        }
    }

    fn len(&self) -> usize {
        self.recordings.len() + self.pictures.len() + self.vectors.len()
    }

    /// The clips, by their paths: recordings where there are any, otherwise vectors or pictures, or what is asked for.
    fn choose(mut self, stream: Option<InputKind>, skipped: &mut Skipped) -> Vec<Clip> {
        if stream == Some(InputKind::Video) && !self.recordings.is_empty() {
            let is_animation = |clip: &mut Clip| has_ending(&clip.path, &["gif"]);
            self.recordings.extend(self.pictures.extract_if(.., is_animation));
        }
        let kinds = match stream {
            Some(InputKind::Audio | InputKind::Video) => vec![self.recordings, self.pictures, self.vectors],
            Some(InputKind::Vectors) => vec![self.vectors, self.recordings, self.pictures],
            None => vec![self.recordings, self.vectors, self.pictures],
        };
        let mut kinds = kinds.into_iter();
        let mut chosen = kinds.find(|clips| !clips.is_empty()).unwrap_or_default();
        skipped.sidecars.extend(kinds.flatten().map(|clip| clip.path));
        skipped.sidecars.sort();
        chosen.sort_by(|a, b| a.path.cmp(&b.path));
        chosen
    }
}

impl Skipped {
    fn messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        let mut tell = |paths: &[PathBuf], what: &str| {
            if let Some(first) = paths.first() {
                messages.push(format!("{} {what} (the first: {})", paths.len(), first.display()));
            }
        };
        tell(&self.loose, "files outside the label folders were skipped");
        tell(&self.sidecars, "files that hold no sound, by their ending, were skipped");
        tell(&self.other, "entries that are neither file nor folder were skipped");
        if self.nested > 0 {
            let count = self.nested;
            messages.push(format!("{count} recordings in folders inside the label folders were read too"));
        }
        if self.hidden > 0 {
            messages.push(format!("{} hidden files and folders were skipped", self.hidden));
        }
        if !self.empty_labels.is_empty() {
            messages
                .push(format!("folders without recordings are no labels: {}", some_of(&self.empty_labels)));
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{DataConfig, Dataset};

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        root
    }

    fn load(root: &tempfile::TempDir) -> Result<Dataset> {
        Dataset::load(&DataConfig { directory: Some(root.path().into()), ..Default::default() })
    }

    #[test]
    fn a_folder_is_a_label_and_everything_is_sorted() {
        let root = folder(&["dog/2.wav", "dog/1.wav", "cat/a.mp3"]);
        let data = load(&root).unwrap();
        assert_eq!(data.labels, ["cat", "dog"]);
        let items: Vec<_> = data
            .items
            .iter()
            .map(|i| (i.path.strip_prefix(root.path()).unwrap().to_str().unwrap(), i.labels()[0]))
            .collect();
        assert_eq!(items, [("cat/a.mp3", 0), ("dog/1.wav", 1), ("dog/2.wav", 1)]);
        assert!(data.messages.is_empty() && data.items.iter().all(|i| i.part.is_none()));
    }

    #[test]
    fn hidden_sidecar_loose_and_nested_files_are_told() {
        let root = folder(&[
            "README.md",
            "dog/1.wav",
            "dog/.DS_Store",
            "dog/notes.TXT",
            "cat/site1/2.wav",
            "cat/3.wav",
            "old/x.csv",
        ]);
        let data = load(&root).unwrap();
        assert_eq!(data.items.len(), 3);
        let text = data.messages.join("\n");
        for part in ["1 files outside", "2 files that hold no sound", "1 hidden", "1 recordings in folders"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(text.ends_with("no labels: old"), "{text}");
    }

    #[test]
    fn folders_named_after_parts_are_a_split() {
        let root = folder(&["train/a/1.wav", "train/b/2.wav", "Val/a/3.wav", "test/b/4.wav"]);
        let data = load(&root).unwrap();
        assert_eq!(data.labels, ["a", "b"]);
        let parts: Vec<_> = data.items.iter().map(|i| i.part.unwrap()).collect();
        assert_eq!(parts, [Part::Validation, Part::Test, Part::Train, Part::Train]);
    }

    #[test]
    fn a_label_may_be_called_train() {
        let root = folder(&["train/1.wav", "dev/2.wav"]);
        assert_eq!(load(&root).unwrap().labels, ["dev", "train"]);
    }

    #[test]
    fn an_empty_a_missing_and_a_wrong_directory_say_what_is_due() {
        let root = folder(&["1.wav"]);
        assert!(load(&root).unwrap_err().message.contains("one folder a label"));
        let at =
            |p: PathBuf| Dataset::load(&DataConfig { directory: Some(p), ..Default::default() }).unwrap_err();
        assert_eq!(at(root.path().join("nowhere")).kind, ErrorKind::NotFound);
        assert!(at(root.path().join("1.wav")).message.contains("--manifest"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_not_utf8_is_a_clip_like_any_other() {
        use std::os::unix::ffi::OsStrExt;
        let root = folder(&["a/1.wav", "b/2.wav"]);
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wav");
        std::fs::write(root.path().join("a").join(name), "x").unwrap();
        assert_eq!(load(&root).unwrap().items.len(), 3);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_further_up_ends() {
        let root = folder(&["a/1.wav", "b/2.wav"]);
        std::os::unix::fs::symlink(root.path().join("a"), root.path().join("a/again")).unwrap();
        assert_eq!(load(&root).unwrap().items.len(), 2);
    }
}
