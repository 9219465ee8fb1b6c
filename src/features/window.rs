//! Window functions, periodic, equal to `scipy.signal.get_window(name, length)`.

use std::f64::consts::PI;

use super::Window;

/// `length` samples of the window, from 0 to 1.
pub(super) fn window(window: Window, length: usize) -> Vec<f64> {
    if length == 1 {
        return vec![1.0];
    }
    (0..length)
        .map(|n| {
            // Position in the period, 0 to below 1.
            let x = n as f64 / length as f64;
            match window {
                Window::Hann => cosines(&[0.5, 0.5], x),
                Window::Hamming => cosines(&[0.54, 0.46], x),
                Window::Blackman => cosines(&[0.42, 0.5, 0.08], x),
                Window::BlackmanHarris => cosines(&[0.35875, 0.48829, 0.14128, 0.01168], x),
                Window::Bartlett => 1.0 - (2.0 * x - 1.0).abs(),
                Window::Boxcar => 1.0,
            }
        })
        .collect()
}

/// `a0 - a1 cos(2 pi x) + a2 cos(4 pi x) - ...`
fn cosines(coefficients: &[f64], x: f64) -> f64 {
    let mut sum = 0.0;
    for (k, a) in coefficients.iter().enumerate() {
        let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
        sum += sign * a * (2.0 * PI * k as f64 * x).cos();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_equal_scipy() {
        // [scipy.signal.get_window(name, 5).tolist() for name in ...]
        let cases = [
            (Window::Hann, [0.0, 0.345_491_5, 0.904_508_5, 0.904_508_5, 0.345_491_5]),
            (Window::Hamming, [0.08, 0.397_852_18, 0.912_147_8, 0.912_147_8, 0.397_852_18]),
            (Window::Blackman, [0.0, 0.200_770_14, 0.849_229_9, 0.849_229_9, 0.200_770_14]),
            (Window::Bartlett, [0.0, 0.4, 0.8, 0.8, 0.4]),
            (Window::Boxcar, [1.0; 5]),
        ];
        for (name, expected) in cases {
            for (value, expected) in window(name, 5).iter().zip(expected) {
                assert!((value - expected).abs() < 1e-6, "{name:?}: {value} {expected}");
            }
        }
        assert_eq!(window(Window::Hann, 1), [1.0]);
    }
}
