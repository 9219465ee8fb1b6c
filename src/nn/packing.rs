//! Sequences of unequal length without padding, in the order in which a scan reads them.

/// The longest sequence first, and all first frames, then all second frames, and so on: PyTorch's `PackedSequence`.
/// The sequences still running at a step are the first of all, side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packing {
    /// Rank -> index in the batch; by falling length.
    order: Vec<usize>,
    /// Of the sequences in the batch's order.
    lengths: Vec<usize>,
    /// Sequences running at each step.
    batch_sizes: Vec<usize>,
    /// First packed row of each step; one more at the end.
    offsets: Vec<usize>,
}

impl Packing {
    pub fn new(lengths: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&b| std::cmp::Reverse(lengths[b]));
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let mut offsets = vec![0];
        let mut batch_sizes = Vec::with_capacity(steps);
        let mut running = lengths.len();
        for t in 0..steps {
            while running > 0 && lengths[order[running - 1]] <= t {
                running -= 1;
            }
            batch_sizes.push(running);
            offsets.push(offsets[t] + running);
        }
        Self { order, lengths: lengths.to_vec(), batch_sizes, offsets }
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

    /// Packed row of the step before `t` as the scan goes; `None` at its first step.
    pub fn row_before(&self, t: usize, rank: usize, reverse: bool) -> Option<usize> {
        if reverse {
            let running = self.batch_sizes.get(t + 1).is_some_and(|&size| rank < size);
            running.then(|| self.row(t + 1, rank))
        } else {
            t.checked_sub(1).map(|t| self.row(t, rank))
        }
    }

    /// Rank -> index in the batch.
    pub fn order(&self) -> Vec<u32> {
        self.order.iter().map(|&b| b as u32).collect()
    }

    /// Index in the batch -> rank.
    pub fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.batch()];
        for (rank, &b) in self.order.iter().enumerate() {
            ranks[b] = rank as u32;
        }
        ranks
    }

    /// For each packed row its place in a padded `[B·frames]`.
    pub fn padded_places(&self, frames: usize) -> Vec<u32> {
        let steps = self.batch_sizes.iter().enumerate();
        steps
            .flat_map(|(t, &running)| self.order[..running].iter().map(move |&b| (b * frames + t) as u32))
            .collect()
    }

    /// For each place in a padded `[B·frames]` its packed row; one past the last where there is no frame.
    pub fn packed_rows(&self, frames: usize) -> Vec<u32> {
        let mut rows = vec![self.rows() as u32; self.batch() * frames];
        for (row, &place) in self.padded_places(frames).iter().enumerate() {
            rows[place as usize] = row as u32;
        }
        rows
    }

    /// Packed row of the last step of each sequence, in the batch's order; `reverse` scans end at frame 0. A sequence
    /// of no frames has one beyond the last: the number of rows and its rank.
    pub fn last_rows(&self, reverse: bool) -> Vec<u32> {
        let row = |(&length, &rank): (&usize, &u32)| match length {
            0 => self.rows() as u32 + rank,
            _ => self.row(if reverse { 0 } else { length - 1 }, rank as usize) as u32,
        };
        self.lengths.iter().zip(&self.ranks()).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_lie_side_by_side_the_longest_first() {
        let packing = Packing::new(&[1, 3, 2]);
        assert_eq!(packing.order, [1, 2, 0]);
        assert_eq!((packing.batch(), packing.rows(), packing.steps()), (3, 6, 3));
        assert_eq!((0..3).map(|t| packing.batch_size(t)).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(packing.padded_places(3), [3, 6, 0, 4, 7, 5]);
        assert_eq!(packing.packed_rows(3), [2, 6, 6, 0, 3, 5, 1, 4, 6]);
        assert_eq!(packing.last_rows(false), [2, 5, 4]);
        assert_eq!(packing.last_rows(true), [2, 0, 1]);
        assert_eq!(Packing::new(&[0, 1]).last_rows(false), [2, 0]);
        assert_eq!(packing.row_before(1, 1, false), Some(1));
        assert_eq!(packing.row_before(1, 1, true), None);
        assert_eq!(packing.row_before(1, 0, true), Some(5));
    }
}
