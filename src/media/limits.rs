//! What untrusted files may ask for. Every number that a header can set meets one of these.

/// Slowest rate taken, in Hz (infrasound and seismic loggers run at hundreds).
pub const MIN_SAMPLE_RATE: u32 = 100;
/// Fastest rate taken, in Hz (bat detectors run at 500 kHz).
pub const MAX_SAMPLE_RATE: u32 = 1_000_000;
/// Most channels in one stream (microphone arrays have hundreds).
pub const MAX_CHANNELS: usize = 1024;
/// Most samples of one sound, per channel, where nobody allows more: 24 days at 48 kHz, decades of a seismometer. They stream
/// through memory, so only patience ends: a byte of FLAC can stand for thousands.
pub const MAX_SAMPLES: u64 = 100_000_000_000;
/// Most mono samples held in memory by [`load_audio`](super::load_audio): 4 GiB of f32, six hours at 48 kHz.
pub const MAX_SAMPLES_IN_MEMORY: usize = 1 << 30;
/// Samples (over all channels) in one block of a reader of ours.
pub const BLOCK_SAMPLES: usize = 64 * 1024;
/// Largest magnitude taken for sound (full scale is 1). Beyond it, as for NaN, the sample is replaced by 0:
/// squares and sums of what remains cannot overflow.
pub const MAX_AMPLITUDE: f32 = 1e9;
/// Most tracks listed for one file.
pub const MAX_TRACKS: usize = 256;
/// Most chunks walked through in a WAV file, or boxes in an MP4 file, before the search is given up.
pub const MAX_CHUNKS: usize = 10_000;
/// Most boxes walked through in an MP4 file to count its samples; one in fragments has thousands.
pub const MAX_MP4_BOXES: usize = 1_000_000;
/// Most samples of an MP4 file, over all tracks, whose tables are held in memory (about 64 bytes each).
pub const MAX_MP4_SAMPLES: u64 = 4_000_000;
/// Longest description of how a track of an MP4 file is coded, in bytes.
pub const MAX_SAMPLE_ENTRY: u64 = 1 << 20;
/// How far to look through the head of a Matroska file, in bytes.
pub const MAX_MKV_HEAD: u64 = 1 << 20;
/// Longest `fmt ` chunk read.
pub const MAX_FORMAT_CHUNK: u64 = 4096;
/// Most chunks of a WAV file, or boxes of an MP4 file, that are looked at for the time of its recording.
pub const MAX_DATE_CHUNKS: usize = 64;
/// Bytes that are read of a chunk which may tell that time.
pub const MAX_DATE_CHUNK: u64 = 64 << 10;
/// How far to look for the first frame of an MPEG stream behind junk, in bytes.
pub const MAX_JUNK: usize = 64 * 1024;
/// Most `ID3v2` tags skipped at the start of a file.
pub const MAX_ID3_TAGS: usize = 16;
/// Most bytes taken from `ffprobe`.
pub const MAX_FFPROBE_OUTPUT: u64 = 4 << 20;
/// Most bytes kept of what `ffmpeg` says on its error stream.
pub const MAX_FFMPEG_MESSAGES: u64 = 64 << 10;
/// Longest line taken from `ffmpeg`, in bytes.
pub const MAX_FFMPEG_LINE: u64 = 16 << 10;
/// `ffmpeg` is stopped when it gives nothing for so long, in seconds.
pub const FFMPEG_PATIENCE: u64 = 120;
/// Longest gap between packets, by their time stamps, that is filled with silence, in seconds.
pub const MAX_GAP_SECONDS: u64 = 60;
/// Most silence in all that takes the place of damaged and missing packets, in seconds.
pub const MAX_SILENCE_SECONDS: u64 = 600;
/// Bytes behind the sound that may be a tag, and are no sign of damage.
pub const MAX_TRAILING_TAG: u64 = 4096;
/// Widest and highest picture, in pixels.
pub const MAX_FRAME_SIDE: u32 = 16_384;
/// Most pixels of one picture: in RGB, they take [`MAX_FRAME_BYTES`].
pub const MAX_PIXELS: u64 = MAX_FRAME_BYTES / 3;
/// Most memory that the decoder of one picture may take, in bytes.
pub const MAX_FRAME_BYTES: u64 = 512 << 20;
/// Most memory for pictures of a directory that are decoded ahead, in bytes.
pub const MAX_BYTES_AHEAD: u64 = 256 << 20;
/// A step of the time stamps of a transport stream that is longer is a new clock, in seconds.
pub const MAX_STEP_SECONDS: f64 = 10.0;
/// Most pictures of one video.
pub const MAX_FRAMES: usize = 10_000_000;
/// Most pictures of an animated GIF, PNG or WebP, where nobody allows more: hours of them. 20 bytes make a picture.
pub const MAX_ANIMATION_FRAMES: usize = 100_000;
/// Most pixels of all pictures of an animation together, of which each is drawn whole, however little of it changes: an hour
/// of a screen of 1920 x 1080, with 13 pictures a second.
pub const MAX_ANIMATION_PIXELS: u64 = 100_000_000_000;
/// Fastest video, in frames a second.
pub const MAX_FPS: f64 = 100_000.0;
/// Longest `frames.json` beside pictures, in bytes.
pub const MAX_FRAMES_JSON: u64 = 1 << 20;
/// Longest header of a file of vectors, in bytes.
pub const MAX_VECTOR_HEADER: u64 = 1 << 20;
/// Most numbers of one vector.
pub const MAX_VECTOR_DIM: usize = 1 << 20;
/// Longest file of vectors, in bytes: it is held in memory.
pub const MAX_VECTOR_BYTES: u64 = 4 << 30;
/// Most files and directories looked at in one walk.
pub const MAX_WALK_ENTRIES: usize = 10_000_000;
/// How deep directories may lie within the one that is walked. A deeper one is an input that fails.
pub const MAX_WALK_DEPTH: usize = 64;
/// Longest time for which a video shows the same frame, in seconds; after it the model's clock begins anew.
pub const MAX_VIDEO_GAP_SECONDS: u64 = 600;
