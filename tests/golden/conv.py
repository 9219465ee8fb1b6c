"""Golden values for tests/conv_golden.rs from torch.nn.Conv2d, ReLU, Flatten and Linear.

    python tests/golden/conv.py > tests/golden/conv.json        (made with torch 2.15.0)

Weights and input come from the generator of rnn.py, which both sides run. Weights are scaled by 1/sqrt(fan).
"""
import json
import math

import torch

FRAMES = 3
CASES = [
    # channels, height, width, rest; channels of the convolutions; outputs of the linear layer
    ((1, 1, 1, 0), [2], 3),
    ((2, 5, 7, 3), [3, 5], 4),
    ((3, 12, 9, 0), [4, 6, 8], 5),
    ((2, 32, 32, 1), [8, 16, 16], 6),
]


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


def front_end(planes, channels, outputs):
    """conv.0, conv.1, ..., conv.linear, with ReLU behind each."""
    count, height, width = planes
    modules = torch.nn.ModuleDict()
    for index, out in enumerate(channels):
        modules[str(index)] = torch.nn.Conv2d(count, out, 3, stride=2, padding=1)
        count, height, width = out, (height + 1) // 2, (width + 1) // 2
    modules["linear"] = torch.nn.Linear(count * height * width, outputs)
    return modules


def forward(modules, x, planes):
    count = math.prod(planes)
    h = x[:, :count].reshape(len(x), *planes)
    for name, module in modules.items():
        h = torch.relu(module(h.flatten(1) if name == "linear" else h))
    return torch.cat([h, x[:, count:]], dim=1)


cases = []
for (*planes, rest), channels, outputs in CASES:
    modules = front_end(planes, channels, outputs)
    lcg = Lcg(seed=7)
    with torch.no_grad():
        for parameter in modules.parameters():
            fan = math.prod(parameter.shape[1:])
            parameter.copy_(lcg.tensor(*parameter.shape) / math.sqrt(fan))
    x = lcg.tensor(FRAMES, math.prod(planes) + rest).requires_grad_()
    output = forward(modules, x, planes)
    # A loss that weighs every output differently; gradients of all parameters follow from it.
    (output * lcg.tensor(*output.shape)).sum().backward()
    cases.append(
        {
            "shape": [*planes, rest],
            "channels": channels,
            "outputs": outputs,
            "output": flat(output),
            "gradient_sums": {n: float(f"{p.grad.abs().sum():.8g}") for n, p in modules.named_parameters()},
            "gradient_0_weight": flat(modules["0"].weight.grad),
            "gradient_x_sums": flat(x.grad.abs().sum(1)),
        }
    )
print(json.dumps({"frames": FRAMES, "cases": cases}, indent=None, separators=(",", ":")))
