//! Training feeds on a cache, or on little memory: the model is the same.

use super::*;
use tag_training::beeps;

const SMALL: &str = "[data]\nmanifest = \"manifest.csv\"\nMORE\n\
                     [labels]\nsource = \"labels.csv\"\nwindow = 0.5\n\
                     [features]\nsample_rate = 8000\nn_fft = 256\nhop_length = 80\nn_mels = 16\n\
                     [network]\nhidden_size = 8\nnum_layers = 1\n\
                     [training]\nepochs = 2\nbatch_size = 4\n";

/// Bytes of the model, and what was said.
fn train(place: &Workplace, data: &str, args: &[&str]) -> (Vec<u8>, String) {
    place.write("small.toml", SMALL.replace("MORE", data));
    let run = place.run(&[&["train", "--config", "small.toml", "-o", "m.safetensors"], args].concat());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    (std::fs::read(place.path("m.safetensors")).unwrap(), run.stderr().to_string())
}

fn entries(place: &Workplace) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(place.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_model_is_the_same_with_a_cache_a_damaged_cache_and_without_memory() {
    for augment in ["--augment=false", "--augment"] {
        let place = Workplace::new();
        beeps(&place, 8);
        let (plain, said) = train(&place, "", &[augment]);
        assert!(!said.contains("cache") && !said.contains("memory"), "{said}");

        let (filling, said) = train(&place, "", &[augment, "--cache", "cache"]);
        assert!(said.contains("0 of 5 training files came from the cache"), "{said}");
        let (filled, said) = train(&place, "", &[augment, "--cache", "cache"]);
        assert!(said.contains("5 of 5 training files came from the cache"), "{said}");
        assert!(said.contains("1 of 1 validation files came from the cache"), "{said}");
        assert!(plain == filling && plain == filled, "{augment}: a cache changed the model");

        // Nothing fits into memory, and half of the cache is damaged.
        let (small, said) = train(&place, "memory_gb = 0", &[augment]);
        assert!(said.contains("training clips do not fit into memory"), "{said}");
        assert!(plain == small, "{augment}: little memory changed the model");
        for path in entries(&place).iter().step_by(2) {
            let mut bytes = std::fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        let (damaged, said) = train(&place, "memory_gb = 0", &[augment, "--cache", "cache"]);
        assert!(!said.contains("5 of 5 training files came"), "{said}");
        assert!(plain == damaged, "{augment}: a damaged cache changed the model");

        // Other settings, and other sound, are other entries.
        let (other, said) = train(&place, "", &[augment, "--cache", "cache", "--sample-rate", "16000"]);
        assert!(said.contains("0 of 5 training files came from the cache") && other != plain, "{said}");
        let count = entries(&place).len();
        for i in 0..8 {
            place.wav(&format!("r{i}.wav"), 1, &[0.1; 20_000]);
        }
        train(&place, "", &[augment, "--cache", "cache"]);
        assert!(entries(&place).len() > count);
    }
}

#[test]
fn a_cache_is_no_larger_than_it_may_be() {
    let place = Workplace::new();
    beeps(&place, 8);
    let (plain, _) = train(&place, "", &["--augment"]);
    let (bounded, said) =
        train(&place, "cache_gb = 0.001", &["--augment", "--cache", "cache", "--sample-rate", "96000"]);
    assert!(said.contains("warning: the cache is full"), "{said}");
    let size: u64 = entries(&place).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(0 < size && size <= 1_000_000, "{size}");
    assert!(bounded != plain);
    place.write("file", "");
    let run = place.run(&["train", "--config", "small.toml", "-o", "m.safetensors", "--cache", "file"]);
    assert_eq!(run.code(), 2);
    let said = "percept: error: file: is a file where a directory for the cache is due; name another";
    assert_eq!(run.stderr().lines().last(), Some(said));
}
