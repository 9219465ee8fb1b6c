//! A network on one's own sequences: `cargo run --release --example train_on_tensors`
//!
//! The sequences are noise with a bump that rises or falls; what counts is its direction, so a network that looks at
//! single frames cannot tell them apart.

use candle_core::{Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy};
use percept::nn::{Network, NetworkConfig};

const FRAMES: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (x, lengths, labels) = sequences(256)?;
    let config = NetworkConfig { hidden_size: 16, num_layers: 1, ..NetworkConfig::default() };
    let vars = Network::init(&config, x.dim(2)?, 2, 1)?;
    let weights = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let network = Network::new(&config, x.dim(2)?, 2, &weights)?;

    let params = ParamsAdamW { lr: 0.03, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.values().cloned().collect(), params)?;
    for epoch in 1..=60 {
        let loss = cross_entropy(&network.forward(&x, &lengths, None)?, &labels)?;
        optimizer.backward_step(&loss)?;
        if epoch % 10 == 0 {
            let predicted = network.forward(&x, &lengths, None)?.argmax(1)?;
            let correct = predicted.eq(&labels)?.to_vec1::<u8>()?.iter().filter(|&&same| same == 1).count();
            println!("epoch {epoch:2}  loss {:.4}  correct {correct}/256", loss.to_scalar::<f32>()?);
        }
    }
    Ok(())
}

/// `x [B, T, 1]`, how many of the `T` frames of each sequence count, and labels `[B]`: 0 falls, 1 rises.
fn sequences(count: usize) -> candle_core::Result<(Tensor, Vec<usize>, Tensor)> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut data = vec![0f32; count * FRAMES];
    let lengths: Vec<usize> = (0..count).map(|i| FRAMES - i % 10).collect();
    for (i, sequence) in data.chunks_exact_mut(FRAMES).enumerate() {
        let start = ((noise() + 1.0) * 5.0) as usize;
        for (t, value) in sequence.iter_mut().enumerate() {
            let within = (start..start + 10).contains(&t);
            let bump = if i % 2 == 1 { t as f32 - start as f32 } else { (start + 9) as f32 - t as f32 };
            *value = 0.3 * noise() + if within { 0.2 * bump } else { 0.0 };
        }
    }
    let labels = (0..count as u32).map(|i| i % 2).collect::<Vec<_>>();
    let x = Tensor::from_vec(data, (count, FRAMES, 1), &Device::Cpu)?;
    Ok((x, lengths, Tensor::new(labels, &Device::Cpu)?))
}
