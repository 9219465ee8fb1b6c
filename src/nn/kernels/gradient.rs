//! Gradients of the parameters, from those of the products and what they multiplied.

use std::ops::Range;

use super::pack::{Parameters, Sizes};
use super::scan::Rows;
use super::{Gates, Peepholes, SecondWeights};
use crate::nn::pool::Pool;

/// What the way back leaves for a block of steps, a row a frame; nothing where the cell has no such product.
pub(super) struct Block<'a> {
    /// Gradient of the recurrent products, `[N, G·H]`.
    pub da: Rows<'a>,
    /// Gradient of the input's products, where that is another.
    pub dgx: Option<Rows<'a>>,
    /// `[N, D]`
    pub x: Rows<'a>,
    /// h before the step, `[N, H]`.
    pub h: Rows<'a>,
    /// c before the step.
    pub c: Rows<'a>,
    /// What the second round multiplied; with peepholes c after the step.
    pub mid: Rows<'a>,
}

impl<'a> Block<'a> {
    pub fn new<C: Gates>(pool: &'a Pool, rows: usize, sizes: Sizes) -> Self {
        let peepholes = C::PEEPHOLES != Peepholes::None;
        let states = |wanted: bool| Rows::new(pool, if wanted { rows } else { 0 }, sizes.hidden, 1);
        Self {
            da: Rows::new(pool, rows, C::GATES * sizes.hidden, 1),
            dgx: (!C::SAME_GRADIENTS).then(|| Rows::new(pool, rows, C::GATES * sizes.hidden, 1)),
            x: Rows::new(pool, rows, sizes.input, 1),
            h: states(true),
            c: states(peepholes),
            mid: states(peepholes || C::SECOND.is_some()),
        }
    }

    /// Gradient of the input's products.
    pub fn input(&self) -> &Rows<'a> {
        self.dgx.as_ref().unwrap_or(&self.da)
    }

    /// Adds the gradients of the block's first `rows` rows.
    pub fn add_to<C: Gates>(&self, rows: usize, hidden: usize, to: &mut Parameters<&mut [f32]>) {
        let square = hidden * hidden;
        let all = 0..C::GATES * hidden;
        transposed_product(rows, self.input(), all, &self.x, to.input_weight);
        add_rows(rows, self.input(), to.input_bias);
        transposed_product(
            rows,
            &self.da,
            0..C::FIRST * hidden,
            &self.h,
            &mut to.weight[..C::FIRST * square],
        );
        match C::SAME_GRADIENTS {
            true => to.bias.copy_from_slice(to.input_bias),
            false => add_rows(rows, &self.da, to.bias),
        }
        if let Some(gate) = C::SECOND {
            let to = match C::SECOND_WEIGHTS {
                SecondWeights::Recurrent => &mut to.weight[gate * square..][..square],
                SecondWeights::Peephole => &mut to.peephole[2 * square..],
            };
            transposed_product(rows, &self.da, gate * hidden..(gate + 1) * hidden, &self.mid, to);
        }
        match C::PEEPHOLES {
            Peepholes::None => {}
            Peepholes::Full => {
                let to = &mut to.peephole[..2 * square];
                transposed_product(rows, &self.da, 0..2 * hidden, &self.c, to);
            }
            Peepholes::Diagonal => {
                // Gates i and f see c before the step, o sees c after it; o is the last of the four.
                for (gate, block, operand) in [(0, 0, &self.c), (1, 1, &self.c), (3, 2, &self.mid)] {
                    let to = &mut to.peephole[block * hidden..][..hidden];
                    let gradients = self.da.data.chunks_exact(self.da.stride);
                    for (da, c) in gradients.zip(operand.data.chunks_exact(hidden)).take(rows) {
                        let da = &da[gate * hidden..][..hidden];
                        to.iter_mut().zip(da).zip(c).for_each(|((to, d), c)| *to += d * c);
                    }
                }
            }
        }
    }
}

fn add_rows(rows: usize, from: &Rows, to: &mut [f32]) {
    for row in from.data.chunks_exact(from.stride).take(rows) {
        to.iter_mut().zip(row).for_each(|(to, d)| *to += d);
    }
}

/// `to [columns, operand's width] += daᵀ · operand` over `rows` rows.
fn transposed_product(rows: usize, da: &Rows, columns: Range<usize>, operand: &Rows, to: &mut [f32]) {
    let (stride, width) = (da.stride, operand.stride);
    assert!(columns.end <= stride && rows * stride <= da.data.len() && rows * width <= operand.data.len());
    assert_eq!(to.len(), columns.len() * width);
    // SAFETY: sizes and strides are inside the slices, as checked.
    unsafe {
        gemm::gemm(
            columns.len(),
            width,
            rows,
            to.as_mut_ptr(),
            1,
            width as isize,
            true,
            da.data[columns.start..].as_ptr(),
            stride as isize,
            1,
            operand.data.as_ptr(),
            1,
            width as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
