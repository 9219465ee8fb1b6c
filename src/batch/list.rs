//! The work list: which inputs, in which order.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::Position;
use crate::files::{open_regular, path_of_bytes};
use crate::media::walk::{PassedOver, WalkOptions, walk_into};
use crate::{Error, ErrorKind, Result};

/// Longest line of a manifest or of standard input, in bytes.
pub const MAX_LINE_BYTES: usize = 1 << 16;
/// Most inputs of one list.
pub const MAX_INPUTS: usize = 100_000_000;
/// Characters that make an argument a pattern, where no file has its name.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file, a directory that is gone through, or a pattern such as `nights/**/*.wav`.
    Path(#[serde(with = "any_path")] PathBuf),
    /// A file with a path a line, or CSV with a column `path`. Relative paths start from its folder.
    Manifest(#[serde(with = "any_path")] PathBuf),
    /// A path a line on standard input, or with a NUL behind each.
    Stdin { null: bool },
}

/// A path in JSON: its text, or `{"bytes": "..."}` in base64 where it is none.
mod any_path {
    use super::*;
    use crate::files::{path_from_json, path_to_json};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum AnyPath {
        Text(String),
        Bytes { bytes: String },
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match path_to_json(path) {
            (_, Some(bytes)) => AnyPath::Bytes { bytes },
            (text, None) => AnyPath::Text(text),
        }
        .serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<PathBuf, D::Error> {
        Ok(match AnyPath::deserialize(deserializer)? {
            AnyPath::Text(text) => text.into(),
            AnyPath::Bytes { bytes } => path_from_json("", Some(&bytes)),
        })
    }
}

/// Which part of the list is worked on: `1/3` is the first of three. What belongs to a part is told by a hash of the path
/// alone, so that it stays there when others are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    pub of: u32,
}

/// What is in the list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOptions {
    /// Of directories: only files that one of these patterns matches; all where there is none. A pattern without `/` is
    /// matched with the name, another with the path within the directory.
    pub include: Vec<String>,
    /// Of directories: no files and no directories that one of these matches.
    pub exclude: Vec<String>,
    pub shard: Option<Shard>,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub path: PathBuf,
    /// Bytes of `path` that name the directory in which it was found; 0 where it was named itself.
    pub root: usize,
}

/// What was found beside the inputs.
#[derive(Debug, Default)]
pub struct Listed {
    pub inputs: usize,
    pub passed_over: PassedOver,
    /// Inputs that were named again.
    pub twice: usize,
}

impl Shard {
    /// Whether a path is of this part: by the first eight bytes of its SHA-256.
    pub fn holds(self, path: &Path) -> bool {
        let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let head = digest.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
        head % u64::from(self.of) == u64::from(self.number - 1)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of => Ok(Self { number, of }),
            _ => Err("a part is due, as 1/3: the first of three".into()),
        }
    }
}

/// Gives `take` all inputs: sources in their order, lists in theirs, directories and patterns in natural order (`2.wav`
/// before `10.wav`). An input that is named twice is given once. What stands in a list is an input whatever it is;
/// in directories files are looked for as [`walk_into`] does it, by their endings.
///
/// # Errors
/// Of a source that is not there or cannot be read, or a pattern that is none; [`ErrorKind::Limit`] for more than [`MAX_INPUTS`]; what `take`
/// gives.
pub fn list(
    sources: &[Source],
    options: &ListOptions,
    take: &mut dyn FnMut(Input) -> Result<()>,
) -> Result<Listed> {
    let filter = Filter::new(options)?;
    let mut seen = Seen::new(sources);
    let mut listed = Listed::default();
    let (mut inputs, mut twice) = (0, 0);
    let mut take = |input: Input| {
        if options.shard.is_some_and(|shard| !shard.holds(&input.path)) {
            return Ok(());
        }
        if !seen.is_new(&input.path) {
            twice += 1;
            return Ok(());
        }
        inputs += 1;
        if inputs > MAX_INPUTS {
            return Err(Error::new(ErrorKind::Limit, format!("there are more than {MAX_INPUTS} inputs")));
        }
        take(input)
    };
    for source in sources {
        let passed_over = match source {
            Source::Path(path) => of_path(path, &filter, &mut take)?,
            Source::Manifest(path) => of_manifest(path, &mut take).map_err(|e| e.with_path(path))?,
            Source::Stdin { null } => {
                let mut lines = LinesOf::new(io::stdin().lock(), if *null { 0 } else { b'\n' });
                of_lines(&mut lines, Path::new(""), &mut take).map_err(|e| e.with_path("standard input"))?;
                PassedOver::default()
            }
        };
        listed.passed_over.append(passed_over);
    }
    (listed.inputs, listed.twice) = (inputs, twice);
    Ok(listed)
}

type Take<'a> = dyn FnMut(Input) -> Result<()> + 'a;

fn of_path(path: &Path, filter: &Filter, take: &mut Take) -> Result<PassedOver> {
    if path.is_dir() {
        let takes = |found: &Path, is_directory| filter.takes(within(found, path), is_directory);
        return walked(path, &takes, take);
    }
    let text = path.to_str().unwrap_or_default();
    if is_there(path) || !text.contains(WILDCARDS) {
        check_source(path)?;
        take(Input { path: path.to_path_buf(), root: 0 })?;
        return Ok(PassedOver::default());
    }
    of_pattern(text, filter, take).map_err(|error| error.with_path(path))
}

/// Whether something has this name, a link that leads nowhere too.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn check_source(path: &Path) -> Result<()> {
    path.symlink_metadata().map(drop).map_err(|error| Error::io(&error, path))
}

/// Whether all sources are there, as far as can be told without going through them.
///
/// # Errors
/// Of the first that is not.
pub fn check_sources(sources: &[Source]) -> Result<()> {
    for source in sources {
        match source {
            Source::Path(path) if !path.to_string_lossy().contains(WILDCARDS) => check_source(path)?,
            Source::Manifest(path) => drop(open_regular(path, "a list of files is due")?),
            Source::Path(_) | Source::Stdin { .. } => {}
        }
    }
    Ok(())
}

/// What matches, and what lies in a directory that does.
fn of_pattern(pattern: &str, filter: &Filter, take: &mut Take) -> Result<PassedOver> {
    // As paths are written that are found: without `//` and `./`.
    let pattern = plain(Path::new(pattern));
    let matcher = glob(&pattern.to_string_lossy())?.compile_matcher();
    let has_wildcard = |part: &Component| part.as_os_str().to_string_lossy().contains(WILDCARDS);
    let base: PathBuf = pattern.components().take_while(|part| !has_wildcard(part)).collect();
    let start = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
    let not_excluded = |found: &Path, _| !filter.exclude.matches(within(found, start));
    let mut matched = 0;
    let passed_over = walked(start, &not_excluded, &mut |input: Input| {
        let path = plain(&input.path);
        if !path.ancestors().any(|path| matcher.is_match(path)) {
            return Ok(());
        }
        matched += 1;
        take(Input { root: base.as_os_str().len(), path })
    });
    match passed_over {
        // What does not match is none of what was asked for.
        Ok(_) if matched > 0 => Ok(PassedOver::default()),
        Err(error) if error.kind != ErrorKind::NotFound => Err(error),
        _ => Err(Error::new(ErrorKind::NotFound, "there is no such file, and as a pattern it matches none")),
    }
}

/// Without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn within<'a>(path: &'a Path, directory: &Path) -> &'a Path {
    path.strip_prefix(directory).unwrap_or(path)
}

fn walked(directory: &Path, takes: &dyn Fn(&Path, bool) -> bool, take: &mut Take) -> Result<PassedOver> {
    let root = directory.as_os_str().len();
    let options = WalkOptions { by_ending: true, takes };
    walk_into(directory, &options, &mut |path| take(Input { path, root }))
}

/// CSV where the first line has a column `path`, otherwise a path a line.
fn of_manifest(path: &Path, take: &mut Take) -> Result<PassedOver> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut lines = LinesOf::new(BufReader::new(open_regular(path, "a list of files is due")?), b'\n');
    let header = lines.next_line()?.map(<[u8]>::to_vec).unwrap_or_default();
    match Columns::of(&header) {
        Some(columns) => {
            while let Some(line) = lines.next_line()? {
                if line.is_empty() {
                    continue;
                }
                let name = columns.path(line).map_err(|message| lines.wrong(message))?;
                take(listed(folder, &name))?;
            }
        }
        None => {
            if !header.is_empty() {
                take(listed(folder, &header))?;
            }
            of_lines(&mut lines, folder, take)?;
        }
    }
    Ok(PassedOver::default())
}

/// Where the path stands in lines of CSV.
struct Columns {
    delimiter: u8,
    path: usize,
}

impl Columns {
    /// By the first line; `None` where that has no column of paths.
    fn of(header: &[u8]) -> Option<Self> {
        let is_path = |field: &[u8]| {
            let name = field.trim_ascii().to_ascii_lowercase();
            [&b"path"[..], b"file", b"filename"].contains(&&name[..])
        };
        [b',', b'\t', b';'].into_iter().find_map(|delimiter| {
            let fields = fields(header, delimiter).ok()?;
            Some(Self { delimiter, path: fields.iter().position(is_path)? })
        })
    }

    fn path(&self, line: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let fields = fields(line, self.delimiter)?;
        match fields.get(self.path).filter(|field| !field.is_empty()) {
            Some(field) => Ok(field.to_vec()),
            None => Err("the path is empty; fill it in or remove the row".into()),
        }
    }
}

/// The fields of one line: no field goes over several, so that a quote that is out of place swallows no rows.
fn fields(line: &[u8], delimiter: u8) -> std::result::Result<csv::ByteRecord, String> {
    if line.iter().filter(|&&byte| byte == b'"').count() % 2 == 1 {
        return Err("a quote (\") is not closed in its line; close it, or double it".into());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(_) => Ok(record),
        Err(error) => Err(format!("is no CSV: {error}")),
    }
}

/// An input of a list in `folder`.
fn listed(folder: &Path, name: &[u8]) -> Input {
    let path = folder.join(path_of_bytes(name));
    let root = if path.starts_with(folder) { folder.as_os_str().len() } else { 0 };
    Input { path, root }
}

/// Empty lines are passed over.
fn of_lines<R: BufRead>(lines: &mut LinesOf<R>, folder: &Path, take: &mut Take) -> Result<()> {
    while let Some(line) = lines.next_line()? {
        if !line.is_empty() {
            take(listed(folder, line))?;
        }
    }
    Ok(())
}

/// Lines without their ends, none of them too long.
struct LinesOf<R> {
    reader: R,
    end: u8,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> LinesOf<R> {
    fn new(reader: R, end: u8) -> Self {
        Self { reader, end, line: Vec::new(), number: 0 }
    }

    fn next_line(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1).read_until(self.end, &mut self.line);
        match read.map_err(|error| Error::new(ErrorKind::Io, error.to_string()))? {
            0 => return Ok(None),
            read if read > MAX_LINE_BYTES => {
                let message =
                    format!("a line is longer than {MAX_LINE_BYTES} bytes, so this is no list of files");
                return Err(Error::new(ErrorKind::Limit, message).at(Position::Line(self.number)));
            }
            _ => {}
        }
        let mut text = self.line.strip_suffix(&[self.end]).unwrap_or(&self.line);
        if self.end == b'\n' {
            text = text.strip_suffix(b"\r").unwrap_or(text);
        }
        if self.number == 1 {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        Ok(Some(text))
    }

    fn wrong(&self, message: String) -> Error {
        Error::new(ErrorKind::Dataset, message).at(Position::Line(self.number))
    }
}

fn glob(pattern: &str) -> Result<Glob> {
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
        Error::new(ErrorKind::Config, format!("\"{pattern}\" is no pattern: {}", error.kind()))
    })
}

/// What of directories is taken, by paths within them.
struct Filter {
    include: Option<Patterns>,
    exclude: Patterns,
}

impl Filter {
    fn new(options: &ListOptions) -> Result<Self> {
        let include = (!options.include.is_empty()).then(|| Patterns::new(&options.include)).transpose()?;
        Ok(Self { include, exclude: Patterns::new(&options.exclude)? })
    }

    fn takes(&self, path: &Path, is_directory: bool) -> bool {
        let included = is_directory || self.include.as_ref().is_none_or(|include| include.matches(path));
        included && !self.exclude.matches(path)
    }
}

struct Patterns {
    /// Those without `/`.
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    fn new(patterns: &[String]) -> Result<Self> {
        let set = |of_paths: bool| {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns.iter().filter(|pattern| pattern.contains('/') == of_paths) {
                set.add(glob(pattern.trim_end_matches('/'))?);
            }
            set.build()
                .map_err(|error| Error::new(ErrorKind::Config, format!("a pattern is too large: {error}")))
        };
        Ok(Self { names: set(false)?, paths: set(true)? })
    }

    fn matches(&self, path: &Path) -> bool {
        self.paths.is_match(path) || path.file_name().is_some_and(|name| self.names.is_match(name))
    }
}

/// Half the SHA-256 of a path: what stands for it where very many are kept.
pub(super) fn key(path: &Path) -> u128 {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.first_chunk().map_or(0, |head| u128::from_le_bytes(*head))
}

/// What was listed so far: 16 bytes a path.
struct Seen(Option<HashSet<u128>>);

impl Seen {
    fn new(sources: &[Source]) -> Self {
        // A walk finds nothing twice.
        let is_one_walk = matches!(sources, [Source::Path(_)]);
        Self((!is_one_walk).then(HashSet::new))
    }

    fn is_new(&mut self, path: &Path) -> bool {
        let Some(seen) = &mut self.0 else { return true };
        seen.insert(key(&plain(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
    }

    fn names(folder: &Path, sources: &[Source], options: &ListOptions) -> Vec<String> {
        let mut names = Vec::new();
        let name = |path: &Path| within(path, folder).to_string_lossy().replace('\\', "/");
        list(sources, options, &mut |input| {
            names.push(name(&input.path));
            Ok(())
        })
        .unwrap();
        names
    }

    fn options(include: &[&str], exclude: &[&str]) -> ListOptions {
        let all = |patterns: &[&str]| patterns.iter().map(|p| p.to_string()).collect();
        ListOptions { include: all(include), exclude: all(exclude), shard: None }
    }

    #[test]
    fn directories_are_gone_through_in_natural_order_and_patterns_choose() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, &["10.wav", "2.wav", "a/x.flac", "a/old/y.wav", "b/z.mp3", ".hidden/h.wav", "notes.txt"]);
        let all = [Source::Path(root.to_path_buf())];
        let usual = ListOptions::default();
        assert_eq!(names(root, &all, &usual), ["2.wav", "10.wav", "a/old/y.wav", "a/x.flac", "b/z.mp3"]);
        assert_eq!(names(root, &all, &options(&["*.wav"], &["10*"])), ["2.wav", "a/old/y.wav"]);
        assert_eq!(names(root, &all, &options(&["a/**"], &["old"])), ["a/x.flac"]);
        assert_eq!(names(root, &all, &options(&[], &["a/"])), ["2.wav", "10.wav", "b/z.mp3"]);
        let pattern = |text: &str| [Source::Path(root.join(text))];
        assert_eq!(names(root, &pattern("**/*.wav"), &usual), ["2.wav", "10.wav", "a/old/y.wav"]);
        assert_eq!(names(root, &pattern("[ab]"), &usual), ["a/old/y.wav", "a/x.flac", "b/z.mp3"]);
        assert_eq!(names(root, &pattern("*.wav"), &options(&[], &["2.*"])), ["10.wav"]);
        assert_eq!(names(root, &pattern(".//1?.wav"), &usual), ["10.wav"]);
        let none = list(&pattern("*.aiff"), &usual, &mut |_| Ok(())).unwrap_err();
        assert_eq!(none.kind, ErrorKind::NotFound);
        assert_eq!(list(&pattern("[z-a"), &usual, &mut |_| Ok(())).unwrap_err().kind, ErrorKind::Config);
    }

    #[test]
    fn lists_keep_their_order_and_an_input_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root, &["1.wav", "2.wav"]);
        let write = |name: &str, text: &str| {
            std::fs::write(root.join(name), text).unwrap();
            Source::Manifest(root.join(name))
        };
        let lines = write("lines.txt", "\u{feff}2.wav\r\n\nmissing.wav\n1.wav");
        let table = write("table.csv", "label;path\nx;1.wav\n\"y\";\"a;b.wav\"\n");
        let usual = ListOptions::default();
        assert_eq!(names(root, std::slice::from_ref(&lines), &usual), ["2.wav", "missing.wav", "1.wav"]);
        assert_eq!(names(root, std::slice::from_ref(&table), &usual), ["1.wav", "a;b.wav"]);
        let all = [lines, Source::Path(root.to_path_buf()), table];
        assert_eq!(names(root, &all, &usual), ["2.wav", "missing.wav", "1.wav", "a;b.wav"]);
        let wrong = write("wrong.csv", "path,label\na.wav,x\n,y\n");
        let error = list(&[wrong], &usual, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("(line 3)"), "{error}");
        let unclosed = write("unclosed.csv", "path,label\n1.wav,\"x\n2.wav,y\n");
        let error = list(&[unclosed], &usual, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("(line 2)") && error.message.contains("quote"), "{error}");
        let quoted = write("quoted.csv", "\"a,b\", Path ,note\nx,1.wav,y\n");
        assert_eq!(names(root, &[quoted], &usual), ["1.wav"]);
        let missing = [Source::Path(root.join("missing.wav"))];
        assert_eq!(list(&missing, &usual, &mut |_| Ok(())).unwrap_err().kind, ErrorKind::NotFound);
        let twice = [Source::Path(root.join("1.wav")), Source::Path(root.join("./1.wav"))];
        assert_eq!(names(root, &twice, &usual).len(), 1);
        let endless = write("endless.txt", &"x".repeat(MAX_LINE_BYTES + 1));
        assert_eq!(list(&[endless], &usual, &mut |_| Ok(())).unwrap_err().kind, ErrorKind::Limit);
    }

    #[test]
    fn shards_share_out_all_inputs() {
        let paths: Vec<PathBuf> = (0..100).map(|i| PathBuf::from(format!("{i}.wav"))).collect();
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        for path in &paths {
            assert_eq!(shards.iter().filter(|shard| shard.holds(path)).count(), 1);
        }
        // python3 -c "import hashlib; print([i for i in range(20) if int.from_bytes(hashlib.sha256(f'{i}.wav'.encode()).digest()[:8], 'big') % 3 == 0])"
        let first: Vec<usize> = (0..20).filter(|&i| shards[0].holds(&paths[i])).collect();
        assert_eq!(first, [3, 5, 6, 7, 9, 10, 11, 12, 14, 15]);
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
