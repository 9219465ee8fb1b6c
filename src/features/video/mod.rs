//! Frames of a video -> features `[T, D]`: the pixels at a small size, what has changed since the frame before, colors,
//! oriented gradients, motion.
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
mod histogram;
mod hog;
mod motion;
mod picture;
mod thumbnail;

pub use config::{Color, VideoConfig, VideoFeature};
pub use picture::Picture;

use super::Features;
use crate::Result;
use crate::signal::VideoFrame;
use motion::{BlockMatching, Gray};

/// Turns frames into features. One serves all threads.
#[derive(Debug, Clone)]
pub struct VideoExtractor {
    config: VideoConfig,
    motion: BlockMatching,
}

impl VideoExtractor {
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where `config` is not [valid](VideoConfig::validate).
    pub fn new(config: &VideoConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            motion: BlockMatching::new(config.motion_block, config.motion_range),
            config: config.clone(),
        })
    }

    pub fn config(&self) -> &VideoConfig {
        &self.config
    }

    /// The costly part, which each frame undergoes for itself: resizes (stretches) it to the config's width and height.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) where the frame has no pixels;
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) where it has not as many as its size says.
    pub fn prepare(&self, frame: &VideoFrame) -> Result<Picture> {
        Picture::of(frame, self.config.width, self.config.height)
    }

    /// Appends the `D` numbers of one frame, not normalised. Without a `previous` frame, difference and motion are zero.
    ///
    /// # Panics
    /// Where a picture has not the config's size; those that [`Self::prepare`] makes have.
    pub fn vector(&self, previous: Option<&Picture>, picture: &Picture, out: &mut Vec<f32>) {
        let config = &self.config;
        let (height, width) = (config.height, config.width);
        let planes = |picture: &Picture| picture.planes(config.color);
        for picture in previous.into_iter().chain([picture]) {
            assert_eq!(picture.pixels.len(), height * width * 3, "pictures must have the config's size");
        }
        for feature in config.ordered() {
            match feature {
                VideoFeature::Thumbnail => thumbnail::append(&planes(picture), out),
                VideoFeature::Difference => {
                    difference::append(previous.map(planes).as_deref(), &planes(picture), out);
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
