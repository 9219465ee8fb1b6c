//! Which labels belong to which recording: by the table's column of files, or by the names of label files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{LabelOptions, Row, TimedLabel, read_file, shown, wrong};
use crate::error::{Position, some_of};
use crate::{Error, ErrorKind, Result};

/// Endings of label files.
const ENDINGS: [&str; 5] = ["txt", "tsv", "csv", "textgrid", "lab"];
/// Folders inside folders that are looked into, and files that are looked at.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 1_000_000;

/// The labels of a recording, by onset.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The file that says so.
    pub source: PathBuf,
    pub labels: Vec<TimedLabel>,
}

/// Labels of recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotations {
    /// For each recording; `None` where nothing is said of it.
    pub recordings: Vec<Option<Annotation>>,
    /// What was passed over, for the person to read.
    pub messages: Vec<String>,
}

/// Reads the labels of `recordings` from `source`: a table whose rows name their recordings, a file for the only
/// recording, or a folder of label files with the recordings' names (`X.txt`, `X.TextGrid`, `X.Table.1.selections.txt`
/// for `X.wav`).
///
/// # Errors
/// [`ErrorKind::Dataset`] with file and line: what cannot be read, or belongs to two recordings; [`ErrorKind::Limit`].
pub fn read_labels(source: &Path, recordings: &[PathBuf], options: &LabelOptions) -> Result<Annotations> {
    let mut result = match source.is_dir() {
        true => from_folder(source, recordings, options)?,
        false => from_file(source, recordings, options).map_err(|error| error.with_path(source))?,
    };
    for annotation in result.recordings.iter_mut().flatten() {
        annotation.labels.sort_by(|a, b| {
            a.onset
                .total_cmp(&b.onset)
                .then(a.offset.total_cmp(&b.offset))
                .then_with(|| a.label.cmp(&b.label))
        });
    }
    Ok(result)
}

fn from_file(source: &Path, recordings: &[PathBuf], options: &LabelOptions) -> Result<Annotations> {
    let parsed = read_file(source, options)?;
    let mut messages = parsed.messages;
    let mut found: Vec<Option<Annotation>> = vec![None; recordings.len()];
    let mut add = |i: usize, row: Row| {
        let annotation =
            found[i].get_or_insert_with(|| Annotation { source: source.to_path_buf(), labels: Vec::new() });
        annotation.labels.extend(row.label);
    };
    if !parsed.names_files {
        if recordings.len() != 1 {
            let message = format!(
                "names no recordings, and there are {}; name the column that does (--file-column), or give a folder with \
                 a file for each",
                recordings.len()
            );
            return Err(wrong(message));
        }
        let nothing = Row { file: None, label: None, line: 0 };
        parsed.rows.into_iter().chain([nothing]).for_each(|row| add(0, row));
        return Ok(Annotations { recordings: found, messages });
    }
    let names = Names::new(recordings);
    let mut strangers = Vec::new();
    for row in parsed.rows {
        let name = row.file.as_deref().unwrap_or_default();
        match names.find(name, source).map_err(|error| error.at(Position::Line(row.line)))? {
            Some(i) => add(i, row),
            None if strangers.last().is_some_and(|last| last == name) => {}
            None => strangers.push(name.to_string()),
        }
    }
    strangers.sort_unstable();
    strangers.dedup();
    if !strangers.is_empty() {
        messages.push(format!(
            "{} recordings of {} are not among those chosen: {}",
            strangers.len(),
            shown(source).display(),
            some_of(&strangers)
        ));
    }
    Ok(Annotations { recordings: found, messages })
}

/// The recordings by their names.
struct Names<'a> {
    recordings: &'a [PathBuf],
    by_path: HashMap<&'a Path, usize>,
    by_name: HashMap<&'a str, Vec<usize>>,
    by_stem: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Names<'a> {
    fn new(recordings: &'a [PathBuf]) -> Self {
        let (mut by_name, mut by_stem) = (HashMap::new(), HashMap::new());
        for (i, path) in recordings.iter().enumerate() {
            let add = |map: &mut HashMap<&'a str, Vec<usize>>, name: Option<&'a std::ffi::OsStr>| {
                map.entry(name.and_then(|n| n.to_str()).unwrap_or_default()).or_default().push(i);
            };
            add(&mut by_name, path.file_name());
            add(&mut by_stem, path.file_stem());
        }
        let by_path = recordings.iter().enumerate().map(|(i, path)| (path.as_path(), i)).collect();
        Self { recordings, by_path, by_name, by_stem }
    }

    /// The recording that a table at `source` calls `name`: a path from its folder, the end of one, or a stem.
    fn find(&self, name: &str, source: &Path) -> Result<Option<usize>> {
        let from_here = source.parent().unwrap_or(Path::new("")).join(name);
        if let Some(&i) = self.by_path.get(from_here.as_path()) {
            return Ok(Some(i));
        }
        let last = Path::new(name).file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let named = self.by_name.get(last).into_iter().flatten();
        let mut found: Vec<usize> = named.copied().filter(|&i| self.recordings[i].ends_with(name)).collect();
        if found.is_empty() {
            found = self.by_stem.get(name).cloned().unwrap_or_default();
        }
        match found[..] {
            [] => Ok(None),
            [i] => Ok(Some(i)),
            [a, b, ..] => Err(wrong(format!(
                "\"{name}\" may be {} or {}; write more of its path",
                self.recordings[a].display(),
                self.recordings[b].display()
            ))),
        }
    }
}

fn from_folder(folder: &Path, recordings: &[PathBuf], options: &LabelOptions) -> Result<Annotations> {
    let mut files = Vec::new();
    list(folder, 0, &mut files)?;
    files.sort();
    let names = Names::new(recordings);
    let mut of: BTreeMap<usize, PathBuf> = BTreeMap::new();
    let mut alone = Vec::new();
    for file in files {
        let Some(stem) = recording_stem(&file) else { continue };
        let mut found: &[usize] =
            names.by_stem.get(stem).or(names.by_name.get(stem)).map_or(&[], Vec::as_slice);
        let beside = |&&i: &&usize| recordings[i].parent() == file.parent();
        let nearest: Vec<usize> = found.iter().filter(beside).copied().collect();
        if found.len() > 1 && !nearest.is_empty() {
            found = &nearest;
        }
        match *found {
            [] => alone.push(shown(&file).display().to_string()),
            [i] => {
                if let Some(other) = of.insert(i, file.clone()) {
                    let message = format!(
                        "has two files of labels, {} and {}; keep one",
                        other.display(),
                        file.display()
                    );
                    return Err(wrong(message).with_path(&recordings[i]));
                }
            }
            [a, b, ..] => {
                let (a, b) = (recordings[a].display(), recordings[b].display());
                return Err(
                    wrong(format!("may belong to {a} or {b}; put it beside its recording")).with_path(file)
                );
            }
        }
    }
    let mut result = Annotations { recordings: vec![None; recordings.len()], messages: Vec::new() };
    if !alone.is_empty() {
        result.messages.push(format!("{} files belong to no recording: {}", alone.len(), some_of(&alone)));
    }
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for (i, source) in of {
        let parsed = read_file(&source, options)?;
        parsed.messages.into_iter().for_each(|message| *told.entry(message).or_default() += 1);
        let labels = parsed.rows.into_iter().filter_map(|row| row.label).collect();
        result.recordings[i] = Some(Annotation { source, labels });
    }
    result.messages.extend(told.into_iter().map(|(message, files)| format!("in {files} files: {message}")));
    Ok(result)
}

/// The name that a label file shares with its recording.
fn recording_stem(file: &Path) -> Option<&str> {
    let ending = file.extension()?.to_str()?.to_ascii_lowercase();
    if !ENDINGS.contains(&ending.as_str()) {
        return None;
    }
    let stem = file.file_stem()?.to_str()?;
    // Raven's: X.Table.1.selections.txt
    let Some(stem) = stem.strip_suffix(".selections") else { return Some(stem) };
    let table = stem.rsplit_once(".Table.").filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    Some(table.map_or(stem, |(stem, _)| stem))
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e: std::io::Error| Error::io(&e, folder);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Links to folders are not followed: one may lead back here.
        if entry.file_type().map_err(failed)?.is_dir() {
            if depth < MAX_DEPTH {
                list(&entry.path(), depth + 1, files)?;
            }
        } else if files.len() < MAX_FILES {
            files.push(entry.path());
        } else {
            let message =
                format!("holds more than {MAX_FILES} files; put the label files in a folder of their own");
            return Err(Error::new(ErrorKind::Limit, message).with_path(folder));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = root.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn read(&self, source: &str, recordings: &[&str]) -> Result<Annotations> {
            let recordings: Vec<PathBuf> = recordings.iter().map(|name| self.0.path().join(name)).collect();
            read_labels(&self.0.path().join(source), &recordings, &LabelOptions::default())
        }
    }

    fn names(result: &Annotations) -> Vec<Option<Vec<&str>>> {
        let of = |a: &Annotation| a.source.file_name().is_some();
        assert!(result.recordings.iter().flatten().all(of));
        let labels = |a| Annotation::labels_of(a);
        result.recordings.iter().map(|a| a.as_ref().map(labels)).collect()
    }

    impl Annotation {
        fn labels_of(&self) -> Vec<&str> {
            self.labels.iter().map(|label| label.label.as_str()).collect()
        }
    }

    #[test]
    fn a_table_names_its_recordings_by_path_by_the_end_of_one_or_by_stem() {
        let text = "path,onset,offset,label\nsub/a.wav,2,3,late\nsub/a.wav,0,1,early\nb.wav,0,1,x\nc,0,1,y\nz.wav,0,1,no\nd.wav,,,\n";
        let folder = Folder::new(&[("t/segments.csv", text)]);
        let all = ["t/sub/a.wav", "other/b.wav", "t/c.flac", "t/d.wav", "t/e.wav"];
        let result = folder.read("t/segments.csv", &all).unwrap();
        let wanted = [Some(vec!["early", "late"]), Some(vec!["x"]), Some(vec!["y"]), Some(vec![]), None];
        assert_eq!(names(&result), wanted);
        assert!(result.messages[0].starts_with("1 recordings of segments.csv are not among"), "{result:?}");
        let error = folder.read("t/segments.csv", &["x/b.wav", "y/b.wav"]).unwrap_err();
        assert!(
            error.message.contains("write more of its path") && error.position == Some(Position::Line(4))
        );
    }

    #[test]
    fn a_file_without_names_is_that_of_the_only_recording() {
        let folder = Folder::new(&[("a.txt", "0\t1\tdog\n"), ("empty.txt", "")]);
        assert_eq!(names(&folder.read("a.txt", &["x.wav"]).unwrap()), [Some(vec!["dog"])]);
        assert_eq!(names(&folder.read("empty.txt", &["x.wav"]).unwrap()), [Some(vec![])]);
        assert!(folder.read("a.txt", &["x.wav", "y.wav"]).unwrap_err().message.contains("--file-column"));
    }

    #[test]
    fn label_files_pair_with_recordings_by_stem() {
        let raven = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tlabel\n1\tS\t0\t1\tc\n";
        let folder = Folder::new(&[
            ("l/a.txt", "0\t1\ta\n"),
            ("l/b.tsv", "x.wav\t0\t1\tb\n"),
            ("l/c.Table.1.selections.txt", raven),
            ("l/notes.txt", "no labels at all"),
            ("l/d.png", ""),
        ]);
        let result = folder.read("l", &["a.wav", "b.wav", "deep/c.flac", "d.wav"]).unwrap();
        assert_eq!(names(&result), [Some(vec!["a"]), Some(vec!["b"]), Some(vec!["c"]), None]);
        assert_eq!(result.messages, ["1 files belong to no recording: notes.txt"]);
    }

    #[test]
    fn two_label_files_for_one_recording_and_one_for_two_are_errors() {
        let folder =
            Folder::new(&[("a.txt", "0\t1\ta\n"), ("a.csv", "onset,offset,label\n"), ("l/b.txt", "")]);
        let error = folder.read(".", &["a.wav"]).unwrap_err();
        assert!(error.message.contains("has two files of labels"), "{error}");
        let error = folder.read("l", &["x/b.wav", "y/b.wav"]).unwrap_err();
        assert!(error.message.contains("may belong to"), "{error}");
        // The one beside it is meant.
        let folder = Folder::new(&[("x/b.txt", "0\t1\ta\n")]);
        assert_eq!(names(&folder.read(".", &["./x/b.wav", "./y/b.wav"]).unwrap()), [Some(vec!["a"]), None]);
    }
}
