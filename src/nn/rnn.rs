//! Layers x directions over sequences of unequal length: fused, and step by step as the reference.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;

use super::NetworkConfig;
use super::cell::{CellKind, CellWeights, State, with_gates};
use super::dropout::keep;
use super::fused::FusedRnn;
use super::kernels::{self, Columns, Forward, Isa, PackedWeights, Sizes, States};
use super::packing::Packing;
use super::pool::Pool;
use super::reference::{self, Known};
use super::stack::Stack;
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
    /// The weights as inference with [`Isa::best`] reads them; made when first asked for.
    packed: Arc<OnceLock<Vec<PackedWeights>>>,
    pool: Arc<Pool>,
}

/// States of all layers: before the first step, or after the last one of each sequence. PyTorch's layout.
#[derive(Debug, Clone)]
pub struct RnnState {
    /// `[num_layers·num_directions, B, H]`; a layer's reverse direction follows its forward one.
    pub h: Tensor,
    /// As `h`; only where the cell has a memory.
    pub c: Option<Tensor>,
}

impl RnnState {
    /// States of several batches as one of them all.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) where they are not of the same network.
    pub fn cat(states: &[&Self]) -> Result<Self> {
        let h: Vec<&Tensor> = states.iter().map(|state| &state.h).collect();
        let c: Option<Vec<&Tensor>> = states.iter().map(|state| state.c.as_ref()).collect();
        let c = c.map(|c| Tensor::cat(&c, 1)).transpose()?;
        Ok(Self { h: Tensor::cat(&h, 1)?, c })
    }

    /// That of sequence `b` alone.
    pub fn of(&self, b: usize) -> Result<Self> {
        let c = self.c.as_ref().map(|c| c.narrow(1, b, 1)).transpose()?;
        Ok(Self { h: self.h.narrow(1, b, 1)?, c })
    }

    /// The same numbers, through which no gradient flows.
    pub fn detach(&self) -> Self {
        Self { h: self.h.detach(), c: self.c.as_ref().map(Tensor::detach) }
    }
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

impl RnnOutput {
    /// Of sequence `b` alone, which has `length` frames.
    pub(super) fn one(&self, b: usize, length: usize) -> Result<Self> {
        Ok(Self {
            output: self.output.narrow(0, b, 1)?.narrow(1, 0, length)?.contiguous()?,
            last: self.last.narrow(0, b, 1)?,
            state: self.state.of(b)?,
        })
    }
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
            pool: Arc::default(),
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
    /// With `rng` (training) activations are dropped between layers. Gradients flow through `output` and `last`; those of
    /// `state` stop here, see [`Rnn::forward_with`].
    ///
    /// Where no gradient is wanted the weights are read once, at the first call: to change them in place, build another
    /// network.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where shapes or lengths do not fit.
    pub fn forward(&self, x: &Tensor, lengths: &[usize], rng: Option<&mut ChaCha8Rng>) -> Result<RnnOutput> {
        self.run(Isa::best(), x, lengths, None, rng, false)
    }

    /// As [`Rnn::forward`], from given states and with a given kernel. Gradients flow through `state` too, for which
    /// training copies the output once more.
    pub fn forward_with(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        self.run(isa, x, lengths, initial, rng, true)
    }

    fn run(
        &self,
        isa: Isa,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        rng: Option<&mut ChaCha8Rng>,
        state_gradient: bool,
    ) -> Result<RnnOutput> {
        self.check(x, lengths, initial)?;
        let (batch, frames, _) = x.dims3()?;
        let x = x.contiguous()?;
        let initial = self.flat_states(initial, &x)?;
        // The state of a sequence without frames is not in the output.
        let with_states = state_gradient || lengths.contains(&0);
        let states = Arc::default();
        let op = FusedRnn {
            cell: self.cell,
            isa,
            sizes: self.sizes()?,
            directions: self.layers[0].len(),
            packing: Packing::new(lengths, frames),
            masks: self.masks(batch * frames, rng),
            scale: self.scale(),
            pool: self.pool.clone(),
            with_states,
            kept: Mutex::default(),
            states: Arc::clone(&states),
        };
        if !(x.track_op() || initial.track_op() || self.layers.iter().flatten().any(CellWeights::track_op)) {
            let packed;
            let weights = match isa == Isa::best() {
                true => self.packed()?,
                false => {
                    packed = op.pack(&self.flat_weights()?)?;
                    &packed
                }
            };
            let (output, states) = op.infer(&x, weights, &initial)?;
            let state = self.state(Tensor::from_vec(states, initial.shape(), x.device())?, batch)?;
            return Ok(RnnOutput { output, last: self.last(&state)?, state });
        }
        let out = x.apply_op3(&self.flat_weights()?, &initial, op)?;
        if with_states {
            let count = batch * frames * self.output_size();
            let output = out.narrow(0, 0, count)?.reshape((batch, frames, self.output_size()))?;
            let state = self.state(out.narrow(0, count, initial.elem_count())?, batch)?;
            return Ok(RnnOutput { output, last: self.last(&state)?, state });
        }
        let states = std::mem::take(&mut *states.lock().unwrap_or_else(PoisonError::into_inner));
        let state = self.state(Tensor::from_vec(states, initial.shape(), x.device())?, batch)?;
        Ok(RnnOutput { last: self.last_of(&out, lengths)?, output: out, state })
    }

    /// The reference: what [`Rnn::forward_with`] computes, step by step in candle tensors.
    pub fn forward_reference(
        &self,
        x: &Tensor,
        lengths: &[usize],
        initial: Option<&RnnState>,
        rng: Option<&mut ChaCha8Rng>,
    ) -> Result<RnnOutput> {
        self.check(x, lengths, initial)?;
        let (batch, frames, _) = x.dims3()?;
        let masks = self.masks(batch * frames, rng);
        let mut steps = reference::steps(x)?;
        let mut states = Vec::new();
        for (layer, directions) in self.layers.iter().enumerate() {
            if layer > 0
                && let Some(keep) = masks.get(layer - 1)
            {
                let keep = keep.iter().map(|&keep| self.scale() * f32::from(keep)).collect();
                let shape = (batch, frames, self.output_size());
                let mask = Tensor::from_vec::<_, f32>(keep, shape, x.device())?.to_dtype(x.dtype())?;
                for (t, h) in steps.iter_mut().enumerate() {
                    *h = (&*h * mask.narrow(1, t, 1)?.squeeze(1)?)?;
                }
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

    fn sizes(&self) -> Result<Vec<Sizes>> {
        let input = |layer: &Vec<CellWeights>| layer[0].weight_ih.dim(1);
        let size = |layer| Ok(Sizes { input: input(layer)?, hidden: self.hidden_size });
        self.layers.iter().map(size).collect()
    }

    /// All weights, one after the other.
    fn flat_weights(&self) -> Result<Tensor> {
        let all = self.layers.iter().flatten().flat_map(CellWeights::all).map(Tensor::flatten_all);
        Ok(Tensor::cat(&all.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
    }

    fn packed(&self) -> Result<&[PackedWeights]> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let weights = self.flat_weights()?.to_vec1::<f32>()?;
        let packed = Stack::pack(self.cell, Isa::best(), &self.sizes()?, self.layers[0].len(), &weights);
        Ok(self.packed.get_or_init(|| packed))
    }

    /// One layer in one direction over consecutive frames `x [T, D]` of one sequence, for inference: `out [T, H]`. `state`,
    /// h and then c if there is one, is that before the frames (behind them for the reverse direction) and becomes that
    /// behind them: a sequence in pieces gives the bits of the whole.
    pub(super) fn scan(
        &self,
        (layer, direction): (usize, usize),
        x: &[f32],
        state: &mut [f32],
        out: &mut [f32],
    ) -> Result<()> {
        let (hidden, input) = (self.hidden_size, self.sizes()?[layer].input);
        let packing = Packing::new(&[x.len() / input], x.len() / input);
        let weights = &self.packed()?[layer * self.layers[0].len() + direction];
        let before = state.to_vec();
        with_gates!(self.cell, C => {
            let read = |at: usize| Columns::read(&before[at * hidden..][..hidden], hidden, 0, hidden);
            let last = Columns::split_rows(state, hidden, self.state_size() / hidden);
            kernels::forward::<C>(
                Isa::best(),
                Forward {
                    packing: &packing,
                    reverse: direction == 1,
                    weights,
                    x: Columns::read(x, input, 0, input),
                    mask: None,
                    initial: States { h: read(0), c: self.cell.has_memory().then(|| read(1)) },
                    out: Columns::write(out, hidden),
                    last: States { h: last[0], c: last.get(1).copied() },
                    saved: None,
                    pool: &self.pool,
                },
                false,
            );
        });
        Ok(())
    }

    pub(super) fn num_layers(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn num_directions(&self) -> usize {
        self.layers[0].len()
    }

    /// Values of the state of one layer and direction of one sequence.
    pub(super) fn state_size(&self) -> usize {
        self.hidden_size * (1 + usize::from(self.cell.has_memory()))
    }

    /// What dropout leaves of the input of each layer but the first: 1 where a value stays, for so many places.
    fn masks(&self, places: usize, rng: Option<&mut ChaCha8Rng>) -> Vec<Vec<u8>> {
        match rng {
            Some(rng) if self.dropout > 0.0 => {
                let count = places * self.output_size();
                (1..self.layers.len()).map(|_| keep(count, self.dropout, rng)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// By which dropout multiplies what it leaves.
    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.dropout)
    }

    /// All states before the first step, h before c.
    fn flat_states(&self, given: Option<&RnnState>, x: &Tensor) -> Result<Tensor> {
        match given {
            Some(RnnState { h, c: Some(c) }) => {
                Ok(Tensor::cat(&[h.flatten_all()?, c.flatten_all()?], 0)?.contiguous()?)
            }
            Some(RnnState { h, c: None }) => Ok(h.flatten_all()?.contiguous()?),
            None => {
                let parts = 1 + usize::from(self.cell.has_memory());
                let count = parts * self.layers.len() * x.dim(0)? * self.output_size();
                Ok(Tensor::zeros(count, x.dtype(), x.device())?)
            }
        }
    }

    /// The other way.
    fn state(&self, flat: Tensor, batch: usize) -> Result<RnnState> {
        let shape = (self.layers.len() * self.layers[0].len(), batch, self.hidden_size);
        let count = shape.0 * shape.1 * shape.2;
        let c = self.cell.has_memory().then(|| flat.narrow(0, count, count)?.reshape(shape));
        Ok(RnnState { h: flat.narrow(0, 0, count)?.reshape(shape)?, c: c.transpose()? })
    }

    /// The last layer's h in `state`, directions side by side.
    fn last(&self, state: &RnnState) -> Result<Tensor> {
        let (count, batch, _) = state.h.dims3()?;
        let directions = self.layers[0].len();
        let h = state.h.narrow(0, count - directions, directions)?;
        Ok(h.transpose(0, 1)?.reshape((batch, self.output_size()))?)
    }

    /// The same of the output, of which every sequence has a frame.
    fn last_of(&self, output: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, frames, width) = output.dims3()?;
        let rows = output.reshape((batch * frames, width))?;
        let each = (0..self.layers[0].len()).map(|direction| {
            let end = |length: usize| if direction == 1 { 0 } else { length - 1 };
            let ends = lengths.iter().enumerate().map(|(b, &length)| (b * frames + end(length)) as u32);
            let ends = Tensor::from_vec(ends.collect(), batch, output.device())?;
            rows.narrow(1, direction * self.hidden_size, self.hidden_size)?
                .contiguous()?
                .index_select(&ends, 0)
        });
        Ok(Tensor::cat(&each.collect::<candle_core::Result<Vec<_>>>()?, 1)?)
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

    fn check(&self, x: &Tensor, lengths: &[usize], initial: Option<&RnnState>) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let input_size = self.layers[0][0].weight_ih.dim(1)?;
        let [batch, frames, dim] = *x.dims() else {
            return wrong(format!("input has shape {:?}; it must be [B, T, D]", x.dims()));
        };
        if dim != input_size {
            return wrong(format!("input has shape {:?}; it must be [B, T, {input_size}]", x.dims()));
        }
        if batch == 0 || frames == 0 {
            return wrong(format!("input has shape {:?}: it is empty", x.dims()));
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
