//! Histograms of oriented gradients: Dalal & Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
//!
//! As `skimage.feature.hog(gray, orientations, (cell, cell), cells_per_block=(2, 2), block_norm="L2-Hys",
//! transform_sqrt=False)` of a picture with levels 0 to 255.

use super::config::HOG_BLOCK;

/// Where a component of a normalised block is cut (the paper's "L2-Hys").
const CLIP: f64 = 0.2;
/// Added to a block's squared length; skimage's `eps`, squared.
const EPSILON: f64 = 1e-5 * 1e-5;

/// Gray levels `[height, width]` -> `[blocks down, blocks across, 2, 2, orientations]`, each 0 to 1. Blocks overlap by a
/// cell; pixels at the right and bottom that fill no cell are left out.
pub(super) fn append(
    gray: &[u8],
    [height, width]: [usize; 2],
    cell: usize,
    orientations: usize,
    out: &mut Vec<f32>,
) {
    let (down, across) = (height / cell, width / cell);
    let cells = histograms(gray, [height, width], cell, orientations);
    let row_of_two = HOG_BLOCK * orientations;
    let mut block = Vec::with_capacity(HOG_BLOCK * row_of_two);
    for row in 0..down - 1 {
        for column in 0..across - 1 {
            block.clear();
            for y in row..row + HOG_BLOCK {
                let start = (y * across + column) * orientations;
                block.extend_from_slice(&cells[start..start + row_of_two]);
            }
            normalize(&mut block);
            out.extend(block.iter().map(|&x| x as f32));
        }
    }
}

/// `[height / cell, width / cell, orientations]`: the magnitudes of the gradients in each cell, by direction, over the
/// number of its pixels. A gradient counts for one cell and one direction only, as in skimage.
fn histograms(gray: &[u8], [height, width]: [usize; 2], cell: usize, orientations: usize) -> Vec<f64> {
    let (down, across) = (height / cell, width / cell);
    let mut cells = vec![0.0; down * across * orientations];
    for y in 0..down * cell {
        for x in 0..across * cell {
            let level = |y: usize, x: usize| f64::from(gray[y * width + x]);
            // Central differences; the outermost pixels have none.
            let right = if x == 0 || x + 1 == width { 0.0 } else { level(y, x + 1) - level(y, x - 1) };
            let below = if y == 0 || y + 1 == height { 0.0 } else { level(y + 1, x) - level(y - 1, x) };
            if right == 0.0 && below == 0.0 {
                continue;
            }
            // Opposite directions are one: 0 to below 180 degrees.
            let degrees = below.atan2(right).to_degrees().rem_euclid(180.0);
            let bin = ((degrees * orientations as f64 / 180.0) as usize).min(orientations - 1);
            cells[((y / cell) * across + x / cell) * orientations + bin] += right.hypot(below);
        }
    }
    let pixels = (cell * cell) as f64;
    cells.iter_mut().for_each(|sum| *sum /= pixels);
    cells
}

/// To length 1, cut at [`CLIP`], to length 1 again.
fn normalize(block: &mut [f64]) {
    let scale = |block: &mut [f64]| {
        let length = (block.iter().map(|x| x * x).sum::<f64>() + EPSILON).sqrt();
        block.iter_mut().for_each(|x| *x /= length);
    };
    scale(block);
    block.iter_mut().for_each(|x| *x = x.min(CLIP));
    scale(block);
}
