//! Deals the clips into train, validation and test.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::folds::{self, Folds};
use super::{DataConfig, Dataset, Part, Truth};
use crate::error::Position;
use crate::{Error, ErrorKind, Result};

/// Indices into [`Dataset::items`], each part in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    pub train: Vec<usize>,
    pub validation: Vec<usize>,
    pub test: Vec<usize>,
    /// How the split was made, for the person to read.
    pub messages: Vec<String>,
}

/// Splits `dataset`; the same data, settings and seed give the same parts.
///
/// Where a fold is to be tested, it is the test part, and all else is learned from. Otherwise the data's own split is kept. Without one, `test_fraction` of the clips are set aside. `validation_fraction` of
/// what is left to train on becomes the validation part, unless the data has one. What is set aside is chosen by
/// group where the data has groups, so that none is in two parts, and in proportion to the labels.
///
/// # Errors
/// A group in two parts of the data's own split; a label without a training clip; fewer than two labels.
pub fn split(dataset: &Dataset, config: &DataConfig, seed: u64) -> Result<Parts> {
    let parts = deal(dataset, config, seed)?;
    if let Some(label) = dataset.unheard_label(parts.train.iter().copied()) {
        let message = format!(
            "no training clip has the label \"{label}\"; it could not be learned: move some there, or leave the label out"
        );
        return Err(named(Error::new(ErrorKind::Dataset, message), config));
    }
    Ok(parts)
}

/// As [`split`], of data that need not be learned from.
///
/// # Errors
/// As [`split`], but for a label without a training clip.
pub(crate) fn deal(dataset: &Dataset, config: &DataConfig, seed: u64) -> Result<Parts> {
    dealt(dataset, config, seed).map_err(|error| named(error, config))
}

/// With the name of the data.
fn named(error: Error, config: &DataConfig) -> Error {
    match config.directory.as_ref().or(config.manifest.as_ref()) {
        Some(source) => error.with_path(source),
        None => error,
    }
}

fn dealt(dataset: &Dataset, config: &DataConfig, seed: u64) -> Result<Parts> {
    let is_timed = dataset.items.iter().any(|item| matches!(item.truth, Truth::Spans(_)));
    if dataset.labels.len() < 2 && !is_timed {
        let message = format!(
            "all clips have the label \"{}\"; at least two labels are due",
            dataset.labels.first().map_or("", String::as_str)
        );
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let seed = config.split_seed.unwrap_or(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut parts = Parts::default();
    let official = dataset.items.iter().any(|item| item.part.is_some());
    let dealt = match config.folds() {
        Some(Folds::Number(count)) if !config.test_fold.is_empty() => Some(count),
        _ => None,
    };
    if let Some(count) = dealt {
        let folds = folds::deal(dataset, count, seed)?;
        let is_tested = |fold: usize| (fold + 1).to_string() == config.test_fold;
        let (test, train) = (0..folds.len()).partition(|&i| is_tested(folds[i]));
        (parts.test, parts.train) = (test, train);
        let (fold, clips) = (&config.test_fold, parts.test.len());
        parts.messages.push(format!("test: fold {fold} of {count}, {clips} of {} clips", folds.len()));
    } else if official {
        check_groups(dataset)?;
        for (i, item) in dataset.items.iter().enumerate() {
            parts.get_mut(item.part.unwrap_or(Part::Train)).push(i);
        }
        if config.test_fraction > 0.0 {
            parts.messages.push("test_fraction is not used: the data has its own split".to_string());
        }
    } else {
        parts.train = (0..dataset.items.len()).collect();
        parts.set_aside(dataset, Part::Test, config.test_fraction, &mut rng);
    }
    if parts.validation.is_empty() {
        parts.set_aside(dataset, Part::Validation, config.validation_fraction, &mut rng);
    }
    if parts.validation.is_empty() {
        parts.messages.push("there is no validation part: training cannot stop early".to_string());
    }
    Ok(parts)
}

impl Parts {
    pub fn get(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    fn get_mut(&mut self, part: Part) -> &mut Vec<usize> {
        match part {
            Part::Train => &mut self.train,
            Part::Validation => &mut self.validation,
            Part::Test => &mut self.test,
        }
    }

    /// Moves about `fraction` of the training part to `part`.
    fn set_aside(&mut self, dataset: &Dataset, part: Part, fraction: f64, rng: &mut ChaCha8Rng) {
        if fraction <= 0.0 {
            return;
        }
        let name = part.name();
        let total = self.train.len();
        let grouped = self.train.iter().any(|&i| dataset.items[i].group.is_some());
        // A clip with several labels is a group of its own.
        let several = self.train.iter().any(|&i| matches!(dataset.items[i].truth, Truth::Spans(_)));
        let mut chosen = if grouped || several {
            by_group(dataset, &self.train, fraction, rng)
        } else {
            by_label(dataset, &self.train, fraction, rng)
        };
        chosen.sort_unstable();
        self.train.retain(|i| chosen.binary_search(i).is_err());
        self.messages.push(match (chosen.len(), grouped) {
            (0, true) => {
                format!("no {name} part: no group can leave the training part without a label going too")
            }
            (0, false) => format!("no {name} part: there are too few clips for one"),
            (n, true) => {
                let groups = groups(dataset, &chosen).len();
                format!("{name}: {n} of {total} clips, in {groups} whole groups, by seed")
            }
            (n, false) => format!("{name}: {n} of {total} clips, in proportion to the labels, by seed"),
        });
        *self.get_mut(part) = chosen;
    }
}

/// Draws `fraction` of `pool` in proportion to its labels (largest remainders); each label keeps one clip.
fn by_label(dataset: &Dataset, pool: &[usize], fraction: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut clips = vec![Vec::new(); dataset.labels.len()];
    for &i in pool {
        dataset.items[i].labels().into_iter().for_each(|label| clips[label].push(i));
    }
    clips.iter_mut().for_each(|clips| clips.shuffle(rng));
    let quota = |k: usize| clips[k].len() as f64 * fraction;
    let spare = |k: usize| clips[k].len().saturating_sub(1);
    let mut take: Vec<usize> = (0..clips.len()).map(|k| (quota(k).floor() as usize).min(spare(k))).collect();
    let mut order: Vec<usize> = (0..clips.len()).collect();
    order.shuffle(rng);
    // The sort is stable: equal remainders stay in drawn order.
    order.sort_by(|&a, &b| quota(b).fract().total_cmp(&quota(a).fract()));
    let wanted = ((pool.len() as f64 * fraction).round() as usize).max(1);
    let mut missing = wanted.saturating_sub(take.iter().sum());
    for k in order {
        if missing > 0 && take[k] < spare(k) {
            take[k] += 1;
            missing -= 1;
        }
    }
    clips.iter().zip(take).flat_map(|(clips, n)| clips[..n].to_vec()).collect()
}

/// Draws whole groups, about `fraction` of `pool` and of each of its labels; each label keeps one clip.
///
/// Groups are looked at in drawn order, and one is taken when that brings the counts nearer to what is wanted; if
/// all are too big for that, the one that does least harm.
fn by_group(dataset: &Dataset, pool: &[usize], fraction: f64, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut groups = groups(dataset, pool);
    groups.shuffle(rng);
    let mut left = dataset.count_labels(pool.iter().copied());
    let wanted: Vec<f64> = left.iter().map(|&n| n as f64 * fraction).collect();
    let mut have = vec![0.0; wanted.len()];
    let (total_wanted, mut total) = (pool.len() as f64 * fraction, 0.0);
    let mut chosen = Vec::new();
    let mut nearest: Option<(f64, usize)> = None;
    for (g, clips) in groups.iter().enumerate() {
        let counts = label_counts(dataset, clips);
        if counts.iter().any(|&(k, n)| left[k] <= n) {
            continue;
        }
        let size = clips.len() as f64;
        let mut change = (total_wanted - total - size).abs() - (total_wanted - total).abs();
        for &(k, n) in &counts {
            change += (wanted[k] - have[k] - n as f64).abs() - (wanted[k] - have[k]).abs();
        }
        if nearest.is_none_or(|(least, _)| change < least) {
            nearest = Some((change, g));
        }
        if change < 0.0 {
            total += size;
            for (k, n) in counts {
                have[k] += n as f64;
                left[k] -= n;
            }
            chosen.extend_from_slice(clips);
        }
    }
    match nearest {
        Some((_, g)) if chosen.is_empty() => groups.swap_remove(g),
        _ => chosen,
    }
}

/// How many clips of each label, for the labels that occur.
pub(super) fn label_counts(dataset: &Dataset, clips: &[usize]) -> Vec<(usize, usize)> {
    let mut labels: Vec<usize> = clips.iter().flat_map(|&i| dataset.items[i].labels()).collect();
    labels.sort_unstable();
    labels.chunk_by(|a, b| a == b).map(|same| (same[0], same.len())).collect()
}

/// The groups in `pool`, in order of their first clip; a clip without one is a group of its own.
pub(super) fn groups(dataset: &Dataset, pool: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for &i in pool {
        match &dataset.items[i].group {
            None => groups.push(vec![i]),
            Some(group) => match numbers.get(group.as_str()) {
                Some(&g) => groups[g].push(i),
                None => {
                    numbers.insert(group, groups.len());
                    groups.push(vec![i]);
                }
            },
        }
    }
    groups
}

/// The data's own split must not tear a group apart.
fn check_groups(dataset: &Dataset) -> Result<()> {
    let mut homes: HashMap<&str, Part> = HashMap::new();
    for item in &dataset.items {
        let (Some(group), Some(part)) = (&item.group, item.part) else { continue };
        let home = *homes.entry(group).or_insert(part);
        if home != part {
            let message = format!(
                "the group \"{group}\" is in {} and in {}; a group must stay in one part: mend the split or the \
                 folds, or do without it (--split-column \"\") or without groups (--group-column \"\")",
                home.name(),
                part.name()
            );
            let error = Error::new(ErrorKind::Dataset, message);
            return Err(match item.line {
                Some(line) => error.at(Position::Line(line)),
                None => error,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::train::Item;

    /// `clips`: label, part, group.
    fn dataset(clips: impl IntoIterator<Item = (usize, Option<Part>, Option<String>)>) -> Dataset {
        let items: Vec<Item> = clips
            .into_iter()
            .enumerate()
            .map(|(i, (label, part, group))| Item {
                path: format!("{i}.wav").into(),
                truth: Truth::Label(label),
                part,
                group,
                line: Some(i as u64 + 2),
                label_file: None,
            })
            .collect();
        let labels = 1 + items.iter().flat_map(Item::labels).max().unwrap();
        let labels = (0..labels).map(|k| k.to_string()).collect();
        Dataset { labels, has_background: false, items, messages: vec![] }
    }

    fn fractions(validation_fraction: f64, test_fraction: f64) -> DataConfig {
        DataConfig { validation_fraction, test_fraction, ..Default::default() }
    }

    /// Every clip is in exactly one part.
    fn check_whole(data: &Dataset, parts: &Parts) {
        let mut all: Vec<usize> = Part::ALL.iter().flat_map(|&p| parts.get(p).to_vec()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..data.items.len()).collect::<Vec<_>>());
        assert!(Part::ALL.iter().all(|&p| parts.get(p).is_sorted()));
    }

    #[test]
    fn parts_are_in_proportion_to_the_labels() {
        let data = dataset((0..300).map(|i| (usize::from(i % 3 == 0), None, None)));
        let parts = split(&data, &fractions(0.1, 0.2), 0).unwrap();
        check_whole(&data, &parts);
        assert_eq!(data.count_labels(parts.test.clone()), [40, 20]);
        assert_eq!(data.count_labels(parts.validation.clone()), [16, 8]);
    }

    #[test]
    fn the_seed_alone_decides() {
        let data = dataset((0..100).map(|i| (i % 4, None, Some((i / 3).to_string()))));
        let config = fractions(0.2, 0.2);
        assert_eq!(split(&data, &config, 7).unwrap(), split(&data, &config, 7).unwrap());
        assert_ne!(split(&data, &config, 7).unwrap(), split(&data, &config, 8).unwrap());
    }

    #[test]
    fn few_clips_a_label_still_give_a_validation_part() {
        let data = dataset((0..40).map(|i| (i % 10, None, None)));
        let parts = split(&data, &fractions(0.1, 0.0), 0).unwrap();
        assert_eq!(parts.validation.len(), 4);
        let data = dataset([(0, None, None), (1, None, None)]);
        let parts = split(&data, &fractions(0.5, 0.0), 0).unwrap();
        assert_eq!((parts.train.len(), parts.validation.len()), (2, 0));
        assert!(parts.messages.iter().any(|m| m.contains("too few clips")));
    }

    #[test]
    fn the_official_split_is_kept_and_validation_comes_out_of_its_training_part() {
        let part = |i: usize| Some(if i < 20 { Part::Test } else { Part::Train });
        let data = dataset((0..120).map(|i| (i % 2, part(i), None)));
        let parts = split(&data, &fractions(0.1, 0.5), 3).unwrap();
        check_whole(&data, &parts);
        assert_eq!(parts.test, (0..20).collect::<Vec<_>>());
        assert_eq!(parts.validation.len(), 10);
        assert!(parts.messages.iter().any(|m| m.starts_with("test_fraction is not used")));

        let own = |i: usize| Some(if i < 20 { Part::Validation } else { Part::Train });
        let data = dataset((0..120).map(|i| (i % 2, own(i), None)));
        assert_eq!(split(&data, &fractions(0.1, 0.0), 3).unwrap().validation, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_group_never_crosses_a_split() {
        // 23 groups of uneven size.
        let data = dataset((0..400).map(|i| (i % 5, None, Some((i * i % 23).to_string()))));
        for seed in 0..20 {
            let parts = split(&data, &fractions(0.2, 0.2), seed).unwrap();
            check_whole(&data, &parts);
            let names = |p: Part| -> BTreeSet<_> {
                parts.get(p).iter().map(|&i| data.items[i].group.clone().unwrap()).collect()
            };
            for (a, b) in
                [(Part::Train, Part::Validation), (Part::Train, Part::Test), (Part::Validation, Part::Test)]
            {
                assert!(names(a).is_disjoint(&names(b)), "seed {seed}");
            }
            assert!((40..=120).contains(&parts.test.len()), "{}", parts.test.len());
            assert!((32..=96).contains(&parts.validation.len()), "{}", parts.validation.len());
        }
    }

    #[test]
    fn big_groups_give_one_of_them() {
        let data = dataset((0..500).map(|i| (i % 10, None, Some((i / 100).to_string()))));
        let parts = split(&data, &fractions(0.1, 0.0), 1).unwrap();
        assert_eq!(parts.validation.len(), 100);
    }

    #[test]
    fn a_group_that_alone_has_a_label_stays_in_training() {
        let data = dataset((0..40).map(|i| (i / 20, None, Some((i / 20).to_string()))));
        let parts = split(&data, &fractions(0.5, 0.0), 1).unwrap();
        assert_eq!(parts.train.len(), 40);
        assert!(parts.messages.iter().any(|m| m.contains("no validation part: no group can leave")));
    }

    #[test]
    fn a_torn_group_is_an_error_with_its_line() {
        let data = dataset([
            (0, Some(Part::Train), Some("x".to_string())),
            (1, Some(Part::Train), None),
            (1, Some(Part::Test), Some("x".to_string())),
        ]);
        let error = split(&data, &fractions(0.0, 0.0), 0).unwrap_err().to_string();
        assert!(error.contains("\"x\" is in train and in test") && error.ends_with("(line 4)"), "{error}");
    }

    #[test]
    fn every_label_must_be_learned_and_there_must_be_two() {
        let data = dataset([
            (0, Some(Part::Train), None),
            (1, Some(Part::Train), None),
            (2, Some(Part::Test), None),
        ]);
        let error = split(&data, &fractions(0.0, 0.0), 0).unwrap_err();
        assert!(error.message.starts_with("no training clip has the label \"2\""), "{error}");
        let data = dataset([(0, None, None), (0, None, None)]);
        assert!(split(&data, &fractions(0.0, 0.0), 0).unwrap_err().message.contains("at least two labels"));
    }

    #[test]
    fn recordings_with_labels_in_time_keep_their_groups_whole() {
        let root = tempfile::tempdir().unwrap();
        let (mut manifest, mut labels) = ("path,day\n".to_string(), "path,onset,offset,label\n".to_string());
        for i in 0..24 {
            std::fs::write(root.path().join(format!("{i}.wav")), "x").unwrap();
            manifest += &format!("{i}.wav,day{}\n", i % 6);
            labels += &format!("{i}.wav,0.5,1,{}\n", ["a", "b"][i % 2]);
        }
        let place = |name: &str, text: String| {
            std::fs::write(root.path().join(name), text).unwrap();
            Some(root.path().join(name))
        };
        let data = DataConfig {
            manifest: place("m.csv", manifest),
            group_column: "day".into(),
            ..fractions(0.3, 0.2)
        };
        let labels = crate::train::LabelsConfig { source: place("labels.csv", labels), ..Default::default() };
        let dataset = Dataset::load_timed(&data, &labels).unwrap();
        for seed in 0..10 {
            let parts = split(&dataset, &data, seed).unwrap();
            check_whole(&dataset, &parts);
            let days = |part: Part| -> BTreeSet<_> {
                parts.get(part).iter().map(|&i| dataset.items[i].group.clone().unwrap()).collect()
            };
            assert_eq!(days(Part::Test).len() + days(Part::Validation).len() + days(Part::Train).len(), 6);
            assert!(!parts.test.is_empty() && !parts.validation.is_empty(), "seed {seed}");
        }
    }
}
