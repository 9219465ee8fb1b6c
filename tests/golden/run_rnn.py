"""Fixtures for tests/run_rnn.rs: state dicts from PyTorch and what PyTorch answers.

    python tests/golden/run_rnn.py        (made with torch 2.15.0, safetensors 0.8; writes into tests/golden/run_rnn)
"""
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path(__file__).parent / "run_rnn"
INPUT_SIZE, HIDDEN_SIZE, LENGTHS, FRAMES = 3, 4, [6, 0, 3], 6


class Model(torch.nn.Module):
    """A network as people build them: the recurrent layers somewhere inside, other layers beside."""

    def __init__(self, rnn):
        super().__init__()
        self.encoder = torch.nn.ModuleDict({"rnn": rnn})
        self.norm = torch.nn.BatchNorm1d(HIDDEN_SIZE)
        self.head = torch.nn.Linear(HIDDEN_SIZE, 2)


def run(rnn, x, lengths=None):
    """Each sequence alone and uncut by padding; PyTorch takes no sequence of length 0."""
    directions = 2 if rnn.bidirectional else 1
    output = np.zeros((len(x), FRAMES, directions * HIDDEN_SIZE), np.float32)
    for b, length in enumerate(lengths or [FRAMES] * len(x)):
        if length > 0:
            output[b, :length] = rnn(x[b : b + 1, :length])[0][0].numpy()
    return output


FOLDER.mkdir(exist_ok=True)
torch.manual_seed(1)
torch.set_grad_enabled(False)
x = torch.randn(len(LENGTHS), FRAMES, INPUT_SIZE)
np.save(FOLDER / "input.npy", x.numpy())
np.save(FOLDER / "input_fortran.npy", np.asfortranarray(x.numpy()))
with open(FOLDER / "input_version_2.npy", "wb") as file:
    np.lib.format.write_array(file, x.numpy(), version=(2, 0))
np.save(FOLDER / "lengths.npy", np.array(LENGTHS, np.int64))

# Two layers, both directions, unequal lengths.
lstm = torch.nn.LSTM(INPUT_SIZE, HIDDEN_SIZE, 2, bidirectional=True, batch_first=True)
save_file(Model(lstm).state_dict(), FOLDER / "lstm.safetensors")
np.save(FOLDER / "lstm.output.npy", run(lstm, x, LENGTHS))

# A checkpoint without biases, whose matrices share one storage, one of them transposed.
gru = torch.nn.GRU(INPUT_SIZE, HIDDEN_SIZE, bias=False, batch_first=True)
state_dict = Model(gru).state_dict()
flat = torch.cat([gru.weight_ih_l0.flatten(), gru.weight_hh_l0.t().flatten()])
state_dict["encoder.rnn.weight_ih_l0"] = flat[: gru.weight_ih_l0.numel()].view(-1, INPUT_SIZE)
state_dict["encoder.rnn.weight_hh_l0"] = flat[gru.weight_ih_l0.numel() :].view(HIDDEN_SIZE, -1).t()
torch.save({"epoch": 3, "lr": 0.1, "model": state_dict}, FOLDER / "gru.pt")
np.save(FOLDER / "gru.output.npy", run(gru, x))

# Parameters, in double precision, by no prefix.
rnn = torch.nn.RNN(INPUT_SIZE, HIDDEN_SIZE, nonlinearity="relu", batch_first=True).double()
torch.save(dict(rnn.named_parameters()), FOLDER / "rnn_relu.pt")
np.save(FOLDER / "rnn_relu.output.npy", run(rnn, x.double()))

# Two networks in half precision; the answer is that of the rounded weights.
pair = {name: torch.nn.GRU(INPUT_SIZE, HIDDEN_SIZE, batch_first=True) for name in ["a", "b"]}
halves = {"a": torch.bfloat16, "b": torch.float16}
tensors = {f"{m}.{n}": p.to(halves[m]) for m, gru in pair.items() for n, p in gru.named_parameters()}
save_file(tensors, FOLDER / "pair.safetensors")
for name, gru in pair.items():
    gru.load_state_dict({n: tensors[f"{name}.{n}"].float() for n, _ in gru.named_parameters()})
    np.save(FOLDER / f"pair.{name}.output.npy", run(gru, x))
