//! Sequences of unequal length without padding, in the order in which a scan reads them.

use std::ops::Range;

/// The longest sequence first, and all first frames, then all second frames, and so on: PyTorch's `PackedSequence`.
/// The sequences still running at a step are the first of all, side by side.
///
/// Its packed rows are those of a scan's own memory; what goes in and comes out lies padded, `[B, T, ..]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packing {
    /// T, frames of the padded batch.
    frames: usize,
    /// Rank -> index in the batch; by falling length.
    order: Vec<usize>,
    /// By rank.
    lengths: Vec<usize>,
    /// Sequences running at each step.
    batch_sizes: Vec<usize>,
    /// First packed row of each step; one more at the end.
    offsets: Vec<usize>,
}

impl Packing {
    /// Of a batch padded to `frames`.
    pub fn new(lengths: &[usize], frames: usize) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&b| std::cmp::Reverse(lengths[b]));
        let lengths = order.iter().map(|&b| lengths[b]).collect();
        Self::in_order(order, lengths, frames)
    }

    /// Of the sequences `order` of a batch, whose `lengths` fall.
    fn in_order(order: Vec<usize>, lengths: Vec<usize>, frames: usize) -> Self {
        let steps = lengths.first().copied().unwrap_or(0);
        let mut offsets = vec![0];
        let mut batch_sizes = Vec::with_capacity(steps);
        let mut running = order.len();
        for t in 0..steps {
            while running > 0 && lengths[running - 1] <= t {
                running -= 1;
            }
            batch_sizes.push(running);
            offsets.push(offsets[t] + running);
        }
        Self { frames, order, lengths, batch_sizes, offsets }
    }

    /// The same sequences in `groups` parts, each with long and short ones.
    pub fn split(&self, groups: usize) -> Vec<Self> {
        let part = |of: &[usize], group| of.iter().copied().skip(group).step_by(groups).collect();
        (0..groups)
            .map(|g| Self::in_order(part(&self.order, g), part(&self.lengths, g), self.frames))
            .collect()
    }

    /// Sequences.
    pub fn batch(&self) -> usize {
        self.order.len()
    }

    /// Frames of all sequences together.
    pub fn rows(&self) -> usize {
        self.offsets[self.steps()]
    }

    /// Frames of the longest sequence.
    pub fn steps(&self) -> usize {
        self.batch_sizes.len()
    }

    /// Sequences running at step `t`.
    pub fn batch_size(&self, t: usize) -> usize {
        self.batch_sizes[t]
    }

    /// Packed row of frame `t` of the sequence of this rank.
    pub fn row(&self, t: usize, rank: usize) -> usize {
        self.offsets[t] + rank
    }

    /// Index in the batch of the sequence of this rank.
    pub fn index(&self, rank: usize) -> usize {
        self.order[rank]
    }

    /// Row of frame `t` of the sequence of this rank in the padded `[B·T, ..]`.
    pub fn place(&self, t: usize, rank: usize) -> usize {
        self.order[rank] * self.frames + t
    }

    /// Whether every place is one of the first `rows`.
    pub fn is_inside(&self, rows: usize) -> bool {
        self.steps() <= self.frames && self.order.iter().all(|&b| (b + 1) * self.frames <= rows)
    }

    /// Whether every index in the batch is one of the first `rows`.
    pub fn is_inside_batch(&self, rows: usize) -> bool {
        self.order.iter().all(|&b| b < rows)
    }

    /// The step before `t` of the sequence of this rank, as the scan goes; `None` at its first step.
    pub fn step_before(&self, t: usize, rank: usize, reverse: bool) -> Option<usize> {
        if reverse {
            let running = self.batch_sizes.get(t + 1).is_some_and(|&size| rank < size);
            running.then_some(t + 1)
        } else {
            t.checked_sub(1)
        }
    }

    /// Packed rows of a range of steps.
    pub fn rows_of(&self, steps: &Range<usize>) -> Range<usize> {
        self.offsets[steps.start]..self.offsets[steps.end]
    }

    /// All steps in blocks of at most `rows` rows (at least one step), from the last block to the first if `reverse`.
    pub fn blocks(&self, rows: usize, reverse: bool) -> impl Iterator<Item = Range<usize>> + use<> {
        let (steps, size) = (self.steps(), (rows / self.batch().max(1)).max(1));
        let count = steps.div_ceil(size);
        (0..count).map(move |i| {
            let start = size * if reverse { count - 1 - i } else { i };
            start..(start + size).min(steps)
        })
    }
}

/// The steps of a block in the order of a scan.
pub(crate) fn in_order(steps: &Range<usize>, reverse: bool) -> impl Iterator<Item = usize> + use<> {
    let Range { start, end } = *steps;
    (start..end).map(move |t| if reverse { start + (end - 1 - t) } else { t })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_side_by_side_the_longest_first() {
        let packing = Packing::new(&[1, 3, 2], 4);
        assert_eq!(packing.order, [1, 2, 0]);
        assert_eq!((packing.batch(), packing.rows(), packing.steps()), (3, 6, 3));
        assert_eq!((0..3).map(|t| packing.batch_size(t)).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!((packing.row(1, 1), packing.place(1, 1), packing.index(1)), (4, 9, 2));
        assert_eq!(packing.rows_of(&(1..3)), 3..6);
        assert_eq!(packing.step_before(1, 1, false), Some(0));
        assert_eq!(packing.step_before(1, 1, true), None);
        assert_eq!(packing.step_before(1, 0, true), Some(2));
        let parts = packing.split(2);
        assert_eq!(parts.iter().map(|part| part.order.clone()).collect::<Vec<_>>(), [vec![1, 0], vec![2]]);
        assert_eq!(parts[1].rows(), 2);
    }

    #[test]
    fn blocks_cover_all_steps_either_way() {
        let packing = Packing::new(&[5, 2], 5);
        assert_eq!(packing.blocks(4, false).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
        assert_eq!(packing.blocks(1, true).collect::<Vec<_>>(), [4..5, 3..4, 2..3, 1..2, 0..1]);
        assert_eq!(in_order(&(2..4), true).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(Packing::new(&[0], 5).blocks(4, false).count(), 0);
    }
}
