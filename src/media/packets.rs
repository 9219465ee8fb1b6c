//! Containers and packet codecs through Symphonia, with Opus packets handed to `opus`.

use std::fs::File;
use std::path::Path;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::*;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::default::formats as read;

use super::limits::{BLOCK_SAMPLES, MAX_GAP_SECONDS, MAX_SILENCE_SECONDS, MAX_TRACKS, MAX_TRAILING_TAG};
use super::reader::{Step, StreamInfo, check_stream, no_such_track, place};
use super::sniff::Container;
use super::source::{OffsetFile, flac_sound_bytes, without_tags};
use super::{mp4, opus};
use crate::error::is_of_the_system;
use crate::guard::guard;
use crate::{Error, ErrorKind, Result};

type Format = Box<dyn FormatReader>;

/// Opens the container that starts at byte `start`.
pub(super) fn open(file: File, start: u64, container: Container, path: &Path) -> Result<Format> {
    let source = match container {
        Container::Flac => without_tags(file, start),
        _ => OffsetFile::new(file, Vec::new(), start),
    }
    .map_err(|e| Error::io(&e, path))?;
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let options = FormatOptions::default();
    let opened = guarded(|| -> symphonia::core::errors::Result<Format> {
        Ok(match container {
            Container::Flac => Box::new(read::FlacReader::try_new(stream, options)?),
            Container::Ogg => Box::new(read::OggReader::try_new(stream, options)?),
            Container::Mp4 => Box::new(read::IsoMp4Reader::try_new(stream, options)?),
            Container::Matroska | Container::WebM => Box::new(read::MkvReader::try_new(stream, options)?),
            Container::Aiff => Box::new(read::AiffReader::try_new(stream, options)?),
            Container::Caf => Box::new(read::CafReader::try_new(stream, options)?),
            Container::MpegAudio => Box::new(read::MpaReader::try_new(stream, options)?),
            Container::Adts => Box::new(read::AdtsReader::try_new(stream, options)?),
            _ => {
                return Err(SymphoniaError::Unsupported("container"));
            }
        })
    });
    let format = opened.map_err(|what| {
        if let Some(error) = what.of_the_system() {
            return Error::io(error, path);
        }
        let mut error = cannot(&what, container_name(container));
        if container == Container::Mp4
            && let Ok(Some(coding)) = mp4::picture_coding(path)
        {
            error.message.push_str(&format!("; its video is {coding}"));
        }
        error
    })?;
    if format.tracks().len() > MAX_TRACKS {
        let message = format!("the file has {} tracks, more than {MAX_TRACKS}", format.tracks().len());
        return Err(Error::new(ErrorKind::Limit, message));
    }
    Ok(format)
}

/// The audio tracks, in the file's order.
pub(super) fn audio_tracks(
    format: &dyn FormatReader,
) -> impl Iterator<Item = (&Track, &AudioCodecParameters)> {
    format.tracks().iter().filter_map(|track| match &track.codec_params {
        Some(CodecParameters::Audio(parameters)) => Some((track, parameters)),
        _ => None,
    })
}

/// Whether the codec of every track is known by name.
pub(super) fn all_known(format: &dyn FormatReader) -> bool {
    !format.tracks().is_empty() && format.tracks().iter().all(|track| track.codec_params.is_some())
}

/// Whether audio track `asked` is the same for Percept and ffmpeg: a track of an unknown codec before it may be
/// another audio track, which ffmpeg counts.
fn check_number(format: &dyn FormatReader, asked: usize) -> Result<()> {
    let mut audio = 0;
    for track in format.tracks() {
        match &track.codec_params {
            Some(CodecParameters::Audio(_)) if audio == asked => return Ok(()),
            Some(CodecParameters::Audio(_)) => audio += 1,
            Some(_) => {}
            None => {
                let message = format!(
                    "a track of a codec that Percept does not know leaves open which one is audio track {}",
                    asked.saturating_add(1)
                );
                return Err(Error::new(ErrorKind::UnsupportedCodec, message));
            }
        }
    }
    Ok(())
}

/// Position of the default track among the audio tracks.
pub(super) fn default_track(format: &dyn FormatReader) -> usize {
    let id = format.default_track(TrackType::Audio).map(|track| track.id);
    audio_tracks(format).position(|(track, _)| Some(track.id) == id).unwrap_or(0)
}

pub(super) struct PacketSource {
    format: Format,
    track: u32,
    decoder: Decoder,
    codec: AudioCodecId,
    sample_rate: u32,
    channels: usize,
    /// Samples of one tick of the track's clock, as a fraction.
    ticks: (u64, u64),
    /// The first decoded block, until it is asked for.
    held: Vec<f32>,
    /// Frames of silence due before `held`, in the place of damaged packets.
    silence: u64,
    /// Frames still to drop at the start, and to give at most (encoder delay and padding).
    skip: u64,
    take: u64,
    frames: u64,
    /// Time stamp at which the next packet is due, where one tick is one sample.
    due: Option<i64>,
    losses: Losses,
    /// What the header promises, where it is exact.
    declared: Option<u64>,
    /// Bytes of sound that the file should hold, less those of the packets so far.
    unread: Option<u64>,
}

/// Packets that were damaged or are missing.
#[derive(Default)]
struct Losses {
    count: usize,
    /// Silence given in their place. Behind the last sound there is none.
    frames: u64,
    first: u64,
    reason: String,
}

enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<opus::Decoder>),
}

/// One turn of the demultiplexer.
enum Turn {
    /// `held` has samples.
    Decoded,
    /// A packet gave nothing, or was damaged and noted.
    Nothing,
    Stop(Step),
}

impl PacketSource {
    /// Picks the track, makes the decoder, and decodes up to the first good packet, which alone tells the
    /// true rate and number of channels.
    pub fn open(
        format: Format,
        container: Container,
        path: &Path,
        start: u64,
        audio_track: Option<usize>,
    ) -> Result<(Self, StreamInfo)> {
        if let Some(asked) = audio_track {
            check_number(format.as_ref(), asked)?;
        }
        let tracks = audio_tracks(format.as_ref()).count();
        if tracks == 0 {
            return Err(no_audio(format.as_ref()));
        }
        let chosen = audio_track.unwrap_or_else(|| default_track(format.as_ref()));
        let (track, parameters) =
            audio_tracks(format.as_ref()).nth(chosen).ok_or_else(|| no_such_track(chosen, tracks))?;
        let mut parameters = parameters.clone();
        if container == Container::Mp4
            && let Some(big_endian) = big_endian(parameters.codec)
            && mp4::is_big_endian_pcm(path, track.id)?
        {
            parameters.codec = big_endian;
        }
        let parameters = &parameters;
        let codec = codec_name(parameters.codec);
        let decoder = make_decoder(parameters).map_err(|what| cannot(&what, &codec))?;
        let edit = match container {
            Container::Mp4 => mp4::edit(path, track.id, chosen)?,
            _ => None,
        };
        let pre_skip = opus_head(parameters).map_or(0, |head| head.pre_skip);
        let caf_delay = if container == Container::Caf { u64::from(track.delay.unwrap_or(0)) } else { 0 };
        let mut source = Self {
            track: track.id,
            codec: parameters.codec,
            decoder,
            sample_rate: 0,
            channels: 0,
            ticks: track.time_base.map_or((1, 1), |base| {
                let rate = parameters.sample_rate.unwrap_or(0);
                (u64::from(base.numer.get()) * u64::from(rate), u64::from(base.denom.get()))
            }),
            held: Vec::new(),
            silence: 0,
            skip: 0,
            take: u64::MAX,
            frames: 0,
            due: None,
            losses: Losses::default(),
            unread: (container == Container::Flac).then(|| flac_sound_bytes(path, start)).flatten(),
            declared: track.num_frames.filter(|_| container == Container::Flac),
            format,
        };
        let mut first = Step::End;
        loop {
            match source.turn() {
                Turn::Decoded => break,
                Turn::Nothing => {}
                Turn::Stop(step) => {
                    first = step;
                    break;
                }
            }
        }
        if source.held.is_empty() {
            return Err(match first {
                Step::Failed(error) => Error::io(&error, path),
                Step::Broken(what) => cannot(&what, &codec),
                _ if source.losses.count > 0 => {
                    cannot(&format!("malformed stream: {}", source.losses.reason), &codec)
                }
                _ => Error::new(ErrorKind::Empty, format!("the {codec} stream holds no samples")),
            });
        }
        check_stream(source.sample_rate, source.channels)?;
        (source.skip, source.take) = match edit {
            Some(edit) => {
                let skip = edit.start(source.sample_rate).max(pre_skip);
                (skip, edit.length(source.sample_rate).unwrap_or(u64::MAX))
            }
            None => (pre_skip.max(caf_delay), u64::MAX),
        };
        if caf_delay > 0
            && let Some(frames) =
                audio_tracks(source.format.as_ref()).nth(chosen).and_then(|(t, _)| t.num_frames)
        {
            source.take = frames;
        }
        let info = StreamInfo {
            container: container_label(container, &codec),
            codec,
            sample_rate: source.sample_rate,
            channels: source.channels,
        };
        Ok((source, info))
    }

    /// Fills `block` with interleaved samples.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Step {
        loop {
            if self.take == 0 {
                return Step::End;
            }
            if self.held.is_empty() {
                match self.turn() {
                    Turn::Decoded => {}
                    Turn::Nothing => continue,
                    Turn::Stop(step) => return step,
                }
            }
            if self.silence > 0 {
                let frames = self.silence.min((BLOCK_SAMPLES / self.channels).max(1) as u64);
                self.silence -= frames;
                block.resize(frames as usize * self.channels, 0.0);
                self.losses.frames += self.trim(block);
            } else {
                std::mem::swap(block, &mut self.held);
                self.held.clear();
                self.trim(block);
            }
            if !block.is_empty() {
                return Step::Block;
            }
        }
    }

    /// Drops the encoder's delay and padding; gives the number of frames that are left.
    fn trim(&mut self, block: &mut Vec<f32>) -> u64 {
        let frames = (block.len() / self.channels) as u64;
        let skip = self.skip.min(frames);
        self.skip -= skip;
        block.drain(..skip as usize * self.channels);
        let take = (frames - skip).min(self.take);
        block.truncate(take as usize * self.channels);
        if self.take != u64::MAX {
            self.take -= take;
        }
        self.frames += take;
        take
    }

    /// Reads and decodes one packet into `held`; stops where too much is lost.
    fn turn(&mut self) -> Turn {
        let turn = self.packet();
        let silence = self.losses.frames.saturating_add(self.silence);
        if self.sample_rate > 0 && silence > MAX_SILENCE_SECONDS * u64::from(self.sample_rate) {
            self.held.clear();
            let message = format!("more than {MAX_SILENCE_SECONDS} s before this are damaged or missing");
            return Turn::Stop(Step::Broken(message));
        }
        turn
    }

    fn packet(&mut self) -> Turn {
        let format = &mut self.format;
        let packet = match guarded(|| format.next_packet()) {
            Ok(Some(packet)) if packet.track_id == self.track => packet,
            Ok(Some(_)) => return Turn::Nothing,
            Ok(None) => return Turn::Stop(Step::End),
            Err(Failure::Symphonia(SymphoniaError::ResetRequired)) => return self.next_link(),
            Err(Failure::Symphonia(SymphoniaError::IoError(e))) if is_of_the_system(&e) => {
                return Turn::Stop(Step::Failed(e));
            }
            Err(Failure::Symphonia(SymphoniaError::IoError(e)))
                if e.kind() == std::io::ErrorKind::UnexpectedEof =>
            {
                return Turn::Stop(Step::Broken("the file is cut short".into()));
            }
            Err(what) => return Turn::Stop(Step::Broken(what.to_string())),
        };
        self.note_gap(&packet);
        let decoded = self.decode(&packet);
        if let (CODEC_ID_OPUS, Ok((_, channels))) = (self.codec, &decoded) {
            to_wav_order(&mut self.held, *channels);
        }
        // A packet that is larger than its samples would be as they are has swallowed frames that Symphonia
        // did not take for such.
        if let Some(unread) = &mut self.unread {
            *unread +=
                (packet.data.len() as u64).saturating_sub(self.held.len() as u64 * 4 + MAX_TRAILING_TAG);
        }
        match decoded {
            Ok((rate, channels)) if self.held.is_empty() || channels == 0 || rate == 0 => Turn::Nothing,
            Ok((rate, channels)) if self.channels == 0 => {
                (self.sample_rate, self.channels) = (rate, channels);
                Turn::Decoded
            }
            Ok((rate, channels)) if (rate, channels) == (self.sample_rate, self.channels) => Turn::Decoded,
            Ok((rate, channels)) => {
                self.held.clear();
                let (was_rate, was) = (self.sample_rate, self.channels);
                Turn::Stop(Step::Broken(format!(
                    "the sound changes from {was_rate} Hz, {was} channels to {rate} Hz, {channels} channels; split the file there"
                )))
            }
            Err(what) => {
                self.held.clear();
                let (numerator, denominator) = self.ticks;
                let frames =
                    u128::from(packet.dur.get()) * u128::from(numerator) / u128::from(denominator.max(1));
                self.lose(
                    u64::try_from(frames).unwrap_or(u64::MAX).min(BLOCK_SAMPLES as u64),
                    what.to_string(),
                );
                Turn::Nothing
            }
        }
    }

    /// Compares the packet's time stamp with the one that was due. What is missing becomes silence, so that all
    /// that follows keeps its time.
    fn note_gap(&mut self, packet: &Packet) {
        if let Some(unread) = &mut self.unread {
            *unread = unread.saturating_sub(packet.data.len() as u64);
        }
        if self.ticks.0 != self.ticks.1 {
            return;
        }
        let start = packet.pts.get();
        let gap = self.due.map_or(0, |due| start.saturating_sub(due));
        if gap > 0 {
            let gap = gap.unsigned_abs();
            if gap <= MAX_GAP_SECONDS * u64::from(self.sample_rate) {
                self.lose(gap, "a part is missing".into());
            } else {
                self.lose(
                    0,
                    format!("the time stamps jump by {gap} samples, which were not filled with silence"),
                );
            }
        }
        self.due = Some(start.saturating_add_unsigned(packet.block_dur().get()));
    }

    fn lose(&mut self, frames: u64, reason: String) {
        if self.losses.count == 0 {
            self.losses.first = (self.frames + self.silence).saturating_sub(self.skip);
            self.losses.reason = reason;
        }
        self.losses.count += 1;
        self.silence = self.silence.saturating_add(frames);
    }

    /// Decodes into `held`; gives rate and channels.
    fn decode(&mut self, packet: &Packet) -> std::result::Result<(u32, usize), Failure> {
        let held = &mut self.held;
        match &mut self.decoder {
            Decoder::Symphonia(decoder) => guarded(|| {
                let audio = decoder.decode(packet)?;
                audio.copy_to_vec_interleaved(held);
                Ok((audio.spec().rate(), audio.spec().channels().count()))
            }),
            Decoder::Opus(decoder) => {
                let channels = decoder.channels();
                guard(|| decoder.decode(&packet.data, held))
                    .unwrap_or_else(|_| Err("the decoder failed on these bytes".into()))
                    .map_err(Failure::Other)?;
                let end = (packet.trim_end.get() as usize).saturating_mul(channels);
                held.truncate(held.len().saturating_sub(end));
                Ok((opus::SAMPLE_RATE, channels))
            }
        }
    }

    /// The next link of a chained Ogg file begins: it must be the same kind of stream to be one recording.
    fn next_link(&mut self) -> Turn {
        let Some((track, parameters)) = audio_tracks(self.format.as_ref()).next() else {
            return Turn::Stop(Step::End);
        };
        if parameters.codec != self.codec {
            return Turn::Stop(Step::Broken(
                "another codec follows in the same file; split the file there".into(),
            ));
        }
        match make_decoder(parameters) {
            Ok(decoder) => {
                let skip = opus_head(parameters).map_or(0, |head| head.pre_skip);
                (self.track, self.decoder, self.skip) = (track.id, decoder, self.skip + skip);
                self.due = None;
                Turn::Nothing
            }
            Err(what) => Turn::Stop(Step::Broken(what.to_string())),
        }
    }

    /// Known in full after the last block, of `frames` frames in all.
    pub fn warnings(&self, frames: u64) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.losses.count > 0 {
            warnings.push(format!(
                "{} became {:.3} s of silence, the first at {}: {}",
                super::mix::count(self.losses.count, "damaged or missing part"),
                self.losses.frames as f64 / f64::from(self.sample_rate.max(1)),
                place(self.losses.first, self.sample_rate),
                self.losses.reason
            ));
        }
        if let Some(unread) = self.unread.filter(|&unread| unread > MAX_TRAILING_TAG) {
            warnings.push(format!(
                "{unread} bytes of the file could not be decoded: the format changes, or they are damaged"
            ));
        }
        if let Some(declared) = self.declared.filter(|&declared| declared != 0 && declared != frames) {
            warnings.push(format!("the header promises {declared} samples, the file holds {frames}"));
        }
        warnings
    }
}

fn make_decoder(parameters: &AudioCodecParameters) -> std::result::Result<Decoder, Failure> {
    if parameters.codec == CODEC_ID_OPUS {
        return opus_head(parameters)
            .and_then(|head| head.decoder())
            .map(|decoder| Decoder::Opus(Box::new(decoder)))
            .ok_or(Failure::Symphonia(SymphoniaError::Unsupported("opus channel mapping")));
    }
    // Symphonia 0.6.1 undoes several coupling steps in the wrong order: its surround sound is wrong, not only shuffled.
    if parameters.codec == CODEC_ID_VORBIS && parameters.channels.as_ref().is_some_and(|c| c.count() > 2) {
        return Err(Failure::Symphonia(SymphoniaError::Unsupported("vorbis of more than 2 channels")));
    }
    let options = AudioDecoderOptions::default();
    guarded(|| symphonia::default::get_codecs().make_audio_decoder(parameters, &options))
        .map(Decoder::Symphonia)
}

/// Puts the channels of surround frames from the order of Opus (front left, centre, front right, ...)
/// into that of WAV and all others here (front left, front right, centre, subwoofer, back, side).
fn to_wav_order(interleaved: &mut [f32], channels: usize) {
    let order: &[usize] = match channels {
        3 => &[0, 2, 1],
        5 => &[0, 2, 1, 3, 4],
        6 => &[0, 2, 1, 5, 3, 4],
        7 => &[0, 2, 1, 6, 5, 3, 4],
        8 => &[0, 2, 1, 7, 5, 6, 3, 4],
        _ => return,
    };
    let mut frame = [0.0; 8];
    for out in interleaved.chunks_exact_mut(channels) {
        frame[..channels].copy_from_slice(out);
        for (x, &from) in out.iter_mut().zip(order) {
            *x = frame[from];
        }
    }
}

fn big_endian(codec: AudioCodecId) -> Option<AudioCodecId> {
    match codec {
        CODEC_ID_PCM_S24LE => Some(CODEC_ID_PCM_S24BE),
        CODEC_ID_PCM_S32LE => Some(CODEC_ID_PCM_S32BE),
        CODEC_ID_PCM_F32LE => Some(CODEC_ID_PCM_F32BE),
        CODEC_ID_PCM_F64LE => Some(CODEC_ID_PCM_F64BE),
        _ => None,
    }
}

fn opus_head(parameters: &AudioCodecParameters) -> Option<opus::Head> {
    let extra = parameters.extra_data.as_deref().filter(|_| parameters.codec == CODEC_ID_OPUS)?;
    opus::Head::parse(extra)
}

fn no_audio(format: &dyn FormatReader) -> Error {
    if format.tracks().iter().any(|track| track.codec_params.is_none()) {
        let what = "the file holds no audio track of a codec that Percept knows by itself";
        return Error::new(ErrorKind::UnsupportedCodec, what);
    }
    let video = format.tracks().iter().any(|track| track.track_type() == Some(TrackType::Video));
    let what =
        if video { "the file holds pictures but no audio track" } else { "the file holds no audio track" };
    Error::new(ErrorKind::Empty, what)
}

/// Why Symphonia did not go on.
pub(super) enum Failure {
    Symphonia(SymphoniaError),
    Other(String),
}

impl Failure {
    /// What the system said of reading, as where a disk fails: it is not the file that is damaged.
    fn of_the_system(&self) -> Option<&std::io::Error> {
        match self {
            Self::Symphonia(SymphoniaError::IoError(error)) => {
                Some(error).filter(|error| is_of_the_system(error))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Symphonia(error) => error.fmt(f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Runs a third-party decoder on outside bytes: a panic in it is a damaged file, not the end of a batch.
fn guarded<T>(run: impl FnOnce() -> symphonia::core::errors::Result<T>) -> std::result::Result<T, Failure> {
    match guard(run) {
        Ok(result) => result.map_err(Failure::Symphonia),
        Err(_) => Err(Failure::Other("the decoder failed on these bytes".into())),
    }
}

/// The error for a stream that gave nothing.
fn cannot(what: &dyn std::fmt::Display, name: &str) -> Error {
    let text = what.to_string();
    let unsupported = text.starts_with("unsupported") && !text.contains("missing");
    let kind = if unsupported { ErrorKind::UnsupportedCodec } else { ErrorKind::Damaged };
    let message = match kind {
        ErrorKind::UnsupportedCodec => format!("Percept cannot decode this {name} stream itself ({text})"),
        _ if text.contains("end of stream") || text.contains("end of file") => {
            format!("the {name} stream is cut short before any sound ({text})")
        }
        _ => format!("the {name} stream is damaged ({text})"),
    };
    Error::new(kind, message)
}

fn container_name(container: Container) -> &'static str {
    match container {
        Container::Wav => "wav",
        Container::Aiff => "aiff",
        Container::Caf => "caf",
        Container::Flac => "flac",
        Container::Ogg => "ogg",
        Container::Mp4 => "mp4",
        Container::Matroska => "mkv",
        Container::WebM => "webm",
        Container::MpegAudio => "mp3",
        Container::Adts => "aac",
        _ => "unknown",
    }
}

/// As `container_name`, where the content makes a difference.
pub(super) fn container_label(container: Container, codec: &str) -> String {
    match container {
        Container::MpegAudio if matches!(codec, "mp1" | "mp2") => codec.into(),
        other => container_name(other).into(),
    }
}

/// ffmpeg's name of a codec.
pub(super) fn codec_name(id: AudioCodecId) -> String {
    let name = match id {
        CODEC_ID_OPUS => "opus",
        CODEC_ID_SPEEX => "speex",
        CODEC_ID_AC3 => "ac3",
        CODEC_ID_EAC3 => "eac3",
        CODEC_ID_AC4 => "ac4",
        CODEC_ID_DCA => "dts",
        CODEC_ID_WMA => "wma",
        CODEC_ID_TRUEHD => "truehd",
        CODEC_ID_TTA => "tta",
        CODEC_ID_WAVPACK => "wavpack",
        CODEC_ID_MONKEYS_AUDIO => "ape",
        CODEC_ID_ADPCM_G722 => "adpcm_g722",
        CODEC_ID_ADPCM_G726 => "adpcm_g726",
        id => match symphonia::default::get_codecs().get_audio_decoder(id) {
            Some(decoder) => decoder.codec.info.short_name,
            None => "unknown",
        },
    };
    name.into()
}
