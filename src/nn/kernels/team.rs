//! A scan that two cores share: step by step they take the tiles of its products between them.
//!
//! Weights that are too large for the cache of one core may fit those of two, if each core reads the same half at every
//! step. One core leads. The other helps where it has the time: whatever it has not taken the leader does itself, so that
//! a helper who comes late, or never, holds nothing up.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What there is to do in a round, in numbers of the scan's own.
pub(super) type Work = [usize; 4];

/// The round after the last one.
const DISMISSED: u32 = u32::MAX;

/// How often a core looks again before it lets others run.
const PATIENCE: usize = 2000;

#[derive(Default)]
pub(super) struct Team {
    /// Of each half a [`Half`] in one word, so that an item is taken only from the round that it is thought to be of.
    halves: [AtomicU64; 2],
    work: [AtomicUsize; 4],
    /// Items that the helper has done in this round.
    helped: AtomicUsize,
}

/// Half of a round's items.
#[derive(Clone, Copy)]
struct Half {
    round: u32,
    items: u16,
    taken: u16,
}

impl Half {
    fn from_word(word: u64) -> Self {
        Self { round: (word >> 32) as u32, items: (word >> 16) as u16, taken: word as u16 }
    }

    fn word(self) -> u64 {
        u64::from(self.round) << 32 | u64::from(self.items) << 16 | u64::from(self.taken)
    }
}

impl Team {
    /// Takes the next item of a round, of one's own half first: 0 is the leader's, 1 the helper's. Every second round
    /// the halves are gone through backwards: what the round before read last is still in the cache.
    fn take(&self, round: u32, who: usize) -> Option<usize> {
        for index in [who, 1 - who] {
            let mut word = self.halves[index].load(Ordering::Acquire);
            loop {
                let half = Half::from_word(word);
                if half.round != round || half.taken == half.items {
                    break;
                }
                let more = Half { taken: half.taken + 1, ..half }.word();
                let change =
                    self.halves[index].compare_exchange_weak(word, more, Ordering::AcqRel, Ordering::Acquire);
                let Err(now) = change else {
                    let turned =
                        if round.is_multiple_of(2) { half.taken } else { half.items - 1 - half.taken };
                    // The first half has as many items as the second, or one less.
                    let first = if index == 0 {
                        0
                    } else {
                        Half::from_word(self.halves[0].load(Ordering::Relaxed)).items
                    };
                    return Some(usize::from(first) + usize::from(turned));
                };
                word = now;
            }
        }
        None
    }

    /// Does what there is to do until the leader is through.
    pub fn help(&self, run: impl Fn(Work, usize)) {
        let mut through = 0;
        let mut waited = 0;
        loop {
            let round = Half::from_word(self.halves[1].load(Ordering::Acquire)).round;
            if round == DISMISSED {
                return;
            }
            if round == through {
                wait(&mut waited);
                continue;
            }
            // Perhaps in part of a later round; then nothing is left to take of this one.
            let work = std::array::from_fn(|i| self.work[i].load(Ordering::Relaxed));
            while let Some(item) = self.take(round, 1) {
                let _counted = Counted(&self.helped);
                run(work, item);
            }
            (through, waited) = (round, 0);
        }
    }
}

/// Counts an item when it is done, or given up by a panic: the leader waits for it.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// The one who says what there is to do; alone without a team.
pub(super) struct Leader<'a> {
    team: Option<&'a Team>,
    round: u32,
}

impl<'a> Leader<'a> {
    pub fn new(team: Option<&'a Team>) -> Self {
        Self { team, round: 0 }
    }

    /// Sees that all items of a round are done: alone all in one go, backwards every second round.
    pub fn lead(&mut self, work: Work, items: usize, run: impl Fn(Range<usize>, bool)) {
        // 0 is where the helper begins.
        self.round = (self.round + 1) % DISMISSED;
        let Some(team) = self.team else {
            return run(0..items, !self.round.is_multiple_of(2));
        };
        for (to, value) in team.work.iter().zip(work) {
            to.store(value, Ordering::Relaxed);
        }
        team.helped.store(0, Ordering::Relaxed);
        let Ok(all) = u16::try_from(items) else { return run(0..items, false) };
        for (half, items) in team.halves.iter().zip([all / 2, all - all / 2]) {
            half.store(Half { round: self.round, items, taken: 0 }.word(), Ordering::Release);
        }
        let mut done = 0;
        while let Some(item) = team.take(self.round, 0) {
            run(item..item + 1, false);
            done += 1;
        }
        let mut waited = 0;
        while done + team.helped.load(Ordering::Acquire) < items {
            wait(&mut waited);
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if let Some(team) = self.team {
            let dismissed = Half { round: DISMISSED, items: 0, taken: 0 }.word();
            team.halves.iter().for_each(|half| half.store(dismissed, Ordering::Release));
        }
    }
}

fn wait(waited: &mut usize) {
    *waited += 1;
    match *waited < PATIENCE {
        true => std::hint::spin_loop(),
        false => std::thread::yield_now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_every_round_is_done_once() {
        for helpers in [0, 1] {
            let team = Team::default();
            let counts: Vec<AtomicUsize> = (0..7).map(|_| AtomicUsize::new(0)).collect();
            let run = |work: Work, item: usize| {
                assert_eq!(work[1], 2 * work[0]);
                counts[item].fetch_add(1, Ordering::Relaxed);
            };
            std::thread::scope(|scope| {
                for _ in 0..helpers {
                    scope.spawn(|| team.help(run));
                }
                let mut leader = Leader::new(Some(&team));
                for round in 0..2000 {
                    let work = [round, 2 * round, 0, 0];
                    leader.lead(work, 7, |items, _| items.for_each(|item| run(work, item)));
                    let expected = round + 1;
                    assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == expected));
                }
            });
        }
    }
}
