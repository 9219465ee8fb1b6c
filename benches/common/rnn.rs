//! The cases of the recurrent benchmarks, and how one is run: `benches/rnn.rs` and `examples/bench_rnn.rs`.
//!
//! The work is PyTorch's: `torch.nn.LSTM(inputs, hidden, layers, batch_first=True, bidirectional=True)` on whole
//! batches, and one training step of it under a linear layer per frame, cross entropy and Adam.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy};
use percept::Result;
use percept::nn::rnn::Rnn;
use percept::nn::{CellKind, NetworkConfig};

/// A stacked network, in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub name: &'static str,
    pub inputs: usize,
    pub hidden: usize,
    pub layers: usize,
}

pub const MODELS: [Model; 3] = [
    Model { name: "s64-128x2", inputs: 64, hidden: 128, layers: 2 },
    Model { name: "m128-256x2", inputs: 128, hidden: 256, layers: 2 },
    Model { name: "l512-512x3", inputs: 512, hidden: 512, layers: 3 },
];

/// Sequences and frames.
pub const SHAPES: [(usize, usize); 4] = [(1, 500), (1, 3000), (16, 500), (64, 100)];

/// One row of the inference table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub cell: CellKind,
    pub model: Model,
    pub batch: usize,
    pub frames: usize,
}

impl Case {
    /// All cases of these cells whose name (`gru s64-128x2 b1 T500`) has `filter` in it.
    pub fn all(cells: &[CellKind], filter: &str) -> Vec<Self> {
        let mut cases = Vec::new();
        for model in MODELS {
            for &cell in cells {
                cases.extend(SHAPES.map(|(batch, frames)| Self { cell, model, batch, frames }));
            }
        }
        cases.retain(|case| case.name().contains(filter));
        cases
    }

    pub fn name(&self) -> String {
        format!("{} {} b{} T{}", cell_name(self.cell), self.model.name, self.batch, self.frames)
    }

    /// Floating-point operations of the matrix products, two to a multiply-add.
    pub fn flops(&self) -> f64 {
        let Model { inputs, hidden, layers, .. } = self.model;
        let widths = (0..layers).map(|layer| if layer == 0 { inputs } else { 2 * hidden });
        let peepholes = self.cell.peephole_shape(hidden).map_or(0, |shape| shape.iter().product());
        let recurrent = self.cell.num_gates() * hidden * hidden + peepholes;
        let weights: usize = widths.map(|width| self.cell.num_gates() * hidden * width + recurrent).sum();
        (2 * 2 * weights * self.batch * self.frames) as f64
    }

    /// Time of one call.
    pub fn run(&self) -> Result<Time> {
        let rnn = network(self.cell, self.model, &weights(self.cell, self.model)?)?;
        let x = input(self.batch, self.frames, self.model.inputs)?;
        let lengths = vec![self.frames; self.batch];
        time(|| rnn.forward(black_box(&x), &lengths, None))
    }
}

/// A training step's time, and that of its forward pass alone, without gradients.
pub struct Training {
    pub step: Time,
    pub forward: Time,
    /// After the last step.
    pub loss: f32,
}

/// Model s64-128x2 on 32 sequences of 200 frames, each frame of one of ten classes.
pub fn train(cell: CellKind) -> Result<Training> {
    const BATCH: usize = 32;
    const FRAMES: usize = 200;
    const CLASSES: usize = 10;
    let model = MODELS[0];
    let width = 2 * model.hidden;
    let vars: BTreeMap<String, Var> = weights(cell, model)?
        .iter()
        .map(|(name, weight)| Ok((name.clone(), Var::from_tensor(weight)?)))
        .collect::<Result<_>>()?;
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    let rnn = network(cell, model, &tensors)?;
    let head = Var::from_tensor(&noise(&[CLASSES, width], 1.0 / (width as f64).sqrt(), 2)?)?;
    let bias = Var::from_tensor(&noise(&[CLASSES], 1.0 / (width as f64).sqrt(), 3)?)?;
    // Without weight decay this is Adam.
    let params = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..ParamsAdamW::default() };
    let all = vars.values().cloned().chain([head.clone(), bias.clone()]).collect();
    let mut optimizer = AdamW::new(all, params)?;

    let x = input(BATCH, FRAMES, model.inputs)?;
    let lengths = [FRAMES; BATCH];
    let classes = (0..(BATCH * FRAMES) as u32).map(|i| i * 7 % CLASSES as u32).collect::<Vec<_>>();
    let y = Tensor::new(classes, &Device::Cpu)?;
    let mut last = 0.0;
    let step = time(|| {
        let frames = rnn.forward(&x, &lengths, None)?.output.reshape((BATCH * FRAMES, width))?;
        let logits = frames.matmul(&head.t()?)?.broadcast_add(&bias)?;
        let loss = cross_entropy(&logits, &y)?;
        optimizer.backward_step(&loss)?;
        last = loss.to_scalar()?;
        Ok(())
    })?;

    let learnt = vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
    let rnn = network(cell, model, &learnt)?;
    let forward = time(|| rnn.forward(black_box(&x), &lengths, None))?;
    Ok(Training { step, forward, loss: last })
}

/// Times of several runs, in milliseconds.
pub struct Time {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub runs: usize,
}

/// After two runs that do not count, at least 7 runs (3 where one takes over 1.5 s) and at most 50 within a second.
fn time<T>(mut run: impl FnMut() -> Result<T>) -> Result<Time> {
    let mut timed = || -> Result<f64> {
        let start = Instant::now();
        drop(black_box(run()?));
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    timed()?;
    let least = if timed()? > 1_500.0 { 3 } else { 7 };
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < least || (start.elapsed().as_secs_f64() < 1.0 && times.len() < 50) {
        times.push(timed()?);
    }
    times.sort_by(f64::total_cmp);
    let runs = times.len();
    Ok(Time { median: times[runs / 2], min: times[0], max: times[runs - 1], runs })
}

/// The cell's name in a model file: `lstm`, `gru`, `rnn_tanh`.
pub fn cell_name(cell: CellKind) -> String {
    serde_json::to_value(cell).ok().and_then(|name| name.as_str().map(String::from)).unwrap_or_default()
}

fn network(cell: CellKind, model: Model, weights: &BTreeMap<String, Tensor>) -> Result<Rnn> {
    Rnn::new(&config(cell, model), |name| Ok(weights[name].clone()))
}

fn config(cell: CellKind, model: Model) -> NetworkConfig {
    let Model { hidden: hidden_size, layers: num_layers, .. } = model;
    NetworkConfig {
        cell,
        hidden_size,
        num_layers,
        bidirectional: true,
        dropout: 0.0,
        ..NetworkConfig::default()
    }
}

/// Drawn as PyTorch draws them: between -1/√H and 1/√H.
fn weights(cell: CellKind, model: Model) -> Result<BTreeMap<String, Tensor>> {
    let bound = 1.0 / (model.hidden as f64).sqrt();
    Rnn::shapes(&config(cell, model), model.inputs)
        .into_iter()
        .enumerate()
        .map(|(i, (name, shape))| Ok((name, noise(&shape, bound, i as u64 + 10)?)))
        .collect()
}

/// `[B, T, D]` with variance 1.
fn input(batch: usize, frames: usize, width: usize) -> Result<Tensor> {
    noise(&[batch, frames, width], 3f64.sqrt(), 1)
}

/// Even noise between `-bound` and `bound`.
fn noise(shape: &[usize], bound: f64, seed: u64) -> Result<Tensor> {
    let mut state = seed;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((state >> 40) as f64 / f64::from(1 << 23) - 1.0) * bound) as f32
    });
    Ok(Tensor::from_vec(values.collect::<Vec<_>>(), shape, &Device::Cpu)?)
}
