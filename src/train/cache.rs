//! Decoded clips and their features on disk, kept from one run to the next.
//!
//! An entry is named by what it was made from: the content of the file and all settings that matter. One that is damaged,
//! of another version or of another name is made again, never trusted. In a file:
//!
//! ```text
//! magic (8 bytes) │ length of the head (u32) │ head (JSON) │ SHA-256 of each block of the data │ SHA-256 of all before │ data
//! ```

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::material::Layout;
use crate::files::each_piece;
use crate::media::video;
use crate::model::hex;
use crate::{Error, ErrorKind, Result, TOOL};

/// What a file of this format begins with; the last byte is its version.
const MAGIC: [u8; 8] = *b"percept\x01";
/// What is verified, and so read, at once.
const BLOCK: u64 = 1 << 20;
/// Longest head.
const MAX_HEAD: u32 = 1 << 20;
/// Ending of the files of a cache; no others are removed.
const ENDING: &str = "clip";
/// What files are called while they are written.
const PARTIAL: &str = ".partial-";
/// Age at which a file that is still being written has been given up.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
/// Tells programs for backups that what lies here can be made again (bford.info/cachedir).
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Clips that percept has decoded; may be deleted.\n";

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Of what comes from a file, or a directory of pictures, by its content under `settings` and this version of the
    /// program.
    pub fn of_file(path: &Path, settings: &str) -> Result<Self> {
        let mut hasher = Sha256::new();
        // Some kinds are told by their ending.
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        for text in [TOOL, settings, &ending.to_string_lossy()] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let mut files = vec![path.to_path_buf()];
        if path.is_dir() {
            files = video::pictures(path)?;
            files.extend(Some(path.join("frames.json")).filter(|path| path.is_file()));
        }
        for path in files {
            let mut content = Sha256::new();
            let read = File::open(&path).and_then(|file| each_piece(file, |piece| content.update(piece)));
            read.map_err(|e| Error::io(&e, &path))?;
            hasher.update(content.finalize());
        }
        Ok(Self(hasher.finalize().into()))
    }

    /// Of what is made of this in a way that `how` tells.
    pub fn derived(&self, how: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(how);
        Self(hasher.finalize().into())
    }

    fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// What an entry says of its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub layout: Layout,
    /// Samples or frames.
    pub len: usize,
    /// Of the file, in seconds.
    #[serde(with = "bits")]
    pub duration: f64,
    /// What was said when it was read.
    pub warnings: Vec<String>,
}

/// A number as it is, whatever its digits would lose.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    #[serde(flatten)]
    facts: Facts,
}

/// A directory of entries, of bounded size.
pub(super) struct Cache {
    directory: PathBuf,
    /// Bytes of all entries, at most.
    most: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes of all entries.
    total: u64,
    /// What earlier runs have left, the longest unused at the end.
    old: Vec<(SystemTime, PathBuf, u64)>,
    /// Used in this run: these stay. Otherwise a data set that is larger than the cache would drive out of it just what it
    /// needs next.
    used: HashSet<PathBuf>,
    /// Entries that there was no room for.
    refused: usize,
    /// The first that could not be written.
    failure: Option<String>,
}

impl Cache {
    /// Makes the directory if it is not there; `most` is in bytes.
    ///
    /// # Errors
    /// Where the directory cannot be made, listed or written to.
    pub fn open(directory: &Path, most: u64) -> Result<Self> {
        let failed = |e: std::io::Error| Error::io(&e, directory);
        if directory.exists() && !directory.is_dir() {
            let message = "is a file where a directory for the cache is due; name another";
            return Err(Error::new(ErrorKind::Path, message).with_path(directory));
        }
        fs::create_dir_all(directory).map_err(failed)?;
        let tag = directory.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, TAG).map_err(|e| Error::io(&e, &tag))?;
        }
        let mut state = State::default();
        for folder in fs::read_dir(directory).map_err(failed)? {
            let folder = folder.map_err(failed)?.path();
            // An entry may go while the directory is listed: another run may use it, too.
            let files = fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| entry.ok());
            for entry in files {
                let (path, Ok(metadata)) = (entry.path(), entry.metadata()) else { continue };
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                if path.extension().is_some_and(|ending| ending == ENDING) {
                    state.total += metadata.len();
                    state.old.push((used, path, metadata.len()));
                } else if entry.file_name().to_string_lossy().starts_with(PARTIAL)
                    && used.elapsed().is_ok_and(|age| age > GIVEN_UP)
                {
                    let _ = fs::remove_file(path);
                }
            }
        }
        state.old.sort_by(|a, b| b.cmp(a));
        Ok(Self { directory: directory.to_path_buf(), most, state: Mutex::new(state) })
    }

    /// What a person should know at the end.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state();
        let refused = (state.refused > 0).then(|| {
            format!(
                "the cache is full: there was no room for {} entries ([data] cache_gb = {})",
                state.refused,
                self.most as f64 / 1e9
            )
        });
        let failure =
            state.failure.as_ref().map(|failure| format!("the cache cannot be written to: {failure}"));
        refused.into_iter().chain(failure).collect()
    }

    /// `None` where there is no such entry, or none to be trusted.
    pub fn get(&self, key: &Key) -> Option<Entry> {
        let path = self.path(key);
        let entry = Entry::open(&path, key)?;
        // Whoever looks for what has long been unused looks here.
        let _ = entry.file.set_modified(SystemTime::now());
        self.state().used.insert(path);
        Some(entry)
    }

    /// Keeps an entry, if there is room for it. What goes wrong is said at the end: training goes on without it.
    pub fn put(&self, key: &Key, facts: &Facts, data: &[u8]) {
        let path = self.path(key);
        let written = entry_bytes(key, facts, data).and_then(|front| {
            let size = (front.len() + data.len()) as u64;
            if !self.make_room(&path, size) {
                return Ok(());
            }
            write(&path, &[&front, data])
        });
        if let Err(error) = written {
            self.state().failure.get_or_insert(error.to_string());
        }
    }

    /// Removes what was not used for longest, until `size` more bytes fit in. Whether they do.
    fn make_room(&self, path: &Path, size: u64) -> bool {
        let mut state = self.state();
        // One that is replaced.
        state.total -= fs::metadata(path).map_or(0, |old| old.len()).min(state.total);
        while state.total + size > self.most {
            let Some((_, oldest, bytes)) = state.old.pop() else {
                state.refused += 1;
                return false;
            };
            if !state.used.contains(&oldest) && oldest != path {
                let _ = fs::remove_file(&oldest);
                state.total -= bytes.min(state.total);
            }
        }
        state.total += size;
        state.used.insert(path.to_path_buf());
        true
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = key.hex();
        self.directory.join(&name[..2]).join(format!("{}.{ENDING}", &name[2..]))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that stands before the data.
fn entry_bytes(key: &Key, facts: &Facts, data: &[u8]) -> Result<Vec<u8>> {
    let head = serde_json::to_vec(&Head { key: key.hex(), facts: facts.clone() })
        .map_err(|e| Error::new(ErrorKind::Internal, format!("no head can be written: {e}")))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend((head.len() as u32).to_le_bytes());
    bytes.extend(head);
    for block in data.chunks(BLOCK as usize) {
        bytes.extend(Sha256::digest(block));
    }
    bytes.extend(Sha256::digest(&bytes));
    Ok(bytes)
}

/// The file appears whole or not at all.
fn write(path: &Path, parts: &[&[u8]]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |e: std::io::Error| Error::io(&e, folder);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    parts.iter().try_for_each(|part| file.write_all(part)).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// An entry whose head is right.
pub(super) struct Entry {
    pub facts: Facts,
    file: File,
    /// SHA-256 of each block.
    blocks: Vec<[u8; 32]>,
    /// Where the data begins.
    front: u64,
}

impl Entry {
    fn open(path: &Path, key: &Key) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        let mut front = vec![0; MAGIC.len() + 4];
        file.read_exact(&mut front).ok()?;
        let length = u32::from_le_bytes(front[MAGIC.len()..].try_into().ok()?);
        if !front.starts_with(&MAGIC) || length > MAX_HEAD {
            return None;
        }
        append(&mut file, &mut front, u64::from(length))?;
        let head: Head = serde_json::from_slice(&front[MAGIC.len() + 4..]).ok()?;
        let data = (head.facts.len as u64).checked_mul(head.facts.layout.stride()? as u64)?;
        let hashes = front.len();
        // The rest has its place in the file before it has one in memory.
        let num_blocks = data.div_ceil(BLOCK);
        let rest = num_blocks.checked_mul(32)?.checked_add(32)?;
        if (hashes as u64).checked_add(rest)?.checked_add(data)? != size {
            return None;
        }
        append(&mut file, &mut front, rest)?;
        let (checked, sum) = front.split_last_chunk::<32>()?;
        if head.key != key.hex() || Sha256::digest(checked).as_slice() != sum {
            return None;
        }
        let blocks = checked[hashes..].as_chunks::<32>().0.to_vec();
        Some(Self { facts: head.facts, file, blocks, front: front.len() as u64 })
    }

    /// `len` samples or frames from `start`; `None` where they are not there, or damaged.
    pub fn read(&mut self, start: usize, len: usize) -> Option<Vec<u8>> {
        let end = start.checked_add(len).filter(|&end| end <= self.facts.len)?;
        let stride = self.facts.layout.stride()? as u64;
        let (from, to) = (start as u64 * stride, end as u64 * stride);
        let total = self.facts.len as u64 * stride;
        let first = from / BLOCK;
        self.file.seek(SeekFrom::Start(self.front + first * BLOCK)).ok()?;
        let mut bytes = Vec::with_capacity((to - from) as usize);
        for block in first..to.div_ceil(BLOCK) {
            let at = block * BLOCK;
            let mut content = Vec::new();
            append(&mut self.file, &mut content, BLOCK.min(total - at))?;
            if Sha256::digest(&content).as_slice() != self.blocks.get(block as usize)? {
                return None;
            }
            let inner = from.saturating_sub(at) as usize..(to - at).min(content.len() as u64) as usize;
            bytes.extend_from_slice(content.get(inner)?);
        }
        Some(bytes)
    }
}

/// Reads `length` more bytes, no fewer.
fn append(file: &mut File, bytes: &mut Vec<u8>, length: u64) -> Option<()> {
    let read = file.take(length).read_to_end(bytes).ok()?;
    (read as u64 == length).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 1 << 30;

    fn facts(len: usize) -> Facts {
        Facts { layout: Layout::Frames { dim: 3 }, len, duration: 1.5, warnings: vec!["short".into()] }
    }

    fn data(len: usize) -> Vec<u8> {
        (0..12 * len).map(|i| (i * i / 7) as u8).collect()
    }

    fn key(name: &str) -> Key {
        Key([0; 32]).derived(name)
    }

    #[test]
    fn what_was_put_in_comes_out_whole_and_in_part_also_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("new/cache");
        // Over two blocks.
        let len = (2 * BLOCK as usize + 100) / 12;
        Cache::open(&at, ROOM).unwrap().put(&key("a"), &facts(len), &data(len));
        let cache = Cache::open(&at, ROOM).unwrap();
        let mut entry = cache.get(&key("a")).unwrap();
        assert_eq!(entry.facts, facts(len));
        let all = data(len);
        let boundary = BLOCK as usize / 12;
        for (start, part) in
            [(0, len), (0, 0), (len, 0), (5, 1), (boundary - 3, 7), (len - 1, 1), (boundary, len - boundary)]
        {
            assert_eq!(
                entry.read(start, part).unwrap(),
                all[12 * start..12 * (start + part)],
                "{start} {part}"
            );
        }
        assert_eq!(entry.read(1, len), None);
        assert!(cache.get(&key("b")).is_none());
        assert!(cache.warnings().is_empty());
        assert!(at.join("CACHEDIR.TAG").is_file());
    }

    #[test]
    fn a_damaged_or_foreign_entry_is_never_trusted_and_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), ROOM).unwrap();
        cache.put(&key("a"), &facts(50), &data(50));
        let path = cache.path(&key("a"));
        let good = fs::read(&path).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            cache.get(&key("a")).and_then(|mut entry| entry.read(0, 50))
        };
        assert_eq!(read(&good).unwrap(), data(50));
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 0x10;
            assert_eq!(read(&bad), None, "byte {i}");
        }
        for length in [0, 5, 11, 40, good.len() - 1] {
            assert_eq!(read(&good[..length]), None, "{length}");
        }
        assert_eq!(read(&[&good[..], b"x"].concat()), None);
        // An entry under another's name.
        fs::create_dir_all(cache.path(&key("b")).parent().unwrap()).unwrap();
        fs::write(cache.path(&key("b")), &good).unwrap();
        assert!(cache.get(&key("b")).is_none());
        cache.put(&key("a"), &facts(50), &data(50));
        assert_eq!(fs::read(&path).unwrap(), good);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room_and_what_this_run_uses_stays() {
        let folder = tempfile::tempdir().unwrap();
        let size = {
            let cache = Cache::open(folder.path(), ROOM).unwrap();
            for (age, name) in ["a", "b", "c"].iter().enumerate() {
                cache.put(&key(name), &facts(50), &data(50));
                let file = File::options().write(true).open(cache.path(&key(name))).unwrap();
                file.set_modified(SystemTime::now() - Duration::from_secs(3600 * (9 - age as u64))).unwrap();
            }
            fs::metadata(cache.path(&key("a"))).unwrap().len()
        };
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let cache = Cache::open(folder.path(), 3 * size).unwrap();
        let has = |name: &str| cache.path(&key(name)).is_file();
        assert!(cache.get(&key("a")).is_some());
        cache.put(&key("d"), &facts(50), &data(50));
        assert!(has("a") && !has("b") && has("c") && has("d"));
        cache.put(&key("e"), &facts(50), &data(50));
        cache.put(&key("f"), &facts(50), &data(50));
        assert!(has("a") && !has("c") && has("d") && has("e") && !has("f"));
        assert!(cache.warnings()[0].contains("no room for 1 entries"), "{:?}", cache.warnings());
        assert!(folder.path().join("notes.txt").is_file());
        let bytes: u64 =
            ["a", "d", "e"].iter().map(|n| fs::metadata(cache.path(&key(n))).unwrap().len()).sum();
        assert!(bytes <= 3 * size);
    }

    #[test]
    fn a_key_follows_content_and_settings_and_not_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            path
        };
        let of = |path: &Path| Key::of_file(path, "16000").unwrap();
        let (a, b) = (put("a.wav", "one"), put("other/b.WAV", "one"));
        assert_eq!(of(&a), of(&b));
        assert_ne!(of(&a), Key::of_file(&a, "8000").unwrap());
        assert_ne!(of(&a), of(&put("c.wav", "two")));
        assert_ne!(of(&a), of(&a).derived(""));
        assert_eq!(Key::of_file(&folder.path().join("no.wav"), "").unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_cache_that_cannot_be_written_to_is_said_once_and_costs_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path(), ROOM).unwrap();
        // A file where the folder of the entry should be.
        fs::write(cache.path(&key("a")).parent().unwrap(), "in the way").unwrap();
        cache.put(&key("a"), &facts(5), &data(5));
        cache.put(&key("a"), &facts(5), &data(5));
        assert_eq!(cache.warnings().len(), 1);
        assert!(cache.get(&key("a")).is_none());
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(Cache::open(&folder.path().join("file"), ROOM).is_err());
    }
}
