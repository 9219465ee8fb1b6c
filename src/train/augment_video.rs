//! Random changes to training videos that leave their label as it is: the same for all pictures of a clip.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::random::{normal_pair, plus_minus};
use crate::error::some_of;
use crate::features::video::Picture;
use crate::{Error, ErrorKind, Result};

/// How far a training video may be changed each time it is seen, where `[augment] enabled` is true. A range of 0 turns
/// one change off; each is applied with this probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VideoAugmentConfig {
    /// Probability that each of the changes below is applied to a clip, 0 to 1.
    pub probability: f32,
    /// The picture is moved by up to this share of its width and height. 0 to 0.5.
    pub shift: f32,
    /// Size of what is seen, 1 ± this. 0 to 0.5.
    pub zoom: f32,
    /// The picture is turned by up to so many degrees. 0 to 180.
    pub rotation: f32,
    /// Left and right are exchanged in half of the clips: where side and direction do not matter, or `flip_exchanges` says
    /// what becomes of the labels.
    pub flip: bool,
    /// Labels that a flip turns into each other: ["left=right"].
    pub flip_exchanges: Vec<String>,
    /// Top and bottom are exchanged in half of the clips.
    pub flip_vertical: bool,
    /// Labels that a vertical flip turns into each other: ["up=down"].
    pub flip_vertical_exchanges: Vec<String>,
    /// Half of the clips run backwards: where the direction of time does not matter, or `reverse_exchanges` says what becomes
    /// of the labels.
    pub reverse: bool,
    /// Labels that running backwards turns into each other: ["opens=closes"].
    pub reverse_exchanges: Vec<String>,
    /// Brightness, ± this share of full scale. 0 to 1.
    pub brightness: f32,
    /// Contrast, 1 ± this. 0 to 0.9.
    pub contrast: f32,
    /// Colours of red, green and blue for themselves, 1 ± this. 0 to 0.9.
    pub color: f32,
    /// Deviation of the noise that is added to each number of each picture, up to this share of full scale. 0 to 1.
    pub noise: f32,
    /// Time stretch, 1 ± this: pictures are left out or repeated. 0 to 0.9.
    pub stretch: f32,
    /// Up to this share of the clip is left out at each end. 0 to 0.4.
    pub crop: f32,
}

impl Default for VideoAugmentConfig {
    fn default() -> Self {
        Self {
            probability: 0.8,
            shift: 0.1,
            zoom: 0.1,
            rotation: 0.0,
            flip: false,
            flip_exchanges: Vec::new(),
            flip_vertical: false,
            flip_vertical_exchanges: Vec::new(),
            reverse: false,
            reverse_exchanges: Vec::new(),
            brightness: 0.1,
            contrast: 0.2,
            color: 0.1,
            noise: 0.02,
            stretch: 0.2,
            crop: 0.0,
        }
    }
}

/// Pictures that have been changed, and where their time has gone.
pub(super) struct ChangedPictures {
    pub pictures: Vec<Picture>,
    /// Times as long as it was.
    pub stretch: f64,
    /// Pictures that were left out at the beginning, counted before the stretch.
    pub cropped: usize,
    pub flipped: bool,
    pub flipped_vertically: bool,
    /// Whether, at last, it was turned about in time.
    pub reversed: bool,
}

/// What becomes of each label of a clip that is flipped or reversed.
pub(super) struct Exchanges {
    flip: Vec<usize>,
    flip_vertical: Vec<usize>,
    reverse: Vec<usize>,
}

impl Exchanges {
    /// # Errors
    /// [`ErrorKind::Config`] for what is no pair of labels.
    pub fn new(config: &VideoAugmentConfig, labels: &[String]) -> Result<Self> {
        let exchange = |name: &str, pairs: &[String]| {
            let mut becomes: Vec<usize> = (0..labels.len()).collect();
            for pair in pairs {
                let find = |label: &str| labels.iter().position(|known| known == label.trim());
                let found = pair.split_once('=').and_then(|(a, b)| find(a).zip(find(b)));
                let (a, b) = found.ok_or_else(|| {
                    let message = format!(
                        "[augment_video] {name} has \"{pair}\"; it must be two labels of the data, \"a=b\"; there are {}",
                        some_of(labels)
                    );
                    Error::new(ErrorKind::Config, message)
                })?;
                becomes.swap(a, b);
            }
            Ok::<_, Error>(becomes)
        };
        Ok(Self {
            flip: exchange("flip_exchanges", &config.flip_exchanges)?,
            flip_vertical: exchange("flip_vertical_exchanges", &config.flip_vertical_exchanges)?,
            reverse: exchange("reverse_exchanges", &config.reverse_exchanges)?,
        })
    }

    /// What each label becomes.
    pub fn of(&self, changed: &ChangedPictures) -> Vec<usize> {
        let each = [
            (changed.flipped, &self.flip),
            (changed.flipped_vertically, &self.flip_vertical),
            (changed.reversed, &self.reverse),
        ];
        let done = each.into_iter().filter(|(done, _)| *done);
        let become_of = |label: usize| done.clone().fold(label, |label, (_, becomes)| becomes[label]);
        (0..self.flip.len()).map(become_of).collect()
    }
}

impl VideoAugmentConfig {
    /// Checks ranges; names the setting that is wrong.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("probability", self.probability, 1.0),
            ("shift", self.shift, 0.5),
            ("zoom", self.zoom, 0.5),
            ("rotation", self.rotation, 180.0),
            ("brightness", self.brightness, 1.0),
            ("contrast", self.contrast, 0.9),
            ("color", self.color, 0.9),
            ("noise", self.noise, 1.0),
            ("stretch", self.stretch, 0.9),
            ("crop", self.crop, 0.4),
        ];
        match ranges.into_iter().find(|(_, value, highest)| !(0.0..=*highest).contains(value)) {
            None => Ok(()),
            Some((name, value, highest)) => {
                Err(Error::new(ErrorKind::Config, format!("{name} is {value}; it must be 0 to {highest}")))
            }
        }
    }

    /// The most pictures that a clip of `count` may have after changes.
    pub(super) fn longest(&self, count: usize) -> usize {
        (count as f32 * (1.0 + self.stretch)).ceil() as usize
    }

    /// A changed copy of a clip's pictures; embeddings stay what they were.
    pub(super) fn pictures(&self, pictures: &[Picture], rng: &mut ChaCha8Rng) -> ChangedPictures {
        let mut kept = 0..pictures.len();
        if self.draws(self.crop, rng) {
            let mut share = || (rng.random::<f32>() * self.crop * pictures.len() as f32) as usize;
            kept = share()..pictures.len() - share();
        }
        let mut count = kept.len();
        if self.draws(self.stretch, rng) {
            count = (kept.len() as f32 * (1.0 + plus_minus(rng, self.stretch))).round().max(1.0) as usize;
        }
        let place = self.place(rng);
        let levels = self.levels(rng);
        let noise = if self.draws(self.noise, rng) { 255.0 * rng.random::<f32>() * self.noise } else { 0.0 };
        let changed = (0..count).map(|t| {
            // The picture in the middle of its time.
            let from = kept.start + (2 * t + 1) * kept.len() / (2 * count);
            let mut picture =
                place.as_ref().map_or_else(|| pictures[from].clone(), |p| p.seen(&pictures[from]));
            if let Some(levels) = &levels {
                picture
                    .pixels
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, value)| *value = levels[i % 3][*value as usize]);
            }
            if noise > 0.0 {
                add_noise(&mut picture.pixels, noise, rng);
            }
            picture
        });
        let mut pictures: Vec<Picture> = changed.collect();
        let reversed = self.reverse && rng.random();
        if reversed {
            pictures.reverse();
        }
        ChangedPictures {
            pictures,
            stretch: count as f64 / kept.len() as f64,
            cropped: kept.start,
            flipped: place.as_ref().is_some_and(|place| place.flip),
            flipped_vertically: place.is_some_and(|place| place.flip_vertical),
            reversed,
        }
    }

    fn place(&self, rng: &mut ChaCha8Rng) -> Option<Place> {
        let mut place = Place::default();
        if self.draws(self.shift, rng) {
            place.shift = [plus_minus(rng, self.shift), plus_minus(rng, self.shift)];
        }
        if self.draws(self.zoom, rng) {
            place.zoom = 1.0 + plus_minus(rng, self.zoom);
        }
        if self.draws(self.rotation, rng) {
            place.angle = plus_minus(rng, self.rotation).to_radians();
        }
        if self.flip {
            place.flip = rng.random();
        }
        if self.flip_vertical {
            place.flip_vertical = rng.random();
        }
        (place != Place::default()).then_some(place)
    }

    /// What red, green and blue become, each for itself.
    fn levels(&self, rng: &mut ChaCha8Rng) -> Option<[[u8; 256]; 3]> {
        let (mut offset, mut scale) = (0.0, [1.0f32; 3]);
        if self.draws(self.brightness, rng) {
            offset = 255.0 * plus_minus(rng, self.brightness);
        }
        if self.draws(self.contrast, rng) {
            scale = [1.0 + plus_minus(rng, self.contrast); 3];
        }
        if self.draws(self.color, rng) {
            scale.iter_mut().for_each(|scale| *scale *= 1.0 + plus_minus(rng, self.color));
        }
        if offset == 0.0 && scale == [1.0; 3] {
            return None;
        }
        let level = |scale: f32| {
            std::array::from_fn(|value| {
                ((value as f32 - 127.5) * scale + 127.5 + offset).round().clamp(0.0, 255.0) as u8
            })
        };
        Some(scale.map(level))
    }

    fn draws(&self, range: f32, rng: &mut ChaCha8Rng) -> bool {
        range > 0.0 && rng.random::<f32>() < self.probability
    }
}

/// How a picture is moved, turned and enlarged about its middle.
#[derive(Debug, PartialEq)]
struct Place {
    /// Shares of width and height.
    shift: [f32; 2],
    zoom: f32,
    /// In radians, clockwise.
    angle: f32,
    flip: bool,
    flip_vertical: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { shift: [0.0; 2], zoom: 1.0, angle: 0.0, flip: false, flip_vertical: false }
    }
}

impl Place {
    /// The picture in its new place, between pixels linearly; beyond its edge the edge goes on.
    fn seen(&self, picture: &Picture) -> Picture {
        let (width, height) = (picture.width, picture.height);
        let middle = [(width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0];
        let (sin, cos) = self.angle.sin_cos();
        let mut seen = picture.clone();
        for y in 0..height {
            for x in 0..width {
                // Where this pixel comes from.
                let dx = x as f32 - middle[0] - self.shift[0] * width as f32;
                let dy = y as f32 - middle[1] - self.shift[1] * height as f32;
                let mut from_x = (cos * dx + sin * dy) / self.zoom;
                let mut from_y = (cos * dy - sin * dx) / self.zoom;
                if self.flip {
                    from_x = -from_x;
                }
                if self.flip_vertical {
                    from_y = -from_y;
                }
                let pixel = between(picture, from_x + middle[0], from_y + middle[1]);
                seen.pixels[3 * (y * width + x)..][..3].copy_from_slice(&pixel);
            }
        }
        seen
    }
}

/// The colour at a place between pixels.
fn between(picture: &Picture, x: f32, y: f32) -> [u8; 3] {
    let (x, y) = (x.clamp(0.0, picture.width as f32 - 1.0), y.clamp(0.0, picture.height as f32 - 1.0));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) = ((left + 1).min(picture.width - 1), (top + 1).min(picture.height - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let at = |x: usize, y: usize, c: usize| f32::from(picture.pixels[3 * (y * picture.width + x) + c]);
    std::array::from_fn(|c| {
        let upper = at(left, top, c) * (1.0 - fx) + at(right, top, c) * fx;
        let lower = at(left, bottom, c) * (1.0 - fx) + at(right, bottom, c) * fx;
        (upper * (1.0 - fy) + lower * fy).round() as u8
    })
}

fn add_noise(pixels: &mut [u8], deviation: f32, rng: &mut ChaCha8Rng) {
    for pair in pixels.chunks_mut(2) {
        for (value, noise) in pair.iter_mut().zip(normal_pair(rng)) {
            *value = (f32::from(*value) + deviation * noise).round().clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const STILL: VideoAugmentConfig = VideoAugmentConfig {
        probability: 1.0,
        shift: 0.0,
        zoom: 0.0,
        rotation: 0.0,
        flip: false,
        flip_exchanges: Vec::new(),
        flip_vertical: false,
        flip_vertical_exchanges: Vec::new(),
        reverse: false,
        reverse_exchanges: Vec::new(),
        brightness: 0.0,
        contrast: 0.0,
        color: 0.0,
        noise: 0.0,
        stretch: 0.0,
        crop: 0.0,
    };

    fn clip(count: usize) -> Vec<Picture> {
        let pixels = |t: usize| (0..5 * 4 * 3).map(|i| (40 * t + i) as u8).collect();
        (0..count)
            .map(|t| Picture { width: 5, height: 4, pixels: pixels(t), embedding: Vec::new() })
            .collect()
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(3)
    }

    #[test]
    fn without_ranges_nothing_changes_and_the_same_seed_changes_alike() {
        let pictures = clip(5);
        let same = STILL.pictures(&pictures, &mut rng());
        assert_eq!((same.pictures, same.stretch, same.cropped), (pictures.clone(), 1.0, 0));
        let all =
            VideoAugmentConfig { rotation: 20.0, flip: true, crop: 0.3, ..VideoAugmentConfig::default() };
        let (a, b) = (all.pictures(&pictures, &mut rng()), all.pictures(&pictures, &mut rng()));
        assert!(a.pictures == b.pictures && a.pictures != pictures);
    }

    #[test]
    fn a_picture_moves_as_it_is_told() {
        let picture = &clip(1)[0];
        let flipped = Place { flip: true, ..Place::default() }.seen(picture);
        assert_eq!(flipped.pixels[..3], picture.pixels[12..15]);
        // A fifth of five pixels to the right: the edge goes on.
        let moved = Place { shift: [0.2, 0.0], ..Place::default() }.seen(picture);
        assert_eq!(moved.pixels[3..15], picture.pixels[..12]);
        assert_eq!(moved.pixels[..3], picture.pixels[..3]);
        let turned = Place { angle: std::f32::consts::PI, ..Place::default() }.seen(picture);
        assert_eq!(turned.pixels[..3], picture.pixels[57..60]);
    }

    #[test]
    fn a_clip_that_is_flipped_or_reversed_has_the_label_that_it_then_shows() {
        let labels = ["left", "right", "still"].map(String::from);
        let config = VideoAugmentConfig {
            flip: true,
            flip_exchanges: vec!["left=right".into()],
            reverse: true,
            reverse_exchanges: vec!["right = left".into()],
            ..STILL
        };
        let exchanges = Exchanges::new(&config, &labels).unwrap();
        let pictures = clip(3);
        let mut rng = rng();
        let mut seen = [false; 4];
        for _ in 0..60 {
            let changed = config.pictures(&pictures, &mut rng);
            let once = changed.flipped != changed.reversed;
            assert_eq!(exchanges.of(&changed), if once { [1, 0, 2] } else { [0, 1, 2] });
            assert_eq!(changed.pictures[0] == pictures[0], !changed.flipped && !changed.reversed);
            seen[usize::from(changed.flipped) + 2 * usize::from(changed.reversed)] = true;
        }
        assert_eq!(seen, [true; 4]);
        let wrong = VideoAugmentConfig { flip_exchanges: vec!["left=up".into()], ..STILL };
        let error = Exchanges::new(&wrong, &labels).err().unwrap();
        assert!(error.message.contains("\"left=up\"") && error.message.contains("still"), "{error}");
    }

    #[test]
    fn time_is_stretched_and_cropped_by_whole_pictures() {
        let pictures = clip(20);
        let config = VideoAugmentConfig { stretch: 0.5, crop: 0.2, ..STILL };
        let mut rng = rng();
        for _ in 0..50 {
            let changed = config.pictures(&pictures, &mut rng);
            assert!(changed.pictures.len() <= config.longest(20) && !changed.pictures.is_empty());
            assert!(changed.cropped <= 4);
            let first = changed.pictures[0].pixels[0];
            assert!(pictures.iter().any(|picture| picture.pixels[0] == first));
        }
    }

    #[test]
    fn a_range_out_of_bounds_is_named() {
        for (config, name) in [
            (VideoAugmentConfig { shift: 0.6, ..STILL }, "shift is 0.6; it must be 0 to 0.5"),
            (VideoAugmentConfig { noise: f32::NAN, ..STILL }, "noise is NaN"),
        ] {
            assert!(config.validate().unwrap_err().message.starts_with(name));
        }
    }
}
