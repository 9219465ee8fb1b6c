//! tanh and sigmoid in vector arithmetic.

use super::simd::Simd;

/// Beyond this tanh is 1 to the last bit of an f32.
const LIMIT: f32 = 7.998_811_7;

/// Numerator (odd powers 1 to 13) and denominator (even powers 0 to 6) of tanh: the rational minimax approximation of
/// Eigen (`generic_fast_tanh_float`), within 2.4e-7 everywhere.
const NUMERATOR: [f32; 7] = [
    -2.760_768_5e-16,
    2.000_188e-13,
    -8.604_672e-11,
    5.122_297_1e-8,
    1.485_722_4e-5,
    6.372_619_3e-4,
    4.893_524_5e-3,
];
const DENOMINATOR: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];

/// tanh, within 4e-7 of the exact value; NaN stays NaN.
///
/// # Safety
/// As [`Simd`] asks.
#[inline(always)]
pub(crate) unsafe fn tanh<V: Simd>(x: V) -> V {
    // SAFETY: no pointers; the caller answers for the instructions.
    unsafe {
        // In this order NaN comes through: both give the second operand where the comparison fails.
        let x = V::splat(-LIMIT).max(V::splat(LIMIT).min(x));
        let square = x.mul(x);
        let mut p = V::splat(NUMERATOR[0]);
        for &c in &NUMERATOR[1..] {
            p = p.mul_add(square, V::splat(c));
        }
        let mut q = V::splat(DENOMINATOR[0]);
        for &c in &DENOMINATOR[1..] {
            q = q.mul_add(square, V::splat(c));
        }
        p.mul(x).div(q)
    }
}

/// σ(x) = 1/2 + 1/2 tanh(x / 2), within 3e-7 of the exact value.
///
/// # Safety
/// As [`Simd`] asks.
#[inline(always)]
pub(crate) unsafe fn sigmoid<V: Simd>(x: V) -> V {
    // SAFETY: as above.
    unsafe {
        let half = V::splat(0.5);
        tanh(x.mul(half)).mul_add(half, half)
    }
}
