//! Power -> decibel, as `librosa.power_to_db` with `ref=1`.

/// `10 log10(max(amin, x))` in place, then nothing more than `top_db` below the maximum of `values`.
/// `amin` must be positive and normal; NaN becomes `amin`.
pub(super) fn power_to_db(values: &mut [f32], amin: f32) {
    for x in values {
        *x = decibel(if *x > amin { *x } else { amin });
    }
}

/// Raises what lies more than `top_db` below the maximum of `values`.
pub(super) fn cut_below_top(values: &mut [f32], top_db: f32) {
    let floor = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - top_db;
    for x in values {
        *x = x.max(floor);
    }
}

/// `10 log10(x)` of a positive normal number, without a branch or a table, so that loops over it are vectorised.
///
/// `x = 2^e * m` with `m` in [sqrt(1/2), sqrt(2)); the logarithm of `m` is Cephes' `logf` polynomial. The relative
/// error is below 3e-7 (about 2.5 units in the last place), 0 at `x = 1`.
#[inline(always)]
fn decibel(x: f32) -> f32 {
    const SQRT_HALF: i32 = 0x3f35_04f3;
    const DB_PER_NEPER: f32 = 4.342_944_8; // 10 / ln 10
    const DB_PER_OCTAVE: f32 = 3.010_3; // 10 log10 2
    let bits = x.to_bits() as i32;
    let e = bits.wrapping_sub(SQRT_HALF) >> 23;
    let f = f32::from_bits(bits.wrapping_sub(e << 23) as u32) - 1.0;
    let mut p = 7.037_683_6e-2;
    p = p * f - 1.151_461e-1;
    p = p * f + 1.167_699_9e-1;
    p = p * f - 1.242_014_1e-1;
    p = p * f + 1.424_932_3e-1;
    p = p * f - 1.666_805_8e-1;
    p = p * f + 2.000_071_5e-1;
    p = p * f - 2.499_999_4e-1;
    p = p * f + 3.333_333e-1;
    let ff = f * f;
    let ln_m = f + (ff * f * p - 0.5 * ff);
    e as f32 * DB_PER_OCTAVE + ln_m * DB_PER_NEPER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_are_right_to_3e_7() {
        let mut worst = 0.0_f64;
        // Every 97th normal number, and all near 1.
        let all = (0x0080_0000_u32..0x7f80_0000).step_by(97);
        for bits in all.chain(0x3f7f_0000..0x3f81_0000) {
            let x = f32::from_bits(bits);
            let exact = 10.0 * f64::from(x).log10();
            let error = (f64::from(decibel(x)) - exact).abs();
            worst = worst.max(if exact == 0.0 { error } else { error / exact.abs() });
        }
        assert!(worst < 3e-7, "{worst}");
    }

    #[test]
    fn what_is_below_amin_or_no_number_is_amin() {
        let mut values = [0.0, -1.0, f32::NAN, 1e-12, 1.0, 100.0];
        power_to_db(&mut values, 1e-10);
        assert_eq!(values.map(|x| x.round()), [-100.0, -100.0, -100.0, -100.0, 0.0, 20.0]);
        cut_below_top(&mut values, 80.0);
        assert_eq!(values.map(|x| x.round()), [-60.0, -60.0, -60.0, -60.0, 0.0, 20.0]);
    }
}
