"""examples/char_rnn in PyTorch: the same network on the same pieces of the same text, for the same number of steps.

    python benches/peers/char_rnn.py tinyshakespeare.txt [--steps 2000] [-t 1] [--seed 1]
"""

import argparse
import gzip
import time

import torch
from torch import nn

BATCH, FRAMES = 50, 50


class CharRnn(nn.Module):
    def __init__(self, symbols, hidden):
        super().__init__()
        self.rnn = nn.LSTM(symbols, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, x, state):
        h, state = self.rnn(x, state)
        return self.head(h), state


def lanes(numbers):
    """[pieces, B, T + 1]: what is read and, one further, what is to come."""
    pieces = (len(numbers) - 1) // BATCH // FRAMES
    lane = pieces * FRAMES
    return [torch.stack([numbers[b * lane + p * FRAMES:][:FRAMES + 1] for b in range(BATCH)]) for p in range(pieces)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    opened = gzip.open if args.text.endswith(".gz") else open
    text = opened(args.text, "rt", encoding="utf-8-sig", newline="").read().replace("\r\n", "\n")
    symbols = {c: i for i, c in enumerate(sorted(set(text)))}
    numbers = torch.tensor([symbols[c] for c in text])
    border = len(numbers) * 9 // 10
    train, validation = lanes(numbers[:border]), lanes(numbers[border:])
    model = CharRnn(len(symbols), args.hidden_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)

    def loss_of(piece, state):
        x = nn.functional.one_hot(piece[:, :-1], len(symbols)).float()
        logits, state = model(x, state)
        return nn.functional.cross_entropy(logits.flatten(0, 1), piece[:, 1:].flatten()), state

    @torch.no_grad()
    def validate():
        total, state = 0.0, None
        for piece in validation:
            loss, state = loss_of(piece, state)
            total += loss.item()
        return total / len(validation)

    state, seconds = None, 0.0
    for step in range(args.steps):
        start = time.process_time()
        at = step % len(train)
        loss, state = loss_of(train[at], None if at == 0 else state)
        state = tuple(s.detach() for s in state)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        seconds += time.process_time() - start
        if step + 1 in (100, 300, 700, 2000):
            print(f"iteration {step + 1}, validation loss {validate():.4f}, {seconds:.1f} s of processor time", flush=True)
    print(f"learned: validation loss {validate():.4f}, {seconds:.1f} s of processor time")


if __name__ == "__main__":
    main()
