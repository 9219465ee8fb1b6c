//! Folds of a cross-validation: each is the test part once.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::split::{groups, label_counts};
use super::{DataConfig, Dataset, TrainConfig, manifest};
use crate::model::Task;
use crate::{Error, ErrorKind, Result};

/// Most folds of one cross-validation.
pub const MAX_FOLDS: usize = 1000;

/// Where folds come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folds {
    /// So many are dealt by seed.
    Number(usize),
    /// Each value of this manifest column is one.
    Column(String),
}

/// The folds of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldPlan {
    /// What [`DataConfig::test_fold`] calls them, in the order in which they are tested.
    pub names: Vec<String>,
    /// The fold of each item of the data set, an index into `names`; `None` for one that is always learned from.
    pub fold_of: Vec<Option<usize>>,
}

impl DataConfig {
    /// Where folds come from; `None` without a cross-validation.
    pub fn folds(&self) -> Option<Folds> {
        match self.folds.as_str() {
            "" => None,
            text => Some(text.parse().map_or_else(|_| Folds::Column(text.to_string()), Folds::Number)),
        }
    }

    /// Forgets of folds that the data has no trace of, as it is other data than was cross-validated: a column or value that
    /// its manifest lacks, or any column of a directory.
    ///
    /// # Errors
    /// Those of the manifest.
    pub fn drop_absent_folds(&mut self) -> Result<()> {
        let is_there = match (self.folds(), &self.manifest) {
            _ if self.test_fold.is_empty() => false,
            (Some(Folds::Column(name)), Some(path)) => manifest::has_fold(path, self, &name)?,
            (folds, _) => matches!(folds, Some(Folds::Number(_))),
        };
        if !is_there {
            self.drop_folds();
        }
        Ok(())
    }

    /// Forgets of folds.
    pub fn drop_folds(&mut self) {
        self.folds.clear();
        self.test_fold.clear();
    }

    /// Checks `folds` and `test_fold`; names the setting that is wrong.
    pub(super) fn check_folds(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        let fold = &self.test_fold;
        match self.folds() {
            None if fold.is_empty() => Ok(()),
            None => wrong(format!("test_fold is {fold}, but folds says nothing of where folds come from")),
            Some(Folds::Number(n)) if !(2..=MAX_FOLDS).contains(&n) => {
                wrong(format!("folds is {n}; it must be a manifest column or a number from 2 to {MAX_FOLDS}"))
            }
            Some(Folds::Number(n))
                if !fold.is_empty() && !fold.parse().is_ok_and(|k| (1..=n).contains(&k)) =>
            {
                wrong(format!("test_fold is {fold}; it must be a number from 1 to {n}, as folds says"))
            }
            Some(Folds::Column(name)) if self.directory.is_some() => wrong(format!(
                "folds is {name}, a column of a manifest, and a directory has none: give a manifest, or a number of folds"
            )),
            Some(_) => Ok(()),
        }
    }
}

impl Dataset {
    /// Reads what a configuration learns from, clips or recordings with labels in time.
    ///
    /// # Errors
    /// Those of [`Dataset::load`] and [`Dataset::load_timed`].
    pub fn of(config: &TrainConfig) -> Result<Self> {
        match config.task() {
            Task::Classify => Self::load(&config.data),
            Task::Tag => Self::load_timed(&config.data, &config.labels),
        }
    }
}

/// The folds that `config` names.
///
/// # Errors
/// Those of [`Dataset::of`] and [`deal`]; a column without at least two values.
pub fn plan(config: &TrainConfig) -> Result<FoldPlan> {
    let seed = config.data.split_seed.unwrap_or(config.training.seed);
    match config.data.folds() {
        None => Err(Error::new(
            ErrorKind::Config,
            "[data] folds is not set, so there is nothing to cross-validate",
        )),
        Some(Folds::Number(count)) => {
            let folds = deal(&Dataset::of(config)?, count, seed)?;
            let names = (1..=count).map(|fold| fold.to_string()).collect();
            Ok(FoldPlan { names, fold_of: folds.into_iter().map(Some).collect() })
        }
        Some(Folds::Column(column)) => {
            // Read as groups, the column's values come with their clips.
            let mut config = config.clone();
            config.data.group_column.clone_from(&column);
            config.data.split_column.clear();
            config.data.folds.clear();
            config.data.test_fold.clear();
            let said = |e: Error| Error { message: e.message.replace("--group-column", "--folds"), ..e };
            by_group(&Dataset::of(&config).map_err(said)?, &column).map_err(|error| {
                match &config.data.manifest {
                    Some(manifest) => error.with_path(manifest),
                    None => error,
                }
            })
        }
    }
}

/// Each group is a fold.
fn by_group(dataset: &Dataset, column: &str) -> Result<FoldPlan> {
    let mut names: Vec<String> = dataset.items.iter().filter_map(|item| item.group.clone()).collect();
    names.sort_by(|a, b| number(a).cmp(&number(b)).then_with(|| a.cmp(b)));
    names.dedup();
    if !(2..=MAX_FOLDS).contains(&names.len()) {
        let message = format!(
            "the column \"{column}\" has {} values; folds need 2 to {MAX_FOLDS}: is this the right column? (--folds)",
            names.len()
        );
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let numbers: HashMap<&str, usize> =
        names.iter().enumerate().map(|(k, name)| (name.as_str(), k)).collect();
    let fold_of =
        dataset.items.iter().map(|item| item.group.as_ref().map(|group| numbers[group.as_str()])).collect();
    Ok(FoldPlan { names, fold_of })
}

/// 10 comes after 9.
fn number(name: &str) -> u64 {
    name.parse().unwrap_or(u64::MAX)
}

/// Deals the clips into `count` folds of about one size and about one share of each label; gives the fold of each, from 0. A
/// group stays whole: big ones first, each goes where its labels are rarest so far, of such folds to the smallest. The same
/// data and seed give the same folds.
///
/// # Errors
/// [`ErrorKind::Dataset`] where there are fewer groups, or clips, than folds.
pub fn deal(dataset: &Dataset, count: usize, seed: u64) -> Result<Vec<usize>> {
    let all: Vec<usize> = (0..dataset.items.len()).collect();
    let mut groups = groups(dataset, &all);
    if groups.len() < count {
        let what = if dataset.items.iter().any(|item| item.group.is_some()) { "groups" } else { "clips" };
        let message = format!(
            "{count} folds are asked for, and there are only {} {what}; ask for fewer (--folds)",
            groups.len()
        );
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    // The sort is stable: groups of one size stay in drawn order.
    groups.sort_by_key(|clips| std::cmp::Reverse(clips.len()));
    let totals = dataset.count_labels(all);
    let mut have = vec![vec![0usize; totals.len()]; count];
    let mut sizes = vec![0usize; count];
    let mut folds = vec![0; dataset.items.len()];
    for clips in groups {
        let counts = label_counts(dataset, &clips);
        let crowded = |fold: usize| -> f64 {
            counts.iter().map(|&(k, n)| n as f64 * have[fold][k] as f64 / totals[k] as f64).sum()
        };
        let best = (0..count)
            .min_by(|&a, &b| {
                crowded(a)
                    .total_cmp(&crowded(b))
                    .then_with(|| sizes[a].cmp(&sizes[b]))
                    .then_with(|| a.cmp(&b))
            })
            .unwrap_or(0);
        counts.iter().for_each(|&(k, n)| have[best][k] += n);
        sizes[best] += clips.len();
        clips.iter().for_each(|&clip| folds[clip] = best);
    }
    Ok(folds)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::train::split::split;
    use crate::train::{Item, Part, Truth};

    fn dataset(clips: impl IntoIterator<Item = (usize, Option<String>)>) -> Dataset {
        let items: Vec<Item> = clips
            .into_iter()
            .enumerate()
            .map(|(i, (label, group))| Item {
                path: format!("{i}.wav").into(),
                truth: Truth::Label(label),
                part: Some(Part::Train),
                group,
                line: None,
                label_file: None,
            })
            .collect();
        let labels = 1 + items.iter().flat_map(Item::labels).max().unwrap();
        let labels = (0..labels).map(|k| k.to_string()).collect();
        Dataset { labels, has_background: false, items, messages: vec![] }
    }

    fn sizes(folds: &[usize], count: usize) -> Vec<usize> {
        (0..count).map(|fold| folds.iter().filter(|&&f| f == fold).count()).collect()
    }

    #[test]
    fn folds_have_one_share_of_each_label() {
        let data = dataset((0..103).map(|i| (i % 4, None)));
        let folds = deal(&data, 5, 1).unwrap();
        assert!(sizes(&folds, 5).iter().all(|n| (19..=22).contains(n)), "{:?}", sizes(&folds, 5));
        for fold in 0..5 {
            let counts = data.count_labels((0..103).filter(|&i| folds[i] == fold));
            assert!(counts.iter().all(|n| (5..=6).contains(n)), "{counts:?}");
        }
        assert_eq!(folds, deal(&data, 5, 1).unwrap());
        assert_ne!(folds, deal(&data, 5, 2).unwrap());
    }

    #[test]
    fn a_group_is_in_one_fold() {
        let data = dataset((0..400).map(|i| (i % 5, Some((i * i % 23).to_string()))));
        for seed in 0..10 {
            let folds = deal(&data, 3, seed).unwrap();
            let homes: BTreeSet<_> = (0..400).map(|i| (data.items[i].group.clone(), folds[i])).collect();
            let groups: BTreeSet<_> = data.items.iter().map(|item| item.group.clone()).collect();
            assert_eq!(homes.len(), groups.len());
            assert!(sizes(&folds, 3).iter().all(|n| (100..=170).contains(n)), "{:?}", sizes(&folds, 3));
        }
    }

    #[test]
    fn fewer_groups_than_folds_is_an_error() {
        let data = dataset((0..40).map(|i| (i % 2, Some((i % 3).to_string()))));
        let error = deal(&data, 4, 0).unwrap_err();
        assert!(error.message.contains("only 3 groups"), "{error}");
    }

    #[test]
    fn each_fold_is_the_test_part_once_and_validation_comes_out_of_the_others() {
        let data = dataset((0..100).map(|i| (i % 2, None)));
        let mut tested = Vec::new();
        for fold in 1..=4 {
            let config = DataConfig { folds: "4".into(), test_fold: fold.to_string(), ..Default::default() };
            let parts = split(&data, &config, 9).unwrap();
            assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), (67, 8, 25));
            tested.extend(parts.test);
        }
        tested.sort_unstable();
        assert_eq!(tested, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn values_of_a_column_are_folds_in_their_natural_order() {
        let data = dataset((0..30).map(|i| (0, (i > 0).then(|| (i % 3 + 8).to_string()))));
        let plan = by_group(&data, "fold").unwrap();
        assert_eq!(plan.names, ["8", "9", "10"]);
        assert_eq!(plan.fold_of[..4], [None, Some(1), Some(2), Some(0)]);
        let error = by_group(&dataset((0..5).map(|_| (0, Some("x".into())))), "site").unwrap_err();
        assert!(error.message.contains("\"site\" has 1 values"), "{error}");
    }

    #[test]
    fn folds_of_other_data_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.csv");
        std::fs::write(&path, "path,label,day\na.wav,x,1\nb.wav,y,2\n").unwrap();
        let left = |folds: &str, fold: &str, filters: &[&str], manifest: bool| {
            let mut config = DataConfig {
                folds: folds.into(),
                test_fold: fold.into(),
                filters: filters.iter().map(|filter| filter.to_string()).collect(),
                manifest: manifest.then(|| path.clone()),
                ..Default::default()
            };
            config.drop_absent_folds().map(|()| config.folds + &config.test_fold)
        };
        assert_eq!(left("day", "2", &[], true).unwrap(), "day2");
        assert_eq!(left("day", "3", &[], true).unwrap(), "");
        assert_eq!(left("day", "2", &["label!=y"], true).unwrap(), "");
        assert_eq!(left("site", "2", &[], true).unwrap(), "");
        assert_eq!(left("day", "2", &[], false).unwrap(), "");
        assert_eq!(left("5", "2", &[], true).unwrap(), "52");
        assert!(left("day", "2", &["lable=y"], true).unwrap_err().message.contains("\"label\""));
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let message = |folds: &str, fold: &str, directory: bool| {
            let config = DataConfig {
                folds: folds.into(),
                test_fold: fold.into(),
                directory: directory.then(|| "x".into()),
                ..Default::default()
            };
            config.validate().map_or_else(|e| e.message, |()| String::new())
        };
        assert!(message("1", "", false).starts_with("folds is 1"));
        assert!(message("5", "6", false).starts_with("test_fold is 6"));
        assert!(message("", "6", false).starts_with("test_fold is 6"));
        assert!(message("speaker", "", true).starts_with("folds is speaker"));
        assert_eq!(message("speaker", "theo", false) + &message("5", "5", true), "");
    }
}
