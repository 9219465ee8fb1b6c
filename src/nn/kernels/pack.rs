//! Recurrent weights in the order in which a scan reads them.

use super::{Gates, Isa, MAX_GATES, Peepholes, SecondWeights};

/// Vectors of output that a product computes side by side: enough sums at once to keep the arithmetic busy with one
/// sequence.
pub(super) const VECTORS: usize = 4;

/// How many neighbouring vectors of units a product over `gates` gates takes at once.
pub(super) const fn panels(gates: usize) -> usize {
    match gates {
        1 => VECTORS,
        2 => VECTORS / 2,
        _ => 1,
    }
}

/// One product's weights: `[H / width][k][panel][gate][lanes]` with `width` = lanes · panels, zeros where `H` is no
/// multiple of it.
pub(crate) struct Packed {
    data: Vec<f32>,
    /// Values from one tile to the next.
    tile: usize,
}

impl Packed {
    /// The weights of tile `index`.
    #[inline(always)]
    pub(super) fn tile(&self, index: usize) -> *const f32 {
        self.data[index * self.tile..].as_ptr()
    }

    /// For `v · Wᵀ`, where `weight` has `gates` blocks of `[H, H]`.
    fn transposed(isa: Isa, weight: &[f32], hidden: usize, gates: usize, panels: usize) -> Self {
        let lanes = isa.lanes();
        let (width, sums) = (lanes * panels, panels * gates * lanes);
        let tile = hidden * sums;
        let mut data = vec![0f32; hidden.div_ceil(width) * tile];
        for (t, to) in data.chunks_exact_mut(tile.max(1)).enumerate() {
            for gate in 0..gates {
                for unit in 0..width.min(hidden - t * width) {
                    let row = &weight[(gate * hidden + t * width + unit) * hidden..][..hidden];
                    let place = (unit / lanes * gates + gate) * lanes + unit % lanes;
                    for (k, &value) in row.iter().enumerate() {
                        to[k * sums + place] = value;
                    }
                }
            }
        }
        Self { data, tile }
    }

    /// For `d · W`, where `weight` is `[rows, H]`.
    fn straight(isa: Isa, weight: &[f32], hidden: usize) -> Self {
        let width = isa.lanes() * VECTORS;
        let tile = weight.len() / hidden * width;
        let mut data = vec![0f32; hidden.div_ceil(width) * tile];
        for (t, to) in data.chunks_exact_mut(tile.max(1)).enumerate() {
            let count = width.min(hidden - t * width);
            for (to, from) in to.chunks_exact_mut(width).zip(weight.chunks_exact(hidden)) {
                to[..count].copy_from_slice(&from[t * width..][..count]);
            }
        }
        Self { data, tile }
    }
}

/// One layer's recurrent parameters in one direction, as they lie side by side in the operation's argument:
/// `weight_hh [G·H, H]`, `bias_hh [G·H]`, and the peephole weights, if there are any.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub peephole: &'a [f32],
}

impl<'a> Parameters<'a> {
    /// Values in all.
    pub fn len<C: Gates>(hidden: usize) -> usize {
        let peephole = match C::PEEPHOLES {
            Peepholes::None => 0,
            Peepholes::Diagonal => super::PEEPHOLE_GATES * hidden,
            Peepholes::Full => super::PEEPHOLE_GATES * hidden * hidden,
        };
        C::GATES * hidden * (hidden + 1) + peephole
    }

    pub fn new<C: Gates>(values: &'a [f32], hidden: usize) -> Self {
        assert_eq!(values.len(), Self::len::<C>(hidden));
        let (weight, rest) = values.split_at(C::GATES * hidden * hidden);
        let (bias, peephole) = rest.split_at(C::GATES * hidden);
        Self { weight, bias, peephole }
    }

    fn second_weight<C: Gates>(&self, hidden: usize) -> Option<&'a [f32]> {
        let square = hidden * hidden;
        C::SECOND.map(|gate| match C::SECOND_WEIGHTS {
            SecondWeights::Recurrent => &self.weight[gate * square..][..square],
            SecondWeights::Peephole => &self.peephole[self.peephole.len() - square..],
        })
    }
}

/// Which way of a scan weights are packed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// The products of a step, packed for one way.
pub(crate) struct PackedWeights {
    /// For which vectors and which way; a scan of another kind would read beyond them.
    pub(super) made_for: (Isa, Way, usize),
    pub(super) first: Packed,
    pub(super) memory: Option<Packed>,
    pub(super) second: Option<Packed>,
    /// `[MAX_GATES·H]`: the biases of the first round.
    pub(super) first_bias: Vec<f32>,
    /// `[H]`, where there is a second round.
    pub(super) second_bias: Vec<f32>,
    /// `[3·H]`, zeros without diagonal peepholes.
    pub(super) diagonal: Vec<f32>,
}

impl PackedWeights {
    pub fn forward<C: Gates>(isa: Isa, parameters: Parameters, hidden: usize) -> Self {
        let square = hidden * hidden;
        Self::new::<C>(
            (isa, Way::Forward, hidden),
            parameters,
            Packed::transposed(
                isa,
                &parameters.weight[..C::FIRST * square],
                hidden,
                C::FIRST,
                panels(C::FIRST),
            ),
            (C::FROM_MEMORY > 0).then(|| {
                // Added to the sums of the product above, so in tiles as wide.
                let weight = &parameters.peephole[..C::FROM_MEMORY * square];
                Packed::transposed(isa, weight, hidden, C::FROM_MEMORY, panels(C::FIRST))
            }),
            parameters
                .second_weight::<C>(hidden)
                .map(|weight| Packed::transposed(isa, weight, hidden, 1, panels(1))),
        )
    }

    pub fn backward<C: Gates>(isa: Isa, parameters: Parameters, hidden: usize) -> Self {
        let square = hidden * hidden;
        Self::new::<C>(
            (isa, Way::Backward, hidden),
            parameters,
            Packed::straight(isa, &parameters.weight[..C::FIRST * square], hidden),
            (C::FROM_MEMORY > 0)
                .then(|| Packed::straight(isa, &parameters.peephole[..C::FROM_MEMORY * square], hidden)),
            parameters.second_weight::<C>(hidden).map(|weight| Packed::straight(isa, weight, hidden)),
        )
    }

    fn new<C: Gates>(
        made_for: (Isa, Way, usize),
        parameters: Parameters,
        first: Packed,
        memory: Option<Packed>,
        second: Option<Packed>,
    ) -> Self {
        let hidden = made_for.2;
        // A gate of the second round alone has its bias there.
        let mut first_bias = vec![0f32; MAX_GATES * hidden];
        first_bias[..C::FIRST * hidden].copy_from_slice(&parameters.bias[..C::FIRST * hidden]);
        let second_bias = match C::SECOND {
            Some(gate) if gate >= C::FIRST => parameters.bias[gate * hidden..][..hidden].to_vec(),
            _ => vec![0.0; hidden],
        };
        let diagonal = match C::PEEPHOLES {
            Peepholes::Diagonal => parameters.peephole.to_vec(),
            Peepholes::None | Peepholes::Full => vec![0.0; super::PEEPHOLE_GATES * hidden],
        };
        Self { made_for, first, memory, second, first_bias, second_bias, diagonal }
    }
}
