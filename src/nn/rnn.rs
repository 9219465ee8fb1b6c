//! Layers x directions over sequences of unequal length: fused, and step by step as the reference.

use std::sync::{Arc, OnceLock};

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::NetworkConfig;
use super::cell::{CellKind, CellWeights, State};
use super::dropout::dropout;
use super::fused::{self, FusedLayer};
use super::kernels::{Isa, PackedWeights, Sizes};
use super::packing::Packing;
use super::reference::{self, Known};
use crate::{Error, ErrorKind, Result};

/// A stacked, optionally bidirectional recurrent network, equal to `torch.nn.LSTM` / `torch.nn.GRU`
/// with `batch_first` on packed sequences.
#[derive(Debug, Clone)]
pub struct Rnn {
    cell: CellKind,
    hidden_size: usize,
    dropout: f32,
    /// `[num_layers][num_directions]`
    layers: Vec<Vec<CellWeights>>,
    /// The weights as inference reads them, a layer each; made when first asked for.
    packed: Arc<OnceLock<Vec<Vec<PackedWeights>>>>,
}

/// States of all layers: before the first step, or after the last one of each sequence. PyTorch's layout.
#[derive(Debug, Clone)]
pub struct RnnState {
    /// `[num_layers·num_directions, B, H]`; a layer's reverse direction follows its forward one.
    pub h: Tensor,
    /// As `h`; only where the cell has a memory.
    pub c: Option<Tensor>,
}

/// What a recurrent network gives for a batch.
#[derive(Debug, Clone)]
pub struct RnnOutput {
    /// The last layer's hidden state at every frame, zero beyond a sequence's length:
    /// `[B, T, num_directions·H]`.
    pub output: Tensor,
    /// The last layer's state after its last step, directions side by side: `[B, num_directions·H]`.
    pub last: Tensor,
    /// All layers' states after each sequence's last step.
    pub state: RnnState,
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
        Ok(Self {
            cell: config.cell,
            hidden_size: config.hidden_size,
            dropout: config.dropout,
            layers,
            packed: Arc::default(),
        })
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

    /// `x [B, T, D]`, of which sequence `b` has `lengths[b]` valid frames (0 to T). The states before the first step
    /// are zero.
    ///
    /// With `rng` (training) activations are dropped between layers.
    ///
    /// Where no gradient is wanted the weights are read once, at the first call: to change them in place, build another
    /// network.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where shapes or lengths do not fit.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<RnnOutput> {
        self.forward_with(Isa::best(), x, lengths, None, rng)
    }

    /// As [`Rnn::forward`], from given states and with a given kernel.
    pub fn forward_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        self.check(x, lengths, initial)?;
        let (batch, frames, _) = x.dims3()?;
        let packing = Arc::new(Packing::new(lengths, frames));
        if packing.rows() == 0 {
            return self.nothing(x, initial);
        }
        let mut steps = x.contiguous()?;
        let mut states = Vec::new();
        for layer in 0..self.layers.len() {
            if layer > 0
                && let Some(rng) = rng.as_deref_mut()
            {
                steps = dropout(&steps, self.dropout, rng)?;
            }
            let initial = self.initial(layer, batch, initial, x)?;
            steps = self.fused_layer(isa, &steps, layer, &initial, lengths, &packing, &mut states)?;
        }
        self.result(steps, &states)
    }

    /// The reference: what [`Rnn::forward_with`] computes, step by step in candle tensors.
    pub fn forward_reference(
        &self,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        mut rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        self.check(x, lengths, initial)?;
        if x.dim(1)? == 0 {
            return self.nothing(x, initial);
        }
        let mut steps = reference::steps(x)?;
        let mut states = Vec::new();
        for (layer, directions) in self.layers.iter().enumerate() {
            if layer > 0
                && let Some(rng) = rng.as_deref_mut()
            {
                steps = steps
                    .iter()
                    .map(|h| dropout(h, self.dropout, rng))
                    .collect::<candle_core::Result<Vec<_>>>()?;
            }
            let mut outputs = Vec::with_capacity(2);
            for (direction, (weights, initial)) in
                directions.iter().zip(self.initial(layer, lengths.len(), initial, x)?).enumerate()
            {
                let cell = Known { kind: self.cell, weights, initial };
                let (output, state) = reference::scan_steps(&cell, &steps, lengths, direction == 1)?;
                outputs.push(output);
                states.push(state);
            }
            steps = (0..steps.len())
                .map(|t| Tensor::cat(&outputs.iter().map(|output| &output[t]).collect::<Vec<_>>(), 1))
                .collect::<candle_core::Result<_>>()?;
        }
        self.result(Tensor::stack(&steps, 1)?, &states)
    }

    /// Units of all directions together: the width of the output.
    pub fn output_size(&self) -> usize {
        self.layers[0].len() * self.hidden_size
    }

    /// `x [B, T, D]` -> `[B, T, directions·H]`. Appends each direction's last state to `states`.
    fn fused_layer(
        &self,
        isa: Isa,
        x: &Tensor,
        layer: usize,
        initial: &[State],
        lengths: &[usize],
        packing: &Arc<Packing>,
        states: &mut Vec<State>,
    ) -> Result<Tensor> {
        let (batch, frames, _) = x.dims3()?;
        let (hidden, directions) = (self.hidden_size, self.layers[layer].len());
        // Directions side by side, c below h.
        let h = initial.iter().map(|state| &state.h).collect::<Vec<_>>();
        let c = initial.iter().filter_map(|state| state.c.as_ref()).collect::<Vec<_>>();
        let mut rows = vec![Tensor::cat(&h, 1)?];
        if !c.is_empty() {
            rows.push(Tensor::cat(&c, 1)?);
        }
        let rows = Tensor::cat(&rows, 0)?;

        let op = FusedLayer {
            cell: self.cell,
            sizes: self.sizes(layer)?,
            directions,
            packing: packing.clone(),
            isa,
            saved: Default::default(),
        };
        let out = if x.track_op() || rows.track_op() || self.layers[layer].iter().any(CellWeights::track_op) {
            x.apply_op3(&self.flat(layer)?, &rows, op)?
        } else if isa == Isa::best() {
            op.infer(x, &self.packed()?[layer], &rows)?
        } else {
            op.infer(x, &self.pack(isa, layer)?, &rows)?
        };
        let h = out.narrow(0, 0, batch * frames)?;
        for (direction, initial) in initial.iter().enumerate() {
            let column = |rows: &Tensor| rows.narrow(1, direction * hidden, hidden);
            let end = |&length: &usize| if direction == 1 { 0 } else { length.saturating_sub(1) };
            let ends = lengths.iter().enumerate().map(|(b, length)| (b * frames + end(length)) as u32);
            let ends = Tensor::from_vec(ends.collect(), batch, x.device())?;
            let mut last = column(&h.index_select(&ends, 0)?)?;
            if lengths.contains(&0) {
                // A sequence of no frames ends as it began.
                let any = lengths.iter().map(|&length| u8::from(length > 0)).collect();
                let any = Tensor::from_vec(any, (batch, 1), x.device())?.broadcast_as((batch, hidden))?;
                last = any.where_cond(&last.contiguous()?, &initial.h)?;
            }
            let memory = self.cell.has_memory().then(|| column(&out.narrow(0, batch * frames, batch)?));
            states.push(State { h: last, c: memory.transpose()? });
        }
        Ok(h.reshape((batch, frames, directions * hidden))?)
    }

    fn sizes(&self, layer: usize) -> Result<Sizes> {
        Ok(Sizes { input: self.layers[layer][0].weight_ih.dim(1)?, hidden: self.hidden_size })
    }

    /// A layer's weights, a direction a row.
    fn flat(&self, layer: usize) -> Result<Tensor> {
        let each =
            self.layers[layer].iter().map(CellWeights::flat).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::stack(&each, 0)?)
    }

    fn pack(&self, isa: Isa, layer: usize) -> Result<Vec<PackedWeights>> {
        Ok(fused::pack(self.cell, isa, self.sizes(layer)?, &self.flat(layer)?)?)
    }

    /// All layers' weights for [`Isa::best`], made once.
    fn packed(&self) -> Result<&[Vec<PackedWeights>]> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let packed =
            (0..self.layers.len()).map(|layer| self.pack(Isa::best(), layer)).collect::<Result<_>>()?;
        Ok(self.packed.get_or_init(|| packed))
    }

    /// The states before a layer's first step, one a direction.
    fn initial(
        &self,
        layer: usize,
        batch: usize,
        given: Option<&RnnState>,
        like: &Tensor,
    ) -> Result<Vec<State>> {
        let directions = self.layers[layer].len();
        let Some(given) = given else {
            let zeros = Tensor::zeros((batch, self.hidden_size), like.dtype(), like.device())?;
            let state = State { c: self.cell.has_memory().then(|| zeros.clone()), h: zeros };
            return Ok(vec![state; directions]);
        };
        (0..directions)
            .map(|direction| {
                let at = layer * directions + direction;
                Ok(State { h: given.h.get(at)?, c: given.c.as_ref().map(|c| c.get(at)).transpose()? })
            })
            .collect()
    }

    fn result(&self, output: Tensor, states: &[State]) -> Result<RnnOutput> {
        let h: Vec<&Tensor> = states.iter().map(|state| &state.h).collect();
        let c: Vec<&Tensor> = states.iter().filter_map(|state| state.c.as_ref()).collect();
        let last = Tensor::cat(&h[h.len() - self.layers[0].len()..], 1)?;
        let c = if c.is_empty() { None } else { Some(Tensor::stack(&c, 0)?) };
        Ok(RnnOutput { output, last, state: RnnState { h: Tensor::stack(&h, 0)?, c } })
    }

    /// What comes of no frames at all: the states stay as they are.
    fn nothing(&self, x: &Tensor, initial: Option<&RnnState>) -> Result<RnnOutput> {
        let (batch, frames, _) = x.dims3()?;
        let mut states = Vec::new();
        for layer in 0..self.layers.len() {
            states.extend(self.initial(layer, batch, initial, x)?);
        }
        let output = Tensor::zeros((batch, frames, self.output_size()), x.dtype(), x.device())?;
        self.result(output, &states)
    }

    fn check(&self, x: &Tensor, lengths: &[usize], initial: Option<&RnnState>) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let input_size = self.layers[0][0].weight_ih.dim(1)?;
        let [batch, frames, dim] = *x.dims() else {
            return wrong(format!("input has shape {:?}; it must be [B, T, D]", x.dims()));
        };
        if dim != input_size {
            return wrong(format!("input has shape {:?}; it must be [B, T, {input_size}]", x.dims()));
        }
        if batch == 0 {
            return wrong("the batch is empty".into());
        }
        if lengths.len() != batch {
            return wrong(format!("{} lengths are given for a batch of {batch}", lengths.len()));
        }
        if let Some(length) = lengths.iter().find(|&&length| length > frames) {
            return wrong(format!("a length is {length}; it must be 0 to {frames}, the number of frames"));
        }
        let Some(initial) = initial else { return Ok(()) };
        let expected = [self.layers.len() * self.layers[0].len(), batch, self.hidden_size];
        if initial.c.is_some() != self.cell.has_memory() {
            let has = if initial.c.is_some() { "has" } else { "lacks" };
            return wrong(format!("the initial state {has} a memory cell c, unlike the cell"));
        }
        for (name, state) in [("h", Some(&initial.h)), ("c", initial.c.as_ref())] {
            if let Some(state) = state
                && state.dims() != expected
            {
                return wrong(format!(
                    "initial {name} has shape {:?}; it must be {expected:?}",
                    state.dims()
                ));
            }
        }
        Ok(())
    }
}
