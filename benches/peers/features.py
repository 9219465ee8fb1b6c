"""Log-mel speed of Percept beside librosa, in turns, on one thread: python benches/peers/features.py

Needs librosa, and cargo on the PATH. Times are medians over the turns, in times real time; as in
`cargo bench --bench features`: 16 kHz, n_fft 512, win_length 400, hop 160, 64 mels, on 60 s and on 1 s clips, in dB.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import pathlib
import re
import statistics
import subprocess
import time

import librosa
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
RATE, SECONDS, TURNS, RUNS = 16000, 60, 3, 15
SETTINGS = dict(n_fft=512, win_length=400, hop_length=160)


def log_mel(x):
    mel = librosa.feature.melspectrogram(y=x, sr=RATE, n_mels=64, **SETTINGS)
    return librosa.power_to_db(mel, top_db=None)


BANK = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=64)


def log_mel_bank_once(x):
    """What a careful user writes: the bank made once, the power by hand."""
    s = librosa.stft(x, **SETTINGS)
    return librosa.power_to_db(BANK @ (s.real**2 + s.imag**2), top_db=None)


def speed(run):
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return SECONDS / statistics.median(times)


def percept():
    out = subprocess.run(["cargo", "bench", "--bench", "features"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("log_mel\t"))
    return tuple(float(x) for x in re.findall(r": (\d+)x", line))


def main():
    long = np.random.default_rng(0).uniform(-1, 1, SECONDS * RATE).astype(np.float32)
    clips = [long[i * RATE:(i + 1) * RATE].copy() for i in range(SECONDS)]
    results = {}
    for _ in range(TURNS):
        results.setdefault("percept", []).append(percept())
        for name, f in [("librosa", log_mel), ("librosa, bank made once", log_mel_bank_once)]:
            results.setdefault(name, []).append((speed(lambda: f(long)), speed(lambda: [f(c) for c in clips])))
    medians = {name: [statistics.median(r[i] for r in rows) for i in (0, 1)] for name, rows in results.items()}
    print(f"librosa {librosa.__version__}, numpy {np.__version__}; {TURNS} turns, load {os.getloadavg()[0]:.1f}")
    print(f"{'':26}{'60 s':>10}{'1 s clips':>12}   Percept is faster by")
    for name, (a, b) in medians.items():
        ratio = "" if name == "percept" else f"   {medians['percept'][0] / a:.1f} and {medians['percept'][1] / b:.1f}"
        print(f"{name:26}{a:9.0f}x{b:11.0f}x{ratio}")
    for name, rows in results.items():
        print(name, "turns:", ", ".join(f"{a:.0f}/{b:.0f}" for a, b in rows))


main()
