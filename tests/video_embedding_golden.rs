//! Embeddings equal torchvision's: `tests/golden/video_embedding.json`, made by `tests/golden/video_embedding.py`.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use percept::ErrorKind;
use percept::features::video::{Embedding, EmbeddingKind, VideoConfig, VideoExtractor, VideoFeature};
use percept::signal::VideoFrame;
use percept::train::{Survey, TrainConfig, TrainOptions, train};
use serde_json::Value;

const KINDS: [EmbeddingKind; 2] = [EmbeddingKind::Resnet18, EmbeddingKind::MobilenetV2];

/// The same formula as in `video_embedding.py`.
fn picture(width: i64, height: i64, seed: i64) -> VideoFrame {
    let mut pixels = Vec::new();
    for y in 1000..1000 + height {
        for x in 1000..1000 + width {
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

/// The same formula as in `video_embedding.py`.
fn weight(name: &str, shape: &[usize]) -> Tensor {
    let seed = name.bytes().fold(0_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let hashed = |i: usize| {
        let mut h = (i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed);
        for _ in 0..2 {
            h = (h ^ (h >> 16)).wrapping_mul(0x45D_9F3B);
        }
        f64::from(h ^ (h >> 16)) / f64::from(1_u32 << 31) - 1.0
    };
    let scaled = |x: f64| match shape.len() {
        _ if name.ends_with("running_var") => 1.0 + 0.5 * x,
        2.. => x * (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt(),
        _ if name.ends_with("weight") => 1.0 + 0.2 * x,
        _ => 0.2 * x,
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| scaled(hashed(i)) as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn golden(kind: EmbeddingKind) -> Value {
    let golden: Value = serde_json::from_str(include_str!("golden/video_embedding.json")).unwrap();
    golden["networks"][kind.name()].clone()
}

/// All of torchvision's state dict, with classifier and `num_batches_tracked`.
fn weights(kind: EmbeddingKind) -> BTreeMap<String, Tensor> {
    let golden = golden(kind);
    let shapes = golden["shapes"].as_object().unwrap().iter();
    shapes
        .map(|(name, shape)| {
            let shape: Vec<usize> =
                shape.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
            (name.clone(), weight(name, &shape))
        })
        .collect()
}

/// Where nothing is resized only the order of sums differs; where something is, PIL's levels may differ by one.
#[test]
fn embeddings_equal_torchvision() {
    for kind in KINDS {
        let embedding = Embedding::new(kind, weights(kind)).unwrap();
        for case in golden(kind)["cases"].as_array().unwrap() {
            let number = |value: &Value| value.as_i64().unwrap();
            let frame = picture(number(&case["frame"][0]), number(&case["frame"][1]), number(&case["seed"]));
            let size = number(&case["size"]) as usize;
            let values = embedding.clone().with_size(size).embed(&frame).unwrap();
            let expected: Vec<f64> =
                case["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            assert_eq!(values.len(), expected.len());
            let length = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
            let apart = values.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).powi(2));
            let apart = apart.sum::<f64>().sqrt() / length;
            println!("{:12} {} x {}, {size}: apart by {apart:.1e}", kind.name(), frame.width, frame.height);
            let allowed = if case["resized"].as_bool().unwrap() { 1e-2 } else { 3e-5 };
            assert!(apart < allowed, "{kind:?}, side {size}: apart by {apart}");
        }
    }
}

#[test]
fn what_a_model_stores_gives_the_same_embedding_from_memory_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let frame = picture(50, 40, 7);
    for kind in KINDS {
        let first = Embedding::new(kind, weights(kind)).unwrap().with_size(64);
        assert!(!first.weights().keys().any(|name| name.starts_with("fc.") || name.contains("num_batches")));
        let path = folder.path().join(kind.name());
        let tensors: HashMap<String, Tensor> =
            first.weights().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        candle_core::safetensors::save(&tensors, &path).unwrap();
        let again = Embedding::load(kind, &path).unwrap().with_size(64);
        assert_eq!(again.embed(&frame).unwrap(), first.embed(&frame).unwrap());
        assert_eq!(again.embed(&frame).unwrap().len(), kind.num_features());
    }
}

#[test]
fn weights_that_do_not_fit_are_named() {
    let kind = EmbeddingKind::Resnet18;
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut weights = weights(kind);
        change(&mut weights);
        let error = Embedding::new(kind, weights).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Model);
        error.message
    };
    let set = |name: &'static str, tensor: Tensor| {
        move |weights: &mut BTreeMap<String, Tensor>| drop(weights.insert(name.into(), tensor.clone()))
    };
    let one = |value: f32| Tensor::full(value, 64, &Device::Cpu).unwrap();
    let message = refused(&|w| drop(w.remove("layer3.0.downsample.0.weight")));
    assert!(message.contains("lack the tensor layer3.0.downsample.0.weight"), "{message}");
    let message = refused(&set("conv1.weight", one(1.0)));
    assert!(message.contains("conv1.weight has shape [64], not [64, 3, 7, 7]"), "{message}");
    let message = refused(&set("bn1.bias", one(f32::NAN)));
    assert!(message.contains("bn1.bias holds a value that is no finite number"), "{message}");
    let message = refused(&set("bn1.running_var", one(-1.0)));
    assert!(message.contains("bn1.running_var holds a negative variance"), "{message}");
    let message = refused(&set("layer1.2.conv1.weight", one(1.0)));
    assert!(message.contains("they hold layer1.2.conv1.weight"), "{message}");
    let message =
        refused(&set("bn1.weight", Tensor::zeros(64, candle_core::DType::U8, &Device::Cpu).unwrap()));
    assert!(message.contains("bn1.weight is of type u8"), "{message}");
    let error = Embedding::new(EmbeddingKind::MobilenetV2, weights(kind)).unwrap_err();
    assert!(
        error.message.contains("weights of mobilenet_v2: they lack the tensor features.0.0.weight"),
        "{error}"
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in [&b"{}"[..], &[255; 100], &[8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]] {
        std::fs::write(file.path(), bytes).unwrap();
        let error = Embedding::load(kind, file.path()).unwrap_err();
        assert_eq!((error.kind, error.path.as_deref()), (ErrorKind::Model, Some(file.path())));
    }
}

#[test]
fn frames_of_any_size_have_an_embedding_and_the_extractor_appends_it() {
    let kind = EmbeddingKind::MobilenetV2;
    let embedding = Embedding::new(kind, weights(kind)).unwrap();
    let config = VideoConfig {
        features: vec![VideoFeature::Embedding, VideoFeature::Thumbnail],
        embedding: Some(kind),
        embedding_size: 33,
        width: 4,
        height: 4,
        ..VideoConfig::default()
    };
    let extractor = VideoExtractor::with_embedding(&config, embedding.clone()).unwrap();
    for (width, height) in [(1, 1), (1, 300), (4000, 2), (33, 38)] {
        let picture_of_it = extractor.prepare(&picture(width, height, 3)).unwrap();
        let features = extractor.extract(&[picture_of_it.clone(), picture_of_it.clone()]);
        assert_eq!((features.frames, features.dim), (2, 16 + 1280));
        assert_eq!(features.data[16..features.dim], picture_of_it.embedding);
        assert!(features.data.iter().all(|x| x.is_finite()));
    }
    let other = VideoConfig { embedding: Some(EmbeddingKind::Resnet18), ..config };
    let error = VideoExtractor::with_embedding(&other, embedding.clone()).unwrap_err();
    assert!(error.message.contains("resnet18") && error.message.contains("mobilenet_v2"), "{error}");
    let error = VideoExtractor::with_embedding(&VideoConfig::default(), embedding).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
}

#[test]
fn a_baseline_sees_what_the_model_to_start_from_sees() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for i in 0..8 {
        let label = at(["clips/dark", "clips/light"][i % 2]);
        std::fs::create_dir_all(&label).unwrap();
        let shade = [30, 200][i % 2] + i as u8;
        let picture = image::RgbImage::from_pixel(32, 32, image::Rgb([shade; 3]));
        picture.save(label.join(format!("{i}.png"))).unwrap();
    }
    let kind = EmbeddingKind::MobilenetV2;
    let tensors: HashMap<String, Tensor> = weights(kind).into_iter().collect();
    candle_core::safetensors::save(&tensors, at("weights.safetensors")).unwrap();
    let text = "[video]\nfeatures = [\"embedding\"]\nembedding = \"mobilenet_v2\"\nembedding_size = 32\nframe_rate = 25\n\
                [network]\nhidden_size = 4\nnum_layers = 1\n[training]\nepochs = 1\n[data]\nvalidation_fraction = 0.25\n";
    let mut first = TrainConfig::from_toml(text).unwrap();
    first.data.directory = Some(at("clips"));
    first.data.embedding_weights = Some(at("weights.safetensors"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let model = train(&first, "first", &TrainOptions::default(), &mut |_| {}, &stop).unwrap().model;
    model.save(&at("first.safetensors")).unwrap();

    // The weights are in the model.
    let mut second = TrainConfig { data: first.data.clone(), ..TrainConfig::default() };
    second.data.embedding_weights = None;
    second.training.from = at("first.safetensors").display().to_string();
    let survey = Survey::new(&second, None, &mut |_| {}, &stop).unwrap();
    assert!(survey.baselines(&second).unwrap().unwrap().validation.is_some());
}
