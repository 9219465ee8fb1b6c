//! Feeds the network: clips of a part as examples, and the next pool of them while it learns from this one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::batching::Example;
use super::clip::{Clip, LastRead};
use super::examples::ExampleMaker;
use crate::{Error, ErrorKind, Result};

/// Clips of one part as what is learned from or measured on. They are in memory as far as there is room; the rest is read
/// again each time, which gives the same bits.
pub(super) struct ExampleSet<'a> {
    maker: &'a ExampleMaker<'a>,
    clips: Vec<Clip>,
    kind: Kind,
}

/// A clip of an epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Its place among the training clips.
    pub clip: usize,
    /// How often it was drawn before in this epoch.
    pub again: usize,
}

/// Gives the next pool of clips.
pub(super) type NextPool<'a> = dyn FnMut() -> Result<Vec<Example>> + 'a;

enum Kind {
    /// Each epoch sees clips that were changed anew.
    Changing,
    /// The same in each epoch, if they are held.
    Unchanging(Vec<Unchanging>),
}

/// What is known of a clip that stays as it is.
struct Unchanging {
    frames: usize,
    weight: f64,
    held: Option<Example>,
}

impl<'a> ExampleSet<'a> {
    /// Clips that are changed at random each time.
    pub fn changing(maker: &'a ExampleMaker<'a>, clips: Vec<Clip>) -> Self {
        Self { maker, clips, kind: Kind::Changing }
    }

    /// Clips that stay as they are.
    pub fn unchanging(maker: &'a ExampleMaker<'a>, mut clips: Vec<Clip>) -> Result<Self> {
        let of_file = |clips: &mut [Clip]| {
            let mut last = LastRead::default();
            let mut made = |clip: &mut Clip| {
                let held = clip.is_held();
                let example = maker.take_unchanged(clip, &mut last)?;
                let (frames, weight) = (example.features.frames, example.weight());
                Ok(Unchanging { frames, weight, held: held.then_some(example) })
            };
            clips.iter_mut().map(&mut made).collect::<Result<Vec<_>>>()
        };
        let files = clips.par_chunk_by_mut(|a, b| a.index == b.index).map(of_file);
        let files = files.collect::<Result<Vec<_>>>()?;
        Ok(Self { maker, clips, kind: Kind::Unchanging(files.into_iter().flatten().collect()) })
    }

    pub fn clips(&self) -> &[Clip] {
        &self.clips
    }

    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// Frames of each clip; none of clips that change.
    pub fn frames(&self) -> Vec<usize> {
        self.sizes().iter().map(|clip| clip.frames).collect()
    }

    /// What the clips count together in a mean; 0 for clips that change.
    pub fn weight(&self) -> f64 {
        self.sizes().iter().map(|clip| clip.weight).sum()
    }

    fn sizes(&self) -> &[Unchanging] {
        match &self.kind {
            Kind::Changing => &[],
            Kind::Unchanging(clips) => clips,
        }
    }

    /// Clip `i` as it is.
    pub fn unchanged(&self, i: usize, last: &mut LastRead) -> Result<Cow<'_, Example>> {
        match self.sizes().get(i) {
            Some(Unchanging { held: Some(example), .. }) => Ok(Cow::Borrowed(example)),
            _ => self.maker.unchanged(&self.clips[i], last).map(Cow::Owned),
        }
    }

    fn is_held(&self, i: usize) -> bool {
        match &self.kind {
            Kind::Changing => self.clips[i].is_held(),
            Kind::Unchanging(clips) => clips[i].held.is_some(),
        }
    }

    /// The clips of a pool, in its order. Those that are read again are made file by file, so that each is read once.
    fn pool(&self, draws: &[Draw], epoch: usize, given_up: &AtomicBool) -> Result<Vec<Example>> {
        let (mut jobs, mut files) = (Vec::new(), BTreeMap::<usize, Vec<usize>>::new());
        for (at, draw) in draws.iter().enumerate() {
            match self.is_held(draw.clip) {
                true => jobs.push(vec![at]),
                false => files.entry(self.clips[draw.clip].index).or_default().push(at),
            }
        }
        jobs.extend(files.into_values());
        let done = |job: &Vec<usize>| {
            let mut last = LastRead::default();
            let mut example = |&at: &usize| {
                let Draw { clip, again } = draws[at];
                let example = match (&self.kind, given_up.load(Ordering::Relaxed)) {
                    (_, true) => Err(nobody_waits()),
                    (Kind::Changing, _) => self.maker.augmented(&self.clips[clip], epoch, again, &mut last),
                    (Kind::Unchanging(_), _) => self.unchanged(clip, &mut last).map(Cow::into_owned),
                };
                Ok((at, example?))
            };
            job.iter().map(&mut example).collect::<Result<Vec<_>>>()
        };
        let mut made =
            jobs.par_iter().map(done).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
        made.sort_unstable_by_key(|(at, _)| *at);
        Ok(made.into_iter().map(|(_, example)| example).collect())
    }
}

/// Calls `learn` with a function that gives, one after the other, the pools that `plan` names by epoch and clips. Each is made
/// while `learn` works with the one before, by as many threads as learning has: together they keep all cores busy. With one
/// thread each is made when it is asked for.
pub(super) fn with_pools<T>(
    set: &ExampleSet,
    mut plan: impl Iterator<Item = (usize, Vec<Draw>)> + Send,
    learn: impl FnOnce(&mut NextPool) -> Result<T>,
) -> Result<T> {
    let given_up = AtomicBool::new(false);
    let threads = rayon::current_num_threads();
    let workers = (threads > 1).then(|| ThreadPoolBuilder::new().num_threads(threads).build());
    let Some(Ok(workers)) = workers else {
        return learn(&mut || {
            let (epoch, pool) = plan.next().ok_or_else(nobody_waits)?;
            set.pool(&pool, epoch, &given_up)
        });
    };
    std::thread::scope(|scope| {
        // Hands over only to one who waits: one pool is ready, and no more.
        let (sender, receiver) = sync_channel(0);
        let given_up = &given_up;
        scope.spawn(move || {
            for (epoch, pool) in plan {
                let made = workers.install(|| set.pool(&pool, epoch, given_up));
                if sender.send(made).is_err() {
                    return;
                }
            }
        });
        let result = learn(&mut || receiver.recv().map_err(|_| nobody_waits())?);
        given_up.store(true, Ordering::Relaxed);
        result
    })
}

fn nobody_waits() -> Error {
    Error::new(ErrorKind::Internal, "a pool of clips was asked for that is in no plan")
}
