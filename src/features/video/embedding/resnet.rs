//! ResNet-18 up to its last feature maps: `torchvision.models.resnet18`.

use candle_core::Tensor;

use super::layers::{Convolution, max_pool};
use super::weights::Source;
use crate::Result;

#[derive(Debug, Clone)]
pub(super) struct Resnet18 {
    stem: Convolution,
    blocks: Vec<Block>,
}

/// Two convolutions beside a way around them.
#[derive(Debug, Clone)]
struct Block {
    first: Convolution,
    second: Convolution,
    /// Where the maps change in size and number, the way around is a convolution, too.
    around: Option<Convolution>,
}

impl Resnet18 {
    pub(super) fn new(source: &mut Source) -> Result<Self> {
        let stem = source.convolution("conv1", "bn1", [64, 3, 7], 2)?;
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (layer, out) in [(1, 64), (2, 128), (3, 256), (4, 512)] {
            for block in 0..2 {
                blocks.push(Block::new(source, &format!("layer{layer}.{block}"), inputs, out)?);
                inputs = out;
            }
        }
        Ok(Self { stem, blocks })
    }

    /// `[1, 3, H, W]` -> `[1, 512, H / 32, W / 32]`, rounded up
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = max_pool(&self.stem.forward(x)?.relu()?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

impl Block {
    fn new(source: &mut Source, name: &str, inputs: usize, out: usize) -> Result<Self> {
        let stride = if inputs == out { 1 } else { 2 };
        let part = |part: &str| format!("{name}.{part}");
        let around = match stride {
            1 => None,
            _ => Some(source.convolution(
                &part("downsample.0"),
                &part("downsample.1"),
                [out, inputs, 1],
                stride,
            )?),
        };
        Ok(Self {
            first: source.convolution(&part("conv1"), &part("bn1"), [out, inputs, 3], stride)?,
            second: source.convolution(&part("conv2"), &part("bn2"), [out, out, 3], 1)?,
            around,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let around = match &self.around {
            Some(convolution) => convolution.forward(x)?,
            None => x.clone(),
        };
        let y = self.first.forward(x)?.relu()?;
        Ok((self.second.forward(&y)? + around)?.relu()?)
    }
}
