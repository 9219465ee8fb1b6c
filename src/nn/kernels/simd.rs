//! A vector of f32, as wide as the machine has it: the few operations that the scans are written in.

use super::Isa;

/// One vector register.
///
/// # Safety
/// An implementation may use instructions that not every machine has. Its methods are called only inside a function
/// that is compiled for those instructions and that is entered only where [`Isa`](super::Isa) found them.
/// Pointers must be valid for as many values as are read or written; they need no alignment.
pub(crate) unsafe trait Simd: Copy {
    /// Values in a register.
    const LANES: usize;
    /// Sums that a product makes side by side; with what else it needs they are to fit the registers.
    const SUMS: usize;
    const ISA: Isa;

    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// Within two units in the last place, for a divisor that is finite and not subnormal.
    unsafe fn div(self, other: Self) -> Self;
    /// `other` where either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// `value` where `self` is above 0, else 0.
    unsafe fn where_positive(self, value: Self) -> Self;
    /// `self * factor + term`
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self;

    /// The first `count` values, zeros behind them.
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: both sides hold at least `count` values, and LANES is at most 16.
        unsafe {
            if count >= Self::LANES {
                return Self::load(from);
            }
            let mut values = [0f32; 16];
            std::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), count);
            Self::load(values.as_ptr())
        }
    }

    /// Only the first `count` values.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: as in `load_part`.
        unsafe {
            if count >= Self::LANES {
                return self.store(to);
            }
            let mut values = [0f32; 16];
            self.store(values.as_mut_ptr());
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, count);
        }
    }
}

/// The form without special instructions; the compiler makes of it what every machine of the target has.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 4]);

macro_rules! lanewise {
    ($a:expr, $b:expr, $f:expr) => {{
        let (a, b) = ($a.0, $b.0);
        Portable([$f(a[0], b[0]), $f(a[1], b[1]), $f(a[2], b[2]), $f(a[3], b[3])])
    }};
}

// SAFETY: plain arithmetic; only the pointers ask for care.
unsafe impl Simd for Portable {
    const LANES: usize = 4;
    const SUMS: usize = 8;
    const ISA: Isa = Isa::Portable;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller answers for the pointer.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller answers for the pointer.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        lanewise!(self, other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        lanewise!(self, other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        lanewise!(self, other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        lanewise!(self, other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // Not f32::min: this is one instruction.
        lanewise!(self, other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        lanewise!(self, other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn where_positive(self, value: Self) -> Self {
        lanewise!(self, value, |a, v| if a > 0.0 { v } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // Not f32::mul_add: without the instruction that is a call into the C library.
        // SAFETY: plain arithmetic.
        unsafe { self.mul(factor).add(term) }
    }
}
