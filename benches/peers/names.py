"""examples/names.rs in PyTorch: the same network on the same names, split in the same way.

    python benches/peers/names.py NAMES [--epochs 12] [-t 1] [--seed 1]
"""

import argparse
import pathlib
import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

BATCH, HIDDEN = 64, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    files = [path for path in sorted(args.folder.glob("*.txt"))]
    names = {path.stem: [line.strip() for line in path.read_text().splitlines() if line.strip()] for path in files}
    letters = {c: i for i, c in enumerate(sorted({c for all in names.values() for name in all for c in name}))}
    train, test = [], []
    for language, all in enumerate(names.values()):
        for i, name in enumerate(all):
            (test if i % 10 == 0 else train).append((torch.tensor([letters[c] for c in name]), language))

    rnn = nn.GRU(len(letters), HIDDEN, batch_first=True)
    head = nn.Linear(HIDDEN, len(names))
    parameters = [*rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.01)
    batches = -(-len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=args.epochs * batches, pct_start=0.2, cycle_momentum=False)

    def forward(batch):
        padded = nn.utils.rnn.pad_sequence([name for name, _ in batch], batch_first=True)
        x = nn.functional.one_hot(padded, len(letters)).float()
        packed = pack_padded_sequence(x, [len(name) for name, _ in batch], batch_first=True, enforce_sorted=False)
        return head(rnn(packed)[1][-1])

    start = time.process_time()
    for epoch in range(args.epochs):
        order, total = torch.randperm(len(train)).tolist(), 0.0
        for at in range(0, len(train), BATCH):
            batch = [train[i] for i in order[at:at + BATCH]]
            loss = nn.functional.cross_entropy(forward(batch), torch.tensor([language for _, language in batch]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1:2}  loss {total / batches:.3f}", flush=True)
    seconds = time.process_time() - start

    right = torch.zeros(len(names))
    with torch.no_grad():
        for at in range(0, len(test), BATCH):
            batch = test[at:at + BATCH]
            for (_, language), predicted in zip(batch, forward(batch).argmax(1).tolist()):
                right[language] += language == predicted
    counts = torch.bincount(torch.tensor([language for _, language in test]), minlength=len(names))
    print(f"accuracy {100 * right.sum() / len(test):.1f} %, mean of the languages {100 * (right / counts).mean():.1f} %, "
          f"{seconds:.1f} s of processor time")


if __name__ == "__main__":
    main()
