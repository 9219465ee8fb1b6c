//! What clips are made of, in memory and as bytes.

use crate::features::Features;
use crate::features::video::Picture;
use crate::signal::Signal;

/// What a clip is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Material {
    Sound(Signal),
    /// As the model looks at them, at its frame rate.
    Pictures(Vec<Picture>),
    /// `[T, D]`
    Vectors(Features),
}

/// How the bytes of a material are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Layout {
    /// Samples of four bytes, at a rate in Hz.
    Sound { sample_rate: u32 },
    /// Pictures in red, green and blue, each with its embedding behind it.
    Pictures { width: usize, height: usize, embedding: usize },
    /// Frames of so many numbers of four bytes.
    Frames { dim: usize },
}

impl Layout {
    /// Bytes of a sample or frame.
    pub fn stride(self) -> Option<usize> {
        match self {
            Self::Sound { .. } => Some(4),
            Self::Pictures { width, height, embedding } => {
                width.checked_mul(height)?.checked_mul(3)?.checked_add(embedding.checked_mul(4)?)
            }
            Self::Frames { dim } => dim.checked_mul(4),
        }
    }
}

impl Material {
    /// Samples of sound, or frames.
    pub fn len(&self) -> usize {
        match self {
            Self::Sound(signal) => signal.samples.len(),
            Self::Pictures(pictures) => pictures.len(),
            Self::Vectors(vectors) => vectors.frames,
        }
    }

    /// What it takes in memory, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Sound(signal) => 4 * signal.samples.len(),
            Self::Pictures(pictures) => pictures.iter().map(|p| p.pixels.len() + 4 * p.embedding.len()).sum(),
            Self::Vectors(vectors) => 4 * vectors.data.len(),
        }
    }

    /// `len` samples or frames from `start`, both within it.
    pub fn part(&self, start: usize, len: usize) -> Self {
        let end = start + len;
        match self {
            Self::Sound(Signal { samples, sample_rate }) => {
                Self::Sound(Signal { samples: samples[start..end].to_vec(), sample_rate: *sample_rate })
            }
            Self::Pictures(pictures) => Self::Pictures(pictures[start..end].to_vec()),
            Self::Vectors(Features { data, dim, .. }) => Self::Vectors(Features {
                data: data[start * dim..end * dim].to_vec(),
                frames: len,
                dim: *dim,
            }),
        }
    }

    /// `None` for what has no picture, or pictures of several sizes.
    pub fn layout(&self) -> Option<Layout> {
        match self {
            Self::Sound(signal) => Some(Layout::Sound { sample_rate: signal.sample_rate }),
            Self::Pictures(pictures) => {
                let size = |p: &Picture| (p.width, p.height, p.embedding.len());
                let (width, height, embedding) = size(pictures.first()?);
                let alike = pictures.iter().all(|p| size(p) == (width, height, embedding));
                alike.then_some(Layout::Pictures { width, height, embedding })
            }
            Self::Vectors(vectors) => Some(Layout::Frames { dim: vectors.dim }),
        }
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Sound(signal) => bytes_of(&signal.samples),
            Self::Pictures(pictures) => {
                let bytes = |p: &Picture| [p.pixels.as_slice(), &bytes_of(&p.embedding)].concat();
                pictures.iter().flat_map(bytes).collect()
            }
            Self::Vectors(vectors) => bytes_of(&vectors.data),
        }
    }

    /// From whole samples or frames of that layout.
    pub fn from_bytes(layout: Layout, bytes: &[u8]) -> Self {
        match layout {
            Layout::Sound { sample_rate } => Self::Sound(Signal { samples: numbers_of(bytes), sample_rate }),
            Layout::Pictures { width, height, .. } => {
                let picture = |bytes: &[u8]| {
                    let (pixels, embedding) = bytes.split_at(3 * width * height);
                    Picture { width, height, pixels: pixels.to_vec(), embedding: numbers_of(embedding) }
                };
                let stride = layout.stride().unwrap_or(0).max(1);
                Self::Pictures(bytes.chunks_exact(stride).map(picture).collect())
            }
            Layout::Frames { dim } => {
                let data = numbers_of(bytes);
                Self::Vectors(Features { frames: data.len() / dim.max(1), data, dim })
            }
        }
    }
}

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn numbers_of(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_back_from_its_bytes_whole_and_in_part() {
        let picture = |k: u8| Picture {
            width: 2,
            height: 1,
            pixels: (k..k + 6).collect(),
            embedding: vec![f32::from(k), -0.5],
        };
        for material in [
            Material::Sound(Signal {
                samples: vec![0.5, -1.0, 1e-20, f32::MIN_POSITIVE],
                sample_rate: 8_000,
            }),
            Material::Pictures((0..4).map(picture).collect()),
            Material::Vectors(Features { data: (0..12).map(|i| i as f32).collect(), frames: 4, dim: 3 }),
        ] {
            let (layout, bytes) = (material.layout().unwrap(), material.to_bytes());
            assert_eq!((bytes.len(), bytes.len()), (material.size(), 4 * layout.stride().unwrap()));
            assert_eq!(Material::from_bytes(layout, &bytes), material);
            let stride = layout.stride().unwrap();
            assert_eq!(Material::from_bytes(layout, &bytes[stride..3 * stride]), material.part(1, 2));
        }
    }

    #[test]
    fn pictures_of_several_sizes_have_no_layout() {
        let picture = |width| Picture { width, height: 1, pixels: vec![0; 3 * width], embedding: Vec::new() };
        assert_eq!(Material::Pictures(vec![picture(1), picture(2)]).layout(), None);
        assert_eq!(Material::Pictures(Vec::new()).layout(), None);
    }
}
