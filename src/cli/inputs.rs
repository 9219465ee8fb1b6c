//! Many inputs: side by side, and in their order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::say;
use crate::files::first_bytes;
use crate::media::walk::walk;
use crate::{Error, ErrorKind, Result};

/// The files to work on, and whether a directory was gone through for them.
pub struct Inputs {
    pub files: Vec<PathBuf>,
    pub walked: bool,
}

impl Inputs {
    /// Directories are gone through; one that holds pictures and no other media is a video itself, one without media stays,
    /// so that it is told where it is read.
    pub fn of(inputs: &[PathBuf]) -> Self {
        let mut all = Self { files: Vec::new(), walked: false };
        for input in inputs {
            let found = if input.is_dir() { walk(input).ok() } else { None };
            match found.filter(|found| !found.files.is_empty() && found.files != [input.clone()]) {
                None => all.files.push(input.clone()),
                Some(found) => {
                    if let (1.., Some(first)) = (found.not_media, &found.first_not_media) {
                        let (count, input) = (found.not_media, input.display());
                        say(format_args!(
                            "{input}: {count} files are no media and are passed over (the first: {})",
                            first.display()
                        ));
                    }
                    all.files.extend(found.files);
                    all.walked = true;
                }
            }
        }
        all
    }

    /// Whether there is more than one result.
    pub fn several(&self) -> bool {
        self.walked || self.files.len() > 1
    }
}

/// Runs `work` on all inputs, `jobs` at a time, and hands the results to `finish` in the order of the inputs.
pub fn in_order<T: Send>(
    inputs: &[PathBuf],
    jobs: usize,
    work: impl Fn(&Path) -> T + Sync,
    mut finish: impl FnMut(&Path, T) -> Result<()>,
) -> Result<()> {
    if jobs <= 1 {
        return inputs.iter().try_for_each(|path| finish(path, work(path)));
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // Bounded, so that workers wait for a slow writer.
        let (sender, receiver) = mpsc::sync_channel(2 * jobs);
        for i in 0..jobs {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let started = std::thread::Builder::new().spawn_scoped(scope, move || {
                while let Some((i, path)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|i| inputs.get(i).map(|path| (i, path)))
                {
                    if sender.send((i, work(path))).is_err() {
                        break; // The writer has failed.
                    }
                }
            });
            match started {
                Ok(_) => {}
                // Where the system gives no more threads, fewer do the work.
                Err(_) if i > 0 => break,
                Err(_) => return inputs.iter().try_for_each(|path| finish(path, work(path))),
            }
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (i, result) in receiver {
            early.insert(i, result);
            while let Some(result) = early.remove(&due) {
                finish(&inputs[due], result)?;
                due += 1;
            }
        }
        Ok(())
    })
}

/// The first bytes of a file, as many as tell what it is.
pub fn head_of(path: &Path) -> Result<Vec<u8>> {
    File::open(path).and_then(|file| first_bytes(file, 4096)).map_err(|error| Error::io(&error, path))
}

/// Files that are not text are replaced by their own kind alone, which `is_own` tells by their first bytes.
///
/// # Errors
/// [`ErrorKind::Path`] where another is there.
pub fn check_replaced(path: &Path, is_own: fn(&[u8]) -> bool) -> Result<()> {
    if !path.is_file() || head_of(path).is_ok_and(|head| head.is_empty() || is_own(&head)) {
        return Ok(());
    }
    let message = "exists and is of another kind; it is not replaced: name another";
    Err(Error::new(ErrorKind::Path, message).with_path(path))
}

/// A name that ends as something else does, such as `a.xlsx`, may be a mistake.
pub fn say_odd_ending(out: &Path, written: &str) {
    if let Some(ending) = out.extension() {
        let (out, ending) = (out.display(), ending.display());
        say(format_args!(
            "{out}: `.{ending}` names no format of results, so it will hold {written} (--format chooses another)"
        ));
    }
}

/// Where a link leads: what stands beside an output, and keeps two programs from writing it, is of the file, not of its names.
pub fn behind_link(output: PathBuf) -> PathBuf {
    const MOST_LINKS: usize = 40;
    let mut file = output;
    for _ in 0..MOST_LINKS {
        // It may lead to what is not there yet.
        let Ok(target) = file.read_link() else { break };
        file = file.parent().unwrap_or(Path::new("")).join(target);
    }
    file
}

/// The result must not replace what it is made from.
pub fn refuse_overwriting<'a>(out: Option<&Path>, sources: impl Iterator<Item = &'a Path>) -> Result<()> {
    let Some(out) = out else { return Ok(()) };
    let Ok(target) = out.canonicalize() else { return Ok(()) };
    for source in sources {
        // A picture of a directory is read, too.
        if source.canonicalize().is_ok_and(|source| source == target || target.parent() == Some(&source)) {
            let message = "is both read and to be written (-o); give the result another name";
            return Err(Error::new(ErrorKind::Path, message).with_path(out));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_inputs_whatever_the_number_of_jobs() {
        let inputs: Vec<PathBuf> = (0..50).map(|i| PathBuf::from(i.to_string())).collect();
        for jobs in [1, 2, 7, 50] {
            let mut seen = Vec::new();
            let work = |path: &Path| {
                let i: u64 = path.to_str().unwrap().parse().unwrap();
                std::thread::sleep(std::time::Duration::from_millis((i * 7) % 5));
                i
            };
            in_order(&inputs, jobs, work, |path, i| {
                assert_eq!(path, Path::new(&i.to_string()));
                seen.push(i);
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_writer_that_fails_stops_the_workers() {
        let inputs = vec![PathBuf::from("x"); 1000];
        let fail = |_: &Path, ()| Err(Error::new(ErrorKind::Io, "disk full"));
        let error = in_order(&inputs, 4, |_| (), fail).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Io);
    }
}
