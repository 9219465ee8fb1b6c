//! Differences over time, as `librosa.feature.delta`: the slope (order 1) or curvature (order 2) of the polynomial of
//! that degree fitted to `width` frames (Savitzky and Golay, 1964). Its highest derivative is the same everywhere in
//! the window, so the edges (`mode="interp"`) repeat the nearest whole window's value.

/// Appends the deltas of orders 1 to `order` (at most 2) to each frame: `[T, D]` -> `[T, D * (1 + order)]`.
///
/// Where there are fewer frames than `width` (librosa fails there) the widest odd window that fits is used; below
/// three frames the deltas are zero.
pub(super) fn append_deltas(data: &[f32], dim: usize, order: usize, width: usize) -> Vec<f32> {
    let frames = data.len() / dim;
    let wide = dim * (1 + order);
    let mut out = vec![0.0; frames * wide];
    for (out, x) in out.chunks_exact_mut(wide).zip(data.chunks_exact(dim)) {
        out[..dim].copy_from_slice(x);
    }
    let width = width.min(if frames.is_multiple_of(2) { frames.saturating_sub(1) } else { frames });
    if width < 3 {
        return out;
    }
    for order in 1..=order {
        let weights = weights(order, width);
        for (t, out) in out.chunks_exact_mut(wide).enumerate() {
            // First frame of the window: centred on t, but inside the recording.
            let start = t.saturating_sub(width / 2).min(frames - width);
            let out = &mut out[order * dim..(order + 1) * dim];
            for (w, x) in weights.iter().zip(data[start * dim..].chunks_exact(dim)) {
                for (out, x) in out.iter_mut().zip(x) {
                    *out += w * x;
                }
            }
        }
    }
    out
}

/// Least-squares slope (order 1) or second derivative (order 2) over `width` frames.
fn weights(order: usize, width: usize) -> Vec<f32> {
    let half = (width / 2) as f64;
    let mut basis: Vec<f64> = (0..width).map(|i| i as f64 - half).collect();
    if order == 2 {
        let mean_square = basis.iter().map(|k| k * k).sum::<f64>() / width as f64;
        basis.iter_mut().for_each(|k| *k = *k * *k - mean_square);
    }
    // Derivative of the basis polynomial's leading term, times the projection on it.
    let norm = order as f64 / basis.iter().map(|p| p * p).sum::<f64>();
    basis.iter().map(|p| (p * norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_of_a_parabola_are_its_derivatives() {
        let parabola: Vec<f32> = (0..20).map(|t| (t * t) as f32).collect();
        let out = append_deltas(&parabola, 1, 2, 9);
        for t in 4..16 {
            assert!((out[3 * t + 1] - 2.0 * t as f32).abs() < 1e-3);
        }
        for t in 0..20 {
            assert_eq!(out[3 * t], (t * t) as f32);
            assert!((out[3 * t + 2] - 2.0).abs() < 1e-3);
        }
    }

    #[test]
    fn too_few_frames_shrink_the_window() {
        for frames in 0..9 {
            let line: Vec<f32> = (0..frames).map(|t| t as f32 * 3.0).collect();
            let out = append_deltas(&line, 1, 2, 9);
            assert_eq!(out.len(), frames * 3);
            let slope = if frames < 3 { 0.0 } else { 3.0 };
            for frame in out.chunks(3) {
                assert!((frame[1] - slope).abs() < 1e-5 && frame[2].abs() < 1e-5, "{frames} {frame:?}");
            }
        }
    }
}
