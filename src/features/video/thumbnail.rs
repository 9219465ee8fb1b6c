//! The pixels of the resized frame.

/// `[C, H, W]` levels -> as many values, 0 to 1.
pub(super) fn append(planes: &[u8], out: &mut Vec<f32>) {
    out.extend(planes.iter().map(|&level| f32::from(level) / 255.0));
}
