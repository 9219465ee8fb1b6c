//! Frames of a video -> features `[T, D]`: the pixels at a small size, what has changed since the frame before, colors,
//! oriented gradients, motion, and what a pretrained network sees.
//!
//! ```
//! use percept::features::video::{VideoConfig, VideoExtractor};
//! use percept::signal::VideoFrame;
//!
//! let extractor = VideoExtractor::new(&VideoConfig::default())?; // 32 x 32, gray: thumbnail and difference
//! let frame = |level| VideoFrame { width: 64, height: 48, pixels: vec![level; 64 * 48 * 3], ticks: 0 };
//! let pictures = [extractor.prepare(&frame(0))?, extractor.prepare(&frame(255))?];
//! let features = extractor.extract(&pictures);
//! assert_eq!((features.frames, features.dim), (2, 2 * 32 * 32));
//! # Ok::<(), percept::Error>(())
//! ```

pub mod config;
mod difference;
pub mod embedding;
mod histogram;
mod hog;
mod motion;
mod picture;
mod thumbnail;

pub use config::{Color, VideoConfig, VideoFeature};
pub use embedding::{Embedding, EmbeddingKind};
pub use picture::Picture;

use std::sync::Arc;

use super::Features;
use super::config::wrong;
use crate::Result;
use crate::signal::VideoFrame;
use motion::{BlockMatching, Gray};

/// Turns frames into features. One serves all threads.
#[derive(Debug, Clone)]
pub struct VideoExtractor {
    config: VideoConfig,
    motion: BlockMatching,
    /// There where the config's features name it.
    embedding: Option<Arc<Embedding>>,
}

impl VideoExtractor {
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `config` is not [valid](VideoConfig::validate), or where its
    /// features name an embedding, which needs [weights](Self::with_embedding).
    pub fn new(config: &VideoConfig) -> Result<Self> {
        Self::assemble(config, None)
    }

    /// With the network for a config whose features name an embedding.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `config` is not [valid](VideoConfig::validate), or asks for
    /// another network or for none.
    pub fn with_embedding(config: &VideoConfig, embedding: Embedding) -> Result<Self> {
        Self::assemble(config, Some(embedding.with_size(config.embedding_size)))
    }

    fn assemble(config: &VideoConfig, embedding: Option<Embedding>) -> Result<Self> {
        config.validate()?;
        let wanted = config.embedding.filter(|_| config.has(VideoFeature::Embedding));
        let given = embedding.as_ref().map(Embedding::kind);
        if wanted != given {
            let name = |kind: Option<EmbeddingKind>| kind.map_or("none", EmbeddingKind::name);
            return Err(wrong(format!(
                "the features need the weights of {} for an embedding, but those of {} are given",
                name(wanted),
                name(given)
            )));
        }
        Ok(Self {
            motion: BlockMatching::new(config.motion_block, config.motion_range),
            config: config.clone(),
            embedding: embedding.map(Arc::new),
        })
    }

    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// The costly part, which each frame undergoes for itself: resizes (stretches) it to the config's width and height,
    /// and shows it to the pretrained network, where there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) where the frame has no pixels;
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) where it has not as many as its size says;
    /// what [`Embedding::embed`] gives.
    pub fn prepare(&self, frame: &VideoFrame) -> Result<Picture> {
        let mut picture = Picture::of(frame, self.config.width, self.config.height)?;
        if let Some(embedding) = &self.embedding {
            picture.embedding = embedding.embed(frame)?;
        }
        Ok(picture)
    }

    /// Appends the `D` numbers of one frame, not normalised. Without a `previous` frame, difference and motion are zero.
    ///
    /// # Panics
    /// Where a picture has not the config's size, or no embedding where one is due; those that [`Self::prepare`] makes have.
    pub fn vector(&self, previous: Option<&Picture>, picture: &Picture, out: &mut Vec<f32>) {
        let config = &self.config;
        let (height, width) = (config.height, config.width);
        let planes = |picture: &Picture| picture.planes(config.color);
        for picture in previous.into_iter().chain([picture]) {
            assert_eq!(picture.pixels.len(), height * width * 3, "pictures must have the config's size");
        }
        let embedding = self.embedding.as_ref().map_or(0, |embedding| embedding.kind().num_features());
        assert_eq!(picture.embedding.len(), embedding, "pictures must have the config's embedding");
        for feature in config.ordered() {
            match feature {
                VideoFeature::Thumbnail => thumbnail::append(&planes(picture), out),
                VideoFeature::Difference => {
                    let first = out.len();
                    difference::append(previous.map(planes).as_deref(), &planes(picture), out);
                    if config.difference_center {
                        out[first..].chunks_exact_mut(height * width).for_each(difference::center);
                    }
                }
                VideoFeature::ColorHistogram => {
                    histogram::append(&picture.pixels, config.histogram_bins, out);
                }
                VideoFeature::Hog => {
                    let (cell, orientations) = (config.hog_cell, config.hog_orientations);
                    hog::append(&picture.gray(), [height, width], cell, orientations, out);
                }
                VideoFeature::Motion => {
                    let (before, now) = (previous.map(Picture::gray), picture.gray());
                    let gray = |levels| Gray { levels, height, width };
                    self.motion.append(before.as_deref().map(gray), gray(&now), out);
                }
                VideoFeature::Embedding => out.extend_from_slice(&picture.embedding),
            }
        }
    }

    /// A whole clip, in the order of time: `[T, D]`, not normalised. The values are always finite.
    ///
    /// # Panics
    /// As [`Self::vector`].
    pub fn extract(&self, pictures: &[Picture]) -> Features {
        let dim = self.config.num_features();
        let mut data = Vec::with_capacity(pictures.len() * dim);
        let mut previous = None;
        for picture in pictures {
            self.vector(previous, picture, &mut data);
            previous = Some(picture);
        }
        Features { data, frames: pictures.len(), dim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VideoFeature::*;

    const KINDS: [VideoFeature; 5] = [Hog, Thumbnail, Motion, ColorHistogram, Difference];

    fn noise(width: u32, height: u32, seed: u32) -> VideoFrame {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels = (0..3 * width * height).map(|_| next()).collect();
        VideoFrame { width, height, pixels, ticks: i64::from(seed) }
    }

    fn extractor(width: usize, height: usize, color: Color) -> VideoExtractor {
        let config = VideoConfig {
            width,
            height,
            color,
            hog_cell: 2,
            motion_block: 3,
            features: KINDS.to_vec(),
            ..VideoConfig::default()
        };
        VideoExtractor::new(&config).unwrap()
    }

    #[test]
    fn the_shape_is_what_the_config_says_and_the_values_are_in_range() {
        for (width, height) in [(4, 4), (5, 9), (33, 17), (32, 32)] {
            for color in [Color::Gray, Color::Rgb] {
                let extractor = extractor(width, height, color);
                for (w, h) in [(1, 1), (1, 7), (33, 17), (90, 5)] {
                    let prepare = |seed| extractor.prepare(&noise(w, h, seed)).unwrap();
                    let pictures: Vec<Picture> = (0..3).map(prepare).collect();
                    let features = extractor.extract(&pictures);
                    assert_eq!((features.frames, features.dim), (3, extractor.config().num_features()));
                    assert_eq!(features.data.len(), features.frames * features.dim);
                    assert!(features.data.iter().all(|x| (-1.0..=1.0).contains(x)), "{width} x {height}");
                }
            }
        }
        let features = extractor(8, 8, Color::Gray).extract(&[]);
        assert!(features.frames == 0 && features.data.is_empty());
    }

    #[test]
    fn the_first_frame_and_one_that_is_repeated_have_no_difference_and_no_motion() {
        let features = vec![Difference, Motion];
        let config = VideoConfig { features, ..VideoConfig::default() };
        let extractor = VideoExtractor::new(&config).unwrap();
        let prepare = |seed| extractor.prepare(&noise(40, 30, seed)).unwrap();
        let features = extractor.extract(&[prepare(1), prepare(1), prepare(2)]);
        assert!(features.data[..2 * features.dim].iter().all(|&x| x == 0.0));
        assert!(features.data[2 * features.dim..].iter().any(|&x| x != 0.0));
    }

    #[test]
    fn a_light_that_flickers_is_no_movement_where_differences_are_centered() {
        let features = vec![Difference];
        let config = VideoConfig { features, difference_center: true, ..VideoConfig::default() };
        let extractor = VideoExtractor::new(&config).unwrap();
        let frame = |level: u8| VideoFrame { width: 8, height: 8, pixels: vec![level; 192], ticks: 0 };
        let pictures = [100, 120, 90].map(|level| extractor.prepare(&frame(level)).unwrap());
        assert!(extractor.extract(&pictures).data.iter().all(|&x| x == 0.0));
    }

    #[test]
    fn a_clip_is_its_frames_one_by_one() {
        let extractor = extractor(16, 12, Color::Rgb);
        let pictures: Vec<Picture> =
            (0..4).map(|seed| extractor.prepare(&noise(21, 13, seed)).unwrap()).collect();
        let mut vectors = Vec::new();
        extractor.vector(None, &pictures[0], &mut vectors);
        for pair in pictures.windows(2) {
            extractor.vector(Some(&pair[0]), &pair[1], &mut vectors);
        }
        assert_eq!(extractor.extract(&pictures).data, vectors);
    }

    #[test]
    fn histograms_sum_to_1_and_difference_is_of_thumbnails() {
        let extractor = extractor(16, 12, Color::Rgb);
        let pictures: Vec<Picture> =
            (0..2).map(|seed| extractor.prepare(&noise(21, 13, seed)).unwrap()).collect();
        let features = extractor.extract(&pictures);
        let (first, second) = features.data.split_at(features.dim);
        let planes = 3 * 16 * 12;
        for i in 0..planes {
            assert!((second[planes + i] - (second[i] - first[i])).abs() < 1e-6);
        }
        let histograms = &second[features.dim - 24..];
        assert!(histograms.chunks_exact(8).all(|one| (one.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }

    #[test]
    fn an_embedding_needs_weights() {
        let config = VideoConfig {
            features: vec![VideoFeature::Embedding],
            embedding: Some(EmbeddingKind::Resnet18),
            ..VideoConfig::default()
        };
        let error = VideoExtractor::new(&config).unwrap_err();
        assert!(error.message.contains("the weights of resnet18"), "{error}");
    }

    #[test]
    fn one_extractor_serves_all_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<VideoExtractor>();
    }
}
