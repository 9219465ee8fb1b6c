//! Recurrent weights in the order in which a scan reads them.

use super::{Gates, Isa, Peepholes, SecondWeights};

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

/// One product's weights: `[units / width][k][panel][gate][lanes]` with `width` = lanes · panels, zeros where the units
/// are no multiple of it.
pub(crate) struct Packed {
    data: Vec<f32>,
    /// What each sum starts with, in the order of the tiles; nothing on the way back.
    bias: Vec<f32>,
    /// Values from one tile to the next.
    tile: usize,
    /// Terms of each sum.
    pub(super) depth: usize,
}

impl Packed {
    /// The weights of tile `index`.
    #[inline(always)]
    pub(super) fn tile(&self, index: usize) -> *const f32 {
        self.data[index * self.tile..].as_ptr()
    }

    /// The biases from the one at `index` on.
    #[inline(always)]
    pub(super) fn bias(&self, index: usize) -> *const f32 {
        self.bias[index..].as_ptr()
    }

    pub(super) fn tiles(&self) -> usize {
        self.data.len() / self.tile.max(1)
    }

    /// For `v · Wᵀ + b`, where `weight` has `gates` blocks of `[units, depth]` and `bias`, if any, as many of `[units]`.
    fn transposed(isa: Isa, weight: &[f32], bias: &[f32], depth: usize, gates: usize, panels: usize) -> Self {
        let units = weight.len() / (gates * depth);
        let lanes = isa.lanes();
        let (width, sums) = (lanes * panels, panels * gates * lanes);
        let tile = depth * sums;
        let tiles = units.div_ceil(width);
        let (mut data, mut biases) = (vec![0f32; tiles * tile], vec![0f32; tiles * sums]);
        for (t, (to, biases)) in data.chunks_exact_mut(tile).zip(biases.chunks_exact_mut(sums)).enumerate() {
            for gate in 0..gates {
                for unit in 0..width.min(units - t * width) {
                    let row = &weight[(gate * units + t * width + unit) * depth..][..depth];
                    let place = (unit / lanes * gates + gate) * lanes + unit % lanes;
                    biases[place] = bias.get(gate * units + t * width + unit).copied().unwrap_or(0.0);
                    for (to, &value) in to[place..].iter_mut().step_by(sums).zip(row) {
                        *to = value;
                    }
                }
            }
        }
        Self { data, bias: biases, tile, depth }
    }

    /// For `d · W`, where `weight` is `[rows, units]`.
    fn straight(isa: Isa, weight: &[f32], units: usize) -> Self {
        let width = isa.lanes() * VECTORS;
        let depth = weight.len() / units;
        let tile = depth * width;
        let mut data = vec![0f32; units.div_ceil(width) * tile];
        for (t, to) in data.chunks_exact_mut(tile).enumerate() {
            let count = width.min(units - t * width);
            for (to, from) in to.chunks_exact_mut(width).zip(weight.chunks_exact(units)) {
                to[..count].copy_from_slice(&from[t * width..][..count]);
            }
        }
        Self { data, bias: Vec::new(), tile, depth }
    }
}

/// Sizes of one layer in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub input: usize,
    pub hidden: usize,
}

impl Sizes {
    /// Values in a direction's [`Parameters`].
    pub fn parameters<C: Gates>(self) -> usize {
        C::GATES * self.hidden * (self.input + self.hidden + 2) + self.peepholes::<C>()
    }

    fn peepholes<C: Gates>(self) -> usize {
        match C::PEEPHOLES {
            Peepholes::None => 0,
            Peepholes::Diagonal => super::PEEPHOLE_GATES * self.hidden,
            Peepholes::Full => super::PEEPHOLE_GATES * self.hidden * self.hidden,
        }
    }
}

/// One layer's parameters in one direction, as they lie one after the other in the operation's argument:
/// `weight_ih [G·H, D]`, `bias_ih [G·H]`, `weight_hh [G·H, H]`, `bias_hh [G·H]`, and the peephole weights, if there are
/// any.
pub(crate) struct Parameters<T> {
    pub input_weight: T,
    pub input_bias: T,
    pub weight: T,
    pub bias: T,
    pub peephole: T,
}

impl<'a> Parameters<&'a [f32]> {
    pub fn new<C: Gates>(values: &'a [f32], sizes: Sizes) -> Self {
        assert_eq!(values.len(), sizes.parameters::<C>());
        let rows = C::GATES * sizes.hidden;
        let (input_weight, rest) = values.split_at(rows * sizes.input);
        let (input_bias, rest) = rest.split_at(rows);
        let (weight, rest) = rest.split_at(rows * sizes.hidden);
        let (bias, peephole) = rest.split_at(rows);
        Self { input_weight, input_bias, weight, bias, peephole }
    }

    fn second_weight<C: Gates>(&self, hidden: usize) -> Option<&'a [f32]> {
        let square = hidden * hidden;
        C::SECOND.map(|gate| match C::SECOND_WEIGHTS {
            SecondWeights::Recurrent => &self.weight[gate * square..][..square],
            SecondWeights::Peephole => &self.peephole[self.peephole.len() - square..],
        })
    }
}

impl<'a> Parameters<&'a mut [f32]> {
    pub fn new_mut<C: Gates>(values: &'a mut [f32], sizes: Sizes) -> Self {
        assert_eq!(values.len(), sizes.parameters::<C>());
        let rows = C::GATES * sizes.hidden;
        let (input_weight, rest) = values.split_at_mut(rows * sizes.input);
        let (input_bias, rest) = rest.split_at_mut(rows);
        let (weight, rest) = rest.split_at_mut(rows * sizes.hidden);
        let (bias, peephole) = rest.split_at_mut(rows);
        Self { input_weight, input_bias, weight, bias, peephole }
    }
}

/// Which way of a scan weights are packed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forward,
    Backward,
}

/// The products of a layer in one direction, packed for one way.
pub(crate) struct PackedWeights {
    /// For which vectors, which way and which sizes; a scan of another kind would read beyond them.
    pub(super) made_for: (Isa, Way, Sizes),
    /// With the input: forward for its products, back for its gradient.
    pub(super) input: Packed,
    pub(super) first: Packed,
    pub(super) memory: Option<Packed>,
    pub(super) second: Option<Packed>,
    /// `[3·H]`, zeros without diagonal peepholes.
    pub(super) diagonal: Vec<f32>,
}

impl std::fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PackedWeights").field(&self.made_for).finish_non_exhaustive()
    }
}

impl PackedWeights {
    pub fn forward<C: Gates>(isa: Isa, parameters: &Parameters<&[f32]>, sizes: Sizes) -> Self {
        let hidden = sizes.hidden;
        let square = hidden * hidden;
        let transposed = |weight: &[f32], bias: &[f32], depth, gates, panels| {
            Packed::transposed(isa, weight, bias, depth, gates, panels)
        };
        // A gate of the second round alone has its bias there.
        let first_bias = &parameters.bias[..C::FIRST * hidden];
        let second_bias = match C::SECOND {
            Some(gate) if gate >= C::FIRST => &parameters.bias[gate * hidden..][..hidden],
            _ => &[],
        };
        Self::new::<C>(
            (isa, Way::Forward, sizes),
            parameters,
            transposed(parameters.input_weight, parameters.input_bias, sizes.input, 1, VECTORS),
            transposed(
                &parameters.weight[..C::FIRST * square],
                first_bias,
                hidden,
                C::FIRST,
                panels(C::FIRST),
            ),
            (C::FROM_MEMORY > 0).then(|| {
                // Added to the sums of the product above, so in tiles as wide.
                let weight = &parameters.peephole[..C::FROM_MEMORY * square];
                transposed(weight, &[], hidden, C::FROM_MEMORY, panels(C::FIRST))
            }),
            parameters
                .second_weight::<C>(hidden)
                .map(|weight| transposed(weight, second_bias, hidden, 1, panels(1))),
        )
    }

    pub fn backward<C: Gates>(isa: Isa, parameters: &Parameters<&[f32]>, sizes: Sizes) -> Self {
        let hidden = sizes.hidden;
        let square = hidden * hidden;
        let straight = |weight: &[f32], units| Packed::straight(isa, weight, units);
        Self::new::<C>(
            (isa, Way::Backward, sizes),
            parameters,
            straight(parameters.input_weight, sizes.input),
            straight(&parameters.weight[..C::FIRST * square], hidden),
            (C::FROM_MEMORY > 0).then(|| straight(&parameters.peephole[..C::FROM_MEMORY * square], hidden)),
            parameters.second_weight::<C>(hidden).map(|weight| straight(weight, hidden)),
        )
    }

    fn new<C: Gates>(
        made_for: (Isa, Way, Sizes),
        parameters: &Parameters<&[f32]>,
        input: Packed,
        first: Packed,
        memory: Option<Packed>,
        second: Option<Packed>,
    ) -> Self {
        let diagonal = match C::PEEPHOLES {
            Peepholes::Diagonal => parameters.peephole.to_vec(),
            Peepholes::None | Peepholes::Full => vec![0.0; super::PEEPHOLE_GATES * made_for.2.hidden],
        };
        Self { made_for, input, first, memory, second, diagonal }
    }
}
