//! What each score is worth: precision against recall as the threshold moves, and how often a score is right.

use serde::Serialize;

use crate::decide::calibration::Reliability;

/// Most points of a precision-recall curve: evenly spaced ones of a longer curve.
pub const MAX_CURVE_POINTS: usize = 101;

/// The scores of one label beside what is true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelCurves {
    /// Clips or frames that have the label.
    pub positives: usize,
    /// Area under precision over recall, a step at each score: `sum of (R_n - R_(n-1)) P_n`, as scikit-learn's
    /// `average_precision_score` has it; `None` where nothing has the label.
    pub average_precision: Option<f64>,
    /// From the highest threshold to the lowest: all that scores at least as much is said to have the label.
    pub points: Vec<PrecisionRecall>,
    pub reliability: Reliability,
}

/// A threshold and what it does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PrecisionRecall {
    pub threshold: f32,
    pub precision: f64,
    pub recall: f64,
}

impl LabelCurves {
    /// Of pairs of a score, 0 to 1, and whether the label holds, in any order.
    pub fn of(mut scored: Vec<(f32, bool)>) -> Self {
        let reliability = Reliability::new(scored.iter().copied());
        let positives = scored.iter().filter(|(_, holds)| *holds).count();
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut points = Vec::new();
        let (mut area, mut right, mut last_recall) = (0.0, 0usize, 0.0);
        for (i, &(score, holds)) in scored.iter().enumerate() {
            right += usize::from(holds);
            // Equal scores come together: no threshold is between them.
            if positives == 0 || scored.get(i + 1).is_some_and(|next| next.0 == score) {
                continue;
            }
            let (precision, recall) = (right as f64 / (i + 1) as f64, right as f64 / positives as f64);
            area += (recall - last_recall) * precision;
            last_recall = recall;
            points.push(PrecisionRecall { threshold: score, precision, recall });
        }
        // What follows the last true one only loses precision.
        let whole = points.iter().position(|point| point.recall >= 1.0);
        points.truncate(whole.map_or(points.len(), |last| last + 1));
        Self {
            positives,
            average_precision: (positives > 0).then_some(area),
            points: thinned(&points),
            reliability,
        }
    }
}

/// Evenly spaced in recall, with both ends.
fn thinned(points: &[PrecisionRecall]) -> Vec<PrecisionRecall> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= MAX_CURVE_POINTS {
        return points.to_vec();
    }
    let steps = (MAX_CURVE_POINTS - 1) as f64;
    let at = |step: usize| {
        let recall = first.recall + (last.recall - first.recall) * step as f64 / steps;
        let place = points.partition_point(|point| point.recall < recall);
        points[place.min(points.len() - 1)]
    };
    let mut kept: Vec<PrecisionRecall> = (0..MAX_CURVE_POINTS).map(at).collect();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// from sklearn.metrics import average_precision_score, precision_recall_curve
    /// y = [i * 7 % 10 < 4 for i in range(20)]
    /// s = [(i * 13 % 17) / 16 for i in range(20)]
    /// average_precision_score(y, s)          # 0.5904761904761905
    /// precision_recall_curve(y, s)           # (1, 1/8) at 1, (1, 1/4) at 15/16, (2/3, 1/4) at 14/16, ... (0.4, 1) at 0
    /// ```
    #[test]
    fn the_area_is_that_of_scikit_learn() {
        let scored: Vec<(f32, bool)> =
            (0..20).map(|i| ((i * 13 % 17) as f32 / 16.0, i * 7 % 10 < 4)).collect();
        let curves = LabelCurves::of(scored);
        assert_eq!((curves.positives, curves.points.len()), (8, 17));
        assert!((curves.average_precision.unwrap() - 0.5904761904761905).abs() < 1e-12, "{curves:?}");
        let third = PrecisionRecall { threshold: 14.0 / 16.0, precision: 2.0 / 3.0, recall: 0.25 };
        assert_eq!(curves.points[2], third);
    }

    #[test]
    fn equal_scores_are_one_threshold_and_nothing_to_find_has_no_curve() {
        let curves = LabelCurves::of(vec![(0.5, true), (0.5, false), (0.5, true), (0.25, false)]);
        let point = PrecisionRecall { threshold: 0.5, precision: 2.0 / 3.0, recall: 1.0 };
        assert_eq!(curves.points, [point]);
        let none = LabelCurves::of(vec![(0.5, false)]);
        assert_eq!((none.positives, none.average_precision, none.points.len()), (0, None, 0));
        assert_eq!(LabelCurves::of(Vec::new()).reliability.expected_calibration_error, None);
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let scored = (0..100_000).map(|i| (i as f32 / 1e5, i % 3 == 0)).collect();
        let curves = LabelCurves::of(scored);
        assert!(curves.points.len() <= MAX_CURVE_POINTS && curves.points.len() > 50);
        let (first, last) = (curves.points[0], *curves.points.last().unwrap());
        assert!(first.recall < 0.001 && last.recall == 1.0);
        assert!((last.precision - 1.0 / 3.0).abs() < 1e-4);
    }
}
