"""Golden values for tests/rnn_golden.rs from torch.nn.LSTM and torch.nn.GRU.

    python tests/golden/rnn.py > tests/golden/rnn.json        (made with torch 2.15.0)

Weights and input come from one generator that both sides run (Numerical Recipes' LCG), so that the file holds
results only.
"""
import itertools
import json

import torch

INPUT_SIZE, HIDDEN_SIZE, LENGTHS, FRAMES = 3, 5, [7, 4, 1, 7], 7


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def tensor(self, *shape):
        values = []
        for _ in range(torch.Size(shape).numel()):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            values.append((self.state >> 8) / 2**24 * 2 - 1)
        return torch.tensor(values).reshape(shape)


def flat(tensor):
    return [float(f"{v:.8g}") for v in tensor.flatten().tolist()]


cases = []
for (name, kind), num_layers, bidirectional in itertools.product(
    [("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)], [1, 2, 3], [False, True]
):
    rnn = kind(INPUT_SIZE, HIDDEN_SIZE, num_layers, bidirectional=bidirectional, batch_first=True)
    lcg = Lcg(seed=7)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.copy_(lcg.tensor(*parameter.shape))
    x = lcg.tensor(len(LENGTHS), FRAMES, INPUT_SIZE)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    output, state = rnn(packed)
    output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=FRAMES)
    h_n = state[0] if name == "lstm" else state
    directions = 2 if bidirectional else 1
    last = torch.cat(list(h_n[-directions:]), dim=1)
    # A loss that weighs every output differently; gradients of all parameters follow from it.
    (output * lcg.tensor(*output.shape)).sum().backward()
    cases.append(
        {
            "cell": name,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "output": flat(output),
            "last": flat(last),
            "gradient_sums": {n: float(f"{p.grad.abs().sum():.8g}") for n, p in rnn.named_parameters()},
            "gradient_weight_ih_l0": flat(rnn.weight_ih_l0.grad),
        }
    )
print(json.dumps({"lengths": LENGTHS, "cases": cases}, indent=None, separators=(",", ":")))
