//! What has become brighter or darker since the frame before.

/// `[C, H, W]` levels of this frame and of the one before -> as many values, -1 to 1; zeros without one before.
pub(super) fn append(before: Option<&[u8]>, now: &[u8], out: &mut Vec<f32>) {
    match before {
        None => out.resize(out.len() + now.len(), 0.0),
        Some(before) => out.extend(
            now.iter()
                .zip(before)
                .map(|(&now, &before)| f32::from(i16::from(now) - i16::from(before)) / 255.0),
        ),
    }
}

/// Takes the mean of a plane out of it, in double precision.
pub(super) fn center(plane: &mut [f32]) {
    let mean = plane.iter().map(|&x| f64::from(x)).sum::<f64>() / plane.len().max(1) as f64;
    plane.iter_mut().for_each(|x| *x = (f64::from(*x) - mean) as f32);
}
