//! Memory that serves again: what a step lets go the next one takes, without asking the system for it.

use std::sync::{Mutex, PoisonError};

/// Most that is kept; what comes back beyond it is let go.
const MAX_BYTES: usize = 256 << 20;

/// Vectors that wait to be used again.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    free: Mutex<Vec<Vec<f32>>>,
}

impl Pool {
    /// A vector of `len` values, whatever they are.
    pub fn take(&self, len: usize) -> Vec<f32> {
        if len == 0 {
            return Vec::new();
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // Not one that is much larger: whoever needs that next would have to fill it again.
        let fits = |vector: &Vec<f32>| (len..=2 * len).contains(&vector.capacity());
        let smallest = (0..free.len()).filter(|&i| fits(&free[i])).min_by_key(|&i| free[i].capacity());
        let taken = smallest.map(|i| free.swap_remove(i));
        drop(free);
        match taken {
            Some(mut vector) => {
                vector.truncate(len);
                vector.resize(len, 0.0);
                vector
            }
            None => vec![0.0; len],
        }
    }

    pub fn give(&self, vectors: impl IntoIterator<Item = Vec<f32>>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(vectors.into_iter().filter(|vector| vector.capacity() > 0));
        let mut kept = 0;
        free.retain(|vector| {
            let bytes = 4 * vector.capacity();
            let fits = kept + bytes <= MAX_BYTES;
            kept += if fits { bytes } else { 0 };
            fits
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_taken_again() {
        let pool = Pool::default();
        pool.give([vec![1.0; 8], vec![2.0; 3]]);
        assert_eq!(pool.take(2), [2.0; 2]);
        assert_eq!(pool.take(9), [0.0; 9]);
        assert_eq!(pool.take(3), [0.0; 3]);
        assert_eq!(pool.take(5), [1.0; 5]);
        assert!(pool.free.lock().unwrap().is_empty());
    }
}
