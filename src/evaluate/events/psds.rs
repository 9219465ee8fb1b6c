//! The polyphonic sound detection score (Bilen et al. 2020): how many events are found for how many false alarms an hour, over
//! all thresholds, as psds_eval computes it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::labels::EventLists;
use crate::{Error, ErrorKind, Result};

const SECONDS_AN_HOUR: f64 = 3600.0;
/// Most labels, each with each other and with each recording.
pub const MAX_PSDS_CELLS: usize = 20_000_000;

/// What counts as found, and what as a false alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PsdsParameters {
    /// Share of a found event that true ones of its label must cover (detection tolerance criterion), 0 to 1.
    pub dtc: f64,
    /// Share of a true event that such found ones must cover (ground truth intersection criterion), 0 to 1.
    pub gtc: f64,
    /// Share of a found event from which one of another label is a cross-trigger, 0 to 1.
    pub cttc: f64,
    /// Weight of cross-triggers among false alarms, 0 to 1.
    pub alpha_ct: f64,
    /// Weight of the deviation between labels, at least 0.
    pub alpha_st: f64,
    /// Most false alarms an hour that are looked at, over 0.
    pub max_efpr: f64,
}

impl PsdsParameters {
    /// DCASE's first scenario: events must be found where they are.
    pub const SCENARIO_1: Self =
        Self { dtc: 0.7, gtc: 0.7, cttc: 0.3, alpha_ct: 0.0, alpha_st: 1.0, max_efpr: 100.0 };
    /// DCASE's second scenario: labels must not be mistaken for each other.
    pub const SCENARIO_2: Self = Self { dtc: 0.1, gtc: 0.1, alpha_ct: 0.5, ..Self::SCENARIO_1 };

    fn check(&self) -> Result<()> {
        let share = 0.0..=1.0;
        let right = [self.dtc, self.gtc, self.cttc, self.alpha_ct].iter().all(|value| share.contains(value))
            && self.alpha_st >= 0.0
            && self.alpha_st.is_finite()
            && self.max_efpr > 0.0
            && self.max_efpr.is_finite();
        if right {
            return Ok(());
        }
        let message = format!(
            "{self:?}: dtc, gtc, cttc and alpha_ct must be 0 to 1, alpha_st at least 0 and max_efpr over 0"
        );
        Err(Error::new(ErrorKind::Config, message))
    }
}

/// The score, 0 to 1, of events found at several thresholds: `operating_points[i]` are those of threshold `i`. `durations` in
/// seconds are of all recordings. Events without a length count nowhere; labels that `reference` does not have neither.
///
/// Where only one label is true nothing can be mistaken for another, and cross-triggers are 0; psds_eval takes a mean over no
/// labels then and always says 0.
///
/// # Errors
/// [`ErrorKind::Config`] where a parameter is out of its range.
/// [`ErrorKind::Dataset`] where nothing is true, a true event's recording has no duration, or two events of one label overlap.
/// [`ErrorKind::Limit`] for more labels and recordings than [`MAX_PSDS_CELLS`].
pub fn psds(
    reference: &EventLists,
    durations: &BTreeMap<String, f64>,
    operating_points: &[EventLists],
    parameters: &PsdsParameters,
) -> Result<f64> {
    parameters.check()?;
    let wrong = |message: String| Err(Error::new(ErrorKind::Dataset, message));
    if let Some(name) = reference.keys().find(|name| !durations.contains_key(*name)) {
        return wrong(format!("{name} has no duration"));
    }
    let events = reference.values().flatten().filter(|event| event.duration() > 0.0);
    let labels: BTreeSet<&str> = events.map(|event| event.label.as_str()).collect();
    let labels: Vec<&str> = labels.into_iter().collect();
    if labels.is_empty() {
        return wrong("no event is true, so none can be found".to_string());
    }
    let recordings = operating_points.iter().map(BTreeMap::len).fold(reference.len(), usize::max);
    // What is kept of each label in each recording, and beside each other label.
    let kept = labels.len().saturating_mul(labels.len().saturating_add(recordings));
    if kept > MAX_PSDS_CELLS {
        let labels = labels.len();
        let message = format!(
            "{labels} labels in {recordings} recordings are too many for PSDS; leave --durations away"
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let truth = sorted(reference, &labels)?;
    let mut totals = vec![Total::default(); labels.len()];
    for event in truth.values().flat_map(|by_label| by_label.iter().enumerate()) {
        let (label, spans) = event;
        totals[label].events += spans.len();
        totals[label].seconds += spans.iter().map(|span| span.1 - span.0).sum::<f64>();
    }
    let hours = durations.values().sum::<f64>() / SECONDS_AN_HOUR;
    // For each label the rates of false alarms and of hits at each threshold; nothing found is one, too.
    let mut curves: Vec<Vec<(f64, f64)>> = vec![vec![(0.0, 0.0)]; labels.len()];
    for found in operating_points {
        let found = sorted(found, &labels)?;
        let rates = rates(&truth, &found, durations, &totals, hours, parameters);
        curves.iter_mut().zip(rates).for_each(|(curve, rate)| curve.push(rate));
    }
    Ok(area(&curves, parameters))
}

type Span = (f64, f64);
/// Spans of each label in a recording, by onset.
type ByLabel = Vec<Vec<Span>>;

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    events: usize,
    seconds: f64,
}

fn sorted(lists: &EventLists, labels: &[&str]) -> Result<BTreeMap<String, ByLabel>> {
    let of = |(name, events): (&String, &Vec<Event>)| {
        let mut by_label: ByLabel = vec![Vec::new(); labels.len()];
        for event in events.iter().filter(|event| event.duration() > 0.0) {
            if let Ok(label) = labels.binary_search(&event.label.as_str()) {
                by_label[label].push((event.onset, event.offset));
            }
        }
        for (spans, label) in by_label.iter_mut().zip(labels) {
            spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            if let Some(pair) = spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
                let message =
                    format!("two events `{label}` overlap at {} s in {name}; make them one", pair[1].0);
                return Err(Error::new(ErrorKind::Dataset, message));
            }
        }
        Ok((name.clone(), by_label))
    };
    lists.iter().map(of).collect()
}

/// Indices of the spans that share time with one, and how much. Spans do not overlap, so both their ends are sorted.
fn shared(spans: &[Span], (onset, offset): Span) -> impl Iterator<Item = (usize, f64)> {
    let first = spans.partition_point(|span| span.1 <= onset);
    let meeting = spans[first..].iter().take_while(move |span| span.0 < offset);
    meeting.enumerate().map(move |(i, span)| (first + i, span.1.min(offset) - span.0.max(onset)))
}

/// A sum that keeps what rounding cuts off (Kahan 1965), as pandas adds: shares that make up a criterion exactly must not
/// miss it by the last bit.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, x: f64) {
        let x = x - self.lost;
        let sum = self.value + x;
        self.lost = (sum - self.value) - x;
        self.value = sum;
    }
}

/// False alarms an hour, weighted, and share of events found, of each label at one threshold.
fn rates(
    truth: &BTreeMap<String, ByLabel>,
    found: &BTreeMap<String, ByLabel>,
    durations: &BTreeMap<String, f64>,
    totals: &[Total],
    hours: f64,
    parameters: &PsdsParameters,
) -> Vec<(f64, f64)> {
    let num_labels = totals.len();
    let mut hits = vec![0usize; num_labels];
    let mut alarms = vec![0usize; num_labels];
    let mut crossed = vec![vec![0usize; num_labels]; num_labels];
    let nothing: ByLabel = vec![Vec::new(); num_labels];
    for (name, found) in found {
        let Some(&duration) = durations.get(name) else { continue };
        let truth = truth.get(name).unwrap_or(&nothing);
        for (label, found) in found.iter().enumerate() {
            let mut covered = vec![Sum::default(); truth[label].len()];
            let mut touched = vec![false; truth[label].len()];
            for &span in found {
                let length = span.1 - span.0;
                let precision = |label: usize| {
                    let mut sum = Sum::default();
                    shared(&truth[label], span).for_each(|(_, both)| sum.add(both / length));
                    sum.value
                };
                let mut same = shared(&truth[label], span).peekable();
                if same.peek().is_some() && precision(label) >= parameters.dtc {
                    for (i, both) in same {
                        covered[i].add(both / (truth[label][i].1 - truth[label][i].0));
                        touched[i] = true;
                    }
                    continue;
                }
                alarms[label] += usize::from(span.0 < duration);
                for other in (0..num_labels).filter(|&other| other != label) {
                    let meets = shared(&truth[other], span).next().is_some();
                    crossed[label][other] += usize::from(meets && precision(other) >= parameters.cttc);
                }
            }
            let enough = covered
                .iter()
                .zip(&touched)
                .filter(|(covered, touched)| **touched && covered.value >= parameters.gtc);
            hits[label] += enough.count();
        }
    }
    (0..num_labels)
        .map(|label| {
            let others = (0..num_labels).filter(|&other| other != label);
            let crossed: f64 = others
                .map(|other| crossed[label][other] as f64 * SECONDS_AN_HOUR / totals[other].seconds)
                .sum::<f64>()
                / (num_labels - 1).max(1) as f64;
            let rate = alarms[label] as f64 / hours + parameters.alpha_ct * crossed;
            (rate, hits[label] as f64 / totals[label].events as f64)
        })
        .collect()
}

/// Under the mean of all labels' curves, less their deviation, in steps.
fn area(curves: &[Vec<(f64, f64)>], parameters: &PsdsParameters) -> f64 {
    let mut rates: Vec<f64> = curves.iter().flatten().map(|point| point.0).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let highest_up_to = |curve: &Vec<(f64, f64)>, rate: f64| {
        curve.iter().filter(|point| point.0 <= rate).map(|point| point.1).fold(0.0, f64::max)
    };
    let mut area = 0.0;
    for (i, &rate) in rates.iter().enumerate().take_while(|(_, rate)| **rate < parameters.max_efpr) {
        let next = rates.get(i + 1).copied().unwrap_or(parameters.max_efpr).min(parameters.max_efpr);
        let hits: Vec<f64> = curves.iter().map(|curve| highest_up_to(curve, rate)).collect();
        let mean = hits.iter().sum::<f64>() / hits.len() as f64;
        let variance = hits.iter().map(|hit| (hit - mean).powi(2)).sum::<f64>() / hits.len() as f64;
        area += (next - rate) * (mean - parameters.alpha_st * variance.sqrt()).max(0.0);
    }
    area / parameters.max_efpr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(events: &[(f64, f64, &str)]) -> EventLists {
        let event = |&(onset, offset, label): &(f64, f64, &str)| Event { onset, offset, label: label.into() };
        EventLists::from([("a".to_string(), events.iter().map(event).collect())])
    }

    #[test]
    fn all_found_is_1_and_nothing_found_is_0() {
        let durations = BTreeMap::from([("a".to_string(), 10.0)]);
        let truth = lists(&[(1.0, 2.0, "x"), (4.0, 5.0, "y"), (6.0, 6.0, "y")]);
        for parameters in [PsdsParameters::SCENARIO_1, PsdsParameters::SCENARIO_2] {
            let score = |found: &EventLists| {
                psds(&truth, &durations, std::slice::from_ref(found), &parameters).unwrap()
            };
            assert_eq!(score(&truth), 1.0);
            assert_eq!(score(&lists(&[])), 0.0);
        }
    }

    #[test]
    fn what_cannot_be_scored_is_an_error() {
        let durations = BTreeMap::from([("a".to_string(), 10.0)]);
        let run = |truth: &EventLists, durations: &BTreeMap<String, f64>| {
            psds(truth, durations, &[], &PsdsParameters::SCENARIO_1).unwrap_err().message
        };
        assert!(run(&lists(&[]), &durations).contains("no event is true"));
        assert!(run(&lists(&[(0.0, 1.0, "x")]), &BTreeMap::new()).contains("a has no duration"));
        let twice = lists(&[(0.0, 2.0, "x"), (1.0, 3.0, "x")]);
        assert!(run(&twice, &durations).contains("two events `x` overlap at 1 s in a"));
    }

    /// psds_eval 0.5.3 says 1: pandas, too, adds without loss. Plain sums of these shares are 0.7 less its last bit.
    #[test]
    fn shares_that_are_exactly_enough_are_enough() {
        let durations = BTreeMap::from([("a".to_string(), 10.0)]);
        let truth = lists(&[(0.0, 1.0, "x"), (4.0, 5.0, "y")]);
        let pieces =
            [(0.0, 0.19, "x"), (0.22, 0.49, "x"), (0.54, 0.75, "x"), (0.8, 0.83, "x"), (4.0, 5.0, "y")];
        assert_eq!(psds(&truth, &durations, &[lists(&pieces)], &PsdsParameters::SCENARIO_1).unwrap(), 1.0);
    }

    #[test]
    fn one_label_alone_is_scored() {
        let durations = BTreeMap::from([("a".to_string(), 10.0)]);
        let truth = lists(&[(1.0, 2.0, "x")]);
        assert_eq!(
            psds(&truth, &durations, std::slice::from_ref(&truth), &PsdsParameters::SCENARIO_2).unwrap(),
            1.0
        );
    }

    #[test]
    fn a_parameter_out_of_its_range_is_refused() {
        let durations = BTreeMap::from([("a".to_string(), 10.0)]);
        let truth = lists(&[(1.0, 2.0, "x")]);
        let s = PsdsParameters::SCENARIO_1;
        for parameters in [
            PsdsParameters { dtc: 1.5, ..s.clone() },
            PsdsParameters { alpha_ct: f64::NAN, ..s.clone() },
            PsdsParameters { alpha_st: -1.0, ..s.clone() },
            PsdsParameters { max_efpr: 0.0, ..s },
        ] {
            let error = psds(&truth, &durations, &[], &parameters).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config);
            assert!(error.message.contains("must be 0 to 1"), "{error}");
        }
    }
}
