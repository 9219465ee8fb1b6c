"""Golden values for tests/cells_golden.rs.

    python tests/golden/cells.py > tests/golden/cells.json        (made with numpy 2 and torch 2.15.0)

torch.nn.RNN gives the vanilla cells. The others PyTorch does not have: they are written here from their
publications, unit by unit over [c, h, x], in float64, and checked against PyTorch where both have the cell.

Weights lie as PyTorch's do (weight_ih, weight_hh, bias_ih, bias_hh; rows i, f, g, o or r, z, n; coupled f, g, o),
peepholes in weight_ch (rows i, f, o). Weights and input come from the generator of rnn.py.
"""
import json

import numpy as np
import torch

INPUT_SIZE, HIDDEN_SIZE, LENGTHS, FRAMES = 3, 5, [7, 4, 1, 7], 7
H = HIDDEN_SIZE


class Lcg:
    def __init__(self, seed):
        self.state = seed

    def array(self, *shape):
        values = []
        for _ in range(int(np.prod(shape))):
            self.state = (self.state * 1664525 + 1013904223) % 2**32
            values.append((self.state >> 8) / 2**24 * 2 - 1)
        return np.array(values).reshape(shape)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def block(matrix, index):
    return matrix[index * H : (index + 1) * H]


class Gate:
    """b + W [h, x] for one gate, the index-th of the stacked ones."""

    def __init__(self, weights, index):
        self.w = np.hstack([block(weights["weight_hh"], index), block(weights["weight_ih"], index)])
        self.b = block(weights["bias_hh"], index) + block(weights["bias_ih"], index)

    def __call__(self, h, x):
        return self.w @ np.concatenate([h, x]) + self.b


def lstm(x, h, c, weights, peep_i, peep_f, peep_o):
    i, f, g, o = (Gate(weights, k) for k in range(4))
    forget = sigmoid(f(h, x) + peep_f(c))
    take_in = sigmoid(i(h, x) + peep_i(c))
    c = forget * c + take_in * np.tanh(g(h, x))
    return sigmoid(o(h, x) + peep_o(c)) * np.tanh(c), c


def plain_lstm(x, h, c, weights):
    blind = lambda c: 0.0
    return lstm(x, h, c, weights, blind, blind, blind)


def lstm_peephole(x, h, c, weights):
    """Full matrices: f and i see C(t-1), o sees C(t)."""
    p = weights["weight_ch"]
    return lstm(x, h, c, weights, *(lambda c, k=k: block(p, k) @ c for k in range(3)))


def lstm_peephole_diagonal(x, h, c, weights):
    """Gers & Schmidhuber 2000: each unit's gates see its own cell."""
    p = weights["weight_ch"]
    return lstm(x, h, c, weights, *(lambda c, k=k: np.diag(p[k]) @ c for k in range(3)))


def lstm_coupled(x, h, c, weights):
    f, g, o = (Gate(weights, k) for k in range(3))
    forget = sigmoid(f(h, x))
    c = forget * c + (1 - forget) * np.tanh(g(h, x))
    return sigmoid(o(h, x)) * np.tanh(c), c


def gru_reset_before(x, h, c, weights):
    """h~ = tanh(W [r * h, x] + b), h' = (1 - z) * h + z * h~."""
    reset, update, new = (Gate(weights, k) for k in range(3))
    z = sigmoid(update(h, x))
    candidate = np.tanh(new(sigmoid(reset(h, x)) * h, x))
    return (1 - z) * h + z * candidate, c


def scan(step, sequence, weights, h, c):
    """All hidden states of one sequence [T, D], and the last memory cell."""
    states = []
    for x in sequence:
        h, c = step(x, h, c, weights)
        states.append(h)
    return np.array(states), c


def run(step, x, layers, h_0, c_0):
    """Each sequence for itself, cut to its length: no padding is ever read."""
    directions = len(layers[0])
    output = np.zeros((len(LENGTHS), FRAMES, directions * H))
    h_n, c_n = np.zeros_like(h_0), np.zeros_like(c_0)
    for b, length in enumerate(LENGTHS):
        sequence = x[b, :length]
        for k, layer in enumerate(layers):
            ahead = k * directions
            out, c_n[ahead, b] = scan(step, sequence, layer[0], h_0[ahead, b], c_0[ahead, b])
            h_n[ahead, b] = out[-1]
            if directions == 2:
                back = ahead + 1
                reverse, c_n[back, b] = scan(step, sequence[::-1], layer[1], h_0[back, b], c_0[back, b])
                h_n[back, b] = reverse[-1]
                out = np.hstack([out, reverse[::-1]])
            sequence = out
        output[b, :length] = sequence
    return output, h_n, c_n


def draw(lcg, gates, peephole_shape, num_layers, directions):
    """Weights in the order in which PyTorch lists them."""
    layers = []
    for layer in range(num_layers):
        width = INPUT_SIZE if layer == 0 else directions * H
        shapes = {"weight_ih": (gates * H, width), "weight_hh": (gates * H, H)}
        shapes |= {"bias_ih": (gates * H,), "bias_hh": (gates * H,)}
        if peephole_shape:
            shapes["weight_ch"] = peephole_shape
        layers.append([{n: lcg.array(*s) for n, s in shapes.items()} for _ in range(directions)])
    return layers


def run_torch(rnn, x, layers, h_0, c_0):
    rnn = rnn.double()
    flat = [tensor for layer in layers for direction in layer for tensor in direction.values()]
    with torch.no_grad():
        for parameter, values in zip(rnn.parameters(), flat, strict=True):
            parameter.copy_(torch.from_numpy(values))
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(x), LENGTHS, batch_first=True, enforce_sorted=False
        )
        h_0, c_0 = torch.from_numpy(h_0), torch.from_numpy(c_0)
        is_lstm = isinstance(rnn, torch.nn.LSTM)
        output, state = rnn(packed, (h_0, c_0) if is_lstm else h_0)
        output, _ = torch.nn.utils.rnn.pad_packed_sequence(output, batch_first=True, total_length=FRAMES)
    h_n, c_n = state if is_lstm else (state, c_0)
    return output.numpy(), h_n.numpy(), c_n.numpy()


def module(kind, num_layers, directions, **options):
    return kind(INPUT_SIZE, H, num_layers, bidirectional=directions == 2, batch_first=True, **options)


CELLS = {
    "lstm_peephole": (lstm_peephole, 4, (3 * H, H)),
    "lstm_peephole_diagonal": (lstm_peephole_diagonal, 4, (3, H)),
    "lstm_coupled": (lstm_coupled, 3, None),
    "gru_reset_before": (gru_reset_before, 3, None),
    "rnn_tanh": ("tanh", 1, None),
    "rnn_relu": ("relu", 1, None),
}

def inputs(lcg, num_layers, directions, from_zero):
    x = lcg.array(len(LENGTHS), FRAMES, INPUT_SIZE)
    states = (num_layers * directions, len(LENGTHS), H)
    draw_state = np.zeros if from_zero else lambda shape: lcg.array(*shape)
    return x, draw_state(states), draw_state(states)


def flat(array):
    return [float(f"{v:.8g}") for v in array.flatten()]


cases = []
for name, (step, gates, peephole_shape) in CELLS.items():
    for num_layers, directions, from_zero in [(1, 1, True), (2, 2, False)]:
        lcg = Lcg(seed=7)
        layers = draw(lcg, gates, peephole_shape, num_layers, directions)
        x, h_0, c_0 = inputs(lcg, num_layers, directions, from_zero)
        if isinstance(step, str):
            rnn = module(torch.nn.RNN, num_layers, directions, nonlinearity=step)
            output, h_n, c_n = run_torch(rnn, x, layers, h_0, c_0)
        else:
            output, h_n, c_n = run(step, x, layers, h_0, c_0)
        case = {"cell": name, "num_layers": num_layers, "bidirectional": directions == 2}
        case |= {"from_zero": from_zero, "output": flat(output), "h_n": flat(h_n)}
        if name.startswith("lstm"):
            case["c_n"] = flat(c_n)
        cases.append(case)

# The plumbing above is right: with it the plain LSTM is PyTorch's.
lcg = Lcg(seed=7)
layers = draw(lcg, 4, None, 2, 2)
x, *states = inputs(lcg, 2, 2, from_zero=False)
theirs = run_torch(module(torch.nn.LSTM, 2, 2), x, layers, *states)
for ours, expected in zip(run(plain_lstm, x, layers, *states), theirs):
    assert np.abs(ours - expected).max() < 1e-12

print(json.dumps({"lengths": LENGTHS, "cases": cases}, separators=(",", ":")))
