//! Sounds of a folder that are mixed into training clips.

use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::media::walk::walk;
use crate::media::{AudioOptions, AudioStream};
use crate::{Error, ErrorKind, Result};

/// Most samples that are held of a folder, all sounds together: 256 MiB, over an hour at 16 kHz.
const MAX_SAMPLES: usize = 64 << 20;

/// Sounds in memory, at the rate of the model.
pub(in crate::train) struct Background {
    sounds: Vec<Vec<f32>>,
    /// What could not be read, and what was not needed.
    pub warnings: Vec<String>,
}

impl Background {
    /// Reads the sounds of a directory and those within it, by name, up to [`MAX_SAMPLES`].
    ///
    /// # Errors
    /// Those of [`walk`]; [`ErrorKind::Dataset`] where no sound can be read.
    pub fn load(directory: &Path, sample_rate: u32) -> Result<Self> {
        Self::load_within(directory, sample_rate, MAX_SAMPLES)
    }

    fn load_within(directory: &Path, sample_rate: u32, mut room: usize) -> Result<Self> {
        let (mut sounds, mut warnings) = (Vec::new(), Vec::new());
        let files = walk(directory)?.files;
        for (i, path) in files.iter().enumerate() {
            if room == 0 {
                let minutes = MAX_SAMPLES as f64 / f64::from(sample_rate) / 60.0;
                warnings.push(format!(
                    "noise_folder: {} of {} files are not used: {minutes:.0} minutes fit into memory",
                    files.len() - i,
                    files.len()
                ));
                break;
            }
            match read(path, sample_rate, room) {
                Ok(samples) => {
                    room -= samples.len();
                    sounds.push(samples);
                }
                Err(error) => warnings.push(format!("noise_folder: {error}")),
            }
        }
        if sounds.is_empty() {
            let message = format!(
                "holds no sound that can be mixed in ([augment] noise_folder){}",
                warnings.first().map_or(String::new(), |warning| format!("; {warning}"))
            );
            return Err(Error::new(ErrorKind::Dataset, message).with_path(directory));
        }
        Ok(Self { sounds, warnings })
    }

    #[cfg(test)]
    pub fn of(sounds: Vec<Vec<f32>>) -> Self {
        Self { sounds, warnings: Vec::new() }
    }

    /// A random stretch of one of the sounds; one that is too short goes on from its beginning.
    pub fn stretch(&self, length: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let sound = &self.sounds[rng.random_range(0..self.sounds.len())];
        let start = match sound.len() > length {
            true => rng.random_range(0..=sound.len() - length),
            false => rng.random_range(0..sound.len()),
        };
        sound.iter().cycle().skip(start).take(length).copied().collect()
    }
}

/// The first samples of a sound, `most` at most.
fn read(path: &Path, sample_rate: u32, most: usize) -> Result<Vec<f32>> {
    let options = AudioOptions { sample_rate: Some(sample_rate), ..AudioOptions::default() };
    let mut stream = AudioStream::open(path, &options)?;
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    let more = |error: Error| error.with_path(path);
    while samples.len() < most && stream.next_block(&mut block).map_err(more)? {
        samples.extend_from_slice(&block);
    }
    samples.truncate(most);
    if samples.is_empty() {
        return Err(Error::new(ErrorKind::Empty, "holds no samples").with_path(path));
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::media::write_wav;
    use crate::signal::Signal;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let write = |name: &str, samples| {
            write_wav(&folder.path().join(name), &Signal { samples, sample_rate: 8_000 }).unwrap();
        };
        let ramp: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        write("b/ramp.wav", ramp);
        write("a.wav", vec![0.5; 100]);
        std::fs::write(folder.path().join("bad.wav"), [0; 64]).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not heard").unwrap();
        folder
    }

    #[test]
    fn the_sounds_of_a_folder_are_read_at_the_models_rate_and_bad_ones_are_said() {
        let folder = folder();
        let background = Background::load(folder.path(), 16_000).unwrap();
        let lengths: Vec<usize> = background.sounds.iter().map(Vec::len).collect();
        assert_eq!(lengths, [200, 2000]);
        assert_eq!(background.warnings.len(), 1);
        assert!(background.warnings[0].contains("bad.wav"), "{:?}", background.warnings);
    }

    #[test]
    fn what_does_not_fit_into_memory_is_left_out_and_said() {
        let folder = folder();
        let background = Background::load_within(folder.path(), 8_000, 50).unwrap();
        assert_eq!(background.sounds, [vec![background.sounds[0][0]; 50]]);
        assert!(background.warnings[0].contains("2 of 3 files are not used"), "{:?}", background.warnings);
    }

    #[test]
    fn a_folder_without_a_sound_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bad.wav"), [0; 64]).unwrap();
        let error = Background::load(folder.path(), 8_000).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Dataset);
        assert!(error.message.contains("noise_folder") && error.message.contains("bad.wav"), "{error}");
        assert_eq!(Background::load(Path::new("no/such"), 8_000).err().unwrap().kind, ErrorKind::NotFound);
    }

    #[test]
    fn a_stretch_is_a_part_of_a_sound_or_goes_round() {
        let ramp: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let background = Background::of(vec![ramp]);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut starts = std::collections::BTreeSet::new();
        for length in [1, 40, 100, 250] {
            for _ in 0..20 {
                let stretch = background.stretch(length, &mut rng);
                assert_eq!(stretch.len(), length);
                assert!(stretch.windows(2).all(|w| w[1] == (w[0] + 1.0) % 100.0));
                starts.insert(stretch[0] as usize);
            }
        }
        assert!(starts.len() > 20);
    }
}
