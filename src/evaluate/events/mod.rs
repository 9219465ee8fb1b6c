//! Found events beside true ones, counted as sed_eval counts them (Mesaros, Heittola & Virtanen 2016).

mod event_based;
mod matching;
mod psds;
mod report;
mod scores;
mod segment_based;

pub use event_based::{Collar, MAX_NEAR_PAIRS, check_near_pairs, event_based, matched};
pub use psds::{MAX_PSDS_CELLS, PsdsParameters, psds};
pub use report::{Comparison, EventsReport, MAX_PAIRS, Psds, SHARE_OF_LENGTH, compare};
pub use scores::{Averages, EventScores, Scores};
pub use segment_based::segment_based;

use std::collections::BTreeSet;

use crate::event::Event;
use crate::labels::EventLists;

/// The two lists of each recording that either of them names, reference first.
fn pairs<'a>(
    reference: &'a EventLists,
    estimated: &'a EventLists,
) -> impl Iterator<Item = (&'a [Event], &'a [Event])> {
    let names: BTreeSet<&String> = reference.keys().chain(estimated.keys()).collect();
    let of = |lists: &'a EventLists, name| lists.get(name).map_or(&[][..], Vec::as_slice);
    names.into_iter().map(move |name| (of(reference, name), of(estimated, name)))
}

/// All labels of both, in their order.
fn labels(reference: &EventLists, estimated: &EventLists) -> BTreeSet<String> {
    let events = reference.values().chain(estimated.values()).flatten();
    events.map(|event| event.label.clone()).collect()
}
