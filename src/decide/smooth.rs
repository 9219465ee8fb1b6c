//! Smoothing of frame scores and of frame labels.

/// The median of `window` frames (an odd number) around each of `scores [T]`; the first and the last score stand for
/// those beyond them, as in `scipy.ndimage.median_filter(scores, window, mode="nearest")`.
pub fn median(scores: &[f32], window: usize) -> Vec<f32> {
    let half = window / 2;
    if half == 0 || scores.is_empty() {
        return scores.to_vec();
    }
    let last = scores.len() - 1;
    // The frames of the window, sorted: one goes and one comes at each step.
    let at = |i: usize| scores[i.saturating_sub(half).min(last)];
    let mut sorted: Vec<f32> = (0..2 * half + 1).map(at).collect();
    sorted.sort_by(f32::total_cmp);
    (0..scores.len())
        .map(|t| {
            if t > 0 {
                let place =
                    |value: f32, sorted: &[f32]| sorted.partition_point(|v| v.total_cmp(&value).is_lt());
                sorted.remove(place(at(t - 1), &sorted));
                let new = at(t + 2 * half);
                sorted.insert(place(new, &sorted), new);
            }
            sorted[half]
        })
        .collect()
}

/// The commonest value; of equally common ones the smallest.
pub(super) fn top(labels: &[usize]) -> usize {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    let counts = sorted.chunk_by(|a, b| a == b).map(|chunk| (chunk.len(), std::cmp::Reverse(chunk[0])));
    counts.max().map_or(0, |(_, label)| label.0)
}

/// The likeliest sequence of states (Viterbi 1967) for `scores [T, K]`, each frame's `ln p(state | frame)` up to a constant,
/// with `initial [K]` and `transition [K, K]` (from row to column), both as `ln p`; of equally likely ones the one with the
/// smallest states at the end.
pub fn viterbi(scores: &[f32], initial: &[f32], transition: &[f32]) -> Vec<usize> {
    let num_states = initial.len();
    assert_eq!(transition.len(), num_states * num_states, "a transition for each pair of states");
    let mut steps = scores.chunks_exact(num_states);
    let Some(first) = steps.next() else { return Vec::new() };
    let mut best: Vec<f64> = first.iter().zip(initial).map(|(&s, &i)| f64::from(s) + f64::from(i)).collect();
    let mut from: Vec<u32> = Vec::with_capacity(scores.len());
    let mut next = vec![0f64; num_states];
    for step in steps {
        for (to, next) in next.iter_mut().enumerate() {
            let mut highest = (0, f64::NEG_INFINITY);
            for (state, &best) in best.iter().enumerate() {
                let score = best + f64::from(transition[state * num_states + to]);
                if score > highest.1 {
                    highest = (state, score);
                }
            }
            from.push(highest.0 as u32);
            *next = highest.1 + f64::from(step[to]);
        }
        std::mem::swap(&mut best, &mut next);
    }
    let mut state = (0..num_states).fold(0, |top, state| if best[state] > best[top] { state } else { top });
    let mut path = vec![state];
    for from in from.chunks_exact(num_states).rev() {
        state = from[state] as usize;
        path.push(state);
    }
    path.reverse();
    path
}

/// Frames at which `scores [T]` has a peak of at least `threshold`: the highest within `distance` frames to either side, the
/// first of equals (Böck et al. 2012).
pub fn peaks(scores: &[f32], threshold: f32, distance: usize) -> Vec<usize> {
    let is_peak = |&t: &usize| {
        let before = &scores[t.saturating_sub(distance)..t];
        let after = &scores[t + 1..(t + 1 + distance).min(scores.len())];
        scores[t] >= threshold
            && before.iter().all(|&s| s < scores[t])
            && after.iter().all(|&s| s <= scores[t])
    };
    (0..scores.len()).filter(is_peak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_median_is_that_of_scipy() {
        // scipy.ndimage.median_filter([3, 1, 4, 1, 5, 9, 2, 6], 3, mode="nearest"), and 5, and 11
        let scores = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        assert_eq!(median(&scores, 3), [3.0, 3.0, 1.0, 4.0, 5.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 5), [3.0, 3.0, 3.0, 4.0, 4.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 11), [3.0, 3.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0]);
        assert_eq!(median(&scores, 1), scores);
        assert!(median(&[], 3).is_empty());
    }

    #[test]
    fn the_path_of_viterbi_is_the_best_of_all() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (num_states, steps) = (3, 5);
        for _ in 0..50 {
            let mut random = |count| (0..count).map(|_| rng.random_range(-3.0..0.0f32)).collect::<Vec<_>>();
            let (scores, initial, transition) = (random(num_states * steps), random(num_states), random(9));
            let value = |path: &[usize]| {
                let first = f64::from(initial[path[0]]);
                let scored: f64 = path.iter().enumerate().map(|(t, &s)| f64::from(scores[t * 3 + s])).sum();
                let moves: f64 = path.windows(2).map(|p| f64::from(transition[p[0] * 3 + p[1]])).sum();
                first + scored + moves
            };
            let paths = (0..3usize.pow(5)).map(|i| (0..5).map(|t| i / 3usize.pow(t) % 3).collect::<Vec<_>>());
            let best = paths.map(|path| value(&path)).fold(f64::NEG_INFINITY, f64::max);
            assert!((value(&viterbi(&scores, &initial, &transition)) - best).abs() < 1e-9);
        }
        assert!(viterbi(&[], &[0.0], &[0.0]).is_empty());
    }

    #[test]
    fn a_transition_that_cannot_be_is_not_taken() {
        let never = f32::NEG_INFINITY;
        // From 0 only to 1, from 1 only to 1.
        let path = viterbi(&[0.0, -9.0, 0.0, -9.0, 0.0, -9.0], &[0.0, never], &[never, 0.0, never, 0.0]);
        assert_eq!(path, [0, 1, 1]);
    }

    #[test]
    fn peaks_are_the_highest_in_their_neighbourhood() {
        let scores = [0.2, 0.9, 0.3, 0.8, 0.8, 0.1, 0.4];
        assert_eq!(peaks(&scores, 0.5, 1), [1, 3]);
        assert_eq!(peaks(&scores, 0.5, 3), [1]);
        assert_eq!(peaks(&scores, 0.3, 1), [1, 3, 6]);
        assert!(peaks(&[], 0.0, 1).is_empty());
    }
}
