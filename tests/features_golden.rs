//! Features equal librosa's: `tests/golden/features.json`, made by `tests/golden/features.py`.

use std::f64::consts::PI;

use percept::features::{Extractor, FeatureConfig};
use serde_json::Value;

/// The same formulas as in `features.py`.
fn signal(name: &str, n: usize, rate: u32) -> Vec<f32> {
    let times = (0..n).map(|i| i as f64 / f64::from(rate));
    let sine = |f: f64, t: f64| (2.0 * PI * f * t).sin();
    match name {
        "noise" => {
            let mut state = 12_345_u32;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (f64::from(state >> 8) / f64::from(1 << 23) - 1.0) as f32
            };
            (0..n).map(|_| next()).collect()
        }
        "tones" => times
            .map(|t| (0.5 * sine(440.0, t) + 0.25 * sine(1234.5, t) + 0.1 * sine(3333.0, t)) as f32)
            .collect(),
        "chirp" => times.map(|t| (0.8 * (2.0 * PI * (100.0 * t + 2000.0 * t * t)).sin()) as f32).collect(),
        "mix" => {
            let noise = signal("noise", n, rate);
            signal("chirp", n, rate).iter().zip(noise).map(|(x, y)| x * 0.5 + y * 0.125).collect()
        }
        "silence_then_noise" => {
            let mut samples = signal("noise", n, rate);
            samples[..n / 2].fill(0.0);
            samples
        }
        _ => panic!("no signal {name}"),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Largest difference allowed, relative to librosa's value ...
const RELATIVE: f64 = 1e-4;
/// ... plus this share of the frame's largest magnitude: deltas and cepstra cross zero, where no relative error is
/// meaningful. (librosa computes both in single precision, as we do.)
const OF_PEAK: f64 = 1e-6;
/// Largest relative difference of the sum of a frame's magnitudes, which is asked of every frame.
const OF_SUM: f64 = 1e-5;

#[test]
fn features_equal_librosa() {
    let golden: Value = serde_json::from_str(include_str!("golden/features.json")).unwrap();
    let mut failures = Vec::new();
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let config: FeatureConfig = serde_json::from_value(case["config"].clone()).unwrap();
        let num_samples = case["num_samples"].as_u64().unwrap() as usize;
        let samples = signal(case["signal"].as_str().unwrap(), num_samples, config.sample_rate);
        let features = Extractor::new(&config).unwrap().extract(&samples).unwrap();
        assert_eq!(numbers(&case["shape"]), [features.frames as f64, features.dim as f64], "{name}");
        let frame = |t: usize| &features.data[t * features.dim..(t + 1) * features.dim];

        let (mut largest, mut largest_of_peak) = (0.0_f64, 0.0_f64);
        for (t, expected) in case["frames"].as_object().unwrap() {
            let expected = numbers(expected);
            let peak = expected.iter().fold(0.0_f64, |peak, x| peak.max(x.abs()));
            for (d, (value, expected)) in frame(t.parse().unwrap()).iter().zip(&expected).enumerate() {
                let difference = (f64::from(*value) - expected).abs();
                if difference > RELATIVE * expected.abs() + OF_PEAK * peak {
                    failures.push(format!("{name}, frame {t}, feature {d}: {value}, librosa {expected}"));
                }
                if difference > 0.0 {
                    largest = largest.max(difference / expected.abs());
                    largest_of_peak = largest_of_peak.max(difference / peak);
                }
            }
        }
        for (t, expected) in numbers(&case["sums"]).iter().enumerate() {
            let sum: f64 = frame(t).iter().map(|x| f64::from(x.abs())).sum();
            if (sum - expected).abs() > OF_SUM * expected {
                failures.push(format!("{name}, frame {t}: sum of magnitudes {sum}, librosa {expected}"));
            }
        }
        println!("{name:34} largest difference: relative {largest:.1e}, of the peak {largest_of_peak:.1e}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Frames of a long recording are those of a short one cut out of it: what streaming will rest on.
#[test]
fn a_part_gives_the_frames_of_the_whole() {
    let config = FeatureConfig { center: false, ..FeatureConfig::default() };
    let samples = signal("mix", 16_000, 16_000);
    let mut extractor = Extractor::new(&config).unwrap();
    let whole = extractor.extract(&samples).unwrap();
    for start in [0, 1, 17, 60] {
        let part = extractor.extract(&samples[start * config.hop_length..]).unwrap();
        assert_eq!(part.data, whole.data[start * whole.dim..]);
    }
}
