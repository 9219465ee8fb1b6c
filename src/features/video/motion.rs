//! Motion by block matching: from where in the frame before each block came.

/// Searches blocks in the frame before.
#[derive(Debug, Clone)]
pub(super) struct BlockMatching {
    /// Side of a block, in pixels.
    block: usize,
    /// Farthest displacement to each side, in pixels.
    range: isize,
    /// All displacements `(dx, dy)`, the shortest first, (0, 0) at the very front.
    displacements: Vec<(isize, isize)>,
}

/// Gray levels `[height, width]`.
#[derive(Clone, Copy)]
pub(super) struct Gray<'a> {
    pub levels: &'a [u8],
    pub height: usize,
    pub width: usize,
}

/// Where a block has moved to since the frame before, and the sum of absolute differences that remains.
struct Match {
    dx: isize,
    dy: isize,
    difference: u32,
}

impl BlockMatching {
    pub(super) fn new(block: usize, range: usize) -> Self {
        let range = range as isize;
        let mut displacements: Vec<_> =
            (-range..=range).flat_map(|dy| (-range..=range).map(move |dx| (dx, dy))).collect();
        // Stable: of equally long ones the upper comes first, then the left one.
        displacements.sort_by_key(|(dx, dy)| dx * dx + dy * dy);
        Self { block, range, displacements }
    }

    /// `[3, blocks down, blocks across]`: how far each block has moved to the right, how far down (both over the range, -1
    /// to 1), and the mean absolute difference from where it came from (0 to 1); zeros without a frame before. Pixels at
    /// the right and bottom that fill no block are left out.
    pub(super) fn append(&self, before: Option<Gray>, now: Gray, out: &mut Vec<f32>) {
        let (down, across) = (now.height / self.block, now.width / self.block);
        let Some(before) = before else {
            return out.resize(out.len() + 3 * down * across, 0.0);
        };
        let corners = (0..down).flat_map(|row| (0..across).map(move |column| (row, column)));
        let matches: Vec<Match> = corners
            .map(|(row, column)| self.best(before, now, row * self.block, column * self.block))
            .collect();
        let full_scale = 255.0 * (self.block * self.block) as f32;
        out.extend(matches.iter().map(|found| found.dx as f32 / self.range as f32));
        out.extend(matches.iter().map(|found| found.dy as f32 / self.range as f32));
        out.extend(matches.iter().map(|found| found.difference as f32 / full_scale));
    }

    /// The displacement with the smallest sum of absolute differences, of equal ones the shortest, for the block whose upper
    /// left pixel is `(y, x)`. It must have come from wholly inside the frame before.
    fn best(&self, before: Gray, now: Gray, y: usize, x: usize) -> Match {
        let mut best = Match { dx: 0, dy: 0, difference: u32::MAX };
        for &(dx, dy) in &self.displacements {
            let source = |at: usize, by: isize, size: usize| {
                at.checked_add_signed(-by).filter(|from| from + self.block <= size)
            };
            let (Some(from_y), Some(from_x)) = (source(y, dy, now.height), source(x, dx, now.width)) else {
                continue;
            };
            let difference = self.difference(before, (from_y, from_x), now, (y, x), best.difference);
            if difference < best.difference {
                best = Match { dx, dy, difference };
            }
        }
        best
    }

    /// Sum of absolute differences of two blocks, or some number not below `limit` where it would reach that.
    fn difference(
        &self,
        before: Gray,
        from: (usize, usize),
        now: Gray,
        at: (usize, usize),
        limit: u32,
    ) -> u32 {
        let mut sum = 0;
        for row in 0..self.block {
            let line = |gray: Gray<'_>, (y, x): (usize, usize)| (y + row) * gray.width + x;
            let (a, b) = (line(before, from), line(now, at));
            let pairs = before.levels[a..a + self.block].iter().zip(&now.levels[b..b + self.block]);
            sum += pairs.map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>();
            if sum >= limit {
                break;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texture(width: usize, height: usize, right: usize, down: usize) -> Vec<u8> {
        let level = |x: usize, y: usize| ((x * 73 + y * 151 + x * y * 29) % 251) as u8;
        (0..height).flat_map(|y| (0..width).map(move |x| level(x + 40 - right, y + 40 - down))).collect()
    }

    fn motion(before: &[u8], now: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        let gray = |levels| Gray { levels, height: 26, width: 35 };
        BlockMatching::new(8, 4).append(Some(gray(before)), gray(now), &mut out);
        out
    }

    #[test]
    fn what_moves_right_and_down_is_found() {
        let out = motion(&texture(35, 26, 0, 0), &texture(35, 26, 3, 2));
        assert_eq!(out.len(), 3 * 3 * 4);
        // The blocks at the upper and left border came from outside.
        for block in [5, 6, 7, 9, 10, 11] {
            assert_eq!([out[block], out[12 + block], out[24 + block]], [0.75, 0.5, 0.0], "{block}");
        }
    }

    #[test]
    fn a_flat_picture_does_not_move() {
        let out = motion(&[10; 910], &[61; 910]);
        assert!(out[..24].iter().all(|&x| x == 0.0) && out[24..].iter().all(|&x| x == 0.2), "{out:?}");
    }
}
