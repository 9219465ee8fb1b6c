"""examples/translate in PyTorch: the same network on the same sentences, with the same search.

    python benches/peers/translate.py eng-fra.tsv [--epochs 20] [-t 1] [--seed 1] [--output fra.txt]

Needs torch and sacrebleu. Prints the test sentences' BLEU and chrF as sacrebleu computes them, and the processor time.
"""

import argparse
import collections
import math
import re
import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

UNKNOWN, START, END = 0, 1, 2


class EncoderDecoder(nn.Module):
    """src/nn/seq2seq.rs with the score `general` or `additive`; weights have the same names and shapes."""

    def __init__(self, source, target, embedding, hidden, layers, cell="gru", score="general", dropout=0.0):
        super().__init__()
        rnn = nn.LSTM if cell == "lstm" else nn.GRU
        between = dropout if layers > 1 else 0.0
        self.source_embedding = nn.Embedding(source, embedding)
        self.target_embedding = nn.Embedding(target, embedding)
        self.encoder = rnn(embedding, hidden, layers, batch_first=True, bidirectional=True, dropout=between)
        self.decoder = rnn(embedding, hidden, layers, batch_first=True, dropout=between)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.bridge_c = nn.Linear(2 * hidden, hidden) if cell == "lstm" else None
        self.score = score
        if score == "general":
            self.attention = nn.Linear(2 * hidden, hidden, bias=False)
        else:
            self.attention = nn.ModuleDict(dict(
                query=nn.Linear(hidden, hidden, bias=False), memory=nn.Linear(2 * hidden, hidden, bias=False)))
            self.attention.v = nn.Parameter(torch.empty(1, hidden))
            nn.init.uniform_(self.attention.v, -hidden ** -0.5, hidden ** -0.5)
        self.combine = nn.Linear(3 * hidden, hidden, bias=False)
        self.head = nn.Linear(hidden, target)
        self.dropout = nn.Dropout(dropout)
        for table in (self.source_embedding, self.target_embedding):
            nn.init.uniform_(table.weight, -1, 1)

    def encode(self, source, lengths):
        x = self.dropout(self.source_embedding(source))
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        memory, state = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True)
        h, c = state if self.bridge_c else (state, None)
        cross = lambda s, linear: torch.tanh(linear(torch.cat([s[0::2], s[1::2]], -1)))
        return memory, (cross(h, self.bridge), cross(c, self.bridge_c)) if self.bridge_c else cross(h, self.bridge)

    def decode(self, memory, lengths, state, target):
        y, state = self.decoder(self.dropout(self.target_embedding(target)), state)
        if self.score == "general":
            scores = y @ self.attention(memory).mT
        else:
            a = self.attention
            scores = (torch.tanh(a["query"](y)[:, :, None] + a["memory"](memory)[:, None]) * a.v).sum(-1)
        beyond = torch.arange(memory.shape[1])[None, None] >= lengths[:, None, None]
        weights = scores.masked_fill(beyond, -torch.inf).softmax(-1)
        a = torch.tanh(self.combine(torch.cat([weights @ memory, y], -1)))
        return self.head(self.dropout(a)), weights, state


def split(text):
    """Words and marks, as examples/translate/text.rs splits them."""
    return re.findall(r"[^\W_]+(?:-[^\W_]+)*'?|[^\w\s]|_", text.replace("\u2019", "'").lower())


def join(words):
    text = ""
    for word in words:
        glued = not text or text.endswith("'") or word in (".", ",")
        text += word if glued else " " + word
    return text


def vocabulary(sentences, least):
    counts = collections.Counter(word for sentence in sentences for word in sentence)
    words = sorted((w for w, n in counts.items() if n >= least), key=lambda w: (-counts[w], w))
    return {word: 3 + i for i, word in enumerate(words)}


def read(path):
    """Every tenth different English sentence is for the test, with all its translations."""
    pairs = collections.OrderedDict()
    for line in open(path, encoding="utf-8"):
        english, french = line.rstrip("\n").split("\t")[:2]
        pairs.setdefault(english, []).append(french)
    train, test = [], []
    for i, (english, french) in enumerate(pairs.items()):
        if i % 10 == 0:
            test.append((english, french))
        else:
            train += [(english, f) for f in french]
    return train, test


def pad(sequences):
    lengths = torch.tensor([len(s) for s in sequences])
    out = torch.zeros(len(sequences), int(lengths.max()), dtype=torch.long)
    for row, s in zip(out, sequences):
        row[: len(s)] = torch.tensor(s)
    return out, lengths


@torch.no_grad()
def search(model, source, width, most, penalty):
    source, lengths = pad([source])
    memory, state = model.encode(source, lengths)
    tempered = lambda n: ((5 + n) / 6) ** penalty
    left, done = [([START], 0.0)], []
    for n in range(1, most + 1):
        count = len(left)
        logits, _, state = model.decode(memory.expand(count, -1, -1), lengths.expand(count), state,
                                        torch.tensor([[words[-1]] for words, _ in left]))
        sums = logits[:, 0].log_softmax(-1) + torch.tensor([[p] for _, p in left])
        best = sums.flatten().topk(width)
        next_left, rows = [], []
        for p, at in zip(best.values.tolist(), best.indices.tolist()):
            row, word = divmod(at, sums.shape[1])
            if word == END or n == most:
                done.append((p / tempered(n), left[row][0][1:] + ([] if word == END else [word])))
            else:
                next_left.append((left[row][0] + [word], p))
                rows.append(row)
        done = sorted(done, key=lambda d: -d[0])[:width]
        left = next_left
        if not left or len(done) == width and max(p for _, p in left) / tempered(most) <= done[-1][0]:
            break
        state = state[:, rows].contiguous()
    return done[0][1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("-t", "--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", help="write the translations of the test sentences here, one a line")
    args = parser.parse_args()
    import sacrebleu
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)

    train, test = read(args.pairs)
    source_words = vocabulary([split(e) for e, _ in train], 1)
    target_words = vocabulary([split(f) for _, f in train], 1)
    names = {number: word for word, number in target_words.items()}
    numbers = lambda words, known: [known.get(word, UNKNOWN) for word in words]
    data = [(numbers(split(e), source_words), numbers(split(f), target_words)) for e, f in train]
    model = EncoderDecoder(3 + len(source_words), 3 + len(target_words), 128, 128, 1, dropout=0.0)
    batches = math.ceil(len(data) / 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=args.epochs * batches, pct_start=0.2, cycle_momentum=False)

    start = time.process_time()
    for epoch in range(args.epochs):
        order, total = torch.randperm(len(data)).tolist(), 0.0
        model.train()
        for at in range(0, len(data), 32):
            batch = [data[i] for i in order[at:at + 32]]
            source, lengths = pad([s for s, _ in batch])
            target, target_lengths = pad([[START] + t for _, t in batch])
            due, _ = pad([t + [END] for _, t in batch])
            memory, state = model.encode(source, lengths)
            logits, _, _ = model.decode(memory, lengths, state, target)
            valid = torch.arange(due.shape[1])[None] < target_lengths[:, None]
            loss = nn.functional.cross_entropy(logits[valid], due[valid])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}  loss {total / batches:.3f}", flush=True)
    learned = time.process_time() - start

    model.eval()
    start = time.process_time()
    hypotheses = [join(names.get(n, "?") for n in search(model, numbers(split(e), source_words), 5, 20, 0.6))
                  for e, _ in test]
    if args.output:
        open(args.output, "w", encoding="utf-8").writelines(hypothesis + "\n" for hypothesis in hypotheses)
    searched = time.process_time() - start
    references = [[join(split(f)) for f in french] for _, french in test]
    most = max(map(len, references))
    columns = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    print(sacrebleu.metrics.BLEU().corpus_score(hypotheses, columns))
    print(sacrebleu.metrics.CHRF().corpus_score(hypotheses, columns))
    print(f"{len(train)} pairs, {len(test)} test sentences; learned in {learned:.1f} s, translated in {searched:.1f} s of processor time")
    for (english, french), hypothesis in list(zip(test, hypotheses))[-10:]:
        print(f"{english} -> {hypothesis}   ({french[0]})")


if __name__ == "__main__":
    main()
