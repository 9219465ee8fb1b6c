//! Features of video equal PIL's, scikit-image's and numpy's: `tests/golden/video_features.json`, made by
//! `tests/golden/video_features.py`.

use percept::features::video::{VideoConfig, VideoExtractor};
use percept::signal::VideoFrame;
use serde_json::Value;

/// The same formula as in `video_features.py`.
fn picture([width, height]: [usize; 2], seed: i64, [right, down]: [i64; 2]) -> VideoFrame {
    let mut pixels = Vec::new();
    for y in (0..height as i64).map(|y| y + 1000 - down) {
        for x in (0..width as i64).map(|x| x + 1000 - right) {
            for c in 0..3 {
                let noise = (x * 73_856_093) ^ (y * 19_349_663) ^ ((c + seed) * 83_492_791);
                let noise = (noise as u32).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let smooth = (x * (3 + c) + y * (5 - c)) % 256;
                pixels.push(((i64::from(noise >> 24) + smooth) / 2) as u8);
            }
        }
    }
    VideoFrame { width: width as u32, height: height as u32, pixels, ticks: 0 }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/video_features.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn pair(value: &Value) -> [i64; 2] {
    [0, 1].map(|i| value[i].as_i64().unwrap())
}

/// PIL goes along the rows first, we along the columns, and both round in between: levels may differ by one.
#[test]
fn resizing_is_within_a_level_of_pil() {
    for case in golden()["resizes"].as_array().unwrap() {
        let [source, target] = ["source", "target"].map(|key| pair(&case[key]).map(|side| side as usize));
        let config = VideoConfig { width: target[0], height: target[1], ..VideoConfig::default() };
        let extractor = VideoExtractor::new(&config).unwrap();
        let resized = extractor.prepare(&picture(source, 0, [0, 0])).unwrap();
        let expected = numbers(&case["pixels"]);
        assert_eq!(resized.pixels.len(), expected.len());
        let differences = resized.pixels.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs());
        let (largest, others) = differences
            .fold((0.0_f64, 0), |(largest, others), d| (largest.max(d), others + usize::from(d > 0.0)));
        println!(
            "{source:?} to {target:?}: {others} of {} levels differ, by {largest} at most",
            expected.len()
        );
        assert!(largest <= 1.0 && others * 3 <= expected.len(), "{source:?} to {target:?}");
    }
}

#[test]
fn features_equal_pil_skimage_and_numpy() {
    for case in golden()["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let config: VideoConfig = serde_json::from_value(case["config"].clone()).unwrap();
        let extractor = VideoExtractor::new(&config).unwrap();
        let frame = |seed: &Value, moved| {
            let frame = picture([config.width, config.height], seed.as_i64().unwrap(), moved);
            extractor.prepare(&frame).unwrap()
        };
        let before = frame(&case["seed_before"], [0, 0]);
        let now = frame(&case["seed"], pair(&case["moved"]));
        let mut vector = Vec::new();
        extractor.vector(Some(&before), &now, &mut vector);
        let expected = numbers(&case["vector"]);
        assert_eq!(vector.len(), expected.len(), "{name}");
        assert_eq!(vector.len(), config.num_features(), "{name}");
        let mut largest = 0.0_f64;
        for (d, (value, expected)) in vector.iter().zip(&expected).enumerate() {
            let difference = (f64::from(*value) - expected).abs();
            assert!(difference <= 1e-6, "{name}, feature {d}: {value}, not {expected}");
            largest = largest.max(difference);
        }
        println!("{name:30} {} features, largest difference {largest:.1e}", vector.len());
    }
}
