//! MobileNetV2 up to its last feature maps: `torchvision.models.mobilenet_v2`.

use candle_core::Tensor;

use super::layers::{Convolution, Depthwise};
use super::weights::Source;
use crate::Result;

/// The paper's table 2: expansion, channels, blocks, stride of the first of them.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

#[derive(Debug, Clone)]
pub(super) struct MobilenetV2 {
    stem: Convolution,
    blocks: Vec<Block>,
    last: Convolution,
}

/// An inverted residual: more channels, each filtered by itself, and fewer again.
#[derive(Debug, Clone)]
struct Block {
    /// Missing where there are no more channels than before.
    expand: Option<Convolution>,
    filter: Depthwise,
    project: Convolution,
    /// Whether the input is added to the output.
    residual: bool,
}

impl MobilenetV2 {
    pub(super) fn new(source: &mut Source) -> Result<Self> {
        let stem = source.convolution("features.0.0", "features.0.1", [32, 3, 3], 2)?;
        let mut blocks = Vec::new();
        let mut inputs = 32;
        for (expansion, out, count, first_stride) in STAGES {
            for block in 0..count {
                let name = format!("features.{}.conv", blocks.len() + 1);
                let stride = if block == 0 { first_stride } else { 1 };
                blocks.push(Block::new(source, &name, [inputs, inputs * expansion, out], stride)?);
                inputs = out;
            }
        }
        let last = source.convolution("features.18.0", "features.18.1", [1280, inputs, 1], 1)?;
        Ok(Self { stem, blocks, last })
    }

    /// `[1, 3, H, W]` -> `[1, 1280, H / 32, W / 32]`, rounded up
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = relu6(&self.stem.forward(x)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        relu6(&self.last.forward(&x)?)
    }
}

impl Block {
    fn new(
        source: &mut Source,
        name: &str,
        [inputs, hidden, out]: [usize; 3],
        stride: usize,
    ) -> Result<Self> {
        let part = |part: &str| format!("{name}.{part}");
        // Without an expansion, what follows has numbers that are lower by one.
        let (expand, at) = match hidden == inputs {
            true => (None, 0),
            false => (Some(source.convolution(&part("0.0"), &part("0.1"), [hidden, inputs, 1], 1)?), 1),
        };
        let filter =
            source.depthwise(&part(&format!("{at}.0")), &part(&format!("{at}.1")), hidden, stride)?;
        let (weight, norm) = (part(&(at + 1).to_string()), part(&(at + 2).to_string()));
        let project = source.convolution(&weight, &norm, [out, hidden, 1], 1)?;
        Ok(Self { expand, filter, project, residual: stride == 1 && inputs == out })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let wide = match &self.expand {
            Some(expand) => relu6(&expand.forward(x)?)?,
            None => x.clone(),
        };
        let y = self.project.forward(&self.filter.forward(&wide)?)?;
        Ok(if self.residual { (x + y)? } else { y })
    }
}

fn relu6(x: &Tensor) -> Result<Tensor> {
    Ok(x.clamp(0_f32, 6_f32)?)
}
