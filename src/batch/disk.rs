//! Whether the disks that inputs lie on are still there: one that is unplugged stops the run, instead of costing a row for
//! each of its files.

use std::collections::BTreeMap;
use std::fs::{Metadata, metadata};
use std::path::{Path, PathBuf};

/// A directory on each disk that inputs were found on.
#[derive(Debug, Default)]
pub struct Disks {
    directories: BTreeMap<u64, PathBuf>,
    /// The last one.
    last: PathBuf,
}

impl Disks {
    /// Takes note of where a file is.
    pub fn saw(&mut self, path: &Path) {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if directory == self.last {
            return;
        }
        directory.clone_into(&mut self.last);
        if let Ok(metadata) = metadata(directory) {
            self.directories.insert(device(&metadata), directory.to_path_buf());
        }
    }

    /// A directory that was there, and now is not, or is on another disk: a mount point without its disk.
    pub fn lost(&self) -> Option<&Path> {
        let is_there = |(disk, directory): (&u64, &PathBuf)| {
            metadata(directory).is_ok_and(|metadata| device(&metadata) == *disk)
        };
        self.directories.iter().find(|&known| !is_there(known)).map(|(_, directory)| directory.as_path())
    }
}

#[cfg(unix)]
fn device(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(metadata)
}

#[cfg(not(unix))]
fn device(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_vanishes_is_a_lost_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let file = disk.join("a.wav");
        std::fs::write(&file, "x").unwrap();
        let mut disks = Disks::default();
        disks.saw(&file);
        // A link to another disk is where it is, not where it leads.
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/proc/self/status", disk.join("b.wav")).unwrap();
            disks.saw(&disk.join("b.wav"));
            std::fs::remove_file(disk.join("b.wav")).unwrap();
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(disks.lost(), None);
        std::fs::remove_dir(&disk).unwrap();
        assert_eq!(disks.lost(), Some(disk.as_path()));
    }
}
