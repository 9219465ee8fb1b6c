//! Signal -> WAV file.

use std::path::Path;

use crate::files::AtomicFile;
use crate::signal::Signal;
use crate::{Error, ErrorKind, Result};

/// How [`write_wav_as`] stores a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SampleFormat {
    /// 32-bit float: what was in memory, bit for bit.
    #[default]
    F32,
    /// 16-bit integer, rounded to nearest; values beyond full scale are clipped.
    S16,
}

/// Writes mono sound as a 32-bit float WAV file, which appears whole or not at all.
pub fn write_wav(path: &Path, signal: &Signal) -> Result<()> {
    write_wav_as(path, signal, SampleFormat::F32)
}

/// Writes mono sound as a WAV file, which appears whole or not at all.
///
/// Errors: `Io`, `PermissionDenied`, `NotFound` (the folder), `Limit` (over 4 GiB of samples).
pub fn write_wav_as(path: &Path, signal: &Signal, format: SampleFormat) -> Result<()> {
    let (bits_per_sample, sample_format) = match format {
        SampleFormat::F32 => (32, hound::SampleFormat::Float),
        SampleFormat::S16 => (16, hound::SampleFormat::Int),
    };
    let spec =
        hound::WavSpec { channels: 1, sample_rate: signal.sample_rate, bits_per_sample, sample_format };
    let bytes = signal.samples.len() as u64 * u64::from(bits_per_sample / 8);
    if bytes > u64::from(u32::MAX) - 1024 {
        return Err(Error::new(ErrorKind::Limit, "too long for a WAV file (4 GiB); write it in parts")
            .with_path(path));
    }
    let wav = |error: hound::Error| match error {
        hound::Error::IoError(error) => Error::io(&error, path),
        other => Error::new(ErrorKind::Internal, format!("could not write WAV: {other}")).with_path(path),
    };
    let mut file = AtomicFile::create(path)?;
    let mut writer = hound::WavWriter::new(&mut file, spec).map_err(wav)?;
    for &x in &signal.samples {
        match format {
            SampleFormat::F32 => writer.write_sample(x),
            SampleFormat::S16 => writer.write_sample((x * 32768.0).round().clamp(-32768.0, 32767.0) as i16),
        }
        .map_err(wav)?;
    }
    writer.finalize().map_err(wav)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_reads_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let signal = Signal { samples: vec![0.0, 0.25, -1.5, 1e-9], sample_rate: 22_050 };
        write_wav(&path, &signal).unwrap();
        let mut reader = hound::WavReader::open(&path).unwrap();
        assert_eq!(reader.spec().sample_rate, 22_050);
        assert_eq!(reader.samples::<f32>().map(|x| x.unwrap()).collect::<Vec<_>>(), signal.samples);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn sixteen_bits_round_and_clip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let signal = Signal { samples: vec![0.5, -1.0, 1.0, 9.0, 0.9 / 32768.0], sample_rate: 8_000 };
        write_wav_as(&path, &signal, SampleFormat::S16).unwrap();
        let mut reader = hound::WavReader::open(&path).unwrap();
        let samples: Vec<i16> = reader.samples::<i16>().map(|x| x.unwrap()).collect();
        assert_eq!(samples, [16384, -32768, 32767, 32767, 1]);
    }

    #[test]
    fn a_missing_folder_is_an_error_with_its_path() {
        let path = Path::new("/nonexistent-folder/out.wav");
        let error = write_wav(path, &Signal { samples: vec![0.0], sample_rate: 8_000 }).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(error.path.as_deref(), path.parent());
    }
}
