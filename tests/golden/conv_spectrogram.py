"""Golden values for tests/conv_spectrogram_golden.rs from torch.nn.Conv2d, BatchNorm2d, ReLU, MaxPool2d and Linear.

    python tests/golden/conv_spectrogram.py > tests/golden/conv_spectrogram.json        (made with torch 2.15.0)

Weights and input come from the generator of rnn.py, which both sides run: kernels and the linear layer are scaled by
1/sqrt(fan), norms are moved away from 1 and 0.
"""
import json
import math

import torch

BATCH = 2
CASES = [
    # frames, planes, bins; channels and pooling (frames, bins) of the layers; outputs of the linear layer
    (3, 1, 4, [(2, (1, 1))], 3),
    (9, 2, 10, [(3, (1, 2)), (5, (1, 3))], 4),
    (13, 1, 21, [(4, (2, 2)), (6, (2, 2)), (17, (1, 4))], 5),
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


class FrontEnd(torch.nn.Module):
    def __init__(self, planes, bins, layers, outputs):
        super().__init__()
        self.pools = [pool for _, pool in layers]
        self.kernels, self.norms = torch.nn.ModuleList(), torch.nn.ModuleList()
        for channels, pool in layers:
            self.kernels.append(torch.nn.Conv2d(planes, channels, 3, padding=1, bias=False))
            self.norms.append(torch.nn.BatchNorm2d(channels))
            planes, bins = channels, -(-bins // pool[1])
        self.linear = torch.nn.Linear(bins * planes, outputs)

    def draw(self, lcg):
        scaled = lambda t: lcg.tensor(*t.shape) / math.sqrt(math.prod(t.shape[1:]))
        with torch.no_grad():
            for kernel, norm in zip(self.kernels, self.norms):
                kernel.weight.copy_(scaled(kernel.weight))
                norm.weight.copy_(1 + 0.5 * lcg.tensor(*norm.weight.shape))
                norm.bias.copy_(0.5 * lcg.tensor(*norm.bias.shape))
                norm.running_mean.copy_(0.5 * lcg.tensor(*norm.bias.shape))
                norm.running_var.copy_(1 + 0.5 * lcg.tensor(*norm.bias.shape))
            self.linear.weight.copy_(scaled(self.linear.weight))
            self.linear.bias.copy_(0.5 * lcg.tensor(*self.linear.bias.shape))

    def forward(self, x):
        # [B, T, planes, bins] -> [B, planes, T, bins]
        x = x.transpose(1, 2)
        for kernel, norm, pool in zip(self.kernels, self.norms, self.pools):
            x = torch.nn.functional.max_pool2d(norm(kernel(x)).relu(), pool, ceil_mode=True)
        return self.linear(x.permute(0, 2, 3, 1).flatten(2)).relu()


cases = []
for frames, planes, bins, layers, outputs in CASES:
    model, lcg = FrontEnd(planes, bins, layers, outputs), Lcg(seed=7)
    model.draw(lcg)
    x = lcg.tensor(BATCH, frames, planes, bins).requires_grad_()
    with torch.no_grad():
        inferred = model.eval()(x)
    output = model.train()(x)
    # A loss that weighs every output differently; gradients of all parameters follow from it.
    (output * lcg.tensor(*output.shape)).sum().backward()
    gradients = {}
    for l, (kernel, norm) in enumerate(zip(model.kernels, model.norms)):
        gradients[f"{l}.weight"] = flat(kernel.weight.grad)
        gradients[f"{l}.norm.weight"] = flat(norm.weight.grad)
        gradients[f"{l}.norm.bias"] = flat(norm.bias.grad)
    gradients["linear.weight"] = flat(model.linear.weight.grad)
    gradients["linear.bias"] = flat(model.linear.bias.grad)
    cases.append(
        {
            "frames": frames,
            "planes": planes,
            "bins": bins,
            "channels": [channels for channels, _ in layers],
            "pool": [pool for _, pool in layers],
            "outputs": outputs,
            "inferred": flat(inferred),
            "output": flat(output),
            "gradients": gradients,
            "gradient_x": flat(x.grad),
        }
    )
print(json.dumps({"batch": BATCH, "cases": cases}, indent=None, separators=(",", ":")))
