//! Classifies labelled files and counts what was right.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Evaluation, Failure, LabelCurves, McNemar};
use crate::media::MediaOptions;
use crate::pipeline::{Classification, Classifier};
use crate::{Error, ErrorKind, Result};

/// Clips with their scores.
pub struct Scored {
    /// The model's labels.
    pub labels: Vec<String>,
    pub clips: Vec<ScoredClip>,
}

/// A clip, what is true of it, and what a model says.
pub struct ScoredClip {
    pub path: PathBuf,
    /// The true label, as its place among the model's.
    pub label: usize,
    /// The answer, or why there is none.
    pub result: Result<Classification>,
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
        let result = classifier.classify_file(path, options);
        on_file(path);
        ScoredClip { path: path.to_path_buf(), label, result }
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
        for ScoredClip { path, label, result } in &self.clips {
            match result {
                Ok(answer) => {
                    truth.push(*label);
                    predicted.push(best(&answer.scores));
                    scores.push(answer.scores.clone());
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
        let each =
            self.clips.iter().map(ScoredClip::is_right).zip(other.clips.iter().map(ScoredClip::is_right));
        McNemar::of(each.filter_map(|(a, b)| a.zip(b)))
    }

    /// One for each label, in the model's order.
    pub fn curves(&self) -> Vec<LabelCurves> {
        let of_label = |k: usize| {
            let scored = |clip: &ScoredClip| Some((clip.result.as_ref().ok()?.scores[k], clip.label == k));
            LabelCurves::of(self.clips.iter().filter_map(scored).collect())
        };
        (0..self.labels.len()).into_par_iter().map(of_label).collect()
    }
}

impl ScoredClip {
    /// Whether the highest score is at the true label; `None` where the clip could not be read.
    pub fn is_right(&self) -> Option<bool> {
        self.result.as_ref().ok().map(|answer| best(&answer.scores) == self.label)
    }
}

/// The label with the highest score; the first of several.
fn best(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best })
}
