//! Speed of convolutions over time and frequency: `cargo bench --bench conv_spectrogram`.
//!
//! All cores, or as many threads as `RAYON_NUM_THREADS` says. `benches/peers/conv_spectrogram.py` times PyTorch on the same.

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use percept::nn::conv::{FrontEnd, is_running_statistic};
use percept::nn::{FrameShape, NetworkConfig};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const CLIPS: usize = 32;
const FRAMES: usize = 200;
const SHAPE: FrameShape = FrameShape { channels: 1, height: 64, width: 1, rest: 0 };

fn main() -> percept::Result<()> {
    let config = NetworkConfig {
        conv_channels: vec![32, 64, 128],
        conv_pool: vec![[2, 2]; 3],
        conv_output_size: 128,
        dropout: 0.0,
        ..NetworkConfig::default()
    };
    let x = Tensor::rand(0f32, 1.0, (CLIPS, FRAMES, SHAPE.len()), &Device::Cpu)?;
    let lengths = [FRAMES; CLIPS];
    let mut vars = Vec::new();
    for (name, shape) in FrontEnd::shapes(&config, SHAPE) {
        let lowest = if is_running_statistic(&name) { 0.5 } else { -0.05f32 };
        vars.push(Var::rand(lowest, lowest + 0.1, shape, &Device::Cpu)?);
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
        for _ in 0..20 {
            let start = Instant::now();
            if learning {
                let mut rng = ChaCha8Rng::seed_from_u64(0);
                front_end.train(&x, &lengths, &mut rng)?.0.sum_all()?.backward()?;
            } else {
                front_end.forward(&x, &lengths, None)?;
            }
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let (median, min) = (times[times.len() / 2], times[0]);
        let rate = (CLIPS * FRAMES) as f64 / median;
        println!("{name}\t{median:.1} ms (from {min:.1})\t{rate:.0} thousand frames/s");
    }
    Ok(())
}
