//! Reads a manifest: a CSV file with one row a clip.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::DataConfig;
use super::dataset::{Clip, MAX_ITEMS, Part, check_label};
use super::folds::Folds;
use crate::error::{Position, some_of};
use crate::files::{check_utf8, path_of_bytes, read_text};
use crate::media::video::is_directory_of_images;
use crate::table::{Table, column};
use crate::{Error, ErrorKind, Result};

/// Largest manifest that is read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 30;

/// Finds the clips that the manifest lists, in its order. Fields are separated by commas; by tabs or semicolons
/// where the first line has no comma. Where they are not `labelled`, their labels are empty.
pub(super) fn read(path: &Path, config: &DataConfig, labelled: bool) -> Result<(Vec<Clip>, Vec<String>)> {
    check_utf8(path)?;
    let due = "a manifest is due (one with a folder for each label goes without --manifest)";
    let text = read_text(path, due, MAX_MANIFEST_BYTES, ErrorKind::Dataset)?;
    parse(&text, path.parent().unwrap_or(Path::new("")), config, labelled).map_err(|e| e.with_path(path))
}

fn parse(text: &str, folder: &Path, config: &DataConfig, labelled: bool) -> Result<(Vec<Clip>, Vec<String>)> {
    let mut messages = Vec::new();
    let mut table = Table::new(text)?;
    if let Some(name) = table.unusual_delimiter() {
        messages.push(format!("the manifest's fields are separated by {name}"));
    }
    let header = table.header.clone();
    let columns = Columns::find(&header, config, labelled)?;
    if let Some(message) = columns.ignored(&header) {
        messages.push(message);
    }
    let mut clips: Vec<Clip> = Vec::new();
    let mut rows = 0;
    // Rows with a field of several lines: how many, and the line of the first.
    let mut broken = (0, 0);
    while let Some((line, record)) = table.next_row()? {
        let at = |message: String| Error::new(ErrorKind::Dataset, message).at(Position::Line(line));
        rows += 1;
        if rows > MAX_ITEMS {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("has more than {MAX_ITEMS} rows; train on fewer"),
            ));
        }
        if record.iter().any(|field| field.contains(['\n', '\r'])) {
            broken = (broken.0 + 1, if broken.0 == 0 { line } else { broken.1 });
        }
        let field = |column: usize| record.get(column).unwrap_or_default();
        if !columns.filters.iter().all(|filter| filter.takes(record)) {
            continue;
        }
        let name = field(columns.path);
        if name.is_empty() {
            return Err(at(format!("\"{}\" is empty; fill it in or remove the row", config.path_column)));
        }
        let label = columns.label.map(field).unwrap_or_default().to_string();
        if columns.label.is_some() {
            check_label(&label, Some(line))?;
        }
        let part = match columns.split.map(field) {
            None => columns.fold.map(|column| match field(column) == config.test_fold {
                true => Part::Test,
                false => Part::Train,
            }),
            Some(value) => Some(Part::from_name(value).ok_or_else(|| {
                at(format!(
                    "\"{}\" is \"{value}\"; it must be train, validation or test (to do without: --split-column \"\")",
                    config.split_column
                ))
            })?),
        };
        let group = columns.group.map(field).filter(|g| !g.is_empty()).map(str::to_string);
        let path = match columns.path_bytes.map(field).filter(|bytes| !bytes.is_empty()) {
            None => folder.join(name),
            Some(bytes) => {
                let wrong = |_| at("\"path_bytes\" is no base64; as results of percept have it".into());
                folder.join(path_of_bytes(&BASE64_STANDARD.decode(bytes).map_err(wrong)?))
            }
        };
        clips.push(Clip { path, label, part, group, line: Some(line) });
    }
    if let (1.., line) = broken {
        messages.push(format!(
            "{} rows have a field that goes over several lines (the first: line {line}); is a quote (\") out of place?",
            broken.0
        ));
    }
    if clips.is_empty() {
        let message = if rows == 0 {
            "has no rows; one a clip is due".to_string()
        } else {
            format!("none of its {rows} rows is left by {}", some_of(&config.filters))
        };
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    if !config.filters.is_empty() {
        messages.push(format!("{} of {rows} rows are used: {}", clips.len(), some_of(&config.filters)));
    }
    if columns.group.is_some() {
        let alone = clips.iter().filter(|c| c.group.is_none()).count();
        if alone > 0 {
            messages.push(format!("{alone} clips have no group; each may go to any part"));
        }
    }
    if columns.fold.is_some() && clips.iter().all(|clip| clip.part == Some(Part::Train)) {
        let message =
            format!("test_fold: no row has \"{}\" in the column \"{}\"", config.test_fold, config.folds);
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    check_duplicates(&clips)?;
    check_files(&clips)?;
    Ok((clips, messages))
}

/// Whether a row that `config` uses is in its fold: has [`DataConfig::test_fold`] in the column of this name.
///
/// # Errors
/// Those of the file and its rows; a filter that names no column.
pub(super) fn has_fold(path: &Path, config: &DataConfig, name: &str) -> Result<bool> {
    let text = read_text(path, "a manifest is due", MAX_MANIFEST_BYTES, ErrorKind::Dataset)?;
    let find = || {
        let mut table = Table::new(&text)?;
        let Some(column) = table.header.iter().position(|header| header == name) else { return Ok(false) };
        let filters = filters(&table.header, config)?;
        while let Some((_, record)) = table.next_row()? {
            let is_used = filters.iter().all(|filter| filter.takes(record));
            if is_used && record.get(column) == Some(config.test_fold.as_str()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    find().map_err(|error: Error| error.with_path(path))
}

/// Where each thing stands in a row.
struct Columns {
    path: usize,
    /// The bytes of paths that are no text, in base64, as results have them.
    path_bytes: Option<usize>,
    /// `None` where labels come from elsewhere.
    label: Option<usize>,
    split: Option<usize>,
    /// With [`DataConfig::test_fold`], in place of `split`.
    fold: Option<usize>,
    group: Option<usize>,
    filters: Vec<Filter>,
}

/// `column=value` or `column!=value`.
struct Filter {
    column: usize,
    value: String,
    equal: bool,
}

impl Filter {
    /// Whether the row is used.
    fn takes(&self, record: &csv::StringRecord) -> bool {
        (record.get(self.column).unwrap_or_default() == self.value) == self.equal
    }
}

/// The conditions of `config` on rows.
fn filters(header: &[String], config: &DataConfig) -> Result<Vec<Filter>> {
    let filter = |text: &String| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("where \"{text}\" is not understood; write column=value or column!=value"),
            )
        })?;
        let (name, equal) = match name.strip_suffix('!') {
            Some(name) => (name, false),
            None => (name, true),
        };
        let column = column(header, name.trim(), "where")?;
        Ok(Filter { column, value: value.trim().to_string(), equal })
    };
    config.filters.iter().map(filter).collect()
}

impl Columns {
    fn find(header: &[String], config: &DataConfig, labelled: bool) -> Result<Self> {
        let find = |name: &str| header.iter().position(|h| h == name);
        let due = |name: &str, setting: &str| column(header, name, setting);
        // The usual names are used where they are there; a name that was asked for must be there.
        let optional = |name: &str, usual: &str, setting: &str| match name {
            "" => Ok(None),
            name if name == usual => Ok(find(name)),
            name => due(name, setting).map(Some),
        };
        let folds = match config.test_fold.is_empty() {
            true => None,
            false => config.folds(),
        };
        let fold = match &folds {
            Some(Folds::Column(name)) => Some(due(name, "folds")?),
            _ => None,
        };
        Ok(Self {
            path: due(&config.path_column, "path-column")?,
            path_bytes: find("path_bytes"),
            label: match labelled {
                true => Some(due(&config.label_column, "label-column")?),
                false => None,
            },
            split: match folds {
                None => optional(&config.split_column, "split", "split-column")?,
                Some(_) => None,
            },
            fold,
            group: optional(&config.group_column, "group", "group-column")?,
            filters: filters(header, config)?,
        })
    }

    /// Names the columns that nothing looks at.
    fn ignored(&self, header: &[String]) -> Option<String> {
        let used = |k: usize| {
            k == self.path
                || Some(k) == self.path_bytes
                || Some(k) == self.label
                || Some(k) == self.split
                || Some(k) == self.fold
                || Some(k) == self.group
                || self.filters.iter().any(|f| f.column == k)
        };
        let names: Vec<&str> =
            header.iter().enumerate().filter(|(k, _)| !used(*k)).map(|(_, h)| h.as_str()).collect();
        (!names.is_empty()).then(|| format!("columns that are not used: {}", some_of(&names)))
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Dataset, message)
}

fn check_duplicates(clips: &[Clip]) -> Result<()> {
    let mut seen: HashMap<&PathBuf, &Clip> = HashMap::with_capacity(clips.len());
    for clip in clips {
        if let Some(first) = seen.insert(&clip.path, clip) {
            let what = if first.label == clip.label { "" } else { ", with another label" };
            let message = format!(
                "{} is listed in line {} already{what}; keep one row",
                clip.path.display(),
                first.line.unwrap_or(0)
            );
            return Err(wrong(message).at(Position::Line(clip.line.unwrap_or(0))));
        }
    }
    Ok(())
}

fn check_files(clips: &[Clip]) -> Result<()> {
    let missing: Vec<&Clip> =
        clips.iter().filter(|c| !c.path.is_file() && !is_directory_of_images(&c.path)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let message = format!(
        "{} of {} files are not there; the first is {}: paths start from the manifest's folder",
        missing.len(),
        clips.len(),
        first.path.display()
    );
    Err(wrong(message).at(Position::Line(first.line.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::MAX_COLUMNS;
    use crate::train::Dataset;

    /// A manifest beside the files `a.wav`, `b.wav`, `c, d.wav`.
    fn load_with(text: impl AsRef<[u8]>, change: impl FnOnce(&mut DataConfig)) -> Result<Dataset> {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.wav", "b.wav", "c, d.wav"] {
            std::fs::write(root.path().join(file), file).unwrap();
        }
        let path = root.path().join("data.csv");
        std::fs::write(&path, text).unwrap();
        let mut config = DataConfig { manifest: Some(path), ..Default::default() };
        change(&mut config);
        Dataset::load(&config)
    }

    fn load(text: impl AsRef<[u8]>) -> Result<Dataset> {
        load_with(text, |_| {})
    }

    fn message(text: impl AsRef<[u8]>) -> String {
        load(text).unwrap_err().to_string()
    }

    #[test]
    fn rows_are_clips_with_label_split_group_and_line() {
        let data = load(
            "\u{feff}path,label,split,group,note\r\n\
             a.wav,dog,train,x,1\r\n\r\n\
             \"c, d.wav\",\"c\"\"at\",dev,,\"two\r\nlines\"\r\n\
             b.wav,dog,test,y,\r\n",
        )
        .unwrap();
        assert_eq!(data.labels, ["c\"at", "dog"]);
        let items: Vec<_> = data
            .items
            .iter()
            .map(|i| (i.labels()[0], i.part.unwrap(), i.group.as_deref(), i.line.unwrap()))
            .collect();
        assert_eq!(
            items,
            [(1, Part::Train, Some("x"), 2), (0, Part::Validation, None, 4), (1, Part::Test, Some("y"), 6)]
        );
        assert!(data.items[1].path.ends_with("c, d.wav"));
        assert!(data.messages.contains(&"columns that are not used: note".to_string()));
        assert!(data.messages.contains(&"1 clips have no group; each may go to any part".to_string()));
    }

    #[test]
    fn tabs_and_semicolons_are_understood_and_told() {
        for (text, name) in [("path\tlabel\na.wav\tx\n", "tabs"), ("path;label\na.wav;x\n", "semicolons")] {
            let data = load(text).unwrap();
            assert_eq!(data.items.len(), 1);
            assert!(data.messages[0].contains(name));
        }
    }

    #[test]
    fn other_column_names_are_found_and_missing_ones_name_what_there_is() {
        let text = "file,Label,split\na.wav,dog,train\n";
        let error = message(text);
        assert!(error.contains("has no column \"path\"; its columns are file, Label, split"), "{error}");
        let error = load_with(text, |c| c.path_column = "file".into()).unwrap_err().to_string();
        assert!(error.contains("did you mean \"Label\"?"), "{error}");
        let good = load_with(text, |c| {
            c.path_column = "file".into();
            c.label_column = "Label".into();
        });
        assert_eq!(good.unwrap().items.len(), 1);
        let error = load_with("path,label\na.wav,dog\n", |c| c.group_column = "speaker".into()).unwrap_err();
        assert!(error.message.contains("has no column \"speaker\""), "{error}");
    }

    #[test]
    fn filters_choose_rows_before_anything_else_is_checked() {
        let text = "path,label,speaker\na.wav,dog,x\nb.wav,cat,y\nmissing.wav,,z\n";
        let with = |filters: &[&str]| {
            let filters = filters.iter().map(|f| f.to_string()).collect();
            load_with(text, |c| c.filters = filters)
        };
        assert_eq!(with(&["speaker != z", "speaker!=y"]).unwrap().labels, ["dog"]);
        let data = with(&["speaker=y"]).unwrap();
        assert_eq!((data.labels.len(), data.items[0].line), (1, Some(3)));
        assert!(data.messages.contains(&"1 of 3 rows are used: speaker=y".to_string()));
        assert!(with(&["speaker=y", "label=dog"]).unwrap_err().message.contains("none of its 3 rows"));
        assert!(with(&["speeker=y"]).unwrap_err().message.contains("did you mean \"speaker\"?"));
        assert!(with(&["speaker"]).unwrap_err().message.contains("column=value"));
    }

    #[test]
    fn a_fold_that_is_tested_stands_in_for_the_split() {
        let text = "path,label,split,fold\na.wav,dog,train,1\nb.wav,cat,train,2\n\"c, d.wav\",dog,test,3\n";
        let with = |fold: &str| {
            load_with(text, |c| {
                c.folds = "fold".into();
                c.test_fold = fold.into();
            })
        };
        let data = with("2").unwrap();
        let parts: Vec<_> = data.items.iter().map(|item| item.part.unwrap()).collect();
        assert_eq!(parts, [Part::Train, Part::Test, Part::Train]);
        assert!(data.messages.contains(&"columns that are not used: split".to_string()));
        assert!(with("4").unwrap_err().message.contains("no row has \"4\" in the column \"fold\""));
        // Without a fold to test it is a column as any other.
        assert_eq!(with("").unwrap().items[2].part, Some(Part::Test));
    }

    #[test]
    fn damaged_rows_name_their_line() {
        for (text, part) in [
            ("path,label\na.wav,dog\nb.wav\n", "the row has 1 fields, the first line has 2"),
            ("path,label\na.wav,dog\nb.wav,\n", "a label is empty"),
            ("path,label\na.wav,dog\n,cat\n", "\"path\" is empty"),
            ("path,label\na.wav,dog\na.wav,dog\n", "is listed in line 2 already; keep one row"),
            ("path,label\na.wav,dog\na.wav,cat\n", "is listed in line 2 already, with another label"),
            ("path,label,split\na.wav,dog,train\nb.wav,cat,fold2\n", "\"split\" is \"fold2\""),
            ("path,label,split\na.wav,dog,train\nb.wav,cat,\n", "\"split\" is \"\""),
            ("path,label\na.wav,dog\nno.wav,cat\nnot.wav,cat\n", "2 of 3 files are not there; the first is"),
            ("path,label\na.wav,dog\nb.wav,c\u{7}t\n", "control character"),
        ] {
            let error = message(text);
            assert!(error.contains(part) && error.ends_with("(line 3)"), "{text:?}: {error}");
            assert!(error.contains("data.csv: "), "{error}");
        }
    }

    #[test]
    fn a_quote_without_its_end_is_an_error_with_its_line() {
        for (text, part) in [
            ("path,label,note\na.wav,dog,x\nb.wav,cat,\"5 inch\nc.wav,dog,x\n", "has no end"),
            ("path,label\na.wav,dog\n\"b.wav,cat\n", "has no end"),
            ("path,label\na.wav,dog\nb.wav,\"c\"at\n", "text follows the quote"),
            (
                "path,label,n\na.wav,dog,\"5 inch\nb.wav,cat,\"6 inch\"\n",
                "the field begun in line 2 has text behind it",
            ),
        ] {
            let error = message(text);
            assert!(error.contains(part) && error.ends_with("(line 3)"), "{text:?}: {error}");
        }
        assert!(message("\"path,label\na.wav,dog\n").ends_with("(line 1)"));
    }

    #[test]
    fn quotes_that_match_are_no_error() {
        let text = "path,label,n\r\n\"a.wav\" ,\"d\"\"og\",\r\nb.wav,cat,5\" pipe\r\n\"c, d.wav\",cat,\"\"";
        let data = load(text).unwrap();
        assert_eq!(
            (data.items.len(), data.labels.as_slice()),
            (3, &["cat".to_string(), "d\"og".to_string()][..])
        );
    }

    #[test]
    fn a_field_of_several_lines_is_told() {
        let data = load("path,label,n\na.wav,dog,\"one\ntwo\"\nb.wav,cat,x\n").unwrap();
        assert!(data.messages.iter().any(|m| m.contains("1 rows have a field") && m.contains("line 2")));
    }

    #[test]
    fn many_columns_meet_a_limit_and_few_are_listed() {
        let header = |n: usize| (0..n).map(|k| format!("c{k}")).collect::<Vec<_>>().join(",");
        assert!(message(format!("{}\n", header(MAX_COLUMNS + 1))).contains("at most 1024 are allowed"));
        let error = message(format!("{}\n", header(MAX_COLUMNS)));
        assert!(error.contains("and 1014 more") && error.len() < 500, "{error}");
    }

    #[test]
    fn an_empty_manifest_and_one_that_is_no_text_are_errors() {
        assert!(message("").contains("has no column"));
        assert!(message("path,label\n").contains("has no rows"));
        assert!(message("path,path,label\na,b,c\n").contains("rename it"));
        assert!(message(b"path,label\na.wav,\xe4\n").ends_with("(line 2)"));
        let config = DataConfig { manifest: Some(std::env::temp_dir()), ..Default::default() };
        assert!(
            Dataset::load(&config).unwrap_err().message.contains("is a directory where a manifest is due")
        );
    }
}
