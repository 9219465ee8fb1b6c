//! Classifies labelled files and counts what was right.

use std::path::Path;

use rayon::prelude::*;

use super::{Evaluation, Failure};
use crate::media::MediaOptions;
use crate::pipeline::Classifier;
use crate::{Error, ErrorKind, Result};

/// Classifies every clip (its path, and the index of its label in the model) on all cores. `on_file` hears of each
/// file that is done, in any order. Files that cannot be read are listed and count nowhere else.
///
/// # Errors
/// Where there is no clip, or none can be read.
pub fn evaluate_files(
    classifier: &Classifier,
    clips: &[(&Path, usize)],
    options: &MediaOptions,
    on_file: &(dyn Fn(&Path) + Sync),
) -> Result<Evaluation> {
    let results: Vec<_> = clips
        .par_iter()
        .map(|&(path, label)| {
            let result = classifier.classify_file(path, options).map(|result| result.scores);
            on_file(path);
            (path, label, result)
        })
        .collect();

    let (mut truth, mut predicted, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    let mut failures = Vec::new();
    for (path, label, result) in results {
        match result {
            Ok(clip_scores) => {
                truth.push(label);
                predicted.push(best(&clip_scores));
                scores.push(clip_scores);
            }
            Err(error) => failures.push(Failure::new(path, &error)),
        }
    }
    if truth.is_empty() && !failures.is_empty() {
        let message = format!("none of {} clips could be read; the first: {}", failures.len(), failures[0]);
        return Err(Error::new(ErrorKind::Dataset, message));
    }
    let evaluation = Evaluation::new(&classifier.model().header().labels, &truth, &predicted, Some(&scores))?;
    Ok(Evaluation { failures, ..evaluation })
}

/// The label with the highest score; the first of several.
fn best(scores: &[f32]) -> usize {
    (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best })
}
