//! The example `run_rnn` gives what PyTorch gives for its state dicts (tests/golden/run_rnn.py), and says what is wrong
//! with those that do not fit.

#[path = "../examples/run_rnn/main.rs"]
mod run_rnn;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use clap::Parser;
use percept::nn::CellKind;
use percept::nn::state_dict::{Selection, StateDict};
use percept::{Error, ErrorKind, Result};
use run_rnn::Args;

type Tensors = BTreeMap<String, Tensor>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run_rnn").join(name)
}

/// Runs the example; its output, read by another reader than its own.
fn run(weights: &Path, input: &Path, options: &[&str]) -> Result<Tensor> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.npy");
    let files =
        [Path::new("run_rnn"), weights, input, &output].map(|path| path.to_str().unwrap().to_string());
    let args = files.into_iter().chain(options.iter().map(|option| option.to_string()));
    run_rnn::run(&Args::try_parse_from(args).unwrap())?;
    Ok(Tensor::read_npy(output).unwrap())
}

fn lengths_option() -> [String; 2] {
    ["--lengths".to_string(), fixture("lengths.npy").to_str().unwrap().to_string()]
}

fn assert_equals(actual: &Tensor, golden: &str) {
    let expected = Tensor::read_npy(fixture(golden)).unwrap();
    assert_eq!((actual.dims(), actual.dtype()), (expected.dims(), DType::F32), "{golden}");
    let difference = (actual - expected).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() <= 1e-5, "{golden}: {difference}");
}

#[test]
fn outputs_are_those_of_pytorch() {
    let input = fixture("input.npy");
    let [option, lengths] = lengths_option();
    let cases: [(&str, &[&str], &str); 6] = [
        ("lstm.safetensors", &[&option, &lengths], "lstm.output.npy"),
        ("lstm.safetensors", &[&option, &lengths, "--cell", "lstm"], "lstm.output.npy"),
        ("gru.pt", &["--prefix", "model.encoder.rnn"], "gru.output.npy"),
        ("rnn_relu.pt", &["--cell", "rnn-relu"], "rnn_relu.output.npy"),
        ("pair.safetensors", &["--prefix", "a"], "pair.a.output.npy"),
        ("pair.safetensors", &["--prefix", "b.", "--cell", "gru"], "pair.b.output.npy"),
    ];
    for (weights, options, golden) in cases {
        assert_equals(&run(&fixture(weights), &input, options).unwrap(), golden);
    }
}

#[test]
fn arrays_may_lie_in_any_order_and_version() {
    for input in ["input_fortran.npy", "input_version_2.npy"] {
        assert_equals(&run(&fixture("gru.pt"), &fixture(input), &[]).unwrap(), "gru.output.npy");
    }
}

#[test]
fn sizes_layers_and_directions_are_read_from_the_shapes() {
    let file = StateDict::load(&fixture("lstm.safetensors"), &Selection::default()).unwrap();
    assert_eq!((file.prefix.as_str(), file.input_size, file.has_bias), ("encoder.rnn.", 3, true));
    let config = &file.config;
    assert_eq!((config.cell, config.hidden_size), (CellKind::Lstm, 4));
    assert_eq!((config.num_layers, config.bidirectional), (2, true));
    assert_eq!(file.weights.len(), 16);

    let file = StateDict::load(&fixture("gru.pt"), &Selection::default()).unwrap();
    assert_eq!(
        (file.prefix.as_str(), file.config.cell, file.has_bias),
        ("model.encoder.rnn.", CellKind::Gru, false)
    );
}

/// The state dict of lstm.safetensors, changed, as the example finds it.
fn changed(change: impl FnOnce(&mut Tensors), selection: &Selection) -> Result<StateDict> {
    let tensors = candle_core::safetensors::load(fixture("lstm.safetensors"), &Device::Cpu).unwrap();
    let mut tensors: Tensors = tensors.into_iter().collect();
    change(&mut tensors);
    StateDict::from_bytes(&safetensors::serialize(tensors, None).unwrap(), selection)
}

fn put(name: &str, shape: &[usize]) -> impl FnOnce(&mut Tensors) {
    move |tensors| {
        tensors.insert(name.to_string(), Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap());
    }
}

fn assert_says(result: Result<impl std::fmt::Debug>, kind: ErrorKind, text: &str) {
    let error: Error = result.unwrap_err();
    assert!(error.kind == kind && error.to_string().contains(text), "{error:?}, not {text}");
}

#[test]
fn a_tensor_that_does_not_fit_is_named_with_both_shapes() {
    let says = |change: Box<dyn FnOnce(&mut Tensors)>, text: &str| {
        assert_says(changed(change, &Selection::default()), ErrorKind::Model, text);
    };
    let remove = |name: &'static str| {
        Box::new(move |tensors: &mut Tensors| assert!(tensors.remove(name).is_some()))
            as Box<dyn FnOnce(&mut _)>
    };
    says(remove("encoder.rnn.weight_hh_l0"), "`encoder.rnn.weight_hh_l0` [gates·H, H] is missing");
    says(remove("encoder.rnn.weight_ih_l0"), "`encoder.rnn.weight_ih_l0` [gates·H, D] is missing");
    says(remove("encoder.rnn.bias_hh_l1"), "`encoder.rnn.bias_hh_l1` [16] is missing");
    says(remove("encoder.rnn.weight_ih_l1_reverse"), "`encoder.rnn.weight_ih_l1_reverse` [16, 8] is missing");

    let put = |name: &'static str, shape: &'static [usize]| {
        Box::new(put(name, shape)) as Box<dyn FnOnce(&mut Tensors)>
    };
    says(
        put("encoder.rnn.weight_ih_l1", &[16, 4]),
        "`encoder.rnn.weight_ih_l1` has shape [16, 4] where [16, 8]",
    );
    says(put("encoder.rnn.bias_ih_l0", &[12]), "`encoder.rnn.bias_ih_l0` has shape [12] where [16]");
    says(
        put("encoder.rnn.weight_hh_l0", &[16, 6]),
        "`encoder.rnn.weight_hh_l0` has shape [16, 6]; it must be",
    );
    says(put("encoder.rnn.weight_hh_l0", &[4]), "`encoder.rnn.weight_hh_l0` has shape [4]; it must be");
    says(put("encoder.rnn.weight_hh_l0", &[0, 0]), "0 units");
    says(put("encoder.rnn.scale", &[4]), "`encoder.rnn.scale` [4] has no place here (lstm, 2 layers");
    says(put("encoder.rnn.weight_ih_l3", &[16, 8]), "`encoder.rnn.weight_ih_l2` [16, 8] is missing");
    says(put("encoder.rnn.weight_ih_l99", &[16, 8]), "has 100 recurrent layers; the limit is 16");
    says(put("encoder.rnn.weight_hr_l0", &[2, 4]), "`encoder.rnn.weight_hr_l0` is a projection");
    says(put("encoder.rnn.weight_ch_l0", &[12, 4]), "`encoder.rnn.weight_ch_l0_reverse` [12, 4] is missing");

    for value in [f32::NAN, f32::INFINITY] {
        let change = move |tensors: &mut Tensors| {
            let bias = Tensor::full(value, 16, &Device::Cpu).unwrap();
            tensors.insert("encoder.rnn.bias_ih_l0".into(), bias);
        };
        says(Box::new(change), "`encoder.rnn.bias_ih_l0` is not finite: its value 0 is");
    }
    let integers = |tensors: &mut Tensors| {
        let bias = tensors["encoder.rnn.bias_ih_l0"].to_dtype(DType::I64).unwrap();
        tensors.insert("encoder.rnn.bias_ih_l0".into(), bias);
    };
    says(Box::new(integers), "`encoder.rnn.bias_ih_l0` is of type I64");
    says(Box::new(|tensors| tensors.retain(|name, _| name.starts_with("head"))), "holds no recurrent layer");
}

#[test]
fn several_networks_are_listed_and_one_is_chosen() {
    let two = |prefix: Option<&str>| {
        let selection = Selection { prefix: prefix.map(Into::into), cell: None };
        StateDict::load(&fixture("pair.safetensors"), &selection)
    };
    assert_says(two(None), ErrorKind::Config, "choose one by its prefix: `a.`, `b.`");
    assert_says(two(Some("c")), ErrorKind::Config, "no recurrent layer of prefix `c`; there are: `a.`, `b.`");
    assert_eq!(two(Some("b")).unwrap().prefix, "b.");
}

#[test]
fn a_cell_with_another_number_of_gates_is_refused() {
    let load = |cell| changed(|_| {}, &Selection { prefix: None, cell: Some(cell) });
    let text = "`encoder.rnn.weight_hh_l0` has shape [16, 4]; as gru it would have [12, 4]";
    assert_says(load(CellKind::Gru), ErrorKind::Model, text);
    assert_says(
        load(CellKind::LstmPeephole),
        ErrorKind::Model,
        "`encoder.rnn.weight_ch_l0` [12, 4] is missing",
    );
    let with_peepholes = |tensors: &mut Tensors| {
        for place in ["l0", "l0_reverse", "l1", "l1_reverse"] {
            put(&format!("encoder.rnn.weight_ch_{place}"), &[12, 4])(tensors);
        }
    };
    let file = changed(with_peepholes, &Selection::default()).unwrap();
    assert_eq!(file.config.cell, CellKind::LstmPeephole);
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let gru = fixture("gru.pt");
    let says = |array: Tensor, text: &str| {
        array.write_npy(&path).unwrap();
        assert_says(run(&gru, &path, &[]), ErrorKind::Dataset, text);
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    says(zeros(&[2, 6, 4]), "has shape [2, 6, 4]; it must be [B, T, 3]");
    says(zeros(&[2, 0, 3]), "has shape [2, 0, 3]; it must be [B, T, 3], B and T at least 1");
    says(zeros(&[6, 3]), "has shape [6, 3]; it must be [B, T, D]");
    says(
        zeros(&[2, 6, 3]).to_dtype(DType::F64).unwrap(),
        "holds '<f8' where '<f4' is due; save x.astype(np.float32)",
    );
    let nan = (zeros(&[2, 6, 3]) / 0.0).unwrap();
    says(nan, "x.npy: holds a value that is not finite in sequence 0, frame 0");

    let lengths = folder.path().join("lengths.npy");
    let with_lengths = |array: Tensor, text: &str| {
        array.write_npy(&lengths).unwrap();
        let result = run(&gru, &fixture("input.npy"), &["--lengths", lengths.to_str().unwrap()]);
        assert_says(result, ErrorKind::Dataset, text);
    };
    with_lengths(Tensor::new(&[6i64, 7, 1], &Device::Cpu).unwrap(), "a length is 7; it must be 0 to 6");
    with_lengths(Tensor::new(&[6i64, -1, 1], &Device::Cpu).unwrap(), "a length is -1; it must be 0 to 6");
    with_lengths(
        Tensor::new(&[6i64, 6], &Device::Cpu).unwrap(),
        "holds 2 lengths for the input's 3 sequences",
    );
    with_lengths(Tensor::new(&[[6i64, 6, 6]], &Device::Cpu).unwrap(), "it must be of one dimension");
    with_lengths(Tensor::new(&[6u32, 6, 6], &Device::Cpu).unwrap(), "holds '<u4' where '<i8' is due");
}

#[test]
fn what_is_beyond_a_length_may_be_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let x = Tensor::read_npy(fixture("input.npy")).unwrap();
    let nan = (x.narrow(1, 3, 3).unwrap().zeros_like().unwrap() / 0.0).unwrap();
    let x = x.slice_assign(&[2..3, 3..6, 0..3], &nan.narrow(0, 0, 1).unwrap()).unwrap();
    x.write_npy(&path).unwrap();
    let [option, lengths] = lengths_option();
    let output = run(&fixture("lstm.safetensors"), &path, &[&option, &lengths]).unwrap();
    assert_equals(&output, "lstm.output.npy");
}

#[test]
fn damaged_arrays_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let whole = std::fs::read(fixture("input.npy")).unwrap();
    let says = |bytes: &[u8], text: &str| {
        std::fs::write(&path, bytes).unwrap();
        assert_says(run(&fixture("gru.pt"), &path, &[]), ErrorKind::Dataset, text);
    };
    for length in 0..whole.len() {
        says(&whole[..length], "x.npy: ");
    }
    says(&whole[..whole.len() - 1], "has shape [3, 6, 3] of np.float32, but 215 bytes of values: cut off?");
    let text = String::from_utf8_lossy(&whole[10..128]).to_string();
    for shape in ["(3, 6, -3)", "(9999999999, 9999999999, 9)", "(99999999999999999999,)", "(", "x"] {
        let header = text.replace("(3, 6, 3)", shape);
        let start = [&whole[..8], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        says(&[&start, &whole[128..]].concat(), "x.npy: ");
    }
    let huge_header = [b"\x93NUMPY\x02\x00\xff\xff\xff\xff".as_slice(), &whole[12..]].concat();
    says(&huge_header, "is no NumPy array");
    assert_says(
        run(&fixture("gru.pt"), &folder.path().join("none.npy"), &[]),
        ErrorKind::NotFound,
        "none.npy",
    );
}

#[test]
fn damaged_weights_are_errors() {
    for name in ["lstm.safetensors", "gru.pt"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let load = |bytes: &[u8]| StateDict::from_bytes(bytes, &Selection::default());
        for length in 0..whole.len() {
            assert!(load(&whole[..length]).is_err(), "{name} cut to {length} bytes");
        }
        // A changed byte may pass as another weight, but nothing may panic.
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            let _ = load(&bytes);
        }
    }
    let load = |bytes: &[u8]| StateDict::from_bytes(bytes, &Selection::default());
    assert_says(load(b""), ErrorKind::Model, "neither a safetensors file nor a PyTorch one");
    assert_says(load(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9"), ErrorKind::Model, "from before version 1.6");
    assert_says(
        load(&[0xff; 8].into_iter().chain(*b"{").collect::<Vec<_>>()),
        ErrorKind::Limit,
        "header claims",
    );
    let result = StateDict::load(Path::new("none.pt"), &Selection::default());
    assert_says(result, ErrorKind::NotFound, "none.pt: ");
}
