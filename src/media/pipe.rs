//! Sound from a pipe: a WAV stream, or bare samples. Nothing is sought, and no size is believed.

use std::io::Read;

use super::limits::{BLOCK_SAMPLES, MAX_AMPLITUDE, MAX_CHUNKS, MAX_FORMAT_CHUNK};
use super::reader::{StreamInfo, check_stream};
use super::wav::{Fmt, Format, UNKNOWN_SIZES, convert};
use crate::{Error, ErrorKind, Result};

/// Longest chunk in front of the sound that is passed over, in bytes.
const MAX_SKIPPED: u64 = 1 << 20;

/// How bare samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum RawEncoding {
    U8,
    S16le,
    S24le,
    S32le,
    F32le,
}

/// Samples without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFormat {
    /// In Hz.
    pub sample_rate: u32,
    pub channels: usize,
    pub encoding: RawEncoding,
}

pub(super) struct PipeReader {
    pipe: Box<dyn Read + Send>,
    format: Format,
    channels: usize,
    frame_bytes: usize,
    /// Bytes of sound to come, if the header says so.
    remaining: Option<u64>,
    /// Bytes of a frame that is not whole yet.
    bytes: Vec<u8>,
    frames: u64,
    replaced: u64,
    ended: bool,
    warnings: Vec<String>,
}

impl PipeReader {
    pub fn open(mut pipe: Box<dyn Read + Send>, raw: Option<RawFormat>) -> Result<(Self, StreamInfo)> {
        let mut warnings = Vec::new();
        let (format, codec, frame_bytes, sample_rate, channels, remaining) = match raw {
            Some(raw) => {
                check_stream(raw.sample_rate, raw.channels)?;
                let (format, codec, width) = raw.encoding.format();
                (format, codec.to_string(), width * raw.channels, raw.sample_rate, raw.channels, None)
            }
            None => {
                let (fmt, remaining) = wav_header(&mut pipe)?;
                check_stream(fmt.sample_rate, usize::from(fmt.channels))?;
                let (format, codec, frame_bytes) = fmt.decoder(None, 0)?;
                if let Format::Adpcm { .. } = format {
                    let message = "the stream holds ADPCM, which is not read from a pipe; save it to a file and name it";
                    return Err(Error::new(ErrorKind::UnsupportedCodec, message));
                }
                (format, codec, frame_bytes, fmt.sample_rate, usize::from(fmt.channels), remaining)
            }
        };
        if remaining == Some(0) {
            warnings.push("the header promises no sound".to_string());
        }
        let container = if raw.is_some() { "raw" } else { "wav" }.to_string();
        let info = StreamInfo { container, codec, sample_rate, channels };
        let reader = Self {
            pipe,
            format,
            channels,
            frame_bytes,
            remaining,
            bytes: Vec::new(),
            frames: 0,
            replaced: 0,
            ended: false,
            warnings,
        };
        Ok((reader, info))
    }

    pub fn num_samples(&self) -> u64 {
        self.frames
    }

    /// Replaces `block` by what the pipe has, at least one frame; `false` at the end.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        block.clear();
        let most = (BLOCK_SAMPLES / self.channels).max(1) * self.frame_bytes;
        while !self.ended && block.is_empty() {
            let have = self.bytes.len();
            let wanted = self.remaining.map_or(most, |left| most.min(left as usize));
            self.bytes.resize(have + wanted, 0);
            let read = read_some(&mut self.pipe, &mut self.bytes[have..])?;
            self.bytes.truncate(have + read);
            self.remaining = self.remaining.map(|left| left - read as u64);
            if read == 0 {
                self.finish()?;
            }
            let whole = self.bytes.len() / self.frame_bytes * self.frame_bytes;
            convert(&self.format, &self.bytes[..whole], block);
            self.bytes.drain(..whole);
        }
        for sample in block.iter_mut().filter(|x| x.is_nan() || x.abs() > MAX_AMPLITUDE) {
            *sample = 0.0;
            self.replaced += 1;
        }
        self.frames += (block.len() / self.channels) as u64;
        Ok(!block.is_empty())
    }

    fn finish(&mut self) -> Result<()> {
        self.ended = true;
        if !self.bytes.is_empty() {
            let (left, whole) = (self.bytes.len(), self.frame_bytes);
            self.warnings.push(format!(
                "the stream stops in the middle of a sample: its last {left} of {whole} bytes are left out"
            ));
        }
        match self.remaining {
            Some(0) => {
                // What follows the sound: chunks that nobody needs, or another recording.
                let mut next = [0; 4];
                if read_whole(&mut self.pipe, &mut next)? == 4 && next == *b"RIFF" {
                    self.warnings.push(
                        "another recording follows in the stream, perhaps at another sample rate; only the first is read"
                            .to_string(),
                    );
                }
            }
            Some(left) => self.warnings.push(format!("the stream ends {left} bytes before its header says")),
            None => {}
        }
        Ok(())
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if self.replaced > 0 {
            let samples = self.replaced;
            warnings.push(format!("{samples} samples replaced by 0: not a number, infinite or out of range"));
        }
        warnings
    }
}

impl RawEncoding {
    /// ffmpeg's name, and bytes of a sample.
    fn format(self) -> (Format, &'static str, usize) {
        match self {
            Self::U8 => (Format::U8, "pcm_u8", 1),
            Self::S16le => (Format::S16, "pcm_s16le", 2),
            Self::S24le => (Format::S24, "pcm_s24le", 3),
            Self::S32le => (Format::S32, "pcm_s32le", 4),
            Self::F32le => (Format::F32, "pcm_f32le", 4),
        }
    }
}

/// The format, and how many bytes of sound there are if that is known.
fn wav_header(pipe: &mut dyn Read) -> Result<(Fmt, Option<u64>)> {
    let cut_off = || Error::new(ErrorKind::Damaged, "the stream ends inside its WAV header");
    let mut head = [0; 12];
    match read_whole(pipe, &mut head)? {
        0 => return Err(Error::new(ErrorKind::Empty, "nothing came: the stream is empty")),
        4.. if ![*b"RIFF", *b"RF64", *b"BW64"].contains(&[head[0], head[1], head[2], head[3]]) => {
            let message = "the stream has no WAV header; say what its samples are (--raw-rate, --raw-encoding, \
                           --raw-channels), or send a WAV";
            return Err(Error::new(ErrorKind::UnknownFormat, message));
        }
        12 => {}
        _ => return Err(cut_off()),
    }
    let mut fmt = None;
    let mut long_size = None;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0; 8];
        if read_whole(pipe, &mut head)? < 8 {
            return Err(cut_off());
        }
        let size = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        if head[..4] == *b"data" {
            let fmt = fmt.ok_or_else(|| {
                Error::new(ErrorKind::Damaged, "the WAV header has no format chunk before the sound")
            })?;
            let size = if size == 0xFFFF_FFFF { long_size.unwrap_or(size) } else { size };
            return Ok((fmt, (!UNKNOWN_SIZES.contains(&size)).then_some(size)));
        }
        if size > MAX_SKIPPED || head[..4] == *b"fmt " && size > MAX_FORMAT_CHUNK {
            let message =
                format!("a chunk of {size} bytes stands before the sound; at most {MAX_SKIPPED} are read");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let mut body = vec![0; (size + (size & 1)) as usize];
        if read_whole(pipe, &mut body)? < body.len() {
            return Err(cut_off());
        }
        match &head[..4] {
            b"fmt " => fmt = Some(Fmt::parse(&body)?),
            b"ds64" => long_size = body.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes),
            _ => {}
        }
    }
    Err(Error::new(ErrorKind::Limit, format!("more than {MAX_CHUNKS} chunks stand before the sound")))
}

/// What is there, at least a byte, or nothing at the end.
fn read_some(pipe: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| Error::io(&error, "standard input")),
        }
    }
}

/// All of `buffer`, unless the pipe ends.
fn read_whole(pipe: &mut dyn Read, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match read_some(pipe, &mut buffer[have..])? {
            0 => break,
            read => have += read,
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::super::{AudioOptions, AudioStream, load_audio};
    use super::*;

    /// A pipe that gives so many bytes at a time.
    struct Trickle(std::io::Cursor<Vec<u8>>, usize);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(self.1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn read(bytes: &[u8], raw: Option<RawFormat>, piece: usize) -> Result<(Vec<f32>, super::super::Audio)> {
        let pipe = Trickle(std::io::Cursor::new(bytes.to_vec()), piece);
        let mut stream = AudioStream::from_pipe(pipe, raw, &AudioOptions::default())?;
        let (mut all, mut block) = (Vec::new(), Vec::new());
        while stream.next_block(&mut block)? {
            all.extend_from_slice(&block);
        }
        Ok((all, stream.finish()?))
    }

    fn seven() -> Vec<u8> {
        std::fs::read("assets/seven.wav").unwrap()
    }

    #[test]
    fn a_wav_stream_is_what_the_file_is_however_it_trickles_in() {
        let file = load_audio("assets/seven.wav".as_ref(), &AudioOptions::default()).unwrap();
        for piece in [1, 3, 1_000, 1 << 20] {
            let (samples, audio) = read(&seven(), None, piece).unwrap();
            assert_eq!(samples, file.signal.samples);
            assert_eq!((audio.num_samples, audio.warnings.len()), (file.num_samples, 0));
        }
        let mut unknown = seven();
        unknown[40..44].copy_from_slice(&[0xFF; 4]);
        assert_eq!(read(&unknown, None, 100).unwrap().0, file.signal.samples);
        let raw = RawFormat { sample_rate: 8_000, channels: 1, encoding: RawEncoding::S16le };
        assert_eq!(read(&seven()[44..], Some(raw), 7).unwrap().0, file.signal.samples);
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let warning = |bytes: &[u8]| read(bytes, None, 100).unwrap().1.warnings.join("; ");
        let odd = warning(&seven()[..1_001]);
        assert!(
            odd.contains("in the middle of a sample: its last 1 of 2 bytes")
                && odd.contains("before its header")
        );
        assert!(warning(&[seven(), seven()].concat()).contains("another recording follows"));
        let error = |bytes: &[u8]| read(bytes, None, 100).unwrap_err();
        assert_eq!(error(b"").kind, ErrorKind::Empty);
        assert!(error(&seven()[..7]).message.contains("inside its WAV header"));
        assert!(error(&seven()[..30]).message.contains("inside its WAV header"));
        assert!(error(b"fLaC and more bytes").message.contains("--raw-rate"));
        let mut huge = seven();
        huge[16..20].copy_from_slice(&[0xF0; 4]);
        assert_eq!(error(&huge).kind, ErrorKind::Limit);
        assert_eq!(error(&seven()[..44]).kind, ErrorKind::Empty);
    }
}
