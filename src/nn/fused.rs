//! A recurrent layer, both directions at once, as one candle operation with its own way back.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::cell::{CellKind, with_gates};
use super::kernels::{
    self, Backward, Columns, Forward, Gates, Isa, Operands, PackedWeights, Parameters, Peepholes,
    SecondWeights,
};
use super::packing::Packing;

/// The scan of one layer over a packed batch.
///
/// `gx [N, D·G·H]` (the input's products with their bias, directions side by side), `weights [D, P]` (each
/// direction's recurrent [`Parameters`]) and `initial [S·B, D·H]` (`B` rows of h, for a cell with a memory then `B`
/// of c, by rank) give `[N + M, D·H]`: `N` rows of h and, for a cell with a memory, `M = B` rows of the last c.
///
/// A new value for each forward pass: it keeps what the way back needs.
pub(super) struct FusedScan {
    pub cell: CellKind,
    pub hidden: usize,
    pub directions: usize,
    pub packing: Arc<Packing>,
    pub isa: Isa,
    /// For each direction what its steps keep; nothing where the way back will not be gone.
    pub saved: Option<Mutex<Vec<Vec<f32>>>>,
}

impl FusedScan {
    /// Rows of `out` and of `initial`.
    fn state_rows(&self) -> (usize, usize) {
        let batch = self.packing.batch();
        let memory = if self.cell.has_memory() { batch } else { 0 };
        (self.packing.rows() + memory, batch + memory)
    }

    fn width(&self) -> usize {
        self.directions * self.hidden
    }

    /// This direction's columns of a matrix of states.
    fn states<'a>(&self, matrix: &'a [f32], direction: usize) -> Columns<'a> {
        Columns::read(matrix, self.width(), direction * self.hidden, self.hidden)
    }

    /// Runs both directions side by side.
    fn each_direction<T: Send>(&self, parts: Vec<T>, run: impl Fn(usize, T) + Sync) {
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next()) {
            (Some(ahead), Some(back)) => {
                rayon::join(|| run(0, ahead), || run(1, back));
            }
            (Some(only), None) => run(0, only),
            (None, _) => {}
        }
    }

    fn forward<C: Gates>(&self, gx: &[f32], weights: &[f32], initial: &[f32]) -> Result<Vec<f32>> {
        let (hidden, gates) = (self.hidden, C::GATES * self.hidden);
        let parameters = Parameters::len::<C>(hidden);
        let rows = self.packing.rows();
        let fits = gx.len() == rows * self.directions * gates
            && weights.len() == self.directions * parameters
            && initial.len() == self.state_rows().1 * self.width();
        if !fits {
            bail!("the tensors of a scan do not fit each other");
        }
        let mut out = vec![0f32; self.state_rows().0 * self.width()];
        let kept = if self.saved.is_some() { rows * C::SAVED * hidden } else { 0 };
        let mut saved = vec![vec![0f32; kept]; self.directions];
        let parts =
            Columns::split(&mut out, self.width(), self.directions).into_iter().zip(&mut saved).collect();
        self.each_direction(parts, |direction, (out, saved)| {
            let values = &weights[direction * parameters..][..parameters];
            let packed = PackedWeights::forward::<C>(self.isa, Parameters::new::<C>(values, hidden), hidden);
            let args = Forward {
                packing: &self.packing,
                hidden,
                reverse: direction == 1,
                weights: &packed,
                gx: Columns::read(gx, self.directions * gates, direction * gates, gates),
                initial: self.states(initial, direction),
                out,
                saved: self.saved.is_some().then_some(saved),
            };
            kernels::forward::<C>(self.isa, args);
        });
        if let Some(keep) = &self.saved {
            *keep.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = saved;
        }
        Ok(out)
    }

    /// Gradients of `gx`, `weights` and `initial`.
    fn backward<C: Gates>(
        &self,
        weights: &[f32],
        initial: &[f32],
        out: &[f32],
        dout: &[f32],
    ) -> Result<[Vec<f32>; 3]> {
        let (hidden, gates) = (self.hidden, C::GATES * self.hidden);
        let (rows, parameters) = (self.packing.rows(), Parameters::len::<C>(hidden));
        let Some(saved) = &self.saved else { bail!("a scan for inference has no way back") };
        let saved = std::mem::take(&mut *saved.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if saved.len() != self.directions {
            bail!("a scan's way back can be gone once");
        }
        let mut dgx = vec![0f32; rows * self.directions * gates];
        let mut dweights = vec![0f32; self.directions * parameters];
        let mut dinitial = vec![0f32; self.state_rows().1 * self.width()];
        let parts = Columns::split(&mut dgx, self.directions * gates, self.directions)
            .into_iter()
            .zip(Columns::split(&mut dinitial, self.width(), self.directions))
            .zip(dweights.chunks_exact_mut(parameters))
            .collect();
        self.each_direction(parts, |direction, ((dgx, dinitial), dweights)| {
            let values = &weights[direction * parameters..][..parameters];
            let packed = PackedWeights::backward::<C>(self.isa, Parameters::new::<C>(values, hidden), hidden);
            let mut da = vec![0f32; rows * gates];
            let mut operands = Operands::new::<C>(rows, hidden);
            let args = Backward {
                packing: &self.packing,
                hidden,
                reverse: direction == 1,
                weights: &packed,
                initial: self.states(initial, direction),
                out: self.states(out, direction),
                saved: &saved[direction],
                dout: self.states(dout, direction),
                dgx,
                da: &mut da,
                operands: &mut operands,
                dinitial,
            };
            kernels::backward::<C>(self.isa, args);
            weight_gradient::<C>(&da, &operands, hidden, dweights);
        });
        Ok([dgx, dweights, dinitial])
    }
}

/// The gradient of a direction's [`Parameters`], from that of the products and what they multiplied.
fn weight_gradient<C: Gates>(da: &[f32], operands: &Operands, hidden: usize, to: &mut [f32]) {
    let square = hidden * hidden;
    let (weight, rest) = to.split_at_mut(C::GATES * square);
    let (bias, peephole) = rest.split_at_mut(C::GATES * hidden);
    let stride = C::GATES * hidden;
    let product = |gates: std::ops::Range<usize>, operand: &[f32], to: &mut [f32]| {
        let da = &da[(gates.start * hidden).min(da.len())..];
        transposed_product(da, stride, gates.len() * hidden, operand, hidden, to);
    };
    product(0..C::FIRST, &operands.h, &mut weight[..C::FIRST * square]);
    for row in da.chunks_exact(stride) {
        bias.iter_mut().zip(row).for_each(|(to, d)| *to += d);
    }
    if let Some(gate) = C::SECOND {
        let to = match C::SECOND_WEIGHTS {
            SecondWeights::Recurrent => &mut weight[gate * square..][..square],
            SecondWeights::Peephole => &mut peephole[2 * square..],
        };
        product(gate..gate + 1, &operands.mid, to);
    }
    match C::PEEPHOLES {
        Peepholes::None => {}
        Peepholes::Full => product(0..2, &operands.c, &mut peephole[..2 * square]),
        Peepholes::Diagonal => {
            // Gates i and f see c before the step, o sees c after it; o is the last of the four.
            for (gate, block, operand) in [(0, 0, &operands.c), (1, 1, &operands.c), (3, 2, &operands.mid)] {
                let to = &mut peephole[block * hidden..][..hidden];
                for (da, c) in da.chunks_exact(stride).zip(operand.chunks_exact(hidden)) {
                    let da = &da[gate * hidden..][..hidden];
                    to.iter_mut().zip(da).zip(c).for_each(|((to, d), c)| *to += d * c);
                }
            }
        }
    }
}

/// `to [columns, H] = daᵀ · operand`, of the first `columns` columns of `da` (rows of `stride` values).
fn transposed_product(
    da: &[f32],
    stride: usize,
    columns: usize,
    operand: &[f32],
    hidden: usize,
    to: &mut [f32],
) {
    let rows = operand.len() / hidden;
    assert!(rows == 0 || da.len() >= (rows - 1) * stride + columns);
    assert_eq!(to.len(), columns * hidden);
    // SAFETY: sizes and strides are inside the slices, as checked.
    unsafe {
        gemm::gemm(
            columns,
            hidden,
            rows,
            to.as_mut_ptr(),
            1,
            hidden as isize,
            false,
            da.as_ptr(),
            stride as isize,
            1,
            operand.as_ptr(),
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
        let out = with_gates!(self.cell, C => self.forward::<C>(gx, weights, initial))?;
        Ok((CpuStorage::F32(out), Shape::from((self.state_rows().0, self.width()))))
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
        let [dgx, dweights, dinitial] = with_gates!(self.cell, C => self.backward::<C>(&w, &i, &o, &d))?;
        let tensor = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device()).map(Some);
        Ok((tensor(dgx, gx)?, tensor(dweights, weights)?, tensor(dinitial, initial)?))
    }
}
