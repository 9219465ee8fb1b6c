//! The plain values of tensors, for operations of our own.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

/// A contiguous tensor's values.
pub(super) struct Values<S> {
    storage: S,
    range: Range<usize>,
}

impl Values<()> {
    pub fn of(tensor: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
        let (storage, layout) = tensor.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => {
                Ok(Values { storage, range: start..end })
            }
            _ => bail!("a fused operation takes contiguous tensors of f32 on the CPU"),
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

/// The same of what a custom operation is given.
pub(super) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("a fused operation takes contiguous tensors"),
    }
}
