//! Classifies labelled files and counts what was right.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Evaluation, Failure, McNemar};
use crate::media::MediaOptions;
use crate::pipeline::Classifier;
use crate::{Error, ErrorKind, Result};

/// Clips with their scores.
pub struct Scored {
    /// The model's labels.
    labels: Vec<String>,
    /// Path, true label, and the scores of all labels or why there are none.
    clips: Vec<(PathBuf, usize, Result<Vec<f32>>)>,
}

/// Classifies every clip (its path, and the index of its label in the model) on all cores. `on_file` hears of each
/// file that is done, in any order.
pub fn score_files(
    classifier: &Classifier,
    clips: &[(&Path, usize)],
    options: &MediaOptions,
    on_file: &(dyn Fn(&Path) + Sync),
) -> Scored {
    let score = |&(path, label): &(&Path, usize)| {
        let result = classifier.classify_file(path, options).map(|result| result.scores);
        on_file(path);
        (path.to_path_buf(), label, result)
    };
    Scored {
        labels: classifier.model().header().labels.clone(),
        clips: clips.par_iter().map(score).collect(),
    }
}

/// As [`score_files`], and counts what was right. Files that cannot be read are listed and count nowhere else.
///
/// # Errors
/// Where there is no clip, or none can be read.
pub fn evaluate_files(
    classifier: &Classifier,
    clips: &[(&Path, usize)],
    options: &MediaOptions,
    on_file: &(dyn Fn(&Path) + Sync),
) -> Result<Evaluation> {
    score_files(classifier, clips, options, on_file).evaluation()
}

impl Scored {
    /// What was right and wrong.
    ///
    /// # Errors
    /// Where there is no clip, or none could be read.
    pub fn evaluation(&self) -> Result<Evaluation> {
        let (mut truth, mut predicted, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        let mut failures = Vec::new();
        for (path, label, result) in &self.clips {
            match result {
                Ok(clip_scores) => {
                    truth.push(*label);
                    predicted.push(best(clip_scores));
                    scores.push(clip_scores.clone());
                }
                Err(error) => failures.push(Failure::new(path, error)),
            }
        }
        if truth.is_empty() && !failures.is_empty() {
            let message =
                format!("none of {} clips could be read; the first: {}", failures.len(), failures[0]);
            return Err(Error::new(ErrorKind::Dataset, message));
        }
        let evaluation = Evaluation::new(&self.labels, &truth, &predicted, Some(&scores))?;
        Ok(Evaluation { failures, ..evaluation })
    }

    /// McNemar's test against another model on the same clips in the same order, over those that both could read.
    pub fn against(&self, other: &Self) -> McNemar {
        let right = |(_, label, scores): &(PathBuf, usize, Result<Vec<f32>>)| {
            scores.as_ref().ok().map(|scores| best(scores) == *label)
        };
        McNemar::of(
            self.clips.iter().map(right).zip(other.clips.iter().map(right)).filter_map(|(a, b)| a.zip(b)),
        )
    }
}

/// The label with the highest score; the first of several.
fn best(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best })
}
