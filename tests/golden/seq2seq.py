"""Writes seq2seq.json: what the encoder-decoder of benches/peers/translate.py gives, and its loss' gradients.

    python tests/golden/seq2seq.py
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benches" / "peers"))
from translate import EncoderDecoder, pad  # noqa: E402

SOURCES, TARGETS = [[1, 4, 2], [3], [0, 2, 4, 1, 3]], [[1, 5], [1, 0, 3, 2], [1]]


class Lcg:
    def __init__(self, state):
        self.state = state

    def tensor(self, shape):
        values = []
        for _ in range(torch.Size(shape).numel()):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            values.append((self.state >> 8) / 2**24 * 2 - 1)
        return torch.tensor(values).reshape(shape)


cases = []
for cell, score, layers in [("gru", "general", 1), ("gru", "additive", 2), ("lstm", "general", 2)]:
    model = EncoderDecoder(5, 6, 3, 4, layers, cell, score).eval()
    lcg, parameters = Lcg(7), dict(model.named_parameters())
    # In the order of their names, as a BTreeMap has them.
    for name in sorted(parameters):
        parameters[name].data = lcg.tensor(parameters[name].shape)
    source, lengths = pad(SOURCES)
    target, target_lengths = pad(TARGETS)
    memory, state = model.encode(source, lengths)
    logits, weights, _ = model.decode(memory, lengths, state, target)
    valid = torch.arange(target.shape[1])[None] < target_lengths[:, None]
    logits.log_softmax(-1)[valid].square().mean().backward()
    flat = lambda t: [round(v, 7) for v in t.flatten().tolist()]
    gradients = {name: flat(p.grad) for name, p in sorted(parameters.items())
                 if name in ("source_embedding.weight", "encoder.weight_hh_l0_reverse", "bridge.weight", "combine.weight",
                             "attention.weight", "attention.v", "bridge_c.bias")}
    cases.append(dict(cell=cell, score=score, num_layers=layers, logits=flat(logits[valid]), attention=flat(weights[valid]),
                      gradients=gradients))
(HERE / "seq2seq.json").write_text(json.dumps(cases) + "\n")
