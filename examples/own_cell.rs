//! A cell of one's own, as a plain step in candle tensors: `cargo run --release --example own_cell`
//!
//! The minimal gated unit (Zhou et al. 2016) has one gate, f, where a GRU has two:
//!
//! ```text
//! f = σ(W_f x + U_f h + b_f)      n = tanh(W_n x + U_n (f * h) + b_n)      h' = (1 - f) * h + f * n
//! ```
//!
//! It learns to say at every frame whether it has heard an even number of ones so far.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::sigmoid;
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::binary_cross_entropy_with_logit};
use percept::nn::cell::State;
use percept::nn::reference::{Cell, scan};

const HIDDEN: usize = 16;
const SEQUENCES: usize = 128;
const FRAMES: usize = 12;

struct MinimalGatedUnit {
    /// `[D, 2H]`, `[H, H]` twice and `[2H]`: gates in the order f, n.
    input: Var,
    gate: Var,
    candidate: Var,
    bias: Var,
}

impl Cell for MinimalGatedUnit {
    fn initial(&self, batch: usize) -> Result<State> {
        Ok(State { h: Tensor::zeros((batch, HIDDEN), DType::F32, &Device::Cpu)?, c: None })
    }

    fn step(&self, x: &Tensor, state: &State) -> Result<State> {
        let x = x.matmul(&self.input)?.broadcast_add(&self.bias)?.chunk(2, D::Minus1)?;
        let f = sigmoid(&(&x[0] + state.h.matmul(&self.gate)?)?)?;
        let n = (&x[1] + (&f * &state.h)?.matmul(&self.candidate)?)?.tanh()?;
        let h = (&state.h + (f * (n - &state.h)?)?)?;
        Ok(State { h, c: None })
    }
}

fn main() -> Result<()> {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut var = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|_| random() - 0.5).collect();
        Var::from_tensor(&Tensor::from_vec(values, (rows, columns), &Device::Cpu)?)
    };
    let cell = MinimalGatedUnit {
        input: var(1, 2 * HIDDEN)?,
        gate: var(HIDDEN, HIDDEN)?,
        candidate: var(HIDDEN, HIDDEN)?,
        bias: Var::zeros(2 * HIDDEN, DType::F32, &Device::Cpu)?,
    };
    let readout = var(HIDDEN, 1)?;

    let bits: Vec<f32> = (0..SEQUENCES * FRAMES).map(|_| random().round()).collect();
    let even = |sequence: &[f32]| {
        let sums = sequence.iter().scan(0.0, |sum, bit| {
            *sum += bit;
            Some(1.0 - *sum % 2.0)
        });
        sums.collect::<Vec<f32>>()
    };
    let labels: Vec<f32> = bits.chunks_exact(FRAMES).flat_map(even).collect();
    let x = Tensor::from_vec(bits, (SEQUENCES, FRAMES, 1), &Device::Cpu)?;
    let labels = Tensor::from_vec(labels, (SEQUENCES * FRAMES, 1), &Device::Cpu)?;

    let vars = [&cell.input, &cell.gate, &cell.candidate, &cell.bias, &readout].map(Var::clone);
    let params = ParamsAdamW { lr: 0.02, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(vars.to_vec(), params)?;
    for epoch in 1..=300 {
        let (output, _) = scan(&cell, &x, &[FRAMES; SEQUENCES], false)?;
        let logits = output.reshape((SEQUENCES * FRAMES, HIDDEN))?.matmul(&readout)?;
        let loss = binary_cross_entropy_with_logit(&logits, &labels)?;
        optimizer.backward_step(&loss)?;
        if epoch % 50 == 0 {
            let right = logits.gt(0f32)?.to_dtype(DType::F32)?.eq(&labels)?.to_dtype(DType::F32)?;
            let accuracy = 100.0 * right.mean_all()?.to_scalar::<f32>()?;
            println!("epoch {epoch:3}  loss {:.4}  right {accuracy:.1} %", loss.to_scalar::<f32>()?);
        }
    }
    Ok(())
}
