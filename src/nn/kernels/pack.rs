//! Recurrent weights in the order in which a scan reads them.

use super::Isa;

/// Output columns that the way back computes side by side, in vectors: enough sums at once to keep the arithmetic
/// busy with one sequence.
pub(super) const BACKWARD_VECTORS: usize = 4;

/// For `h · Wᵀ`: `[H / lanes][k][gate][lanes]`, zeros where `H` is no multiple of the lanes.
pub(crate) struct PackedForward(pub(super) Vec<f32>);

/// For `da · W`: `[H / width][k][width]` with `width` = lanes · [`BACKWARD_VECTORS`], zero-padded.
pub(crate) struct PackedBackward(pub(super) Vec<f32>);

impl PackedForward {
    /// `weight` is row-major `[gates·H, stride]`, of which the first `H` columns are taken.
    pub fn new(isa: Isa, weight: &[f32], stride: usize, hidden: usize, gates: usize) -> Self {
        let lanes = isa.lanes();
        let panels = hidden.div_ceil(lanes);
        let mut packed = vec![0f32; panels * hidden * gates * lanes];
        for (p, panel) in packed.chunks_exact_mut(hidden * gates * lanes).enumerate() {
            for gate in 0..gates {
                for lane in 0..lanes.min(hidden - p * lanes) {
                    let row = &weight[(gate * hidden + p * lanes + lane) * stride..][..hidden];
                    for (k, &value) in row.iter().enumerate() {
                        panel[(k * gates + gate) * lanes + lane] = value;
                    }
                }
            }
        }
        Self(packed)
    }
}

impl PackedBackward {
    /// `weight` as in [`PackedForward::new`].
    pub fn new(isa: Isa, weight: &[f32], stride: usize, hidden: usize, gates: usize) -> Self {
        let width = isa.lanes() * BACKWARD_VECTORS;
        let rows = gates * hidden;
        let mut packed = vec![0f32; hidden.div_ceil(width) * rows * width];
        for (p, panel) in packed.chunks_exact_mut(rows * width).enumerate() {
            let count = width.min(hidden - p * width);
            for (k, to) in panel.chunks_exact_mut(width).enumerate() {
                to[..count].copy_from_slice(&weight[k * stride + p * width..][..count]);
            }
        }
        Self(packed)
    }
}
