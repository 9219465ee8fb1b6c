//! A recurrent layer, both directions at once, as one candle operation with its own way back.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cell::{CellKind, gru, lstm};
use super::kernels::{self, Backward, Columns, Forward, Gates, Isa, PackedBackward, PackedForward};
use super::packing::Packing;

/// The scan of one layer over a packed batch.
///
/// `gx [N, D·G·H]` (the input's products with their bias, directions side by side), `weights [D, G·H, H + 1]` (the
/// recurrent weights and, as last column, their bias) and `initial [S·B, D·H]` (`B` rows of h, for an LSTM then `B`
/// of c, by rank) give `[N + M, D·H]`: `N` rows of h and, for an LSTM, `M = B` rows of the last c.
///
/// A new value for each forward pass: it keeps what the way back needs.
pub(super) struct FusedScan {
    cell: CellKind,
    hidden: usize,
    directions: usize,
    packing: Arc<Packing>,
    isa: Isa,
    /// For each direction what its steps keep, if the way back is to be gone.
    saved: Option<Mutex<Vec<Vec<f32>>>>,
}

/// What both ways need to know of the tensors.
struct Sizes {
    rows: usize,
    gates: usize,
    width: usize,
}

impl FusedScan {
    pub fn new(
        cell: CellKind,
        hidden: usize,
        directions: usize,
        packing: &Arc<Packing>,
        isa: Isa,
        training: bool,
    ) -> Self {
        let saved = training.then(|| Mutex::new(Vec::new()));
        Self { cell, hidden, directions, packing: packing.clone(), isa, saved }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            rows: self.packing.rows(),
            gates: self.cell.num_gates() * self.hidden,
            width: self.directions * self.hidden,
        }
    }

    /// Rows of `out` and of `initial`.
    fn state_rows(&self) -> (usize, usize) {
        let batch = self.packing.batch();
        let memory = if self.cell.has_memory() { batch } else { 0 };
        (self.packing.rows() + memory, batch + memory)
    }

    fn forward<C: Gates>(&self, gx: &[f32], weights: &[f32], initial: &[f32]) -> Vec<f32> {
        let Sizes { rows, gates, width } = self.sizes();
        let mut out = vec![0f32; self.state_rows().0 * width];
        let mut saved: Vec<Vec<f32>> = match self.saved {
            Some(_) => vec![vec![0f32; rows * C::SAVED * self.hidden]; self.directions],
            None => Vec::new(),
        };
        let one = |direction: usize, out: Columns, saved: Option<&mut [f32]>| {
            let weights = &weights[direction * gates * (self.hidden + 1)..][..gates * (self.hidden + 1)];
            let bias: Vec<f32> = weights.chunks_exact(self.hidden + 1).map(|row| row[self.hidden]).collect();
            let packed = PackedForward::new(self.isa, weights, self.hidden + 1, self.hidden, C::GATES);
            kernels::forward::<C>(
                self.isa,
                Forward {
                    packing: &self.packing,
                    hidden: self.hidden,
                    reverse: direction == 1,
                    weights: &packed,
                    bias: &bias,
                    gx: Columns::read(gx, self.directions * gates, direction * gates, gates),
                    initial: Columns::read(initial, width, direction * self.hidden, self.hidden),
                    out,
                    saved,
                },
            );
        };
        let columns = Columns::split(&mut out, width, self.directions);
        let mut saved_parts = saved.iter_mut().map(|s| &mut s[..]);
        let (first_saved, second_saved) = (saved_parts.next(), saved_parts.next());
        match columns[..] {
            [only] => one(0, only, first_saved),
            [ahead, back] => {
                rayon::join(|| one(0, ahead, first_saved), || one(1, back, second_saved));
            }
            _ => unreachable!("a layer has one or two directions"),
        }
        if let Some(keep) = &self.saved {
            *keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = saved;
        }
        out
    }

    /// Gradients of `gx`, `weights` and `initial`.
    fn backward<C: Gates>(
        &self,
        weights: &[f32],
        initial: &[f32],
        out: &[f32],
        dout: &[f32],
    ) -> Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
        let Sizes { rows, gates, width } = self.sizes();
        let saved = match &self.saved {
            Some(saved) => std::mem::take(&mut *saved.lock().unwrap_or_else(|p| p.into_inner())),
            None => bail!("a scan for inference has no way back"),
        };
        if saved.len() != self.directions {
            bail!("a scan's way back can be gone once");
        }
        let row = self.hidden + 1;
        let mut dgx = vec![0f32; rows * self.directions * gates];
        let mut dweights = vec![0f32; self.directions * gates * row];
        let mut dinitial = vec![0f32; self.state_rows().1 * width];
        let one = |direction: usize, dgx: Columns, dinitial: Columns, dweights: &mut [f32]| {
            let weights = &weights[direction * gates * row..][..gates * row];
            let packed = PackedBackward::new(self.isa, weights, row, self.hidden, C::GATES);
            let (mut da, mut h_before) = (vec![0f32; rows * gates], vec![0f32; rows * self.hidden]);
            let column = direction * self.hidden;
            kernels::backward::<C>(
                self.isa,
                Backward {
                    packing: &self.packing,
                    hidden: self.hidden,
                    reverse: direction == 1,
                    weights: &packed,
                    initial: Columns::read(initial, width, column, self.hidden),
                    out: Columns::read(out, width, column, self.hidden),
                    saved: &saved[direction],
                    dout: Columns::read(dout, width, column, self.hidden),
                    dgx,
                    da: &mut da,
                    h_before: &mut h_before,
                    dinitial,
                },
            );
            weight_gradient(&da, &h_before, gates, self.hidden, dweights);
        };
        let (dgx_columns, dinitial_columns) = (
            Columns::split(&mut dgx, self.directions * gates, self.directions),
            Columns::split(&mut dinitial, width, self.directions),
        );
        let (first, second) = dweights.split_at_mut(gates * row);
        match (&dgx_columns[..], &dinitial_columns[..]) {
            (&[x], &[i]) => one(0, x, i, first),
            (&[x0, x1], &[i0, i1]) => {
                rayon::join(|| one(0, x0, i0, first), || one(1, x1, i1, second));
            }
            _ => unreachable!("a layer has one or two directions"),
        }
        Ok((dgx, dweights, dinitial))
    }
}

/// `daᵀ · h_before` and, as last column, the sums of `da`: the gradient of the recurrent weights and their bias.
fn weight_gradient(da: &[f32], h_before: &[f32], gates: usize, hidden: usize, to: &mut [f32]) {
    let rows = h_before.len() / hidden;
    // SAFETY: the sizes and strides are those of the slices: [gates, rows] · [rows, hidden] -> [gates, hidden + 1].
    unsafe {
        gemm::gemm(
            gates,
            hidden,
            rows,
            to.as_mut_ptr(),
            1,
            (hidden + 1) as isize,
            false,
            da.as_ptr(),
            gates as isize,
            1,
            h_before.as_ptr(),
            1,
            hidden as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
    for row in da.chunks_exact(gates) {
        for (to, value) in to.chunks_exact_mut(hidden + 1).zip(row) {
            to[hidden] += value;
        }
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a scan takes contiguous tensors"),
    }
}

impl CustomOp3 for FusedScan {
    fn name(&self) -> &'static str {
        "fused-scan"
    }

    fn cpu_fwd(
        &self,
        gx: &CpuStorage,
        gx_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gx = contiguous(gx, gx_layout)?;
        let weights = contiguous(weights, weights_layout)?;
        let initial = contiguous(initial, initial_layout)?;
        let Sizes { rows, gates, width } = self.sizes();
        let fits = gx.len() == rows * self.directions * gates
            && weights.len() == self.directions * gates * (self.hidden + 1)
            && initial.len() == self.state_rows().1 * width;
        if !fits {
            bail!("the tensors of a scan do not fit each other");
        }
        let out = match self.cell {
            CellKind::Lstm => self.forward::<lstm::Fused>(gx, weights, initial),
            CellKind::Gru => self.forward::<gru::Fused>(gx, weights, initial),
        };
        Ok((CpuStorage::F32(out), Shape::from((self.state_rows().0, width))))
    }

    fn bwd(
        &self,
        gx: &Tensor,
        weights: &Tensor,
        initial: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        let (w, i, o, d) = (values(weights)?, values(initial)?, values(out)?, values(dout)?);
        let (dgx, dweights, dinitial) = match self.cell {
            CellKind::Lstm => self.backward::<lstm::Fused>(&w, &i, &o, &d)?,
            CellKind::Gru => self.backward::<gru::Fused>(&w, &i, &o, &d)?,
        };
        let tensor = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device()).map(Some);
        Ok((tensor(dgx, gx)?, tensor(dweights, weights)?, tensor(dinitial, initial)?))
    }
}
