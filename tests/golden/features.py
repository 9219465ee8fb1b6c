"""Golden values for tests/features_golden.rs, made with librosa: python tests/golden/features.py

The signals are formulas that both languages can compute, so only the results are stored. Of each result a few frames
are kept whole; of all frames, the sum of magnitudes of each frame is kept.
"""

import json
import pathlib

import librosa
import numpy as np
import scipy


def signal(name, n, rate):
    """`n` samples, computed in double precision, rounded to f32. Times are in seconds."""
    t = np.arange(n) / rate
    if name == "noise":
        out, state = np.empty(n), 12345
        for i in range(n):
            state = (state * 1664525 + 1013904223) % 2**32
            out[i] = (state >> 8) / 2**23 - 1
        return out.astype(np.float32)
    if name == "tones":
        return sum(a * np.sin(2 * np.pi * f * t) for a, f in [(0.5, 440), (0.25, 1234.5), (0.1, 3333)]).astype(np.float32)
    if name == "chirp":
        return (0.8 * np.sin(2 * np.pi * (100 * t + 2000 * t * t))).astype(np.float32)
    if name == "mix":
        return (signal("chirp", n, rate) * np.float32(0.5) + signal("noise", n, rate) * np.float32(0.125)).astype(np.float32)
    if name == "silence_then_noise":
        out = signal("noise", n, rate)
        out[: n // 2] = 0
        return out
    raise ValueError(name)


DEFAULT = dict(
    kind="log_mel", sample_rate=16000, n_fft=512, win_length=None, hop_length=160, window="hann", center=True,
    pad_mode="constant", power=2.0, n_mels=64, fmin=0.0, fmax=None, mel_scale="slaney", mel_norm="slaney",
    amin=1e-10, top_db=None, n_mfcc=20, lifter=0.0, delta=0, delta_width=9,
)


def features(y, c):
    """[D, T], from librosa's own functions."""
    kw = dict(n_fft=c["n_fft"], hop_length=c["hop_length"], win_length=c["win_length"], window=c["window"],
              center=c["center"], pad_mode=c["pad_mode"], power=c["power"])
    if c["kind"] == "power":
        s, _ = librosa.core.spectrum._spectrogram(y=y, **kw)
    else:
        s = librosa.feature.melspectrogram(
            y=y, sr=c["sample_rate"], **kw, n_mels=c["n_mels"], fmin=c["fmin"], fmax=c["fmax"],
            htk=c["mel_scale"] == "htk", norm="slaney" if c["mel_norm"] == "slaney" else None)
        s = librosa.power_to_db(s, ref=1.0, amin=c["amin"], top_db=c["top_db"])
    if c["kind"] == "mfcc":
        s = librosa.feature.mfcc(S=s, n_mfcc=c["n_mfcc"], lifter=c["lifter"])
    deltas = [librosa.feature.delta(s, width=c["delta_width"], order=o + 1) for o in range(c["delta"])]
    return np.concatenate([s] + deltas)


CASES = [
    ("log_mel_default", "mix", 16000, {}),
    ("log_mel_of_tones", "tones", 16000, {}),
    ("log_mel_of_a_chirp", "chirp", 16000, {}),
    ("log_mel_of_noise", "noise", 16000, {}),
    ("log_mel_after_silence", "silence_then_noise", 8000, {}),
    ("log_mel_htk", "mix", 16000, dict(mel_scale="htk")),
    ("log_mel_htk_no_norm", "mix", 16000, dict(mel_scale="htk", mel_norm="none", fmin=60.0, fmax=7600.0)),
    ("log_mel_no_norm", "mix", 16000, dict(mel_norm="none")),
    ("log_mel_win_length", "mix", 16000, dict(win_length=400)),
    ("log_mel_odd_win_length", "mix", 9000, dict(win_length=333, hop_length=77)),
    ("log_mel_not_centred", "mix", 9001, dict(center=False, hop_length=128)),
    ("log_mel_reflect", "mix", 9000, dict(pad_mode="reflect")),
    ("log_mel_edge", "mix", 9000, dict(pad_mode="edge")),
    ("log_mel_symmetric", "mix", 9000, dict(pad_mode="symmetric")),
    ("log_mel_hamming", "mix", 9000, dict(window="hamming")),
    ("log_mel_top_db", "silence_then_noise", 9000, dict(top_db=80.0)),
    ("log_mel_amin", "silence_then_noise", 9000, dict(amin=1e-6)),
    ("log_mel_magnitude", "mix", 9000, dict(power=1.0)),
    ("log_mel_empty_filters", "mix", 4000, dict(n_fft=256, n_mels=128)),
    ("log_mel_odd_n_fft", "mix", 9000, dict(n_fft=501, hop_length=133)),
    ("log_mel_hop_beyond_n_fft", "mix", 9000, dict(n_fft=256, hop_length=1000, n_mels=20)),
    ("log_mel_44100", "mix", 44100, dict(sample_rate=44100, n_fft=2048, hop_length=441, n_mels=80, fmin=50.0, fmax=15000.0)),
    ("log_mel_of_a_tenth_of_a_second", "mix", 1600, {}),
    ("log_mel_shorter_than_a_frame", "mix", 100, {}),
    ("log_mel_of_one_sample", "noise", 1, {}),
    ("log_mel_short_reflect", "mix", 300, dict(pad_mode="reflect")),
    ("log_mel_deltas", "mix", 8000, dict(n_mels=20, delta=2)),
    ("power", "mix", 9000, dict(kind="power")),
    ("power_of_tones", "tones", 9000, dict(kind="power")),
    ("magnitude", "mix", 9000, dict(kind="power", power=1.0)),
    ("power_blackman", "mix", 9000, dict(kind="power", window="blackman", n_fft=256)),
    ("power_blackmanharris", "noise", 5000, dict(kind="power", window="blackmanharris", n_fft=200, hop_length=50)),
    ("power_bartlett", "noise", 5000, dict(kind="power", window="bartlett", n_fft=128)),
    ("power_boxcar", "noise", 5000, dict(kind="power", window="boxcar", n_fft=65, hop_length=31)),
    ("mfcc", "mix", 9000, dict(kind="mfcc")),
    ("mfcc_lifter", "mix", 9000, dict(kind="mfcc", n_mfcc=13, n_mels=40, lifter=22.0)),
    ("mfcc_all_with_top_db", "silence_then_noise", 9000, dict(kind="mfcc", n_mfcc=64, top_db=80.0)),
    ("mfcc_delta", "mix", 9000, dict(kind="mfcc", n_mfcc=13, delta=1, delta_width=5)),
    ("mfcc_deltas", "chirp", 16000, dict(kind="mfcc", n_mfcc=13, delta=2)),
]


def rounded(x):
    return [float(f"{v:.7g}") for v in x]


def main():
    cases = []
    for name, sound, n, changes in CASES:
        config = {**DEFAULT, **changes}
        f = features(signal(sound, n, config["sample_rate"]), config).T
        frames = sorted({0, 1, len(f) // 2, len(f) - 1} & set(range(len(f))))
        cases.append(dict(
            name=name, signal=sound, num_samples=n, config=changes, shape=list(f.shape),
            frames={str(t): rounded(f[t]) for t in frames},
            sums=rounded(np.abs(f.astype(np.float64)).sum(axis=1)),
        ))
    out = dict(made_by="tests/golden/features.py", librosa=librosa.__version__, scipy=scipy.__version__,
               numpy=np.__version__, cases=cases)
    text = json.dumps(out, separators=(",", ":")).replace('{"name"', '\n{"name"')
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")


main()
