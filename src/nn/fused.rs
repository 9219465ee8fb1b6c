//! A recurrent layer, all directions at once, over memory and as one candle operation with its own way back.

use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::cell::{CellKind, with_gates};
use super::kernels::{self, Backward, Columns, Forward, Gates, Isa, PackedWeights, Parameters, Sizes};
use super::packing::Packing;

/// One layer of a batch.
///
/// `x [B, T, D]`, `weights [D, P]` (each direction's [`Parameters`]) and `initial [S·B, D·H]` (`B` rows of h, for a
/// cell with a memory then `B` of c) give `[B·T + M, D·H]`: h at every frame, zero beyond a sequence's end, and, for a
/// cell with a memory, `M = B` rows of the last c.
///
/// A new value for each forward pass that is to be gone back: it keeps what the way back needs.
pub(super) struct FusedLayer {
    pub cell: CellKind,
    pub sizes: Sizes,
    pub directions: usize,
    pub packing: Arc<Packing>,
    pub isa: Isa,
    /// For each direction what its steps keep.
    pub saved: Mutex<Vec<Vec<f32>>>,
}

impl FusedLayer {
    /// The way forward that is not to be gone back.
    pub fn infer(&self, x: &Tensor, weights: &[PackedWeights], initial: &Tensor) -> Result<Tensor> {
        let out = {
            let (x, initial) = (Values::of(x)?, Values::of(initial)?);
            with_gates!(self.cell, C => self.forward::<C>(&x, weights, &initial, None))
        };
        Tensor::from_vec(out, self.shape(x.elem_count() / self.sizes.input), x.device())
    }

    fn width(&self) -> usize {
        self.directions * self.sizes.hidden
    }

    fn shape(&self, places: usize) -> Shape {
        let memory = if self.cell.has_memory() { self.packing.batch() } else { 0 };
        Shape::from((places + memory, self.width()))
    }

    /// This direction's columns of a matrix of states.
    fn states<'a>(&self, matrix: &'a [f32], direction: usize) -> Columns<'a> {
        Columns::read(matrix, self.width(), direction * self.sizes.hidden, self.sizes.hidden)
    }

    /// Directions run side by side; at inference, where there are more threads, parts of the batch too.
    fn forward<C: Gates>(
        &self,
        x: &[f32],
        weights: &[PackedWeights],
        initial: &[f32],
        saved: Option<&mut [Vec<f32>]>,
    ) -> Vec<f32> {
        let places = x.len() / self.sizes.input;
        let mut out = vec![0f32; self.shape(places).elem_count()];
        let columns = Columns::split(&mut out, self.width(), self.directions);
        let scan = |direction: usize, packing: &Packing, saved: Option<&mut [f32]>| {
            let args = Forward {
                packing,
                reverse: direction == 1,
                weights: &weights[direction],
                x: Columns::read(x, self.sizes.input, 0, self.sizes.input),
                initial: self.states(initial, direction),
                out: columns[direction],
                saved,
            };
            kernels::forward::<C>(self.isa, args);
        };
        match saved {
            Some(saved) => rayon::scope(|scope| {
                for (direction, saved) in saved.iter_mut().enumerate() {
                    let (scan, packing) = (&scan, &self.packing);
                    scope.spawn(move |_| scan(direction, packing, Some(saved)));
                }
            }),
            None => {
                let groups = (rayon::current_num_threads() / self.directions)
                    .clamp(1, self.packing.batch().div_ceil(8));
                let parts = self.packing.split(groups);
                rayon::scope(|scope| {
                    for direction in 0..self.directions {
                        for packing in &parts {
                            let scan = &scan;
                            scope.spawn(move |_| scan(direction, packing, None));
                        }
                    }
                });
            }
        }
        out
    }

    /// Gradients of `x` (if wanted), `weights` and `initial`.
    fn backward<C: Gates>(
        &self,
        [x, weights, initial, out, dout]: [&[f32]; 5],
        input_gradient: bool,
    ) -> Result<(Option<Vec<f32>>, Vec<f32>, Vec<f32>)> {
        let sizes = self.sizes;
        let parameters = sizes.parameters::<C>();
        let saved = std::mem::take(&mut *self.saved.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        if saved.len() != self.directions {
            bail!("a scan's way back can be gone once");
        }
        let mut dx = vec![vec![0f32; if input_gradient { x.len() } else { 0 }]; self.directions];
        let mut dweights = vec![0f32; self.directions * parameters];
        let mut dinitial = vec![0f32; initial.len()];
        let dinitials = Columns::split(&mut dinitial, self.width(), self.directions);
        rayon::scope(|scope| {
            let parts =
                dinitials.into_iter().zip(&mut dx).zip(dweights.chunks_exact_mut(parameters)).zip(&saved);
            for (direction, (((dinitial, dx), dweights), saved)) in parts.enumerate() {
                let values = &weights[direction * parameters..][..parameters];
                scope.spawn(move |_| {
                    let values = Parameters::new::<C>(values, sizes);
                    let args = Backward {
                        packing: &self.packing,
                        reverse: direction == 1,
                        weights: &PackedWeights::backward::<C>(self.isa, &values, sizes),
                        x: Columns::read(x, sizes.input, 0, sizes.input),
                        initial: self.states(initial, direction),
                        out: self.states(out, direction),
                        saved,
                        dout: self.states(dout, direction),
                        dx: input_gradient.then(|| Columns::write(dx, sizes.input)),
                        dweights: Parameters::new_mut::<C>(dweights, sizes),
                        dinitial,
                    };
                    kernels::backward::<C>(self.isa, args);
                });
            }
        });
        let mut dx = dx.into_iter();
        let dx = match (dx.next(), dx.next()) {
            (Some(mut sum), other) if input_gradient => {
                for other in other.iter() {
                    sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
                }
                Some(sum)
            }
            _ => None,
        };
        Ok((dx, dweights, dinitial))
    }
}

/// The weights of each direction in the order in which a scan on this machine reads them.
pub(super) fn pack(cell: CellKind, isa: Isa, sizes: Sizes, weights: &Tensor) -> Result<Vec<PackedWeights>> {
    let weights = Values::of(weights)?;
    Ok(with_gates!(cell, C => pack_values::<C>(isa, sizes, &weights)))
}

fn pack_values<C: Gates>(isa: Isa, sizes: Sizes, weights: &[f32]) -> Vec<PackedWeights> {
    let each = weights.chunks_exact(sizes.parameters::<C>());
    each.map(|values| PackedWeights::forward::<C>(isa, &Parameters::new::<C>(values, sizes), sizes)).collect()
}

/// A contiguous tensor's values.
struct Values<S> {
    storage: S,
    range: Range<usize>,
}

impl Values<()> {
    fn of(tensor: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
        let (storage, layout) = tensor.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => {
                Ok(Values { storage, range: start..end })
            }
            _ => bail!("a scan takes contiguous tensors of f32 on the CPU"),
        }
    }
}

impl<S: Deref<Target = Storage>> Deref for Values<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a scan takes contiguous tensors"),
    }
}

impl CustomOp3 for FusedLayer {
    fn name(&self) -> &'static str {
        "fused-recurrent-layer"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
        initial: &CpuStorage,
        initial_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = contiguous(x, x_layout)?;
        let weights = contiguous(weights, weights_layout)?;
        let initial = contiguous(initial, initial_layout)?;
        let out = with_gates!(self.cell, C => {
            let kept = self.packing.rows() * C::SAVED * self.sizes.hidden;
            let mut saved = vec![vec![0f32; kept]; self.directions];
            let packed = pack_values::<C>(self.isa, self.sizes, weights);
            let out = self.forward::<C>(x, &packed, initial, Some(&mut saved));
            *self.saved.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = saved;
            out
        });
        Ok((CpuStorage::F32(out), self.shape(x.len() / self.sizes.input)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        initial: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dout = dout.contiguous()?;
        let (dx, dweights, dinitial) = {
            let [x_values, weights, initial, out, dout] = [
                &Values::of(x)?,
                &Values::of(weights)?,
                &Values::of(initial)?,
                &Values::of(out)?,
                &Values::of(&dout)?,
            ];
            let values = [x_values.deref(), weights, initial, out, dout];
            with_gates!(self.cell, C => self.backward::<C>(values, x.track_op()))?
        };
        let tensor = |data, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device());
        Ok((
            dx.map(|dx| tensor(dx, x)).transpose()?,
            Some(tensor(dweights, weights)?),
            initial.track_op().then(|| tensor(dinitial, initial)).transpose()?,
        ))
    }
}
