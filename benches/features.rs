//! Speed of the features on one thread, in times real time: `cargo bench --bench features`.
//!
//! `benches/peers/features.py` runs this and librosa in turn and prints the ratio.

use std::hint::black_box;
use std::time::Instant;

use percept::features::{Extractor, FeatureConfig, FeatureKind};

const SECONDS: usize = 60;

fn main() {
    let log_mel = FeatureConfig { win_length: Some(400), ..FeatureConfig::default() };
    let configs = [
        ("log_mel", log_mel.clone()),
        ("log_mel default", FeatureConfig::default()),
        ("power", FeatureConfig { kind: FeatureKind::Power, ..log_mel.clone() }),
        ("mfcc", FeatureConfig { kind: FeatureKind::Mfcc, ..log_mel.clone() }),
        ("mfcc, deltas", FeatureConfig { kind: FeatureKind::Mfcc, delta: 2, ..log_mel.clone() }),
        (
            "log_mel 44.1 kHz",
            FeatureConfig {
                sample_rate: 44_100,
                n_fft: 2_048,
                hop_length: 441,
                n_mels: 80,
                ..FeatureConfig::default()
            },
        ),
    ];
    for (name, config) in configs {
        let rate = config.sample_rate as usize;
        let long = noise(SECONDS * rate);
        let mut extractor = Extractor::new(&config).unwrap();
        let whole = fastest(|| drop(black_box(extractor.extract(black_box(&long)).unwrap())));
        let clips = fastest(|| {
            for clip in long.chunks_exact(rate) {
                drop(black_box(extractor.extract(black_box(clip)).unwrap()));
            }
        });
        let speed = |(median, best): (f64, f64)| (SECONDS as f64 / median, SECONDS as f64 / best);
        let ((long, long_best), (clips, clips_best)) = (speed(whole), speed(clips));
        println!(
            "{name}\t60 s: {long:.0}x (best {long_best:.0}x)\t1 s clips: {clips:.0}x (best {clips_best:.0}x)"
        );
    }
}

/// Median and best time of 25 runs, in seconds, after a warm-up.
fn fastest(mut run: impl FnMut()) -> (f64, f64) {
    run();
    let mut times: Vec<f64> = (0..25)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

fn noise(n: usize) -> Vec<f32> {
    let mut state = 12_345_u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}
