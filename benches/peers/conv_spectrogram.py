"""Convolutions over time and frequency in PyTorch, for benches/conv_spectrogram.rs.

    python benches/peers/conv_spectrogram.py [THREADS]

The same batch: 32 clips of 1x200x64 through [32, 64, 128] with batch norm, ReLU and max pooling 2x2 each, and a linear layer
of 128, in both memory formats.
"""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
CLIPS, FRAMES, BINS, CHANNELS = 32, 200, 64, [1, 32, 64, 128]


class FrontEnd(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for count, out in zip(CHANNELS, CHANNELS[1:]):
            layers += [
                torch.nn.Conv2d(count, out, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(out),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
            ]
        self.layers = torch.nn.Sequential(*layers)
        self.linear = torch.nn.Linear(CHANNELS[-1] * BINS // 8, 128)

    def forward(self, x):
        return self.linear(self.layers(x).permute(0, 2, 3, 1).flatten(2)).relu()


def timed(name, run):
    times = []
    for _ in range(20):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    times.sort()
    median = times[len(times) // 2]
    print(f"{name}\t{median:.1f} ms (from {times[0]:.1f})\t{CLIPS * FRAMES / median:.0f} thousand frames/s")


for form in [torch.contiguous_format, torch.channels_last]:
    model = FrontEnd().to(memory_format=form)
    x = torch.rand(CLIPS, 1, FRAMES, BINS).to(memory_format=form)

    def learn():
        model.zero_grad()
        model(x).sum().backward()

    def answer():
        with torch.inference_mode():
            model(x)

    print(form)
    model.train()
    timed("forward and backward", learn)
    model.eval()
    timed("inference", answer)
