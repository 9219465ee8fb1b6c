//! WAV (RIFF, RF64, BW64) by hand: plain PCM, float, A-law, mu-law directly, ADPCM through Symphonia.
//!
//! Real recorders write wrong sizes: 0 or 0xFFFFFFFF for a stream, a size never filled in after a crash, a
//! file cut short. Ready-made readers refuse these; here what is there is read, and the difference is said.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use symphonia::core::audio::layouts;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS};
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use super::limits::{BLOCK_SAMPLES, MAX_CHUNKS, MAX_FORMAT_CHUNK};
use super::reader::{Step, StreamInfo, check_stream};
use crate::error::Position;
use crate::{Error, ErrorKind, Result};

/// Sizes that writers put where they cannot seek back: the data runs to the end of the file.
pub(super) const UNKNOWN_SIZES: [u64; 2] = [0, 0xFFFF_FFFF];

pub(super) struct WavSource {
    file: File,
    format: Format,
    channels: usize,
    /// Bytes of one frame, or of one ADPCM block.
    block_align: usize,
    /// Bytes of the data chunk that are there and not yet read.
    remaining: u64,
    /// Fewer bytes came than the file had when it was opened.
    shrunk: bool,
    bytes: Vec<u8>,
    warnings: Vec<String>,
}

/// How samples are stored, all little-endian.
pub(super) enum Format {
    U8,
    S16,
    S24,
    /// 24 bits in the low part of 4 bytes, not by the book but met.
    S24Low,
    S32,
    S64,
    F32,
    F64,
    Law(Box<[f32; 256]>),
    Adpcm {
        decoder: Box<dyn AudioDecoder>,
        frames_per_block: usize,
        frames_left: u64,
    },
}

impl WavSource {
    /// Reads the header. `start` is where `RIFF` stands. Errors: `Damaged`, `Empty`, `UnsupportedCodec`.
    pub fn open(mut file: File, start: u64) -> Result<(Self, StreamInfo)> {
        let io = |e: std::io::Error| Error::io(&e, "");
        let file_len = file.metadata().map_err(io)?.len();
        let mut head = [0; 12];
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        file.read_exact(&mut head).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("the file ends inside the WAV header"),
            _ => io(error),
        })?;

        let mut fmt: Option<Fmt> = None;
        let mut data_size_64 = None;
        let mut fact_frames = None;
        let mut position = start + 12;
        for _ in 0..MAX_CHUNKS {
            let Some((id, size)) = chunk_header(&mut file, position, file_len).map_err(io)? else { break };
            let body = position + 8;
            match &id {
                b"ds64" => {
                    let bytes = read_at(&mut file, body, size.min(24)).map_err(io)?;
                    data_size_64 =
                        bytes.get(8..16).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
                }
                b"fmt " if fmt.is_none() => {
                    fmt =
                        Some(Fmt::parse(&read_at(&mut file, body, size.min(MAX_FORMAT_CHUNK)).map_err(io)?)?);
                }
                b"fact" => {
                    let bytes = read_at(&mut file, body, size.min(4)).map_err(io)?;
                    fact_frames = bytes.try_into().ok().map(u32::from_le_bytes);
                }
                b"data" => {
                    let Some(fmt) = fmt else {
                        return Err(damaged("the WAV header has no format chunk before the sound")
                            .at(Position::Byte(position)));
                    };
                    let size = if size == 0xFFFF_FFFF { data_size_64.unwrap_or(size) } else { size };
                    return Self::start(file, fmt, body, size, file_len, fact_frames);
                }
                _ => {}
            }
            // Chunks are padded to even lengths.
            position = body.saturating_add(size).saturating_add(size & 1);
        }
        Err(match fmt {
            None => damaged("the WAV header ends before its format chunk: the file was cut short"),
            Some(_) => {
                Error::new(ErrorKind::Empty, "the WAV file holds no sound: it has a header but no data chunk")
            }
        })
    }

    fn start(
        mut file: File,
        fmt: Fmt,
        body: u64,
        declared: u64,
        file_len: u64,
        fact_frames: Option<u32>,
    ) -> Result<(Self, StreamInfo)> {
        let io = |e: std::io::Error| Error::io(&e, "");
        check_stream(fmt.sample_rate, usize::from(fmt.channels))?;
        let there = file_len.saturating_sub(body);
        let mut warnings = Vec::new();
        let remaining = if UNKNOWN_SIZES.contains(&declared) {
            if declared == 0 && only_chunks_follow(&mut file, body, file_len).map_err(io)? {
                0
            } else {
                there
            }
        } else {
            declared.min(there)
        };
        let (format, codec, block_align) = fmt.decoder(fact_frames, remaining)?;
        if let Format::Adpcm { .. } = format {
            let rest = remaining % block_align as u64;
            if rest > 0 {
                warnings.push(format!(
                    "the last block is cut short ({rest} of {block_align} bytes) and left out"
                ));
            }
        } else if usize::from(fmt.block_align) != block_align {
            warnings.push(format!(
                "the header contradicts itself: {} of {} bits in {} bytes; taken for {codec}",
                super::mix::count(usize::from(fmt.channels), "channel"),
                fmt.bits,
                fmt.block_align
            ));
        }
        if declared > there && !UNKNOWN_SIZES.contains(&declared) {
            warnings.push(format!(
                "the header promises {declared} bytes of sound, the file holds {there}: it was cut short, or its \
                 header was never completed"
            ));
        }
        if remaining < block_align as u64 && !matches!(format, Format::Adpcm { .. }) {
            return Err(Error::new(
                ErrorKind::Empty,
                "the WAV file holds no sound: it has a header but no samples",
            ));
        }
        file.seek(SeekFrom::Start(body)).map_err(io)?;
        let info = StreamInfo {
            container: "wav".into(),
            codec,
            sample_rate: fmt.sample_rate,
            channels: usize::from(fmt.channels),
        };
        let channels = info.channels;
        let bytes = Vec::new();
        Ok((Self { file, format, channels, block_align, remaining, shrunk: false, bytes, warnings }, info))
    }

    /// Fills `block` with interleaved samples.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Step {
        let frame_bytes = self.block_align;
        let frames = match &self.format {
            Format::Adpcm { .. } => 1,
            _ => (BLOCK_SAMPLES / self.channels).max(1),
        };
        let wanted = ((frames * frame_bytes) as u64).min(self.remaining);
        self.bytes.clear();
        if let Err(error) = (&mut self.file).take(wanted).read_to_end(&mut self.bytes) {
            return Step::Failed(error);
        }
        self.shrunk |= (self.bytes.len() as u64) < wanted;
        self.remaining = if self.shrunk { 0 } else { self.remaining - wanted };
        let end = if self.shrunk {
            Step::Broken("the file became shorter while it was read".into())
        } else {
            Step::End
        };
        // A last ADPCM block cut short cannot be decoded by halves.
        if self.bytes.len() < frame_bytes {
            return end;
        }
        if let Format::Adpcm { decoder, frames_per_block, frames_left } = &mut self.format {
            return decode_adpcm(decoder.as_mut(), *frames_per_block, frames_left, &self.bytes, block);
        }
        let whole = self.bytes.len() / frame_bytes * frame_bytes;
        convert(&self.format, &self.bytes[..whole], block);
        Step::Block
    }

    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

pub(super) fn convert(format: &Format, bytes: &[u8], block: &mut Vec<f32>) {
    match format {
        Format::U8 => block.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
        Format::Law(table) => block.extend(bytes.iter().map(|&b| table[usize::from(b)])),
        Format::S16 => words(bytes, block, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0),
        Format::S24 => {
            words(bytes, block, |[a, b, c]| i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0)
        }
        Format::S24Low => {
            words(bytes, block, |[a, b, c, _]| i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0);
        }
        Format::S32 => words(bytes, block, |b| i32::from_le_bytes(b) as f32 / 2_147_483_648.0),
        Format::S64 => {
            words(bytes, block, |b| (i64::from_le_bytes(b) as f64 / 9_223_372_036_854_775_808.0) as f32)
        }
        Format::F32 => words(bytes, block, f32::from_le_bytes),
        Format::F64 => words(bytes, block, |b| f64::from_le_bytes(b) as f32),
        Format::Adpcm { .. } => {}
    }
}

fn words<const N: usize>(bytes: &[u8], block: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
    let (words, _) = bytes.as_chunks::<N>();
    block.extend(words.iter().map(|&word| convert(word)));
}

fn decode_adpcm(
    decoder: &mut dyn AudioDecoder,
    frames_per_block: usize,
    frames_left: &mut u64,
    bytes: &[u8],
    block: &mut Vec<f32>,
) -> Step {
    if *frames_left == 0 {
        return Step::End;
    }
    let packet = PacketRef::new(0, Timestamp::new(0), Duration::new(frames_per_block as u64), bytes);
    match decoder.decode_ref(&packet) {
        Ok(audio) => {
            let channels = audio.num_planes().max(1);
            audio.copy_to_vec_interleaved(block);
            let frames = (block.len() / channels).min(usize::try_from(*frames_left).unwrap_or(usize::MAX));
            block.truncate(frames * channels);
            *frames_left -= frames as u64;
            Step::Block
        }
        Err(error) => Step::Broken(format!("{error}")),
    }
}

/// The format chunk.
pub(super) struct Fmt {
    tag: u16,
    pub channels: u16,
    pub sample_rate: u32,
    block_align: u16,
    bits: u16,
    /// Bytes that follow the common part, of an ADPCM format.
    extra: Vec<u8>,
}

impl Fmt {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let short = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let (Some(mut tag), Some(channels), Some(block_align), Some(rate)) =
            (short(0), short(2), short(12), bytes.get(4..8))
        else {
            return Err(damaged("the format chunk of the WAV header is cut short"));
        };
        let sample_rate = u32::from_le_bytes([rate[0], rate[1], rate[2], rate[3]]);
        let bits = match (tag, short(14)) {
            (3, Some(0)) => 32,
            (_, bits) => bits.unwrap_or(8),
        };
        // Extensible: the true format is at the start of the GUID.
        if tag == 0xFFFE {
            tag = short(24).unwrap_or(1);
        }
        Ok(Self {
            tag,
            channels,
            sample_rate,
            block_align,
            bits,
            extra: bytes.get(18..).unwrap_or_default().to_vec(),
        })
    }

    /// The way to decode, ffmpeg's name of it, and the bytes of one frame or block.
    pub fn decoder(&self, fact_frames: Option<u32>, data_bytes: u64) -> Result<(Format, String, usize)> {
        let channels = usize::from(self.channels);
        let align = usize::from(self.block_align);
        // How many bytes a sample is stored in: where bits and block size contradict each other, the bits count, as in
        // ffmpeg, but 24 bits in 4 bytes are met, and an odd number of bits says little.
        let by_bits = usize::from(self.bits).div_ceil(8);
        let by_align = if align % channels.max(1) == 0 { align / channels.max(1) } else { 0 };
        let width = match (self.bits, by_align) {
            (24, 4) => 4,
            (bits, 1..=8) if (bits == 0 || bits % 8 != 0) && by_align >= by_bits => by_align,
            _ => by_bits,
        };
        let (format, codec) = match (self.tag, width, self.bits) {
            (1, 1, _) => (Format::U8, "pcm_u8"),
            (1, 2, _) => (Format::S16, "pcm_s16le"),
            (1, 3, _) => (Format::S24, "pcm_s24le"),
            (1, 4, 24) => (Format::S24Low, "pcm_s24le"),
            (1, 4, _) => (Format::S32, "pcm_s32le"),
            (1, 8, 33..) => (Format::S64, "pcm_s64le"),
            (3, 4, _) => (Format::F32, "pcm_f32le"),
            (3, 8, _) => (Format::F64, "pcm_f64le"),
            (6, 1, _) => (Format::Law(Box::new(std::array::from_fn(|i| a_law(i as u8)))), "pcm_alaw"),
            (7, 1, _) => (Format::Law(Box::new(std::array::from_fn(|i| mu_law(i as u8)))), "pcm_mulaw"),
            (2 | 0x11, _, 4) if channels <= 2 && align > 0 => return self.adpcm(fact_frames, data_bytes),
            (tag, ..) => {
                return Err(Error::new(
                    ErrorKind::UnsupportedCodec,
                    format!(
                        "the WAV file holds {}, which Percept cannot decode itself",
                        tag_name(tag, self.bits)
                    ),
                ));
            }
        };
        Ok((format, codec.into(), width * channels))
    }

    fn adpcm(&self, fact_frames: Option<u32>, data_bytes: u64) -> Result<(Format, String, usize)> {
        let unsupported = |codec: &str| {
            let message = format!("the WAV file holds {codec} of a kind that Percept cannot decode itself");
            Error::new(ErrorKind::UnsupportedCodec, message)
        };
        let channels = usize::from(self.channels);
        let align = usize::from(self.block_align);
        // A block is a header with the first one or two samples of each channel, then 4 bits a sample.
        let (id, codec, header, first) = match self.tag {
            2 => (CODEC_ID_ADPCM_MS, "adpcm_ms", 7, 2),
            _ => (CODEC_ID_ADPCM_IMA_WAV, "adpcm_ima_wav", 4, 1),
        };
        let coded = align.checked_sub(header * channels).ok_or_else(|| unsupported(codec))?;
        let frames_per_block = coded * 2 / channels + first;
        let declared = self.extra.get(..2).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
        if declared.is_some_and(|declared| declared != 0 && declared != frames_per_block) {
            return Err(unsupported(codec));
        }
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(id)
            .with_sample_rate(self.sample_rate)
            .with_bits_per_sample(16)
            .with_bits_per_coded_sample(4)
            .with_max_frames_per_packet(frames_per_block as u64)
            .with_frames_per_block(frames_per_block as u64)
            .with_channels(if channels == 1 {
                layouts::CHANNEL_LAYOUT_MONO
            } else {
                layouts::CHANNEL_LAYOUT_STEREO
            });
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&parameters, &Default::default())
            .map_err(|_| unsupported(codec))?;
        // The fact chunk says where the padding of the last block starts. A wild number is not believed.
        let whole = data_bytes / align as u64 * frames_per_block as u64;
        let frames_left = match fact_frames.map(u64::from) {
            Some(frames) if frames > 0 && frames <= whole && whole - frames < frames_per_block as u64 => {
                frames
            }
            _ => whole,
        };
        Ok((Format::Adpcm { decoder, frames_per_block, frames_left }, codec.into(), align))
    }
}

/// ITU-T G.711 A-law, to full scale 1.
fn a_law(code: u8) -> f32 {
    let code = code ^ 0x55;
    let mantissa = i32::from(code & 0x0F) * 2 + 1;
    let magnitude = match (code >> 4) & 7 {
        0 => mantissa * 8,
        segment => (mantissa + 32) << (segment + 2),
    };
    (if code & 0x80 != 0 { magnitude } else { -magnitude }) as f32 / 32_768.0
}

/// ITU-T G.711 mu-law, to full scale 1.
fn mu_law(code: u8) -> f32 {
    let code = !code;
    let magnitude = (((i32::from(code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
    (if code & 0x80 != 0 { -magnitude } else { magnitude }) as f32 / 32_768.0
}

fn tag_name(tag: u16, bits: u16) -> String {
    match tag {
        1 | 3 => format!("samples of {bits} bits"),
        0x02 => "adpcm_ms".into(),
        0x11 => "adpcm_ima_wav".into(),
        0x31 => "gsm_ms".into(),
        0x45 | 0x64 => "adpcm_g726".into(),
        0x50 => "mp2".into(),
        0x55 => "mp3".into(),
        0xFF | 0x1600 | 0x1610 => "aac".into(),
        0x160..=0x163 => "wma".into(),
        0x2000 => "ac3".into(),
        0x2001 => "dts".into(),
        other => format!("format 0x{other:04x}"),
    }
}

fn damaged(message: &str) -> Error {
    Error::new(ErrorKind::Damaged, message)
}

/// Name and declared size of the chunk at `position`, or `None` where the file ends.
pub(super) fn chunk_header(
    file: &mut File,
    position: u64,
    file_len: u64,
) -> std::io::Result<Option<([u8; 4], u64)>> {
    if position.saturating_add(8) > file_len {
        return Ok(None);
    }
    let bytes = read_at(file, position, 8)?;
    let (Some(id), Some(size)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) else { return Ok(None) };
    Ok((bytes.len() == 8).then_some((*id, u64::from(u32::from_le_bytes(*size)))))
}

/// Whether a run of well-formed chunks leads from `position` to exactly the end of the file.
fn only_chunks_follow(file: &mut File, mut position: u64, file_len: u64) -> std::io::Result<bool> {
    for _ in 0..MAX_CHUNKS {
        match chunk_header(file, position, file_len)? {
            None => return Ok(position >= file_len),
            Some((id, _)) if !id.iter().all(|c| c.is_ascii_graphic() || *c == b' ') => return Ok(false),
            Some((_, size)) => position = position.saturating_add(8 + size + (size & 1)),
        }
    }
    Ok(false)
}

/// At most `length` bytes from `position` on.
pub(super) fn read_at(file: &mut File, position: u64, length: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::AudioReader;
    use crate::media::{SampleFormat, write_wav_as};
    use crate::signal::Signal;

    #[test]
    fn a_file_that_becomes_shorter_while_it_is_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wav");
        let samples = vec![0.1; 3 * BLOCK_SAMPLES];
        write_wav_as(&path, &Signal { samples, sample_rate: 8000 }, SampleFormat::S16).unwrap();
        let mut reader = AudioReader::open(&path, None).unwrap();
        let mut block = Vec::new();
        assert!(reader.next_block(&mut block).unwrap());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(44 + 2 * BLOCK_SAMPLES as u64 + 1001)
            .unwrap();
        while reader.next_block(&mut block).unwrap() {}
        assert_eq!(reader.num_samples(), BLOCK_SAMPLES as u64 + 500);
        let [warning] = reader.warnings() else { panic!("{:?}", reader.warnings()) };
        assert!(
            warning.contains("ends early, at sample 66036") && warning.contains("became shorter"),
            "{warning}"
        );
    }
}
