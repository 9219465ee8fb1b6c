//! Which clips an epoch is made of.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// As many draws as there are clips, in which each label occurs equally often, or once more: in turn each label gives one
/// of its clips, and none again before it has given them all. `labels` are those of each clip; clips that have none are
/// drawn as if that were a label of its own.
pub(super) fn balanced(labels: &[Vec<usize>], num_labels: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut groups = vec![Vec::new(); num_labels + 1];
    for (clip, labels) in labels.iter().enumerate() {
        labels.iter().for_each(|&label| groups[label].push(clip));
        if labels.is_empty() {
            groups[num_labels].push(clip);
        }
    }
    groups.retain(|group| !group.is_empty());
    // Which labels get one more is drawn too.
    groups.shuffle(rng);
    let mut taken = vec![0; groups.len()];
    (0..labels.len())
        .map(|draw| {
            let k = draw % groups.len();
            let at = taken[k] % groups[k].len();
            if at == 0 {
                groups[k].shuffle(rng);
            }
            taken[k] += 1;
            groups[k][at]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::random::{Use, stream};
    use super::*;

    fn draw(labels: &[Vec<usize>], epoch: u32) -> Vec<usize> {
        balanced(labels, 3, &mut stream(1, Use::Sampling { epoch }))
    }

    #[test]
    fn each_label_is_drawn_equally_often_and_each_of_its_clips_too() {
        // Eight clips of label 0, three of label 1, one of label 2.
        let labels: Vec<Vec<usize>> =
            [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2].iter().map(|&label| vec![label]).collect();
        let clips = draw(&labels, 1);
        let count = |range: std::ops::Range<usize>| clips.iter().filter(|clip| range.contains(clip)).count();
        assert_eq!((count(0..8), count(8..11), count(11..12)), (4, 4, 4));
        assert!((0..8).all(|clip| count(clip..clip + 1) <= 1));
        assert!((8..11).all(|clip| (1..=2).contains(&count(clip..clip + 1))));
        assert_eq!(clips, draw(&labels, 1));
        assert_ne!(clips, draw(&labels, 2));
    }

    #[test]
    fn clips_with_several_labels_or_none_are_drawn_too() {
        let labels = [vec![0, 1], vec![], vec![0], vec![], vec![1], vec![1]];
        let clips = draw(&labels, 1);
        let bare = clips.iter().filter(|&&clip| labels[clip].is_empty()).count();
        assert_eq!((clips.len(), bare), (6, 2));
        assert!(draw(&[], 1).is_empty());
    }
}
