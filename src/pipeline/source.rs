//! File -> frames `[T, D]`, whatever a model takes in.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::features::video::{Embedding, Picture, VideoExtractor};
use crate::features::{Extractor, InputConfig, StreamExtractor, VectorConfig};
use crate::media::limits::MAX_FRAMES;
use crate::media::vectors::read_vectors;
use crate::media::video::{Sampler, SeenFrame, Video, VideoOptions, VideoReader};
use crate::media::{self, Audio, AudioOptions, AudioStream, Media, MediaOptions, VectorFile};
use crate::signal::{Signal, VideoFrame};
use crate::time::TimeBase;
use crate::{Error, ErrorKind, Result};

/// Most pictures that are resized side by side, and most bytes of them.
const PICTURES_AT_ONCE: usize = 32;
const BYTES_AT_ONCE: usize = 64 << 20;

/// Turns files into a model's frames. Shared by threads.
pub(crate) enum Source {
    /// Copied for each recording: it holds scratch space.
    Audio(Box<Extractor>),
    Video(Box<VideoExtractor>),
    Vectors(VectorConfig),
}

/// What is seen or heard on the way from a file to a model.
#[derive(Debug, Clone, Copy)]
pub enum Watched<'a> {
    /// Frames `[n, D]`, not normalised.
    Frames(&'a [f32]),
    /// A picture and when it is shown, in seconds.
    Picture(f64, &'a VideoFrame),
}

impl Source {
    /// # Errors
    /// [`ErrorKind::Config`] for a configuration that is not valid, or asks for a pretrained network that is not there.
    pub fn new(input: &InputConfig, embedding: Option<&Embedding>) -> Result<Self> {
        Ok(match input {
            InputConfig::Audio(features) => Self::Audio(Box::new(Extractor::new(features)?)),
            InputConfig::Video(video) => Self::Video(Box::new(match embedding {
                Some(embedding) => VideoExtractor::with_embedding(video, embedding.clone())?,
                None => VideoExtractor::new(video)?,
            })),
            InputConfig::Vectors(vectors) => Self::Vectors(vectors.clone()),
        })
    }

    /// Reads a whole file; `take` is given its frames `[n, D]`, not normalised, piece by piece, `watch` also the pictures that
    /// they are made of.
    ///
    /// # Errors
    /// Those of the file, without its path; [`ErrorKind::Dataset`] for vectors of another size; what `take` gives.
    pub fn read(
        &self,
        path: &Path,
        options: &MediaOptions,
        watch: &mut dyn FnMut(Watched<'_>),
        take: &mut dyn FnMut(Vec<f32>) -> Result<()>,
    ) -> Result<Media> {
        match self {
            Self::Audio(extractor) => {
                let mut take = |frames: Vec<f32>| {
                    watch(Watched::Frames(&frames));
                    take(frames)
                };
                read_audio(extractor, path, &options.audio, &mut take).map(Media::Audio)
            }
            Self::Video(extractor) => {
                let mut before: Option<Picture> = None;
                let mut take = |pictures: Vec<Picture>| {
                    let frames = vectors_of(extractor, before.as_ref(), &pictures);
                    before = pictures.into_iter().next_back();
                    take(frames)
                };
                let mut seen = |seconds: f64, frame: &VideoFrame| watch(Watched::Picture(seconds, frame));
                look_at(path, &options.video, extractor, &mut seen, &mut take).map(Media::Video)
            }
            Self::Vectors(config) => {
                let (file, data) = read_vector_file(path, config)?;
                watch(Watched::Frames(&data));
                take(data)?;
                Ok(Media::Vectors(file))
            }
        }
    }
}

fn read_audio(
    extractor: &Extractor,
    path: &Path,
    options: &AudioOptions,
    take: &mut dyn FnMut(Vec<f32>) -> Result<()>,
) -> Result<Audio> {
    let features = extractor.config();
    let options = AudioOptions { sample_rate: Some(features.sample_rate), ..options.clone() };
    if features.can_stream().is_err() {
        let mut audio = media::load_audio(path, &options)?;
        let empty = Signal { samples: Vec::new(), sample_rate: audio.sample_rate };
        let signal = std::mem::replace(&mut audio.signal, empty);
        take(extractor.clone().extract(&signal.samples)?.data)?;
        return Ok(audio);
    }
    let mut stream = AudioStream::open(path, &options)?;
    let mut extractor = StreamExtractor::of(extractor)?;
    let (mut samples, mut frames) = (Vec::new(), Vec::new());
    while stream.next_block(&mut samples)? {
        extractor.push(&samples, &mut frames)?;
        take(std::mem::take(&mut frames))?;
    }
    let audio = stream.finish()?;
    extractor.finish(&mut frames)?;
    take(frames)?;
    Ok(audio)
}

/// Frames `[n, D]` of pictures that follow `before`.
fn vectors_of(extractor: &VideoExtractor, before: Option<&Picture>, pictures: &[Picture]) -> Vec<f32> {
    let dim = extractor.config().num_features();
    let vector = |vector: &mut Vec<f32>, (i, frame): (usize, &mut [f32])| {
        let previous = if i == 0 { before } else { pictures.get(i - 1) };
        vector.clear();
        extractor.vector(previous, &pictures[i], vector);
        frame.copy_from_slice(vector);
    };
    let mut frames = vec![0.0; pictures.len() * dim];
    match is_worker() {
        true => {
            let mut scratch = Vec::new();
            frames.chunks_exact_mut(dim).enumerate().for_each(|frame| vector(&mut scratch, frame));
        }
        false => frames.par_chunks_exact_mut(dim).enumerate().for_each_init(Vec::new, vector),
    }
    frames
}

/// Whether this is a thread of rayon's: the cores are busy with other files then, and waiting for work that is shared out
/// would begin yet another of those within this one.
fn is_worker() -> bool {
    rayon::current_thread_index().is_some()
}

/// Decodes a video and gives `take` the pictures that the model sees, at its frame rate, in parts; `seen` is given each of
/// them as it was decoded, with its time in seconds. While one part is resized on all cores the next one is decoded.
pub(crate) fn look_at(
    path: &Path,
    options: &VideoOptions,
    extractor: &VideoExtractor,
    seen: &mut dyn FnMut(f64, &VideoFrame),
    take: &mut dyn FnMut(Vec<Picture>) -> Result<()>,
) -> Result<Video> {
    let mut decoder = Decoder::open(path, options, extractor.config().frame_rate)?;
    let mut part = decoder.next_part()?;
    while !part.is_empty() {
        let time_base = decoder.video.time_base;
        part.iter().for_each(|(frame, _)| seen(time_base.seconds(frame.ticks), frame));
        if is_worker() {
            take(prepared(extractor, &part)?)?;
            part = decoder.next_part()?;
            continue;
        }
        let mut pictures = Ok(Vec::new());
        // The decoder stays on its thread.
        let next = rayon::in_place_scope(|scope| {
            scope.spawn(|_| pictures = prepared(extractor, &part));
            decoder.next_part()
        });
        take(pictures?)?;
        part = next?;
    }
    Ok(decoder.video)
}

/// Each picture as often as the model looks at it.
fn prepared(extractor: &VideoExtractor, part: &[(VideoFrame, usize)]) -> Result<Vec<Picture>> {
    let prepare = |(frame, _): &(VideoFrame, usize)| extractor.prepare(frame);
    let each: Vec<Picture> = match is_worker() {
        true => part.iter().map(prepare).collect::<Result<_>>()?,
        false => part.par_iter().map(prepare).collect::<Result<_>>()?,
    };
    let times = part.iter().map(|&(_, times)| times);
    Ok(each.into_iter().zip(times).flat_map(|(picture, times)| std::iter::repeat_n(picture, times)).collect())
}

/// A video on its way, at the model's frame rate.
struct Decoder {
    reader: VideoReader,
    sampler: Option<Sampler>,
    video: Video,
    /// The frame last read, until the next one tells how often it is looked at.
    held: Option<(VideoFrame, Option<String>)>,
    /// A frame that is looked at more often than one part holds, and how often still.
    rest: Option<(VideoFrame, usize)>,
}

impl Decoder {
    fn open(path: &Path, options: &VideoOptions, frame_rate: f64) -> Result<Self> {
        let reader = VideoReader::open(path, options)?;
        let sampler = Sampler::new(TimeBase::of_rate(frame_rate), reader.info().time_base);
        let video = Video::new(&reader);
        Ok(Self { reader, sampler: Some(sampler), video, held: None, rest: None })
    }

    /// Frames that are looked at, and how often; none at the end.
    fn next_part(&mut self) -> Result<Vec<(VideoFrame, usize)>> {
        let mut part = Vec::new();
        let (mut bytes, mut pictures) = (0, 0);
        while pictures < PICTURES_AT_ONCE && bytes < BYTES_AT_ONCE {
            if let Some((frame, times)) = self.rest.take() {
                let now = times.min(PICTURES_AT_ONCE - pictures);
                self.rest = (times > now).then(|| (frame.clone(), times - now));
                (bytes, pictures) = (bytes + frame.pixels.len(), pictures + now);
                part.push((frame, now));
                continue;
            }
            let Some(sampler) = &mut self.sampler else { break };
            let next = self.reader.next_frame()?;
            let times = match &next {
                Some(frame) => sampler.push(frame.ticks),
                None => self.finish(),
            };
            let name = self.reader.file_name().map(str::to_string);
            let before = self.held.take();
            if let Some(frame) = next {
                self.video.count(&frame);
                self.held = Some((frame, name));
            }
            let Some((frame, name)) = before.filter(|_| times > 0) else { continue };
            self.note(frame.ticks, name, times)?;
            self.rest = Some((frame, times));
        }
        Ok(part)
    }

    /// How often the last frame is looked at.
    fn finish(&mut self) -> usize {
        let (times, gaps) = self.sampler.take().map_or((0, 0), Sampler::finish);
        self.video.finish(&self.reader);
        if gaps > 0 {
            self.video.warnings.push(format!(
                "nothing new is shown for more than {} s in {gaps} places: the model does not look at all of that time",
                media::limits::MAX_VIDEO_GAP_SECONDS
            ));
        }
        times
    }

    /// Takes note of a frame that is looked at: the one before the frame last counted, or at the end that one itself.
    fn note(&mut self, ticks: i64, name: Option<String>, times: usize) -> Result<()> {
        let behind = if self.held.is_some() { 2 } else { 1 };
        let index = self.video.num_frames - behind;
        if times > MAX_FRAMES - self.video.seen.len() {
            let message = format!("the model would look at more than {MAX_FRAMES} frames of the video");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.video.seen.extend(std::iter::repeat_n(SeenFrame { index, ticks }, times));
        let name = name.map(|name| Arc::from(name.as_str()));
        self.video.files.extend(name.into_iter().flat_map(|name| std::iter::repeat_n(name, times)));
        Ok(())
    }
}

/// Vectors of the size that the model takes.
pub(crate) fn read_vector_file(path: &Path, config: &VectorConfig) -> Result<(VectorFile, Vec<f32>)> {
    let vectors = read_vectors(path)?;
    if config.size != 0 && vectors.dim != config.size {
        let message =
            format!("its vectors have {} numbers where the model takes {}", vectors.dim, config.size);
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let clock = InputConfig::Vectors(config.clone()).clock();
    let file = VectorFile {
        container: vectors.container.to_string(),
        frames: vectors.frames,
        duration: clock.seconds(vectors.frames as u64),
        warnings: Vec::new(),
    };
    Ok((file, vectors.data))
}
