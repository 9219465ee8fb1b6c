//! Which features of a video: every setting, its range, and what follows from it (planes, feature count, groups).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::embedding::{DEFAULT_SIZE, EmbeddingKind};
use crate::Result;
use crate::features::config::{Normalize, in_range, wrong};

/// Lowest and highest `frame_rate` but for 0, frames a second.
pub const FRAME_RATE_RANGE: (f64, f64) = (0.01, 1_000.0);
/// Smallest and largest `width` and `height`, pixels.
pub const SIZE_RANGE: (usize, usize) = (4, 512);
/// Fewest and most `histogram_bins`.
pub const HISTOGRAM_BINS_RANGE: (usize, usize) = (2, 256);
/// Smallest and largest `hog_cell`, pixels.
pub const HOG_CELL_RANGE: (usize, usize) = (2, 256);
/// Fewest and most `hog_orientations`.
pub const HOG_ORIENTATIONS_RANGE: (usize, usize) = (2, 36);
/// Smallest and largest `motion_block`, pixels.
pub const MOTION_BLOCK_RANGE: (usize, usize) = (2, 512);
/// Smallest and largest `motion_range`, pixels.
pub const MOTION_RANGE_RANGE: (usize, usize) = (1, 16);
/// Smallest and largest `embedding_size`, pixels.
pub const EMBEDDING_SIZE_RANGE: (usize, usize) = (32, 512);

/// Cells along each side of a block of the histogram of oriented gradients.
pub(super) const HOG_BLOCK: usize = 2;

/// Which features of a video's frames. Stored whole in the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VideoConfig {
    /// Frames a second at which a video is looked at, whatever its own rate is (0.01 to 1000); 0, before training only,
    /// is the rate of the first training video.
    pub frame_rate: f64,
    /// Width that each frame is resized to, stretched, in pixels (4 to 512).
    pub width: usize,
    /// Height that each frame is resized to, stretched, in pixels (4 to 512).
    pub height: usize,
    /// What of each frame goes to the network: any of `thumbnail` (the pixels), `difference` (pixels minus those of the
    /// frame before), `color_histogram`, `hog` (histograms of oriented gradients), `motion` (where blocks came from),
    /// `embedding` (what a pretrained network sees).
    /// `thumbnail` and `difference` come first in any case, the rest in the order given.
    pub features: Vec<VideoFeature>,
    /// Planes of `thumbnail` and of `difference`.
    pub color: Color,
    /// Take each plane's mean out of its `difference`, so that light that flickers does not look like movement.
    pub difference_center: bool,
    /// Bins of `color_histogram` for each of red, green and blue (2 to 256).
    pub histogram_bins: usize,
    /// Side of a cell of `hog`, in pixels (2 to 256); width and height must hold two. A block is 2 x 2 cells.
    pub hog_cell: usize,
    /// Directions that `hog` tells apart, over half a turn (2 to 36).
    pub hog_orientations: usize,
    /// Side of a block of `motion`, in pixels (2 to 512); width and height must hold one.
    pub motion_block: usize,
    /// How far `motion` looks for a block in the frame before, to each side, in pixels (1 to 16).
    pub motion_range: usize,
    /// The pretrained network of `embedding`, which has its weights from a file; left out, there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingKind>,
    /// Side of the square in the middle of the frame that the pretrained network looks at, in pixels (32 to 512). It learned
    /// with 224; half that is about four times as fast.
    pub embedding_size: usize,
    /// Which mean and standard deviation the features are scaled with.
    pub normalize: Normalize,
}

/// What of a frame goes to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoFeature {
    /// The resized frame, 0 to 1: `planes * height * width` values.
    Thumbnail,
    /// The resized frame minus the one before, -1 to 1: `planes * height * width` values.
    Difference,
    /// How often each of the three channels has which brightness: `3 * histogram_bins` values.
    ColorHistogram,
    /// Histograms of oriented gradients (Dalal & Triggs, 2005).
    Hog,
    /// For each block: from where in the frame before it came, and how well it fits.
    Motion,
    /// What a pretrained network makes of the frame: as many values as the network has.
    Embedding,
}

/// Planes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// One: brightness.
    Gray,
    /// Three: red, green, blue.
    Rgb,
}

impl Color {
    /// 1 or 3.
    pub fn planes(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

impl VideoFeature {
    /// Whether it is planes of the picture's size.
    pub fn is_planes(self) -> bool {
        matches!(self, Self::Thumbnail | Self::Difference)
    }
}

impl Default for VideoConfig {
    fn default() -> Self {
        Self {
            frame_rate: 0.0,
            width: 32,
            height: 32,
            features: vec![VideoFeature::Thumbnail, VideoFeature::Difference],
            color: Color::Gray,
            difference_center: false,
            histogram_bins: 8,
            hog_cell: 8,
            hog_orientations: 9,
            motion_block: 8,
            motion_range: 4,
            embedding: None,
            embedding_size: DEFAULT_SIZE,
            normalize: Normalize::Training,
        }
    }
}

impl VideoConfig {
    /// Checks ranges and contradictions.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the setting that is wrong and its range.
    pub fn validate(&self) -> Result<()> {
        if self.frame_rate != 0.0 {
            in_range("frame_rate", self.frame_rate, FRAME_RATE_RANGE.0, FRAME_RATE_RANGE.1)?;
        }
        for (name, value, (low, high)) in [
            ("width", self.width, SIZE_RANGE),
            ("height", self.height, SIZE_RANGE),
            ("histogram_bins", self.histogram_bins, HISTOGRAM_BINS_RANGE),
            ("hog_cell", self.hog_cell, HOG_CELL_RANGE),
            ("hog_orientations", self.hog_orientations, HOG_ORIENTATIONS_RANGE),
            ("motion_block", self.motion_block, MOTION_BLOCK_RANGE),
            ("motion_range", self.motion_range, MOTION_RANGE_RANGE),
            ("embedding_size", self.embedding_size, EMBEDDING_SIZE_RANGE),
        ] {
            in_range(name, value, low, high)?;
        }
        self.check_features()?;
        let side = self.width.min(self.height);
        if self.has(VideoFeature::Hog) && side / self.hog_cell < HOG_BLOCK {
            return Err(wrong(format!(
                "hog_cell is {}, but must be from {} to {}, half the smaller of width and height",
                self.hog_cell,
                HOG_CELL_RANGE.0,
                side / HOG_BLOCK
            )));
        }
        if self.has(VideoFeature::Motion) && side < self.motion_block {
            return Err(wrong(format!(
                "motion_block is {}, but must be from {} to {side}, the smaller of width and height",
                self.motion_block, MOTION_BLOCK_RANGE.0
            )));
        }
        if self.has(VideoFeature::Embedding) && self.embedding.is_none() {
            return Err(wrong(
                "embedding is not set, but features names it; set it to a network's name".into(),
            ));
        }
        Ok(())
    }

    fn check_features(&self) -> Result<()> {
        if self.features.is_empty() {
            return Err(wrong("features is [], but must name at least one feature".into()));
        }
        let twice = (1..self.features.len()).find(|&i| self.features[..i].contains(&self.features[i]));
        match twice {
            Some(i) => {
                Err(wrong(format!("features is wrong: it names {} twice", snake_case(self.features[i]))))
            }
            None => Ok(()),
        }
    }

    /// `[C, H, W]` of the planes that each vector starts with, those of thumbnail and difference; `C` is 0 with neither.
    pub fn planes(&self) -> [usize; 3] {
        let kinds = self.features.iter().filter(|feature| feature.is_planes()).count();
        [kinds * self.color.planes(), self.height, self.width]
    }

    /// Numbers per frame, `D`: `C * H * W` of [`Self::planes`], then those of the other features.
    pub fn num_features(&self) -> usize {
        self.features.iter().map(|&feature| self.values_of(feature)).sum()
    }

    /// Ranges of a vector that are of one kind and so share one mean and deviation, in order and without a gap: each plane;
    /// the color histogram; the oriented gradients; of the motion, sideways, downward and the difference that is left; the
    /// embedding.
    pub fn groups(&self) -> Vec<Range<usize>> {
        let mut groups = Vec::new();
        for (feature, part) in self.parts() {
            let count = match feature {
                VideoFeature::Thumbnail | VideoFeature::Difference => self.color.planes(),
                VideoFeature::ColorHistogram | VideoFeature::Hog | VideoFeature::Embedding => 1,
                VideoFeature::Motion => 3,
            };
            let length = part.len() / count;
            groups.extend((0..count).map(|i| part.start + i * length..part.start + (i + 1) * length));
        }
        groups
    }

    /// Where each feature stands in a vector, in order and without a gap.
    pub fn parts(&self) -> Vec<(VideoFeature, Range<usize>)> {
        let mut end = 0;
        let part = |feature| {
            let start = end;
            end += self.values_of(feature);
            (feature, start..end)
        };
        self.ordered().map(part).collect()
    }

    /// What is allowed but seldom meant, one sentence each; `self` must be valid.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (feature, name, side) in [
            (VideoFeature::Hog, "hog_cell", self.hog_cell),
            (VideoFeature::Motion, "motion_block", self.motion_block),
        ] {
            let (right, below) = (self.width % side, self.height % side);
            if self.has(feature) && right + below > 0 {
                warnings.push(format!(
                    "{right} columns at the right and {below} rows at the bottom fill no {name} of {side} pixels \
                     and are left out; let it divide width and height"
                ));
            }
        }
        if self.normalize == Normalize::PerFile {
            warnings.push("normalize is per_file, which needs the whole video and cannot stream".into());
        }
        warnings
    }

    /// The features in the order in which a vector holds them.
    pub(super) fn ordered(&self) -> impl Iterator<Item = VideoFeature> {
        let planes = self.features.iter().filter(|feature| feature.is_planes());
        planes.chain(self.features.iter().filter(|feature| !feature.is_planes())).copied()
    }

    pub(super) fn has(&self, feature: VideoFeature) -> bool {
        self.features.contains(&feature)
    }

    /// Numbers that one feature has.
    fn values_of(&self, feature: VideoFeature) -> usize {
        match feature {
            VideoFeature::Thumbnail | VideoFeature::Difference => {
                self.color.planes() * self.height * self.width
            }
            VideoFeature::ColorHistogram => 3 * self.histogram_bins,
            VideoFeature::Hog => {
                let blocks = |side: usize| (side / self.hog_cell + 1).saturating_sub(HOG_BLOCK);
                blocks(self.height) * blocks(self.width) * HOG_BLOCK * HOG_BLOCK * self.hog_orientations
            }
            VideoFeature::Motion => 3 * (self.height / self.motion_block) * (self.width / self.motion_block),
            VideoFeature::Embedding => self.embedding.map_or(0, EmbeddingKind::num_features),
        }
    }
}

/// The feature's name in a config.
fn snake_case(feature: VideoFeature) -> String {
    serde_json::to_value(feature).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use VideoFeature::*;

    fn refused(change: impl Fn(&mut VideoConfig)) -> String {
        let mut config = VideoConfig::default();
        change(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn a_bad_setting_is_named_with_its_range() {
        VideoConfig::default().validate().unwrap();
        assert_eq!(refused(|c| c.width = 3), "width is 3, but must be from 4 to 512");
        for (name, message) in [
            ("frame_rate", refused(|c| c.frame_rate = f64::NAN)),
            ("frame_rate", refused(|c| c.frame_rate = -1.0)),
            ("frame_rate", refused(|c| c.frame_rate = 0.001)),
            ("height", refused(|c| c.height = 513)),
            ("features", refused(|c| c.features = vec![])),
            ("features", refused(|c| c.features = vec![Hog, Motion, Hog])),
            ("histogram_bins", refused(|c| c.histogram_bins = 257)),
            ("hog_cell", refused(|c| c.hog_cell = 0)),
            ("hog_cell", refused(|c| (c.hog_cell, c.features) = (17, vec![Hog]))),
            ("hog_orientations", refused(|c| c.hog_orientations = 1)),
            ("motion_block", refused(|c| c.motion_block = 0)),
            ("motion_block", refused(|c| (c.motion_block, c.features) = (33, vec![Motion]))),
            ("motion_range", refused(|c| c.motion_range = 17)),
            ("embedding_size", refused(|c| c.embedding_size = 31)),
            ("embedding", refused(|c| c.features = vec![Embedding])),
        ] {
            assert!(message.starts_with(&format!("{name} is ")), "{message}");
        }
        assert!(refused(|c| c.features = vec![ColorHistogram; 2]).contains("color_histogram twice"));
    }

    #[test]
    fn planes_come_first_and_groups_cover_the_vector() {
        let config = VideoConfig {
            features: vec![Motion, Difference, Hog, Thumbnail, Embedding, ColorHistogram],
            embedding: Some(EmbeddingKind::Resnet18),
            color: Color::Rgb,
            width: 24,
            height: 17,
            ..VideoConfig::default()
        };
        config.validate().unwrap();
        let order: Vec<VideoFeature> = config.ordered().collect();
        assert_eq!(order, [Difference, Thumbnail, Motion, Hog, Embedding, ColorHistogram]);
        assert_eq!(config.planes(), [6, 17, 24]);
        assert_eq!(config.num_features(), 6 * 17 * 24 + 3 * 2 * 3 + 2 * 4 * 9 + 512 + 24);
        let groups = config.groups();
        assert_eq!(groups.len(), 6 + 3 + 1 + 1 + 1);
        assert_eq!(groups[0], 0..17 * 24);
        assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(groups.last().unwrap().end, config.num_features());
        assert_eq!(VideoConfig { features: vec![Hog], ..config }.planes()[0], 0);
    }

    #[test]
    fn what_is_seldom_meant_is_warned_of() {
        assert!(VideoConfig::default().warnings().is_empty());
        let config = VideoConfig { features: vec![Hog], hog_cell: 7, ..VideoConfig::default() };
        assert!(config.warnings()[0].starts_with("4 columns at the right and 4 rows"), "{config:?}");
        let config = VideoConfig { normalize: Normalize::PerFile, ..VideoConfig::default() };
        assert!(config.warnings()[0].contains("per_file"));
    }

    #[test]
    fn a_config_survives_toml_and_json_and_knows_its_keys() {
        let config: VideoConfig = toml::from_str(
            "features = [\"hog\", \"color_histogram\"]\ncolor = \"rgb\"\nembedding = \"mobilenet_v2\"",
        )
        .unwrap();
        assert_eq!((&config.features[..], config.height), (&[Hog, ColorHistogram][..], 32));
        assert_eq!(config.embedding.map(EmbeddingKind::name), Some("mobilenet_v2"));
        assert_eq!(toml::from_str::<VideoConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<VideoConfig>(&json).unwrap(), config);
        assert!(toml::from_str::<VideoConfig>("widht = 40").unwrap_err().to_string().contains("widht"));
    }
}
