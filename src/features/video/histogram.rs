//! Color histogram: how often each channel has which brightness.

/// RGB pixels `[H, W, 3]` -> `[3, bins]`: the share of pixels in each bin, of red, then green, then blue; each three sum
/// to 1. The bins divide 0 to 256 evenly, as `numpy.histogram(x, bins, range=(0, 256))`.
pub(super) fn append(pixels: &[u8], bins: usize, out: &mut Vec<f32>) {
    let mut counts = vec![0_u32; 3 * bins];
    let (pixels, _) = pixels.as_chunks::<3>();
    for pixel in pixels {
        for (c, &level) in pixel.iter().enumerate() {
            counts[c * bins + usize::from(level) * bins / 256] += 1;
        }
    }
    out.extend(counts.iter().map(|&count| count as f32 / pixels.len() as f32));
}
