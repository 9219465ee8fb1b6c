//! Vectors of AVX2 with FMA, and of AVX-512.

use std::arch::x86_64::*;

use super::Isa;
use super::simd::Simd;

/// Eight values; needs AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256);

/// Sixteen values; needs AVX-512F.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

macro_rules! simd {
    ($name:ident, $lanes:literal, $sums:literal, $set:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
     $mul:ident, $div:expr, $min:ident, $max:ident, $fma:ident, $positive:expr) => {
        // SAFETY: the trait's contract: the caller's function is compiled for these instructions, the machine has
        // them, and the pointers are valid.
        unsafe impl Simd for $name {
            const LANES: usize = $lanes;
            const SUMS: usize = $sums;
            const ISA: Isa = Isa::$name;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                Self(unsafe { $set(value) })
            }
            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn div(self, other: Self) -> Self {
                Self(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn min(self, other: Self) -> Self {
                Self(unsafe { $min(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn max(self, other: Self) -> Self {
                Self(unsafe { $max(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn where_positive(self, value: Self) -> Self {
                Self(unsafe { $positive(self.0, value.0) })
            }
            #[inline(always)]
            unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
                Self(unsafe { $fma(self.0, factor.0, term.0) })
            }
        }
    };
}

simd!(
    Avx2,
    8,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_min_ps,
    _mm256_max_ps,
    _mm256_fmadd_ps,
    |a, v| _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps()), v)
);
simd!(
    Avx512,
    16,
    24,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    divide_avx512,
    _mm512_min_ps,
    _mm512_max_ps,
    _mm512_fmadd_ps,
    |a, v| _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps()), v)
);

/// The machine's own division keeps a port busy for 16 cycles; this is an estimate of the reciprocal, of 14 bits, and
/// one step of Newton's method.
///
/// # Safety
/// Needs AVX-512F.
#[inline(always)]
unsafe fn divide_avx512(a: __m512, b: __m512) -> __m512 {
    // SAFETY: the caller's.
    unsafe {
        let estimate = _mm512_rcp14_ps(b);
        let error = _mm512_fnmadd_ps(b, estimate, _mm512_set1_ps(1.0));
        _mm512_mul_ps(a, _mm512_fmadd_ps(estimate, error, estimate))
    }
}
