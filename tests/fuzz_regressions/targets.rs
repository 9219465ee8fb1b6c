//! What the fuzzers do with bytes: each function is a target. `fuzz/` feeds them with made-up ones, `tests/fuzz_regressions.rs`
//! with those that once went wrong. All go through what the program itself calls.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use percept::batch::worker::{Work, serve};
use percept::features::video::{Embedding, EmbeddingKind};
use percept::labels::{LabelFormat, LabelOptions, read_durations, read_labels};
use percept::media::probe::{ProbeOptions, probe};
use percept::media::recorded::recorded_at;
use percept::media::vectors::{is_vectors, read_vectors};
use percept::media::video::{VideoOptions, VideoReader, is_directory_of_images};
use percept::media::{AudioOptions, AudioStream, MediaOptions, kind_of};
use percept::model::{Model, Task};
use percept::nn::state_dict::{Selection, StateDict};
use percept::output::rows::{BatchModel, BatchRecord};
use percept::pipeline::{Classifier, TagOptions, Tagger};
use percept::report::{ReportOptions, Results, write_report};
use percept::train::{DataConfig, Dataset};
use percept::{Error, ErrorKind};
use serde_json::value::RawValue;

/// Samples after which a sound is left: decoding goes on as it began.
const MOST_SAMPLES: usize = 2_000_000;
/// Pictures and bytes of pictures after which a video is left: decoding goes on as it began.
const MOST_FRAMES: usize = 100;
const MOST_FRAME_BYTES: usize = 150_000_000;
/// Names of the files in a directory of pictures.
const FRAMES_JSON: &str = "frames.json";

/// A file in memory that holds `data` and is gone with the process, however that ends.
struct Sample {
    file: File,
}

impl Sample {
    fn new(data: &[u8]) -> Self {
        let mut file = tempfile::tempfile_in(folder_in_memory()).unwrap();
        file.write_all(data).unwrap();
        file.rewind().unwrap();
        Self { file }
    }

    /// Linux alone has such names, as it has these tests.
    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

fn folder_in_memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

/// Everything that `percept probe`, `classify` and `tag` do with a sound before a model hears it.
pub fn audio(data: &[u8]) {
    let sample = Sample::new(data);
    let path = sample.path();
    let _ = kind_of(&path);
    let _ = recorded_at(&path);
    let _ = probe(&path, &ProbeOptions::default());
    for options in [
        AudioOptions::default(),
        AudioOptions {
            sample_rate: Some(8000),
            channel: Some(1),
            audio_track: Some(1),
            ..AudioOptions::default()
        },
    ] {
        listen(&path, &options);
    }
}

fn listen(path: &Path, options: &AudioOptions) {
    let Ok(mut stream) = AudioStream::open(path, options) else { return };
    let (mut block, mut samples) = (Vec::new(), 0);
    while let Ok(true) = stream.next_block(&mut block) {
        assert!(block.iter().all(|sample| sample.is_finite()), "a sample is no number");
        samples += block.len();
        if samples > MOST_SAMPLES {
            return;
        }
    }
    let _ = stream.finish();
}

/// A picture or an animation; as one of a directory too, which may have a `frames.json`.
pub fn pictures(data: &[u8]) {
    if let Some(json) = data.strip_prefix(b"frames.json:") {
        return directory(FRAMES_JSON, json);
    }
    let sample = Sample::new(data);
    let path = sample.path();
    let _ = kind_of(&path);
    let _ = probe(&path, &ProbeOptions { frames: true, ..ProbeOptions::default() });
    watch(&path, &VideoOptions::default());
    directory("2.png", data);
}

fn directory(name: &str, data: &[u8]) {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = folder_in_memory().join(format!("percept-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        // The least picture: 1 x 1.
        fs::write(folder.join("1.bmp"), BMP).unwrap();
        folder
    });
    fs::write(folder.join(name), data).unwrap();
    let _ = is_directory_of_images(folder);
    watch(folder, &VideoOptions::default());
    fs::remove_file(folder.join(name)).unwrap();
}

const BMP: &[u8] =
    b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0\
    \x13\x0b\0\0\x13\x0b\0\0\0\0\0\0\0\0\0\0\0\0\xff\0";

fn watch(path: &Path, options: &VideoOptions) {
    let Ok(mut reader) = VideoReader::open(path, options) else { return };
    let mut bytes = 0;
    for _ in 0..MOST_FRAMES {
        let Ok(Some(frame)) = reader.next_frame() else { break };
        assert_eq!(frame.pixels.len(), 3 * frame.width as usize * frame.height as usize);
        bytes += frame.pixels.len();
        if bytes > MOST_FRAME_BYTES {
            break;
        }
    }
    let _ = reader.warnings();
}

/// MP4, MOV, Matroska and WebM, with H.264 or not.
pub fn video(data: &[u8]) {
    let sample = Sample::new(data);
    let path = sample.path();
    let _ = kind_of(&path);
    let _ = recorded_at(&path);
    let _ = probe(&path, &ProbeOptions::default());
    for track in [None, Some(1)] {
        watch(&path, &VideoOptions { video_track: track, ..VideoOptions::default() });
    }
}

/// A model of ours, weights of PyTorch, weights of a pretrained network.
pub fn model(data: &[u8]) {
    if let Ok(model) = Model::from_bytes(data) {
        assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap().header(), model.header());
        use_model(model);
    }
    let _ = StateDict::from_bytes(data, &Selection::default()).and_then(|weights| weights.rnn());
    let sample = Sample::new(data);
    let _ = is_vectors(&sample.path());
    let _ = Embedding::load(EmbeddingKind::Resnet18, &sample.path());
}

/// The entry of a model's metadata that says everything but the weights, in a file whose weights are good.
pub fn model_header(data: &[u8]) {
    const GOOD: &[u8] = include_bytes!("../../assets/digits.safetensors");
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (length, rest) = GOOD.split_first_chunk::<8>().unwrap();
    let (header, tensors) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header["__metadata__"]["percept"] = text.into();
    let header = serde_json::to_vec(&header).unwrap();
    if let Ok(model) =
        Model::from_bytes(&[&(header.len() as u64).to_le_bytes(), header.as_slice(), tensors].concat())
    {
        use_model(model);
    }
}

/// A second of noise.
fn noise() -> &'static [u8] {
    static WAV: OnceLock<Vec<u8>> = OnceLock::new();
    WAV.get_or_init(|| {
        let mut state = 1u32;
        let samples = (0..8000).flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 20) as i16).to_le_bytes()
        });
        let head = b"RIFF\xa4\x3e\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x80\x3e\0\0";
        head.iter().copied().chain(samples).collect()
    })
}

fn use_model(model: Model) {
    let sound = Sample::new(noise());
    match model.header().task {
        Task::Classify => {
            let classifier = Classifier::new(model);
            let _ = classifier.map(|model| model.classify_file(&sound.path(), &MediaOptions::default()));
        }
        Task::Tag => {
            let Ok(tagger) = Tagger::new(model) else { return };
            let _ = tagger.tag_file(
                &sound.path(),
                &MediaOptions::default(),
                &TagOptions::default(),
                &mut |_: &[f32]| Ok(()),
            );
        }
    }
}

/// Every format of labels in time, each told what it reads and guessed.
pub fn labels(data: &[u8]) {
    let sample = Sample::new(data);
    let path = sample.path();
    let recordings = ["a.wav", "b/c.wav"].map(PathBuf::from);
    let formats = [
        LabelFormat::Table,
        LabelFormat::Dcase,
        LabelFormat::Audacity,
        LabelFormat::Raven,
        LabelFormat::Textgrid,
        LabelFormat::Frames,
    ];
    let options = LabelOptions { frame_hop: 0.01, ..LabelOptions::default() };
    let guessed = [options.clone(), LabelOptions::default()];
    let told = formats.map(|format| LabelOptions { format: Some(format), ..options.clone() });
    for options in guessed.iter().chain(&told) {
        for recordings in [&recordings[..1], &recordings] {
            let Ok(annotations) = read_labels(&path, recordings, options) else { continue };
            for label in annotations.recordings.iter().flatten().flat_map(|annotation| &annotation.labels) {
                assert!(label.onset >= 0.0 && label.onset <= label.offset, "{label:?}");
            }
        }
    }
    let _ = read_durations(&path);
}

/// A table of clips.
pub fn manifest(data: &[u8]) {
    let sample = Sample::new(data);
    let config = DataConfig { manifest: Some(sample.path()), ..DataConfig::default() };
    if let Ok(data) = Dataset::load(&config) {
        assert!(data.items.iter().all(|item| item.labels().iter().all(|&label| label < data.labels.len())));
    }
    let folds =
        DataConfig { folds: "fold".into(), test_fold: "1".into(), filters: vec!["fold!=2".into()], ..config };
    let _ = Dataset::load(&folds);
}

/// NumPy's vectors and those of safetensors.
pub fn npy(data: &[u8]) {
    let sample = Sample::new(data);
    let _ = is_vectors(&sample.path());
    if let Ok(vectors) = read_vectors(&sample.path()) {
        assert_eq!(vectors.data.len(), vectors.frames * vectors.dim);
        assert!(vectors.data.iter().all(|number| number.is_finite()));
    }
}

/// Results as `percept report` reads them, and its page.
pub fn results(data: &[u8]) {
    let sample = Sample::new(data);
    let Ok(results) = Results::read(&sample.path()) else { return };
    let options =
        ReportOptions { title: "<fuzz>", root: None, reference: None, pictures: None, embed: false };
    write_report(&results, &sample.path(), io::sink(), Path::new("/dev/shm"), &options, &|| {}).unwrap();
}

struct Refuse {
    model: BatchModel,
}

impl Work for Refuse {
    fn answer(&self, paths: &[PathBuf]) -> Vec<(BatchRecord, Option<f64>)> {
        let error = Error::new(ErrorKind::Empty, "nothing is read here");
        paths.iter().map(|path| (BatchRecord::error(&self.model, "", path, &error), None)).collect()
    }
}

/// What another program asks `percept worker`: each line has its answers, each a line of JSON.
pub fn worker(data: &[u8]) {
    static MODEL: OnceLock<BatchModel> = OnceLock::new();
    let model =
        MODEL.get_or_init(|| BatchModel::new(&Model::builtin("digits", Task::Classify).unwrap().unwrap()));
    let mut output = Vec::new();
    if serve(&mut &*data, &mut output, &Refuse { model: model.clone() }, false).is_ok() {
        for line in output.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            // An id may be a number that no type holds.
            assert!(serde_json::from_slice::<&RawValue>(line).is_ok(), "no JSON: {line:?}");
        }
    }
}
