//! H.264, by Cisco's OpenH264: packets in decoding order in, pictures in the order of time out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::RangeInclusive;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::check_size;
use super::rgb::{self, Colour, Planes};
use super::sps::{Configuration, Sequence, is_sequence, units};
use crate::error::is_of_the_system;
use crate::signal::VideoFrame;
use crate::{Error, ErrorKind, Result};

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Packets whose pictures are still inside: H.264 holds back 16 at most (ITU-T H.264, A.3.1).
const MAX_PENDING: usize = 32;

/// What a container holds between two lengths.
pub(super) struct Packet {
    pub bytes: Vec<u8>,
    /// When its picture is shown.
    pub ticks: i64,
}

/// Why there is no next packet although the video has not come to its end.
pub(super) enum Stop {
    /// What comes before is good.
    Early(String),
    /// The system cannot read on: it is not the file that is damaged.
    Failed(Error),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        if is_of_the_system(&error) {
            Self::Failed(Error::io(&error, ""))
        } else {
            Self::Early("the file is cut off".into())
        }
    }
}

/// The frames of a stream of packets. What cannot be decoded is left out, with a warning at the end.
pub(super) struct Frames {
    decoder: H264,
    /// Times of the pictures that are to be seen: the others are only decoded.
    shown: RangeInclusive<i64>,
    /// Decoded, not yet given.
    ready: VecDeque<VideoFrame>,
    packets: usize,
    left_out: usize,
    /// Why the first was left out.
    first_left_out: Option<String>,
    finished: bool,
}

impl Frames {
    /// # Errors
    /// [`ErrorKind::UnsupportedCodec`] for what OpenH264 does not decode: more than 8 bits, other than 4:2:0, interlaced.
    pub fn new(configuration: &Configuration, shown: RangeInclusive<i64>) -> Result<Self> {
        Ok(Self {
            decoder: H264::new(configuration)?,
            shown,
            ready: VecDeque::new(),
            packets: 0,
            left_out: 0,
            first_left_out: None,
            finished: false,
        })
    }

    /// `packet` gives one after another, `None` at the end.
    ///
    /// # Errors
    /// That of [`Stop::Failed`].
    pub fn next(
        &mut self,
        warnings: &mut Vec<String>,
        mut packet: impl FnMut() -> std::result::Result<Option<Packet>, Stop>,
    ) -> Result<Option<VideoFrame>> {
        while self.ready.is_empty() && !self.finished {
            let decoded = match packet() {
                Ok(Some(packet)) => {
                    self.packets += 1;
                    // OpenH264 drops what it holds where the size changes.
                    if self.decoder.starts_anew(&packet) {
                        let before = self.decoder.finish().unwrap_or_default();
                        self.ready
                            .extend(before.into_iter().filter(|frame| self.shown.contains(&frame.ticks)));
                    }
                    self.decoder.push(&packet).map(Vec::from_iter)
                }
                Err(Stop::Failed(error)) => return Err(error),
                end => {
                    if let Err(Stop::Early(why)) = end {
                        let number = self.packets + 1;
                        warnings.push(format!("the video ends early, at frame {number}: {why}"));
                    }
                    self.finished = true;
                    self.decoder.finish()
                }
            };
            match decoded {
                Ok(frames) => {
                    let frames = frames.into_iter().filter(|frame| self.shown.contains(&frame.ticks));
                    self.ready.extend(frames);
                }
                Err(error) => {
                    self.left_out += 1;
                    self.first_left_out
                        .get_or_insert_with(|| format!("frame {}: {}", self.packets, error.message));
                }
            }
        }
        if let Some(first) = self.first_left_out.take_if(|_| self.finished) {
            let count = self.left_out;
            warnings.push(format!("{count} frames cannot be decoded and are left out, the first {first}"));
        }
        Ok(self.ready.pop_front())
    }
}

struct H264 {
    decoder: Decoder,
    length_size: usize,
    colour: Colour,
    /// The sequence parameter set that counts.
    sequence: Vec<u8>,
    /// What the next packet starts with: the parameter sets, before the first.
    bytes: Vec<u8>,
    /// Times of the packets whose pictures have not come out.
    pending: BinaryHeap<Reverse<i64>>,
}

impl H264 {
    fn new(configuration: &Configuration) -> Result<Self> {
        let sets = &configuration.parameter_sets;
        let sequences: Vec<Sequence> = sets.iter().filter_map(|set| Sequence::parse(set)).collect();
        if let Some(what) = sequences.iter().find_map(|sequence| sequence.unsupported) {
            let message = format!("this is H.264 {what}, which Percept does not decode");
            return Err(Error::new(ErrorKind::UnsupportedCodec, message));
        }
        // The default flushes after each packet, and loses the pictures that are to be shown later.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|error| Error::new(ErrorKind::Internal, format!("OpenH264 does not start: {error}")))?;
        Ok(Self {
            decoder,
            length_size: configuration.length_size,
            sequence: sets.iter().find(|set| is_sequence(set)).cloned().unwrap_or_default(),
            colour: sequences.first().map(|sequence| sequence.colour).unwrap_or_default(),
            bytes: sets.iter().flat_map(|set| START_CODE.iter().chain(set)).copied().collect(),
            pending: BinaryHeap::new(),
        })
    }

    /// Whether the packet brings another sequence parameter set, which counts from now on.
    fn starts_anew(&mut self, packet: &Packet) -> bool {
        let found = units(&packet.bytes, self.length_size).map_while(std::result::Result::ok);
        match found.filter(|unit| is_sequence(unit)).last() {
            Some(sequence) if sequence != self.sequence => {
                self.sequence = sequence.to_vec();
                true
            }
            _ => false,
        }
    }

    /// Gives a picture that is now complete.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`]: the packet gave no picture, what follows may.
    fn push(&mut self, packet: &Packet) -> Result<Option<VideoFrame>> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let whole = self.annex_b(&packet.bytes, &mut bytes);
        self.pending.push(Reverse(packet.ticks));
        // What has not come out by now gives no picture.
        if self.pending.len() > MAX_PENDING {
            self.pending.pop();
        }
        let decoded = match self.decoder.decode(&bytes) {
            Ok(Some(picture)) => Ok(Some(frame(&picture, self.colour))),
            Ok(None) if whole => Ok(None),
            Ok(None) => Err("a NAL unit is longer than its packet".to_string()),
            Err(_) => Err("OpenH264 finds it damaged".to_string()),
        };
        bytes.clear();
        self.bytes = bytes;
        match decoded {
            Ok(None) => Ok(None),
            Ok(Some(picture)) => Ok(Some(self.timed(picture?, packet.ticks))),
            Err(message) => {
                self.pending.retain(|&Reverse(pending)| pending != packet.ticks);
                Err(Error::new(ErrorKind::Damaged, message))
            }
        }
    }

    /// The pictures that are still inside, at the end.
    fn finish(&mut self) -> Result<Vec<VideoFrame>> {
        let rest = self.decoder.flush_remaining();
        let rest = rest.map_err(|error| Error::new(ErrorKind::Damaged, error.to_string()))?;
        let frames = rest.iter().map(|picture| frame(picture, self.colour)).collect::<Result<Vec<_>>>()?;
        let frames = frames.into_iter().map(|frame| self.timed(frame, 0)).collect();
        // What gave no picture must not lend its time to a later one.
        self.pending.clear();
        Ok(frames)
    }

    /// Pictures come out in the order of time, so the earliest time that is open is this one's.
    fn timed(&mut self, frame: VideoFrame, otherwise: i64) -> VideoFrame {
        let ticks = self.pending.pop().map_or(otherwise, |Reverse(ticks)| ticks);
        VideoFrame { ticks, ..frame }
    }

    /// Appends a packet's NAL units with start codes instead of lengths; whether they fill the packet. The stream may
    /// change its colour on the way.
    fn annex_b(&mut self, packet: &[u8], bytes: &mut Vec<u8>) -> bool {
        for unit in units(packet, self.length_size) {
            let Ok(unit) = unit else { return false };
            bytes.extend(START_CODE);
            bytes.extend(unit);
            if let Some(sequence) = Sequence::parse(unit) {
                self.colour = sequence.colour;
            }
        }
        true
    }
}

fn frame(picture: &DecodedYUV, colour: Colour) -> Result<VideoFrame> {
    let (width, height) = picture.dimensions();
    let mut pixels = vec![0; check_size(width as u32, height as u32)? as usize];
    let (y_stride, stride, _) = picture.strides();
    let planes = Planes { y: picture.y(), u: picture.u(), v: picture.v(), strides: (y_stride, stride) };
    rgb::write(&planes, width, colour, &mut pixels);
    Ok(VideoFrame { width: width as u32, height: height as u32, pixels, ticks: 0 })
}
