"""A training epoch of the network of examples/recipes/esc10.toml in PyTorch: 288 clips of 431 frames of 64 bands, batches of 32.

    python benches/peers/crnn.py [THREADS]

Beside it, from the project's root (the time of an epoch is the difference of two `seconds` in the metrics):

    percept train --config examples/recipes/esc10.toml --where fold!=5 --epochs 6 \
        --augment=false --metrics m.jsonl -o m.safetensors

Both learn from features that are in memory, forward, backward and AdamW with the gradient clipped.
"""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
CLIPS, FRAMES, BINS, BATCH, CHANNELS, LABELS = 288, 431, 64, 32, [1, 24, 48, 96], 10


class Crnn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        layers = []
        for count, out in zip(CHANNELS, CHANNELS[1:]):
            layers += [
                torch.nn.Conv2d(count, out, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(out),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2, ceil_mode=True),
            ]
        self.layers = torch.nn.Sequential(*layers)
        self.linear = torch.nn.Linear(CHANNELS[-1] * BINS // 8, 128)
        self.rnn = torch.nn.GRU(128, 96, batch_first=True, bidirectional=True)
        self.attention = torch.nn.Linear(192, 1, bias=False)
        self.head = torch.nn.Linear(192, LABELS)
        self.dropout = torch.nn.Dropout(0.3)

    def forward(self, x):
        x = self.linear(self.layers(x).permute(0, 2, 3, 1).flatten(2)).relu()
        x, _ = self.rnn(self.dropout(x))
        x = (self.attention(x).softmax(1) * x).sum(1)
        return self.head(self.dropout(x))


for form in [torch.contiguous_format, torch.channels_last]:
    model = Crnn().to(memory_format=form)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    x = torch.rand(CLIPS, 1, FRAMES, BINS).to(memory_format=form)
    y = torch.randint(LABELS, (CLIPS,))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for first in range(0, CLIPS, BATCH):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[first : first + BATCH]), y[first : first + BATCH])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        times.append(time.perf_counter() - start)
    print(form, f"epoch {sorted(times)[2]:.2f} s (from {min(times):.2f})")
