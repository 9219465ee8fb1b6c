//! Embeddings: what a network that was trained on many photographs sees in a frame. The weights are the user's own.

mod layers;
mod mobilenet;
mod resnet;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::picture;
use crate::signal::VideoFrame;
use crate::{Error, ErrorKind, Result};
use mobilenet::MobilenetV2;
use resnet::Resnet18;
use weights::Source;

/// Side of the square that a network looks at, in pixels, unless it is told otherwise.
pub const DEFAULT_SIZE: usize = 224;

/// Mean and standard deviation of red, green and blue in ImageNet, which torchvision's networks expect to be taken out.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// A pretrained network, by torchvision's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingKind {
    /// ResNet-18 (He et al., "Deep residual learning for image recognition", 2016): 512 values.
    Resnet18,
    /// MobileNetV2 (Sandler et al., "Inverted residuals and linear bottlenecks", 2018): 1280 values.
    MobilenetV2,
}

impl EmbeddingKind {
    /// Numbers in an embedding.
    pub fn num_features(self) -> usize {
        match self {
            Self::Resnet18 => 512,
            Self::MobilenetV2 => 1280,
        }
    }

    /// torchvision's name of it, which is that in a config, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::MobilenetV2 => "mobilenet_v2",
        }
    }
}

/// A pretrained network without its classifier: a frame in, the mean of its last feature maps out.
#[derive(Debug, Clone)]
pub struct Embedding {
    kind: EmbeddingKind,
    size: usize,
    weights: BTreeMap<String, Tensor>,
    network: Network,
}

#[derive(Debug, Clone)]
enum Network {
    Resnet18(Resnet18),
    MobilenetV2(MobilenetV2),
}

impl Embedding {
    /// From tensors by torchvision's names (`torchvision.models.resnet18(...).state_dict()`). The classifier (`fc.*`,
    /// `classifier.*`) and `num_batches_tracked` are not needed and dropped; f16, bf16 and f64 become f32.
    ///
    /// # Errors
    /// [`ErrorKind::Model`], naming a tensor that is missing, of a wrong shape or type, not finite, or none of this network.
    pub fn new(kind: EmbeddingKind, weights: BTreeMap<String, Tensor>) -> Result<Self> {
        let mut source = Source::new(kind, weights);
        let network = match kind {
            EmbeddingKind::Resnet18 => Network::Resnet18(Resnet18::new(&mut source)?),
            EmbeddingKind::MobilenetV2 => Network::MobilenetV2(MobilenetV2::new(&mut source)?),
        };
        Ok(Self { kind, size: DEFAULT_SIZE, weights: source.finish()?, network })
    }

    /// From a safetensors file of such tensors.
    ///
    /// # Errors
    /// As [`Self::new`], with the path; and where the file cannot be read, is too long or no safetensors file.
    pub fn load(kind: EmbeddingKind, path: &Path) -> Result<Self> {
        weights::read(path).and_then(|weights| Self::new(kind, weights)).map_err(|e| e.with_path(path))
    }

    /// Looks at a square of another side, in pixels; see [`EMBEDDING_SIZE_RANGE`](super::config::EMBEDDING_SIZE_RANGE).
    pub fn with_size(self, size: usize) -> Self {
        Self { size, ..self }
    }

    pub fn kind(&self) -> EmbeddingKind {
        self.kind
    }

    /// The tensors that [`Self::new`] needs, in f32: what a model must store to need no other file.
    pub fn weights(&self) -> &BTreeMap<String, Tensor> {
        &self.weights
    }

    /// `[kind.num_features()]`, always finite. As torchvision's transforms do it, the frame's shorter side becomes 8/7 of
    /// the size (256 of 224), and of that the square in the middle is looked at.
    ///
    /// # Errors
    /// As [`VideoExtractor::prepare`](super::VideoExtractor::prepare); [`ErrorKind::Model`] where the weights make the
    /// values overflow.
    pub fn embed(&self, frame: &VideoFrame) -> Result<Vec<f32>> {
        let input = normalized(&centre(frame, self.size)?, self.size)?;
        let maps = match &self.network {
            Network::Resnet18(network) => network.forward(&input)?,
            Network::MobilenetV2(network) => network.forward(&input)?,
        };
        let embedding = maps.mean((2, 3))?.flatten_all()?.to_vec1::<f32>()?;
        match embedding.iter().all(|x| x.is_finite()) {
            true => Ok(embedding),
            false => {
                let message = format!("the weights of {} make values overflow", self.kind.name());
                Err(Error::new(ErrorKind::Model, message))
            }
        }
    }
}

/// The square of `size` in the middle of a frame whose shorter side has become 8/7 of that, `[size, size, 3]`: what
/// `torchvision.transforms.Resize` and `CenterCrop` give.
fn centre(frame: &VideoFrame, size: usize) -> Result<Vec<u8>> {
    let sides = [frame.width, frame.height].map(f64::from);
    let shorter = sides[0].min(sides[1]);
    let target = ((8 * size + 3) / 7) as f64;
    let [(left, width), (top, height)] = sides.map(|side| {
        let resized = (target * side / shorter).floor();
        let start = ((resized - size as f64) / 2.0).round_ties_even();
        let scale = side / resized;
        (start * scale, size as f64 * scale)
    });
    picture::resized(frame, Some([left, top, width, height]), size, size)
}

/// RGB levels `[size, size, 3]` -> `[1, 3, size, size]`, with ImageNet's mean and deviation taken out.
fn normalized(pixels: &[u8], size: usize) -> Result<Tensor> {
    let plane = |c: usize| {
        let levels = pixels.iter().skip(c).step_by(3);
        levels.map(move |&level| (f32::from(level) / 255.0 - MEAN[c]) / STD[c])
    };
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    Ok(Tensor::from_vec(values, (1, 3, size, size), &Device::Cpu)?)
}
