"""One recording, from the file to the scores of its frames: librosa + PyTorch beside `percept tag`, in turns.

    python benches/peers/tag.py RECORDING MODEL.safetensors PERCEPT [--turns 3] [--threads 2]

MODEL is a tagger of Percept's; its features and network are made again in librosa and PyTorch from its header, with its
weights, so that both compute the same. Prints seconds and times real time of each, and the largest difference of a score.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import librosa
import numpy as np
import soundfile
import torch
from safetensors import safe_open

args = argparse.ArgumentParser()
args.add_argument("recording")
args.add_argument("model")
args.add_argument("percept")
args.add_argument("--turns", type=int, default=3)
args.add_argument("--threads", type=int, default=2)
args = args.parse_args()
torch.set_num_threads(args.threads)

with safe_open(args.model, "pt") as file:
    header = json.loads(file.metadata()["percept"])
    tensors = {name: file.get_tensor(name).float() for name in file.keys()}
f, n = header["features"], header["network"]
assert f["kind"] == "log_mel" and n["cell"] in ("gru", "lstm") and f["delta"] == 0
rnn = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[n["cell"]](
    f["n_mels"], n["hidden_size"], n["num_layers"], batch_first=True, bidirectional=n["bidirectional"])
rnn.load_state_dict({name[4:]: value for name, value in tensors.items() if name.startswith("rnn.")})
rnn.eval()


def peer():
    samples, rate = soundfile.read(args.recording, dtype="float32")
    assert rate == f["sample_rate"] and samples.ndim == 1, "resample it first: only the rest is compared"
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=f["n_fft"], hop_length=f["hop_length"], n_mels=f["n_mels"], fmin=f["fmin"],
        fmax=f.get("fmax"), power=f["power"], pad_mode=f["pad_mode"])
    x = torch.from_numpy(librosa.power_to_db(mel, amin=f["amin"], top_db=None).T)
    x = (x - tensors["normalization.mean"]) / tensors["normalization.std"]
    with torch.inference_mode():
        out, _ = rnn(x[None])
        logits = out[0] @ tensors["head.weight"].T + tensors["head.bias"]
        logits /= header["decisions"]["temperature"]
        return (torch.softmax(logits, 1) if n["output"] == "softmax" else torch.sigmoid(logits)).numpy()


def percept(npy):
    subprocess.run([args.percept, "tag", "-m", args.model, args.recording, "--format", "csv", "-o", "/dev/null", *npy],
                   check=True, stderr=subprocess.DEVNULL)


duration = soundfile.info(args.recording).duration
with tempfile.TemporaryDirectory() as folder:
    npy = pathlib.Path(folder) / "scores.npy"
    percept(["--frames-out", str(npy)])
    difference = np.abs(np.load(npy) - peer()).max()
times = {"percept": [], "librosa + torch": []}
for _ in range(args.turns):
    for name, run in (("percept", lambda: percept([])), ("librosa + torch", peer)):
        start = time.perf_counter()
        run()
        times[name].append(time.perf_counter() - start)
for name, seconds in times.items():
    median = sorted(seconds)[len(seconds) // 2]
    print(f"{name}: {median:.2f} s, {duration / median:.0f} times real time")
print(f"largest difference of a score: {difference:.1e}")
