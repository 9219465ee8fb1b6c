//! Opus packets -> samples at 48 kHz, by the pure-Rust `opus-decoder`.

use opus_decoder::OpusMultistreamDecoder;

/// Opus always decodes at this rate, whatever the rate of the recording was.
pub(super) const SAMPLE_RATE: u32 = 48_000;
/// 120 ms, the longest packet there may be, per channel.
const MAX_PACKET_FRAMES: usize = 5760;

pub(super) struct Decoder {
    inner: OpusMultistreamDecoder,
    channels: usize,
    /// Linear factor that the header asks for.
    gain: f32,
    pcm: Vec<f32>,
}

/// The identification header (RFC 7845, 5.1).
pub(super) struct Head {
    pub channels: usize,
    /// Samples at 48 kHz to drop from the start.
    pub pre_skip: u64,
    streams: usize,
    coupled: usize,
    mapping: Vec<u8>,
    gain: f32,
}

impl Head {
    /// Reads `OpusHead` of Ogg and Matroska (version 1, little-endian), or the `dOps` box of MP4 behind the
    /// same magic (version 0, big-endian). `None` when it is damaged, or of an unknown mapping family.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_prefix(b"OpusHead")?;
        let [version, channels, skip0, skip1, _, _, _, _, gain0, gain1, family, rest @ ..] = body else {
            return None;
        };
        let word = |a: &u8, b: &u8| {
            if *version == 0 { u16::from_be_bytes([*a, *b]) } else { u16::from_le_bytes([*a, *b]) }
        };
        let (channels, pre_skip) = (usize::from(*channels), u64::from(word(skip0, skip1)));
        // Decibels, with 8 binary places.
        let gain = 10f32.powf(f32::from(word(gain0, gain1) as i16) / (20.0 * 256.0));
        match (family, rest) {
            (0, _) => (1..=2).contains(&channels).then(|| Self {
                channels,
                pre_skip,
                streams: 1,
                coupled: channels - 1,
                mapping: (0..channels as u8).collect(),
                gain,
            }),
            (1 | 255, [streams, coupled, mapping @ ..]) => Some(Self {
                channels,
                pre_skip,
                streams: usize::from(*streams),
                coupled: usize::from(*coupled),
                mapping: mapping.get(..channels)?.to_vec(),
                gain,
            }),
            _ => None,
        }
    }

    pub fn decoder(&self) -> Option<Decoder> {
        let inner = OpusMultistreamDecoder::new(
            SAMPLE_RATE,
            self.channels,
            self.streams,
            self.coupled,
            &self.mapping,
        )
        .ok()?;
        Some(Decoder {
            inner,
            channels: self.channels,
            gain: self.gain,
            pcm: vec![0.0; MAX_PACKET_FRAMES * self.channels],
        })
    }
}

impl Decoder {
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Fills `block` with the interleaved samples of one packet.
    pub fn decode(&mut self, packet: &[u8], block: &mut Vec<f32>) -> Result<(), String> {
        let frames = self.inner.decode_float(packet, &mut self.pcm, false).map_err(|e| e.to_string())?;
        block.extend(self.pcm.iter().take(frames * self.channels).map(|x| x * self.gain));
        Ok(())
    }
}
