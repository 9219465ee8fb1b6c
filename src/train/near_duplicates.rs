//! Finds recordings that are nearly the same sound in two files: louder, resampled, coded again, or trimmed.
//!
//! Frames become words of bits, the signs of how differences between neighbouring bands change over time (Haitsma & Kalker
//! 2002, with shorter frames). Clips that share words at one distance in time are candidates, which the correlation of
//! their samples then confirms or not: other recordings of the same thing do not correlate, sample for sample.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::{Dataset, Event};
use crate::Result;
use crate::features::{Extractor, FeatureConfig, FeatureKind, MelScale};
use crate::media::{AudioOptions, AudioStream};

/// What sound is compared at, in Hz: what is kept by all but telephones.
const SAMPLE_RATE: u32 = 8000;
/// Length of a frame and distance to the next, in samples.
const N_FFT: usize = 512;
const HOP: usize = 64;
/// Bands whose neighbours are compared: a word has one bit less.
const BANDS: usize = 21;
/// Frames that lie between those that a bit compares.
const LAG: usize = 4;
/// Sound at the start of a file that is looked at, in seconds.
const MAX_SECONDS: usize = 30;
/// Words of a clip that are kept.
const MAX_WORDS: usize = 512;
/// Frames that are this much below the loudest say nothing, in dB.
const QUIET: f32 = 50.0;
/// Words that more frames have say nothing: a steady tone, a hum. This bounds the time: a word of a clip is compared with so
/// many others at most.
const MAX_SHARED: usize = 64;
/// Clips that are compared with all others before the best candidates are chosen: this bounds the memory.
const CLIPS_AT_ONCE: usize = 256;
/// Words that two clips must share at one distance in time, and one more for so many that they have: of long clips some
/// agree by chance.
const MIN_VOTES: usize = 2;
const WORDS_A_VOTE: usize = 200;
/// Candidates that are looked at closely.
const MAX_CANDIDATES: usize = 1000;
/// Sound of two candidates that is correlated, in samples.
const MAX_COMPARED: usize = 4 * SAMPLE_RATE as usize;
/// Share of the shorter clip that both must have.
const MIN_OVERLAP: f64 = 0.5;
/// Correlation of samples from which two clips are the same sound. Different recordings of one digit by one speaker reach
/// 0.76 (fsdd), of one noise 0.1 (esc10); nine in ten copies as MP3 at 32 kbit/s stay above 0.92.
const MIN_CORRELATION: f64 = 0.85;
/// Pairs that a warning names.
const MAX_NAMED: usize = 3;
/// Most clips that are compared.
const MAX_CLIPS: usize = 200_000;

/// Two items that are nearly the same sound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Indices into [`Dataset::items`], `a < b`.
    pub a: usize,
    pub b: usize,
    /// Of their samples where they overlap, 0 to 1.
    pub correlation: f64,
}

/// The near-duplicates of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub pairs: Vec<Pair>,
    /// Whether there may be more, as only the likeliest were looked at.
    pub is_capped: bool,
    /// Whether some may have been missed, as most of what they are told by is too common to be compared.
    pub is_partial: bool,
}

/// What the items of a data set sound like. Made once, it serves any split of the data.
#[derive(Debug, Clone, Default)]
pub struct Prints {
    /// Of each item: its words and their frames, by frame. Empty for what cannot be read.
    words: Vec<Vec<(u32, u32)>>,
}

impl Prints {
    /// Listens to the first half minute of each item, on all cores. Files that cannot be read are passed over: training
    /// names them. Setting `stop` ends it early, with nothing.
    pub fn of(dataset: &Dataset, on_event: &mut dyn FnMut(Event), stop: &AtomicBool) -> Self {
        let total = dataset.items.len();
        if total > MAX_CLIPS {
            let message = format!("near-duplicates are not looked for among more than {MAX_CLIPS} clips");
            on_event(Event::Message(message));
            return Self::default();
        }
        let mut words = Vec::with_capacity(total);
        for chunk in dataset.items.chunks(64) {
            let listen = |path: &Path| read(path).and_then(|samples| words_of(&samples)).unwrap_or_default();
            words.par_extend(chunk.par_iter().map(|item| listen(&item.path)));
            if stop.load(Ordering::Relaxed) {
                return Self::default();
            }
            on_event(Event::Loading { done: words.len(), total });
        }
        Self { words }
    }

    /// What is to be told of near-duplicates on two sides: `side_of` has the side of each item, an index into `sides`, or
    /// `None` for one that does not matter.
    pub fn events(&self, dataset: &Dataset, side_of: &[Option<usize>], sides: &[String]) -> Vec<Event> {
        let Found { pairs, is_capped, is_partial } = self.find(dataset, side_of);
        let mut events = Vec::new();
        if is_partial {
            events.push(Event::Message(format!(
                "most of what near-duplicates are told by is at more than {MAX_SHARED} places in these recordings, too many \
                 to be compared: some may have been missed"
            )));
        }
        let name = |item: usize| {
            let side = side_of[item].map_or("", |side| sides[side].as_str());
            format!("{} ({side})", dataset.items[item].path.display())
        };
        let named: Vec<String> = pairs
            .iter()
            .take(MAX_NAMED)
            .map(|pair| format!("{} and {}", name(pair.a), name(pair.b)))
            .collect();
        if !pairs.is_empty() {
            events.push(Event::Warning(format!(
                "{}{} pairs of recordings on two sides of the split are nearly the same sound: {}{}; results on them are \
                 too good: keep such clips in one part by a group (--group-column), or leave one out",
                if is_capped { "at least " } else { "" },
                pairs.len(),
                named.join("; "),
                if pairs.len() > MAX_NAMED { "; ..." } else { "" }
            )));
        }
        events
    }

    /// Near-duplicates on two sides whose files are not the same bytes, by `a`, then `b`.
    pub fn find(&self, dataset: &Dataset, side_of: &[Option<usize>]) -> Found {
        let Candidates { best, is_capped, is_partial } = self.candidates(side_of);
        let path = |item: usize| dataset.items[item].path.as_path();
        let confirmed = best.into_par_iter().filter_map(|Candidate { a, b, distance, .. }| {
            let correlation = correlation(&read(path(a)).ok()?, &read(path(b)).ok()?, distance)?;
            let found = correlation >= MIN_CORRELATION && !same_bytes(path(a), path(b));
            found.then_some(Pair { a, b, correlation })
        });
        let mut pairs: Vec<Pair> = confirmed.collect();
        pairs.sort_by_key(|pair| (pair.a, pair.b));
        Found { pairs, is_capped, is_partial }
    }

    /// Items on two sides that share words at one distance, those that share most first.
    fn candidates(&self, side_of: &[Option<usize>]) -> Candidates {
        let items: Vec<usize> = (0..self.words.len()).filter(|&item| side_of[item].is_some()).collect();
        let places = |&item: &usize| self.words[item].iter().map(move |&(word, at)| (word, item as u32, at));
        let mut index: Vec<(u32, u32, u32)> = items.iter().flat_map(places).collect();
        index.par_sort_unstable();
        let shared = index.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len);
        let common: usize = shared.filter(|&places| places > MAX_SHARED).sum();
        let (mut best, mut is_capped) = (Vec::new(), false);
        for chunk in items.chunks(CLIPS_AT_ONCE) {
            best.par_extend(chunk.par_iter().flat_map_iter(|&a| self.candidates_of(a, &index, side_of)));
            best.sort_by_key(|c: &Candidate| (std::cmp::Reverse(c.votes), c.a, c.b));
            is_capped |= best.len() > MAX_CANDIDATES;
            best.truncate(MAX_CANDIDATES);
        }
        Candidates { best, is_capped, is_partial: 2 * common > index.len() }
    }

    /// Items behind `a`, on another side, that share words with it at one distance. `index` has words, items and frames,
    /// sorted.
    fn candidates_of(
        &self,
        a: usize,
        index: &[(u32, u32, u32)],
        side_of: &[Option<usize>],
    ) -> Vec<Candidate> {
        // The other item, and its distance.
        let mut votes: Vec<(usize, i32)> = Vec::new();
        for &(word, at_a) in &self.words[a] {
            let from = index.partition_point(|entry| entry.0 < word);
            if index.get(from + MAX_SHARED).is_some_and(|entry| entry.0 == word) {
                continue;
            }
            let shared = index[from..].iter().take_while(|entry| entry.0 == word);
            votes.extend(
                shared
                    .map(|&(_, b, at_b)| (b as usize, at_a as i32 - at_b as i32))
                    .filter(|&(b, _)| b > a && side_of[b] != side_of[a]),
            );
        }
        votes.sort_unstable();
        votes
            .chunk_by(|x, y| x.0 == y.0)
            .filter_map(|of_b| {
                let b = of_b[0].0;
                let (votes, distance) = most_votes(of_b.iter().map(|&(_, distance)| distance));
                let words = self.words[a].len().min(self.words[b].len());
                (votes >= MIN_VOTES + words / WORDS_A_VOTE).then_some(Candidate { a, b, distance, votes })
            })
            .collect()
    }
}

/// The distance that most of `distances`, which ascend, agree on, and how many do.
fn most_votes(distances: impl Iterator<Item = i32>) -> (usize, i32) {
    let mut counts: Vec<(i32, usize)> = Vec::new();
    for distance in distances {
        match counts.last_mut() {
            Some((last, count)) if *last == distance => *count += 1,
            _ => counts.push((distance, 1)),
        }
    }
    // A trim between two frames lets votes fall on both sides.
    let near = |i: usize| -> usize {
        let beside = counts[i.saturating_sub(1)..counts.len().min(i + 2)].iter();
        beside.filter(|(distance, _)| (distance - counts[i].0).abs() <= 1).map(|(_, count)| count).sum()
    };
    let best = (0..counts.len()).map(|i| (near(i), counts[i].1, counts[i].0)).max();
    best.map_or((0, 0), |(votes, _, distance)| (votes, distance))
}

/// What is looked at closely.
struct Candidates {
    /// At most [`MAX_CANDIDATES`].
    best: Vec<Candidate>,
    /// Whether there are more.
    is_capped: bool,
    /// Whether most words are too common to be used.
    is_partial: bool,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    a: usize,
    b: usize,
    /// Frames by which what is in `b` comes later in `a`.
    distance: i32,
    votes: usize,
}

/// The start of a file, at [`SAMPLE_RATE`].
fn read(path: &Path) -> Result<Vec<f32>> {
    let options = AudioOptions { sample_rate: Some(SAMPLE_RATE), ..AudioOptions::default() };
    let mut stream = AudioStream::open(path, &options)?;
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    let most = MAX_SECONDS * SAMPLE_RATE as usize;
    while samples.len() < most && stream.next_block(&mut block)? {
        samples.extend_from_slice(&block);
    }
    samples.truncate(most);
    Ok(samples)
}

/// The words of a sound and their frames. Of many, those whose hash is small enough are kept: the same in each copy.
fn words_of(samples: &[f32]) -> Result<Vec<(u32, u32)>> {
    let mut extractor = Extractor::new(&FeatureConfig {
        kind: FeatureKind::LogMel,
        sample_rate: SAMPLE_RATE,
        n_fft: N_FFT,
        hop_length: HOP,
        n_mels: BANDS,
        fmin: 100.0,
        fmax: Some(3600.0),
        mel_scale: MelScale::Htk,
        ..FeatureConfig::default()
    })?;
    let features = extractor.extract(samples)?;
    let frames: Vec<&[f32]> = features.data.chunks_exact(BANDS).collect();
    let level = |frame: &[f32]| frame.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let loudest = frames.iter().map(|frame| level(frame)).fold(f32::NEG_INFINITY, f32::max);
    let mut words: Vec<(u32, u32)> = (LAG..frames.len())
        .filter(|&t| level(frames[t]) >= loudest - QUIET)
        .map(|t| {
            let slope = |frame: &[f32], band: usize| frame[band] - frame[band + 1];
            let bit = |band: usize| u32::from(slope(frames[t], band) > slope(frames[t - LAG], band));
            ((0..BANDS - 1).fold(0, |word, band| word << 1 | bit(band)), t as u32)
        })
        .collect();
    let mut limit = u32::MAX;
    while words.len() > MAX_WORDS && limit > 0 {
        limit >>= 1;
        words.retain(|(word, _)| hash(*word) <= limit);
    }
    Ok(words)
}

/// Spreads words evenly (Knuth's multiplicative hash).
fn hash(word: u32) -> u32 {
    word.wrapping_mul(0x9E37_79B1)
}

/// Highest correlation of two sounds whose frames are `distance` apart, within two frames of that; `None` where they
/// overlap too little.
fn correlation(a: &[f32], b: &[f32], distance: i32) -> Option<f64> {
    const REACH: isize = 2 * HOP as isize;
    let (a, b) = (emphasised(a), emphasised(b));
    let centre = distance as isize * HOP as isize;
    // Samples of `b` for which there is one of `a` at every lag.
    let start = (REACH - centre).max(0);
    let end = (b.len() as isize).min(a.len() as isize - centre - REACH);
    let least = MIN_OVERLAP * a.len().min(b.len()) as f64 - 2.0 * REACH as f64;
    if end - start < 2 * REACH || ((end - start) as f64) < least {
        return None;
    }
    let end = end.min(start + MAX_COMPARED as isize);
    let b = &b[start as usize..end as usize];
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    let energy_b: f64 = b.iter().map(square).sum();
    let first = (start + centre - REACH) as usize;
    // Of the part of `a` that lies beside `b`, which moves on by one sample at a time.
    let mut energy_a: f64 = a[first..first + b.len()].iter().map(square).sum();
    let mut lags = Vec::with_capacity(2 * REACH as usize + 1);
    for from in first..=first + 2 * REACH as usize {
        let product = product(&a[from..from + b.len()], b);
        let scale = (energy_a * energy_b).sqrt();
        lags.push(if scale > 1e-12 { product / scale } else { 0.0 });
        energy_a = (energy_a - square(&a[from]) + a.get(from + b.len()).map_or(0.0, square)).max(0.0);
    }
    Some(
        (0..4 * lags.len())
            .map(|quarter| between(&lags, quarter as f64 / 4.0).abs())
            .fold(0.0, f64::max)
            .min(1.0),
    )
}

/// The inner product of two sounds of one length.
fn product(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0f32; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().map(|&sum| f64::from(sum)).sum()
}

/// Takes hum and rumble down, which all recordings of a place share.
fn emphasised(samples: &[f32]) -> Vec<f32> {
    samples.windows(2).map(|pair| pair[1] - 0.95 * pair[0]).collect()
}

/// The value at a position between samples, by a sinc in a Hann window: copies may be part of a sample apart.
fn between(values: &[f64], position: f64) -> f64 {
    const HALF: isize = 12;
    let centre = position.floor() as isize;
    (centre - HALF + 1..=centre + HALF)
        .filter(|&i| (0..values.len() as isize).contains(&i))
        .map(|i| {
            let x = position - i as f64;
            let sinc =
                if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
            let window = 0.5 + 0.5 * (std::f64::consts::PI * x / HALF as f64).cos();
            values[i as usize] * sinc * window
        })
        .sum()
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let length = |path: &Path| path.metadata().map(|m| m.len()).ok();
    length(a) == length(b) && std::fs::read(a).ok() == std::fs::read(b).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::write_wav;
    use crate::signal::Signal;
    use crate::train::{DataConfig, Item, Truth};

    /// Syllables of noise in formants, by a number.
    fn sound(seed: u64, samples: usize) -> Vec<f32> {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let (mut a, mut b, mut pole) = (0f32, 0f32, 0.0);
        (0..samples)
            .map(|i| {
                if i % 800 == 0 {
                    pole = 1.8 * (rng.random::<f32>() * 2.5).cos();
                }
                let x = 0.2 * (rng.random::<f32>() - 0.5) + pole * a - 0.9 * b;
                (b, a) = (a, x);
                0.2 * x
            })
            .collect()
    }

    /// A data set of files at 8 kHz, or what is given.
    fn data(files: &[(&str, u32, Vec<f32>)]) -> (tempfile::TempDir, Dataset) {
        let root = tempfile::tempdir().unwrap();
        let item = |(name, sample_rate, samples): &(&str, u32, Vec<f32>)| {
            let path = root.path().join(name);
            let signal = Signal { samples: samples.clone(), sample_rate: *sample_rate };
            write_wav(&path, &signal).unwrap();
            Item { path, truth: Truth::Label(0), part: None, group: None, line: None, label_file: None }
        };
        let items = files.iter().map(item).collect();
        (root, Dataset { labels: vec!["x".into()], has_background: false, items, messages: vec![] })
    }

    fn pairs(data: &Dataset, side_of: &[usize]) -> Vec<(usize, usize)> {
        let prints = Prints::of(data, &mut |_| {}, &AtomicBool::new(false));
        let side_of: Vec<Option<usize>> = side_of.iter().copied().map(Some).collect();
        prints.find(data, &side_of).pairs.iter().map(|pair| (pair.a, pair.b)).collect()
    }

    #[test]
    fn copies_are_found_and_other_sounds_are_not() {
        let original = sound(1, 6000);
        let quieter: Vec<f32> = original.iter().map(|x| 0.2 * x).collect();
        let hiss = sound(9, 6000);
        let noisy: Vec<f32> = original.iter().zip(&hiss).map(|(x, hiss)| x + 0.1 * hiss).collect();
        let at_16_khz = crate::media::resample(original.clone(), 8000, 16_000).unwrap();
        let (_root, data) = data(&[
            ("original.wav", 8000, original.clone()),
            ("quieter.wav", 8000, quieter),
            ("trimmed.wav", 8000, original[333..].to_vec()),
            ("resampled.wav", 16_000, at_16_khz),
            ("noisy.wav", 8000, noisy),
            ("other.wav", 8000, sound(2, 6000)),
            ("another.wav", 8000, sound(3, 6000)),
            ("silence.wav", 8000, vec![0.0; 6000]),
            ("more silence.wav", 8000, vec![0.0; 6100]),
        ]);
        assert_eq!(pairs(&data, &[0, 1, 1, 1, 1, 1, 1, 0, 1]), [(0, 1), (0, 2), (0, 3), (0, 4)]);
    }

    #[test]
    fn what_is_on_one_side_or_the_same_bytes_is_not_told() {
        let (_root, data) = data(&[("a.wav", 8000, sound(1, 6000)), ("b.wav", 8000, sound(1, 6000))]);
        assert_eq!(pairs(&data, &[0, 1]), []);
        let quieter: Vec<f32> = sound(1, 6000).iter().map(|x| 0.5 * x).collect();
        let (_root, data) = self::data(&[("a.wav", 8000, sound(1, 6000)), ("b.wav", 8000, quieter)]);
        assert_eq!(pairs(&data, &[1, 1]), []);
        let sides = ["train".to_string(), "test".to_string()];
        let prints = Prints::of(&data, &mut |_| {}, &AtomicBool::new(false));
        let events = prints.events(&data, &[Some(0), Some(1)], &sides);
        let [Event::Warning(warning)] = &events[..] else { panic!("{events:?}") };
        assert!(warning.starts_with("1 pairs"), "{warning}");
        assert!(warning.contains("a.wav (train) and ") && warning.contains("b.wav (test)"), "{warning}");
        assert_eq!(prints.events(&data, &[Some(0), None], &sides), []);
    }

    #[test]
    fn limits_that_were_met_are_told() {
        // As many places as a word may have: 32 clips on each side, each like each of the other side.
        let side_of: Vec<Option<usize>> = (0..MAX_SHARED).map(|item| Some(item % 2)).collect();
        let mut prints = Prints { words: vec![vec![(1, 0), (2, 5)]; MAX_SHARED] };
        let Candidates { best, is_capped, is_partial } = prints.candidates(&side_of);
        assert_eq!((best.len(), is_capped, is_partial), (MAX_CANDIDATES, true, false));
        let Candidate { a, b, distance, votes } = best[0];
        assert_eq!((a, b, distance, votes), (0, 1, 0, 2));
        // One place more is too many.
        prints.words[0].push((2, 6));
        let Candidates { best, is_capped, is_partial } = prints.candidates(&side_of);
        assert_eq!((best.len(), is_capped, is_partial), (0, false, true));
    }

    #[test]
    fn votes_on_both_sides_of_a_frame_count_together() {
        assert_eq!(most_votes([-7, 2, 2, 4, 5, 5, 6, 9].into_iter()), (4, 5));
        assert_eq!(most_votes([3].into_iter()), (1, 3));
    }

    #[test]
    fn a_tone_is_no_copy_of_another_and_a_broken_file_of_nothing() {
        let tone = |f: f32| (0..6000).map(|i| 0.3 * (i as f32 * f * 7.85e-4).sin()).collect::<Vec<_>>();
        let (root, mut data) = data(&[("a.wav", 8000, tone(440.0)), ("b.wav", 8000, tone(450.0))]);
        let broken = Item { path: root.path().join("broken.wav"), ..data.items[0].clone() };
        data.items.push(broken);
        assert_eq!(pairs(&data, &[0, 1, 1]), []);
    }

    #[test]
    fn spoken_digits_and_environmental_sounds_of_a_bench_have_no_copies() {
        for (name, column) in [("fsdd", "speaker"), ("fsdd", "split"), ("esc10", "fold")] {
            let manifest = Path::new("/work/shared/data").join(name).join("manifest.csv");
            if !manifest.exists() {
                println!("skipped: {} is not there", manifest.display());
                continue;
            }
            let config = DataConfig {
                manifest: Some(manifest),
                group_column: column.into(),
                split_column: String::new(),
                ..DataConfig::default()
            };
            let data = Dataset::load(&config).unwrap();
            let mut names: Vec<&String> = data.items.iter().flat_map(|item| &item.group).collect();
            names.sort();
            names.dedup();
            let side =
                |item: &Item| names.iter().position(|name| Some(*name) == item.group.as_ref()).unwrap();
            let sides: Vec<usize> = data.items.iter().map(side).collect();
            assert_eq!(pairs(&data, &sides), [], "{name} by {column}");
        }
    }
}
