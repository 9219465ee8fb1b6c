//! Layers x directions over sequences of unequal length: fused, and step by step as the reference.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use rand_chacha::ChaCha8Rng;

use super::NetworkConfig;
use super::cell::{CellKind, CellWeights, State};
use super::dropout::dropout;
use super::fused::FusedScan;
use super::kernels::Isa;
use super::packing::Packing;

/// A stacked, optionally bidirectional recurrent network, equal to `torch.nn.LSTM` / `torch.nn.GRU`
/// with `batch_first` on packed sequences.
#[derive(Debug, Clone)]
pub struct Rnn {
    cell: CellKind,
    hidden_size: usize,
    dropout: f32,
    /// `[num_layers][num_directions]`
    layers: Vec<Vec<CellWeights>>,
}

/// What a recurrent network gives for a batch.
#[derive(Debug, Clone)]
pub struct RnnOutput {
    /// The last layer's hidden state at every frame, zero beyond a sequence's length:
    /// `[B, T, num_directions·H]`.
    pub output: Tensor,
    /// The last layer's state after its last step, directions side by side: `[B, num_directions·H]`.
    pub last: Tensor,
}

impl Rnn {
    /// Takes the weights under PyTorch's names (`weight_ih_l0`, `bias_hh_l1_reverse`, ...).
    pub fn new(config: &NetworkConfig, mut weight: impl FnMut(&str) -> Result<Tensor>) -> Result<Self> {
        let mut layers = Vec::with_capacity(config.num_layers);
        for layer in 0..config.num_layers {
            let mut directions = Vec::with_capacity(2);
            for suffix in &["", "_reverse"][..config.num_directions()] {
                directions.push(CellWeights {
                    weight_ih: weight(&format!("weight_ih_l{layer}{suffix}"))?,
                    weight_hh: weight(&format!("weight_hh_l{layer}{suffix}"))?,
                    bias_ih: weight(&format!("bias_ih_l{layer}{suffix}"))?,
                    bias_hh: weight(&format!("bias_hh_l{layer}{suffix}"))?,
                    weight_ch: match config.cell.peephole_shape(config.hidden_size) {
                        Some(_) => Some(weight(&format!("weight_ch_l{layer}{suffix}"))?),
                        None => None,
                    },
                });
            }
            layers.push(directions);
        }
        Ok(Self { cell: config.cell, hidden_size: config.hidden_size, dropout: config.dropout, layers })
    }

    /// Names and shapes of all weights, in PyTorch's order.
    pub fn shapes(config: &NetworkConfig, input_size: usize) -> Vec<(String, Vec<usize>)> {
        let (h, directions) = (config.hidden_size, config.num_directions());
        let rows = config.cell.num_gates() * h;
        let mut shapes = Vec::new();
        for layer in 0..config.num_layers {
            let width = if layer == 0 { input_size } else { directions * h };
            for suffix in &["", "_reverse"][..directions] {
                shapes.push((format!("weight_ih_l{layer}{suffix}"), vec![rows, width]));
                shapes.push((format!("weight_hh_l{layer}{suffix}"), vec![rows, h]));
                shapes.push((format!("bias_ih_l{layer}{suffix}"), vec![rows]));
                shapes.push((format!("bias_hh_l{layer}{suffix}"), vec![rows]));
                if let Some(shape) = config.cell.peephole_shape(h) {
                    shapes.push((format!("weight_ch_l{layer}{suffix}"), shape));
                }
            }
        }
        shapes
    }

    /// `x [B, T, D]`, of which sequence `b` has `lengths[b]` valid frames.
    ///
    /// With `rng` (training) activations are dropped between layers.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<RnnOutput> {
        self.forward_with(Isa::best(), x, lengths, rng)
    }

    /// As [`Rnn::forward`], with a given kernel.
    pub fn forward_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        let (batch, frames, dim) = x.dims3()?;
        check_lengths(lengths, batch, frames)?;
        let packing = Arc::new(Packing::new(lengths));
        let index = |rows: Vec<u32>| {
            let count = rows.len();
            Tensor::from_vec(rows, count, x.device())
        };
        let mut packed =
            x.reshape((batch * frames, dim))?.index_select(&index(packing.padded_places(frames))?, 0)?;
        for (layer, directions) in self.layers.iter().enumerate() {
            if layer > 0
                && let Some(rng) = rng.as_deref_mut()
            {
                packed = dropout(&packed, self.dropout, rng)?;
            }
            packed = self.fused_layer(isa, &packed, directions, &packing)?;
        }

        let width = packed.dim(1)?;
        let last = (0..width / self.hidden_size)
            .map(|direction| {
                let states =
                    packed.narrow(1, direction * self.hidden_size, self.hidden_size)?.contiguous()?;
                states.index_select(&index(packing.last_rows(direction == 1))?, 0)
            })
            .collect::<Result<Vec<_>>>()?;
        // A row of zeros behind the others stands for every frame beyond a sequence's end.
        let zeros = Tensor::zeros((1, width), packed.dtype(), packed.device())?;
        let padded = Tensor::cat(&[&packed, &zeros], 0)?;
        let output =
            padded.index_select(&index(packing.packed_rows(frames))?, 0)?.reshape((batch, frames, width))?;
        Ok(RnnOutput { output, last: Tensor::cat(&last, 1)? })
    }

    /// `[N, D]` -> `[N, directions·H]`: the input's products in one matrix product over all frames, then the scan.
    fn fused_layer(
        &self,
        isa: Isa,
        packed: &Tensor,
        directions: &[CellWeights],
        packing: &Arc<Packing>,
    ) -> Result<Tensor> {
        let each = |pick: fn(&CellWeights) -> &Tensor| directions.iter().map(pick).collect::<Vec<_>>();
        let weight_ih = Tensor::cat(&each(|w| &w.weight_ih), 0)?;
        let bias_ih = Tensor::cat(&each(|w| &w.bias_ih), 0)?;
        let gx = packed.matmul(&weight_ih.t()?)?.broadcast_add(&bias_ih)?;
        let recurrent = directions
            .iter()
            .map(|w| {
                let parts = [Some(&w.weight_hh), Some(&w.bias_hh), w.weight_ch.as_ref()];
                let parts: Vec<Tensor> =
                    parts.into_iter().flatten().map(Tensor::flatten_all).collect::<Result<_>>()?;
                Tensor::cat(&parts, 0)
            })
            .collect::<Result<Vec<_>>>()?;
        let weights = Tensor::stack(&recurrent, 0)?;
        let states = if self.cell.has_memory() { 2 } else { 1 };
        let initial = Tensor::zeros(
            (states * packing.batch(), directions.len() * self.hidden_size),
            packed.dtype(),
            packed.device(),
        )?;
        let training = gx.track_op() || weights.track_op();
        let scan = FusedScan {
            cell: self.cell,
            hidden: self.hidden_size,
            directions: directions.len(),
            packing: packing.clone(),
            isa,
            saved: training.then(Default::default),
        };
        let out = if training {
            gx.apply_op3(&weights, &initial, scan)?
        } else {
            gx.apply_op3_no_bwd(&weights, &initial, &scan)?
        };
        out.narrow(0, 0, packing.rows())
    }

    /// The reference: what [`Rnn::forward`] computes, step by step in candle tensors.
    pub fn forward_reference(
        &self,
        x: &Tensor,
        lengths: &[usize],
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        let (batch, frames, _) = x.dims3()?;
        check_lengths(lengths, batch, frames)?;
        let masks = step_masks(lengths, frames, self.hidden_size, x)?;

        // One tensor a time step: gradients of slices of one big tensor would each be as big as the whole.
        let by_time = x.transpose(0, 1)?.contiguous()?;
        let mut steps = (0..frames).map(|t| by_time.get(t)).collect::<Result<Vec<_>>>()?;
        let mut last = Vec::new();
        for (index, directions) in self.layers.iter().enumerate() {
            if index > 0
                && let Some(rng) = rng.as_deref_mut()
            {
                steps = steps.iter().map(|h| dropout(h, self.dropout, rng)).collect::<Result<Vec<_>>>()?;
            }
            last.clear();
            let mut outputs: Vec<Vec<Tensor>> = Vec::with_capacity(2);
            for (direction, weights) in directions.iter().enumerate() {
                let (output, state) = self.scan(&steps, batch, weights, direction == 1, &masks)?;
                outputs.push(output);
                last.push(state.h);
            }
            steps = match &outputs[..] {
                [forward] => forward.clone(),
                [forward, reverse] => forward
                    .iter()
                    .zip(reverse)
                    .map(|(f, r)| Tensor::cat(&[f, r], 1))
                    .collect::<Result<_>>()?,
                _ => unreachable!("a layer has one or two directions"),
            };
        }
        Ok(RnnOutput { output: Tensor::stack(&steps, 1)?, last: Tensor::cat(&last, 1)? })
    }

    /// One layer in one direction. Beyond a sequence's end the state stands still and the output is zero,
    /// so the reverse direction begins at each sequence's own last frame.
    fn scan(
        &self,
        steps: &[Tensor],
        batch: usize,
        weights: &CellWeights,
        reverse: bool,
        masks: &[Option<Tensor>],
    ) -> Result<(Vec<Tensor>, State)> {
        let like = &weights.weight_hh;
        let zeros = Tensor::zeros((batch, self.hidden_size), like.dtype(), like.device())?;
        let mut state = State { h: zeros.clone(), c: self.cell.has_memory().then_some(zeros) };
        let mut outputs = Vec::with_capacity(steps.len());
        for i in 0..steps.len() {
            let t = if reverse { steps.len() - 1 - i } else { i };
            let next = self.cell.step(&steps[t], &state, weights)?;
            match &masks[t] {
                None => {
                    outputs.push(next.h.clone());
                    state = next;
                }
                Some(mask) => {
                    let zero = next.h.zeros_like()?;
                    outputs.push(mask.where_cond(&next.h, &zero)?);
                    state = State {
                        h: mask.where_cond(&next.h, &state.h)?,
                        c: match (&next.c, &state.c) {
                            (Some(new), Some(old)) => Some(mask.where_cond(new, old)?),
                            _ => None,
                        },
                    };
                }
            }
        }
        if reverse {
            outputs.reverse();
        }
        Ok((outputs, state))
    }
}

fn check_lengths(lengths: &[usize], batch: usize, frames: usize) -> Result<()> {
    if lengths.len() != batch || lengths.iter().any(|&length| length == 0 || length > frames) {
        bail!("lengths {lengths:?} do not fit {batch} sequences of up to {frames} frames");
    }
    Ok(())
}

/// For each step `None` where every sequence still runs, else `[B, H]` with 1 where one does.
fn step_masks(lengths: &[usize], frames: usize, width: usize, x: &Tensor) -> Result<Vec<Option<Tensor>>> {
    (0..frames)
        .map(|t| {
            if lengths.iter().all(|&length| t < length) {
                return Ok(None);
            }
            let mask: Vec<u8> = lengths.iter().map(|&length| u8::from(t < length)).collect();
            let column = Tensor::from_vec(mask, (lengths.len(), 1), x.device())?;
            column.broadcast_as((lengths.len(), width)).map(Some)
        })
        .collect()
}
