"""The convolutional front end in PyTorch, for benches/conv.rs.

    python benches/peers/conv.py [THREADS]

The same batch: 16 clips of 24 frames of 2x32x32 through [16, 32, 64] and a linear layer of 64, in both memory formats.
"""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
CLIPS, FRAMES, CHANNELS = 16, 24, [2, 16, 32, 64]


def timed(name, run):
    times = []
    for _ in range(100):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    median = times[len(times) // 2]
    print(f"{name}\t{median:.2f} ms (from {times[0]:.2f})\t{CLIPS * FRAMES / median:.0f} thousand frames/s")


for form in [torch.contiguous_format, torch.channels_last]:
    layers = []
    for count, out in zip(CHANNELS, CHANNELS[1:]):
        layers += [torch.nn.Conv2d(count, out, 3, stride=2, padding=1), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(64 * 4 * 4, 64), torch.nn.ReLU())
    model = model.to(memory_format=form)
    x = torch.rand(CLIPS * FRAMES, 2, 32, 32).to(memory_format=form)

    def learn():
        model.zero_grad()
        model(x).sum().backward()

    def answer():
        with torch.inference_mode():
            model(x)

    print(form)
    timed("forward and backward", learn)
    timed("inference", answer)
