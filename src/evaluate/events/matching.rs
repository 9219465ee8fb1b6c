//! Matchings of the largest size (Hopcroft & Karp 1973), step for step as mir_eval and sed_eval find them: which of
//! several matchings it is decides what they count as a substitution.

/// Where a found event stands in the search for alternating paths.
#[derive(Clone, Copy)]
enum From {
    /// It has no partner.
    Start,
    /// Behind the true event that is its partner.
    Partner(usize),
}

/// Pairs `(truth, found)`, as many as there can be; `fitting` gives the found ones that fit a true one, in their order.
pub(super) fn matching(
    truths: usize,
    founds: usize,
    fitting: impl Fn(usize) -> Vec<usize>,
) -> Vec<(usize, usize)> {
    // Found events in the order in which a true one first fits them, each with the true ones that it fits.
    let mut order = Vec::new();
    let mut graph: Vec<Vec<usize>> = vec![Vec::new(); founds];
    for truth in 0..truths {
        for found in fitting(truth) {
            if graph[found].is_empty() {
                order.push(found);
            }
            graph[found].push(truth);
        }
    }
    // By true event.
    let mut partner: Vec<Option<usize>> = vec![None; truths];
    for &found in &order {
        if let Some(&truth) = graph[found].iter().find(|&&truth| partner[truth].is_none()) {
            partner[truth] = Some(found);
        }
    }
    loop {
        let mut before_found: Vec<Option<From>> = vec![None; founds];
        order.iter().for_each(|&found| before_found[found] = Some(From::Start));
        partner.iter().flatten().for_each(|&found| before_found[found] = None);
        let mut before_truth: Vec<Option<Vec<usize>>> = vec![None; truths];
        let mut layer: Vec<usize> =
            order.iter().copied().filter(|&found| before_found[found].is_some()).collect();
        let mut ends = Vec::new();
        while !layer.is_empty() && ends.is_empty() {
            let mut new: Vec<usize> = Vec::new();
            let mut reached: Vec<Vec<usize>> = vec![Vec::new(); truths];
            for &found in &layer {
                for &truth in graph[found].iter().filter(|&&truth| before_truth[truth].is_none()) {
                    if reached[truth].is_empty() {
                        new.push(truth);
                    }
                    reached[truth].push(found);
                }
            }
            layer.clear();
            for truth in new {
                before_truth[truth] = Some(std::mem::take(&mut reached[truth]));
                match partner[truth] {
                    Some(found) => {
                        layer.push(found);
                        before_found[found] = Some(From::Partner(truth));
                    }
                    None => ends.push(truth),
                }
            }
        }
        if ends.is_empty() {
            let pairs = partner.iter().enumerate();
            return pairs.filter_map(|(truth, found)| Some((truth, (*found)?))).collect();
        }
        for end in ends {
            augment(end, &mut before_truth, &mut before_found, &mut partner);
        }
    }
}

/// Goes back from a true event without a partner, along layers, to a found one without, and swaps partners on the way.
fn augment(
    end: usize,
    before_truth: &mut [Option<Vec<usize>>],
    before_found: &mut [Option<From>],
    partner: &mut [Option<usize>],
) {
    // True events on the way, each with the found ones before it and how many of these are tried.
    let mut path: Vec<(usize, Vec<usize>, usize)> = Vec::new();
    path.extend(before_truth[end].take().map(|founds| (end, founds, 0)));
    while let Some((_, founds, tried)) = path.last_mut() {
        let Some(&found) = founds.get(*tried) else {
            path.pop();
            continue;
        };
        *tried += 1;
        match before_found[found].take() {
            Some(From::Start) => {
                path.iter().for_each(|(truth, founds, tried)| partner[*truth] = Some(founds[tried - 1]));
                return;
            }
            Some(From::Partner(truth)) => {
                path.extend(before_truth[truth].take().map(|founds| (truth, founds, 0)));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Tries all.
    fn most(truth: usize, free: &[bool], fits: &[Vec<bool>]) -> usize {
        if truth == fits.len() {
            return 0;
        }
        let without = most(truth + 1, free, fits);
        let with = (0..free.len()).filter(|&f| free[f] && fits[truth][f]).map(|f| {
            let mut free = free.to_vec();
            free[f] = false;
            1 + most(truth + 1, &free, fits)
        });
        with.max().unwrap_or(0).max(without)
    }

    #[test]
    fn as_many_pairs_as_there_can_be() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..300 {
            let (truths, founds) = (rng.random_range(0..6), rng.random_range(0..6));
            let fits: Vec<Vec<bool>> =
                (0..truths).map(|_| (0..founds).map(|_| rng.random_bool(0.4)).collect()).collect();
            let pairs = matching(truths, founds, |t| (0..founds).filter(|&f| fits[t][f]).collect());
            assert!(pairs.iter().all(|&(t, f)| fits[t][f]));
            let mut used: Vec<usize> = pairs.iter().map(|pair| pair.1).collect();
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), pairs.len());
            assert_eq!(pairs.len(), most(0, &vec![true; founds], &fits));
        }
    }

    #[test]
    fn a_long_chain_is_no_deep_recursion() {
        let count = 3000;
        let pairs = matching(count, count, |t| (t..count.min(t + 2)).collect());
        assert_eq!(pairs.len(), count);
    }
}
