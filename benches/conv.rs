//! Speed of the convolutional front end: `cargo bench --bench conv`.
//!
//! All cores, or as many threads as `RAYON_NUM_THREADS` says. `benches/peers/conv.py` times PyTorch on the same.

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use percept::nn::conv::FrontEnd;
use percept::nn::{FrameShape, NetworkConfig};

const CLIPS: usize = 16;
const FRAMES: usize = 24;
const SHAPE: FrameShape = FrameShape { channels: 2, height: 32, width: 32, rest: 0 };

fn main() -> percept::Result<()> {
    let config = NetworkConfig {
        conv_channels: vec![16, 32, 64],
        conv_output_size: 64,
        dropout: 0.0,
        ..NetworkConfig::default()
    };
    let x = Tensor::rand(0f32, 1.0, (CLIPS, FRAMES, SHAPE.len()), &Device::Cpu)?;
    let lengths = [FRAMES; CLIPS];
    let mut vars = Vec::new();
    for (_, shape) in FrontEnd::shapes(&config, SHAPE) {
        vars.push(Var::rand(-0.05f32, 0.05, shape, &Device::Cpu)?);
    }
    let front_end = |learning: bool| {
        let mut vars = vars.iter();
        FrontEnd::new(&config, SHAPE, |_| {
            let var = vars.next().expect("a weight for each name");
            Ok(if learning { var.as_tensor().clone() } else { var.as_detached_tensor() })
        })
    };
    for (learning, name) in [(true, "forward and backward"), (false, "inference")] {
        let Some(front_end) = front_end(learning)? else { return Ok(()) };
        let mut times = Vec::new();
        for _ in 0..100 {
            let start = Instant::now();
            let out = front_end.forward(&x, &lengths, None)?;
            if learning {
                out.sum_all()?.backward()?;
            }
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (median, min) = (times[times.len() / 2], times[0]);
        let rate = (CLIPS * FRAMES) as f64 / median;
        println!("{name}\t{median:.2} ms (from {min:.2})\t{rate:.0} thousand frames/s");
    }
    Ok(())
}
