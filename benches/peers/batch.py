"""A folder of short clips, as whole processes: `percept batch` beside ONNX Runtime + kaldi-native-fbank and torchaudio-like
PyTorch scripts with the same network, in turns.

    percept train --cell gru --hidden-size 128 --num-layers 2 --n-mels 64 --sample-rate 16000 CLIPS -o m.safetensors
    python benches/peers/batch.py FOLDER m.safetensors PERCEPT [--turns 7]

FOLDER holds WAV files at 8 kHz, which all resample to 16 kHz. The peers' features are not Percept's to the bit: only time
and memory are compared. Prints seconds, clips a second and the largest resident memory of a process.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile
import time

RATE, MELS, THREADS = 16000, 64, 2


def clips(folder):
    return sorted(glob.glob(os.path.join(folder, "*.wav")))


def say(path, scores):
    best = int(scores.argmax())
    print(json.dumps({"file": os.path.basename(path), "label": best, "score": round(float(scores[best]), 6)}))


def onnx_model(model, path):
    """The network of a Percept model as a graph: GRU layers, mean over frames or the last states, linear, softmax."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save
    from safetensors.numpy import load_file
    w = {name: value.astype(np.float32) for name, value in load_file(model).items()}
    nodes, tensors = [helper.make_node("Transpose", ["x"], ["l0"], perm=[1, 0, 2])], []

    def constant(name, value):
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def swapped(value):  # r, z, n -> z, r, n
        r, z, n = np.split(value, 3)
        return np.concatenate([z, r, n])

    layers = sum(1 for name in w if name.startswith("rnn.weight_hh") and not name.endswith("reverse"))
    for i in range(layers):
        ends = [f"l{i}", f"l{i}_reverse"]
        stack = lambda kind: np.stack([swapped(w[f"rnn.{kind}_{end}"]) for end in ends])
        bias = np.concatenate([stack("bias_ih"), stack("bias_hh")], 1)
        inputs = [f"l{i}", constant(f"w{i}", stack("weight_ih")), constant(f"r{i}", stack("weight_hh")),
                  constant(f"b{i}", bias)]
        nodes.append(helper.make_node("GRU", inputs, [f"y{i}"], direction="bidirectional", linear_before_reset=1,
                                      hidden_size=w["rnn.weight_hh_l0"].shape[1]))
        nodes.append(helper.make_node("Transpose", [f"y{i}"], [f"t{i}"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", [f"t{i}", constant(f"s{i}", np.array([0, 0, -1]))], [f"l{i + 1}"]))
    nodes += [helper.make_node("ReduceMean", [f"l{layers}"], ["mean"], axes=[0], keepdims=0),
              helper.make_node("Gemm", ["mean", constant("hw", w["head.weight"]), constant("hb", w["head.bias"])],
                               ["logits"], transB=1),
              helper.make_node("Softmax", ["logits"], ["p"], axis=-1)]
    float_info = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "gru", [float_info("x", [1, "T", MELS])],
                              [float_info("p", [1, len(w["head.bias"])])], tensors)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)


def onnxruntime(folder, model):
    from concurrent.futures import ThreadPoolExecutor
    import kaldi_native_fbank
    import numpy as np
    import onnxruntime as ort
    import soundfile
    import soxr
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    features = kaldi_native_fbank.FbankOptions()
    features.frame_opts.dither, features.frame_opts.snip_edges = 0, False
    features.frame_opts.samp_freq, features.mel_opts.num_bins = RATE, MELS

    def one(path):
        samples, rate = soundfile.read(path, dtype="float32")
        fbank = kaldi_native_fbank.OnlineFbank(features)
        fbank.accept_waveform(RATE, soxr.resample(samples, rate, RATE))
        fbank.input_finished()
        x = np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])
        return session.run(None, {"x": x[None]})[0][0]

    with ThreadPoolExecutor(THREADS) as pool:
        for path, scores in zip(clips(folder), pool.map(one, clips(folder))):
            say(path, scores)


def pytorch(folder, model):
    import soundfile
    import soxr
    import torch
    from librosa.filters import mel
    from safetensors.torch import load_file
    torch.set_num_threads(THREADS)
    w = {name: value.float() for name, value in load_file(model).items()}
    hidden = w["rnn.weight_hh_l0"].shape[1]
    rnn = torch.nn.GRU(MELS, hidden, 2, batch_first=True, bidirectional=True)
    rnn.load_state_dict({name[4:]: value for name, value in w.items() if name.startswith("rnn.")})
    window, bank = torch.hann_window(400), torch.from_numpy(mel(sr=RATE, n_fft=512, n_mels=MELS))

    def features(path):
        samples, rate = soundfile.read(path, dtype="float32")
        spectrum = torch.stft(torch.from_numpy(soxr.resample(samples, rate, RATE)), 512, 160, 400, window,
                              return_complex=True).abs() ** 2
        return (bank @ spectrum + 1e-6).log().T

    paths = clips(folder)
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            part = paths[start:start + 32]
            x = [features(path) for path in part]
            lengths = torch.tensor([len(v) for v in x])
            packed = torch.nn.utils.rnn.pack_padded_sequence(
                torch.nn.utils.rnn.pad_sequence(x, batch_first=True), lengths, batch_first=True, enforce_sorted=False)
            out, _ = torch.nn.utils.rnn.pad_packed_sequence(rnn(packed)[0], batch_first=True)
            scores = torch.softmax(out.sum(1) / lengths[:, None] @ w["head.weight"].T + w["head.bias"], 1)
            for path, row in zip(part, scores.numpy()):
                say(path, row)


def whole_process(command):
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main(folder, model, percept, turns):
    with tempfile.TemporaryDirectory() as scratch:
        onnx = os.path.join(scratch, "model.onnx")
        onnx_model(model, onnx)
        out = os.path.join(scratch, "out.jsonl")
        commands = {
            "percept batch": [percept, "batch", "--force", "-m", model, folder, "-o", out],
            "onnxruntime + kaldi-native-fbank": [sys.executable, __file__, "run", "onnxruntime", folder, onnx],
            "pytorch": [sys.executable, __file__, "run", "pytorch", folder, model],
        }
        measured = {name: [] for name in commands}
        for turn in range(turns + 1):
            for name, command in commands.items():
                once = whole_process(command)
                if turn > 0:  # the first fills the caches
                    measured[name].append(once)
    for name, runs in measured.items():
        seconds = sorted(seconds for seconds, _ in runs)[len(runs) // 2]
        print(f"{name:34} {seconds:7.3f} s  {len(clips(folder)) / seconds:6.0f} clips/s  "
              f"{max(memory for _, memory in runs):5.0f} MiB")


if __name__ == "__main__":
    if sys.argv[1] == "run":
        {"onnxruntime": onnxruntime, "pytorch": pytorch}[sys.argv[2]](*sys.argv[3:])
    else:
        turns = int(sys.argv[sys.argv.index("--turns") + 1]) if "--turns" in sys.argv else 7
        main(*sys.argv[1:4], turns)
