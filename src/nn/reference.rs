//! The plain form: a cell's step in candle tensors, one after the other. It is what the fused scans are tested against,
//! and the way to try a cell that Percept does not know.

use candle_core::{Result, Tensor};

use super::cell::{CellKind, CellWeights, State};

/// One recurrent layer in one direction, as a step.
///
/// Implement it for a cell of your own and run it with [`scan`]; candle differentiates it. `examples/own_cell.rs` does.
pub trait Cell {
    /// The state before the first step, for a batch of `batch`.
    fn initial(&self, batch: usize) -> Result<State>;

    /// One time step: `x [B, D]` and the state before it give the state after it.
    fn step(&self, x: &Tensor, state: &State) -> Result<State>;
}

/// A cell that Percept knows, with its weights.
pub(super) struct Known<'a> {
    pub kind: CellKind,
    pub weights: &'a CellWeights,
    /// `[B, H]` each.
    pub initial: State,
}

impl Cell for Known<'_> {
    fn initial(&self, _batch: usize) -> Result<State> {
        Ok(self.initial.clone())
    }

    fn step(&self, x: &Tensor, state: &State) -> Result<State> {
        self.kind.step(x, state, self.weights)
    }
}

/// Runs `cell` over `x [B, T, D]`, of which sequence `b` has `lengths[b]` valid frames, from the first to the last or
/// the other way round. Gives h at every frame, `[B, T, H]`, zero beyond a sequence's length, and the state after each
/// sequence's last step.
pub fn scan(cell: &impl Cell, x: &Tensor, lengths: &[usize], reverse: bool) -> Result<(Tensor, State)> {
    let (outputs, state) = scan_steps(cell, &steps(x)?, lengths, reverse)?;
    Ok((Tensor::stack(&outputs, 1)?, state))
}

/// `[B, T, D]` -> `T` times `[B, D]`: gradients of slices of one big tensor would each be as big as the whole.
pub(super) fn steps(x: &Tensor) -> Result<Vec<Tensor>> {
    let by_time = x.transpose(0, 1)?.contiguous()?;
    (0..by_time.dim(0)?).map(|t| by_time.get(t)).collect()
}

/// As [`scan`], a tensor a step. Beyond a sequence's end the state stands still and the output is zero, so the reverse
/// direction begins at each sequence's own last frame.
pub(super) fn scan_steps(
    cell: &impl Cell,
    steps: &[Tensor],
    lengths: &[usize],
    reverse: bool,
) -> Result<(Vec<Tensor>, State)> {
    let mut state = cell.initial(lengths.len())?;
    let mut outputs = Vec::with_capacity(steps.len());
    for i in 0..steps.len() {
        let t = if reverse { steps.len() - 1 - i } else { i };
        let next = cell.step(&steps[t], &state)?;
        if lengths.iter().all(|&length| t < length) {
            outputs.push(next.h.clone());
            state = next;
            continue;
        }
        let mask: Vec<u8> = lengths.iter().map(|&length| u8::from(t < length)).collect();
        let mask = Tensor::from_vec(mask, (lengths.len(), 1), next.h.device())?;
        let select = |new: &Tensor, old: &Tensor| mask.broadcast_as(new.shape())?.where_cond(new, old);
        outputs.push(select(&next.h, &next.h.zeros_like()?)?);
        state = State {
            h: select(&next.h, &state.h)?,
            c: match (&next.c, &state.c) {
                (Some(new), Some(old)) => Some(select(new, old)?),
                _ => None,
            },
        };
    }
    if reverse {
        outputs.reverse();
    }
    Ok((outputs, state))
}
